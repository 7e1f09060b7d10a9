-- Purpose: the event feed: events that are read here instead of being sent, or beside it.
-- Locks: ACCESS EXCLUSIVE on public.mcp_event_subscription for the moment of adding a column; else it only creates; no table of Odoo's.

alter table public.mcp_event_subscription add column in_session boolean not null default false;
comment on column public.mcp_event_subscription.in_session is
  'true: its events can be read from the feed although they are sent too; without an endpoint they always can';
comment on column public.mcp_event_subscription.webhook_url is 'Where to send; empty = nothing is sent, events are read from the feed';

-- The order of the feed is that of its commits: only the instance that leads writes it, one batch after the other (functions/feed.sql).
create sequence odoo_eventd.feed_seq;
comment on sequence odoo_eventd.feed_seq is 'Numbers the events of the feed in the order in which they were committed, with gaps.';

-- A ring of plain tables, as the outbox is: what is old goes by TRUNCATE of a whole table, never row by row.
create table odoo_eventd.feed_0 (
  subscription_id integer not null,
  seq             bigint not null,
  n               bigint not null,
  event_id        uuid not null,
  part            bigint not null,
  at              timestamptz not null,
  bytes           integer not null,
  model           text not null,
  event_type      text not null,
  content_type    text not null,
  record_ids      bigint[] not null,
  body            text not null,
  primary key (subscription_id, seq)
);
comment on table odoo_eventd.feed_0 is 'Event feed: one row for each event, subscription and part. Only appended to, only emptied whole.';
comment on column odoo_eventd.feed_0.seq is 'Its place in the feed; what a reader''s cursor names.';
comment on column odoo_eventd.feed_0.n is 'Counts the events of its subscription, so that the oldest of too many are known.';
comment on column odoo_eventd.feed_0.at is 'When the transaction began; Odoo''s write_date.';
comment on column odoo_eventd.feed_0.bytes is 'How long the body is.';
comment on column odoo_eventd.feed_0.body is 'The body as it is posted, or would be.';
create table odoo_eventd.feed_1 (like odoo_eventd.feed_0 including all);
create table odoo_eventd.feed_2 (like odoo_eventd.feed_0 including all);
create table odoo_eventd.feed_3 (like odoo_eventd.feed_0 including all);
create table odoo_eventd.feed_4 (like odoo_eventd.feed_0 including all);
create table odoo_eventd.feed_5 (like odoo_eventd.feed_0 including all);
create table odoo_eventd.feed_6 (like odoo_eventd.feed_0 including all);
create table odoo_eventd.feed_7 (like odoo_eventd.feed_0 including all);

create view odoo_eventd.feed as
  select * from odoo_eventd.feed_0
  union all select * from odoo_eventd.feed_1
  union all select * from odoo_eventd.feed_2
  union all select * from odoo_eventd.feed_3
  union all select * from odoo_eventd.feed_4
  union all select * from odoo_eventd.feed_5
  union all select * from odoo_eventd.feed_6
  union all select * from odoo_eventd.feed_7;
comment on view odoo_eventd.feed is 'All events that are kept for readers.';

create table odoo_eventd.feed_ring (
  only_row   boolean primary key default true,
  current    integer not null default 0,
  keep_s     integer not null default 86400,
  max_events integer not null default 10000,
  max_bytes  bigint not null default 1073741824,
  lease_s    integer not null default 3600,
  constraint feed_ring_has_one_row check (only_row),
  constraint feed_ring_current_is_a_block check (current between 0 and 7)
);
comment on table odoo_eventd.feed_ring is
  'Which block the feed is written to, and what is kept of it: the settings of the instance that led last, for whoever reads.';
insert into odoo_eventd.feed_ring default values;

create table odoo_eventd.feed_block (
  block        integer primary key,
  opened_at    timestamptz,
  closed_at    timestamptz,
  shortened_at timestamptz,
  constraint feed_block_is_one_of_eight check (block between 0 and 7)
);
comment on table odoo_eventd.feed_block is 'The blocks of the feed: from when to when each was written to; both null = it is empty.';
comment on column odoo_eventd.feed_block.shortened_at is
  'When it was last emptied before its time, because the feed had become too large.';
insert into odoo_eventd.feed_block (block) select generate_series(0, 7);

create table odoo_eventd.feed_dropped (
  subscription_id integer not null,
  seq             bigint not null
);
create index feed_dropped_by_subscription_idx on odoo_eventd.feed_dropped (subscription_id, seq);
comment on table odoo_eventd.feed_dropped is
  'Up to where the events of each subscription are not kept any more; the largest number counts, and one of subscription 0 counts for all.';

create table odoo_eventd.feed_reader (
  subscription_id integer primary key,
  read_at         timestamptz not null default now(),
  leased          boolean not null default false
);
comment on table odoo_eventd.feed_reader is 'When each subscription was last read, noted at most once a minute.';
comment on column odoo_eventd.feed_reader.leased is 'true: made for somebody who reads, and deactivated when nobody has for a while.';
