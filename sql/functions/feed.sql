-- Purpose: the event feed: written by the instance that leads, read by whoever may.
--
-- A place in the feed is a number of odoo_eventd.feed_seq. Numbers are drawn by one writer at a time, who commits before the next
-- one draws: the fence below is the one of commit_batch(), and lasts until the commit. So whoever has seen a number has seen all
-- below it that will ever be there, and a reader needs no more than the last one that it has.
--
-- Locks: append_to_feed() shares the rows of the lead and of the ring, which change with the leading instance and with the block.
-- Readers take ACCESS SHARE on the blocks; emptying one does not wait for them (functions/feed_blocks.sql).

create or replace function odoo_eventd.last_in_feed(subscriptions integer[]) returns table (subscription_id integer, seq bigint,
  n bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
-- See commit_batch().
set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
as $$
begin
  perform odoo_eventd.assert_listener();
  return query
    select w.id, f.seq, f.n
      from (select distinct u from unnest(subscriptions) u) w (id)
     cross join lateral (select e.seq, e.n from odoo_eventd.feed e where e.subscription_id = w.id order by e.seq desc limit 1) f;
end $$;
comment on function odoo_eventd.last_in_feed(integer[]) is
  'The newest event of each of these subscriptions: its place in the feed and its number. One look for all that wait.';

create or replace function odoo_eventd.dropped_of_feed(subscription integer) returns bigint
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select greatest((select max(d.seq) from odoo_eventd.feed_dropped d where d.subscription_id = subscription),
                  (select max(d.seq) from odoo_eventd.feed_dropped d where d.subscription_id = 0), 0)
$$;
comment on function odoo_eventd.dropped_of_feed(integer)
  is 'Up to where the events of a subscription are not kept any more; 0 = none has gone.';
revoke all on function odoo_eventd.dropped_of_feed(integer) from public;

create or replace function odoo_eventd.append_to_feed(
  of_term bigint, subscription_ids integer[], event_ids uuid[], parts bigint[], ats timestamptz[], models text[],
    event_types text[],
  content_types text[], record_ids text[], bodies text[], is_piece boolean
) returns setof bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
set jit = off set enable_seqscan = off
as $$
declare
  into_block integer;
  told text;
begin
  perform odoo_eventd.assert_listener();
  -- As in commit_batch(), which runs in the same statement.
  perform from odoo_eventd.lead l where l.term = of_term for share;
  if not found then
    raise exception 'another instance of odoo-eventd leads now' using errcode = 'OE001';
  end if;
  select r.current into strict into_block from odoo_eventd.feed_ring r for share;
  update odoo_eventd.feed_block b set opened_at = now(), closed_at = null where b.block = into_block and b.opened_at is null;
  execute format($append$
    with made as (
      insert into odoo_eventd.feed_%s (subscription_id, seq, n, event_id, part, at, bytes, model, event_type, content_type,
        record_ids, body)
      select i.subscription_id, nextval('odoo_eventd.feed_seq'), i.n, i.event_id, i.part, i.at, octet_length(i.body), i.model,
        i.event_type,
             i.content_type, i.record_ids::bigint[], i.body
        from (select g.*, coalesce(l.n, 0) + row_number() over (partition by g.subscription_id order by g.ord) as n
                from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9)
                     with ordinality g (subscription_id, event_id, part, at, model, event_type, content_type, record_ids, body,
                       ord)
                left join odoo_eventd.last_in_feed($1) l on l.subscription_id = g.subscription_id
               order by g.ord) i
      returning subscription_id, seq
    )
    select string_agg(m.subscription_id || ':' || m.seq, ',')
      from (select k.subscription_id, max(k.seq) as seq from made k group by 1) m
    $append$, into_block)
    into told using subscription_ids, event_ids, parts, ats, models, event_types, content_types, record_ids, bodies;
  -- One for all: of what a transaction says twice one is heard. The payload has 8,000 bytes at most.
  if (select i.notify from odoo_eventd.installation i) then
    perform pg_notify('odoo_eventd_feed', case when is_piece or octet_length(told) > 7900 then '*' else told end);
  end if;
end $$;
comment on function odoo_eventd.append_to_feed(bigint, integer[], uuid[], bigint[], timestamptz[], text[], text[], text[], text[],
  text[],
  boolean) is
  'Appends events to the feed, in this order, and rings for their readers with the commit; returns nothing. In the statement, '
  'or the transaction, that moves the position; is_piece = that of a transaction which is committed in many pieces.';

create or replace function odoo_eventd.hold_feed() returns void
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
  -- A block that is emptied looks empty to whoever looked before, and what is noted of that is not there for him yet: he would take
  -- events that are gone for events that never were. So the look comes after the locks.
  lock table odoo_eventd.feed_0, odoo_eventd.feed_1, odoo_eventd.feed_2, odoo_eventd.feed_3, odoo_eventd.feed_4, odoo_eventd.feed_5,
    odoo_eventd.feed_6, odoo_eventd.feed_7 in access share mode;
end $$;
comment on function odoo_eventd.hold_feed() is
  'Keeps the blocks of the feed as they are until the transaction ends; for those who read in its next statement.';
revoke all on function odoo_eventd.hold_feed() from public;

