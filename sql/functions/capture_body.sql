-- Purpose: the trigger function of one Odoo table, written for exactly the columns that subscriptions need.
--
-- Locks: replacing a function body locks no table, and a transaction that is already open uses the new body from its next
-- statement on.

create or replace function odoo_eventd.capture_function_name(of_model text) returns name
language sql immutable security definer set search_path = pg_catalog, pg_temp
as $$
  -- Two names never meet in one function: sale.order and a relation table sale_order would, if the dots alone were replaced.
  select (case when of_model ~ '^[a-z0-9.]{1,50}$' then 'capture_' || replace(of_model, '.', '_')
               else 'capture_' || left(regexp_replace(of_model, '[^a-z0-9]', '_', 'g'), 40) || '_' || left(md5(of_model),
                 8) end)::name
$$;
comment on function odoo_eventd.capture_function_name(text) is 'The trigger function of a model''s table.';

create or replace function odoo_eventd.doorbell(installed odoo_eventd.installation) returns text
language sql immutable security definer set search_path = pg_catalog, pg_temp
as $$
  select case when (installed).notify then $body$
  -- The doorbell. The service holds this lock exclusively only while it sleeps: NOTIFY, whose commit lock is cluster-wide, is
  -- issued then and only then. Who got the lock keeps it until its commit is visible, so the service cannot fall asleep over it.
  if (how_many > 0) is not false and not pg_try_advisory_xact_lock_shared(1868853103, 2) then
    notify odoo_eventd;
  end if;
$body$ else '' end
$$;
comment on function odoo_eventd.doorbell(odoo_eventd.installation)
  is 'The end of a trigger function: wakes the service, as SQL text.';

create or replace function odoo_eventd.outbox_room(installed odoo_eventd.installation, ring_table text) returns bigint
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  -- What the other tables of the ring hold is taken off: nothing is added to them any more.
  select greatest((installed).outbox_max_bytes - coalesce(sum(odoo_eventd.outbox_bytes(n)), 0), 0)::bigint
    from generate_series(0, 3) n where to_regclass(format('odoo_eventd.outbox_%s', n)) <> to_regclass(ring_table)
$$;
comment on function odoo_eventd.outbox_room(odoo_eventd.installation, text)
  is 'How many bytes the current table of the ring may take, long values included.';

create or replace function odoo_eventd.idle_body(of_capture odoo_eventd.capture) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select case when of_capture.active then E'\n-- Not captured: switched off.\nbegin\n  return null;\nend '
              else E'\n-- Not captured: no subscription needs it.\nbegin\n  return null;\nend ' end
$$;
comment on function odoo_eventd.idle_body(odoo_eventd.capture)
  is 'The body of a trigger function that captures nothing, as SQL text.';

create or replace function odoo_eventd.body_declarations(of_generation bigint) returns text
language sql immutable security definer set search_path = pg_catalog, pg_temp
as $$
  -- No name of the table's shares a scope with ours: every column is named with its row, and where a variable and a column could
  -- be meant it is the variable. No comment holds a name from the catalogue. No variable begins with a value: that would be one
  -- expression more to be set up in each transaction.
  select format($body$
#variable_conflict use_variable
-- Made by odoo_eventd.sync_capture, generation %1$s. Do not edit: it is replaced when subscriptions change.
declare
  is_one    boolean;    -- one row, as most of Odoo's statements have, and it is told; null = there is nothing to tell
  is_altered boolean;   -- the table is not what it was when this was made
  is_hard   boolean;    -- not even the catalogue of this moment helps
  in_halves boolean;    -- what was and what is are written apart
  differs   boolean;
  how_many  bigint;     -- rows of the statement, more than a thousand counted as a thousand and one
  record_no bigint;
  by_user   integer;
  was       text[];
  became    text[];
  row_was   text;
  row_is    text;
  unused    text;
  gathered  odoo_eventd.captured_row[];
  unreadable name[];
  candidate name;
begin
$body$, of_generation)
$$;
comment on function odoo_eventd.body_declarations(bigint) is 'The beginning of a trigger function, as SQL text.';
revoke all on function odoo_eventd.body_declarations(bigint) from public;

