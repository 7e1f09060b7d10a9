-- Purpose: looking for deliveries that wait costs the same however many were sent lately.
-- Locks: SHARE on odoo_eventd.delivery while its index of unfinished deliveries is built anew; touches no table of Odoo's.
--
-- What is sent at once entered the same stretch of the index as what waits, and left it again: dead entries, which stay for as long as
-- any transaction of the cluster is open, before the first live one. Now it has a stretch of its own.

drop index odoo_eventd.delivery_due_idx;
create index delivery_due_idx on odoo_eventd.delivery (state, subscription_id, due_at) where due_at is not null;
