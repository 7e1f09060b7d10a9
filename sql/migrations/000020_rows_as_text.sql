-- Purpose: a row of many columns is kept as the text of one row (op R): a plan that names each column once costs a fraction of one that makes each a text.
-- Locks: none that a reader or a writer waits for; comments in the catalogue. A program of an earlier version cannot read such rows.

comment on column odoo_eventd.outbox_0.op is
  'I, U, D, T (truncate); i, u, d when values are tagged; R: an insert (old is null) or an update whose images are one text each, the row as PostgreSQL writes a composite '
  'value. Of one transaction the ids do not tell the order of a record''s rows: an inner statement''s trigger fires first.';