create or replace function odoo_eventd.body_of_one_row(on_update text, on_insert text) returns text
language sql immutable security definer set search_path = pg_catalog, pg_temp
as $$
  -- The values are made in here, where an error is no error of the user's statement, and written outside: a row written in here
  -- would take a subtransaction id for each captured statement.
  select format($body$
  -- Has anything to be captured? That is asked of one row only, in a plan as small as can be, for most writes change nothing that
  -- is watched.
  begin
    if tg_op = 'UPDATE' then
%1$s
    elsif tg_op = 'INSERT' then
%2$s
    else
      is_one := false;
    end if;
  exception
    when no_data_found then return null;
    when too_many_rows then is_one := false;
    when others then is_one := false; is_altered := true;
  end;
$body$, on_update, on_insert)
$$;
comment on function odoo_eventd.body_of_one_row(text, text)
  is 'The part of a trigger function that asks whether one row was written, and what came of it, as SQL text.';
revoke all on function odoo_eventd.body_of_one_row(text, text) from public;

create or replace function odoo_eventd.body_of_gathering(is_of_links boolean, rows_as_text text[], rows_by_values text[],
  as_made text) returns text
language sql immutable security definer set search_path = pg_catalog, pg_temp
as $$
  select $body$
    is_hard := false;
    in_halves := false;
    unreadable := '{}';
    if tg_op = 'DELETE' then
      select count(*) into how_many from (select from old_rows limit 1001) few;
    else
      select count(*) into how_many from (select from new_rows limit 1001) few;
    end if;
    if how_many = 0 then
      return null;
    end if;
$body$
  -- Keys that cascade put one record into one statement as often as there are keys.
  || case when is_of_links then E'    in_halves := true;\n' else $body$    begin
      if tg_op = 'UPDATE' then
        in_halves := exists (select from new_rows n group by n.id having count(*) > 1)
                     or exists (select from old_rows o group by o.id having count(*) > 1);
      end if;
    exception when others then
      is_altered := true;
    end;
$body$ end
  || case when rows_as_text is null then '' else format($body$    begin
      if how_many > 1000 or in_halves or is_altered then
        null;
      elsif tg_op = 'UPDATE' then
        gathered := array(%s);
      elsif tg_op = 'INSERT' then
        gathered := array(%s);
      end if;
    exception when others then
      gathered := null;
    end;
$body$, rows_as_text[1], rows_as_text[2]) end
  || format($body$    begin
      if how_many > 1000 or in_halves and tg_op = 'UPDATE' or is_altered or gathered is not null then
        null;
      elsif tg_op = 'UPDATE' then
        gathered := array(select row(x.op, x.record_id, x.user_id, x.old, x.new)::odoo_eventd.captured_row from (
      %1$s) x where x.record_id is not null);
      elsif tg_op = 'INSERT' then
        gathered := array(select row(x.op, x.record_id, x.user_id, x.old, x.new)::odoo_eventd.captured_row from (
      %2$s) x where x.record_id is not null);
      else
        gathered := array(select row(x.op, x.record_id, x.user_id, x.old, x.new)::odoo_eventd.captured_row from (
      %3$s) x where x.record_id is not null);
      end if;
    exception when others then
      gathered := null;
    end;
    -- From the catalogue as it is now: columns were dropped, renamed or retyped, or one record is in the statement twice.
    if gathered is null and how_many <= 1000 then
      begin
        execute format('select array(select row(x.op, x.record_id, x.user_id, x.old, x.new)::odoo_eventd.captured_row from (%%s) x where x.record_id is not null)',
                       odoo_eventd.rows_query_now(tg_relid, tg_op, in_halves, unreadable, %4$s)) into gathered;
      exception when others then
        is_hard := true;
      end;
    end if;
$body$, rows_by_values[1], rows_by_values[2], rows_by_values[3], as_made)
$$;
comment on function odoo_eventd.body_of_gathering(boolean, text[], text[], text) is
  'The part of a trigger function that gathers what a statement of several rows did, of up to a thousand, as SQL text. The '
  'queries are those for UPDATE, INSERT and DELETE.';
