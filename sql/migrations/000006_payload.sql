-- Purpose: a place for the sentence behind a failed attempt's word, such as the line in which a template failed.
-- Locks: ACCESS EXCLUSIVE on the log for as long as the catalogue takes; touches no table of Odoo's.

alter table public.mcp_webhook_delivery add column error_detail text;
comment on column public.mcp_webhook_delivery.error_detail is 'What exactly went wrong, where more than the word is known; never a value of a record';
