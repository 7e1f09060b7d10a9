-- A small database that looks to a program as one of Odoo 18 does.
--
-- Apply it to an empty database as an ordinary role that owns it:
--     psql -v ON_ERROR_STOP=1 -f odoo_shaped.sql
-- It needs nothing else: no extension, no superuser. It also runs as a single batch in one transaction.
--
-- Odoo makes its tables from the declarations of its models and writes the same declarations down in ir_model and
-- ir_model_fields. So does this script: section 1 declares, section 2 makes tables and metadata from the declarations,
-- section 3 adds what no declaration tells (that exists in Odoo too), section 4 fills in rows, section 5 adds
-- constraints and indexes. Names and types are those of Odoo 18, which clients have to know; labels, rows and the choice
-- of fields are our own. Real tables are wider: sale_order has 52 columns, res_partner 77.

SET client_min_messages = warning;


-- ====================================================================================================================
-- 1. Declarations
-- ====================================================================================================================

-- kind: table (with Odoo's four audit columns), bare (a table without them), view, or abstract (a mixin: no relation).
-- relname is null where it is the model's name with underscores. Nothing in a real database says so either.
CREATE TEMPORARY TABLE declared_model (
    ordinal   serial,
    model     text PRIMARY KEY,
    kind      text NOT NULL,
    relname   text,
    label     text NOT NULL,
    sort      text NOT NULL DEFAULT 'id',
    transient boolean NOT NULL DEFAULT false
);

INSERT INTO declared_model (model, kind, label, sort) VALUES
    ('base',                      'abstract', 'Base',                'id'),
    ('mail.thread',               'abstract', 'Discussion',          'id'),
    ('ir.model',                  'table',    'Models',              'model'),
    ('ir.model.fields',           'table',    'Fields',              'name, id'),
    ('ir.model.fields.selection', 'table',    'Fields Selection',    'sequence, id'),
    ('ir.model.inherit',          'bare',     'Model Inheritance',   'id'),
    ('ir.module.module',          'table',    'Module',              'application desc, sequence, name'),
    ('ir.config_parameter',       'table',    'System Parameter',    'key'),
    ('ir.default',                'table',    'Default Values',      'id'),
    ('ir.attachment',             'table',    'Attachment',          'id desc'),
    ('res.lang',                  'table',    'Language',            'active desc, name'),
    ('decimal.precision',         'table',    'Decimal Precision',   'id'),
    ('res.currency',              'table',    'Currency',            'active desc, name'),
    ('res.country',               'table',    'Country',             'name, id'),
    ('res.company',               'table',    'Company',             'sequence, name'),
    ('res.partner.category',      'table',    'Contact Tag',         'name, id'),
    ('res.partner',               'table',    'Contact',             'complete_name ASC, id DESC'),
    ('res.users',                 'table',    'User',                'name, login'),
    ('res.users.apikeys',         'bare',     'API Key',             'id'),
    ('mail.alias',                'table',    'Email Alias',         'alias_model_id, alias_name'),
    ('mail.message',              'table',    'Message',             'id desc'),
    ('account.payment.term',      'table',    'Payment Term',        'sequence, id'),
    ('uom.uom',                   'table',    'Unit of Measure',     'factor DESC, id'),
    ('product.category',          'table',    'Product Category',    'complete_name'),
    ('product.tag',               'table',    'Product Tag',         'sequence, name'),
    ('product.template',          'table',    'Product',             'is_favorite desc, name'),
    ('product.product',           'table',    'Product Variant',     'is_favorite desc, default_code, name, id'),
    ('crm.tag',                   'table',    'Sales Tag',           'id'),
    ('sale.order',                'table',    'Sales Order',         'date_order desc, id desc'),
    ('sale.order.line',           'table',    'Sales Order Line',    'order_id, sequence, id'),
    ('project.tags',              'table',    'Project Tag',         'name'),
    ('project.task.type',         'table',    'Task Stage',          'sequence, id'),
    ('project.project',           'table',    'Project',             'sequence, name, id'),
    ('project.task',              'table',    'Task',                'priority desc, sequence, date_deadline asc, id desc'),
    ('report.project.task.user',  'view',     'Tasks Analysis',      'name desc, project_id');

INSERT INTO declared_model (model, kind, relname, label, sort, transient) VALUES
    -- Many-to-many table and model at once.
    ('project.task.stage.personal', 'table', 'project_task_user_rel', 'Personal Task Stage', 'id',   false),
    -- The second inherits the first's columns and sequence, in PostgreSQL's sense.
    ('ir.actions.actions',          'table', 'ir_actions',            'Action',              'name', false),
    ('ir.actions.act_window',       'table', 'ir_act_window',         'Window Action',       'name', false),
    -- A wizard: its rows are swept by Odoo after an hour, but its table is as real as any.
    ('sale.advance.payment.inv',    'table', NULL,                    'Invoicing Wizard',    'id',   true);

-- detail says what a type needs besides the related model:
--     selection   value=Label,value=Label          one2many   the field at the other end
--     many2many   table(this side,other side)      float      numeric, where digits are fixed      char   its size
-- flags: required readonly index nocopy translate company (a value per company); computed (not stored); attachment (binary
-- kept in ir.attachment); cascade restrict (of a many2one; else set null); related=path.
CREATE TEMPORARY TABLE declared_field (
    ordinal  serial,
    model    text NOT NULL,
    name     text NOT NULL,
    ttype    text NOT NULL,
    relation text,
    detail   text,
    flags    text NOT NULL DEFAULT '',
    label    text NOT NULL,
    UNIQUE (model, name)
);

INSERT INTO declared_field (model, name, ttype, relation, detail, flags, label) VALUES
    ('ir.model', 'name',                       'char',      NULL, NULL, 'required translate', 'Model Description'),
    ('ir.model', 'model',                      'char',      NULL, NULL, 'required', 'Model'),
    ('ir.model', 'order',                      'char',      NULL, NULL, 'required', 'Order'),
    ('ir.model', 'info',                       'text',      NULL, NULL, '', 'Information'),
    ('ir.model', 'state',                      'selection', NULL, 'manual=Custom Object,base=Base Object', 'readonly nocopy', 'Type'),
    ('ir.model', 'transient',                  'boolean',   NULL, NULL, '', 'Transient'),
    ('ir.model', 'is_mail_thread',             'boolean',   NULL, NULL, '', 'Has Discussion'),
    ('ir.model', 'field_id',                   'one2many',  'ir.model.fields', 'model_id', 'required', 'Fields'),

    ('ir.model.fields', 'name',                'char',      NULL, NULL, 'required index', 'Field Name'),
    ('ir.model.fields', 'complete_name',       'char',      NULL, NULL, 'index', 'Complete Name'),
    ('ir.model.fields', 'model',               'char',      NULL, NULL, 'required index', 'Model Name'),
    ('ir.model.fields', 'model_id',            'many2one',  'ir.model', NULL, 'required index cascade', 'Model'),
    ('ir.model.fields', 'relation',            'char',      NULL, NULL, '', 'Related Model'),
    ('ir.model.fields', 'relation_field',      'char',      NULL, NULL, '', 'Relation Field'),
    ('ir.model.fields', 'relation_field_id',   'many2one',  'ir.model.fields', NULL, 'readonly nocopy cascade', 'Relation field'),
    ('ir.model.fields', 'related_field_id',    'many2one',  'ir.model.fields', NULL, 'readonly nocopy cascade', 'Related field'),
    ('ir.model.fields', 'related',             'char',      NULL, NULL, '', 'Related Field Definition'),
    ('ir.model.fields', 'relation_table',      'char',      NULL, NULL, '', 'Relation Table'),
    ('ir.model.fields', 'column1',             'char',      NULL, NULL, '', 'Column 1'),
    ('ir.model.fields', 'column2',             'char',      NULL, NULL, '', 'Column 2'),
    ('ir.model.fields', 'ttype',               'selection', NULL, NULL, 'required', 'Field Type'),
    ('ir.model.fields', 'state',               'selection', NULL, 'manual=Custom Field,base=Base Field', 'required readonly index nocopy', 'Type'),
    ('ir.model.fields', 'on_delete',           'selection', NULL, 'cascade=Cascade,set null=Set NULL,restrict=Restrict', '', 'On Delete'),
    ('ir.model.fields', 'domain',              'char',      NULL, NULL, '', 'Domain'),
    ('ir.model.fields', 'depends',             'char',      NULL, NULL, '', 'Dependencies'),
    ('ir.model.fields', 'compute',             'text',      NULL, NULL, '', 'Compute'),
    ('ir.model.fields', 'currency_field',      'char',      NULL, NULL, '', 'Currency field'),
    ('ir.model.fields', 'field_description',   'char',      NULL, NULL, 'required translate', 'Field Label'),
    ('ir.model.fields', 'help',                'text',      NULL, NULL, 'translate', 'Field Help'),
    ('ir.model.fields', 'size',                'integer',   NULL, NULL, '', 'Size'),
    ('ir.model.fields', 'tracking',            'integer',   NULL, NULL, '', 'Tracking Order'),
    ('ir.model.fields', 'copied',              'boolean',   NULL, NULL, '', 'Copied'),
    ('ir.model.fields', 'required',            'boolean',   NULL, NULL, '', 'Required'),
    ('ir.model.fields', 'readonly',            'boolean',   NULL, NULL, '', 'Read-only'),
    ('ir.model.fields', 'index',               'boolean',   NULL, NULL, '', 'Indexed'),
    ('ir.model.fields', 'translate',           'boolean',   NULL, NULL, '', 'Translatable'),
    ('ir.model.fields', 'company_dependent',   'boolean',   NULL, NULL, 'readonly', 'Company Dependent'),
    ('ir.model.fields', 'selectable',          'boolean',   NULL, NULL, '', 'Selectable'),
    ('ir.model.fields', 'store',               'boolean',   NULL, NULL, '', 'Stored'),
    ('ir.model.fields', 'selection_ids',       'one2many',  'ir.model.fields.selection', 'field_id', '', 'Selection Options'),

    ('ir.model.fields.selection', 'field_id',  'many2one',  'ir.model.fields', NULL, 'required index cascade', 'Field'),
    ('ir.model.fields.selection', 'value',     'char',      NULL, NULL, 'required', 'Value'),
    ('ir.model.fields.selection', 'name',      'char',      NULL, NULL, 'required translate', 'Name'),
    ('ir.model.fields.selection', 'sequence',  'integer',   NULL, NULL, '', 'Sequence'),

    ('ir.model.inherit', 'model_id',           'many2one',  'ir.model', NULL, 'required cascade', 'Model'),
    ('ir.model.inherit', 'parent_id',          'many2one',  'ir.model', NULL, 'required cascade', 'Parent'),
    ('ir.model.inherit', 'parent_field_id',    'many2one',  'ir.model.fields', NULL, 'cascade', 'Parent Field'),

    ('ir.module.module', 'name',               'char',      NULL, NULL, 'required readonly', 'Technical Name'),
    ('ir.module.module', 'shortdesc',          'char',      NULL, NULL, 'readonly translate', 'Module Name'),
    ('ir.module.module', 'latest_version',     'char',      NULL, NULL, 'readonly', 'Installed Version'),
    ('ir.module.module', 'state',              'selection', NULL, 'uninstalled=Not Installed,installed=Installed,to upgrade=To be upgraded,to remove=To be removed,to install=To be installed', 'readonly index nocopy', 'Status'),
    ('ir.module.module', 'application',        'boolean',   NULL, NULL, 'readonly', 'Application'),
    ('ir.module.module', 'sequence',           'integer',   NULL, NULL, '', 'Sequence'),

    ('ir.config_parameter', 'key',             'char',      NULL, NULL, 'required', 'Key'),
    ('ir.config_parameter', 'value',           'text',      NULL, NULL, 'required', 'Value'),

    ('ir.default', 'field_id',                 'many2one',  'ir.model.fields', NULL, 'required index cascade', 'Field'),
    ('ir.default', 'user_id',                  'many2one',  'res.users', NULL, 'index cascade', 'User'),
    ('ir.default', 'company_id',               'many2one',  'res.company', NULL, 'index cascade', 'Company'),
    ('ir.default', 'condition',                'char',      NULL, NULL, '', 'Condition'),
    ('ir.default', 'json_value',               'char',      NULL, NULL, 'required', 'Default Value (JSON)'),

    ('ir.attachment', 'name',                  'char',      NULL, NULL, 'required', 'Name'),
    ('ir.attachment', 'res_model',             'char',      NULL, NULL, '', 'Resource Model'),
    ('ir.attachment', 'res_field',             'char',      NULL, NULL, '', 'Resource Field'),
    ('ir.attachment', 'res_id',                'many2one_reference', NULL, NULL, '', 'Resource ID'),
    ('ir.attachment', 'type',                  'selection', NULL, 'url=URL,binary=File', 'required', 'Type'),
    ('ir.attachment', 'mimetype',              'char',      NULL, NULL, 'readonly', 'Mime Type'),
    ('ir.attachment', 'file_size',             'integer',   NULL, NULL, 'readonly', 'File Size'),
    ('ir.attachment', 'store_fname',           'char',      NULL, NULL, 'index', 'Stored Filename'),
    ('ir.attachment', 'db_datas',              'binary',    NULL, NULL, '', 'Database Data'),
    ('ir.attachment', 'access_token',          'char',      NULL, NULL, '', 'Access Token'),
    ('ir.attachment', 'company_id',            'many2one',  'res.company', NULL, '', 'Company'),

    ('ir.actions.actions', 'name',             'char',      NULL, NULL, 'required translate', 'Action Name'),
    ('ir.actions.actions', 'type',             'char',      NULL, NULL, 'required', 'Action Type'),
    ('ir.actions.actions', 'binding_model_id', 'many2one',  'ir.model', NULL, 'cascade', 'Binding Model'),
    ('ir.actions.act_window', 'name',          'char',      NULL, NULL, 'required translate', 'Action Name'),
    ('ir.actions.act_window', 'type',          'char',      NULL, NULL, 'required', 'Action Type'),
    ('ir.actions.act_window', 'binding_model_id', 'many2one', 'ir.model', NULL, 'cascade', 'Binding Model'),
    ('ir.actions.act_window', 'res_model',     'char',      NULL, NULL, 'required', 'Destination Model'),
    ('ir.actions.act_window', 'domain',        'char',      NULL, NULL, '', 'Domain Value'),

    ('decimal.precision', 'name',              'char',      NULL, NULL, 'required', 'Usage'),
    ('decimal.precision', 'digits',            'integer',   NULL, NULL, 'required', 'Digits'),
    ('res.lang', 'name',                       'char',      NULL, NULL, 'required', 'Name'),
    ('res.lang', 'code',                       'char',      NULL, NULL, 'required', 'Locale Code'),
    ('res.lang', 'iso_code',                   'char',      NULL, NULL, '', 'ISO code'),
    ('res.lang', 'url_code',                   'char',      NULL, NULL, 'required', 'URL Code'),
    ('res.lang', 'active',                     'boolean',   NULL, NULL, '', 'Active'),

    ('res.currency', 'name',                   'char',      NULL, NULL, 'required', 'Currency'),
    ('res.currency', 'symbol',                 'char',      NULL, NULL, 'required', 'Symbol'),
    ('res.currency', 'rounding',               'float',     NULL, 'numeric', '', 'Rounding Factor'),
    ('res.currency', 'decimal_places',         'integer',   NULL, NULL, 'readonly nocopy', 'Decimal Places'),
    ('res.currency', 'active',                 'boolean',   NULL, NULL, '', 'Active'),

    ('res.country', 'name',                    'char',      NULL, NULL, 'required translate', 'Country Name'),
    ('res.country', 'code',                    'char',      NULL, '2', 'required', 'Country Code'),
    ('res.country', 'phone_code',              'integer',   NULL, NULL, '', 'Calling Code'),
    ('res.country', 'currency_id',             'many2one',  'res.currency', NULL, '', 'Currency'),

    ('res.company', 'name',                    'char',      NULL, NULL, 'required nocopy related=partner_id.name', 'Company Name'),
    ('res.company', 'partner_id',              'many2one',  'res.partner', NULL, 'required restrict', 'Partner'),
    ('res.company', 'currency_id',             'many2one',  'res.currency', NULL, 'required restrict', 'Currency'),
    ('res.company', 'parent_id',               'many2one',  'res.company', NULL, 'index restrict', 'Parent Company'),
    ('res.company', 'parent_path',             'char',      NULL, NULL, 'index', 'Parent Path'),
    ('res.company', 'child_ids',               'one2many',  'res.company', 'parent_id', 'nocopy', 'Branches'),
    ('res.company', 'user_ids',                'many2many', 'res.users', 'res_company_users_rel(cid,user_id)', '', 'Accepted Users'),
    ('res.company', 'email',                   'char',      NULL, NULL, 'nocopy related=partner_id.email', 'Email'),
    ('res.company', 'phone',                   'char',      NULL, NULL, 'nocopy related=partner_id.phone', 'Phone'),
    ('res.company', 'account_fiscal_country_id', 'many2one', 'res.country', NULL, '', 'Fiscal Country'),
    ('res.company', 'country_id',              'many2one',  'res.country', NULL, 'nocopy computed', 'Country'),
    ('res.company', 'report_footer',           'html',      NULL, NULL, 'translate', 'Report Footer'),
    ('res.company', 'logo_web',                'binary',    NULL, NULL, 'readonly nocopy', 'Logo Web'),
    ('res.company', 'sequence',                'integer',   NULL, NULL, '', 'Sequence'),
    ('res.company', 'active',                  'boolean',   NULL, NULL, '', 'Active'),

    ('res.partner.category', 'name',           'char',      NULL, NULL, 'required translate', 'Name'),
    ('res.partner.category', 'color',          'integer',   NULL, NULL, '', 'Color'),
    ('res.partner.category', 'parent_id',      'many2one',  'res.partner.category', NULL, 'index cascade', 'Category'),
    ('res.partner.category', 'parent_path',    'char',      NULL, NULL, 'index', 'Parent Path'),
    ('res.partner.category', 'child_ids',      'one2many',  'res.partner.category', 'parent_id', 'nocopy', 'Child Tags'),
    ('res.partner.category', 'partner_ids',    'many2many', 'res.partner', 'res_partner_res_partner_category_rel(category_id,partner_id)', 'nocopy', 'Partners'),
    ('res.partner.category', 'active',         'boolean',   NULL, NULL, '', 'Active'),

    ('res.partner', 'name',                    'char',      NULL, NULL, 'index', 'Name'),
    ('res.partner', 'complete_name',           'char',      NULL, NULL, 'readonly index nocopy', 'Complete Name'),
    ('res.partner', 'parent_id',               'many2one',  'res.partner', NULL, 'index', 'Related Company'),
    ('res.partner', 'parent_name',             'char',      NULL, NULL, 'readonly nocopy computed related=parent_id.name', 'Parent name'),
    ('res.partner', 'child_ids',               'one2many',  'res.partner', 'parent_id', 'nocopy', 'Contact'),
    ('res.partner', 'commercial_partner_id',   'many2one',  'res.partner', NULL, 'readonly index nocopy', 'Commercial Entity'),
    ('res.partner', 'category_id',             'many2many', 'res.partner.category', 'res_partner_res_partner_category_rel(partner_id,category_id)', '', 'Tags'),
    ('res.partner', 'company_id',              'many2one',  'res.company', NULL, 'index', 'Company'),
    ('res.partner', 'user_id',                 'many2one',  'res.users', NULL, '', 'Salesperson'),
    ('res.partner', 'user_ids',                'one2many',  'res.users', 'partner_id', 'nocopy', 'Users'),
    ('res.partner', 'ref',                     'char',      NULL, NULL, 'index', 'Reference'),
    ('res.partner', 'lang',                    'selection', NULL, NULL, '', 'Language'),
    ('res.partner', 'tz',                      'selection', NULL, NULL, '', 'Timezone'),
    ('res.partner', 'vat',                     'char',      NULL, NULL, 'index', 'Tax ID'),
    ('res.partner', 'website',                 'char',      NULL, NULL, '', 'Website Link'),
    ('res.partner', 'comment',                 'html',      NULL, NULL, '', 'Notes'),
    ('res.partner', 'type',                    'selection', NULL, 'contact=Contact,invoice=Invoice Address,delivery=Delivery Address,other=Other Address', '', 'Address Type'),
    ('res.partner', 'is_company',              'boolean',   NULL, NULL, '', 'Is a Company'),
    ('res.partner', 'company_type',            'selection', NULL, NULL, 'nocopy computed', 'Company Type'),
    ('res.partner', 'function',                'char',      NULL, NULL, '', 'Job Position'),
    ('res.partner', 'email',                   'char',      NULL, NULL, '', 'Email'),
    ('res.partner', 'email_normalized',        'char',      NULL, NULL, 'readonly nocopy', 'Normalized Email'),
    ('res.partner', 'phone',                   'char',      NULL, NULL, '', 'Phone'),
    ('res.partner', 'mobile',                  'char',      NULL, NULL, '', 'Mobile'),
    ('res.partner', 'street',                  'char',      NULL, NULL, '', 'Street'),
    ('res.partner', 'zip',                     'char',      NULL, NULL, '', 'Zip'),
    ('res.partner', 'city',                    'char',      NULL, NULL, '', 'City'),
    ('res.partner', 'country_id',              'many2one',  'res.country', NULL, 'restrict', 'Country'),
    ('res.partner', 'country_code',            'char',      NULL, NULL, 'readonly nocopy computed related=country_id.code', 'Country Code'),
    ('res.partner', 'color',                   'integer',   NULL, NULL, '', 'Color Index'),
    ('res.partner', 'partner_share',           'boolean',   NULL, NULL, 'readonly nocopy', 'Share Partner'),
    ('res.partner', 'partner_latitude',        'float',     NULL, 'numeric', '', 'Geo Latitude'),
    ('res.partner', 'customer_rank',           'integer',   NULL, NULL, 'nocopy', 'Customer Rank'),
    ('res.partner', 'debit_limit',             'monetary',  NULL, NULL, '', 'Payable Limit'),
    ('res.partner', 'barcode',                 'char',      NULL, NULL, 'index nocopy company', 'Barcode'),
    ('res.partner', 'credit_limit',            'float',     NULL, NULL, 'index nocopy company', 'Credit Limit'),
    ('res.partner', 'trust',                   'selection', NULL, 'good=Good Debtor,normal=Normal Debtor,bad=Bad Debtor', 'index nocopy company', 'Degree of trust'),
    ('res.partner', 'property_payment_term_id', 'many2one', 'account.payment.term', NULL, 'index nocopy company restrict', 'Customer Payment Terms'),
    ('res.partner', 'image_1920',              'binary',    NULL, NULL, 'attachment', 'Image'),
    ('res.partner', 'image_128',               'binary',    NULL, NULL, 'attachment readonly nocopy related=image_1920', 'Image 128'),
    ('res.partner', 'sale_order_ids',          'one2many',  'sale.order', 'partner_id', 'nocopy', 'Sales Orders'),
    ('res.partner', 'sale_order_count',        'integer',   NULL, NULL, 'readonly nocopy computed', 'Sale Order Count'),
    ('res.partner', 'task_ids',                'one2many',  'project.task', 'partner_id', 'nocopy', 'Tasks'),
    ('res.partner', 'message_ids',             'one2many',  'mail.message', 'res_id', 'nocopy', 'Messages'),
    ('res.partner', 'active',                  'boolean',   NULL, NULL, '', 'Active'),

    ('res.users', 'login',                     'char',      NULL, NULL, 'required', 'Login'),
    ('res.users', 'password',                  'char',      NULL, NULL, 'nocopy computed', 'Password'),
    ('res.users', 'name',                      'char',      NULL, NULL, 'nocopy computed related=partner_id.name', 'Name'),
    ('res.users', 'email',                     'char',      NULL, NULL, 'nocopy computed related=partner_id.email', 'Email'),
    ('res.users', 'totp_secret',               'char',      NULL, NULL, 'nocopy computed', 'TOTP Secret'),
    ('res.users', 'partner_id',                'many2one',  'res.partner', NULL, 'required index restrict', 'Related Partner'),
    ('res.users', 'company_id',                'many2one',  'res.company', NULL, 'required restrict', 'Company'),
    ('res.users', 'company_ids',               'many2many', 'res.company', 'res_company_users_rel(user_id,cid)', '', 'Companies'),
    ('res.users', 'action_id',                 'many2one',  'ir.actions.actions', NULL, '', 'Home Action'),
    ('res.users', 'signature',                 'html',      NULL, NULL, '', 'Email Signature'),
    ('res.users', 'share',                     'boolean',   NULL, NULL, 'readonly nocopy', 'Share User'),
    ('res.users', 'notification_type',         'selection', NULL, 'email=Handle by Emails,inbox=Handle in Odoo', 'required nocopy', 'Notification'),
    ('res.users', 'api_key_ids',               'one2many',  'res.users.apikeys', 'user_id', 'nocopy', 'API Keys'),
    ('res.users', 'active',                    'boolean',   NULL, NULL, '', 'Active'),

    ('res.users.apikeys', 'name',              'char',      NULL, NULL, 'required readonly', 'Description'),
    ('res.users.apikeys', 'user_id',           'many2one',  'res.users', NULL, 'required readonly index cascade', 'Owner'),
    ('res.users.apikeys', 'scope',             'char',      NULL, NULL, 'readonly', 'Scope'),
    ('res.users.apikeys', 'create_date',       'datetime',  NULL, NULL, 'readonly', 'Creation Date'),
    ('res.users.apikeys', 'expiration_date',   'datetime',  NULL, NULL, 'readonly', 'Expiration Date'),

    ('mail.alias', 'alias_name',               'char',      NULL, NULL, 'nocopy', 'Alias Name'),
    ('mail.alias', 'alias_model_id',           'many2one',  'ir.model', NULL, 'required cascade', 'Aliased Model'),
    ('mail.alias', 'alias_defaults',           'text',      NULL, NULL, 'required', 'Default Values'),
    ('mail.alias', 'alias_contact',            'selection', NULL, 'everyone=Everyone,partners=Authenticated Partners,followers=Followers only', 'required', 'Alias Contact Security'),

    ('mail.message', 'subject',                'char',      NULL, NULL, '', 'Subject'),
    ('mail.message', 'date',                   'datetime',  NULL, NULL, '', 'Date'),
    ('mail.message', 'body',                   'html',      NULL, NULL, '', 'Contents'),
    ('mail.message', 'model',                  'char',      NULL, NULL, '', 'Related Document Model'),
    ('mail.message', 'res_id',                 'many2one_reference', NULL, NULL, '', 'Related Document ID'),
    ('mail.message', 'message_type',           'selection', NULL, 'email=Incoming Email,comment=Comment,notification=System notification', 'required', 'Type'),
    ('mail.message', 'author_id',              'many2one',  'res.partner', NULL, 'index', 'Author'),
    ('mail.message', 'parent_id',              'many2one',  'mail.message', NULL, 'index', 'Parent Message'),
    ('mail.thread',  'message_ids',            'one2many',  'mail.message', 'res_id', 'nocopy', 'Messages'),

    ('account.payment.term', 'name',           'char',      NULL, NULL, 'required translate', 'Payment Terms'),
    ('account.payment.term', 'note',           'html',      NULL, NULL, 'translate', 'Description on the Invoice'),
    ('account.payment.term', 'company_id',     'many2one',  'res.company', NULL, '', 'Company'),
    ('account.payment.term', 'sequence',       'integer',   NULL, NULL, 'required', 'Sequence'),
    ('account.payment.term', 'active',         'boolean',   NULL, NULL, '', 'Active'),

    ('uom.uom', 'name',                        'char',      NULL, NULL, 'required translate', 'Unit of Measure'),
    ('uom.uom', 'factor',                      'float',     NULL, 'numeric', 'required', 'Ratio'),
    ('uom.uom', 'rounding',                    'float',     NULL, 'numeric', 'required', 'Rounding Precision'),
    ('uom.uom', 'active',                      'boolean',   NULL, NULL, '', 'Active'),

    ('product.category', 'name',               'char',      NULL, NULL, 'required index', 'Name'),
    ('product.category', 'complete_name',      'char',      NULL, NULL, 'readonly nocopy', 'Complete Name'),
    ('product.category', 'parent_id',          'many2one',  'product.category', NULL, 'index cascade', 'Parent Category'),
    ('product.category', 'parent_path',        'char',      NULL, NULL, 'index', 'Parent Path'),
    ('product.category', 'child_id',           'one2many',  'product.category', 'parent_id', 'nocopy', 'Child Categories'),
    ('product.category', 'product_properties_definition', 'properties_definition', NULL, NULL, '', 'Product Properties'),

    ('product.tag', 'name',                    'char',      NULL, NULL, 'required translate', 'Name'),
    ('product.tag', 'sequence',                'integer',   NULL, NULL, '', 'Sequence'),
    ('product.tag', 'color',                   'char',      NULL, NULL, '', 'Color'),
    ('product.tag', 'product_template_ids',    'many2many', 'product.template', 'product_tag_product_template_rel(product_tag_id,product_template_id)', '', 'Product Templates'),

    ('product.template', 'name',               'char',      NULL, NULL, 'required translate index', 'Name'),
    ('product.template', 'sequence',           'integer',   NULL, NULL, '', 'Sequence'),
    ('product.template', 'description_sale',   'text',      NULL, NULL, 'translate', 'Sales Description'),
    ('product.template', 'type',               'selection', NULL, 'consu=Goods,service=Service,combo=Combo', 'required', 'Product Type'),
    ('product.template', 'categ_id',           'many2one',  'product.category', NULL, 'required restrict', 'Product Category'),
    ('product.template', 'uom_id',             'many2one',  'uom.uom', NULL, 'required restrict', 'Unit of Measure'),
    ('product.template', 'company_id',         'many2one',  'res.company', NULL, 'index', 'Company'),
    ('product.template', 'list_price',         'float',     NULL, 'numeric', '', 'Sales Price'),
    ('product.template', 'default_code',       'char',      NULL, NULL, 'nocopy', 'Internal Reference'),
    ('product.template', 'weight',             'float',     NULL, 'numeric', 'nocopy', 'Weight'),
    ('product.template', 'sale_ok',            'boolean',   NULL, NULL, '', 'Sales'),
    ('product.template', 'is_favorite',        'boolean',   NULL, NULL, '', 'Favorite'),
    ('product.template', 'responsible_id',     'many2one',  'res.users', NULL, 'index nocopy company', 'Responsible'),
    ('product.template', 'product_tag_ids',    'many2many', 'product.tag', 'product_tag_product_template_rel(product_template_id,product_tag_id)', '', 'Product Tags'),
    ('product.template', 'optional_product_ids', 'many2many', 'product.template', 'product_optional_rel(src_id,dest_id)', '', 'Optional Products'),
    ('product.template', 'product_variant_ids', 'one2many', 'product.product', 'product_tmpl_id', 'required nocopy', 'Products'),
    ('product.template', 'product_properties', 'properties', NULL, NULL, '', 'Properties'),
    ('product.template', 'active',             'boolean',   NULL, NULL, '', 'Active'),

    ('product.product', 'product_tmpl_id',     'many2one',  'product.template', NULL, 'required index cascade', 'Product Template'),
    ('product.product', 'default_code',        'char',      NULL, NULL, 'index', 'Internal Reference'),
    ('product.product', 'barcode',             'char',      NULL, NULL, 'index nocopy', 'Barcode'),
    ('product.product', 'combination_indices', 'char',      NULL, NULL, 'readonly index nocopy', 'Combination Indices'),
    ('product.product', 'standard_price',      'float',     NULL, NULL, 'index nocopy company', 'Cost'),
    ('product.product', 'weight',              'float',     NULL, 'numeric', '', 'Weight'),
    ('product.product', 'lst_price',           'float',     NULL, NULL, 'nocopy computed', 'Public Price'),
    ('product.product', 'write_date',          'datetime',  NULL, NULL, 'readonly nocopy', 'Write Date'),
    ('product.product', 'active',              'boolean',   NULL, NULL, '', 'Active'),

    ('crm.tag', 'name',                        'char',      NULL, NULL, 'required translate', 'Tag Name'),
    ('crm.tag', 'color',                       'integer',   NULL, NULL, '', 'Color'),

    ('sale.order', 'name',                     'char',      NULL, NULL, 'required index nocopy', 'Order Reference'),
    ('sale.order', 'state',                    'selection', NULL, 'draft=Quotation,sent=Quotation Sent,sale=Sales Order,cancel=Cancelled', 'readonly index nocopy', 'Status'),
    ('sale.order', 'partner_id',               'many2one',  'res.partner', NULL, 'required index restrict', 'Customer'),
    ('sale.order', 'partner_invoice_id',       'many2one',  'res.partner', NULL, 'required index restrict', 'Invoice Address'),
    ('sale.order', 'partner_shipping_id',      'many2one',  'res.partner', NULL, 'required index restrict', 'Delivery Address'),
    ('sale.order', 'company_id',               'many2one',  'res.company', NULL, 'required index restrict', 'Company'),
    ('sale.order', 'currency_id',              'many2one',  'res.currency', NULL, 'readonly nocopy restrict', 'Currency'),
    ('sale.order', 'currency_rate',            'float',     NULL, 'numeric', 'readonly nocopy', 'Currency Rate'),
    ('sale.order', 'user_id',                  'many2one',  'res.users', NULL, 'index', 'Salesperson'),
    ('sale.order', 'payment_term_id',          'many2one',  'account.payment.term', NULL, '', 'Payment Terms'),
    ('sale.order', 'client_order_ref',         'char',      NULL, NULL, 'nocopy', 'Customer Reference'),
    ('sale.order', 'origin',                   'char',      NULL, NULL, '', 'Source Document'),
    ('sale.order', 'access_token',             'char',      NULL, NULL, 'nocopy', 'Security Token'),
    ('sale.order', 'create_date',              'datetime',  NULL, NULL, 'readonly index', 'Creation Date'),
    ('sale.order', 'date_order',               'datetime',  NULL, NULL, 'required nocopy', 'Order Date'),
    ('sale.order', 'commitment_date',          'datetime',  NULL, NULL, 'nocopy', 'Delivery Date'),
    ('sale.order', 'expected_date',            'datetime',  NULL, NULL, 'readonly nocopy computed', 'Expected Date'),
    ('sale.order', 'validity_date',            'date',      NULL, NULL, 'nocopy', 'Expiration'),
    ('sale.order', 'order_line',               'one2many',  'sale.order.line', 'order_id', '', 'Order Lines'),
    ('sale.order', 'tag_ids',                  'many2many', 'crm.tag', 'sale_order_tag_rel(order_id,tag_id)', '', 'Tags'),
    ('sale.order', 'invoice_status',           'selection', NULL, 'upselling=Upselling Opportunity,invoiced=Fully Invoiced,to invoice=To Invoice,no=Nothing to Invoice', 'readonly nocopy', 'Invoice Status'),
    ('sale.order', 'note',                     'html',      NULL, NULL, '', 'Terms and conditions'),
    ('sale.order', 'amount_untaxed',           'monetary',  NULL, NULL, 'readonly nocopy', 'Untaxed Amount'),
    ('sale.order', 'amount_tax',               'monetary',  NULL, NULL, 'readonly nocopy', 'Taxes'),
    ('sale.order', 'amount_total',             'monetary',  NULL, NULL, 'readonly nocopy', 'Total'),
    ('sale.order', 'amount_to_invoice',        'monetary',  NULL, NULL, 'readonly nocopy computed', 'Un-invoiced Balance'),
    ('sale.order', 'prepayment_percent',       'float',     NULL, NULL, '', 'Prepayment percentage'),
    ('sale.order', 'locked',                   'boolean',   NULL, NULL, 'nocopy', 'Locked'),
    ('sale.order', 'require_signature',        'boolean',   NULL, NULL, '', 'Online signature'),
    ('sale.order', 'signature',                'binary',    NULL, NULL, 'nocopy attachment', 'Signature'),
    ('sale.order', 'project_id',               'many2one',  'project.project', NULL, 'nocopy', 'Project'),
    ('sale.order', 'tasks_ids',                'many2many', 'project.task', NULL, 'readonly nocopy computed', 'Tasks'),
    ('sale.order', 'country_code',             'char',      NULL, NULL, 'readonly nocopy computed related=company_id.account_fiscal_country_id.code', 'Country code'),
    ('sale.order', 'message_ids',              'one2many',  'mail.message', 'res_id', 'nocopy', 'Messages'),

    ('sale.order.line', 'order_id',            'many2one',  'sale.order', NULL, 'required index nocopy cascade', 'Order Reference'),
    ('sale.order.line', 'sequence',            'integer',   NULL, NULL, '', 'Sequence'),
    ('sale.order.line', 'name',                'text',      NULL, NULL, 'required', 'Description'),
    ('sale.order.line', 'display_type',        'selection', NULL, 'line_section=Section,line_note=Note', '', 'Display Type'),
    ('sale.order.line', 'state',               'selection', NULL, NULL, 'readonly nocopy related=order_id.state', 'Order Status'),
    ('sale.order.line', 'order_partner_id',    'many2one',  'res.partner', NULL, 'readonly index nocopy related=order_id.partner_id', 'Customer'),
    ('sale.order.line', 'salesman_id',         'many2one',  'res.users', NULL, 'readonly nocopy related=order_id.user_id', 'Salesperson'),
    ('sale.order.line', 'company_id',          'many2one',  'res.company', NULL, 'readonly index nocopy related=order_id.company_id', 'Company'),
    ('sale.order.line', 'currency_id',         'many2one',  'res.currency', NULL, 'readonly nocopy related=order_id.currency_id', 'Currency'),
    ('sale.order.line', 'product_id',          'many2one',  'product.product', NULL, 'index restrict', 'Product'),
    ('sale.order.line', 'product_template_id', 'many2one',  'product.template', NULL, 'nocopy computed', 'Product Template'),
    ('sale.order.line', 'product_uom',         'many2one',  'uom.uom', NULL, 'restrict', 'Unit of Measure'),
    ('sale.order.line', 'product_uom_qty',     'float',     NULL, 'numeric', 'required', 'Quantity'),
    ('sale.order.line', 'qty_delivered',       'float',     NULL, 'numeric', 'nocopy', 'Delivery Quantity'),
    ('sale.order.line', 'price_unit',          'float',     NULL, 'numeric', 'required', 'Unit Price'),
    ('sale.order.line', 'discount',            'float',     NULL, 'numeric', '', 'Discount (%)'),
    ('sale.order.line', 'price_subtotal',      'monetary',  NULL, NULL, 'readonly nocopy', 'Subtotal'),
    ('sale.order.line', 'price_tax',           'float',     NULL, NULL, 'readonly nocopy', 'Total Tax'),
    ('sale.order.line', 'customer_lead',       'float',     NULL, NULL, 'required', 'Lead Time'),
    ('sale.order.line', 'analytic_distribution', 'json',    NULL, NULL, '', 'Analytic Distribution'),
    ('sale.order.line', 'task_id',             'many2one',  'project.task', NULL, 'index nocopy', 'Generated Task'),

    ('sale.advance.payment.inv', 'advance_payment_method', 'selection', NULL, 'delivered=Regular invoice,percentage=Percentage,fixed=Fixed amount', 'required', 'Create Invoice'),
    ('sale.advance.payment.inv', 'amount',     'float',     NULL, NULL, '', 'Down Payment'),

    ('project.tags', 'name',                   'char',      NULL, NULL, 'required translate', 'Name'),
    ('project.tags', 'color',                  'integer',   NULL, NULL, '', 'Color'),
    ('project.tags', 'project_ids',            'many2many', 'project.project', 'project_project_project_tags_rel(project_tags_id,project_project_id)', '', 'Projects'),
    ('project.tags', 'task_ids',               'many2many', 'project.task', 'project_tags_project_task_rel(project_tags_id,project_task_id)', '', 'Tasks'),

    ('project.task.type', 'name',              'char',      NULL, NULL, 'required translate', 'Name'),
    ('project.task.type', 'sequence',          'integer',   NULL, NULL, '', 'Sequence'),
    ('project.task.type', 'fold',              'boolean',   NULL, NULL, '', 'Folded in Kanban'),
    ('project.task.type', 'user_id',           'many2one',  'res.users', NULL, 'readonly index nocopy', 'Stage Owner'),
    ('project.task.type', 'project_ids',       'many2many', 'project.project', 'project_task_type_rel(type_id,project_id)', '', 'Projects'),
    ('project.task.type', 'active',            'boolean',   NULL, NULL, '', 'Active'),

    ('project.project', 'name',                'char',      NULL, NULL, 'required translate index', 'Name'),
    ('project.project', 'alias_id',            'many2one',  'mail.alias', NULL, 'required nocopy restrict', 'Alias'),
    ('project.project', 'label_tasks',         'char',      NULL, NULL, 'translate', 'Use Tasks as'),
    ('project.project', 'description',         'html',      NULL, NULL, '', 'Description'),
    ('project.project', 'partner_id',          'many2one',  'res.partner', NULL, '', 'Customer'),
    ('project.project', 'company_id',          'many2one',  'res.company', NULL, '', 'Company'),
    ('project.project', 'user_id',             'many2one',  'res.users', NULL, '', 'Project Manager'),
    ('project.project', 'sequence',            'integer',   NULL, NULL, '', 'Sequence'),
    ('project.project', 'privacy_visibility',  'selection', NULL, 'followers=Invited internal users,employees=All internal users,portal=Invited portal users', 'required', 'Visibility'),
    ('project.project', 'date_start',          'date',      NULL, NULL, '', 'Start Date'),
    ('project.project', 'date',                'date',      NULL, NULL, 'index', 'Expiration Date'),
    ('project.project', 'allow_billable',      'boolean',   NULL, NULL, '', 'Billable'),
    ('project.project', 'access_token',        'char',      NULL, NULL, 'nocopy', 'Security Token'),
    ('project.project', 'task_ids',            'one2many',  'project.task', 'project_id', 'nocopy', 'Tasks'),
    ('project.project', 'type_ids',            'many2many', 'project.task.type', 'project_task_type_rel(project_id,type_id)', '', 'Task Stages'),
    ('project.project', 'tag_ids',             'many2many', 'project.tags', 'project_project_project_tags_rel(project_project_id,project_tags_id)', '', 'Tags'),
    ('project.project', 'favorite_user_ids',   'many2many', 'res.users', 'project_favorite_user_rel(project_id,user_id)', 'nocopy', 'Favorite Users'),
    ('project.project', 'task_properties_definition', 'properties_definition', NULL, NULL, '', 'Task Properties'),
    ('project.project', 'active',              'boolean',   NULL, NULL, 'nocopy', 'Active'),

    ('project.task', 'name',                   'char',      NULL, NULL, 'required index', 'Title'),
    ('project.task', 'state',                  'selection', NULL, '01_in_progress=In Progress,02_changes_requested=Changes Requested,03_approved=Approved,1_done=Done,1_canceled=Cancelled,04_waiting_normal=Waiting', 'required index nocopy', 'State'),
    ('project.task', 'project_id',             'many2one',  'project.project', NULL, 'index', 'Project'),
    ('project.task', 'stage_id',               'many2one',  'project.task.type', NULL, 'index restrict', 'Stage'),
    ('project.task', 'parent_id',              'many2one',  'project.task', NULL, 'index', 'Parent Task'),
    ('project.task', 'child_ids',              'one2many',  'project.task', 'parent_id', 'nocopy', 'Sub-tasks'),
    ('project.task', 'depend_on_ids',          'many2many', 'project.task', 'task_dependencies_rel(task_id,depends_on_id)', 'nocopy', 'Blocked By'),
    ('project.task', 'dependent_ids',          'many2many', 'project.task', 'task_dependencies_rel(depends_on_id,task_id)', 'nocopy', 'Block'),
    ('project.task', 'user_ids',               'many2many', 'res.users', 'project_task_user_rel(task_id,user_id)', '', 'Assignees'),
    ('project.task', 'personal_stage_type_ids', 'many2many', 'project.task.type', 'project_task_user_rel(task_id,stage_id)', 'nocopy', 'Personal Stages'),
    ('project.task', 'personal_stage_id',      'many2one',  'project.task.stage.personal', NULL, 'readonly nocopy computed', 'Personal Stage State'),
    ('project.task', 'tag_ids',                'many2many', 'project.tags', 'project_tags_project_task_rel(project_task_id,project_tags_id)', '', 'Tags'),
    ('project.task', 'partner_id',             'many2one',  'res.partner', NULL, '', 'Customer'),
    ('project.task', 'company_id',             'many2one',  'res.company', NULL, '', 'Company'),
    ('project.task', 'description',            'html',      NULL, NULL, '', 'Description'),
    ('project.task', 'priority',               'selection', NULL, '0=Low,1=High', 'index', 'Priority'),
    ('project.task', 'sequence',               'integer',   NULL, NULL, '', 'Sequence'),
    ('project.task', 'color',                  'integer',   NULL, NULL, '', 'Color Index'),
    ('project.task', 'access_token',           'char',      NULL, NULL, 'nocopy', 'Security Token'),
    ('project.task', 'create_date',            'datetime',  NULL, NULL, 'readonly index', 'Created On'),
    ('project.task', 'date_deadline',          'datetime',  NULL, NULL, 'index', 'Deadline'),
    ('project.task', 'date_assign',            'datetime',  NULL, NULL, 'readonly nocopy', 'Assigning Date'),
    ('project.task', 'date_end',               'datetime',  NULL, NULL, 'index nocopy', 'Ending Date'),
    ('project.task', 'date_last_stage_update', 'datetime',  NULL, NULL, 'readonly index nocopy', 'Last Stage Update'),
    ('project.task', 'allocated_hours',        'float',     NULL, NULL, '', 'Allocated Time'),
    ('project.task', 'working_hours_open',     'float',     NULL, 'numeric', 'readonly nocopy', 'Working Hours to Assign'),
    ('project.task', 'task_properties',        'properties', NULL, NULL, '', 'Properties'),
    ('project.task', 'allow_billable',         'boolean',   NULL, NULL, 'readonly nocopy computed related=project_id.allow_billable', 'Billable'),
    ('project.task', 'is_closed',              'boolean',   NULL, NULL, 'readonly nocopy computed', 'Closed State'),
    ('project.task', 'sale_line_id',           'many2one',  'sale.order.line', NULL, 'index', 'Sales Order Item'),
    ('project.task', 'sale_order_id',          'many2one',  'sale.order', NULL, 'readonly nocopy', 'Sales Order'),
    ('project.task', 'display_in_project',     'boolean',   NULL, NULL, '', 'Display In Project'),
    ('project.task', 'message_ids',            'one2many',  'mail.message', 'res_id', 'nocopy', 'Messages'),
    ('project.task', 'active',                 'boolean',   NULL, NULL, '', 'Active'),

    ('project.task.stage.personal', 'task_id', 'many2one',  'project.task', NULL, 'required index cascade', 'Task'),
    ('project.task.stage.personal', 'user_id', 'many2one',  'res.users', NULL, 'required index cascade', 'User'),
    ('project.task.stage.personal', 'stage_id', 'many2one', 'project.task.type', NULL, '', 'Stage'),

    ('report.project.task.user', 'name',       'char',      NULL, NULL, 'readonly', 'Task'),
    ('report.project.task.user', 'task_id',    'many2one',  'project.task', NULL, 'readonly', 'Tasks'),
    ('report.project.task.user', 'project_id', 'many2one',  'project.project', NULL, 'readonly', 'Project'),
    ('report.project.task.user', 'stage_id',   'many2one',  'project.task.type', NULL, 'readonly', 'Stage'),
    ('report.project.task.user', 'state',      'selection', NULL, '01_in_progress=In Progress,1_done=Done,1_canceled=Cancelled', 'readonly', 'State'),
    ('report.project.task.user', 'nbr',        'integer',   NULL, NULL, 'readonly', '# of Tasks');

-- model, parent and, where the record of one contains a record of the other (_inherits), the field that points to it.
CREATE TEMPORARY TABLE declared_inherit (model text, parent text, via text);

INSERT INTO declared_inherit VALUES
    ('res.partner',      'mail.thread',      NULL),
    ('sale.order',       'mail.thread',      NULL),
    ('project.task',     'mail.thread',      NULL),
    ('product.template', 'mail.thread',      NULL),
    ('res.users',        'res.partner',      'partner_id'),
    ('product.product',  'product.template', 'product_tmpl_id'),
    ('project.project',  'mail.alias',       'alias_id');


-- ====================================================================================================================
-- 2. Tables and metadata
-- ====================================================================================================================

-- Fields that every model with a relation has, and the audit columns. A model may have declared one of them itself.
INSERT INTO declared_field (model, name, ttype, relation, flags, label)
SELECT model, common.name, common.ttype, common.relation, common.flags, common.label
FROM declared_model
CROSS JOIN (VALUES
    ('id',           'integer',  NULL,        'readonly',                 'ID'),
    ('display_name', 'char',     NULL,        'readonly nocopy computed', 'Display Name'),
    ('create_uid',   'many2one', 'res.users', 'readonly',                 'Created by'),
    ('create_date',  'datetime', NULL,        'readonly',                 'Created on'),
    ('write_uid',    'many2one', 'res.users', 'readonly',                 'Last Updated by'),
    ('write_date',   'datetime', NULL,        'readonly',                 'Last Updated on')
) AS common (name, ttype, relation, flags, label)
WHERE kind = 'table' OR kind <> 'abstract' AND common.name IN ('id', 'display_name')
ON CONFLICT (model, name) DO NOTHING;

-- Fields of an _inherits parent show up on the child: not stored, related, their column in the parent's table alone.
-- That a value is per company is then no longer said; that it is translated is.
INSERT INTO declared_field (model, name, ttype, relation, flags, label)
SELECT inherit.model, field.name, field.ttype, field.relation,
       'computed related=' || inherit.via || '.' || field.name
           || (SELECT coalesce(string_agg(' ' || flag, ''), '')
               FROM regexp_split_to_table(field.flags, ' ') AS flag
               WHERE flag IN ('required', 'readonly', 'nocopy', 'translate')),
       field.label
FROM declared_inherit AS inherit
JOIN declared_field AS field ON field.model = inherit.parent
WHERE inherit.via IS NOT NULL
ORDER BY field.ordinal
ON CONFLICT (model, name) DO NOTHING;

DO $make_tables$
DECLARE
    of_model record;
    of_field record;
    relname  text;
    coltype  text;
BEGIN
    FOR of_model IN SELECT * FROM declared_model WHERE kind IN ('table', 'bare') ORDER BY ordinal LOOP
        relname := coalesce(of_model.relname, replace(of_model.model, '.', '_'));
        CONTINUE WHEN relname = 'ir_act_window';
        EXECUTE format('CREATE TABLE %I (id serial PRIMARY KEY)', relname);
    END LOOP;
    CREATE TABLE ir_act_window (PRIMARY KEY (id)) INHERITS (ir_actions);

    FOR of_field IN
        SELECT field.*, string_to_array(flags, ' ') AS flag,
               coalesce(model.relname, replace(model.model, '.', '_')) AS relname
        FROM declared_field AS field
        JOIN declared_model AS model USING (model)
        WHERE model.kind IN ('table', 'bare')
        ORDER BY field.ordinal
    LOOP
        CONTINUE WHEN of_field.ttype IN ('one2many', 'many2many') OR of_field.flag && '{computed,attachment}';
        coltype := CASE
            WHEN of_field.flag && '{translate,company}' THEN 'jsonb'
            WHEN of_field.ttype = 'char' THEN coalesce('varchar(' || of_field.detail || ')', 'varchar')
            WHEN of_field.ttype = 'selection' THEN 'varchar'
            WHEN of_field.ttype IN ('text', 'html') THEN 'text'
            WHEN of_field.ttype IN ('integer', 'many2one', 'many2one_reference') THEN 'integer'
            WHEN of_field.ttype = 'float' THEN coalesce(of_field.detail, 'double precision')
            WHEN of_field.ttype = 'monetary' THEN 'numeric'
            WHEN of_field.ttype = 'datetime' THEN 'timestamp'
            WHEN of_field.ttype = 'binary' THEN 'bytea'
            WHEN of_field.ttype IN ('json', 'properties', 'properties_definition') THEN 'jsonb'
            ELSE of_field.ttype
        END;
        EXECUTE format('ALTER TABLE %I ADD COLUMN IF NOT EXISTS %I %s %s', of_field.relname, of_field.name, coltype,
                       CASE WHEN 'required' = ANY (of_field.flag) THEN 'NOT NULL' END);
    END LOOP;

    -- The tables of many-to-many fields, each once although both ends may name it.
    FOR of_field IN
        SELECT DISTINCT ON (part[1]) part
        FROM declared_field, regexp_match(detail, '^(\w+)\((\w+),(\w+)\)$') AS part
        WHERE ttype = 'many2many' AND detail IS NOT NULL
        ORDER BY part[1], ordinal
    LOOP
        CONTINUE WHEN to_regclass(of_field.part[1]) IS NOT NULL;
        EXECUTE format('CREATE TABLE %I (%I integer NOT NULL, %I integer NOT NULL, PRIMARY KEY (%2$I, %3$I))',
                       of_field.part[1], of_field.part[2], of_field.part[3]);
    END LOOP;
END
$make_tables$;

INSERT INTO ir_model (model, name, "order", info, state, transient, is_mail_thread,
                      create_uid, create_date, write_uid, write_date)
SELECT model, jsonb_build_object('en_US', label), sort, '', 'base', transient,
       model = 'mail.thread' OR EXISTS (SELECT FROM declared_inherit AS inherit
                                        WHERE inherit.model = declared.model AND parent = 'mail.thread'),
       1, '2026-01-05 08:00:00', 1, '2026-01-05 08:00:00'
FROM declared_model AS declared
ORDER BY ordinal;

-- As Odoo does for the fields of its own modules ("base"), this leaves compute, depends, domain and currency_field empty.
INSERT INTO ir_model_fields (model, model_id, name, ttype, field_description, relation, relation_field, relation_table,
                             column1, column2, related, state, on_delete, store, copied, required, readonly, index,
                             translate, company_dependent, selectable)
SELECT field.model, model.id, field.name, field.ttype, jsonb_build_object('en_US', field.label), field.relation,
       CASE WHEN field.ttype = 'one2many' THEN field.detail END,
       part[1], part[2], part[3],
       substring(flags FROM 'related=(\S+)'),
       'base',
       CASE WHEN field.ttype <> 'many2one' OR flags ~ 'related=' THEN NULL
            WHEN 'cascade' = ANY (flag) THEN 'cascade'
            WHEN 'restrict' = ANY (flag) THEN 'restrict'
            ELSE 'set null' END,
       'computed' <> ALL (flag), 'nocopy' <> ALL (flag), 'required' = ANY (flag), 'readonly' = ANY (flag),
       'index' = ANY (flag), 'translate' = ANY (flag), 'company' = ANY (flag), true
FROM declared_field AS field
JOIN ir_model AS model ON model.model = field.model
CROSS JOIN string_to_array(flags, ' ') AS flag
LEFT JOIN regexp_match(CASE WHEN field.ttype = 'many2many' THEN field.detail END, '^(\w+)\((\w+),(\w+)\)$') AS part ON true
ORDER BY model.id, field.ordinal;

-- Only a list that the field itself declares is written down: languages and time zones are computed, a related field
-- follows the other one.
INSERT INTO ir_model_fields_selection (field_id, value, name, sequence)
SELECT field.id, split_part(option, '=', 1), jsonb_build_object('en_US', split_part(option, '=', 2)), position - 1
FROM declared_field AS declared
JOIN ir_model_fields AS field USING (model, name)
CROSS JOIN regexp_split_to_table(declared.detail, ',') WITH ORDINALITY AS options (option, position)
WHERE declared.ttype = 'selection' AND declared.detail IS NOT NULL
ORDER BY field.id, position;

-- parent_field_id is set for _inherits alone: that is how the two kinds of inheritance are told apart.
INSERT INTO ir_model_inherit (model_id, parent_id, parent_field_id)
SELECT child.id, parent.id, field.id
FROM declared_inherit AS inherit
JOIN ir_model AS child ON child.model = inherit.model
JOIN ir_model AS parent ON parent.model = inherit.parent
LEFT JOIN ir_model_fields AS field ON field.model = inherit.model AND field.name = inherit.via;


-- ====================================================================================================================
-- 3. What no declaration tells
-- ====================================================================================================================

-- Columns that no stored field announces. A field "password" exists, but is computed and always reads as empty.
ALTER TABLE res_users
    ADD COLUMN password    varchar,
    ADD COLUMN totp_secret varchar;
ALTER TABLE res_users_apikeys
    ADD COLUMN index varchar(8) CHECK (char_length(index) = 8),
    ADD COLUMN key   varchar;

CREATE VIEW report_project_task_user AS
    SELECT 1 AS nbr, id, id AS task_id, name, project_id, stage_id, state
    FROM project_task
    WHERE project_id IS NOT NULL;


-- ====================================================================================================================
-- 4. Rows
-- ====================================================================================================================

INSERT INTO ir_module_module (name, shortdesc, latest_version, state, application, sequence) VALUES
    ('base',           '{"en_US": "Base"}',       '18.0.1.3', 'installed',   false, 100),
    ('mail',           '{"en_US": "Discuss"}',    '18.0.1.16', 'installed',  true,  145),
    ('product',        '{"en_US": "Products"}',   '18.0.1.2', 'installed',   false, 100),
    ('sale',           '{"en_US": "Sales"}',      '18.0.1.2', 'installed',   false, 100),
    ('sale_management', '{"en_US": "Sales App"}', '18.0.1.0', 'installed',   true,  5),
    ('project',        '{"en_US": "Project"}',    '18.0.1.3', 'installed',   true,  45),
    ('purchase',       '{"en_US": "Purchase"}',   NULL,       'uninstalled', true,  35);

INSERT INTO ir_config_parameter (key, value) VALUES
    ('database.uuid',        'c0a1e7f2-5d3b-4e1a-9b7e-0d5f6a2b8c41'),
    ('database.create_date', '2026-01-05 08:00:00'),
    ('database.secret',      'never-to-be-shown-4f1d'),
    ('web.base.url',         'http://localhost:8069');

INSERT INTO res_lang (name, code, iso_code, url_code, active) VALUES
    ('English (US)', 'en_US', 'en', 'en', true),
    ('French',       'fr_FR', 'fr', 'fr', true),
    ('German',       'de_DE', 'de', 'de', false);

INSERT INTO decimal_precision (name, digits) VALUES
    ('Product Price', 2), ('Discount', 2), ('Product Unit of Measure', 2);

INSERT INTO res_currency (name, symbol, rounding, decimal_places, active) VALUES
    ('EUR', '€',  0.010000, 2, true),
    ('USD', '$',  0.010000, 2, true),
    ('JPY', '¥',  1.000000, 0, false);

INSERT INTO res_country (name, code, phone_code, currency_id) VALUES
    ('{"en_US": "Belgium", "fr_FR": "Belgique"}',      'BE', 32, 1),
    ('{"en_US": "Germany", "fr_FR": "Allemagne"}',     'DE', 49, 1),
    ('{"en_US": "United States", "fr_FR": "États-Unis"}', 'US', 1, 2),
    ('{"en_US": "Japan"}',                             'JP', 81, 3);

INSERT INTO res_company (name, partner_id, currency_id, account_fiscal_country_id, parent_id, parent_path, email, report_footer,
                         sequence, active) VALUES
    ('Meridian Tools',      1, 1, 1, NULL, '1/',   'office@meridian.example', '{"en_US": "Tools since 1904", "fr_FR": "Outils depuis 1904"}', 10, true),
    ('Meridian Tools Nord', 2, 1, 2, 1,    '1/2/', 'nord@meridian.example',   NULL, 20, true);

INSERT INTO res_partner_category (name, color, parent_id, parent_path, active) VALUES
    ('{"en_US": "Customer", "fr_FR": "Client"}',     1,    NULL, '1/',     true),
    ('{"en_US": "Wholesale", "fr_FR": "Grossiste"}', 2,    1,    '1/2/',   true),
    ('{"en_US": "Key Account"}',                     3,    2,    '1/2/3/', true),
    ('{"en_US": "Supplier"}',                        NULL, NULL, '4/',     true),
    ('{"en_US": "Old Label"}',                       0,    NULL, '5/',     false);

-- 8 has contacts; 10 has no name, as Odoo allows for an address; 11 has wildcards and quotes in its name; 13 is
-- archived; 14 is a row as imports leave them, with NULL almost everywhere.
INSERT INTO res_partner (id, name, complete_name, parent_id, commercial_partner_id, company_id, user_id, ref, lang, tz, vat,
                         type, is_company, function, email, email_normalized, phone, street, zip, city, country_id, color,
                         partner_share, customer_rank, debit_limit, active) VALUES
    (1,  'Meridian Tools',      'Meridian Tools',      NULL, 1,  NULL, NULL, NULL,    'en_US', 'Europe/Brussels', 'BE0000000097', 'contact', true,  NULL, 'office@meridian.example', 'office@meridian.example', '+32 2 555 01 00', 'Quay 4', '1000', 'Brussels', 1, 0, true, 0, NULL, true),
    (2,  'Meridian Tools Nord', 'Meridian Tools Nord', NULL, 2,  NULL, NULL, NULL,    'en_US', 'Europe/Berlin',   NULL, 'contact', true,  NULL, 'nord@meridian.example', 'nord@meridian.example', NULL, 'Pier 9', '20457', 'Hamburg', 2, 0, true, 0, NULL, true),
    (3,  'System',              'System',              NULL, 3,  1,    NULL, NULL,    'en_US', NULL, NULL, 'contact', false, NULL, 'system@meridian.example', 'system@meridian.example', NULL, NULL, NULL, NULL, NULL, 0, false, 0, NULL, false),
    (4,  'Ada Lindqvist',       'Ada Lindqvist',       NULL, 4,  1,    NULL, NULL,    'en_US', 'Europe/Brussels', NULL, 'contact', false, 'Administrator', 'ada@meridian.example', 'ada@meridian.example', '+32 2 555 01 01', NULL, NULL, NULL, 1, 0, false, 0, NULL, true),
    (5,  'Public user',         'Public user',         NULL, 5,  1,    NULL, NULL,    'en_US', NULL, NULL, 'contact', false, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, true, 0, NULL, false),
    (6,  'Mira Okafor',         'Mira Okafor',         NULL, 6,  1,    NULL, NULL,    'fr_FR', 'Europe/Brussels', NULL, 'contact', false, 'Sales', 'mira@meridian.example', 'mira@meridian.example', '+32 2 555 01 02', NULL, NULL, NULL, 1, 0, false, 0, NULL, true),
    (7,  'Jonas Weber',         'Jonas Weber',         NULL, 7,  2,    NULL, NULL,    'en_US', 'Europe/Berlin',   NULL, 'contact', false, 'Sales', 'jonas@meridian.example', 'jonas@meridian.example', NULL, NULL, NULL, NULL, 2, 0, false, 0, NULL, true),
    (8,  'Blue Harbor Bakery',  'Blue Harbor Bakery',  NULL, 8,  NULL, 5,    'C0008', 'fr_FR', 'Europe/Brussels', 'BE0000000194', 'contact', true, NULL, 'hello@blueharbor.example', 'hello@blueharbor.example', '+32 3 555 02 00', 'Dock Street 12', '2000', 'Antwerp', 1, 3, true, 4, 2500.00, true),
    (9,  'Nina Peeters',        'Blue Harbor Bakery, Nina Peeters', 8, 8, NULL, 5, NULL, 'fr_FR', NULL, NULL, 'contact', false, 'Purchasing', 'Nina Peeters <nina@blueharbor.example>', 'nina@blueharbor.example', '+32 3 555 02 01', 'Dock Street 12', '2000', 'Antwerp', 1, 0, true, 0, NULL, true),
    (10, NULL,                  'Blue Harbor Bakery, Delivery Address', 8, 8, NULL, NULL, NULL, NULL, NULL, NULL, 'delivery', false, NULL, NULL, NULL, NULL, 'Mill Lane 3', '2018', 'Antwerp', 1, 0, true, 0, NULL, true),
    (11, 'O''Leary "100%_off" \ Sons', 'O''Leary "100%_off" \ Sons', NULL, 11, NULL, 6, 'C0011', 'en_US', NULL, NULL, 'contact', true, NULL, 'sons@oleary.example', 'sons@oleary.example', '', 'Canal Road 77', '60601', 'Chicago', 3, 5, true, 2, 0.00, true),
    (12, 'Café Ÿlang',          'Café Ÿlang',          NULL, 12, 2,    6,    'C0012', 'fr_FR', NULL, NULL, 'contact', true, NULL, 'bonjour@ylang.example', 'bonjour@ylang.example', NULL, 'Rue des Étoiles 5', '4000', 'Liège', 1, 7, true, 1, NULL, true),
    (13, 'Sunset Repairs',      'Sunset Repairs',      NULL, 13, NULL, NULL, 'C0013', 'en_US', NULL, NULL, 'contact', true, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 4, 0, true, 1, NULL, false),
    (14, 'Walk-in customer',    NULL,                  NULL, NULL, NULL, NULL, NULL, NULL,   NULL, NULL, 'contact', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, true);

-- A value per company; where a company is missing, the default in ir_default holds. 99 is a record that is gone.
UPDATE res_partner SET property_payment_term_id = '{"1": 2, "2": 3}', credit_limit = '{"1": 5000.0}', trust = '{"1": "good"}' WHERE id = 8;
UPDATE res_partner SET property_payment_term_id = '{"2": 1}', barcode = '{"2": "N-0012"}' WHERE id = 12;
UPDATE res_partner SET property_payment_term_id = '{"1": 99}', trust = '{"1": "bad", "2": "bad"}' WHERE id = 11;
UPDATE res_partner SET comment = '<p>Delivers <b>before six</b></p>', partner_latitude = 51.2213000 WHERE id = 8;

INSERT INTO res_partner_res_partner_category_rel (partner_id, category_id) VALUES
    (8, 1), (8, 3), (11, 2), (12, 1), (12, 4), (13, 5);

INSERT INTO res_users (id, login, password, totp_secret, partner_id, company_id, share, notification_type, signature, active) VALUES
    (1, '__system__',            NULL,                             NULL,                     3, 1, false, 'email', NULL, false),
    (2, 'ada@meridian.example',  '$pbkdf2$never-to-be-shown-8c2a', 'never-to-be-shown-77b0', 4, 1, false, 'inbox', '<p>Ada</p>', true),
    (3, 'public',                NULL,                             NULL,                     5, 1, true,  'email', NULL, false),
    (5, 'mira@meridian.example', '$pbkdf2$never-to-be-shown-1e9d', NULL,                     6, 1, false, 'email', '<p>Mira</p>', true),
    (6, 'jonas@meridian.example', '$pbkdf2$never-to-be-shown-b4f7', NULL,                    7, 2, false, 'email', '<p>Jonas</p>', true);

INSERT INTO res_company_users_rel (cid, user_id) VALUES (1, 1), (1, 2), (2, 2), (1, 3), (1, 5), (2, 6);

INSERT INTO res_users_apikeys (name, user_id, scope, index, key, create_date) VALUES
    ('Warehouse scanner', 2, 'rpc', '3f9c01aa', '$pbkdf2$never-to-be-shown-c0de', '2026-03-02 09:30:00');

INSERT INTO account_payment_term (name, note, company_id, sequence, active) VALUES
    ('{"en_US": "Immediate Payment", "fr_FR": "Paiement immédiat"}', NULL, NULL, 1, true),
    ('{"en_US": "15 Days", "fr_FR": "15 jours"}',  '{"en_US": "<p>Within 15 days</p>"}', NULL, 5, true),
    ('{"en_US": "30 Days"}',                       '{"en_US": "<p>Within 30 days</p>"}', NULL, 10, true);

INSERT INTO ir_default (field_id, company_id, json_value)
SELECT field.id, company_id, json_value
FROM (VALUES
    ('res.partner', 'trust',                    NULL,       '"normal"'),
    ('res.partner', 'credit_limit',             1,          '1000.0'),
    ('res.partner', 'property_payment_term_id', 2::integer, '2'),
    ('sale.order',  'require_signature',        NULL,       'true')
) AS initial (model, name, company_id, json_value)
JOIN ir_model_fields AS field USING (model, name);

INSERT INTO uom_uom (name, factor, rounding, active) VALUES
    ('{"en_US": "Units", "fr_FR": "Unité(s)"}', 1.0, 0.01, true),
    ('{"en_US": "Hours", "fr_FR": "Heures"}',   1.0, 0.01, true);

INSERT INTO product_category (name, complete_name, parent_id, parent_path, product_properties_definition) VALUES
    ('All',      'All',                  NULL, '1/',     NULL),
    ('Tools',    'All / Tools',          1,    '1/2/',   '[{"name": "finish", "type": "char", "string": "Finish"}]'),
    ('Workshop', 'All / Tools / Workshop', 2,  '1/2/3/', NULL),
    ('Services', 'All / Services',       1,    '1/4/',   NULL);

INSERT INTO product_tag (name, sequence, color) VALUES
    ('{"en_US": "New", "fr_FR": "Nouveau"}', 10, '#3C3C3C'),
    ('{"en_US": "Refurbished"}',             20, '#7A5C00');

INSERT INTO product_template (name, sequence, description_sale, type, categ_id, uom_id, company_id, list_price, default_code,
                              weight, sale_ok, is_favorite, responsible_id, product_properties, active) VALUES
    ('{"en_US": "Bench Vise", "fr_FR": "Étau d''établi"}', 1, '{"en_US": "Cast iron, 120 mm"}', 'consu', 3, 1, NULL, 89.90, 'VISE-120', 11.5, true, true, '{"1": 5}', '{"finish": "raw"}', true),
    ('{"en_US": "Hand Plane", "fr_FR": "Rabot"}',          2, NULL, 'consu', 3, 1, NULL, 54.00, NULL, 1.2, true, false, NULL, '{"finish": "oiled"}', true),
    ('{"en_US": "Work Lamp"}',                             3, '{"en_US": "LED", "fr_FR": "DEL"}', 'consu', 2, 1, 1, 32.50, 'LAMP', 0.8, true, false, NULL, NULL, true),
    ('{"en_US": "Sharpening", "fr_FR": "Affûtage"}',       4, NULL, 'service', 4, 2, NULL, 25.00, 'SHARP', NULL, true, false, '{"1": 5, "2": 6}', NULL, true),
    ('{"en_US": "Discontinued Saw"}',                      9, NULL, 'consu', 2, 1, NULL, 12.00, 'SAW', 0.5, false, NULL, NULL, NULL, false);

-- The hand plane has two variants; its template has no reference of its own, as Odoo leaves it then.
INSERT INTO product_product (product_tmpl_id, default_code, barcode, combination_indices, standard_price, weight, active) VALUES
    (1, 'VISE-120', '5400000000011', '',  '{"1": 41.5, "2": 43.0}', 11.5, true),
    (2, 'PLANE-L',  '5400000000028', '1', '{"1": 20.0}',            1.3,  true),
    (2, 'PLANE-S',  NULL,            '2', NULL,                     1.1,  true),
    (3, 'LAMP',     '5400000000042', '',  '{"1": 14.25}',           0.8,  true),
    (4, 'SHARP',    NULL,            '',  NULL,                     NULL, true),
    (5, 'SAW',      NULL,            '',  NULL,                     0.5,  false);

INSERT INTO product_tag_product_template_rel (product_tag_id, product_template_id) VALUES (1, 3), (2, 2), (2, 1);
INSERT INTO product_optional_rel (src_id, dest_id) VALUES (1, 4), (2, 4);

INSERT INTO crm_tag (name, color) VALUES
    ('{"en_US": "Trade Fair", "fr_FR": "Salon"}', 1), ('{"en_US": "Repeat"}', 2), ('{"en_US": "Urgent"}', 3);

INSERT INTO project_tags (name, color) VALUES
    ('{"en_US": "Repair", "fr_FR": "Réparation"}', 1), ('{"en_US": "Warranty"}', 2), ('{"en_US": "Visit"}', 3);

INSERT INTO project_task_type (name, sequence, fold, user_id, active) VALUES
    ('{"en_US": "New", "fr_FR": "Nouveau"}',     1, false, NULL, true),
    ('{"en_US": "In Progress"}',                 2, false, NULL, true),
    ('{"en_US": "Done", "fr_FR": "Terminé"}',    3, true,  NULL, true),
    ('{"en_US": "Inbox"}',                       1, false, 5,    true);

INSERT INTO mail_alias (alias_name, alias_model_id, alias_defaults, alias_contact)
SELECT alias_name, ir_model.id, defaults, contact
FROM (VALUES ('workshop', '{''project_id'': 1}', 'everyone'), (NULL, '{''project_id'': 2}', 'followers'))
         AS initial (alias_name, defaults, contact)
JOIN ir_model ON model = 'project.task';

INSERT INTO project_project (name, alias_id, label_tasks, description, partner_id, company_id, user_id, sequence,
                             privacy_visibility, date_start, date, allow_billable, task_properties_definition, active) VALUES
    ('{"en_US": "Workshop", "fr_FR": "Atelier"}', 1, '{"en_US": "Jobs"}', '<p>Repairs and sharpening</p>', NULL, 1, 5, 10, 'portal', '2026-02-01', '2026-12-31', true,
     '[{"name": "aa11", "type": "char", "string": "Serial number"}, {"name": "bb22", "type": "boolean", "string": "Pick-up"}]', true),
    ('{"en_US": "New Shop"}', 2, NULL, NULL, NULL, NULL, 2, 20, 'followers', NULL, NULL, false, NULL, true);

INSERT INTO project_task_type_rel (project_id, type_id) VALUES (1, 1), (1, 2), (1, 3), (2, 1), (2, 3);
INSERT INTO project_project_project_tags_rel (project_project_id, project_tags_id) VALUES (1, 1);
INSERT INTO project_favorite_user_rel (project_id, user_id) VALUES (1, 5), (2, 2);

INSERT INTO sale_order (name, state, partner_id, partner_invoice_id, partner_shipping_id, company_id, currency_id, currency_rate,
                        user_id, payment_term_id, client_order_ref, access_token, date_order, commitment_date,
                        validity_date, invoice_status, note, prepayment_percent, locked, require_signature, project_id) VALUES
    ('S00001', 'draft',  8,  8,  10,  1, 1, 1.0,   5,    2,    NULL,       NULL,                     '2026-03-02 09:15:00', NULL,                  '2026-04-01', 'no',         NULL, 1.0, false, true,  NULL),
    ('S00002', 'sent',   8,  9,  10,  1, 1, 1.0,   5,    2,    'BH-77',    'never-to-be-shown-s2',   '2026-03-09 14:00:00', '2026-03-20 06:00:00', '2026-04-08', 'no',         '<p>Ring twice</p>', 1.0, false, true, NULL),
    ('S00003', 'sale',   8,  8,  8,   1, 1, 1.0,   5,    2,    'BH-78',    'never-to-be-shown-s3',   '2026-03-11 08:40:00', '2026-03-25 06:00:00', NULL,         'to invoice', NULL, 1.0, false, false, 1),
    ('S00004', 'sale',   11, 11, 11,  1, 2, 1.085, 6,    NULL, '50% off',  NULL,                     '2026-03-31 23:59:59', NULL,                  NULL,         'invoiced',   NULL, 0.5, true,  false, NULL),
    ('S00005', 'cancel', 11, 11, 11,  1, 2, 1.085, NULL, NULL, '',         NULL,                     '2026-04-01 00:00:00', NULL,                  NULL,         'no',         NULL, 1.0, false, false, NULL),
    ('S00006', 'sale',   12, 12, 12,  2, 1, 1.0,   6,    3,    NULL,       NULL,                     '2026-04-02 11:05:30', NULL,                  NULL,         'to invoice', NULL, 1.0, false, true,  NULL),
    ('S00007', 'draft',  12, 12, 12,  2, 1, 1.0,   6,    3,    NULL,       NULL,                     '2026-04-03 16:45:00', NULL,                  '2026-05-03', 'no',         NULL, NULL, NULL, NULL, NULL),
    ('S00008', 'draft',  14, 14, 14,  1, 1, 1.0,   5,    NULL, NULL,       NULL,                     '2026-04-07 10:00:00', NULL,                  NULL,         'no',         NULL, 1.0, false, true,  NULL);

INSERT INTO sale_order_tag_rel (order_id, tag_id) VALUES (2, 1), (3, 1), (3, 2), (6, 3);

INSERT INTO sale_order_line (order_id, sequence, name, display_type, product_id, product_uom, product_uom_qty, qty_delivered,
                             price_unit, discount, customer_lead, analytic_distribution) VALUES
    (1, 10, 'Bench Vise',              NULL,           1,    1,    1,  0, 89.90, 0.0,  0, NULL),
    (1, 20, 'Work Lamp',               NULL,           4,    1,    4,  0, 32.50, 0.0,  0, NULL),
    (2, 10, 'Hand tools',              'line_section', NULL, NULL, 0,  0, 0,     0.0,  0, NULL),
    (2, 20, 'Hand Plane (large)',      NULL,           2,    1,    6,  0, 54.00, 10.0, 0, NULL),
    (2, 30, 'Hand Plane (small)',      NULL,           3,    1,    6,  0, 54.00, 10.0, 0, NULL),
    (3, 10, 'Bench Vise',              NULL,           1,    1,    2,  1, 89.90, 5.0,  0, '{"1": 100.0}'),
    (3, 20, 'Sharpening',              NULL,           5,    2,    3,  0, 25.00, 0.0,  2, '{"1": 60.0, "2": 40.0}'),
    (4, 10, 'Work Lamp',               NULL,           4,    1,    20, 20, 35.26, 0.0, 0, NULL),
    (4, 20, 'Packed in crates of ten', 'line_note',    NULL, NULL, 0,  0, 0,     0.0,  0, NULL),
    (5, 10, 'Discontinued Saw',        NULL,           6,    1,    3,  0, 12.00, 0.0,  0, NULL),
    (6, 10, 'Bench Vise',              NULL,           1,    1,    1,  1, 89.90, 0.0,  0, NULL),
    (6, 20, 'Sharpening',              NULL,           5,    2,    1.5, 0, 25.00, 0.0, 2, NULL),
    (7, 10, 'Hand Plane (large)',      NULL,           2,    1,    1,  0, 54.00, 0.0,  0, NULL),
    (8, 10, 'Sharpening',              NULL,           5,    2,    1,  0, 25.00, 100.0, 2, NULL);

-- Stored computed and related fields, as Odoo would have left them. The tax is 21 % everywhere.
UPDATE sale_order_line SET price_subtotal = round(product_uom_qty * price_unit * (1 - discount / 100), 2);
UPDATE sale_order_line SET price_tax = round(price_subtotal * 0.21, 2);
UPDATE sale_order_line AS line
SET state = orders.state, order_partner_id = orders.partner_id, salesman_id = orders.user_id, company_id = orders.company_id,
    currency_id = orders.currency_id
FROM sale_order AS orders
WHERE orders.id = line.order_id;
UPDATE sale_order AS orders
SET amount_untaxed = untaxed, amount_tax = tax, amount_total = untaxed + tax
FROM (SELECT order_id, sum(price_subtotal) AS untaxed, sum(price_tax)::numeric(16, 2) AS tax
      FROM sale_order_line GROUP BY order_id) AS sums
WHERE sums.order_id = orders.id;

-- 2 and 3 are parts of 1; 7 is private: it belongs to no project, and record rules hide it even from administrators.
INSERT INTO project_task (name, state, project_id, stage_id, parent_id, partner_id, company_id, description, priority, sequence,
                          access_token, date_deadline, date_assign, date_end, date_last_stage_update, allocated_hours,
                          working_hours_open, task_properties, sale_line_id, sale_order_id, display_in_project, active) VALUES
    ('Overhaul the band saw', '01_in_progress', 1, 2, NULL, 8,    1,    '<p>Blade, bearings, guard</p>', '1', 10, NULL, '2026-04-20 16:00:00', '2026-03-12 09:00:00', NULL, '2026-03-12 09:00:00', 12, 4.5, '{"aa11": "BS-0042", "bb22": true}', 7, 3, true, true),
    ('Order a new blade',     '1_done',         1, 3, 1,    8,    1,    NULL,                            '0', 10, NULL, NULL,                  '2026-03-12 09:05:00', '2026-03-18 15:30:00', '2026-03-18 15:30:00', 1, 4.5, NULL, NULL, 3, false, true),
    ('Replace the bearings',  '01_in_progress', 1, 2, 1,    8,    1,    NULL,                            '0', 20, NULL, '2026-04-10 16:00:00', '2026-03-19 08:00:00', NULL, '2026-03-19 08:00:00', 6, NULL, NULL, NULL, 3, false, true),
    ('Sharpen chisels',       '03_approved',    1, 1, NULL, 12,   1,    NULL,                            '0', 30, 'never-to-be-shown-t4', '2026-04-15 16:00:00', NULL, NULL, '2026-04-02 11:10:00', 1.5, NULL, '{"aa11": false, "bb22": false}', 12, 6, true, true),
    ('Find a location',       '01_in_progress', 2, 1, NULL, NULL, NULL, '<p></p>',                       '1', 10, NULL, '2026-06-30 16:00:00', NULL, NULL, '2026-02-10 10:00:00', 0, NULL, NULL, NULL, NULL, true, true),
    ('Compare the leases',    '04_waiting_normal', 2, 1, NULL, NULL, NULL, NULL,                         '0', 20, NULL, NULL, NULL, NULL, '2026-02-10 10:05:00', NULL, NULL, NULL, NULL, NULL, true, true),
    ('Call the dentist',      '01_in_progress', NULL, NULL, NULL, NULL, NULL, NULL,                      '0', 10, NULL, NULL, '2026-04-01 07:00:00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, true, true),
    ('Abandoned estimate',    '1_canceled',     1, 3, NULL, 13,   1,    NULL,                            '0', 99, NULL, '2026-01-31 16:00:00', NULL, '2026-02-15 12:00:00', '2026-02-15 12:00:00', NULL, NULL, NULL, NULL, NULL, true, false);

INSERT INTO project_task_user_rel (task_id, user_id, stage_id) VALUES
    (1, 5, 4), (1, 6, NULL), (2, 5, 4), (3, 6, NULL), (5, 2, NULL), (7, 5, 4);
INSERT INTO task_dependencies_rel (task_id, depends_on_id) VALUES (3, 2), (6, 5);
INSERT INTO project_tags_project_task_rel (project_task_id, project_tags_id) VALUES (1, 1), (1, 2), (4, 1), (8, 3);

INSERT INTO mail_message (subject, date, body, model, res_id, message_type, author_id) VALUES
    (NULL,           '2026-03-11 08:40:05', '<p>Order confirmed</p>',      'sale.order',   3, 'notification', 6),
    ('Delivery time', '2026-03-12 07:55:00', '<p>Before six, please</p>',  'sale.order',   3, 'email',        9),
    (NULL,           '2026-03-18 15:30:02', '<p>Stage changed</p>',        'project.task', 2, 'notification', 6),
    (NULL,           '2026-03-01 12:00:00', '<p>Contact created</p>',      'res.partner',  8, 'notification', 4);

-- The bytes of a picture are a file; of the field image_1920 the database has this row alone.
INSERT INTO ir_attachment (name, res_model, res_field, res_id, type, mimetype, file_size, store_fname) VALUES
    ('image_1920', 'res.partner', 'image_1920', 8, 'binary', 'image/png', 48213, '3b/3b9f0c7d');

INSERT INTO ir_act_window (name, type, res_model, domain) VALUES
    ('{"en_US": "Quotations"}', 'ir.actions.act_window', 'sale.order', '[(''state'', ''in'', (''draft'', ''sent''))]');


-- ====================================================================================================================
-- 5. Constraints, indexes, sequences
-- ====================================================================================================================

-- They come last, as in a dump: the rows above refer to each other in circles.

-- Copies, because an index on a table cannot be made while the same session reads from it.
CREATE TEMPORARY TABLE made_table AS
    SELECT model, to_regclass(coalesce(relname, replace(model, '.', '_'))) AS relid
    FROM declared_model
    WHERE kind IN ('table', 'bare');
CREATE TEMPORARY TABLE made_column AS
    SELECT field.*, made.relid AS of_table, target.relid AS target_table
    FROM ir_model_fields AS field
    JOIN made_table AS made ON made.model = field.model
    JOIN pg_attribute ON attrelid = made.relid AND attname = field.name
    LEFT JOIN made_table AS target ON target.model = field.relation
    WHERE field.store;
CREATE TEMPORARY TABLE made_relation AS
    SELECT DISTINCT ON (relation_table) relation_table::regclass AS relid, column1, column2,
           this.relid AS target1, other.relid AS target2
    FROM ir_model_fields AS field
    JOIN made_table AS this ON this.model = field.model
    JOIN made_table AS other ON other.model = field.relation
    WHERE relation_table <> 'project_task_user_rel'
    ORDER BY relation_table, field.id;

DO $constrain_tables$
DECLARE
    of_field record;
    of_table record;
BEGIN
    -- Whoever wrote a row wrote it early in 2026; imported rows (partner 14) do not say.
    FOR of_table IN
        SELECT relid FROM made_table
        JOIN pg_attribute ON attrelid = relid AND attname = 'write_uid'
    LOOP
        EXECUTE format('UPDATE %s SET create_uid = coalesce(create_uid, 2), create_date = coalesce(create_date, %L),
                                      write_uid = coalesce(write_uid, 2), write_date = coalesce(write_date, %2$L)
                        WHERE %1$L <> %3$L OR id <> 14',
                       of_table.relid, '2026-01-05 08:00:00', 'res_partner');
    END LOOP;

    FOR of_field IN SELECT * FROM made_column ORDER BY id LOOP
        -- A value per company is no column of ids, and a referenced parent's rows do not include its INHERITS children.
        IF of_field.ttype = 'many2one' AND NOT of_field.company_dependent
           AND of_field.target_table <> 'ir_actions'::regclass
        THEN
            EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I FOREIGN KEY (%I) REFERENCES %s (id) ON DELETE %s',
                           of_field.of_table, of_field.of_table::text || '_' || of_field.name || '_fkey', of_field.name,
                           of_field.target_table, coalesce(of_field.on_delete, 'set null'));
        END IF;
        IF of_field.index AND of_field.company_dependent THEN
            EXECUTE format('CREATE INDEX %I ON %s ((%I IS NOT NULL)) WHERE %3$I IS NOT NULL',
                           of_field.of_table::text || '__' || of_field.name || '_index', of_field.of_table, of_field.name);
        ELSIF of_field.index AND NOT of_field.translate THEN
            EXECUTE format('CREATE INDEX %I ON %s (%I)',
                           of_field.of_table::text || '__' || of_field.name || '_index', of_field.of_table, of_field.name);
        END IF;
        EXECUTE format('COMMENT ON COLUMN %s.%I IS %L',
                       of_field.of_table, of_field.name, of_field.field_description ->> 'en_US');
    END LOOP;

    FOR of_field IN SELECT * FROM made_relation LOOP
        EXECUTE format('ALTER TABLE %s ADD FOREIGN KEY (%I) REFERENCES %s (id) ON DELETE CASCADE,
                                       ADD FOREIGN KEY (%I) REFERENCES %s (id) ON DELETE CASCADE',
                       of_field.relid, of_field.column1, of_field.target1, of_field.column2, of_field.target2);
        EXECUTE format('CREATE INDEX ON %s (%I, %I)', of_field.relid, of_field.column2, of_field.column1);
    END LOOP;

    FOR of_table IN
        SELECT relid, pg_get_serial_sequence(relid::text, 'id') AS sequence FROM made_table
        -- The INHERITS child counts with its parent's sequence, and its rows with the parent's.
        WHERE relid <> 'ir_act_window'::regclass
    LOOP
        EXECUTE format('SELECT setval(%L, (SELECT coalesce(max(id), 0) + 1 FROM %s), false)',
                       of_table.sequence, of_table.relid);
    END LOOP;
END
$constrain_tables$;

ALTER TABLE ir_model ADD CONSTRAINT ir_model_obj_name_uniq UNIQUE (model);
ALTER TABLE ir_model_fields
    ADD CONSTRAINT ir_model_fields_name_unique UNIQUE (model, name),
    ADD CONSTRAINT ir_model_fields_name_manual_field CHECK (state <> 'manual' OR name LIKE 'x\_%');
ALTER TABLE ir_model_fields_selection ADD CONSTRAINT ir_model_fields_selection_selection_field_uniq UNIQUE (field_id, value);
ALTER TABLE ir_module_module ADD CONSTRAINT ir_module_module_name_uniq UNIQUE (name);
ALTER TABLE ir_config_parameter ADD CONSTRAINT ir_config_parameter_key_uniq UNIQUE (key);
ALTER TABLE res_lang ADD CONSTRAINT res_lang_code_uniq UNIQUE (code);
ALTER TABLE res_country ADD CONSTRAINT res_country_code_uniq UNIQUE (code);
ALTER TABLE res_users ADD CONSTRAINT res_users_login_key UNIQUE (login);
ALTER TABLE res_partner
    ADD CONSTRAINT res_partner_check_name CHECK (type = 'contact' AND name IS NOT NULL OR type <> 'contact');
ALTER TABLE sale_order
    ADD CONSTRAINT sale_order_date_order_conditional_required CHECK (state <> 'sale' OR date_order IS NOT NULL);
ALTER TABLE project_task
    ADD CONSTRAINT project_task_private_task_has_no_parent CHECK (NOT (project_id IS NULL AND parent_id IS NOT NULL));
ALTER TABLE project_task_user_rel
    ADD CONSTRAINT project_task_user_rel_project_personal_stage_unique UNIQUE (task_id, user_id);

DROP TABLE made_relation, made_column, made_table, declared_inherit, declared_field, declared_model;
RESET client_min_messages;
