-- User text that looked like a mark of ours was taken for one.
-- @owner
select harness.declare_model('x.m0');
create table x_m0 (id serial primary key);
select harness.declare_field('x.m0', 'id', 'integer', null)
-- @owner
alter table x_m0 add column "note" text;
select harness.declare_field('x.m0', 'note', 'char', null)
-- @owner
alter table x_m0 add column "name" character varying;
select harness.declare_field('x.m0', 'name', 'char', null)
-- @owner
insert into x_m0 (id) select i from generate_series(1, 4) i
-- @subscribe
insert into mcp_event_subscription (model) values ('x.m0')
-- @sync
-- @1
update x_m0 set note = E'\x01gone', name = E'\x01null' where id = 1
-- @1
update x_m0 set note = E'\x01sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4f72b9807785afee48bb', name = E'\x01=' where id = 1
-- @1
update x_m0 set note = 'a', name = '=' where id = 1
-- @1
update x_m0 set note = '-', name = '?' where id = 1
-- @1
update x_m0 set note = '', name = null where id = 1
-- @1
delete from x_m0 where id = 1
