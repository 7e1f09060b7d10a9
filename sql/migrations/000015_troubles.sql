-- Purpose: what fails, and who is waited for, is kept where `status` and `doctor` find it; locks that only the owner's functions can take.
-- Locks: ACCESS EXCLUSIVE on public.mcp_event_subscription and odoo_eventd.lead for a moment; touches no table of Odoo's.

-- Advisory locks are anybody's to take, who can log in. This is a table, which only its owner may lock.
create table odoo_eventd.capture_lock ();
comment on table odoo_eventd.capture_lock is 'Holds nothing. Whoever changes the capture locks it first: one at a time (functions/locks.sql).';

alter table odoo_eventd.lead add column lock_key integer not null default 1;
comment on column odoo_eventd.lead.lock_key is
  'The second key of the advisory lock of who leads; another one once somebody else holds this one (functions/locks.sql).';

create table odoo_eventd.trouble (
  what     text primary key,
  error    text not null,
  times    bigint not null default 1,
  since    timestamptz not null default now(),
  last_at  timestamptz not null default now()
);
comment on table odoo_eventd.trouble is 'What the service tries again and again without success. A row goes when it succeeds.';
comment on column odoo_eventd.trouble.what is 'What was tried, in words.';

create table odoo_eventd.looking (
  subscription_id integer primary key,
  write_stamp     text not null,
  process         uuid not null,
  how             text not null,
  since           timestamptz not null default now(),
  constraint looking_how_is_known check (how in ('together', 'alone', 'aside'))
);
comment on table odoo_eventd.looking is
  'Subscriptions that the service is looking at, noted before it does. Left behind by a process that died, they are looked at one at a time.';
comment on column odoo_eventd.looking.how is
  'together: with others. alone: it was suspected. aside: a process died of this version of the row, which is not looked at any more.';

alter table public.mcp_event_subscription
  drop constraint subscription_state_is_known,
  add constraint subscription_state_is_known check (state in ('ready', 'waiting', 'invalid', 'disabled'));
comment on column public.mcp_event_subscription.state is
  'ready; waiting until its tables can be captured; invalid; disabled where the endpoint was given up; null = not looked at yet; kept by the service';
comment on column public.mcp_event_subscription.error is 'Why it waits, is invalid or disabled; kept by the service';
