-- Its records are hidden from whoever reads them for a link, a payload or a domain: such a model is refused. One whose owner may read all
-- of it is not.
-- @owner
select harness.declare_model('x.forced');
create table x_forced (id serial primary key, note text);
select harness.declare_field('x.forced', 'id', 'integer', null);
select harness.declare_field('x.forced', 'note', 'char', null);
alter table x_forced enable row level security;
alter table x_forced force row level security;
create policy others on x_forced using (id <> 3);
select harness.declare_model('x.owned');
create table x_owned (id serial primary key, note text);
select harness.declare_field('x.owned', 'id', 'integer', null);
select harness.declare_field('x.owned', 'note', 'char', null);
insert into x_owned (id) select i from generate_series(1, 6) i;
alter table x_owned enable row level security;
create policy others on x_owned using (id <> 3)
-- @subscribe refused
insert into mcp_event_subscription (name, model) values ('refused', 'x.forced')
-- @subscribe
insert into mcp_event_subscription (model) values ('x.owned')
-- @sync
-- @1
update x_owned set note = 'a' where id in (2, 3)
