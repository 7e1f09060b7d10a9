-- Purpose: installs or upgrades odoo-eventd with psql alone; the same that `odoo-eventd install` does.
--
--     psql -d odoo -f sql/install.sql
--     psql -d odoo -v listener=my_service -v installer=my_dbas -f sql/install.sql
--
-- Run as a superuser, or as (a member of) the role that owns Odoo's tables; only a superuser or CREATEROLE makes the roles.
-- One transaction, safe to run twice. Locks: none on Odoo's tables.

\set ON_ERROR_STOP on
\set QUIET on
\if :{?listener} \else \set listener odoo_eventd_listener \endif
\if :{?installer} \else \set installer odoo_eventd_installer \endif

begin;
\ir session.sql
\ir premises.sql
set local client_min_messages = warning;
-- Anybody can hold it: not for ever.
set local lock_timeout = '60s';
select pg_advisory_xact_lock(1868853103, 4) \g /dev/null
-- If a table of ours is in use for longer: nothing was changed, run this again.
set local lock_timeout = '1s';
select set_config('odoo_eventd.listener_role', :'listener', true),
  set_config('odoo_eventd.installer_role', :'installer', true) \g /dev/null
\ir roles.sql

select format('set local role %I', pg_get_userbyid(c.relowner)) from pg_class c where c.oid = 'public.ir_model'::regclass \gexec

-- Which migrations are there already; the table itself comes with the first.
select to_regclass('odoo_eventd.schema_migration') is not null as begun \gset
\if :begun
  select coalesce(max(version), 0) as version from odoo_eventd.schema_migration \gset
\else
  \set version 0
\endif

-- The only list of migrations and of functions, in the order in which they are applied: the program takes it from here
-- (embed.rs).

\set migration 000001_installation
\ir migration.sql
\set migration 000002_capture
\ir migration.sql
\set migration 000003_outbox
\ir migration.sql
\set migration 000004_subscriptions
\ir migration.sql
\set migration 000005_deliveries
\ir migration.sql
\set migration 000006_traffic
\ir migration.sql
\set migration 000007_feed
\ir migration.sql
\set migration 000008_tokens
\ir migration.sql
\set migration 000009_page_sessions
\ir migration.sql

select :version > :number as newer \gset
\if :newer
  do $newer$
  begin
    raise exception 'the installation is newer than these files' using hint = 'use the newer odoo-eventd that upgraded it';
  end $newer$;
\endif

\ir functions/guard.sql
\ir functions/grants.sql
\ir functions/operators.sql
\ir functions/registry.sql
\ir functions/models.sql
\ir functions/hold.sql
\ir functions/secrets.sql
\ir functions/callbacks.sql
\ir functions/subscriptions.sql
\ir functions/outbox_size.sql
\ir functions/capture_values.sql
\ir functions/capture_rows.sql
\ir functions/capture_body.sql
\ir functions/capture.sql
\ir functions/gaps.sql
\ir functions/locks.sql
\ir functions/relations.sql
\ir functions/drift.sql
\ir functions/outbox.sql
\ir functions/assistants.sql
\ir functions/traffic.sql
\ir functions/deliveries.sql
\ir functions/unsendable.sql
\ir functions/feed.sql
\ir functions/feed_blocks.sql
\ir functions/feed_leases.sql
\ir functions/records.sql
\ir functions/dead_letters.sql
\ir functions/emit.sql
\ir functions/operations.sql
\ir functions/preview.sql
\ir functions/subscription_reads.sql
\ir functions/subscription_writes.sql
\ir functions/delivery_reads.sql
\ir functions/history.sql
\ir functions/tokens.sql
\ir functions/page_sessions.sql
\ir functions/labels.sql
\ir functions/answered_requests.sql
\ir functions/views.sql
\ir functions/retention.sql
\ir functions/health.sql
\ir functions/installation.sql

select odoo_eventd.register_installation((select r.rolname from pg_roles r where r.rolname = :'listener')) \g /dev/null
commit;
