-- Plants something under every name that our SQL calls or could reach, in front of what it means; whatever runs moves a sequence, which
-- no rollback undoes. Settings: trap.schema is where to plant, trap.sources all our SQL and Rust.

do $trap$
declare
  home constant text := pg_catalog.current_setting('trap.schema');
  sources constant text := pg_catalog.current_setting('trap.sources');
  words text[];
  known record;
  variant text[];
  planted record;
  arguments text;
  names_of_types constant text[] := '{text,varchar,name,int4,int8,oid,jsonb,"char",timestamptz,timestamp,text[],bool,regclass}';
  l text;
  r text;
  of_result text;
begin
  words := array(select distinct m[1] from regexp_matches(sources, '[a-z_][a-z_0-9]*', 'g') m);

  -- Functions, aggregates too: with their own arguments, for whoever looks here first, and with such as match an argument better.
  for known in
    select p.proname, p.prokind, array(select format_type(t, null) from unnest(p.proargtypes) with ordinality u (t, n) order by n) as types,
           format_type(p.prorettype, null) as result
      from pg_proc p
     where p.pronamespace = 'pg_catalog'::regnamespace and p.proname = any (words) and not p.proretset and p.provariadic = 0
       and p.pronargs <= 6 and p.prorettype::regtype::text !~ '^(internal|cstring|any.*|trigger|event_trigger|language_handler|void|record|"any")$'
       and not exists (select from unnest(p.proargtypes) t
                        where t::regtype::text ~ '^(internal|cstring|any.*|"any"|trigger|event_trigger|record|unknown)$')
  loop
    perform trap.sequence_for('function ' || known.proname);
    for planted in
      select distinct v.types from (
        select known.types
        union all select array(select s from unnest(known.types) k, unnest(array[s.to_type]) s) from unnest('{text}'::text[]) s (to_type)
        union all select array(select case when k in ('text', 'name', 'character varying', '"any"') then s.to_type else k end from unnest(known.types) with ordinality u (k, n) order by n)
                    from unnest('{text,name,character varying}'::text[]) s (to_type)
        union all select array(select case when k in ('integer', 'bigint', 'oid', 'smallint') then s.to_type else k end from unnest(known.types) with ordinality u (k, n) order by n)
                    from unnest('{integer,bigint,oid,smallint}'::text[]) s (to_type)
        union all select array(select case when n = at.place then s.to_type else k end from unnest(known.types) with ordinality u (k, n) order by n)
                    from generate_subscripts(known.types, 1) at (place), unnest('{text,name,character varying,integer,bigint,jsonb}'::text[]) s (to_type)
      ) v (types)
    loop
      arguments := array_to_string(planted.types, ', ');
      begin
        execute format('create function %I.%I(%s) returns %s language plpgsql as %L', home, known.proname, arguments, known.result,
                       format('begin perform pg_catalog.nextval(%L); raise log %L, current_user; %s end',
                              format('trap.%I', 'function ' || known.proname), 'trap: ' || replace(known.proname, '%', '%%') || '(' || arguments || ') ran as %',
                              case when known.prokind = 'f'
                                   then format('return pg_catalog.%I(%s);', known.proname,
                                               coalesce((select string_agg(format('$%s::%s', n, t), ', ' order by n)
                                                           from unnest(known.types) with ordinality u (t, n)), ''))
                                   else 'return null;' end));
      exception when others then
        null;  -- planted already, or not to be had in this form
      end;
    end loop;
  end loop;

  -- Operators.
  perform trap.sequence_for('operator');
  for known in
    select o.oprname, (array_agg(format_type(o.oprresult, null) order by o.oprresult))[1] as result
      from pg_operator o
     where o.oprkind = 'b' and o.oprnamespace = 'pg_catalog'::regnamespace and o.oprresult <> 0
       and (position(' ' || o.oprname || ' ' in sources) > 0)
     group by o.oprname
  loop
    foreach l in array names_of_types loop
      foreach r in array names_of_types loop
        begin
          of_result := known.result;
          execute format('create or replace function %I.%I(%s, %s) returns %s language plpgsql as %L', home, 'trap ' || of_result, l, r, of_result,
                         format('begin perform pg_catalog.nextval(''trap.operator''); raise log %L, current_user; %s end',
                                'trap: an operator of ' || l || ', ' || r || ' ran as %',
                                'return null;'));
          execute format('create operator %I.%s (leftarg = %s, rightarg = %s, function = %I.%I)', home, known.oprname, l, r, home,
                         'trap ' || of_result);
        exception when others then
          null;
        end;
      end loop;
    end loop;
  end loop;

  -- Relations of the catalogue, as views; and what of ours may be looked for without its schema.
  perform trap.sequence_for('relation');
  execute format('create function %I.trap_row() returns boolean language plpgsql as %L', home,
                 'begin perform pg_catalog.nextval(''trap.relation''); raise log ''trap: a view ran as %'', current_user; return true; end');
  for known in
    select c.relname, (select string_agg(quote_ident(a.attname), ', ' order by a.attnum) from pg_attribute a
                        where a.attrelid = c.oid and a.attnum > 0 and a.atttypid <> 'anyarray'::regtype) as columns
      from pg_class c where c.relnamespace = 'pg_catalog'::regnamespace and c.relkind in ('r', 'v') and c.relname = any (words)
  loop
    execute format('create view %I.%I as select oid_and_others.* from (select %s from pg_catalog.%I) oid_and_others where %I.trap_row()', home, known.relname,
                   known.columns, known.relname, home);
  end loop;

  -- Types: a cast to one runs its check.
  perform trap.sequence_for('type');
  execute format('create function %I.trap_check(anyelement) returns boolean language plpgsql as %L', home,
                 'begin perform pg_catalog.nextval(''trap.type''); raise log ''trap: a type ran as %'', current_user; return true; end');
  for known in
    select t.typname from pg_type t
     where t.typnamespace = 'pg_catalog'::regnamespace and t.typtype = 'b' and t.typname = any (words)
       and t.typname !~ '^(_|pg_|reg|xid|oidvector|int2vector)'
  loop
    begin
      execute format('create domain %I.%I as pg_catalog.%I check (%I.trap_check(value))', home, known.typname, known.typname, home);
    exception when others then
      null;
    end;
  end loop;
end $trap$;
