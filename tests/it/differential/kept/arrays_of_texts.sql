-- Arrays of texts have no octet_length: every UPDATE failed.
-- @owner
select harness.declare_model('x.m0');
create table x_m0 (id serial primary key);
select harness.declare_field('x.m0', 'id', 'integer', null)
-- @owner
alter table x_m0 add column "a" text[];
select harness.declare_field('x.m0', 'a', 'char', null)
-- @owner
alter table x_m0 add column "b" character varying[];
select harness.declare_field('x.m0', 'b', 'char', null)
-- @owner
alter table x_m0 add column "c" character(3)[];
select harness.declare_field('x.m0', 'c', 'char', null)
-- @owner
insert into x_m0 (id) select i from generate_series(1, 4) i
-- @subscribe
insert into mcp_event_subscription (model) values ('x.m0')
-- @sync
-- @1
insert into x_m0 (id, a, b, c) values (10, '{a}', '{b,null}', '{}')
-- @1
update x_m0 set a = '{b}' where id = 10
-- @1
update x_m0 set b = '{b}', c = '{xyz}'
-- @1
delete from x_m0 where id < 3
