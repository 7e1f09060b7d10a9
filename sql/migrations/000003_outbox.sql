-- Purpose: the outbox, which capture writes and the service reads, and how far it was read.
-- Locks: creates only; touches no table of Odoo's.
--
-- The outbox is a ring of plain tables. Capture writes to one; the others are read, then emptied by TRUNCATE, which no writer
-- waits for. Not partitioned: CREATE and DROP of a partition wait for open writers, and new writers queue behind them.

create sequence odoo_eventd.outbox_id_seq;
comment on sequence odoo_eventd.outbox_id_seq is
  'Ids of all outbox tables. For one record their order is the order of its changes.';

create table odoo_eventd.outbox_0 (
  id         bigint not null,
  xid        xid8 not null,
  generation bigint not null,
  op         "char" not null,
  record_id  bigint not null,
  at         timestamptz not null,
  user_id    integer,
  old        text[],
  new        text[],
  primary key (xid, id)
);
comment on table odoo_eventd.outbox_0 is 'Outbox: one row for each record and statement. Only appended to, only emptied whole.';
comment on column odoo_eventd.outbox_0.xid is 'The writer''s transaction. Rows are read by snapshot, never by "id > last".';
comment on column odoo_eventd.outbox_0.op is
  'I, U, D, T (truncate); i, u, d when values are tagged; R: an insert (old is null) or an update whose images are one text '
  'each, the row as PostgreSQL writes a composite value. Of one transaction the ids do not tell the order of a record''s rows: '
  'an inner statement''s trigger fires first.';
comment on column odoo_eventd.outbox_0.at is 'When the transaction began; Odoo''s write_date.';
comment on column odoo_eventd.outbox_0.user_id is 'Odoo''s user, where this transaction itself wrote it; else null.';
comment on column odoo_eventd.outbox_0.old is 'The same columns before; see capture_generation.format.';
comment on column odoo_eventd.outbox_0.new is
  'Captured columns after, as text, in the order of capture_generation.columns; see capture_generation.format.';
create table odoo_eventd.outbox_1 (like odoo_eventd.outbox_0 including all);
create table odoo_eventd.outbox_2 (like odoo_eventd.outbox_0 including all);
create table odoo_eventd.outbox_3 (like odoo_eventd.outbox_0 including all);

create table odoo_eventd.ring (
  only_row   boolean primary key default true,
  current    integer not null default 0,
  rotated_at timestamptz not null default now(),
  constraint ring_has_one_row check (only_row),
  constraint ring_current_is_a_table check (current between 0 and 3)
);
comment on table odoo_eventd.ring is 'Which outbox table the capture functions write to.';

create view odoo_eventd.outbox as
  select * from odoo_eventd.outbox_0
  union all select * from odoo_eventd.outbox_1
  union all select * from odoo_eventd.outbox_2
  union all select * from odoo_eventd.outbox_3;
comment on view odoo_eventd.outbox is 'All rows of the ring, read or not.';

-- How far the outbox has been read. Everything visible in snapshot `done` is finished with.

create table odoo_eventd.lead (
  only_row  boolean constraint position_pkey primary key default true,
  term      bigint not null default 0,
  led_since timestamptz,
  lock_key  integer not null default 1,
  constraint position_has_one_row check (only_row)
);
comment on table odoo_eventd.lead is
  'Who leads: one row, locked by whoever moves the position and changed by whoever takes the lead.';
comment on column odoo_eventd.lead.term is
  'Counts the instances that led. What an instance of an earlier term still wants to write is refused.';
comment on column odoo_eventd.lead.lock_key is
  'The second key of the advisory lock of who leads; another one once somebody else holds this one (functions/locks.sql).';

-- Appended to, and read from the end of its index: of one row that is updated with every batch the versions would pile up while a
-- backup or a report runs, and whoever looks for the position would go through all of them.
create table odoo_eventd.progress (
  n        bigint generated always as identity primary key,
  done     pg_snapshot not null,
  target   pg_snapshot,
  last_xid xid8,
  last_id  bigint,
  moved_at timestamptz not null default now(),
  constraint progress_target_has_a_place check ((target is null) = (last_xid is null) and (last_xid is null) = (last_id is null))
);
comment on table odoo_eventd.progress is
  'Positions in the outbox, the newest last; older ones are cleared (functions/outbox.sql).';

create view odoo_eventd.position as
  select l.only_row, p.done, p.target, p.last_xid, p.last_id, l.term, l.led_since, p.moved_at
    from odoo_eventd.lead l
   cross join lateral (select * from odoo_eventd.progress g order by g.n desc limit 1) p;
comment on view odoo_eventd.position is
  'How far the service has read: all that snapshot `done` sees, and of what `target` sees beyond it, the rows up to (last_xid, '
  'last_id).';
