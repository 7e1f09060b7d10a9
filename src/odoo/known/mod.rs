//! What only Odoo's Python code knows, for the standard modules of 16 to 19: facts no table of the database tells.
//!
//! The lists beside this file were taken from what a running Odoo says of itself (`fields_get`) and from its generated SQL.
//! Whatever is in no list counts as unknown, and what depends on it is refused rather than guessed.

use std::collections::HashMap;
use std::sync::LazyLock;

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

type ByField<T> = HashMap<(&'static str, &'static str), T>;

/// Lines of a list file without comments and blanks.
fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
}

/// `model field rest of the line`
fn model_field_rest(line: &'static str) -> (&'static str, &'static str, &'static str) {
    let mut parts = line.splitn(3, ' ');
    (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    )
}

/// The versions of Odoo that a line of a list holds for.
type Versions = std::ops::RangeInclusive<u16>;

/// Facts by model and field, each with its versions.
type ByVersion<T> = HashMap<(&'static str, &'static str), Vec<(Versions, T)>>;

/// `17-19` or `18`.
fn versions(text: &str) -> Versions {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.parse().expect("a shipped list names the versions it holds for");
    number(first)..=number(last)
}

/// What is said of a field for this version; `*` stands for every model.
fn of_version<T: Copy>(list: &ByVersion<T>, version: u16, model: &str, field: &str) -> Option<T> {
    let entries = list.get(&(model, field))?;
    entries
        .iter()
        .find(|(versions, _)| versions.contains(&version))
        .map(|(_, fact)| *fact)
}

/// `versions model field rest`, by model and field.
fn by_version(text: &'static str) -> ByVersion<&'static str> {
    let mut list = ByVersion::new();
    for line in lines(text) {
        let (held, rest) = line.split_once(' ').unwrap_or_default();
        let (model, field, rest) = model_field_rest(rest);
        list.entry((model, field)).or_default().push((versions(held), rest));
    }
    list
}

/// The domain of an x2many field of a standard module; `relation` is the model it leads to.
///
/// Source: `fields_get` of Odoo 16.0 to 19.0; a domain declared as a *string* is for the web client and is not listed.
pub fn x2many_domain(version: u16, model: &str, field: &str, relation: &str) -> FieldDomain {
    static DOMAINS: LazyLock<ByVersion<&'static str>> =
        LazyLock::new(|| by_version(include_str!("x2many_domains.txt")));
    static PLAIN: LazyLock<ByVersion<()>> = LazyLock::new(|| {
        let mut list = ByVersion::new();
        for line in lines(include_str!("x2many_plain.txt")) {
            let mut words = line.split(' ');
            let (held, of) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            for field in words {
                list.entry((of, field)).or_default().push((versions(held), ()));
            }
        }
        list
    });
    let resolve = |domain: &str| FieldDomain::Json(domain.replace("$model", model));
    if let Some(domain) = of_version(&DOMAINS, version, model, field) {
        return resolve(domain);
    }
    if of_version(&PLAIN, version, model, field).is_some() {
        return FieldDomain::None;
    }
    if let Some((domain, only)) = of_version(&DOMAINS, version, "*", field).and_then(|entry| entry.rsplit_once(' '))
        && only == relation
    {
        return resolve(domain);
    }
    if of_version(&PLAIN, version, "*", field).is_some() {
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
    static LIST: LazyLock<ByVersion<&'static str>> = LazyLock::new(|| by_version(include_str!("x2many_archived.txt")));
    of_version(&LIST, version, model, field).map(|said| said == "True")
}

/// How a stored float field with a numeric column rounds, where it is known.
pub fn digits(model: &str, field: &str) -> Option<Digits> {
    static DIGITS: LazyLock<ByField<&'static str>> = LazyLock::new(|| {
        lines(include_str!("digits.txt"))
            .map(model_field_rest)
            .map(|(model, field, digits)| ((model, field), digits))
            .collect()
    });
    DIGITS
        .get(&(model, field))
        .map(|digits| match (*digits, digits.parse()) {
            ("none", _) => Digits::Unrounded,
            (_, Ok(scale)) => Digits::Scale(scale),
            (name, Err(_)) => Digits::Precision(name),
        })
}

/// The fields in which a text is looked up that is compared with a record of this model, where it is known.
pub fn name_fields(model: &str) -> Option<Vec<&'static str>> {
    static NAMES: LazyLock<HashMap<&'static str, &'static str>> = LazyLock::new(|| {
        lines(include_str!("names.txt"))
            .filter_map(|line| line.split_once(' '))
            .collect()
    });
    NAMES.get(model).map(|fields| fields.split(' ').collect())
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

/// The path a computed field is searched by, where its Python search does nothing but follow it.
pub fn searched_by(model: &str, field: &str) -> Option<&'static str> {
    Some(match (model, field) {
        ("product.template", "standard_price") => "product_variant_ids.standard_price",
        ("res.users", "res_users_settings_id") => "res_users_settings_ids",
        ("sale.order.line", "product_template_id") => "product_id.product_tmpl_id",
        ("stock.move.line", "picking_type_id") => "picking_id.picking_type_id",
        _ => return None,
    })
}

/// What a field without a column is computed from, for hints. Empty if it is not known.
pub fn computed_from(model: &str, field: &str) -> Vec<&'static str> {
    static COMPUTED: LazyLock<ByField<&'static str>> = LazyLock::new(|| {
        lines(include_str!("computed.txt"))
            .map(model_field_rest)
            .map(|(model, field, paths)| ((model, field), paths))
            .collect()
    });
    COMPUTED
        .get(&(model, field))
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

/// True for a many2one that Odoo joins instead of sub-selecting (`auto_join`, up to 18).
///
/// It shows where the link is empty: a joined row of nulls satisfies `!=`, a sub-select never does. In 19 both behave as the
/// sub-select does.
pub fn is_auto_join(version: u16, model: &str, field: &str) -> bool {
    version < 19
        && matches!(
            (model, field),
            ("account.move.line", "move_id" | "account_id")
                | ("account.bank.statement.line" | "account.payment", "move_id")
                | ("product.product", "product_tmpl_id")
                | ("project.project", "partner_id" | "alias_id")
                | ("res.users", "partner_id")
                | ("hr.employee", "resource_id")
                | ("website.page", "view_id")
                | ("stock.quant", "location_id")
        )
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
        assert_eq!(digits("res.partner", "partner_latitude"), Some(Digits::Scale(7)));
        assert_eq!(
            digits("sale.order.line", "price_unit"),
            Some(Digits::Precision("Product_Price"))
        );
        assert_eq!(digits("sale.order", "currency_rate"), Some(Digits::Unrounded));
        assert_eq!(digits("x_custom", "x_amount"), None);
    }
}
