-- Purpose: what is kept of the feed: for how long, how many events of a subscription, how much of all.
--
-- Eight blocks, one of which is written to. A block is left when it holds a tenth of what all may take, or has been written to
-- for a sixth of the time that events are kept; one is emptied when its newest event is older than that, or when all together are
-- too large. So there is always an empty one to go on in.
--
-- Locks: emptying a block takes ACCESS EXCLUSIVE on it, tried again and again without waiting: whoever waits for that lock has
-- all readers behind him wait too. Who reads one for long (a dump, a report) keeps it from being emptied until he is through.
-- Leaving a block locks the row of the ring, never waiting either; the writer shares it until its commit, so nothing is written
-- to a block that has been left.

create or replace function odoo_eventd.feed_block_bytes(block integer) returns bigint
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select case when exists (select from odoo_eventd.feed_block b where b.block = feed_block_bytes.block and b.opened_at
    is not null)
              then pg_total_relation_size(format('odoo_eventd.feed_%s', block)::regclass) else 0 end
$$;
comment on function odoo_eventd.feed_block_bytes(integer)
  is 'What a block of the feed takes on disk; an empty one takes nothing.';
revoke all on function odoo_eventd.feed_block_bytes(integer) from public;

create or replace function odoo_eventd.set_feed(of_term bigint, keep_s integer, max_events integer, max_bytes bigint,
  lease_s integer) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_term(of_term);
  update odoo_eventd.feed_ring r
     set keep_s = set_feed.keep_s, max_events = set_feed.max_events, max_bytes = set_feed.max_bytes, lease_s = set_feed.lease_s
   where (r.keep_s, r.max_events, r.max_bytes, r.lease_s)
         is distinct from (set_feed.keep_s, set_feed.max_events, set_feed.max_bytes, set_feed.lease_s);
end $$;
comment on function odoo_eventd.set_feed(bigint, integer, integer, bigint, integer)
  is 'Notes what the leading instance''s settings say of the feed.';

create or replace function odoo_eventd.rotate_feed(of_term bigint) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  ring odoo_eventd.feed_ring;
  next_block integer;
begin
  perform odoo_eventd.assert_term(of_term);
  select * into strict ring from odoo_eventd.feed_ring;
  if not exists (select from odoo_eventd.feed_block b
                  where b.block = ring.current and b.opened_at is not null
                    and (odoo_eventd.feed_block_bytes(b.block) > ring.max_bytes / 10
                         or b.opened_at < now() - ring.keep_s * interval '1 s' / 6)) then
    return false;
  end if;
  select b.block into next_block from odoo_eventd.feed_block b
   where b.block <> ring.current and b.opened_at is null order by (b.block - ring.current + 8) % 8 limit 1;
  if not found then
    return false;
  end if;
  begin
    perform from odoo_eventd.feed_ring r where r.current = ring.current for update nowait;
  exception when lock_not_available then
    return false;
  end;
  -- Another has led it on meanwhile.
  if not found then
    return false;
  end if;
  update odoo_eventd.feed_block b set closed_at = now() where b.block = ring.current;
  update odoo_eventd.feed_ring r set current = next_block;
  return true;
end $$;
comment on function odoo_eventd.rotate_feed(bigint) is
  'Lets the feed go on in its next block, if the current one is large or old and another is empty. False also while somebody '
  'writes.';

create or replace function odoo_eventd.drop_feed_block(of_term bigint, tries integer default 20) returns table (block integer,
  shortened boolean, is_busy boolean)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  ring odoo_eventd.feed_ring;
  doomed odoo_eventd.feed_block;
  total bigint;
  opened bigint;
  ended record;
