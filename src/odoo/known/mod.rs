//! What only Odoo's Python code knows, for the standard modules of 16 to 19: facts no table of the database tells.
//!
//! The lists beside this file were taken from what running Odoos say of themselves (`fields_get`) and from their generated SQL; each
//! line carries the versions it holds for, and a version that is newer than all of them is in none.
//! Whatever is in no list counts as unknown, and what depends on it is refused rather than guessed.

mod versions;

use std::sync::LazyLock;

use versions::{Facts, lines};
pub use versions::{NEWEST, OLDEST, Versions, untried};

/// The domain a one2many or many2many field carries in its Python declaration, which Odoo adds to every search through it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldDomain {
    /// Known to have none.
    None,
    /// This domain, as JSON or as Python writes it.
    Json(String),
    /// The field belongs to a module this program does not know.
    Unknown,
}

/// How Odoo rounds what a stored float field is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digits {
    /// Not at all.
    Unrounded,
    /// To this many decimals.
    Scale(u32),
    /// To the decimals of the `decimal.precision` record of this name.
    Precision(&'static str),
}

type ByField<T> = Facts<(&'static str, &'static str), T>;

/// `model field rest of the line`
fn model_field_rest(
    (versions, line): (Versions, &'static str),
) -> (Versions, (&'static str, &'static str), &'static str) {
    let mut parts = line.splitn(3, ' ');
    let mut part = || parts.next().unwrap_or_default();
    (versions, (part(), part()), part())
}

/// The domain of an x2many field of a standard module in that version; `relation` is the model it leads to.
///
/// Source: `fields_get` of 16.0 to 19.0; a domain declared as a *string* is for the web client and is not listed.
pub fn x2many_domain(version: u16, model: &str, field: &str, relation: &str) -> FieldDomain {
    static DOMAINS: LazyLock<ByField<&'static str>> = LazyLock::new(|| {
        lines(include_str!("x2many_domains.txt"))
            .map(model_field_rest)
            .collect()
    });
    static PLAIN: LazyLock<ByField<()>> = LazyLock::new(|| {
        lines(include_str!("x2many_plain.txt"))
            .filter_map(|(versions, line)| Some((versions, line.split_once(' ')?)))
            .flat_map(|(versions, (model, fields))| fields.split(' ').map(move |field| (versions, (model, field), ())))
            .collect()
    });
    let resolve = |domain: &str| FieldDomain::Json(domain.replace("$model", model));
    if let Some(domain) = DOMAINS.get(version, &(model, field)) {
        return resolve(domain);
    }
    if PLAIN.get(version, &(model, field)).is_some() {
        return FieldDomain::None;
    }
    if let Some((domain, only)) = DOMAINS
        .get(version, &("*", field))
        .and_then(|entry| entry.rsplit_once(' '))
        && only == relation
    {
        return resolve(domain);
    }
    if PLAIN.get(version, &("*", field)).is_some() {
        return FieldDomain::None;
    }
    FieldDomain::Unknown
}

/// Whether the own context of an x2many field of a standard module says `active_test`, and what: false lists archived records
/// too, whoever asks.
///
/// Source: `fields_get` of Odoo 16.0 to 19.0; `RelationalMulti.convert_to_record` looks at the field's context before the
/// environment's.
pub fn active_test(version: u16, model: &str, field: &str) -> Option<bool> {
    static LIST: LazyLock<ByField<&'static str>> = LazyLock::new(|| {
        lines(include_str!("x2many_archived.txt"))
            .map(model_field_rest)
            .collect()
    });
    LIST.get(version, &(model, field)).map(|said| *said == "True")
}

/// How a stored float field with a numeric column rounds in that version, where it is known.
pub fn digits(version: u16, model: &str, field: &str) -> Option<Digits> {
    static DIGITS: LazyLock<ByField<&'static str>> =
        LazyLock::new(|| lines(include_str!("digits.txt")).map(model_field_rest).collect());
    DIGITS
        .get(version, &(model, field))
        .map(|digits| match (*digits, digits.parse()) {
            ("none", _) => Digits::Unrounded,
            (_, Ok(scale)) => Digits::Scale(scale),
            (name, Err(_)) => Digits::Precision(name),
        })
}

/// The fields in which a text is looked up that is compared with a record of this model, where it is known for that version.
pub fn name_fields(version: u16, model: &str) -> Option<Vec<&'static str>> {
    static NAMES: LazyLock<Facts<&'static str, &'static str>> = LazyLock::new(|| {
        lines(include_str!("names.txt"))
            .filter_map(|(versions, line)| line.split_once(' ').map(|(model, fields)| (versions, model, fields)))
            .collect()
    });
    NAMES.get(version, model).map(|fields| fields.split(' ').collect())
}

