-- Purpose: an attempt's error_detail is recorded with it, by a function of one parameter more. A service that records without it, and an
-- installation that does not know it, must not meet: the number tells them apart.
-- Locks: SHARE UPDATE EXCLUSIVE on mcp_webhook_delivery for a moment; touches no table of Odoo's.

comment on column public.mcp_webhook_delivery.error_detail is
  'What exactly went wrong, where more than the word of error is known: which address was blocked, what is wrong with a certificate, which '
  'line of a template; never a value of a record';
