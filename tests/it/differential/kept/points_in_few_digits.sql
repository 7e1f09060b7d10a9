-- Points are made of numbers too: a session's extra_float_digits rounded what was kept of them, and what differs by less was no change.
-- @owner
select harness.declare_model('x.m');
create table x_m (id serial primary key, place point);
select harness.declare_field('x.m', 'id', 'integer', null);
select harness.declare_field('x.m', 'place', 'char', null);
insert into x_m (id) select i from generate_series(1, 6) i
-- @subscribe
insert into mcp_event_subscription (model) values ('x.m')
-- @sync
-- @1
set extra_float_digits = -15
-- @1
update x_m set place = '(1.5,-2)' where id = 1
-- @1
update x_m set place = '(1.6,-2)' where id = 1
