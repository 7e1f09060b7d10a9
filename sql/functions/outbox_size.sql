-- Purpose: how large the outbox is, in the one way that everybody goes by.
-- Locks: none.

create or replace function odoo_eventd.outbox_bytes(of_slot integer default null) returns bigint
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  -- As the capture functions look at the table they write to. A table of the catalogue and two sizes: no row is read.
  select coalesce(sum(pg_relation_size(c.oid, 'main') + case when c.reltoastrelid <> 0
    then pg_relation_size(c.reltoastrelid, 'main') else 0 end), 0)::bigint
    from generate_series(0, 3) n join pg_class c on c.oid = to_regclass(format('odoo_eventd.outbox_%s', n))
   where of_slot is null or n = of_slot
$$;
comment on function odoo_eventd.outbox_bytes(integer) is
  'What the rows of the outbox take, long values included and indexes not, in one table of the ring or in all: cap, status, '
  'metrics, doctor and rotation go by it.';
revoke all on function odoo_eventd.outbox_bytes(integer) from public;
