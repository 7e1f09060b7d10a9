-- Purpose: noticing that a captured table is no longer as its capture expects it, and dating the gap that this leaves.
--
-- There is no event trigger that would tell at once. Only a superuser can make one, and pg_dump writes it into the dump: whoever
-- restores that without being a superuser, as Odoo's database manager does, gets an error and Odoo reports the restore as failed.
-- So the service looks, every few seconds, at the catalogue alone.
-- Locks: none on Odoo's tables.

create or replace function odoo_eventd.missing_triggers(of_capture odoo_eventd.capture) returns integer
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select count(*)::integer
    from odoo_eventd.triggers_of_capture() v
   where not exists (select from pg_trigger t
                     where t.tgrelid = odoo_eventd.model_table(of_capture.model) and t.tgname = v.name
                       and t.tgenabled in ('O', 'A')
                       and t.tgfoid = to_regprocedure(format('odoo_eventd.%I()',
                         odoo_eventd.capture_function_name(of_capture.model))))
$$;
comment on function odoo_eventd.missing_triggers(odoo_eventd.capture)
  is 'How many of its triggers a model''s table lacks; all of them if it was made anew.';

create or replace function odoo_eventd.open_gap(of_capture odoo_eventd.capture, why text, whole_until pg_snapshot,
  began timestamptz) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
  insert into odoo_eventd.capture_gap (capture_id, reason, since, began_at)
    select of_capture.capture_id, why, whole_until, began
     where not exists (select from odoo_eventd.capture_gap g
                       where g.capture_id = of_capture.capture_id and g.reason = why and g.ended_at is null)
$$;
comment on function odoo_eventd.open_gap(odoo_eventd.capture, text, pg_snapshot, timestamptz) is
  'Notes that a table is not captured, unless that is noted: what whole_until sees was captured to its end.';

create or replace function odoo_eventd.note_missing_triggers(of_capture odoo_eventd.capture) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  missing integer := odoo_eventd.missing_triggers(of_capture);
  checked odoo_eventd.capture_check;
begin
  -- A capture that nobody is judged by yet has no gap: it begins when it is settled.
  if missing = 0 or not exists (select from odoo_eventd.captured_column cc
                                where cc.capture_id = of_capture.capture_id and cc.captured_from is not null) then
    return;
  end if;
  select * into strict checked from odoo_eventd.capture_check;
  -- Without any trigger nothing was written since, so all that is in the outbox was captured while they were there; nobody could
  -- take them away from a transaction that had written the table, but itself. With some of them it was captured in part, nobody
  -- knows since when.
  perform odoo_eventd.open_gap(of_capture, 'a trigger was missing',
                               case when missing = (select count(*) from odoo_eventd.triggers_of_capture())
                                 then pg_current_snapshot() else checked.seen end, checked.checked_at);
end $$;
comment on function odoo_eventd.note_missing_triggers(odoo_eventd.capture)
  is 'Opens a gap for a captured table that lacks triggers.';

create or replace function odoo_eventd.whole_captures() returns setof integer
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  -- What missing_triggers() and model_table() say of one table, of all in one query: asked of each it is half a second of work
  -- for seventy tables, every few seconds. Whatever is not plainly whole is asked of them.
  return query
    with captured as materialized (
      select c.capture_id, c.model, c.table_name, k.oid as table_oid, odoo_eventd.capture_function_name(c.model) as function_name,
             exists (select from pg_attribute a where a.attrelid = k.oid and a.attname = 'id' and not a.attisdropped) as has_id
        from odoo_eventd.capture c
        join pg_class k on k.oid = c.table_oid and k.relname = c.table_name and k.relnamespace = 'public'::regnamespace
       where c.active and k.relkind = 'r' and not (k.relrowsecurity and k.relforcerowsecurity)
         and k.relowner = (select o.relowner from pg_class o where o.oid = 'public.ir_model'::regclass)
         and not exists (select from pg_inherits i where k.oid in (i.inhrelid, i.inhparent))),
    tables as materialized (
      select m.model::text as model, replace(m.model, '.', '_') as name
        from public.ir_model m
       where m.model not like 'ir.%' and m.model not like 'project.task.stage.%'
      union all
      select r.model, r.table_name
        from odoo_eventd.registry_models() r
       where (r.model like 'ir.%' or r.model like 'project.task.stage.%') and r.relkind = 'r' and r.has_id and not r.is_partial
         -- It goes through all models: only where there is such a one.
         and exists (select from odoo_eventd.capture c where c.active
           and (c.model like 'ir.%' or c.model like 'project.task.stage.%'))),
    relations as materialized (
      select f.relation_table::text as name from public.ir_model_fields f where f.ttype = 'many2many' and f.store
      except
      select m.model::text from public.ir_model m)
    select c.capture_id
      from captured c
      join pg_trigger t on t.tgrelid = c.table_oid and t.tgenabled in ('O', 'A')
      join odoo_eventd.triggers_of_capture() v on v.name = t.tgname
      join pg_proc p on p.oid = t.tgfoid and p.proname = c.function_name and p.pronargs = 0
        and p.pronamespace = 'odoo_eventd'::regnamespace
     where case when c.has_id then exists (select from tables m where m.model = c.model and m.name = c.table_name)
                else c.model in (select r.name from relations r) end
     group by c.capture_id
    having count(*) = (select count(*) from odoo_eventd.triggers_of_capture());