create or replace function odoo_eventd.read_feed(
  operators jsonb[], subscriptions integer[], epochs uuid[], after bigint[], limits integer[], most_bytes bigint
) returns table (
  reader bigint, is_seen boolean, epoch uuid, began_after bigint, is_truncated boolean, has_more boolean, seq bigint,
    event_id uuid,
  part bigint, at timestamptz, model text, event_type text, content_type text, record_ids bigint[], body text
)
-- Not stable: its statements see what was committed before each.
language plpgsql security definer set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
as $$
declare
  installed uuid := (select i.epoch from odoo_eventd.installation i);
  -- A cursor beyond it is of commits that this database has lost.
  newest bigint := (select case when s.is_called then s.last_value else 0 end from odoo_eventd.feed_seq s);
begin
  perform odoo_eventd.assert_listener();
  perform odoo_eventd.hold_feed();
  return query
    with asked as (
      select a.reader, a.operator, a.subscription_id, a.after, a.most, s.id as seen,
             a.after is not null and (a.epoch is distinct from installed or a.after > newest) as is_lost,
             odoo_eventd.dropped_of_feed(s.id) as dropped
        from unnest(operators, subscriptions, epochs, after, limits) with ordinality a (operator, subscription_id, epoch, after,
          most, reader)
        left join public.mcp_event_subscription s
          on s.id = a.subscription_id and odoo_eventd.sees(a.operator, s)
    ), placed as materialized (
      select a.*, greatest(case when not a.is_lost then a.after end, a.dropped) as begins_after,
             a.is_lost or coalesce(a.after < a.dropped, false) as is_cut
        from asked a
    ), found as (
      -- Bodies are not looked at before it is known which of them are wanted.
      select p.reader, p.most, f.*, row_number() over (partition by p.reader order by f.seq) as nth
        from placed p
       cross join lateral (
         select e.* from odoo_eventd.feed e
          where e.subscription_id = p.seen and e.seq > p.begins_after
            -- What it tells may be of a model that the subscription had before.
            and (odoo_eventd.models_of(p.operator) is null or e.model = any (odoo_eventd.models_of(p.operator)))
          order by e.seq limit p.most + 1) f
    ), weighed as (
      -- The first of everybody before the second of anybody.
      select f.*, sum(f.bytes) over (order by f.nth, f.reader rows unbounded preceding) - f.bytes as before_it,
             count(*) over (partition by f.reader) as of_reader
        from found f
    ), page as (
      select w.* from weighed w where w.nth <= w.most and w.before_it < most_bytes
    ), ended as (
      select w.reader, max(w.of_reader) > (select count(*) from page g where g.reader = w.reader) as has_more from weighed w
        group by w.reader
    )
    select p.reader, p.seen is not null, installed, p.begins_after, p.is_cut, coalesce(e.has_more, false), g.seq, g.event_id,
      g.part, g.at,
           g.model, g.event_type, g.content_type, g.record_ids, g.body
      from placed p
      left join ended e on e.reader = p.reader
      left join page g on g.reader = p.reader
     order by p.reader, g.seq;
end $$;
comment on function odoo_eventd.read_feed(jsonb[], integer[], uuid[], bigint[], integer[], bigint) is
  'What each of many readers, an operator and a subscription, finds after its place in the feed: at most so many events, and no '
  'more once all of them together have so many bytes. One row at least for each reader; is_truncated = events after its place '
  'are not kept any more.';

create or replace function odoo_eventd.end_of_feed(operator jsonb, subscription integer) returns table (epoch uuid, seq bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  perform odoo_eventd.hold_feed();
  return query
    select i.epoch, greatest((select l.seq from odoo_eventd.last_in_feed(array[s.id]) l),
                             odoo_eventd.dropped_of_feed(s.id))
      from public.mcp_event_subscription s, odoo_eventd.installation i
     where s.id = subscription and odoo_eventd.sees(operator, s);
end $$;
comment on function odoo_eventd.end_of_feed(jsonb, integer) is
  'The place in the feed behind all that a subscription has in it now; nothing where the operator sees no such subscription.';

create or replace function odoo_eventd.tail_of_feed(operator jsonb, subscription integer, most integer)
returns table (epoch uuid, seq bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp
-- See read_feed().
set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
as $$
begin
  perform odoo_eventd.assert_listener();
  perform odoo_eventd.hold_feed();
  return query
    select i.epoch, greatest((select e.seq from odoo_eventd.feed e
                               where e.subscription_id = s.id
                                 and (odoo_eventd.models_of(operator) is null or e.model = any (odoo_eventd.models_of(operator)))
                               order by e.seq desc offset most limit 1),
                             odoo_eventd.dropped_of_feed(s.id))
      from public.mcp_event_subscription s, odoo_eventd.installation i
     where s.id = subscription and odoo_eventd.sees(operator, s);
end $$;
comment on function odoo_eventd.tail_of_feed(jsonb, integer, integer) is
  'The place in the feed behind which a subscription has so many events, or all that are kept; nothing where the operator sees no '
  'such subscription.';

create or replace function odoo_eventd.note_feed_readers(subscriptions integer[]) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  -- Once a minute; more often only for the sake of short leases.
  every_ms constant integer := (select least(60000, r.lease_s::bigint * 250) from odoo_eventd.feed_ring r);
begin
  perform odoo_eventd.assert_listener();
  -- In the order of their ids: another process may note the same ones.
  insert into odoo_eventd.feed_reader as r (subscription_id)
    select s.id from public.mcp_event_subscription s where s.id = any (subscriptions) order by s.id
    on conflict (subscription_id) do update set read_at = now() where r.read_at <= now() - every_ms * interval '1 ms';
  return every_ms;
end $$;
comment on function odoo_eventd.note_feed_readers(integer[]) is
  'Notes that somebody reads these subscriptions, which is what keeps those alive that are leased. Returns after how many '
  'milliseconds it is to be noted again.';