revoke all on function odoo_eventd.body_of_gathering(boolean, text[], text[], text) from public;

create or replace function odoo_eventd.body_of_writing(of_capture odoo_eventd.capture, made odoo_eventd.capture_generation,
  ring_table text, room bigint, op_of_one text,
                                                       is_elsewhere text, gathering text, as_made text) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  may_append constant text := format($check$has_table_privilege(to_regclass(%1$L), 'insert')
              and has_sequence_privilege(to_regclass('odoo_eventd.outbox_id_seq'), 'usage')$check$, ring_table);
  -- Sizes are counted as outbox_bytes() does; in here, for a call would cost more than the two sizes.
  has_room constant text := format($check$pg_relation_size(to_regclass(%L), 'main') + pg_relation_size(%s::oid::regclass,
    'main') <= %s$check$,
                     ring_table, (select c.reltoastrelid from pg_class c where c.oid = to_regclass(ring_table)), room);
begin
  -- Every expression of a function is set up anew in each transaction, and a relation's size costs system calls: hence one
  -- condition, and a session that found room in the outbox looks again in one of 64 transactions, and after every larger
  -- statement.
  return format($body$
  if is_one and has_table_privilege(to_regclass(%1$L), 'insert') and has_sequence_privilege(to_regclass(%2$L), 'usage')
     and current_setting('odoo_eventd.room_%3$s', true) = %4$L and txid_current() %% 64 <> 0
  then
    insert into %5$s (id, xid, generation, op, record_id, at, user_id, old, new)
    values (nextval('odoo_eventd.outbox_id_seq'), pg_current_xact_id(), %6$s, %12$s,
            record_no, now(), by_user, was, became);
  else
    -- A copy of the database, under another name or restored elsewhere, stays silent.
    if is_one is null or %13$s then
      return null;
    end if;
    if not is_one and tg_op <> 'TRUNCATE' then
%14$s    end if;
    -- Without an outbox to write to nothing is kept, and Odoo goes on; `odoo-eventd status` tells.
    if (%7$s) is not true then
      return null;
    end if;
    -- Nor is it when the outbox, with its long values (the second number), has outgrown its room. Who was not captured is noted,
    -- as long as that takes little room itself.
    if (%8$s) is not true then
      perform set_config('odoo_eventd.room_%3$s', '', false);
      if pg_relation_size(to_regclass('odoo_eventd.capture_overflow'), 'main') < 67108864
         and has_table_privilege(to_regclass('odoo_eventd.capture_overflow'), 'insert') then
        insert into odoo_eventd.capture_overflow (xid, capture_id, at) values (pg_current_xact_id(), %3$s, now());
      end if;
      return null;
    end if;
    perform set_config('odoo_eventd.room_%3$s', case when is_one then %4$L else '' end, false);
    if tg_op = 'TRUNCATE' then
      insert into %5$s (id, xid, generation, op, record_id, at, user_id, old, new)
      values (nextval('odoo_eventd.outbox_id_seq'), pg_current_xact_id(), %6$s, 'T', 0, now(), null, null, null);
    elsif is_one then
      insert into %5$s (id, xid, generation, op, record_id, at, user_id, old, new)
      values (nextval('odoo_eventd.outbox_id_seq'), pg_current_xact_id(), %6$s, %12$s,
              record_no, now(), by_user, was, became);
    else
      -- More rows than are held in memory are written in here after all: one subtransaction id for a thousand rows.
      if gathered is null and not is_hard then
        begin
          execute format('insert into %5$s (id, xid, generation, op, record_id, at, user_id, old, new)
                          select nextval(''odoo_eventd.outbox_id_seq''), pg_current_xact_id(), %6$s, x.op, x.record_id, now(), x.user_id, x.old, x.new from (%%s) x where x.record_id is not null',
                         odoo_eventd.rows_query_now(tg_relid, tg_op, in_halves, unreadable, %10$s));
          get diagnostics how_many = row_count;
        exception when others then
          is_hard := true;
        end;
      end if;
      -- A value that cannot be made text, or a statement too large for what the session may use: what can be read is kept, pair
      -- by pair or apart.
      if is_hard then
        foreach candidate in array %9$L::name[] loop
          begin
            execute odoo_eventd.unreadable_columns_query(tg_relid, tg_op, candidate, candidate = any (%11$L::name[]));
          exception when others then
            unreadable := unreadable || candidate;
          end;
        end loop;
        begin
          execute format('insert into %5$s (id, xid, generation, op, record_id, at, user_id, old, new)
                          select nextval(''odoo_eventd.outbox_id_seq''), pg_current_xact_id(), %6$s, x.op, x.record_id, now(), x.user_id, x.old, x.new from (%%s) x where x.record_id is not null',
                         odoo_eventd.rows_query_now(tg_relid, tg_op, in_halves or how_many > 1000, unreadable, %10$s));
        exception when others then
          begin
            execute format('insert into %5$s (id, xid, generation, op, record_id, at, user_id, old, new)
                            select nextval(''odoo_eventd.outbox_id_seq''), pg_current_xact_id(), %6$s, x.op, x.record_id, now(), x.user_id, x.old, x.new from (%%s) x where x.record_id is not null',
                           odoo_eventd.rows_query_now(tg_relid, tg_op, true, %9$L, %10$s));
          exception when others then
            insert into odoo_eventd.capture_overflow (xid, capture_id, at, reason)
            values (pg_current_xact_id(), %3$s, now(), format('a write could not be captured: %%s', sqlstate));
          end;
        end;
      elsif gathered is not null then
        insert into %5$s (id, xid, generation, op, record_id, at, user_id, old, new)
        select nextval('odoo_eventd.outbox_id_seq'), pg_current_xact_id(), %6$s, (x.kept).op, (x.kept).record_id, now(),
          (x.kept).user_id, (x.kept).old, (x.kept).new
          from (select unnest(gathered) as kept) x;
        get diagnostics how_many = row_count;
      end if;
    end if;
  end if;
$body$, ring_table, 'odoo_eventd.outbox_id_seq', of_capture.capture_id,
        format('%s in %s', room, ring_table), ring_table, of_capture.generation, may_append, has_room, made.columns, as_made,
          made.whole, op_of_one, is_elsewhere, gathering);
