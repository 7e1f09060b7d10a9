-- Purpose: what people call Odoo's models and fields, and users by their logins.
-- Locks: ACCESS SHARE on ir_model, ir_model_fields and res_users.

create or replace function odoo_eventd.translated(value jsonb, lang text) returns text
language sql immutable set search_path = pg_catalog, pg_temp
as $$
  select case jsonb_typeof(value) when 'object' then coalesce(value ->> lang, value ->> 'en_US') else value #>> '{}' end
$$;
comment on function odoo_eventd.translated(jsonb, text) is
  'A translated value in a language, or in English: Odoo keeps one as an object, and one without translations as text.';
revoke all on function odoo_eventd.translated(jsonb, text) from public;

create or replace function odoo_eventd.model_labels(lang text) returns table (model text, label text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  return query select m.model::text, odoo_eventd.translated(to_jsonb(m.name), lang) from public.ir_model m;
end $$;
comment on function odoo_eventd.model_labels(text) is 'What people call the models, in a language.';

create or replace function odoo_eventd.field_labels(of_model text, lang text) returns table (field text, label text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  return query select f.name::text, odoo_eventd.translated(to_jsonb(f.field_description), lang)
                 from public.ir_model_fields f where f.model = of_model;
end $$;
comment on function odoo_eventd.field_labels(text, text) is 'What people call a model''s fields, in a language.';

create or replace function odoo_eventd.user_labels(ids integer[]) returns table (id integer, login text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  return query select u.id, u.login::text from public.res_users u where u.id = any (ids);
end $$;
comment on function odoo_eventd.user_labels(integer[]) is 'The logins of these Odoo users.';
