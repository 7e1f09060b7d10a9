-- A subscription changes what is captured while a serializable transaction is open; then it drifts the table itself.
-- @owner
create type mood as enum ('sad', 'ok', 'happy', 'select', 'a b', '')
-- @owner
create type pair as (a integer, "B b" text)
-- @owner
create type float8span as range (subtype = float8)
-- @owner
create domain dom_integers as integer[] check (value is null or cardinality(value) < 100)
-- @owner
create domain dom_dom as dom_text check (value is distinct from 'refused')
-- @owner
create domain dom_mood as mood
-- @owner
create domain dom_pair as pair
-- @owner
create type mood_span as range (subtype = mood)
-- @owner
create schema others; create type others.kind as enum ('a', 'b'); create domain others."Kind of" as others.kind
-- @owner
create collation folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false)
-- @admin
create extension if not exists hstore
-- @owner
create table log (id serial primary key, said text)
-- @owner
select harness.declare_model(E'x.m0')
-- @owner
create table "x_m0" (id serial primary key, "counter" integer default 0, "label" character varying) with (autovacuum_enabled = off);
select harness.declare_field(E'x.m0', E'id', 'integer', null)
-- @owner
select harness.declare_field(E'x.m0', E'counter', 'integer', null)
-- @owner
select harness.declare_field(E'x.m0', E'label', 'char', null)
-- @owner
alter table "x_m0" add column "f0" text;
select harness.declare_field(E'x.m0', E'f0', 'text', null)
-- @owner
alter table "x_m0" add column "returning" character varying;
select harness.declare_field(E'x.m0', E'returning', 'char', null)
-- @owner
alter table "x_m0" add column "public" character varying;
select harness.declare_field(E'x.m0', E'public', 'char', null)
-- @owner
alter table "x_m0" add column "f3" character varying;
select harness.declare_field(E'x.m0', E'f3', 'char', null)
-- @owner
alter table "x_m0" add column "f4" text;
select harness.declare_field(E'x.m0', E'f4', 'text', null)
-- @owner
alter table "x_m0" add column "漢字" jsonb;
select harness.declare_field(E'x.m0', E'漢字', 'char', null)
-- @owner
alter table "x_m0" add column "into" character varying;
select harness.declare_field(E'x.m0', E'into', 'char', null)
-- @owner
alter table "x_m0" add column "f68" character varying;
select harness.declare_field(E'x.m0', E'f68', 'char', null)
-- @owner
alter table "x_m0" add column "f69" jsonb;
select harness.declare_field(E'x.m0', E'f69', 'char', null)
-- @owner
alter table "x_m0" add column "f70" text;
select harness.declare_field(E'x.m0', E'f70', 'text', null)
-- @owner
alter table "x_m0" add column "🙂" jsonb;
select harness.declare_field(E'x.m0', E'🙂', 'char', null)
-- @owner
alter table "x_m0" add column "create_uid" text;
select harness.declare_field(E'x.m0', E'create_uid', 'char', null)
-- @owner
alter table "x_m0" add column "create_date" timestamp without time zone;
select harness.declare_field(E'x.m0', E'create_date', 'datetime', null)
-- @owner
alter table "x_m0" add column "write_uid" integer;
select harness.declare_field(E'x.m0', E'write_uid', 'many2one', E'res.users')
-- @owner
alter table "x_m0" add column "write_date" timestamp without time zone;
select harness.declare_field(E'x.m0', E'write_date', 'datetime', null)
-- @owner
select harness.declare_model(E'x.m1')
-- @owner
create table "x_m1" ("n" integer default 0, id serial primary key, "label" character varying, "f0" text) with (autovacuum_enabled = off);
select harness.declare_field(E'x.m1', E'id', 'integer', null)
-- @owner
select harness.declare_field(E'x.m1', E'n', 'integer', null)
-- @owner
select harness.declare_field(E'x.m1', E'label', 'char', null)
-- @owner
select harness.declare_field(E'x.m1', E'f0', 'html', null)
-- @owner
alter table "x_m1" add column "check" int8range;
select harness.declare_field(E'x.m1', E'check', 'char', null)
-- @owner
alter table "x_m1" add column "strict" character varying(20)[];
select harness.declare_field(E'x.m1', E'strict', 'char', null)
-- @owner
alter table "x_m1" add column "f3" int8range;
select harness.declare_field(E'x.m1', E'f3', 'char', null)
-- @owner
alter table "x_m1" add column "create_uid" integer;
select harness.declare_field(E'x.m1', E'create_uid', 'many2one', E'res.users')
-- @owner
alter table "x_m1" add column "create_date" timestamp without time zone;
select harness.declare_field(E'x.m1', E'create_date', 'datetime', null)
-- @owner
alter table "x_m1" add column "write_uid" integer;
select harness.declare_field(E'x.m1', E'write_uid', 'many2one', E'res.users')
-- @owner
alter table "x_m1" add column "write_date" timestamp without time zone;
select harness.declare_field(E'x.m1', E'write_date', 'datetime', null)
-- @owner
alter table "x_m0" add column "base_0_id" integer;
select harness.declare_field(E'x.m0', E'base_0_id', 'many2one', E'x.m1')
-- @owner
alter table "x_m0" add foreign key ("base_0_id") references "x_m1" (id) on delete cascade deferrable initially deferred
-- @owner
alter table "x_m0" add column "z_1_id" integer;
select harness.declare_field(E'x.m0', E'z_1_id', 'many2one', E'x.m1')
-- @owner
alter table "x_m0" add foreign key ("z_1_id") references "x_m1" (id) on delete set default on update set null
-- @owner
alter table "x_m0" add column "ref_2_id" integer;
select harness.declare_field(E'x.m0', E'ref_2_id', 'many2one', E'x.m1')
-- @owner
alter table "x_m0" add foreign key ("ref_2_id") references "x_m1" (id) on delete no action
-- @owner
alter table "x_m1" add column "a_0_id" integer;
select harness.declare_field(E'x.m1', E'a_0_id', 'many2one', E'x.m1')
-- @owner
alter table "x_m1" add foreign key ("a_0_id") references "x_m1" (id) on delete no action
-- @owner
create table "rel_ünï" ("left_id" integer not null, "right_id" integer not null, primary key ("left_id", "right_id")) with (autovacuum_enabled = off)
-- @owner
alter table "rel_ünï" add foreign key ("left_id") references "x_m0" (id) on delete cascade
-- @owner
alter table "rel_ünï" add foreign key ("right_id") references "x_m1" (id) on delete cascade
-- @owner
select harness.declare_link(E'x.m0', E'tag0_ids', E'x.m1', E'rel_ünï', E'left_id', E'right_id')
-- @owner
insert into "x_m0" (id, "counter") select i, i from generate_series(1, 6) i
-- @owner
select setval(pg_get_serial_sequence(E'"x_m0"', 'id'), 100)
-- @owner
insert into "x_m1" (id, "n") select i, i from generate_series(1, 6) i
-- @owner
select setval(pg_get_serial_sequence(E'"x_m1"', 'id'), 100)
-- @owner
insert into "rel_ünï" ("left_id", "right_id") values (1, 1), (1, 2), (2, 1)
-- @owner
create function touch_0(of_id integer) returns integer language plpgsql as $touch$
declare
  touched integer;
