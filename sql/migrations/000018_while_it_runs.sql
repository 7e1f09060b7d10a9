-- Purpose: what can change while the service runs, and has to be found out cheaply.
-- Locks: ACCESS EXCLUSIVE on odoo_eventd.installation and odoo_eventd.subscription_need for a moment; touches no table of Odoo's.

-- `adopt` also settles that a database is neutralized; else nothing but removing Odoo's own parameter would.
alter table odoo_eventd.installation add column neutralized boolean not null default false;
comment on column odoo_eventd.installation.neutralized is
  'It was adopted while Odoo''s database.is_neutralized was set: that alone is no reason any more to deliver nothing';

-- Thousands of subscriptions need the same columns, and lists of names are slow to compare.
alter table odoo_eventd.subscription_need add column digest text;
update odoo_eventd.subscription_need n set digest = md5(concat_ws('/', n.columns::text, n.compared::text, n.whole::text));
comment on column odoo_eventd.subscription_need.digest is
  'Equal where columns, compared and whole are; null where it is not known: then nothing is said about others.';
