-- Purpose: tokens for HTTP: made, listed, revoked, and those that let somebody in now.
-- Locks: rows of odoo_eventd.token.

create or replace function odoo_eventd.user_named(who text) returns integer
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  found_id integer;
begin
  perform odoo_eventd.assert_listener();
  select u.id into found_id from public.res_users u where u.login = who;
  if not found and who ~ '^[0-9]{1,9}$' then
    select u.id into found_id from public.res_users u where u.id = who::integer;
  end if;
  return found_id;
end $$;
comment on function odoo_eventd.user_named(text) is 'The Odoo user with this login, or else with this id; null = there is none.';

create or replace function odoo_eventd.add_token(named text, of_digest bytea, may text[], of_models text[], for_user integer, lives interval)
returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
declare
  made odoo_eventd.token;
begin
  perform odoo_eventd.assert_listener();
  insert into odoo_eventd.token (name, digest, scopes, models, user_id, expires_at)
    values (named, of_digest, may, of_models, for_user, now() + lives)
    on conflict (name) where revoked_at is null do nothing returning * into made;
  return case when made.id is not null then to_jsonb(made) - 'digest' end;
end $$;
comment on function odoo_eventd.add_token(text, bytea, text[], text[], integer, interval) is
  'Keeps a token, of which only the SHA-256 is told. Null where another has this name and is not revoked.';

create or replace function odoo_eventd.list_tokens() returns setof jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
begin
  perform odoo_eventd.assert_listener();
  return query select to_jsonb(t) - 'digest' || jsonb_build_object('is_expired', coalesce(t.expires_at <= now(), false))
                 from odoo_eventd.token t order by t.id;
end $$;
comment on function odoo_eventd.list_tokens() is 'Every token, revoked ones too, without what would let anybody in.';

create or replace function odoo_eventd.revoke_token(token integer) returns timestamptz
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  gone_at timestamptz;
begin
  perform odoo_eventd.assert_listener();
  update odoo_eventd.token t
     set revoked_at = now(), revoked_by = session_user, revoked_through = current_setting('application_name', true)
   where t.id = token and t.revoked_at is null;
  select t.revoked_at into gone_at from odoo_eventd.token t where t.id = token;
  return gone_at;
end $$;
comment on function odoo_eventd.revoke_token(integer) is 'Revokes a token, for good. Returns since when it is; null = there is no such token.';

create or replace function odoo_eventd.live_tokens(used integer[])
returns table (id integer, name text, digest bytea, scopes text[], models text[], user_id integer)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  if used <> '{}' then
    -- Whoever else notes the same has noted it then: nobody waits for him.
    update odoo_eventd.token t set last_used_at = now()
     where t.id in (select u.id from odoo_eventd.token u
                     where u.id = any (used) and coalesce(u.last_used_at <= now() - interval '1 minute', true)
                     order by u.id for no key update skip locked);
  end if;
  return query
    select t.id, t.name, t.digest, t.scopes, t.models, t.user_id from odoo_eventd.token t
     where t.revoked_at is null and coalesce(t.expires_at > now(), true);
end $$;
comment on function odoo_eventd.live_tokens(integer[]) is
  'The tokens that let somebody in now; those that were used since the last call are noted, each once a minute at most.';
