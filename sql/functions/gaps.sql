-- Purpose: from when to when, and in which transactions, a table was captured in part only: nobody is told of changes that may be
-- half of one.
--
-- Locks: rows of odoo_eventd.capture_gap, which no writer touches.

create or replace function odoo_eventd.settle_gaps() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  -- In a transaction after the one that switched capture on: whoever has no transaction id yet will see the function at its first
  -- write.
  update odoo_eventd.capture_gap g set until = pg_snapshot_xmax(pg_current_snapshot()) where g.until is null
    and g.ended_at < now();
end $$;
comment on function odoo_eventd.settle_gaps() is 'Notes from which transaction on gaps that have ended no longer count.';

create or replace function odoo_eventd.is_in_gap(of_xid xid8, of_generation bigint) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select exists (select from odoo_eventd.capture_generation cg
                 join odoo_eventd.capture_gap g on g.capture_id = cg.capture_id
                 where cg.generation = of_generation
                   and not pg_visible_in_snapshot(of_xid, g.since) and (g.until is null or of_xid < g.until))
      or exists (select from odoo_eventd.capture_generation cg
                 join odoo_eventd.capture_overflow f on f.capture_id = cg.capture_id and f.xid = of_xid
                 where cg.generation = of_generation)
$$;
comment on function odoo_eventd.is_in_gap(xid8, bigint)
  is 'Whether a transaction may be captured in part only: it overlaps a gap, or met a full outbox.';

create or replace function odoo_eventd.has_gaps(done pg_snapshot) returns boolean
-- Not "language sql": such a function is parsed and planned at each call, and this one is called at every look into the outbox.
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (select from odoo_eventd.capture_gap g where g.until is null or g.until > pg_snapshot_xmin(done))
      or exists (select from odoo_eventd.capture_overflow);
end $$;
comment on function odoo_eventd.has_gaps(pg_snapshot)
  is 'Whether a transaction that is not finished with can be in a gap: mostly not, and then nobody need ask for each.';
