-- Purpose: the schema odoo_eventd, where everything internal lives, and what is known of the installation itself.
-- Locks: creates only; touches no table of Odoo's.
--
-- Run as the role that owns Odoo's tables. Nothing here is granted to a named role, on purpose: pg_dump would write the grant
-- into the dump, and pg_restore on a cluster without that role would end with exit code 1, which Odoo reports as a failed
-- restore. The listener works through the functions of this schema alone, which look at who called them (functions/guard.sql).

create schema odoo_eventd;
comment on schema odoo_eventd is
  'odoo-eventd: captures writes to Odoo''s tables and hands them to the webhook service. Remove with `odoo-eventd uninstall '
  '--purge`.';
-- Usage alone shows nobody anything: no table in here is granted, and every function checks its caller.
grant usage on schema odoo_eventd to public;

create table odoo_eventd.schema_migration (
  version    integer primary key,
  name       text not null,
  applied_at timestamptz not null default now()
);
comment on table odoo_eventd.schema_migration is 'Which migrations this database has; one row each.';
-- The one table that everybody may read: it says nothing, and is asked before anything else is known.
grant select on odoo_eventd.schema_migration to public;

create table odoo_eventd.installation (
  only_row          boolean primary key default true,
  epoch             uuid not null default gen_random_uuid(),
  database_name     name not null default current_database(),
  system_identifier bigint not null,
  database_uuid     text,
  listener_role     name,
  notify            boolean not null default true,
  capture           boolean not null default true,
  outbox_max_bytes  bigint not null default 8589934592,
  installed_at      timestamptz not null default now(),
  neutralized       boolean not null default false,
  constraint installation_has_one_row check (only_row)
);
comment on table odoo_eventd.installation is
  'What this installation belongs to. A copy of the database differs in at least one of these and stays silent until '
  '`odoo-eventd adopt`.';
comment on column odoo_eventd.installation.epoch is 'Part of every event id, so that ids from before a restore never come again.';
comment on column odoo_eventd.installation.database_uuid is 'Odoo''s own database.uuid, if it has one.';
comment on column odoo_eventd.installation.listener_role is
  'Who may call the listener''s functions, beside the owner; null = the owner only.';
comment on column odoo_eventd.installation.notify is 'false: no NOTIFY in any user''s transaction; the service polls.';
comment on column odoo_eventd.installation.capture is
  'false: every capture function returns at once (`odoo-eventd capture off`).';
comment on column odoo_eventd.installation.outbox_max_bytes is
  'What the rows of all outbox tables may take on disk, indexes aside (8 GiB); beyond it capture stops. Read when a function is '
  'made.';
comment on column odoo_eventd.installation.neutralized is
  'It was adopted while Odoo''s database.is_neutralized was set: that alone is no reason any more to deliver nothing';

create table odoo_eventd.allowed_model (model text primary key);
comment on table odoo_eventd.allowed_model is 'Models that may be subscribed; empty = all. Only the owner writes it.';

create table odoo_eventd.secret_field (
  model text not null,
  field text not null,
  primary key (model, field)
);
comment on table odoo_eventd.secret_field is
  'Fields of this database that hold secrets, beside the shipped list; model ''*'' = every model. Never captured, matched or '
  'sent.';

create table odoo_eventd.registry_pull (
  only_row  boolean primary key default true,
  pulled_at timestamptz not null default now(),
  odoo_url  text not null,
  answer    jsonb not null,
  constraint registry_pull_is_one_row check (only_row)
);
comment on table odoo_eventd.registry_pull is
  'Domains of x2many fields, digits and dependencies, as Odoo''s fields_get told them; they go before the shipped list.';
comment on column odoo_eventd.registry_pull.answer is
  'By model and field: {"domain", "digits", "depends"}, each only where it matters';

create table odoo_eventd.trouble (
  what    text primary key,
  error   text not null,
  times   bigint not null default 1,
  since   timestamptz not null default now(),
  last_at timestamptz not null default now()
);
comment on table odoo_eventd.trouble is 'What the service tries again and again without success. A row goes when it succeeds.';
comment on column odoo_eventd.trouble.what is 'What was tried, in words.';
