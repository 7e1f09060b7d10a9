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
select set_config('odoo_eventd.listener_role', :'listener', true), set_config('odoo_eventd.installer_role', :'installer', true) \g /dev/null
\ir roles.sql

select format('set local role %I', pg_get_userbyid(c.relowner)) from pg_class c where c.oid = 'public.ir_model'::regclass \gexec

-- Which migrations are there already; the table itself comes with the first.
select to_regclass('odoo_eventd.schema_migration') is not null as begun \gset
\if :begun
  select coalesce(max(version), 0) as version from odoo_eventd.schema_migration \gset
\else
  \set version 0
\endif
select :version < 1 as m1, :version < 2 as m2, :version < 3 as m3, :version < 4 as m4, :version < 5 as m5, :version < 6 as m6,
       :version < 7 as m7, :version < 8 as m8, :version < 9 as m9, :version < 10 as m10, :version < 11 as m11, :version < 12 as m12,
       :version < 13 as m13, :version < 14 as m14, :version < 15 as m15, :version < 16 as m16, :version < 17 as m17, :version < 18 as m18,
       :version < 19 as m19, :version < 20 as m20, :version < 21 as m21 \gset
\if :m1
  \ir migrations/000001_internal_tables.sql
  insert into odoo_eventd.schema_migration (version, name) values (1, '000001_internal_tables');
\endif
\if :m2
  \ir migrations/000002_subscriptions.sql
  insert into odoo_eventd.schema_migration (version, name) values (2, '000002_subscriptions');
\endif
\if :m3
  \ir migrations/000003_delivery_log.sql
  insert into odoo_eventd.schema_migration (version, name) values (3, '000003_delivery_log');
\endif
\if :m4
  \ir migrations/000004_registry_pull.sql
  insert into odoo_eventd.schema_migration (version, name) values (4, '000004_registry_pull');
\endif
\if :m5
  \ir migrations/000005_relations.sql
  insert into odoo_eventd.schema_migration (version, name) values (5, '000005_relations');
\endif
\if :m6
  \ir migrations/000006_payload.sql
  insert into odoo_eventd.schema_migration (version, name) values (6, '000006_payload');
\endif
\if :m7
  \ir migrations/000007_delivery_options.sql
  insert into odoo_eventd.schema_migration (version, name) values (7, '000007_delivery_options');
\endif
\if :m8
  \ir migrations/000008_secrets_and_callbacks.sql
  insert into odoo_eventd.schema_migration (version, name) values (8, '000008_secrets_and_callbacks');
\endif
\if :m9
  \ir migrations/000009_drift.sql
  insert into odoo_eventd.schema_migration (version, name) values (9, '000009_drift');
\endif
\if :m10
  \ir migrations/000010_operations.sql
  insert into odoo_eventd.schema_migration (version, name) values (10, '000010_operations');
\endif
\if :m11
  \ir migrations/000011_waiting.sql
  insert into odoo_eventd.schema_migration (version, name) values (11, '000011_waiting');
\endif
\if :m12
  \ir migrations/000012_assistants.sql
  insert into odoo_eventd.schema_migration (version, name) values (12, '000012_assistants');
\endif
\if :m13
  \ir migrations/000013_progress.sql
  insert into odoo_eventd.schema_migration (version, name) values (13, '000013_progress');
\endif
\if :m14
  \ir migrations/000014_error_details.sql
  insert into odoo_eventd.schema_migration (version, name) values (14, '000014_error_details');
\endif
\if :m15
  \ir migrations/000015_troubles.sql
  insert into odoo_eventd.schema_migration (version, name) values (15, '000015_troubles');
\endif
\if :m16
  \ir migrations/000016_tagged_values.sql
  insert into odoo_eventd.schema_migration (version, name) values (16, '000016_tagged_values');
\endif
\if :m17
  \ir migrations/000017_adopted_neutralized.sql
  insert into odoo_eventd.schema_migration (version, name) values (17, '000017_adopted_neutralized');
\endif
\if :m18
  \ir migrations/000018_while_it_runs.sql
  insert into odoo_eventd.schema_migration (version, name) values (18, '000018_while_it_runs');
\endif
\if :m19
  \ir migrations/000019_values_of_all_versions.sql
  insert into odoo_eventd.schema_migration (version, name) values (19, '000019_values_of_all_versions');
\endif
\if :m20
  \ir migrations/000020_rows_as_text.sql
  insert into odoo_eventd.schema_migration (version, name) values (20, '000020_rows_as_text');
\endif
\if :m21
  \ir migrations/000021_tokens.sql
  insert into odoo_eventd.schema_migration (version, name) values (21, '000021_tokens');
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
\ir functions/deliveries.sql
\ir functions/unsendable.sql
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
\ir functions/answered_requests.sql
\ir functions/views.sql
\ir functions/retention.sql
\ir functions/health.sql
\ir functions/installation.sql

select odoo_eventd.register_installation((select r.rolname from pg_roles r where r.rolname = :'listener')) \g /dev/null
commit;
