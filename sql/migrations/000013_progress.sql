-- Purpose: moving the position in the outbox costs the same however long a transaction stays open.
-- Locks: ACCESS EXCLUSIVE on odoo_eventd.position for a moment; touches no table of Odoo's.
--
-- One row was updated with every batch. While a backup or a report is running its versions pile up, and whoever looked for the position
-- went through all of them. Now it is appended to, and read from the end of its index; who leads stays in a row that seldom changes.

alter table odoo_eventd.position rename to lead;
comment on table odoo_eventd.lead is 'Who leads: one row, locked by whoever moves the position and changed by whoever takes the lead.';

create table odoo_eventd.progress (
  n        bigint generated always as identity primary key,
  done     pg_snapshot not null,
  target   pg_snapshot,
  last_xid xid8,
  last_id  bigint,
  moved_at timestamptz not null default now(),
  constraint progress_target_has_a_place check ((target is null) = (last_xid is null) and (last_xid is null) = (last_id is null))
);
comment on table odoo_eventd.progress is 'Positions in the outbox, the newest last; older ones are cleared (functions/outbox.sql).';

insert into odoo_eventd.progress (done, target, last_xid, last_id, moved_at)
  select l.done, l.target, l.last_xid, l.last_id, l.moved_at from odoo_eventd.lead l;
alter table odoo_eventd.lead
  drop column done, drop column target, drop column last_xid, drop column last_id, drop column moved_at;

create view odoo_eventd.position as
  select l.only_row, p.done, p.target, p.last_xid, p.last_id, l.term, l.led_since, p.moved_at
    from odoo_eventd.lead l
   cross join lateral (select * from odoo_eventd.progress g order by g.n desc limit 1) p;
comment on view odoo_eventd.position is
  'How far the service has read: all that snapshot `done` sees, and of what `target` sees beyond it, the rows up to (last_xid, last_id).';
