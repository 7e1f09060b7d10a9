-- Purpose: images in which no text of a user can be taken for a mark of ours, and rows that are made before they are written.
-- Locks: ACCESS EXCLUSIVE on odoo_eventd.capture_generation and odoo_eventd.capture_overflow for the moment of adding a column. Neither is read by a
-- capture function; a full outbox lets one write to the second.

-- Rows of the outbox that were written before this migration are of format 1 and are read as such: see the comments on outbox_0.
alter table odoo_eventd.capture_generation add column format smallint not null default 1;
alter table odoo_eventd.capture_generation alter column format set default 2;
comment on column odoo_eventd.capture_generation.format is
  'How outbox.old and outbox.new are to be read. 1: a value that begins with U+0001 is a mark. 2: with op I, U, D values are as they are, and of an update the old '
  'image has null = unchanged, empty = was NULL, else a tagged value; with i, u, d each value is tagged. Tags: = the value, # its SHA-256, ~ a digest of a huge one, '
  '- the column is gone, ? it could not be read. One value more than there are columns tells columns that were retyped since, as JSON.';
comment on column odoo_eventd.outbox_0.new is 'Captured columns after, as text, in the order of capture_generation.columns; see capture_generation.format.';
comment on column odoo_eventd.outbox_0.old is 'The same columns before; see capture_generation.format.';
comment on column odoo_eventd.outbox_0.op is 'I, U, D, T (truncate); i, u, d when values are tagged. Of one transaction the ids do not tell the order of a record''s rows: an inner statement''s trigger fires first.';

alter table odoo_eventd.capture_overflow add column reason text;
comment on column odoo_eventd.capture_overflow.reason is 'Why; null = the outbox was full.';

create type odoo_eventd.captured_row as (op "char", record_id bigint, user_id integer, old text[], new text[]);
comment on type odoo_eventd.captured_row is 'What a capture function gathers before it writes.';
