-- Purpose: what happens to secrets after they were written: changing them with an overlap, encrypting them, forgetting them.
-- Locks: rows of odoo_eventd.subscription_secret and, in rotate_secret, one of public.mcp_event_subscription; none of Odoo's.
--
-- The database never sees the key: the service encrypts and decrypts, and hands over what it made. A value is replaced only while
-- it is still the one that was read, told by its digest, so that nothing written meanwhile is lost.

create or replace function odoo_eventd.kept_secrets(of_row odoo_eventd.subscription_secret) returns jsonb
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select case when (of_row).secret_ref is not null then jsonb_build_object(
           'secret_ref', (of_row).secret_ref,
           'sealed_secret', encode((of_row).sealed_secret, 'hex'),
           'sealed_auth', encode((of_row).sealed_auth, 'hex'),
           'previous_secret', case when (of_row).previous_until > now() then (of_row).previous_secret end,
           'sealed_previous', case when (of_row).previous_until > now() then encode((of_row).sealed_previous, 'hex') end,
           'previous_until_s', extract(epoch from (of_row).previous_until)::bigint) end
$$;
comment on function odoo_eventd.kept_secrets(odoo_eventd.subscription_secret) is
  'What the service is told of a row of secrets beside those in plain text; sealed values in hex digits.';
revoke all on function odoo_eventd.kept_secrets(odoo_eventd.subscription_secret) from public;

create or replace function odoo_eventd.rotate_secret(subscription integer, new_secret text,
  overlap interval default '24 hours') returns timestamptz
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  mask constant text := '********';
  known record;
  ends timestamptz := now() + overlap;
begin
  perform odoo_eventd.assert_listener();
  if coalesce(new_secret, '') in ('', mask) then
    raise exception 'a new secret is needed' using errcode = 'invalid_parameter_value';
  end if;
  if overlap is null or overlap < interval '0' then
    raise exception 'the overlap cannot be negative' using errcode = 'invalid_parameter_value';
  end if;
  select s.secret_ref, s.webhook_secret is not null as has_secret into known
    from public.mcp_event_subscription s where s.id = subscription for update;
  if not found then
    raise exception 'there is no subscription %', subscription using errcode = 'no_data_found';
  end if;
  if not known.has_secret or overlap = interval '0' then
    update public.mcp_event_subscription s set webhook_secret = new_secret where s.id = subscription;
    return null;
  end if;
  update odoo_eventd.subscription_secret k
     set previous_secret = k.webhook_secret, sealed_previous = k.sealed_secret, previous_until = ends,
         webhook_secret = new_secret, sealed_secret = null, written_at = clock_timestamp()
   where k.secret_ref = known.secret_ref;
  -- Changes nothing but write_date: the service looks at it anew. The history is told what it cannot see.
  perform set_config('odoo_eventd.wrote_credentials', format(',%s,', subscription), true);
  update public.mcp_event_subscription s set webhook_secret = mask where s.id = subscription;
  return ends;
end $$;
comment on function odoo_eventd.rotate_secret(integer, text, interval) is
  'Gives a subscription a new secret; the old one signs too until the overlap ends, which is returned. Of an earlier rotation '
  'that still overlaps, the oldest secret is dropped.';

create or replace function odoo_eventd.expire_secrets() returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  expired bigint;
begin
  perform odoo_eventd.assert_listener();
  update odoo_eventd.subscription_secret k
     set previous_secret = null, sealed_previous = null, previous_until = null
   where k.previous_until <= now();
  get diagnostics expired = row_count;
  return expired;
end $$;
comment on function odoo_eventd.expire_secrets()
  is 'Forgets the old secrets of rotations whose overlap has ended; says how many.';

create or replace function odoo_eventd.load_secrets(only_plain boolean) returns table (secret_ref uuid, field text, plain text,
  sealed bytea)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  -- Written apart, so that the look that is made every second is one into the small index of what is plain.
  if only_plain then
    return query
      select k.secret_ref, v.field, v.plain, null::bytea
      from odoo_eventd.subscription_secret k
      cross join lateral (values ('webhook_secret', k.webhook_secret), ('auth', k.auth),
        ('previous_secret', k.previous_secret)) v (field, plain)
      where (k.webhook_secret is not null or k.auth is not null or k.previous_secret is not null) and v.plain is not null;
  else
    return query
      select k.secret_ref, v.field, v.plain, v.sealed
      from odoo_eventd.subscription_secret k
      cross join lateral (values ('webhook_secret', k.webhook_secret, k.sealed_secret), ('auth', k.auth, k.sealed_auth),
                                 ('previous_secret', k.previous_secret, k.sealed_previous)) v (field, plain, sealed)
      where num_nonnulls(v.plain, v.sealed) > 0;
  end if;
end $$;
comment on function odoo_eventd.load_secrets(boolean)
  is 'Every secret, one a row, in plain text or sealed; or only those in plain text.';

create or replace function odoo_eventd.seal_secrets(secret_refs uuid[], fields text[], digests bytea[],
  sealed bytea[]) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  given record;
  changed bigint;
  total bigint := 0;
begin
  perform odoo_eventd.assert_listener();
  for given in select * from unnest(secret_refs, fields, digests, sealed) g (secret_ref, field, digest, sealed)
    order by g.secret_ref loop
    if given.field = 'webhook_secret' then
      update odoo_eventd.subscription_secret k set webhook_secret = null, sealed_secret = given.sealed
       where k.secret_ref = given.secret_ref
         and sha256(coalesce(k.sealed_secret, convert_to(k.webhook_secret, 'UTF8'))) = given.digest;
    elsif given.field = 'auth' then
      update odoo_eventd.subscription_secret k set auth = null, sealed_auth = given.sealed
       where k.secret_ref = given.secret_ref and sha256(coalesce(k.sealed_auth, convert_to(k.auth, 'UTF8'))) = given.digest;
    elsif given.field = 'previous_secret' then
      update odoo_eventd.subscription_secret k set previous_secret = null, sealed_previous = given.sealed
       where k.secret_ref = given.secret_ref
         and sha256(coalesce(k.sealed_previous, convert_to(k.previous_secret, 'UTF8'))) = given.digest;
    else
      raise exception 'there is no secret called %', given.field using errcode = 'invalid_parameter_value';
    end if;
    get diagnostics changed = row_count;
    total := total + changed;
  end loop;
  return total;
end $$;
comment on function odoo_eventd.seal_secrets(uuid[], text[], bytea[], bytea[]) is
  'Puts encrypted values in the place of those whose SHA-256 is given; one that was changed meanwhile is left. Says how many '
  'were put.';

create or replace function odoo_eventd.secret_status() returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  return (
    select jsonb_build_object(
             'plain', coalesce(sum(num_nonnulls(k.webhook_secret, k.auth, k.previous_secret)), 0),
             'encrypted', coalesce(sum(num_nonnulls(k.sealed_secret, k.sealed_auth, k.sealed_previous)), 0),
             'overlapping', count(*) filter (where k.previous_until > now()))
    from odoo_eventd.subscription_secret k);
end $$;
comment on function odoo_eventd.secret_status()
  is 'How many secrets are kept in plain text and how many encrypted, and how many rotations overlap.';