end $$;
comment on function odoo_eventd.body_of_writing(odoo_eventd.capture, odoo_eventd.capture_generation, text, bigint, text, text,
  text, text) is
  'The part of a trigger function that writes what was gathered to the outbox, if it may and there is room, as SQL text.';
revoke all on function odoo_eventd.body_of_writing(odoo_eventd.capture, odoo_eventd.capture_generation, text, bigint, text, text,
  text, text) from public;

create or replace function odoo_eventd.still_of(row_name text, columns name[], types text[], in_groups boolean) returns text
language sql immutable security definer set search_path = pg_catalog, pg_temp
as $$
  -- In groups of one type each, which costs a plan less: a column that became what is turned into the group's type without a word
  -- is not noticed then, but its text is one of the group's type. That does not hold of times (a date), of texts (padded ones)
  -- and of floating-point numbers (numeric).
  select string_agg(t.test, E'\n                    and ' order by t.ord)
    from (select min(c.ord) as ord,
                 case when in_groups and g.of_type !~ '^(time|text|character|real|double)'
                      then format('odoo_eventd.is_still(array[%s], null::%s[])',
                        string_agg(format('%s.%I', row_name, c.name), ', ' order by c.ord), g.of_type)
                      else string_agg(format('odoo_eventd.is_still(%s.%I, null::%s)', row_name, c.name, c.type),
                        E'\n                    and ' order by c.ord) end as test
            from unnest(columns, types) with ordinality c (name, type, ord)
           cross join lateral (select regexp_replace(c.type, '[(][0-9,-]+[)]', '') as of_type) g
           group by g.of_type) t
