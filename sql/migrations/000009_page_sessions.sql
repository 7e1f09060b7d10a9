-- Purpose: who is logged in on the web page, and links that log somebody in once.
-- Locks: creates only; a reference to odoo_eventd.token takes SHARE ROW EXCLUSIVE on it for a moment.

create table odoo_eventd.page_session (
  digest   bytea primary key,
  token_id integer not null references odoo_eventd.token on delete cascade,
  begun_at timestamptz not null default now(),
  ends_at  timestamptz not null,
  constraint page_session_digest_is_a_sha256 check (octet_length(digest) = 32)
);
create index page_session_of_token_idx on odoo_eventd.page_session (token_id, begun_at);
comment on table odoo_eventd.page_session is
  'Who is logged in on the web page. Of a session''s key only its SHA-256 is kept. A session is worth as much as its token: it '
  'ends with it.';

create table odoo_eventd.login_link (
  digest   bytea primary key,
  token_id integer not null references odoo_eventd.token on delete cascade,
  ends_at  timestamptz not null,
  constraint login_link_digest_is_a_sha256 check (octet_length(digest) = 32)
);
create index login_link_of_token_idx on odoo_eventd.login_link (token_id);
comment on table odoo_eventd.login_link is 'Links that begin a session of the web page, each once. The row goes when the link is used.';
