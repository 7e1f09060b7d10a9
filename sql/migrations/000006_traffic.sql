-- Purpose: how many attempts there were, by the hour: what the dashboard shows, so that it never reads the log.
-- Locks: creates only; touches no table of Odoo's.

-- One row for each hour (UTC) and kind of attempt. `error` is empty where the receiver took it, `host` where none is known.
create table odoo_eventd.traffic (
  hour        timestamp not null,
  model       text not null,
  event_type  text not null,
  host        text not null,
  error       text not null,
  attempts    bigint not null,
  timed       bigint not null,
  duration_ms bigint not null,
  latencies   bigint[] not null,
  primary key (hour, model, event_type, host, error)
) with (fillfactor = 70);
comment on table odoo_eventd.traffic is
  'Attempts that ended, counted by the hour in which they were logged; written with their results, kept for 400 days.';
comment on column odoo_eventd.traffic.timed is 'Of how many attempts the time was taken: a request was made.';
comment on column odoo_eventd.traffic.duration_ms is 'The sum of those times.';
comment on column odoo_eventd.traffic.latencies is
  'How many of them took so long: one number for each of latency_bounds(), which says where each begins.';

-- The same for each subscription, for operators who do not see all of them: summing these up for whoever does would take a second.
create table odoo_eventd.subscription_traffic (
  subscription_id integer not null,
  like odoo_eventd.traffic including comments,
  primary key (subscription_id, hour, model, event_type, host, error)
) with (fillfactor = 70);
comment on table odoo_eventd.subscription_traffic is 'The same as traffic, for each subscription.';
-- For what is dropped by age.
create index subscription_traffic_hour_idx on odoo_eventd.subscription_traffic (hour);

create table odoo_eventd.traffic_backfill (
  upto       timestamp not null,
  after_date timestamp not null default '-infinity',
  after_id   bigint not null default 0
);
comment on table odoo_eventd.traffic_backfill is
  'What ended before traffic was counted is counted once from the log, in slices (functions/traffic.sql). Empty when that is done.';
insert into odoo_eventd.traffic_backfill (upto)
  select now() at time zone 'utc' where exists (select from public.mcp_webhook_delivery);