$$;
comment on function odoo_eventd.still_of(text, name[], text[], boolean) is
  'A condition that is parsed and never run: an error once a column of a row was dropped, renamed or retyped.';
revoke all on function odoo_eventd.still_of(text, name[], text[], boolean) from public;

create or replace function odoo_eventd.capture_body(of_capture odoo_eventd.capture) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  installed odoo_eventd.installation;
  made odoo_eventd.capture_generation;
  is_of_links boolean := odoo_eventd.is_relation(of_capture);
  ring_table text;
  x record;
  author record;
  is_short text;
  still text; old_still text;
  never_old text; never_new text;
  as_made text;                                  -- the generation, as literals
  as_row boolean;                                -- a row's columns are told as one text
  is_elsewhere text;                             -- this is not the database or the table that it was made for
  unused text;
  id_type text;                                  -- null = a link, which has no id
begin
  select * into strict installed from odoo_eventd.installation;
  if not installed.capture or of_capture.switched_off or not of_capture.active then
    return odoo_eventd.idle_body(of_capture);
  end if;
  select * into strict made from odoo_eventd.capture_generation g where g.generation = of_capture.generation;
  select format('odoo_eventd.outbox_%s', r.current) into strict ring_table from odoo_eventd.ring r;

  select coalesce(string_agg(e.differs, E'\n            or ' order by e.ord) filter (where e.name = any (made.compared)), 'false')
    as differs,
         odoo_eventd.image_of(array_agg(e.plain_new order by e.ord)) as plain_new,
         odoo_eventd.image_of(array_agg(e.was order by e.ord)) as was,
         string_agg(format(e.size, 'n'), ', ' order by e.ord) filter (where e.most_size = 16384) as texts,
         string_agg(format(e.size, 'n'), ', ' order by e.ord) filter (where e.most_size = 4096) as others
    into x
    from odoo_eventd.captured_expressions(of_capture.table_oid, made.columns, made.types, made.whole) e;
  is_short := odoo_eventd.is_short(x.texts, x.others);
  select * into author from odoo_eventd.written_by(of_capture.table_oid);
  as_row := not is_of_links and odoo_eventd.is_told_as_row(made.types);
  still := odoo_eventd.still_of('n', made.columns, made.types, as_row);
  old_still := odoo_eventd.still_of('o', made.columns, made.types, as_row);
  if not is_of_links then
    -- Whose record a row is: an id of another type goes by the catalogue.
    id_type := coalesce((select format_type(a.atttypid, null) from pg_attribute a
                          where a.attrelid = of_capture.table_oid and a.attname = 'id' and not a.attisdropped
                            and a.atttypid in ('smallint'::regtype, 'integer'::regtype, 'bigint'::regtype)), 'integer');
    still := concat_ws(E'\n                    and ', format('odoo_eventd.is_still(n.id, null::%s)', id_type), still,
      author.still);
    old_still := concat_ws(E'\n                    and ', format('odoo_eventd.is_still(o.id, null::%s)', id_type), old_still);
  end if;
  still := concat_ws(E'\n                    and ', 'true', still);
  never_old := format('case when false then %s else true end', concat_ws(' and ', 'true', old_still));
  never_new := format('case when false then %s else true end', still);
  unused := format('case when false then (%s)::text end', still);
  as_made := format('%L::name[], %L::text[], %L::name[], %L::name[], %L::boolean', made.columns, made.types, made.compared,
    made.whole, is_of_links);

  is_elsewhere := format('current_database() <> %L or tg_relid <> %s', installed.database_name, of_capture.table_oid);

  return odoo_eventd.body_declarations(of_capture.generation)
  || case when is_of_links then E'  is_one := false;\n'
     when as_row then
       odoo_eventd.body_of_one_row(odoo_eventd.one_row_as_text('UPDATE', made.columns, made.compared, author.written,
         is_elsewhere, unused),
                                   odoo_eventd.one_row_as_text('INSERT', made.columns, made.compared, author.created,
                                     is_elsewhere, unused))
     else
       odoo_eventd.body_of_one_row(
         odoo_eventd.one_row_by_values('UPDATE', cardinality(made.columns), x.differs, author.written, is_short, x.plain_new,
           x.was, is_elsewhere, unused),
         odoo_eventd.one_row_by_values('INSERT', cardinality(made.columns), x.differs, author.created, is_short, x.plain_new,
           x.was, is_elsewhere, unused))
     end
  || odoo_eventd.body_of_writing(of_capture, made, ring_table, odoo_eventd.outbox_room(installed, ring_table),
       case when as_row then $q$'R'::"char"$q$ else $q$case when tg_op = 'UPDATE' then 'U'::"char" else 'I'::"char" end$q$ end,
       is_elsewhere,
       odoo_eventd.body_of_gathering(
         is_of_links,
         case when as_row then array[odoo_eventd.rows_as_text('UPDATE', made.columns, made.compared, author.written, unused),
                                     odoo_eventd.rows_as_text('INSERT', made.columns, made.compared, author.created, unused)] end,
         (select array_agg(odoo_eventd.rows_query(of_capture.table_oid, operation, made.columns, made.compared, made.types,
           made.whole, id_type,
                                                  old_still => never_old, new_still => never_new) order by place)
            from unnest(array['UPDATE', 'INSERT', 'DELETE']) with ordinality u (operation, place)),
         as_made),
       as_made)
  || odoo_eventd.doorbell(installed)
  || E'  return null;\nend ';
