-- What is read of a table after the outbox waited for the table's rewrite under a snapshot from before it, and found the table empty.
-- @owner
select harness.declare_model('x.m2');
create table x_m2 (id serial primary key, f40 jsonb, note text);
select harness.declare_field('x.m2', 'id', 'integer', null);
select harness.declare_field('x.m2', 'f40', 'char', null);
select harness.declare_field('x.m2', 'note', 'char', null);
create table x_rel (left_id integer not null references x_m2 on delete cascade, right_id integer not null, primary key (left_id, right_id));
select harness.declare_link('x.m2', 'tag_ids', 'x.m2', 'x_rel', 'left_id', 'right_id');
insert into x_m2 (id) select i from generate_series(1, 6) i
-- @subscribe
insert into mcp_event_subscription (model) values ('x.m2')
-- @sync
-- @1
insert into x_rel values (3, 3)
-- @1
delete from x_rel where right_id = 3
-- @2
alter table x_m2 alter column f40 drop default, alter column f40 type varchar using f40 ->> 'en_US'
