-- Statement triggers fire inner first: a create was told as a write, an unlink not at all.
-- @owner
select harness.declare_model('x.m0');
create table x_m0 (id serial primary key);
select harness.declare_field('x.m0', 'id', 'integer', null)
-- @owner
alter table x_m0 add column "counter" integer default 0;
select harness.declare_field('x.m0', 'counter', 'integer', null)
-- @owner
insert into x_m0 (id) select i from generate_series(1, 4) i
-- @owner
create function hook() returns trigger language plpgsql as $hook$
begin
  if pg_trigger_depth() > 2 then return null; end if;
  update x_m0 set counter = coalesce(counter, 0) + 1 where id = new.id;
  return null;
end $hook$
-- @owner
create trigger aaa after insert or update on x_m0 for each row execute function hook()
-- @subscribe
insert into mcp_event_subscription (model) values ('x.m0')
-- @sync
-- @1
insert into x_m0 (id) values (10), (11)
-- @1
update x_m0 set counter = 7 where id = 1
-- @1
begin
-- @1
insert into x_m0 (id) values (12)
-- @1
delete from x_m0 where id in (2, 12)
-- @1
commit
