-- Purpose: what Odoo's own RPC said about its fields (`odoo-eventd registry pull`), for the facts that no table tells.
-- Locks: none on Odoo's tables.

create table odoo_eventd.registry_pull (
  only_row   boolean primary key default true,
  pulled_at  timestamptz not null default now(),
  odoo_url   text not null,
  answer     jsonb not null,
  constraint registry_pull_is_one_row check (only_row)
);
comment on table odoo_eventd.registry_pull is
  'Domains of x2many fields, digits and dependencies, as Odoo''s fields_get told them; they go before the shipped list.';
comment on column odoo_eventd.registry_pull.answer is 'By model and field: {"domain", "digits", "depends"}, each only where it matters';
