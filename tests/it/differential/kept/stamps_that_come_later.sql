-- Who wrote a row is told once a table has the columns for it, and what is retyped of them does not slow every write down for ever.
-- @owner
select harness.declare_model('x.m');
create table x_m (id serial primary key, note text);
select harness.declare_field('x.m', 'id', 'integer', null);
select harness.declare_field('x.m', 'note', 'char', null);
insert into x_m (id) select i from generate_series(1, 6) i
-- @subscribe
insert into mcp_event_subscription (model) values ('x.m')
-- @sync
-- @1
alter table x_m add column write_uid integer
-- @1
alter table x_m add column write_date timestamp without time zone
-- @sync
-- @1
update x_m set note = 'a', write_uid = 7, write_date = now() at time zone 'utc' where id = 1
-- @1
alter table x_m alter column write_uid type text
-- @sync
-- @1
update x_m set note = 'b', write_uid = '7', write_date = now() at time zone 'utc' where id = 1