end $$;
comment on function odoo_eventd.capture_body(odoo_eventd.capture) is 'The body of a table''s trigger function, as SQL text.';

create or replace function odoo_eventd.capture_comment(of_capture odoo_eventd.capture) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
as $$
  -- The columns that tell who wrote a row are in the body, and in no generation.
  select format('Captures writes to %s for odoo-eventd. Stamps: %s', of_capture.model,
    md5(concat_ws(' ', w.created, w.written, w.still)))
    from odoo_eventd.written_by(of_capture.table_oid) w
$$;
comment on function odoo_eventd.capture_comment(odoo_eventd.capture)
  is 'What a trigger function that is as its table is has for a comment.';

create or replace function odoo_eventd.has_other_stamps(of_capture odoo_eventd.capture) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select of_capture.active and odoo_eventd.capture_comment(of_capture) is distinct from
         obj_description(to_regprocedure(format('odoo_eventd.%I()', odoo_eventd.capture_function_name(of_capture.model))),
           'pg_proc')
$$;
comment on function odoo_eventd.has_other_stamps(odoo_eventd.capture) is
  'Whether the columns that tell who wrote a row came, went or were retyped since the trigger function was made.';
revoke all on function odoo_eventd.capture_comment(odoo_eventd.capture) from public;
revoke all on function odoo_eventd.has_other_stamps(odoo_eventd.capture) from public;

