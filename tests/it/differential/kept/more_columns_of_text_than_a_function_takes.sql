-- Beyond 50 of them capture was drifted for ever, and there a NULL that became jsonb's null was no change.
-- @owner
select harness.declare_model('x.m0');
create table x_m0 (id serial primary key);
select harness.declare_field('x.m0', 'id', 'integer', null)
-- @owner
alter table x_m0 add column "f1" jsonb;
select harness.declare_field('x.m0', 'f1', 'char', null)
-- @owner
alter table x_m0 add column "f2" text;
select harness.declare_field('x.m0', 'f2', 'char', null)
-- @owner
alter table x_m0 add column "f3" jsonb;
select harness.declare_field('x.m0', 'f3', 'char', null)
-- @owner
alter table x_m0 add column "f4" text;
select harness.declare_field('x.m0', 'f4', 'char', null)
-- @owner
alter table x_m0 add column "f5" jsonb;
select harness.declare_field('x.m0', 'f5', 'char', null)
-- @owner
alter table x_m0 add column "f6" text;
select harness.declare_field('x.m0', 'f6', 'char', null)
-- @owner
alter table x_m0 add column "f7" jsonb;
select harness.declare_field('x.m0', 'f7', 'char', null)
-- @owner
alter table x_m0 add column "f8" text;
select harness.declare_field('x.m0', 'f8', 'char', null)
-- @owner
alter table x_m0 add column "f9" jsonb;
select harness.declare_field('x.m0', 'f9', 'char', null)
-- @owner
alter table x_m0 add column "f10" text;
select harness.declare_field('x.m0', 'f10', 'char', null)
-- @owner
alter table x_m0 add column "f11" jsonb;
select harness.declare_field('x.m0', 'f11', 'char', null)
-- @owner
alter table x_m0 add column "f12" text;
select harness.declare_field('x.m0', 'f12', 'char', null)
-- @owner
alter table x_m0 add column "f13" jsonb;
select harness.declare_field('x.m0', 'f13', 'char', null)
-- @owner
alter table x_m0 add column "f14" text;
select harness.declare_field('x.m0', 'f14', 'char', null)
-- @owner
alter table x_m0 add column "f15" jsonb;
select harness.declare_field('x.m0', 'f15', 'char', null)
-- @owner
alter table x_m0 add column "f16" text;
select harness.declare_field('x.m0', 'f16', 'char', null)
-- @owner
alter table x_m0 add column "f17" jsonb;
select harness.declare_field('x.m0', 'f17', 'char', null)
-- @owner
alter table x_m0 add column "f18" text;
select harness.declare_field('x.m0', 'f18', 'char', null)
-- @owner
alter table x_m0 add column "f19" jsonb;
select harness.declare_field('x.m0', 'f19', 'char', null)
-- @owner
alter table x_m0 add column "f20" text;
select harness.declare_field('x.m0', 'f20', 'char', null)
-- @owner
alter table x_m0 add column "f21" jsonb;
select harness.declare_field('x.m0', 'f21', 'char', null)
-- @owner
alter table x_m0 add column "f22" text;
select harness.declare_field('x.m0', 'f22', 'char', null)
-- @owner
alter table x_m0 add column "f23" jsonb;
select harness.declare_field('x.m0', 'f23', 'char', null)
-- @owner
alter table x_m0 add column "f24" text;
select harness.declare_field('x.m0', 'f24', 'char', null)
-- @owner
alter table x_m0 add column "f25" jsonb;
select harness.declare_field('x.m0', 'f25', 'char', null)
-- @owner
alter table x_m0 add column "f26" text;
select harness.declare_field('x.m0', 'f26', 'char', null)
-- @owner
alter table x_m0 add column "f27" jsonb;
select harness.declare_field('x.m0', 'f27', 'char', null)
-- @owner
alter table x_m0 add column "f28" text;
select harness.declare_field('x.m0', 'f28', 'char', null)
-- @owner
alter table x_m0 add column "f29" jsonb;
select harness.declare_field('x.m0', 'f29', 'char', null)
-- @owner
alter table x_m0 add column "f30" text;
select harness.declare_field('x.m0', 'f30', 'char', null)
-- @owner
alter table x_m0 add column "f31" jsonb;
select harness.declare_field('x.m0', 'f31', 'char', null)
-- @owner
alter table x_m0 add column "f32" text;
select harness.declare_field('x.m0', 'f32', 'char', null)
-- @owner
alter table x_m0 add column "f33" jsonb;
select harness.declare_field('x.m0', 'f33', 'char', null)
-- @owner
alter table x_m0 add column "f34" text;
select harness.declare_field('x.m0', 'f34', 'char', null)
-- @owner
alter table x_m0 add column "f35" jsonb;
select harness.declare_field('x.m0', 'f35', 'char', null)
-- @owner
alter table x_m0 add column "f36" text;
select harness.declare_field('x.m0', 'f36', 'char', null)
-- @owner
alter table x_m0 add column "f37" jsonb;
select harness.declare_field('x.m0', 'f37', 'char', null)
-- @owner
alter table x_m0 add column "f38" text;
select harness.declare_field('x.m0', 'f38', 'char', null)
-- @owner
alter table x_m0 add column "f39" jsonb;
select harness.declare_field('x.m0', 'f39', 'char', null)
-- @owner
alter table x_m0 add column "f40" text;
select harness.declare_field('x.m0', 'f40', 'char', null)
-- @owner
alter table x_m0 add column "f41" jsonb;
select harness.declare_field('x.m0', 'f41', 'char', null)
-- @owner
alter table x_m0 add column "f42" text;
select harness.declare_field('x.m0', 'f42', 'char', null)
-- @owner
alter table x_m0 add column "f43" jsonb;
select harness.declare_field('x.m0', 'f43', 'char', null)
-- @owner
alter table x_m0 add column "f44" text;
select harness.declare_field('x.m0', 'f44', 'char', null)
-- @owner
alter table x_m0 add column "f45" jsonb;
select harness.declare_field('x.m0', 'f45', 'char', null)
-- @owner
alter table x_m0 add column "f46" text;
select harness.declare_field('x.m0', 'f46', 'char', null)
-- @owner
alter table x_m0 add column "f47" jsonb;
select harness.declare_field('x.m0', 'f47', 'char', null)
-- @owner
alter table x_m0 add column "f48" text;
select harness.declare_field('x.m0', 'f48', 'char', null)
-- @owner
alter table x_m0 add column "f49" jsonb;
select harness.declare_field('x.m0', 'f49', 'char', null)
-- @owner
alter table x_m0 add column "f50" text;
select harness.declare_field('x.m0', 'f50', 'char', null)
-- @owner
alter table x_m0 add column "f51" jsonb;
select harness.declare_field('x.m0', 'f51', 'char', null)
-- @owner
alter table x_m0 add column "f52" text;
select harness.declare_field('x.m0', 'f52', 'char', null)
-- @owner
alter table x_m0 add column "f53" jsonb;
select harness.declare_field('x.m0', 'f53', 'char', null)
-- @owner
alter table x_m0 add column "f54" text;
select harness.declare_field('x.m0', 'f54', 'char', null)
-- @owner
alter table x_m0 add column "f55" jsonb;
select harness.declare_field('x.m0', 'f55', 'char', null)
-- @owner
insert into x_m0 (id) select i from generate_series(1, 4) i
-- @subscribe
insert into mcp_event_subscription (model) values ('x.m0')
-- @sync
-- @1
update x_m0 set f1 = 'null' where id = 1
-- @1
update x_m0 set f1 = '{"en_US": "a"}', f2 = 'a'
-- @1
delete from x_m0 where id = 1
