-- What an Odoo database says about its own models: the queries behind the Rust registry (src/pg/registry.rs).
--
-- Each query stands once, between two $query$ marks, and is used in two ways:
--   * installed: the function around it runs it with the owner's rights, so that the listener needs no SELECT on Odoo's
--     tables beyond these answers;
--   * not installed (`domain eval` on a database that never saw `install`): the program cuts the text out of this file and
--     runs it with the caller's own rights. It therefore names only pg_catalog and public, and takes no parameter.
-- Odoo's own columns differ between 16 and 19 (translate is boolean, then a selection; company_dependent, sanitize and abstract
-- come and go). A name that the row does not have is looked up in the query around it, where "absent" holds a null for each: an
-- absent column is null, never an error. (to_jsonb(row)->>'column' says the same at 40 times the cost: half a second for 12,000 fields.)
--
-- Everybody may call them and only the listener gets an answer (functions/guard.sql).
--
-- Locks: ACCESS SHARE on the tables read, nothing else.

create or replace function odoo_eventd.registry_models()
returns table (model text, table_name text, relkind text, is_partial boolean, has_id boolean, transient boolean,
               abstract boolean)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $function$
begin
    perform odoo_eventd.assert_listener();
    -- A table name is the model's with underscores, but for these (nothing in the database says so).
    return query execute $query$
        with named as (
            select m.model, m.is_transient, m.is_abstract,
                   coalesce(exception.table_name, replace(m.model, '.', '_')) as table_name
              from (select null::boolean as transient, null::boolean as abstract) absent
              cross join lateral (select d.model::text as model, transient::boolean as is_transient, abstract::boolean
                as is_abstract
                                    from public.ir_model d) m
              left join (values
                     ('ir.actions.actions', 'ir_actions'),
                     ('ir.actions.act_window', 'ir_act_window'),
                     ('ir.actions.act_window.view', 'ir_act_window_view'),
                     ('ir.actions.act_window_close', 'ir_actions'),
                     ('ir.actions.act_url', 'ir_act_url'),
                     ('ir.actions.client', 'ir_act_client'),
                     ('ir.actions.report', 'ir_act_report_xml'),
                     ('ir.actions.server', 'ir_act_server'),
                     ('ir.actions.todo', 'ir_actions_todo'),
                     ('project.task.stage.personal', 'project_task_user_rel')
                   ) exception (model, table_name) on exception.model = m.model
        )
        select n.model, n.table_name,
               -- Row level security that is forced on the owner too leaves out rows of whatever is read, without a word.
               case when c.relrowsecurity and c.relforcerowsecurity
                         and not exists (select from pg_catalog.pg_roles u where u.rolname = current_user
                           and (u.rolsuper or u.rolbypassrls))
                    then 'hidden' else c.relkind::text end,
               -- A parent or a child of INHERITS: one row may show in two tables.
               exists (select from pg_catalog.pg_inherits i where c.oid in (i.inhrelid, i.inhparent)),
               exists (select from pg_catalog.pg_attribute a
                         join pg_catalog.pg_type t on t.oid = a.atttypid
                         join pg_catalog.pg_roles r on r.oid = t.typowner and r.rolsuper
                        where a.attrelid = c.oid and a.attname = 'id' and not a.attisdropped),
               coalesce(n.is_transient, false),
               n.is_abstract
          from named n
          left join pg_catalog.pg_class c
            on c.relname = n.table_name and c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')
           -- What anybody else calls like a model's table is none, and a view is read only by those whose rights its owner has
           -- anyway: its functions are called with the rights of whoever reads it.
           and c.relowner = (select o.relowner from pg_catalog.pg_class o where o.oid = 'public.ir_model'::regclass)
           and (c.relkind <> 'v' or pg_has_role(c.relowner, session_user, 'member'))
    $query$;
end
$function$;
comment on function odoo_eventd.registry_models() is
    'Odoo''s models, each with the table it should live in and what the catalogue says about that table';

