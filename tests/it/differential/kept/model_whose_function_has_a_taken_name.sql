-- A model named so took the name of a function of ours.
-- @owner
select harness.declare_model('triggers');
create table triggers (id serial primary key);
select harness.declare_field('triggers', 'id', 'integer', null)
-- @subscribe
insert into mcp_event_subscription (model) values ('triggers')
-- @sync
-- @1
insert into triggers values (1)
