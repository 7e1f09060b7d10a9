-- In a session with standard_conforming_strings off a drifted capture's own literals warned the writer.
-- @owner
select harness.declare_model('x.m0');
create table x_m0 (id serial primary key);
select harness.declare_field('x.m0', 'id', 'integer', null)
-- @owner
alter table x_m0 add column "user_id" integer;
select harness.declare_field('x.m0', 'user_id', 'integer', null)
-- @owner
alter table x_m0 add column "note" text;
select harness.declare_field('x.m0', 'note', 'char', null)
-- @owner
insert into x_m0 (id) select i from generate_series(1, 4) i
-- @subscribe
insert into mcp_event_subscription (model) values ('x.m0')
-- @sync
-- @1
set standard_conforming_strings = off
-- @1
begin
-- @1
alter table x_m0 alter column user_id type date using case when user_id is not null then date '2020-01-01' end
-- @1
delete from x_m0 where id > 3
-- @1
update x_m0 set note = 'a'
-- @1
commit