create or replace function odoo_eventd.registry_columns()
returns table (table_name text, column_name text, type_name text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
-- Names of types are compared with what they are called without quotes; here and where they are read.
set quote_all_identifiers = off
as $function$
begin
    perform odoo_eventd.assert_listener();
    return query execute $query$
        select c.relname::text, a.attname::text, pg_catalog.format_type(a.atttypid, null)
          from pg_catalog.pg_class c
          join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
         where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm')
           and c.relowner = (select o.relowner from pg_catalog.pg_class o where o.oid = 'public.ir_model'::regclass)
           and not (c.relrowsecurity and c.relforcerowsecurity
                    and not exists (select from pg_catalog.pg_roles u where u.rolname = current_user
                      and (u.rolsuper or u.rolbypassrls)))
    $query$;
end
$function$;
comment on function odoo_eventd.registry_columns() is
    'every column of the tables in Odoo''s schema with its type: which fields and relations really have a place';

create or replace function odoo_eventd.registry_fields()
returns table (model text, name text, ttype text, state text, stored boolean, required boolean, relation text,
               relation_field text, relation_table text, column1 text, column2 text, related text, domain text,
               translate boolean, company_dependent boolean, size integer, sanitized boolean)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $function$
begin
    perform odoo_eventd.assert_listener();
    return query execute $query$
        select f.model, f.name, f.ttype, f.state, f.stored, f.required, f.relation, f.relation_field, f.relation_table,
               f.column1, f.column2, f.related, f.domain, f.translate not in ('false', ''), f.company_dependent, f.size,
                 f.sanitized
          from (select null::boolean as company_dependent, null::boolean as sanitize) absent
          cross join lateral (
            select d.model::text as model, d.name::text as name, d.ttype::text as ttype, d.state::text as state,
                   coalesce(d.store, false) as stored, coalesce(d.required, false) as required, d.relation::text as relation,
                   d.relation_field::text as relation_field, d.relation_table::text as relation_table, d.column1::text as column1,
                   d.column2::text as column2, d.related::text as related, d.domain::text as domain,
                   -- boolean up to 18, 'standard' / 'html_translate' / 'xml_translate' or null from 19.
                   coalesce(d.translate::text, 'false') as translate,
                   coalesce(company_dependent::boolean, false) as company_dependent, d.size,
                   coalesce(sanitize::boolean, true) as sanitized
              from public.ir_model_fields d) f
    $query$;
end
$function$;
comment on function odoo_eventd.registry_fields() is 'Odoo''s fields as ir_model_fields declares them';

create or replace function odoo_eventd.registry_inherits_by_fields()
returns table (model text, parent text, link_field text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $function$
begin
    perform odoo_eventd.assert_listener();
    -- 16 keeps no ir_model_inherit. There a parent of _inherits shows in its fields: a model has each of them under the same
    -- name, and those it does not declare anew repeat the parent's through a many2one that must be set. On 17 to 19 this finds
    -- what the table tells; two models of the standard modules look the same and repeat a few fields by hand.
    return query execute $query$
        with field as materialized (
            select f.model::text as model, f.name::text as name, f.ttype::text as ttype, f.relation::text as relation,
                   f.related::text as related, coalesce(f.store, false) as stored
              from public.ir_model_fields f
        ), candidate as (
            select distinct link.model, link.relation as parent, link.name as link_field
              from field repeated
              join field link on link.model = repeated.model and link.ttype = 'many2one' and link.stored
               and repeated.related = link.name || '.' || repeated.name
             where not repeated.stored
               and (link.model, link.name) not in (('account.payment.method.line', 'payment_method_id'),
                                                   ('mrp.workcenter.productivity.loss', 'loss_id'))
        )
        select c.model, c.parent, c.link_field
          from candidate c
         where not exists (select from field theirs
                            where theirs.model = c.parent
                              and not exists (select from field own where own.model = c.model and own.name = theirs.name))
    $query$;
end
$function$;
comment on function odoo_eventd.registry_inherits_by_fields() is
  'the same as registry_inherits() where no table tells it (16): models that have all of another''s fields through one of their '
  'own';

create or replace function odoo_eventd.registry_inherits()
returns table (model text, parent text, link_field text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $function$
begin
    perform odoo_eventd.assert_listener();
    if odoo_eventd.own_table('ir_model_inherit') is null then
        return query select i.model, i.parent, i.link_field from odoo_eventd.registry_inherits_by_fields() i;
        return;
    end if;
    return query execute $query$
        select child.model::text, parent.model::text, link.name::text
          from public.ir_model_inherit i
          join public.ir_model child on child.id = i.model_id
          join public.ir_model parent on parent.id = i.parent_id
          -- Only _inherits parents have a link; _inherit ones are classes, not records.
          join public.ir_model_fields link on link.id = i.parent_field_id
    $query$;
end
$function$;
comment on function odoo_eventd.registry_inherits() is 'the _inherits parents of each model and the field that links to them';

create or replace function odoo_eventd.registry_defaults()
returns table (model text, field text, company_id integer, user_id integer, value jsonb)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $function$
begin
    perform odoo_eventd.assert_listener();
    -- A company-dependent value equal to its default is not stored from 18 on. Odoo looks the default up as its superuser:
    -- that user's own first, then the company's, then everybody's, the oldest of equals (the order of the rows here).
    return query execute $query$
        select f.model, f.name, d.company_id, d.user_id, d.json_value::jsonb
          from (select null::boolean as company_dependent) absent
          cross join lateral (
            select g.id, g.model::text as model, g.name::text as name, company_dependent::boolean as is_company_dependent
              from public.ir_model_fields g) f
          join public.ir_default d on f.id = d.field_id
         where f.is_company_dependent
           and d.condition is null and (d.user_id is null or d.user_id = 1)
         order by d.user_id nulls last, d.company_id nulls last, d.id
    $query$;
end
$function$;
comment on function odoo_eventd.registry_defaults() is 'the defaults of company-dependent fields, in the order Odoo prefers them';

create or replace function odoo_eventd.registry_properties()
returns table (model text, field text, field_id integer)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $function$
begin
    perform odoo_eventd.assert_listener();
    -- Gone from 18 on.
    if to_regclass('public.ir_property') is null then return; end if;
    -- Up to 17 nothing but these rows tells that a field depends on the company.
    return query execute $query$
        select f.model::text, f.name::text, f.id
          from public.ir_model_fields f
         where not coalesce(f.store, false) and coalesce(f.related, '') = ''
           and f.id in (select p.fields_id from public.ir_property p)
    $query$;
end
$function$;
comment on function odoo_eventd.registry_properties() is 'fields whose values are rows of ir_property (16 and 17)';

create or replace function odoo_eventd.registry_selections()
returns table (model text, field text, key text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $function$
begin
    perform odoo_eventd.assert_listener();
    return query execute $query$
        select f.model::text, f.name::text, s.value::text
          from public.ir_model_fields_selection s
          join public.ir_model_fields f on f.id = s.field_id
         order by s.field_id, s.sequence, s.id
    $query$;
end
$function$;
comment on function odoo_eventd.registry_selections() is 'the keys of selection fields, in their order';

create or replace function odoo_eventd.registry_facts()
returns table (base_version text, unaccent boolean, languages text[], modules text[], precisions jsonb, week_starts jsonb,
               company_roots jsonb)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $function$
begin
    perform odoo_eventd.assert_listener();
    return query execute $query$
        select (select m.latest_version::text from public.ir_module_module m where m.name = 'base'),
               -- Odoo uses unaccent() whenever its own schema has one with one argument, whoever made it. Here it is called with
               -- the rights of whoever logged in, so it must be a superuser's, as the extension's is, or of Odoo's role, where
               -- that has these rights anyway. Null: there is another, and what Odoo would answer cannot be asked.
               case when not exists (select from pg_catalog.pg_proc p
                                      where p.proname = 'unaccent' and p.pronargs = 1 and p.pronamespace = 'public'::regnamespace)
                                        then false
                    when (select count(*) from pg_catalog.pg_proc p
                           where p.proname = 'unaccent' and p.pronargs = 1 and p.pronamespace = 'public'::regnamespace) = 1
                     and exists (select from pg_catalog.pg_proc p join pg_catalog.pg_roles r on r.oid = p.proowner
                                  where p.oid = to_regprocedure('public.unaccent(pg_catalog.text)')
                                    and p.prorettype = 'pg_catalog.text'::regtype
                                    and (r.rolsuper
                                         or r.oid = (select o.relowner from pg_catalog.pg_class o
                                           where o.oid = 'public.ir_model'::regclass)
                                            and pg_has_role(r.oid, session_user, 'member'))) then true end,
               coalesce((select array_agg(l.code::text order by l.code) from public.res_lang l where l.active), '{}'),
               coalesce((select array_agg(m.name::text order by m.name) from public.ir_module_module m
                          where m.state in ('installed', 'to upgrade', 'to remove')), '{}'),
               coalesce((select jsonb_object_agg(p.name, p.digits) from public.decimal_precision p), '{}'),
               coalesce((select jsonb_object_agg(l.code, to_jsonb(l)->>'week_start') from public.res_lang l), '{}'),
               -- Branches exist from 17 on; a company without a path is its own root.
               coalesce((select jsonb_object_agg(c.id, coalesce(split_part(to_jsonb(c)->>'parent_path', '/', 1), c.id::text))
                           from public.res_company c), '{}')
    $query$;
end
$function$;
comment on function odoo_eventd.registry_facts() is 'version, languages, modules, precisions and the extensions Odoo would use';

create or replace function odoo_eventd.builtin_secret_fields()
returns table (model text, field text)
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
as $query$
    -- Declared fields whose value is a secret, in the standard modules of 16 to 19. '*' is every model. Matching on a secret
    -- is reading it, so these are refused in domains, watched fields, payloads and templates alike.
    values
        ('*', 'access_token'), ('*', 'api_key'), ('*', 'client_secret'), ('*', 'new_password'),
        ('*', 'oauth_access_token'), ('*', 'password'), ('*', 'private_key'), ('*', 'refresh_token'),
        ('*', 'secret_key'), ('*', 'signup_token'), ('*', 'totp_secret'), ('*', 'webhook_secret'),
        ('auth_totp.device', 'key'), ('auth_totp.wizard', 'code'), ('auth_totp.wizard', 'qrcode'),
        ('auth_totp.wizard', 'secret'), ('base.automation', 'webhook_uuid'),
        ('calendar.provider.config', 'cal_client_secret'),
        ('calendar.provider.config', 'microsoft_outlook_client_secret'), ('certificate.certificate', 'content'),
        ('certificate.certificate', 'pkcs12_password'), ('certificate.key', 'content'),
        ('certificate.key', 'pem_key'), ('change.password.own', 'confirm_password'),
        ('change.password.user', 'new_passwd'), ('delivery.carrier', 'prod_environment_token'),
        ('digest.digest', 'token'), ('discuss.channel', 'uuid'), ('fetchmail.server', 'google_gmail_access_token'),
        ('fetchmail.server', 'google_gmail_authorization_code'), ('fetchmail.server', 'google_gmail_refresh_token'),
        ('fetchmail.server', 'microsoft_outlook_access_token'),
        ('fetchmail.server', 'microsoft_outlook_refresh_token'), ('google.calendar.account', 'calendar_token'),
        ('google.drive.config', 'google_drive_authorization_code'), ('iap.account', 'account_token'),
        ('ir.actions.server', 'webhook_url'), ('ir.config_parameter', 'value'),
        ('ir.mail_server', 'google_gmail_access_token'), ('ir.mail_server', 'google_gmail_authorization_code'),
        ('ir.mail_server', 'google_gmail_refresh_token'), ('ir.mail_server', 'microsoft_outlook_access_token'),
        ('ir.mail_server', 'microsoft_outlook_refresh_token'), ('ir.mail_server', 'smtp_pass'),
        ('ir.mail_server', 'smtp_ssl_certificate'), ('ir.mail_server', 'smtp_ssl_private_key'),
        ('l10n_in.gstin.status', 'token'), ('mail.ice.server', 'credential'), ('mail.push.device', 'keys'),
        ('microsoft.calendar.account', 'calendar_token'), ('payment.provider', 'adyen_api_key'),
        ('payment.provider', 'adyen_hmac_key'), ('payment.provider', 'aps_access_code'),
        ('payment.provider', 'aps_sha_request'), ('payment.provider', 'aps_sha_response'),
        ('payment.provider', 'asiapay_secure_hash_secret'), ('payment.provider', 'authorize_signature_key'),
        ('payment.provider', 'authorize_transaction_key'), ('payment.provider', 'buckaroo_secret_key'),
        ('payment.provider', 'flutterwave_secret_key'), ('payment.provider', 'flutterwave_webhook_secret'),
        ('payment.provider', 'mercado_pago_access_token'), ('payment.provider', 'mercado_pago_refresh_token'),
        ('payment.provider', 'mollie_api_key'), ('payment.provider', 'nuvei_secret_key'),
        ('payment.provider', 'ogone_password'), ('payment.provider', 'ogone_shakey_in'),
        ('payment.provider', 'ogone_shakey_out'), ('payment.provider', 'paymob_api_key'),
        ('payment.provider', 'paymob_hmac_key'), ('payment.provider', 'paymob_secret_key'),
        ('payment.provider', 'paypal_access_token'), ('payment.provider', 'paypal_client_secret'),
        ('payment.provider', 'paypal_pdt_token'), ('payment.provider', 'payulatam_api_key'),
        ('payment.provider', 'payumoney_merchant_salt'), ('payment.provider', 'razorpay_access_token'),
        ('payment.provider', 'razorpay_key_secret'), ('payment.provider', 'razorpay_refresh_token'),
        ('payment.provider', 'razorpay_webhook_secret'), ('payment.provider', 'redsys_secret_key'),
        ('payment.provider', 'sips_secret'), ('payment.provider', 'stripe_secret_key'),
        ('payment.provider', 'stripe_webhook_secret'), ('payment.provider', 'toss_payments_secret_key'),
        ('payment.provider', 'worldline_api_key'), ('payment.provider', 'worldline_api_secret'),
        ('payment.provider', 'worldline_webhook_secret'), ('payment.provider', 'xendit_secret_key'),
        ('payment.provider', 'xendit_webhook_token'), ('payment.token', 'provider_ref'),
        ('pos.payment.method', 'adyen_api_key'), ('pos.payment.method', 'mp_bearer_token'),
        ('pos.payment.method', 'mp_webhook_secret_key'), ('pos.payment.method', 'pine_labs_security_token'),
        ('pos.payment.method', 'razorpay_api_key'), ('pos.payment.method', 'viva_wallet_api_key'),
        ('pos.payment.method', 'viva_wallet_bearer_token'), ('pos.payment.method', 'viva_wallet_client_secret'),
        ('pos.payment.method', 'viva_wallet_webhook_verification_key'), ('res.company', 'l10n_in_edi_password'),
        ('res.company', 'l10n_in_edi_token'), ('res.company', 'sms_twilio_auth_token'),
        ('res.config.settings', 'google_gmail_client_secret'), ('res.config.settings', 'google_translate_api_key'),
        ('res.config.settings', 'sfu_server_key'), ('res.config.settings', 'tenor_api_key'),
        ('res.config.settings', 'twilio_account_token'), ('res.config.settings', 'unsplash_access_key'),
        ('res.partner', 'signup_url'), ('res.users', 'google_calendar_rtoken'),
        ('res.users', 'google_calendar_sync_token'), ('res.users', 'google_calendar_token'),
        ('res.users', 'microsoft_calendar_rtoken'), ('res.users', 'microsoft_calendar_sync_token'),
        ('res.users', 'microsoft_calendar_token'), ('res.users', 'oauth_uid'), ('res.users.apikeys', 'index'),
        ('res.users.apikeys', 'key'), ('res.users.apikeys.show', 'key'),
        ('res.users.settings', 'google_calendar_rtoken'), ('res.users.settings', 'google_calendar_sync_token'),
        ('res.users.settings', 'google_calendar_token'), ('res.users.settings', 'microsoft_calendar_rtoken'),
        ('res.users.settings', 'microsoft_calendar_sync_token'), ('res.users.settings', 'microsoft_calendar_token'),
        ('sms.account.code', 'verification_code'), ('sms.twilio.account.manage', 'token'),
        ('social.account', 'facebook_access_token'), ('social.account', 'instagram_access_token'),
        ('social.account', 'linkedin_access_token'), ('social.account', 'twitter_oauth_token'),
        ('social.account', 'twitter_oauth_token_secret'), ('survey.survey', 'session_code')
$query$;
comment on function odoo_eventd.builtin_secret_fields() is
    'declared fields that hold secrets, as shipped; a site adds its own to odoo_eventd.secret_field';

create or replace function odoo_eventd.registry_secret_fields()
returns table (model text, field text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $function$
begin
    perform odoo_eventd.assert_listener();
    return query
        select b.model, b.field from odoo_eventd.builtin_secret_fields() b
        union
        select s.model, s.field from odoo_eventd.secret_field s;
end
$function$;
comment on function odoo_eventd.registry_secret_fields() is 'the shipped secret fields and the site''s own';

create or replace function odoo_eventd.registry_pulled()
returns table (pulled_at timestamptz, odoo_url text, answer jsonb)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $function$
begin
    perform odoo_eventd.assert_listener();
    return query select p.pulled_at, p.odoo_url, p.answer from odoo_eventd.registry_pull p;
end
$function$;
comment on function odoo_eventd.registry_pulled() is 'what `odoo-eventd registry pull` brought last; no row before the first';

create or replace function odoo_eventd.store_registry_pull(new_url text, new_answer jsonb)
returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $function$
begin
    perform odoo_eventd.assert_listener();
    insert into odoo_eventd.registry_pull (odoo_url, answer) values (new_url, new_answer)
    on conflict (only_row) do update set pulled_at = now(), odoo_url = excluded.odoo_url, answer = excluded.answer;
end
$function$;
comment on function odoo_eventd.store_registry_pull(text, jsonb)
  is 'keeps the answer of `odoo-eventd registry pull`, in place of the last';

create or replace function odoo_eventd.registry_stamp() returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $function$
declare
    inherits text;
begin
    perform odoo_eventd.assert_listener();
    -- 16 has no such table: there the fields tell it.
    if odoo_eventd.own_table('ir_model_inherit') is not null then
        select concat_ws(':', 3, count(*), sum(i.xmin::text::bigint)) into inherits from public.ir_model_inherit i;
    end if;
    -- Asked every few seconds: of Odoo's rows nothing is read but which version of each it is, by whomever it was written. Of
    -- tables and columns it is what they are called and of which type: their rows in the catalogue are new versions also after a
    -- trigger of ours was made, and whoever subscribes to another model would have all fields read anew.
    return (
        select md5(string_agg(known.what, ' ')) from (
            select concat_ws(':', 1, count(*), sum(f.xmin::text::bigint), max(f.id)) as what from public.ir_model_fields f
            union all select concat_ws(':', 2, count(*), sum(m.xmin::text::bigint), max(m.id)) from public.ir_model m
            union all select inherits
            union all select concat_ws(':', 4, count(*), sum(s.xmin::text::bigint), max(s.id))
              from public.ir_model_fields_selection s
            union all select concat_ws(':', 5, count(*), sum(d.xmin::text::bigint), max(d.id)) from public.ir_default d
            union all select concat_ws(':', 6, count(*), sum(m.xmin::text::bigint)) from public.ir_module_module m
            union all select concat_ws(':', 7, count(*), sum(l.xmin::text::bigint)) from public.res_lang l
            union all select concat_ws(':', 8, count(*), sum(c.xmin::text::bigint)) from public.res_company c
            union all select concat_ws(':', 9, count(*), sum(p.xmin::text::bigint)) from public.decimal_precision p
            union all select concat_ws(':', 10, count(*), sum(s.xmin::text::bigint)) from odoo_eventd.secret_field s
            union all select concat_ws(':', 11, count(*), sum(a.xmin::text::bigint)) from odoo_eventd.allowed_model a
            union all select concat_ws(':', 12, count(*), sum(r.xmin::text::bigint)) from odoo_eventd.registry_pull r
            union all select concat_ws(':', 13, count(*), sum(hashoidextended(p.proowner, 0))) from pg_proc p
              where p.proname = 'unaccent' and p.pronamespace = 'public'::regnamespace
            union all
            select concat_ws(':', 14, count(*),
              sum(hashtextextended(concat_ws(' ', c.relname, c.oid, c.relkind, c.relowner, c.relrowsecurity,
                               c.relforcerowsecurity,
                                 exists (select from pg_inherits i where c.oid in (i.inhrelid, i.inhparent))), 0)))
              from pg_class c
             where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')
            union all
            select concat_ws(':', 15, count(*), sum(hashnameextended(a.attname, a.attrelid::bigint # (a.atttypid::bigint << 31))))
              from pg_class c
              join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
             where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm')) known);
end
$function$;
comment on function odoo_eventd.registry_stamp() is
    'differs after any change of what the other functions here answer: fields, tables, modules, languages, companies';
