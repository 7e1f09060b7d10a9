-- Who wrote was read from columns that had another type since.
-- @owner
select harness.declare_model('x.m0');
create table x_m0 (id serial primary key);
select harness.declare_field('x.m0', 'id', 'integer', null)
-- @owner
alter table x_m0 add column "write_uid" integer;
select harness.declare_field('x.m0', 'write_uid', 'many2one', null)
-- @owner
alter table x_m0 add column "write_date" timestamp;
select harness.declare_field('x.m0', 'write_date', 'datetime', null)
-- @owner
alter table x_m0 add column "note" text;
select harness.declare_field('x.m0', 'note', 'char', null)
-- @owner
insert into x_m0 (id) select i from generate_series(1, 4) i
-- @subscribe
insert into mcp_event_subscription (model) values ('x.m0')
-- @sync
-- @1
begin
-- @1
alter table x_m0 alter column write_uid type text using write_uid::text
-- @1
update x_m0 set note = 'a', write_uid = '7', write_date = now() at time zone 'utc' where id = 1
-- @1
commit
-- @1
alter table x_m0 alter column write_uid type bigint using write_uid::bigint
-- @1
update x_m0 set note = 'b' where id = 1
-- @1
delete from x_m0 where id = 2