begin
  perform odoo_eventd.assert_term(of_term);
  select * into strict ring from odoo_eventd.feed_ring;
  select sum(odoo_eventd.feed_block_bytes(b.block)), count(*) filter (where b.opened_at is not null) into total, opened
    from odoo_eventd.feed_block b;
  select * into doomed from odoo_eventd.feed_block b
   where b.block <> ring.current and b.opened_at is not null order by b.closed_at, b.opened_at limit 1;
  if doomed.block is null then
    return;
  end if;
  is_busy := false;
  shortened := doomed.closed_at >= now() - ring.keep_s * interval '1 s';
  -- The last empty one is needed to go on in, once the current one is full.
  if shortened and total <= ring.max_bytes
     and not (opened = 8 and odoo_eventd.feed_block_bytes(ring.current) > ring.max_bytes / 10) then
    return;
  end if;
  block := doomed.block;
  if tries = 0 then
    is_busy := true;
    return next;
    return;
  end if;
  -- Before the lock, behind which the leader would wait too. Nothing is written any more to one that is closed.
  execute format('select array_agg(l.subscription_id) as subscriptions, array_agg(l.seq) as seqs
                    from (select f.subscription_id, max(f.seq) as seq from odoo_eventd.feed_%s f group by 1) l', block) into ended;
  for try in 1 .. tries loop
    begin
      execute format('lock table odoo_eventd.feed_%s in access exclusive mode nowait', block);
      exit;
    exception when lock_not_available then
      is_busy := true;
    end;
    perform pg_sleep(0.005);
    if try = tries then
      return next;
      return;
    end if;
  end loop;
  is_busy := false;
  -- Who leads no more may have looked long ago: then the block may be in use again.
  perform odoo_eventd.assert_term(of_term);
  if not exists (select from odoo_eventd.feed_block b
                  where b.block = doomed.block and b.opened_at = doomed.opened_at and b.closed_at = doomed.closed_at) then
    return;
  end if;
  insert into odoo_eventd.feed_dropped (subscription_id, seq)
    select d.subscription_id, d.seq from unnest(ended.subscriptions, ended.seqs) d (subscription_id, seq);
  execute format('truncate odoo_eventd.feed_%s', block);
  update odoo_eventd.feed_block b
     set opened_at = null, closed_at = null, shortened_at = case when shortened then now() else b.shortened_at end
   where b.block = doomed.block;
  return next;
end $$;
comment on function odoo_eventd.drop_feed_block(bigint, integer) is
  'Empties the oldest block of the feed if it is old, or if all together are too large (shortened). One that is being read '
  'stays (is_busy): try again. With no tries it only tells that there is one to be emptied.';

create or replace function odoo_eventd.limit_feed(of_term bigint) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
as $$
declare
  ring odoo_eventd.feed_ring;
  crowded record;
  low bigint;
  high bigint;
  middle bigint;
  at record;
  limited bigint := 0;
begin
  perform odoo_eventd.assert_term(of_term);
  select * into strict ring from odoo_eventd.feed_ring;
  -- One look into the index for each subscription. A tenth more than is kept is let be, so that this seldom finds something to
  -- do.
  for crowded in
    with recursive fed (subscription_id) as (
      (select f.subscription_id from odoo_eventd.feed f order by f.subscription_id limit 1)
      union all
      select n.subscription_id from fed
       cross join lateral (select f.subscription_id from odoo_eventd.feed f where f.subscription_id > fed.subscription_id
                            order by f.subscription_id limit 1) n
    )
    select p.subscription_id, p.dropped, f.seq as first_seq, l.seq as last_seq, l.n - ring.max_events as last_n
      from (select d.subscription_id, odoo_eventd.dropped_of_feed(d.subscription_id) as dropped
              from fed d) p
     cross join lateral (select e.seq, e.n from odoo_eventd.feed e where e.subscription_id = p.subscription_id
       and e.seq > p.dropped
                          order by e.seq limit 1) f
     cross join lateral (select e.seq, e.n from odoo_eventd.feed e where e.subscription_id = p.subscription_id order by e.seq desc
       limit 1) l
     where l.n - f.n >= ring.max_events + ring.max_events / 10
  loop
    -- Numbers grow with places: halving finds the newest event that is one too many.
    low := crowded.first_seq;
    high := crowded.last_seq;
    while low < high loop
      middle := low + (high - low + 1) / 2;
      select f.seq, f.n into at from odoo_eventd.feed f
       where f.subscription_id = crowded.subscription_id and f.seq <= middle order by f.seq desc limit 1;
      if at.n <= crowded.last_n then
        low := middle;
      else
        high := middle - 1;
      end if;
    end loop;
    insert into odoo_eventd.feed_dropped (subscription_id, seq) values (crowded.subscription_id, low);
    limited := limited + 1;
  end loop;
  delete from odoo_eventd.feed_dropped d
   where d.seq < (select max(x.seq) from odoo_eventd.feed_dropped x where x.subscription_id = d.subscription_id);
  return limited;
end $$;
comment on function odoo_eventd.limit_feed(bigint) is
  'Lets go of the oldest events of subscriptions that have too many: they are not read any more, and go with their blocks. '
  'Returns how many subscriptions that was.';

create or replace function odoo_eventd.feed_health() returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  ring odoo_eventd.feed_ring;
begin
  perform odoo_eventd.assert_listener();
  select * into strict ring from odoo_eventd.feed_ring;
  return (select jsonb_build_object(
      'bytes', coalesce(sum(odoo_eventd.feed_block_bytes(b.block)), 0), 'max_bytes', ring.max_bytes, 'keep_s', ring.keep_s,
      'oldest_age_s', coalesce(extract(epoch from clock_timestamp() - min(b.opened_at))::float8, 0),
      'is_shortened', coalesce(bool_or(b.shortened_at > now() - ring.keep_s * interval '1 s'), false))
    from odoo_eventd.feed_block b);
end $$;
comment on function odoo_eventd.feed_health() is
  'How full the feed is, and whether events had to go before their time lately. Part of health().';

create or replace function odoo_eventd.erase_feed(of_model text, ids bigint[], containing text, only_show boolean) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  marker constant text := '{"erased":true}';
  erased bigint;
begin
  select count(*) into erased from odoo_eventd.feed f
   where f.model = of_model and f.record_ids && ids or position(containing in f.body) > 0;
  if erased > 0 and not only_show then
    for block in 0 .. 7 loop
      execute format('update odoo_eventd.feed_%s f set body = $1, bytes = octet_length($1), content_type = $2
                       where f.model = $3 and f.record_ids && $4 or position($5 in f.body) > 0', block)
        using marker, 'application/json', of_model, ids, containing;
    end loop;
  end if;
  return erased;
end $$;
comment on function odoo_eventd.erase_feed(text, bigint[], text, boolean) is
  'Blanks the bodies of events of these records in the feed, and of those that contain a text; returns how many. Part of '
  'erase_records().';
revoke all on function odoo_eventd.erase_feed(text, bigint[], text, boolean) from public;
