-- Purpose: the functions that read values take more arguments than before (which language sorts, whether archived records are listed, of
-- which company a value is), and one tells which subscriptions were edited: a program of one version must not call those of the other.
-- Locks: none that a reader or a writer waits for; rows of the catalogue.

drop function if exists odoo_eventd.order_of(text, name[]);
drop function if exists odoo_eventd.read_related(text, text, bigint[], text, integer);
drop function if exists odoo_eventd.read_records(text, bigint[], text[], bigint);