/// True for a field of a standard module of 16 and 17 that depends on the company, whose values are rows of `ir_property`.
pub fn is_company_dependent(version: u16, model: &str, field: &str) -> bool {
    static LIST: LazyLock<ByField<&'static str>> = LazyLock::new(|| {
        lines(include_str!("company_dependent.txt"))
            .map(model_field_rest)
            .collect()
    });
    LIST.get(version, &(model, field)).is_some()
}

/// The path whose value a computed field shows at its first record, where its Python code does nothing else.
///
/// Source: `_compute_product_variant_id` and `_compute_product_template_id`; `_compute_company_employee`, of whose records a user has
/// one in each company at most (`hr_employee_user_uniq`). Read in 16.0 to 19.0.
pub fn shows_first(model: &str, field: &str) -> Option<&'static str> {
    Some(match (model, field) {
        ("product.template", "product_variant_id") => "product_variant_ids.id",
        ("sale.order.line", "product_template_id") => "product_id.product_tmpl_id",
        ("res.users", "employee_id") => "employee_ids.id",
        _ => return None,
    })
}

/// What becomes of a negative operator in a search that follows a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Negation {
    /// It is asked at the end of the path.
    Asked,
    /// It is the opposite of the positive one.
    Opposite,
    /// It is not known.
    Unknown,
}

/// The path a computed field is searched by in that version, where its Python search does nothing but follow it.
pub fn searched_by(version: u16, model: &str, field: &str) -> Option<(&'static str, Negation)> {
    let path = match (model, field) {
        ("hr.employee", "version_id") if version == 19 => "current_version_id",
        ("product.template", "barcode") => "product_variant_ids.barcode",
        ("product.template", "standard_price") => "product_variant_ids.standard_price",
        ("res.users", "employee_id") => "employee_ids",
        ("res.users", "res_users_settings_id") => "res_users_settings_ids",
        ("sale.order.line", "product_template_id") => "product_id.product_tmpl_id",
        ("stock.move.line", "picking_type_id") => "picking_id.picking_type_id",
        // Of the mixins for messages and activities.
        (_, "activity_exception_decoration") => "activity_ids.activity_type_id.decoration_type",
        (_, "activity_user_id") => "activity_ids.user_id",
        (_, "message_partner_ids") => "message_follower_ids.partner_id",
        _ => return None,
    };
    let negation = match field {
        "message_partner_ids" => Negation::Opposite,
        _ if version < 19 => Negation::Asked,
        "activity_exception_decoration" => Negation::Asked,
        "barcode" | "standard_price" | "activity_user_id" => Negation::Unknown,
        _ => Negation::Opposite,
    };
    Versions::since(OLDEST).hold_for(version).then_some((path, negation))
}

/// What a field without a column is computed from in that version, for hints. Empty if it is not known.
pub fn computed_from(version: u16, model: &str, field: &str) -> Vec<&'static str> {
    static COMPUTED: LazyLock<ByField<&'static str>> =
        LazyLock::new(|| lines(include_str!("computed.txt")).map(model_field_rest).collect());
    COMPUTED
        .get(version, &(model, field))
        .map(|paths| paths.split(' ').collect())
        .unwrap_or_default()
}

/// True for a model whose search hides records by itself, whoever searches.
///
/// `ir.attachment` leaves out the files of binary fields unless the domain speaks of `id` or `res_field`, `ir.ui.menu` the
/// menus that the user does not see.
pub fn has_hidden_records(model: &str) -> bool {
    matches!(model, "ir.attachment" | "ir.ui.menu")
}

/// True for a many2one that Odoo joins instead of sub-selecting (`auto_join`, up to 18), the links of `_inherits` aside: those always are.
///
/// It shows where the link is empty: a joined row of nulls satisfies `!=`, a sub-select never does. It shows under `!` as well, where
/// NOT is written of the joined row's condition. In 19 both behave as the sub-select does.
pub fn is_auto_join(version: u16, model: &str, field: &str) -> bool {
    let versions = match (model, field) {
        ("account.analytic.account" | "project.project", "partner_id")
        | ("account.move.line", "account_id" | "move_id" | "payment_id" | "statement_id" | "statement_line_id")
        | ("account.payment", "payment_transaction_id")
        | ("hr.employee" | "mrp.workcenter", "resource_id")
        | ("stock.move", "location_id" | "location_dest_id")
        | ("stock.move.line", "picking_id")
        | ("stock.quant", "location_id")
        | ("stock.valuation.layer", "product_id") => Versions::until(18),
        ("mail.channel.member", "channel_id") => Versions::until(16),
        ("discuss.channel.member", "channel_id") | ("discuss.voice.metadata", "attachment_id") => {
            Versions::between(17, 18)
        }
        ("discuss.channel", "parent_channel_id") | ("stock.move", "location_final_id") => Versions::between(18, 18),
        _ => return false,
    };
    versions.hold_for(version)
}

