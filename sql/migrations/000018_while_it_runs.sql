-- Purpose: what can change while the service runs, and has to be found out cheaply.
-- Locks: ACCESS EXCLUSIVE on odoo_eventd.subscription_need for a moment; touches no table of Odoo's.

-- Thousands of subscriptions need the same columns, and lists of names are slow to compare.
alter table odoo_eventd.subscription_need add column digest text;
update odoo_eventd.subscription_need n set digest = md5(concat_ws('/', n.columns::text, n.compared::text, n.whole::text));
comment on column odoo_eventd.subscription_need.digest is
  'Equal where columns, compared and whole are; null where it is not known: then nothing is said about others.';