end $$;
comment on function odoo_eventd.whole_captures()
  is 'The captures whose table is there and has all its triggers, as far as one query tells.';
revoke all on function odoo_eventd.whole_captures() from public;

create or replace function odoo_eventd.note_drift() returns setof text
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  looked pg_snapshot;
  known odoo_eventd.capture;
  whole integer[] := '{}';
  failed text;
begin
  perform odoo_eventd.assert_listener();
  perform odoo_eventd.lock_capture();
  -- Not each of a hundred tables waits for an upgrade that holds what says which models there are.
  perform odoo_eventd.hold_metadata();
  -- Before the look: whatever had ended by then ended under triggers that are still there.
  looked := pg_current_snapshot();
  begin
    whole := array(select odoo_eventd.whole_captures());
  exception when others then
    null; -- Each is looked at then, and the one it fails for is named.
  end;
  for known in select * from odoo_eventd.capture c where c.active and c.capture_id <> all (whole) loop
    begin
      perform odoo_eventd.note_missing_triggers(known);
    exception when others then
      failed := coalesce(failed, format('%s: %s (SQLSTATE %s)', known.model, sqlerrm, sqlstate));
    end;
  end loop;
  -- Only if all were looked at: a gap of the one that was not begins where it was last seen whole.
  if failed is null then
    update odoo_eventd.capture_check c set seen = looked, checked_at = now();
    perform odoo_eventd.end_trouble('look at a captured table''s triggers');
  else
    perform odoo_eventd.note_trouble('look at a captured table''s triggers', failed);
  end if;
  return query select odoo_eventd.drifted_models();
end $$;
comment on function odoo_eventd.note_drift() is
  'Notes which captured tables lack triggers, and that all others are whole; returns the models whose capture has drifted.';

create or replace function odoo_eventd.capture_drift(of_capture odoo_eventd.capture) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp
set quote_all_identifiers = off -- See registry_columns().
as $$
  select case
    when not of_capture.active then null
    when odoo_eventd.model_table(of_capture.model) is null then format('the table "%s" is gone', of_capture.table_name)
    when odoo_eventd.model_table(of_capture.model) <> of_capture.table_oid
      then format('the table "%s" was made anew', of_capture.table_name)
    when odoo_eventd.missing_triggers(of_capture) > 0 then 'a trigger is missing or disabled'
    else (select nullif(concat_ws('; ',
                          'columns are gone: ' || string_agg(u.name, ', ' order by u.name) filter (where a.attname is null),
                          'columns have another type: ' || string_agg(u.name, ', ' order by u.name)
                            filter (where format_type(a.atttypid, a.atttypmod) <> u.type)), '')
            from odoo_eventd.capture_generation g
           cross join unnest(g.columns, g.types) u (name, type)
            left join pg_attribute a on a.attrelid = of_capture.table_oid and a.attname = u.name and not a.attisdropped
           where g.generation = of_capture.generation)
  end
$$;
comment on function odoo_eventd.capture_drift(odoo_eventd.capture)
  is 'What is no longer as the capture expects it; null = nothing.';

create or replace function odoo_eventd.drift_for_people(of_capture odoo_eventd.capture) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set lock_timeout = '1ms'
as $$
begin
  return odoo_eventd.capture_drift(of_capture);
exception when lock_not_available then
  return 'not looked at: an upgrade of Odoo is altering its tables of models';
end $$;
comment on function odoo_eventd.drift_for_people(odoo_eventd.capture)
  is 'As capture_drift(), for who asks how things are: waits for no upgrade.';
revoke all on function odoo_eventd.drift_for_people(odoo_eventd.capture) from public;
revoke all on function odoo_eventd.missing_triggers(odoo_eventd.capture) from public;
revoke all on function odoo_eventd.open_gap(odoo_eventd.capture, text, pg_snapshot, timestamptz) from public;
revoke all on function odoo_eventd.note_missing_triggers(odoo_eventd.capture) from public;
revoke all on function odoo_eventd.capture_drift(odoo_eventd.capture) from public;
