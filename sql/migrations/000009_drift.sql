-- Purpose: when capture was last seen to be whole, so that a gap can be dated.
-- Locks: creates only; touches no table of Odoo's.

create table odoo_eventd.capture_check (
  only_row   boolean primary key default true,
  seen       pg_snapshot not null default pg_current_snapshot(),
  checked_at timestamptz not null default now(),
  constraint capture_check_has_one_row check (only_row)
);
comment on table odoo_eventd.capture_check is
  'When every captured table was last seen to have its triggers, but for those with an open gap. Kept by the service, every few seconds.';
comment on column odoo_eventd.capture_check.seen is 'Transactions seen by this snapshot had ended before the look.';
insert into odoo_eventd.capture_check default values;
