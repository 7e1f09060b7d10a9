-- Purpose: sessions of the web page: begun with a token or a link, looked up with each request, ended.
-- Locks: rows of odoo_eventd.page_session and odoo_eventd.login_link.

create or replace function odoo_eventd.begin_page_session(of_token bytea, of_link bytea, of_session bytea, lives interval)
returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  by_link integer;
  found_id integer;
  token_ends timestamptz;
begin
  perform odoo_eventd.assert_listener();
  if of_link is not null then
    -- Whoever comes second waits here, and finds nothing.
    delete from odoo_eventd.login_link l where l.digest = of_link and l.ends_at > now() returning l.token_id into by_link;
  end if;
  select t.id, t.expires_at into found_id, token_ends from odoo_eventd.token t
   where (t.digest = of_token or t.id = by_link) and t.revoked_at is null and coalesce(t.expires_at > now(), true);
  if not found then
    return null;
  end if;
  delete from odoo_eventd.page_session s where s.ends_at <= now();
  delete from odoo_eventd.login_link l where l.ends_at <= now();
  -- Beside the hundredth the oldest ends: nobody has so many browsers open, and the table stays small.
  delete from odoo_eventd.page_session s
   where s.digest in (select o.digest from odoo_eventd.page_session o where o.token_id = found_id
                       order by o.begun_at desc, o.digest offset 99);
  insert into odoo_eventd.page_session (digest, token_id, ends_at)
    values (of_session, found_id, least(now() + lives, token_ends));
  update odoo_eventd.token t set last_used_at = now() where t.id = found_id;
  return found_id;
end $$;
comment on function odoo_eventd.begin_page_session(bytea, bytea, bytea, interval) is
  'Begins a session of the web page with a token, or with a link that is used up by it. The token''s id; null = neither is good.';

create or replace function odoo_eventd.page_visitor(of_session bytea)
returns table (id integer, name text, digest bytea, scopes text[], models text[], user_id integer, user_login text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  return query
    select t.id, t.name, t.digest, t.scopes, t.models, t.user_id,
           (select u.login::text from public.res_users u where u.id = t.user_id)
      from odoo_eventd.page_session s join odoo_eventd.token t on t.id = s.token_id
     where s.digest = of_session and s.ends_at > now() and t.revoked_at is null and coalesce(t.expires_at > now(), true);
end $$;
comment on function odoo_eventd.page_visitor(bytea) is 'The token of a session that has not ended; no row = there is none.';

create or replace function odoo_eventd.end_page_session(of_session bytea) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  delete from odoo_eventd.page_session s where s.digest = of_session;
end $$;
comment on function odoo_eventd.end_page_session(bytea) is 'Ends a session of the web page, in every browser tab.';

create or replace function odoo_eventd.add_login_link(of_token integer, of_link bytea, lives interval) returns timestamptz
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  ends timestamptz;
begin
  perform odoo_eventd.assert_listener();
  insert into odoo_eventd.login_link (digest, token_id, ends_at)
    select of_link, t.id, least(now() + lives, t.expires_at) from odoo_eventd.token t
     where t.id = of_token and t.revoked_at is null and coalesce(t.expires_at > now(), true)
    returning ends_at into ends;
  return ends;
end $$;
comment on function odoo_eventd.add_login_link(integer, bytea, interval) is
  'Keeps a link that logs in once with this token. Until when it can be used; null = the token lets nobody in.';
