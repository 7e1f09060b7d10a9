-- Purpose: refuses what somebody else has prepared: a schema, a table or a function that would be taken for ours.
-- Locks: none; reads the catalogue.
--
-- A session that may do more than the role that owns Odoo's tables, a superuser's above all, becomes that role for what follows, and could
-- be made to become itself again by whatever that role has hung on our tables. So then nothing may hang there that is not ours.

do $premises$
declare
  ours constant name := 'odoo_eventd';
  owner oid := (select c.relowner from pg_class c where c.oid = to_regclass('public.ir_model') and c.relkind = 'r');
  is_begun constant boolean := exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
                                        where n.nspname = ours and c.relname = 'schema_migration');
  foreign_thing text;
begin
  if owner is null then
    raise exception 'database "%" has no table public.ir_model: it is not an Odoo database', current_database()
      using errcode = 'undefined_table';
  end if;
  select format('schema "%s" belongs to "%s"', n.nspname, pg_get_userbyid(n.nspowner)) into foreign_thing
    from pg_namespace n where n.nspname = ours and n.nspowner <> owner;
  if foreign_thing is null and not is_begun then
    select format('schema "%s" is there and was not made by odoo-eventd', n.nspname) into foreign_thing from pg_namespace n where n.nspname = ours;
  end if;
  if foreign_thing is null then
    select format('%s belongs to "%s"', o.thing, pg_get_userbyid(o.owned_by)) into foreign_thing
      from (select format('table or view "%s"', c.oid::regclass), c.relowner from pg_class c
             where c.relnamespace = to_regnamespace(ours) and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
                or c.relnamespace = 'public'::regnamespace and c.relname in ('mcp_event_subscription', 'mcp_webhook_delivery',
                     'mcp_record_callback', 'mcp_event_subscription_view', 'mcp_webhook_delivery_view')
            union all
            select format('function "%s"', p.oid::regprocedure), p.proowner from pg_proc p where p.pronamespace = to_regnamespace(ours)
            union all
            select format('type "%s"', t.oid::regtype), t.typowner from pg_type t where t.typnamespace = to_regnamespace(ours)
            union all
            -- What a trigger of theirs does is done with the rights of whoever writes the table.
            select format('trigger "%s" on "%s"', t.tgname, t.tgrelid::regclass), p.proowner
              from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_proc p on p.oid = t.tgfoid
             where not t.tgisinternal and not exists (select from pg_roles r where r.oid = p.proowner and r.rolsuper)
               and (c.relnamespace = to_regnamespace(ours)
                    or c.relnamespace = 'public'::regnamespace
                       and c.relname in ('mcp_event_subscription', 'mcp_webhook_delivery', 'mcp_record_callback'))) o (thing, owned_by)
     where o.owned_by <> owner limit 1;
  end if;
  if foreign_thing is null and not is_begun then
    select format('table or view "%s" is there and was not made by odoo-eventd', c.oid::regclass) into foreign_thing
      from pg_class c where c.relnamespace = 'public'::regnamespace
       and c.relname in ('mcp_event_subscription', 'mcp_webhook_delivery', 'mcp_record_callback') limit 1;
  end if;
  if foreign_thing is not null then
    raise exception '%: odoo-eventd does not take it over', foreign_thing
      using errcode = 'duplicate_object', hint = 'Find out who made it and what for; rename or drop it, and install again.';
  end if;
  if pg_has_role(owner, session_user, 'member') or not is_begun then
    return;
  end if;
  with our_relation (id) as (
    select c.oid from pg_class c
     where c.relnamespace = to_regnamespace(ours)
        or c.relnamespace = 'public'::regnamespace and c.relname in ('mcp_event_subscription', 'mcp_webhook_delivery', 'mcp_record_callback',
             'mcp_event_subscription_view', 'mcp_webhook_delivery_view')
  )
  select o.thing into foreign_thing
    from (select format('trigger "%s" on "%s"', t.tgname, t.tgrelid::regclass)
            from pg_trigger t join our_relation r on r.id = t.tgrelid join pg_proc p on p.oid = t.tgfoid
           where not t.tgisinternal
             and (p.pronamespace <> to_regnamespace(ours) or not p.prosecdef
                    and p.prosrc <> E'\nbegin\n  raise exception ''the history of subscriptions is only appended to'' using errcode = ''object_not_in_prerequisite_state'';\nend ')
          union all
          select format('rule "%s" on "%s"', w.rulename, w.ev_class::regclass)
            from pg_rewrite w join our_relation r on r.id = w.ev_class where w.rulename <> '_RETURN'
          union all
          select format('row security of "%s"', c.oid::regclass) from pg_class c join our_relation r on r.id = c.oid where c.relrowsecurity
          union all
          select format('relation "%s", which is no table', c.oid::regclass) from pg_class c
           where c.relnamespace = to_regnamespace(ours)
             and (c.relkind in ('m', 'f') or c.relkind = 'v' and c.relname not in ('outbox', 'position', 'feed'))
          union all
          select format('column "%s" of "%s", by its type "%s",', a.attname, a.attrelid::regclass, t.oid::regtype)
            from pg_attribute a join our_relation r on r.id = a.attrelid join pg_type t on t.oid = a.atttypid
           where a.attnum > 0 and not a.attisdropped
             and not exists (select from pg_roles l where l.oid = t.typowner and l.rolsuper)
          union all
          -- What belongs to the catalogue is not in pg_depend.
          select format('an expression of "%s", which calls "%s",', r.id::regclass, p.oid::regprocedure)
            from pg_depend d
            join pg_proc p on d.refclassid = 'pg_proc'::regclass and p.oid = d.refobjid and p.pronamespace <> 'pg_catalog'::regnamespace
            join our_relation r on r.id = case d.classid
                   when 'pg_class'::regclass then (select coalesce(i.indrelid, d.objid) from (select) one left join pg_index i on i.indexrelid = d.objid)
                   when 'pg_attrdef'::regclass then (select f.adrelid from pg_attrdef f where f.oid = d.objid)
                   when 'pg_constraint'::regclass then (select k.conrelid from pg_constraint k where k.oid = d.objid)
                   when 'pg_rewrite'::regclass then (select w.ev_class from pg_rewrite w where w.oid = d.objid) end) o (thing)
   limit 1;
  if foreign_thing is not null then
    raise exception '% is not ours, and could act as "%" while it installs', foreign_thing, session_user
      using errcode = 'insufficient_privilege', hint = format('Install as the role "%s", or remove it.', pg_get_userbyid(owner));
  end if;
end $premises$;
