-- Purpose: what decides when and whether a delivery is sent: retry schedule, pause, disabling, lanes, runs of `emit`.
-- Locks: ACCESS EXCLUSIVE on public.mcp_event_subscription and odoo_eventd.delivery for as long as adding columns with constant defaults
-- and two indexes takes; touches no table of Odoo's.

alter table public.mcp_event_subscription
  add column retry_first_ms    integer not null default 60000,
  add column retry_max_ms      integer not null default 86400000,
  add column retry_jitter      boolean not null default true,
  add column paused            boolean not null default false,
  add column failing_since     timestamp,
  add column failures_in_a_row integer not null default 0,
  add column disabled_at       timestamp,
  add column disabled_reason   text,
  add constraint subscription_retry_first_ms_is_a_second_to_a_day check (retry_first_ms between 1000 and 86400000),
  add constraint subscription_retry_max_ms_is_retry_first_ms_to_a_day check (retry_max_ms between retry_first_ms and 86400000),
  add constraint subscription_max_event_age_is_positive check (max_event_age > interval '0'),
  drop constraint subscription_state_is_known,
  add constraint subscription_state_is_known check (state in ('ready', 'invalid', 'disabled'));
comment on column public.mcp_event_subscription.retry_first_ms is
  'Where max_attempts is more than 1: the wait after the first failed attempt; doubled by each further one';
comment on column public.mcp_event_subscription.retry_max_ms is 'The longest wait between two attempts';
comment on column public.mcp_event_subscription.retry_jitter is
  'true: each wait is drawn evenly between nothing and its length, so that deliveries that failed together do not come back together';
comment on column public.mcp_event_subscription.paused is 'true: deliveries are made and wait; false again: they are sent';
comment on column public.mcp_event_subscription.failing_since is
  'Since when every request has failed (UTC); null = the last one succeeded; kept by the service';
comment on column public.mcp_event_subscription.failures_in_a_row is 'Failed requests since the last success; kept by the service';
comment on column public.mcp_event_subscription.disabled_at is
  'When the service gave the endpoint up (UTC): it answered 410, or failed everything for too long. Write NULL to send again; a new webhook_url does so too';
comment on column public.mcp_event_subscription.disabled_reason is 'Why; kept by the service';
comment on column public.mcp_event_subscription.state is
  'ready; invalid or disabled, with the reason in error; null = not looked at yet; kept by the service';
comment on column public.mcp_event_subscription.error is 'Why it is invalid or disabled; kept by the service';

alter table odoo_eventd.delivery
  add column lane_position bigint,
  add column held_in       xid8,
  add column redelivered   boolean not null default false;
comment on column odoo_eventd.delivery.lane_position is
  'Ordered subscriptions only: the place among the deliveries of the same subscription and part (the record): the outbox id of the record''s own row.';
comment on column odoo_eventd.delivery.held_in is
  'Ordered subscriptions only: made while a stretch of the outbox was read in pages, and kept until its last page, because pages come in the order of transaction ids; the stretch is named by the xmax of position.done.';
comment on column odoo_eventd.delivery.redelivered is 'true: an operator asked for it, so its age is no reason not to send it.';
comment on column odoo_eventd.delivery.due_at is
  'waiting: when to send; infinity = behind another of its lane. sending: when the attempt is given up for lost. Null once it ended.';
create index delivery_lane_idx on odoo_eventd.delivery (subscription_id, part, lane_position)
  where due_at is not null and lane_position is not null;
create index delivery_dead_idx on odoo_eventd.delivery (subscription_id) where state = 'failed' and event_type <> 'test';

create table odoo_eventd.emit_run (
  run             text not null,
  subscription_id integer not null,
  selection       text not null,
  event_type      text not null,
  started_at      timestamptz not null default now(),
  finished_at     timestamptz,
  last_id         bigint not null default 0,
  deliveries      bigint not null default 0,
  records         bigint not null default 0,
  primary key (subscription_id, run)
);
comment on table odoo_eventd.emit_run is
  'Runs of `odoo-eventd emit`: how far each has come, so that one that is repeated goes on where it stopped and sends nothing twice.';
comment on column odoo_eventd.emit_run.selection is 'Which records were asked for; a run is not repeated with others.';
comment on column odoo_eventd.emit_run.last_id is 'Records up to this id were gone through.';
