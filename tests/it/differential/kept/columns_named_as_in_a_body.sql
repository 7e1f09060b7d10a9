-- Names of ours and of the table's columns shared a scope: every DELETE failed, or nothing was told.
-- @owner
select harness.declare_model('x.m0');
create table x_m0 (id serial primary key);
select harness.declare_field('x.m0', 'id', 'integer', null)
-- @owner
alter table x_m0 add column "by_user" text;
select harness.declare_field('x.m0', 'by_user', 'char', null)
-- @owner
alter table x_m0 add column "old_rows" text;
select harness.declare_field('x.m0', 'old_rows', 'char', null)
-- @owner
alter table x_m0 add column "new_rows" text;
select harness.declare_field('x.m0', 'new_rows', 'char', null)
-- @owner
alter table x_m0 add column "o" text;
select harness.declare_field('x.m0', 'o', 'char', null)
-- @owner
alter table x_m0 add column "n" text;
select harness.declare_field('x.m0', 'n', 'char', null)
-- @owner
alter table x_m0 add column "r" text;
select harness.declare_field('x.m0', 'r', 'char', null)
-- @owner
alter table x_m0 add column "j" text;
select harness.declare_field('x.m0', 'j', 'char', null)
-- @owner
alter table x_m0 add column "intact" text;
select harness.declare_field('x.m0', 'intact', 'char', null)
-- @owner
alter table x_m0 add column "one_row" text;
select harness.declare_field('x.m0', 'one_row', 'char', null)
-- @owner
alter table x_m0 add column "changed" text;
select harness.declare_field('x.m0', 'changed', 'char', null)
-- @owner
alter table x_m0 add column "texts" text;
select harness.declare_field('x.m0', 'texts', 'char', null)
-- @owner
alter table x_m0 add column "unused" text;
select harness.declare_field('x.m0', 'unused', 'char', null)
-- @owner
alter table x_m0 add column "tg_op" text;
select harness.declare_field('x.m0', 'tg_op', 'char', null)
-- @owner
alter table x_m0 add column "tg_relid" text;
select harness.declare_field('x.m0', 'tg_relid', 'char', null)
-- @owner
insert into x_m0 (id) select i from generate_series(1, 4) i
-- @subscribe
insert into mcp_event_subscription (model) values ('x.m0')
-- @sync
-- @1
insert into x_m0 (id, by_user, n) values (10, 'a', 'b')
-- @1
update x_m0 set old_rows = 'a' where id = 10
-- @1
update x_m0 set r = 'a', o = 'b', j = 'c', tg_op = 'd'
-- @1
delete from x_m0 where id < 3
