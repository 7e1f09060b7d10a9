-- Purpose: callback URLs of single records: what happens when one is written, and reading those of a batch in one statement.
-- Locks: rows of odoo_eventd.subscription_secret; none of Odoo's.

create or replace function odoo_eventd.keep_callback() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  mask constant text := '********';
begin
  if tg_op = 'DELETE' then
    delete from odoo_eventd.subscription_secret k where k.secret_ref = old.secret_ref;
    return old;
  end if;
  if tg_op = 'INSERT' then
    new.secret_ref := null;
    if new.secret = mask then new.secret := null; end if;
  else
    new.secret_ref := old.secret_ref;
    new.write_date := now() at time zone 'utc';
    if old.secret is null and new.secret = mask then new.secret := null; end if;
  end if;
  if new.secret is distinct from mask then
    if new.secret is null then
      delete from odoo_eventd.subscription_secret k where k.secret_ref = new.secret_ref;
      new.secret_ref := null;
    elsif new.secret_ref is not null then
      update odoo_eventd.subscription_secret k set webhook_secret = new.secret, sealed_secret = null
        where k.secret_ref = new.secret_ref;
    else
      insert into odoo_eventd.subscription_secret (webhook_secret) values (new.secret) returning secret_ref into new.secret_ref;
    end if;
    new.secret := case when new.secret is not null then mask end;
  end if;
  return new;
end $$;
comment on function odoo_eventd.keep_callback() is 'Moves the secret of a record''s callback away, and forgets it with its row.';

-- Only where it is missing: made anew it would wait for whoever reads the table, a dump for one.
do $trigger$
begin
  if not exists (select from pg_trigger t where t.tgrelid = 'public.mcp_record_callback'::regclass and t.tgname = 'keep_callback')
    then
    create trigger keep_callback before insert or update or delete on public.mcp_record_callback
      for each row execute function odoo_eventd.keep_callback();
  end if;
end $trigger$;

create or replace function odoo_eventd.record_callbacks(models text[], record_ids bigint[])
returns table (model text, record_id bigint, callback_url text, webhook_secret text, kept jsonb)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  return query
    select c.model, c.record_id, c.callback_url, k.webhook_secret, odoo_eventd.kept_secrets(k)
    from (select distinct r.model, r.record_id from unnest(models, record_ids) r (model, record_id)) wanted
    join public.mcp_record_callback c on c.model = wanted.model and c.record_id = wanted.record_id and c.active
    left join odoo_eventd.subscription_secret k on k.secret_ref = c.secret_ref;
end $$;
comment on function odoo_eventd.record_callbacks(text[], bigint[])
  is 'The active callbacks of these records, with their secrets.';
