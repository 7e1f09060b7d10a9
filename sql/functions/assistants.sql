-- Purpose: instances that deliver beside the one that leads: who they are, and whether they are alive.
--
-- The leading instance alone reads the outbox. What it makes and cannot send at once waits, and any instance may claim that: rows
-- are claimed under SKIP LOCKED, and each claim is marked with the claimant's number.

create or replace function odoo_eventd.assistant_lock(of_number bigint) returns integer
language sql immutable security definer set search_path = pg_catalog, pg_temp
as $$ select (1000000 + of_number % 1000000000)::integer $$;
comment on function odoo_eventd.assistant_lock(bigint)
  is 'The second key of the advisory lock that an assistant''s session holds; the first is 1868853103.';

create or replace function odoo_eventd.begin_assisting() returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  given bigint;
begin
  perform odoo_eventd.assert_listener();
  -- A number is drawn once, so nobody of ours holds its lock. A stranger who does is left with it, and with that number.
  for try in 1..100 loop
    insert into odoo_eventd.assistant default values returning number into strict given;
    if pg_try_advisory_lock(1868853103, odoo_eventd.assistant_lock(given)) then
      return given;
    end if;
    delete from odoo_eventd.assistant a where a.number = given;
  end loop;
  raise exception 'somebody holds the locks of odoo-eventd''s assistants, up to (1868853103, %)',
    odoo_eventd.assistant_lock(given)
    using errcode = 'lock_not_available', hint = 'pg_locks tells who; end him with pg_terminate_backend.';
end $$;
comment on function odoo_eventd.begin_assisting()
  is 'A new assistant''s number. It is taken for alive until this session ends, or end_assisting().';

create or replace function odoo_eventd.end_assisting(of_number bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  update odoo_eventd.assistant a set ended_at = now() where a.number = of_number and a.ended_at is null;
  perform pg_advisory_unlock(1868853103, odoo_eventd.assistant_lock(of_number));
end $$;
comment on function odoo_eventd.end_assisting(bigint)
  is 'This assistant claims nothing more; what it has not recorded is taken for interrupted.';

create or replace function odoo_eventd.is_assisting(of_number bigint) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$ select exists (select from odoo_eventd.assistant a where a.number = of_number and a.ended_at is null) $$;
comment on function odoo_eventd.is_assisting(bigint) is 'Whether nobody has taken this assistant for dead.';

create or replace function odoo_eventd.note_ended_assistants() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  update odoo_eventd.assistant a set ended_at = now()
   where a.ended_at is null
     and not exists (select from odoo_eventd.lock_holders(odoo_eventd.assistant_lock(a.number)) h where h.is_ours);
  delete from odoo_eventd.assistant a where a.ended_at < now() - interval '1 day';
end $$;
comment on function odoo_eventd.note_ended_assistants()
  is 'Takes assistants for dead whose session is gone: what they write from now on is refused.';

revoke all on function odoo_eventd.assistant_lock(bigint) from public;
revoke all on function odoo_eventd.is_assisting(bigint) from public;
