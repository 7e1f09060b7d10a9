-- Purpose: a subscription needs more than its model's own table: relation tables of many2many fields, the tables of children
-- (one2many) and of parents (_inherits).
-- Locks: ACCESS EXCLUSIVE on an internal table of our own, for a moment; touches no table of Odoo's.

alter table odoo_eventd.subscription_need drop constraint subscription_need_pkey, add primary key (subscription_id, model);
comment on table odoo_eventd.subscription_need is
  'Columns that each subscription needs captured, of each table: field names only, checked against Odoo''s metadata when they are used.';
comment on column odoo_eventd.subscription_need.model is
  'The subscription''s own model, another one, or the name of a many2many field''s relation table.';
comment on column odoo_eventd.capture.model is 'A model, or the name of a many2many field''s relation table.';
