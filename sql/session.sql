-- Purpose: how the statements that follow are read, whatever the database, the role or the session says. To the end of the
-- transaction.
-- Locks: none.
--
-- Names are looked for in the catalogue alone. Whoever may make objects in a schema of the path could else make a function, an
-- operator or a view that suits a statement better than what it means, and it would run with the rights of whoever installs.

set local search_path = pg_catalog, pg_temp;
set local quote_all_identifiers = off;
set local standard_conforming_strings = on;
set local backslash_quote = safe_encoding;
set local transform_null_equals = off;
set local array_nulls = on;
set local datestyle = 'ISO, YMD';
set local intervalstyle = 'postgres';
