-- Purpose: public.mcp_webhook_delivery, one row for each attempt, partitioned by day so that old days are dropped, not deleted.
-- Locks: creates only; touches no table of Odoo's.
--
-- Days are in the schema odoo_eventd and are made ahead of time by functions/delivery_log.sql.

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
  primary key (create_date, id),
  constraint delivery_status_is_known check (status in ('pending', 'success', 'failed')),
  constraint delivery_attempt_is_positive check (attempt > 0)
) partition by range (create_date);
create index mcp_webhook_delivery_by_delivery_idx on public.mcp_webhook_delivery (delivery_id);

comment on table public.mcp_webhook_delivery is
  'odoo-eventd: every attempt to send a webhook. pending is written before the request, the outcome after it. Times are UTC.';
comment on column public.mcp_webhook_delivery.delivery_id is 'The same on every attempt; the X-MCP-Delivery-Id and webhook-id headers; the argument of `odoo-eventd redeliver`';
comment on column public.mcp_webhook_delivery.subscription_id is 'No foreign key: the log outlives the subscription';
comment on column public.mcp_webhook_delivery.status is 'pending, success or failed';
comment on column public.mcp_webhook_delivery.response_code is 'HTTP status; null if there was no answer';
comment on column public.mcp_webhook_delivery.payload is 'The body exactly as it was sent';
comment on column public.mcp_webhook_delivery.response_body is 'The beginning of the answer''s body';
comment on column public.mcp_webhook_delivery.error is 'Why it failed: one of the words that RECEIVERS.md lists';
comment on column public.mcp_webhook_delivery.duration_ms is 'From the name look-up to the last byte of the answer';
comment on column public.mcp_webhook_delivery.next_attempt_at is 'When it is tried again; null = it is not';
