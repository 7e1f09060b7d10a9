-- Purpose: deliveries, the log of their attempts (public.mcp_webhook_delivery), runs of `emit`, and instances that deliver beside
-- the one that leads.
-- Locks: creates only; touches no table of Odoo's.

-- One event to one subscription. Rows are kept after they end, so that the key holds for ever (retention clears old ones).
--
-- The table loses its oldest rows in small batches (functions/retention.sql). Rows of one time lie together, in the table as in
-- its key, which begins with the event's time: what vacuum finds are whole empty pages, and these are used again. It has to come
-- often enough for that: at the default of 20 % a table of 10 million rows would first collect 2 million dead ones.
create table odoo_eventd.delivery (
  event_id        uuid not null,
  subscription_id integer not null,
  part            bigint not null,
  delivery_id     uuid not null,
  model           text not null,
  event_type      text not null,
  record_ids      bigint[] not null,
  body            text,
  state           text not null,
  attempts        integer not null default 0,
  due_at          timestamptz,
  term            bigint not null default 0,
  lane_position   bigint,
  held_in         xid8,
  redelivered     boolean not null default false,
  constraint delivery_is_made_once primary key (event_id, subscription_id, part),
  constraint delivery_state_is_known check (state in ('waiting', 'sending', 'success', 'failed')),
  constraint delivery_unfinished_is_due check ((state in ('waiting', 'sending')) = (due_at is not null))
) with (
  autovacuum_vacuum_scale_factor = 0.02,
  autovacuum_vacuum_threshold = 5000,
  autovacuum_analyze_scale_factor = 0.05
);
-- By state first: what is sent at once would else enter the stretch of what waits and leave dead entries there, which stay for as
-- long as any transaction of the cluster is open.
create index delivery_due_idx on odoo_eventd.delivery (state, subscription_id, due_at) where due_at is not null;
create index delivery_lane_idx on odoo_eventd.delivery (subscription_id, part, lane_position)
  where due_at is not null and lane_position is not null;
create index delivery_dead_idx on odoo_eventd.delivery (subscription_id) where state = 'failed' and event_type <> 'test';
comment on table odoo_eventd.delivery is
  'One event to one subscription. Made in the transaction that moves the position, so each is made once.';
comment on column odoo_eventd.delivery.part is
  'The record id where each record is sent alone; else 0, 1, 2 .. over the ids, 1,000 at a time.';
comment on column odoo_eventd.delivery.body is 'The request body until the first attempt; from then on it is in the attempt log.';
comment on column odoo_eventd.delivery.due_at is
  'waiting: when to send; infinity = behind another of its lane. sending: when the attempt is given up for lost. Null once it '
  'ended.';
comment on column odoo_eventd.delivery.term is 'The leader that claimed it.';
comment on column odoo_eventd.delivery.lane_position is
  'Ordered subscriptions only: the place among the deliveries of the same subscription and part (the record): the outbox id of '
  'the record''s own row.';
comment on column odoo_eventd.delivery.held_in is
  'Ordered subscriptions only: made while a stretch of the outbox was read in pages, and kept until its last page, because '
  'pages come in the order of transaction ids; the stretch is named by the xmax of position.done.';
comment on column odoo_eventd.delivery.redelivered is 'true: an operator asked for it, so its age is no reason not to send it.';

-- One row for each attempt, partitioned by day so that old days are dropped, not deleted. Days are in the schema odoo_eventd and
-- are made ahead of time (functions/deliveries.sql).
create sequence odoo_eventd.delivery_log_id_seq;

create table public.mcp_webhook_delivery (
  id              bigint not null default nextval('odoo_eventd.delivery_log_id_seq'),
  delivery_id     uuid not null,
  subscription_id integer not null,
  event_id        uuid not null,
  model           text not null,
  record_ids      bigint[] not null,
  attempt         integer not null,
  status          text not null,
  response_code   integer,
  payload         text,
  response_body   text,
  error           text,
  duration_ms     integer,
  create_date     timestamp not null default (now() at time zone 'utc'),
  finished_at     timestamp,
  next_attempt_at timestamp,
  error_detail    text,
  primary key (create_date, id),
  constraint delivery_status_is_known check (status in ('pending', 'success', 'failed')),
  constraint delivery_attempt_is_positive check (attempt > 0)
) partition by range (create_date);
create index mcp_webhook_delivery_by_delivery_idx on public.mcp_webhook_delivery (delivery_id);
comment on table public.mcp_webhook_delivery is
  'odoo-eventd: every attempt to send a webhook. pending is written before the request, the outcome after it. Times are UTC.';
comment on column public.mcp_webhook_delivery.delivery_id is
  'The same on every attempt; the X-MCP-Delivery-Id and webhook-id headers; the argument of `odoo-eventd redeliver`';
comment on column public.mcp_webhook_delivery.subscription_id is 'No foreign key: the log outlives the subscription';
comment on column public.mcp_webhook_delivery.status is 'pending, success or failed';
comment on column public.mcp_webhook_delivery.response_code is 'HTTP status; null if there was no answer';
comment on column public.mcp_webhook_delivery.payload is 'The body exactly as it was sent';
comment on column public.mcp_webhook_delivery.response_body is 'The beginning of the answer''s body';
comment on column public.mcp_webhook_delivery.error is 'Why it failed: one of the words that RECEIVERS.md lists';
comment on column public.mcp_webhook_delivery.error_detail is
  'What exactly went wrong, where more than the word of error is known: which address was blocked, what is wrong with a '
  'certificate, which line of a template; never a value of a record';
comment on column public.mcp_webhook_delivery.duration_ms is 'From the name look-up to the last byte of the answer';
comment on column public.mcp_webhook_delivery.next_attempt_at is 'When it is tried again; null = it is not';

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
  'Runs of `odoo-eventd emit`: how far each has come, so that one that is repeated goes on where it stopped and sends nothing '
  'twice.';
comment on column odoo_eventd.emit_run.selection is 'Which records were asked for; a run is not repeated with others.';
comment on column odoo_eventd.emit_run.last_id is 'Records up to this id were gone through.';

create table odoo_eventd.assistant (
  number   bigint generated by default as identity primary key,
  since    timestamptz not null default now(),
  ended_at timestamptz
);
comment on table odoo_eventd.assistant is
  'Instances that deliver what the leading one leaves. In odoo_eventd.delivery.term their number stands with a minus. One is '
  'alive while its session holds an advisory lock (functions/assistants.sql); what it wants to write after it was taken for '
  'dead is refused.';
