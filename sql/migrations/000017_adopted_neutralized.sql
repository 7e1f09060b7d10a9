-- Purpose: `adopt` also settles that a database is neutralized; else nothing but removing Odoo's own parameter would.
-- Locks: ACCESS EXCLUSIVE on odoo_eventd.installation for a moment; touches no table of Odoo's.

alter table odoo_eventd.installation add column neutralized boolean not null default false;
comment on column odoo_eventd.installation.neutralized is
  'It was adopted while Odoo''s database.is_neutralized was set: that alone is no reason any more to deliver nothing';
