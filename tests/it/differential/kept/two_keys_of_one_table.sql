-- One key cascades and the other is emptied: the unlink was followed by a write.
-- @owner
select harness.declare_model('x.m0');
create table x_m0 (id serial primary key);
select harness.declare_field('x.m0', 'id', 'integer', null)
-- @owner
alter table x_m0 add column "name" text;
select harness.declare_field('x.m0', 'name', 'char', null)
-- @owner
insert into x_m0 (id) select i from generate_series(1, 4) i
-- @owner
select harness.declare_model('x.item');
create table x_item (id serial primary key, base_id integer references x_m0 on delete set null, list_id integer references x_m0 on delete cascade);
select harness.declare_field('x.item', 'id', 'integer', null);
select harness.declare_field('x.item', 'base_id', 'many2one', 'x.m0');
select harness.declare_field('x.item', 'list_id', 'many2one', 'x.m0');
insert into x_item (id, base_id, list_id) values (1, 1, 1), (2, 2, 1), (3, 1, 2)
-- @subscribe
insert into mcp_event_subscription (model) values ('x.m0'), ('x.item')
-- @sync
-- @1
delete from x_m0 where id = 1
-- @1
delete from x_m0
