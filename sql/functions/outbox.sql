-- Purpose: reading the outbox, moving the position, and emptying what was read.
--
-- Rows are read by transaction snapshot, as PgQ does: what the last snapshot did not see and this one does. Ids become visible
-- out of order, so "id > last" would lose rows; a mark on each row would have to be vacuumed, and dies behind a long transaction.

create or replace function odoo_eventd.take_lead() returns table (
  term bigint, done text, target text, last_xid text, last_id bigint, epoch uuid, database_name text, notify boolean
)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  update odoo_eventd.lead l set term = l.term + 1, led_since = now();
  return query
    select p.term, p.done::text, p.target::text, p.last_xid::text, p.last_id, i.epoch, i.database_name::text, i.notify
    from odoo_eventd.position p, odoo_eventd.installation i;
end $$;
comment on function odoo_eventd.take_lead()
  is 'Begins a new term: what instances of earlier terms still want to write is refused from now on.';

create or replace function odoo_eventd.note_forgetful(of_term bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_term(of_term);
  -- Without an epoch there are no ids for events; see fence(). The position is left as it is: it is right for what is in here.
  update odoo_eventd.installation i set epoch = '00000000-0000-0000-0000-000000000000';
end $$;
comment on function odoo_eventd.note_forgetful(bigint) is
  'The leader knows of commits that this database has lost: nothing is delivered from here until `odoo-eventd adopt`.';

create or replace function odoo_eventd.image_bytes(old text[], new text[]) returns bigint
language plpgsql immutable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  stored integer := coalesce(pg_column_size(old), 0) + coalesce(pg_column_size(new), 0);
begin
  -- What is that small is not compressed. Of the rest it is asked how long it is when it has been read: a few kilobytes can be
  -- megabytes.
  if stored < 2000 then
    return stored;
  end if;
  return (select coalesce(sum(octet_length(u)), 0) from unnest(old) u) + (select coalesce(sum(octet_length(u)), 0)
    from unnest(new) u);
end $$;
comment on function odoo_eventd.image_bytes(text[], text[]) is 'How much memory the images of a row of the outbox take, about.';
revoke all on function odoo_eventd.image_bytes(text[], text[]) from public;

-- Dropped first: what it is given has changed, and what it gives.
drop function if exists odoo_eventd.read_outbox(pg_snapshot, pg_snapshot, xid8, bigint, integer);
create or replace function odoo_eventd.read_outbox(
  done pg_snapshot, target pg_snapshot, last_xid xid8, last_id bigint, max_rows integer, max_bytes bigint
) returns table (
  seen text, subscriptions bigint, id bigint, xid text, generation bigint, op "char", record_id bigint, at timestamptz,
    user_id integer, old text[], new text[],
  is_cut boolean
)
language plpgsql security definer set search_path = pg_catalog, pg_temp
-- One plan for ever: along the primary keys, from the position on. Made anew for each call, it would look at the ends of the
-- indexes for its estimates, where the rows of an open transaction are; and statistics of a table that fills and empties mislead.
-- What is switched off counts as endless work, for which the planner would have each call compiled: hence jit.
set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
as $$
declare
  reading pg_snapshot := coalesce(target, pg_current_snapshot());
  -- Of the transactions that ran when `done` was taken those that have ended: one that goes on has nothing to show yet, and may
  -- have written a million rows that would be passed over each time.
  running xid8[] := array(select x from pg_snapshot_xip(done) x where x >= last_xid and pg_visible_in_snapshot(x, reading));
  -- Where the others begin. One bound, not two: an index scan starts at one of them, and it may be the wrong one.
  from_xid xid8 := greatest(last_xid, pg_snapshot_xmax(done));
  from_id bigint := case when last_xid >= pg_snapshot_xmax(done) then last_id else 0 end;
  found_rows integer := 0;
  found_bytes bigint := 0;
  more integer;
  known bigint;
  gaps boolean;
begin
  perform odoo_eventd.assert_listener();
  seen := reading::text;
  -- Taken after the snapshot: whoever subscribed before one of these rows was written is counted in it.
  known := odoo_eventd.subscriptions_version();
  subscriptions := known;
  gaps := odoo_eventd.has_gaps(done);
  if gaps then
    perform odoo_eventd.settle_gaps();
  end if;
  -- First the transactions that were running when `done` was taken: their ids are all lower.
  if running <> '{}' and last_xid < pg_snapshot_xmax(done) then
    for id, xid, generation, op, record_id, at, user_id, old, new in
      select o.id, o.xid::text, o.generation, o.op, o.record_id, o.at, o.user_id, o.old, o.new
      from odoo_eventd.outbox o
      where o.xid = any (running) and (o.xid, o.id) > (last_xid, last_id) and pg_visible_in_snapshot(o.xid, reading)
        and not (gaps and odoo_eventd.is_in_gap(o.xid, o.generation))
      order by o.xid, o.id limit max_rows
    loop
      found_rows := found_rows + 1;
      found_bytes := found_bytes + odoo_eventd.image_bytes(old, new);
      is_cut := found_rows >= max_rows or found_bytes >= max_bytes;
      return next;
      exit when is_cut;
    end loop;
  end if;
  if is_cut is not true then
    return query
      select reading::text, known, p.id, p.xid::text, p.generation, p.op, p.record_id, p.at, p.user_id, p.old, p.new,
             found_rows + p.n >= max_rows or found_bytes + p.total >= max_bytes
      from (select q.*, row_number() over following as n, sum(q.bytes) over following as total
              from (select o.*,
                           -- As image_bytes(), of which two thousand calls would cost as much as the rest.
                           case when coalesce(pg_column_size(o.old), 0) + coalesce(pg_column_size(o.new), 0) < 2000
                                then coalesce(pg_column_size(o.old), 0) + coalesce(pg_column_size(o.new), 0)
                                else (select coalesce(sum(octet_length(u)), 0) from unnest(o.old || o.new) u) end::bigint as bytes
                      from odoo_eventd.outbox o
                     where (o.xid, o.id) > (from_xid, from_id) and o.xid < pg_snapshot_xmax(reading)
                       and pg_visible_in_snapshot(o.xid, reading)
                       and not (gaps and odoo_eventd.is_in_gap(o.xid, o.generation))
                     order by o.xid, o.id limit max_rows - found_rows) q
            window following as (order by q.xid, q.id rows unbounded preceding)) p
      where found_bytes + p.total - p.bytes < max_bytes;
    get diagnostics more = row_count;
    found_rows := found_rows + more;
  end if;
  if found_rows = 0 then
    id := null; xid := null; generation := null; op := null; record_id := null;
    at := null; user_id := null; old := null; new := null;
    is_cut := false;
    return next;
  end if;
end $$;
comment on function odoo_eventd.read_outbox(pg_snapshot, pg_snapshot, xid8, bigint, integer, bigint) is
  'The next rows beyond a position, in order of (xid, id), with the snapshot read in and the version of the subscriptions that '
  'they must be matched with; one row with nothing else if there are none. At most so many rows, and no more once they have so '
  'many bytes: is_cut tells with the last that it was one of these that ended them.';

drop function if exists odoo_eventd.read_transaction(xid8, integer, bigint, integer);
create or replace function odoo_eventd.read_transaction(of_xid xid8)
returns table (id bigint, generation bigint, op "char", record_id bigint, at timestamptz, user_id integer, old text[], new text[],
  capture_id integer)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  -- Asked once for each generation: asked for each row, a page of a million rows took most of a minute.
  in_gap bigint[] := array(select g.generation from odoo_eventd.capture_generation g
                            where (exists (select from odoo_eventd.capture_gap)
                              or exists (select from odoo_eventd.capture_overflow))
                              and odoo_eventd.is_in_gap(of_xid, g.generation));
begin
  perform odoo_eventd.assert_listener();
  return query
    -- Once for each generation, not for each of a million rows.
    with judged as materialized (
      select g.generation, g.capture_id from odoo_eventd.capture_generation g
        where not odoo_eventd.is_in_gap(of_xid, g.generation))
    select o.id, o.generation, o.op, o.record_id, o.at, o.user_id, o.old, o.new, g.capture_id
    from odoo_eventd.outbox o
    join judged g on g.generation = o.generation
    where o.xid = of_xid
    order by g.capture_id, o.record_id, o.id;
end $$;
comment on function odoo_eventd.read_transaction(xid8) is
  'One large transaction, by table and record, in order; sorted once. To be fetched in pieces.';

drop function if exists odoo_eventd.captures();
create or replace function odoo_eventd.captures() returns table (
  generation bigint, capture_id integer, model text, columns name[], types text[], format smallint
)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  return query
    select g.generation, g.capture_id, c.model, g.columns, g.types, g.format
    from odoo_eventd.capture_generation g join odoo_eventd.capture c on c.capture_id = g.capture_id;
end $$;
comment on function odoo_eventd.captures() is 'What the rows of each generation mean.';

create or replace function odoo_eventd.rotate_outbox(when_over_bytes bigint) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  ring odoo_eventd.ring;
  next_table integer;
  known odoo_eventd.capture;
  is_empty boolean := false;
  moved integer := 0;
  failed text[] := '{}';
  why text;
begin
  perform odoo_eventd.assert_listener();
  perform odoo_eventd.lock_capture();
  select * into strict ring from odoo_eventd.ring;
  if odoo_eventd.outbox_bytes(ring.current) <= when_over_bytes then
    return false;
  end if;
  -- The next that is empty, which need not be the next: one may be kept from being emptied by a transaction that stays open.
  for step in 1..3 loop
    next_table := (ring.current + step) % 4;
    execute format('select not exists (select from odoo_eventd.outbox_%s)', next_table) into is_empty;
    exit when is_empty;
  end loop;
  if not is_empty then
    return false;
  end if;
  update odoo_eventd.ring r set current = next_table, rotated_at = now();
  -- Bodies only: no lock on any table. Statements that are running finish in the old table; it is read like the others. So is
  -- what a function goes on to write there that cannot be replaced now, because of somebody's event trigger: it stays as it was,
  -- the others move, and the next rotation tries again.
  for known in select * from odoo_eventd.capture c where c.active order by c.model loop
    begin
      perform odoo_eventd.replace_capture_function(known);
      moved := moved + 1;
    exception when others then
      failed := failed || known.model;
      why := coalesce(why, format('%s (SQLSTATE %s)', sqlerrm, sqlstate));
    end;
  end loop;
  if failed = '{}' then
    perform odoo_eventd.end_trouble('send capture to the outbox''s next table');
    return true;
  end if;
  if moved = 0 then
    -- Nothing would be written to the next table: the ring stays where it is.
    raise exception 'no capture function can be replaced: %', why using errcode = 'object_not_in_prerequisite_state';
  end if;
  perform odoo_eventd.note_trouble('send capture to the outbox''s next table',
    format('%s: %s', array_to_string(failed, ', '), why));
  return true;
end $$;
comment on function odoo_eventd.rotate_outbox(bigint)
  is 'Lets capture write to the next table of the ring, if the current one is large and another is empty.';

create or replace function odoo_eventd.has_unread(slot integer) returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  at odoo_eventd.position;
  found_one boolean;
begin
  select * into strict at from odoo_eventd.position;
  if at.target is not null then
    return true;
  end if;
  -- What the position has not seen, in words that the index understands: the table may be large, and locked meanwhile.
  execute format('select exists (select from odoo_eventd.outbox_%1$s o where o.xid >= pg_snapshot_xmax($1))
                      or exists (select from odoo_eventd.outbox_%1$s o where o.xid = any (array(select pg_snapshot_xip($1))))', slot)
    into found_one using at.done;
  return found_one;
end $$;
comment on function odoo_eventd.has_unread(integer) is 'Whether a table of the ring may hold rows that are not finished with.';
revoke all on function odoo_eventd.has_unread(integer) from public;

drop function if exists odoo_eventd.clear_outbox(integer);
create or replace function odoo_eventd.clear_outbox(lock_wait_ms integer default 50,
  current_too boolean default false) returns setof integer
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  at odoo_eventd.position;
  slot integer;
  failed text;
begin
  perform odoo_eventd.assert_listener();
  perform odoo_eventd.lock_capture();
  perform set_config('lock_timeout', lock_wait_ms || 'ms', true);
  for slot in
    select n from odoo_eventd.ring r, generate_series(0, 3) n
     where (n <> r.current or current_too) and odoo_eventd.outbox_bytes(n) > 0
  loop
    continue when odoo_eventd.has_unread(slot);
    -- A transaction that wrote here holds ROW EXCLUSIVE until its end, and one that dumps the database reads: then this table
    -- stays as it is until the next call, and the others are emptied all the same.
    begin
      execute format('lock table odoo_eventd.outbox_%s in access exclusive mode', slot);
      -- Once more: a statement that began before the ring moved on may have written since.
      if not odoo_eventd.has_unread(slot) then
        execute format('truncate odoo_eventd.outbox_%s', slot);
        return next slot;
      end if;
    exception when lock_not_available then
      null;
    when others then
      failed := format('%s (SQLSTATE %s)', sqlerrm, sqlstate);
    end;
  end loop;
  -- One that cannot be emptied keeps no other from it.
  if failed is null then
    perform odoo_eventd.end_trouble('empty what was read of the outbox');
  else
    perform odoo_eventd.note_trouble('empty what was read of the outbox', failed);
  end if;
  delete from odoo_eventd.progress p where p.n < (select max(m.n) from odoo_eventd.progress m);
  select * into strict at from odoo_eventd.position;
  if exists (select from odoo_eventd.capture_overflow)
     and not exists (select from odoo_eventd.capture_overflow f where not pg_visible_in_snapshot(f.xid, at.done))
  then
    begin
      lock table odoo_eventd.capture_overflow in access exclusive mode nowait;
      truncate odoo_eventd.capture_overflow;
    exception when lock_not_available then
      null;  -- still written to
    end;
  end if;
end $$;
comment on function odoo_eventd.clear_outbox(integer, boolean) is
  'Empties the tables of the ring that were read to the end, the current one only if told so; one that is still written to or '
  'dumped stays until the next call.';