create or replace function odoo_eventd.replace_capture_function(of_capture odoo_eventd.capture) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  pinned text;
begin
  -- Values are kept as text, so what shapes the text must not depend on the writer's session. Pinned where it matters only: each
  -- setting costs every call about a microsecond. JIT costs a hundred times what it could save here.
  select string_agg(' set ' || v.setting, '') into pinned
    from (values ('date|time|^ts', $pin$datestyle = 'ISO, YMD'$pin$), ('with time zone|^tstz', $pin$timezone = 'UTC'$pin$),
                 ('^interval', $pin$intervalstyle = 'postgres'$pin$),
                   ('^(double|real|point|line|lseg|box|path|polygon|circle)', 'extra_float_digits = 1'),
                 ('^money', $pin$lc_monetary = 'C'$pin$), ('^bytea[[]', $pin$bytea_output = 'hex'$pin$)) v (of_type, setting)
   where exists (select from odoo_eventd.capture_generation g cross join unnest(g.types) t cross join odoo_eventd.type_facts(t) f
                  where g.generation = of_capture.generation
                    and (format_type(f.base, null) ~ v.of_type or not f.is_ours_to_print
                      and (select y.typtype <> 'e' from pg_type y where y.oid = f.base)));
  execute format('create or replace function odoo_eventd.%I() returns trigger language plpgsql security definer '
                 'set search_path = pg_catalog, pg_temp set jit = off%s as %L',
                 odoo_eventd.capture_function_name(of_capture.model), pinned,
                 odoo_eventd.capture_body(of_capture));
  execute format('revoke all on function odoo_eventd.%I() from public', odoo_eventd.capture_function_name(of_capture.model));
  execute format('comment on function odoo_eventd.%I() is %L', odoo_eventd.capture_function_name(of_capture.model),
                 odoo_eventd.capture_comment(of_capture));
end $$;
comment on function odoo_eventd.replace_capture_function(odoo_eventd.capture) is 'Puts a table''s trigger function into force.';

create or replace function odoo_eventd.renew_generation(of_capture odoo_eventd.capture) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  renewed odoo_eventd.capture := of_capture;
begin
  -- What older functions wrote is read as they wrote it.
  insert into odoo_eventd.capture_generation (capture_id, columns, types, compared, whole)
    select g.capture_id, g.columns, g.types, g.compared, g.whole
      from odoo_eventd.capture_generation g where g.generation = of_capture.generation and g.format < 2
  returning generation into renewed.generation;
  if found then
    update odoo_eventd.capture c set generation = renewed.generation where c.capture_id = of_capture.capture_id returning *
      into renewed;
  else
    renewed := of_capture;
  end if;
  perform odoo_eventd.replace_capture_function(renewed);
end $$;
comment on function odoo_eventd.renew_generation(odoo_eventd.capture)
  is 'Puts a table''s trigger function into force as it is written now.';

create or replace function odoo_eventd.rename_capture_functions() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  known record;
begin
  -- Earlier installations named them so that two models could meet in one. A trigger goes on calling its function under the new
  -- name.
  for known in
    select odoo_eventd.capture_function_name(c.model) as new_name,
           (case when length(c.model) <= 50 then 'capture_' || replace(c.model, '.', '_')
                 else 'capture_' || left(replace(c.model, '.', '_'), 40) || '_' || left(md5(c.model), 8) end)::name as old_name
      from odoo_eventd.capture c
      join pg_trigger t on t.tgrelid = c.table_oid and t.tgname = 'odoo_eventd_insert'
      join pg_proc p on p.oid = t.tgfoid and p.pronamespace = 'odoo_eventd'::regnamespace
     where odoo_eventd.capture_function_name(c.model) <> p.proname
     order by c.capture_id
  loop
    if to_regprocedure(format('odoo_eventd.%I()', known.new_name)) is null
      and to_regprocedure(format('odoo_eventd.%I()', known.old_name)) is not null then
      execute format('alter function odoo_eventd.%I() rename to %I', known.old_name, known.new_name);
    end if;
  end loop;
end $$;
comment on function odoo_eventd.rename_capture_functions() is 'Gives trigger functions of earlier installations their names.';
revoke all on function odoo_eventd.renew_generation(odoo_eventd.capture) from public;
revoke all on function odoo_eventd.rename_capture_functions() from public;