begin
  update "x_m0" set "counter" = coalesce("counter", 0) + 1 where id = of_id;
  get diagnostics touched = row_count;
  delete from "x_m0" where id = of_id + 5;
  insert into "x_m0" (id) values (of_id + 5) on conflict do nothing;
  return touched;
end $touch$
-- @owner
create function touch_1(of_id integer) returns integer language plpgsql as $touch$
declare
  touched integer;
begin
  update "x_m1" set "n" = coalesce("n", 0) + 1 where id = of_id;
  get diagnostics touched = row_count;
  delete from "x_m1" where id = of_id + 5;
  insert into "x_m1" (id) values (of_id + 5) on conflict do nothing;
  return touched;
end $touch$
-- @owner
create function hook_0() returns trigger language plpgsql as $hook$
begin
  if pg_trigger_depth() > 2 then return null; end if;
  update "x_m1" set "n" = 3 where id = old.id; return null;
end $hook$
-- @owner
create trigger odoo_eventd_z_0 after delete on "x_m0" for each row execute function hook_0()
-- @owner
grant all on all tables in schema public to harness_writer; grant usage on all sequences in schema public to harness_writer
-- @owner
select harness.declare_model(E'x.refused')
-- @owner
create table x_refused (id serial primary key, n integer)
-- @owner
create table x_heir () inherits (x_refused)
-- @owner
select harness.declare_field(E'x.refused', E'id', 'integer', null)
-- @owner
select harness.declare_field(E'x.refused', E'n', 'integer', null)
-- @admin
do $set$ begin execute format('alter database %I ', current_database()) || $v$set password_encryption = 'md5'$v$; end $set$
-- @admin
do $set$ begin execute format('alter database %I ', current_database()) || $v$set geqo_generations = '1'$v$; end $set$
-- @admin
do $set$ begin execute format('alter database %I ', current_database()) || $v$set standard_conforming_strings = off$v$; end $set$
-- @subscribe
insert into mcp_event_subscription (model, event_type, fields, payload_fields) values (E'x.m0', 'all', E'{}', E'{}')
-- @subscribe
insert into mcp_event_subscription (model, event_type, fields, payload_fields) values (E'x.m1', 'all', E'{}', E'{}')
-- @subscribe refused
insert into mcp_event_subscription (name, model) values ('refused', E'x.refused')
-- @sync
-- @0
rollback to savepoint s1
-- @0
insert into "x_m1" (id, "create_uid") values (8, E'5') on conflict (id) do update set "create_date" = "x_m1"."create_date", "write_uid" = E'5', "create_uid" = NULL, "f0" = NULL
-- @0
commit
-- @1
delete from "x_heir" where id = 8
-- @0
prepare p22 (integer) as insert into "x_heir" (id) values ($1) on conflict do nothing
-- @0
with a as (insert into "x_m1" (id, "create_uid", "write_date", "strict", "f3") values (5, E'2', E'12020-01-01 00:00:00', E'{}', E'(1,5]'), (223, E'3', E'12020-01-01 00:00:00', E'{}', E'(,)') returning id), b as (delete from "x_m1" where id = 6 returning id) select (select count(*) from a), (select count(*) from b)
-- @0
rollback
-- @1
begin
-- @1
update "x_heir" set "n" = E'8' where id = 1 returning id
-- @1
insert into "log" (id, "said") values (224, E'b'), (6, E'A') returning id
-- @1
execute p9 (6)
-- @1
execute p9 (6)
-- @1
execute p9 (6)
-- @1
commit
-- @2
insert into "x_refused" (id) select i from generate_series(5001, 6364) i
-- @2
begin
-- @2
update "x_refused" set "n" = E'3' where id > 5000
-- @2
delete from "x_refused" where id > 5000
-- @2
commit
-- @2
begin isolation level repeatable read
-- @2
commit
-- @0
begin isolation level serializable
-- @0
insert into "log" ("said") select "said" from "log" where id in (6) order by id on conflict (id) do update set "said" = NULL
-- @subscribe
insert into mcp_event_subscription (model, event_type, fields, payload_fields) values (E'x.m1', 'all', E'{"a_0_id","write_date","create_uid","write_uid","n"}', E'{}')
-- @look
-- @0
savepoint s0
-- @0
update "log" t set "said" = v.c0 from (values (7, (E'b')::text), (3, (E'"')::text), (4, (E'b')::text), (8, (E'b')::text)) as v (id, c0) where t.id = v.id
-- @0
insert into "x_refused" ("n") select "n" from "x_refused" where id = 7 order by id on conflict (id) do update set "n" = E'1'
-- @0
update "x_refused" set "n" = coalesce("n", 0) + 1 where true
-- @0
alter table "x_m0" add column x_new_36 integer default E'-1'
-- @0
select harness.declare_field(E'x.m0', E'x_new_36', 'integer', null)
-- @0
update "x_m0" set x_new_36 = NULL where id < 4
-- @0
update "x_m1" t set "label" = v.c0, "write_date" = v.c1, "create_uid" = v.c2, "write_uid" = v.c3 from (values (2, (NULL)::character varying, (E'0044-03-15 12:00:00 BC')::timestamp without time zone, (E'3')::integer, (E'7')::integer), (1, (E'A')::character varying, (E'2020-01-02 03:04:05.6')::timestamp without time zone, (E'3')::integer, (E'8')::integer), (5, (NULL)::character varying, (now() at time zone 'utc')::timestamp without time zone, (E'7')::integer, (E'1')::integer)) as v (id, c0, c1, c2, c3) where t.id = v.id
-- @0
execute p22 (2)
-- @0
execute p22 (2)
-- @0
alter table "x_m1" alter column "write_uid" drop default, alter column "write_uid" type boolean using "write_uid" <> 0
-- @0
update "x_m1" set "write_uid" = "write_uid" where id < 5
-- @0
alter type mood rename to x_new_38
-- @0
update "x_m0" set id = id
-- @0
alter type x_new_38 rename to mood
-- @0 prepared
insert into "x_refused" ("n") values (E'7'), (E'8')
-- @0
commit

