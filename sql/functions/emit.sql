-- Purpose: deliveries that no change of a record made: existing records sent by `odoo-eventd emit`, and test events.
--
-- The running service sends what `emit` makes, like any other delivery. A test event is sent by the command itself.

create or replace function odoo_eventd.begin_emit(of_subscription integer, of_run text, of_selection text, of_event_type text)
returns table (
  epoch uuid, database_name text, started_at timestamptz, last_id bigint, deliveries bigint, records bigint, finished boolean,
    selection text,
  event_type text
)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  insert into odoo_eventd.emit_run (run, subscription_id, selection, event_type)
    values (of_run, of_subscription, of_selection, of_event_type)
    on conflict on constraint emit_run_pkey do nothing;
  return query
    select i.epoch, i.database_name::text, r.started_at, r.last_id, r.deliveries, r.records, r.finished_at is not null,
      r.selection, r.event_type
    from odoo_eventd.emit_run r, odoo_eventd.installation i
    where r.subscription_id = of_subscription and r.run = of_run;
end $$;
comment on function odoo_eventd.begin_emit(integer, text, text, text) is
  'Begins a run of `odoo-eventd emit`, or says how far an earlier one of this name has come.';

create or replace function odoo_eventd.emit_batch(
  of_subscription integer, of_run text, after_id bigint, new_last_id bigint, is_last boolean, in_lanes boolean,
  of_event uuid, of_model text, of_event_type text, parts bigint[], delivery_ids uuid[], record_ids text[], bodies text[]
) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  made bigint;
  at odoo_eventd.emit_run;
begin
  perform odoo_eventd.assert_listener();
  select * into at from odoo_eventd.emit_run r where r.subscription_id = of_subscription and r.run = of_run for update;
  if at.last_id is distinct from after_id or at.finished_at is not null then
    raise exception 'run "%" is being made by somebody else at the same time', of_run using errcode = 'object_in_use';
  end if;
  with input as (
    select * from unnest(parts, delivery_ids, record_ids, bodies) with ordinality i (part, delivery_id, records, body, ord)
  ), inserted as (
    insert into odoo_eventd.delivery
           (event_id, subscription_id, part, delivery_id, model, event_type, record_ids, body, state, due_at, lane_position)
    select of_event, of_subscription, i.part, i.delivery_id, of_model, of_event_type, i.records::bigint[], i.body, 'waiting',
           -- In a busy lane too: claiming looks at the lane, and nobody would wake what this process alone knows to be behind.
           now(),
           -- Behind all that was captured of the record so far.
           case when in_lanes then nextval('odoo_eventd.outbox_id_seq') end
    from input i order by i.ord
    on conflict on constraint delivery_is_made_once do nothing
    returning cardinality(delivery.record_ids) as records
  ), counted as (
    select count(*) as deliveries, coalesce(sum(i.records), 0) as records from inserted i
  )
  update odoo_eventd.emit_run r
     set last_id = new_last_id, deliveries = r.deliveries + c.deliveries, records = r.records + c.records,
         finished_at = case when is_last then now() end
    from counted c
   where r.subscription_id = of_subscription and r.run = of_run
  returning c.deliveries into made;
  return made;
end $$;
comment on function odoo_eventd.emit_batch(integer, text, bigint, bigint, boolean, boolean, uuid, text, text, bigint[], uuid[],
  text[], text[]) is
  'Makes deliveries of existing records and notes how far the run has come, in one transaction. Raises 55006 if the run is '
  'elsewhere.';

create or replace function odoo_eventd.count_unsent(of_subscription integer, most integer) returns bigint
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  return (select count(*) from (select from odoo_eventd.delivery d
                                 where d.subscription_id = of_subscription and d.due_at is not null limit most) x);
end $$;
comment on function odoo_eventd.count_unsent(integer, integer)
  is 'How many deliveries of a subscription are not over, counted up to a limit.';

create or replace function odoo_eventd.begin_test(
  of_subscription integer, of_event uuid, of_delivery uuid, of_model text, of_body text, lease_ms integer
) returns table (term bigint, log_id bigint, log_date timestamp)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  current_term bigint := (select l.term from odoo_eventd.lead l);
begin
  perform odoo_eventd.assert_listener();
  perform odoo_eventd.ensure_log_days(0);
  insert into odoo_eventd.delivery
         (event_id, subscription_id, part, delivery_id, model, event_type, record_ids, state, attempts, due_at, term)
  values (of_event, of_subscription, 0, of_delivery, of_model, 'test', '{}', 'sending', 1,
          clock_timestamp() + lease_ms * interval '1 ms', current_term);
  return query
    insert into public.mcp_webhook_delivery as l
           (delivery_id, subscription_id, event_id, model, record_ids, attempt, status, payload)
    values (of_delivery, of_subscription, of_event, of_model, '{}', 1, 'pending', of_body)
    returning current_term, l.id, l.create_date;
end $$;
comment on function odoo_eventd.begin_test(integer, uuid, uuid, text, text, integer) is
  'Logs the attempt to send a test event as pending; record_attempts() ends it. It needs no service, and one that runs leaves '
  'it alone.';
