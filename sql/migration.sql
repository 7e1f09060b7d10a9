-- Purpose: applies one migration, unless the database has it; a part of install.sql, which sets `migration` and `version`.
-- Locks: those of the migration.

select left(:'migration', 6)::integer as number, left(:'migration', 6)::integer > :version as missing \gset
\if :missing
  \ir migrations/:migration.sql
  insert into odoo_eventd.schema_migration (version, name) values (:number, :'migration');
\endif