/// True for an x2many field whose own context says `active_test`: archived related records never count.
pub fn is_active_tested(model: &str, field: &str) -> bool {
    matches!((model, field), ("crm.team", "crm_team_member_ids"))
}

/// The many2one that makes a model a tree (`_parent_name`).
pub fn parent_field(model: &str) -> &'static str {
    match model {
        "stock.location" => "location_id",
        _ => "parent_id",
    }
}

/// The field of `model` that names the model a many2one_reference field `field` points into.
pub fn reference_model_field(model: &str, field: &str) -> Option<&'static str> {
    Some(match (model, field) {
        ("mail.message" | "mail.mail" | "ir.model.data" | "mail.scheduled.message", "res_id") => "model",
        (
            "mail.activity" | "mail.followers" | "ir.attachment" | "rating.rating" | "product.document"
            | "calendar.event" | "quotation.document",
            "res_id",
        ) => "res_model",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_told_from_none_and_from_unknown() {
        let children = FieldDomain::Json(r#"[["active", "=", true]]"#.to_owned());
        assert_eq!(x2many_domain(18, "res.partner", "child_ids", "res.partner"), children);
        assert_eq!(
            x2many_domain(18, "sale.order", "order_line", "sale.order.line"),
            FieldDomain::None
        );
        assert_eq!(
            x2many_domain(18, "x_custom", "x_line_ids", "x_line"),
            FieldDomain::Unknown
        );
    }

    #[test]
    fn a_mixins_domain_names_the_model_it_is_used_on() {
        let FieldDomain::Json(domain) = x2many_domain(18, "sale.order", "website_message_ids", "mail.message") else {
            panic!("known field");
        };
        assert!(domain.contains(r#""sale.order""#), "{domain}");
        assert_eq!(
            x2many_domain(18, "sale.order", "website_message_ids", "x_other"),
            FieldDomain::Unknown
        );
    }

    #[test]
    fn a_list_says_of_each_version_what_that_version_does() {
        let of = |version| x2many_domain(version, "project.project", "task_ids", "project.task");
        assert_eq!(of(18), FieldDomain::Json(r#"[["is_closed", "=", false]]"#.to_owned()));
        assert_eq!(of(19), FieldDomain::None, "from 19 on it is for the web client alone");
        assert_eq!(active_test(18, "sale.order.line", "tax_id"), Some(false));
        assert_eq!(active_test(19, "sale.order.line", "tax_ids"), Some(false));
        assert_eq!(active_test(19, "sale.order", "order_line"), None);
    }

    #[test]
    fn digits_are_fixed_named_or_absent() {
        assert_eq!(digits(18, "res.partner", "partner_latitude"), Some(Digits::Scale(7)));
        assert_eq!(
            digits(18, "sale.order.line", "price_unit"),
            Some(Digits::Precision("Product_Price"))
        );
        assert_eq!(digits(18, "sale.order", "currency_rate"), Some(Digits::Unrounded));
        assert_eq!(digits(18, "x_custom", "x_amount"), None);
    }

    #[test]
    fn a_field_is_known_to_depend_on_the_company_before_a_value_of_it_tells() {
        assert!(is_company_dependent(16, "mrp.bom", "analytic_account_id"));
        assert!(
            !is_company_dependent(17, "mrp.bom", "analytic_account_id"),
            "17 has none"
        );
        assert!(!is_company_dependent(18, "res.partner", "barcode"), "the column tells");
    }

    #[test]
    fn what_a_list_says_of_one_version_it_does_not_say_of_another() {
        let tasks = |version| x2many_domain(version, "project.project", "task_ids", "project.task");
        assert_eq!(tasks(19), FieldDomain::None);
        assert_ne!(tasks(17), tasks(18));
        assert_eq!(tasks(20), FieldDomain::Unknown);
        assert_eq!(name_fields(20, "res.partner"), None);
        assert!(is_auto_join(18, "account.move.line", "payment_id"));
        assert!(!is_auto_join(19, "account.move.line", "payment_id"));
        let ratings = x2many_domain(18, "mail.message", "rating_ids", "rating.rating");
        assert_eq!(ratings, FieldDomain::None);
    }
}
