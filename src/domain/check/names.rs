//! Names: what a text compared with a relational field, or with `display_name`, means.
//!
//! Odoo looks a text up in a few fields of the model, which only Python knows ([`known::name_fields`]); some models have a
//! search of their own, repeated here. Anything else is refused.

use super::super::ast::Operator;
use super::super::error::DomainError;
use super::super::plan::{Bound, Plan, Scalar};
use super::literal::Literal;
use super::relational::records;
use super::{Checker, Operand, Step};
use crate::odoo::known;
use crate::odoo::registry::Model;

impl Checker<'_> {
    /// The records of `model` whose name compares like that.
    pub(super) fn display_name(
        &self,
        model: &Model,
        operator: Operator,
        value: &Literal,
        step: Step<'_>,
    ) -> Result<Plan, DomainError> {
        let step = Step {
            operator,
            depth: step.depth + 1,
            ..step
        };
        // From 19 on False in a list asks for no name.
        let may_be_mixed =
            self.version >= 19 && known::name_fields(self.registry.facts().version, &model.name).is_some();
        let is_readable = match value {
            Literal::List(items) if may_be_mixed => {
                !items.is_empty()
                    && items
                        .iter()
                        .all(|item| matches!(item, Literal::Str(_) | Literal::Bool(false)))
            }
            value => is_text(value),
        };
        if !is_readable {
            return Err(
                DomainError::new(format!("the name of {} is compared with text", model.name)).at(step.spans.value),
            );
        }
        let plan = self.display_name_of(model, value, step)?;
        self.visible(model, false, plan, step.spans)
    }

    fn display_name_of(&self, model: &Model, value: &Literal, step: Step<'_>) -> Result<Plan, DomainError> {
        if self.registry.facts().is_untried() {
            return Err(self.unknown_name(model, step));
        }
        match model.name.as_str() {
            "account.account" => self.account_name(model, value, step),
            "account.group" => self.account_group_name(model, value, step),
            "account.tax" => self.tax_name(model, value, step),
            // A module that searches another field as well is installed.
            "account.payment" if self.version < 18 && model.field("l10n_latam_check_id").is_some() => {
                Err(self.unknown_name(model, step))
            }
            "mrp.production" if model.field("incoming_picking").is_some() => Err(self.unknown_name(model, step)),
            "product.product" => self.product_name(model, value, step),
            "product.template" if self.version >= 19 => self.template_name(model, value, step),
            "product.template" => Err(self.unknown_name(model, step)),
            "project.task" => self.task_name(model, value, step),
            "res.bank" => self.bank_name(model, value, step),
            "res.country" if self.version < 18 => self.country_name(model, value, step),
            "res.country.state" => self.state_name(model, value, step),
            "res.currency.rate" | "website.route" => Err(self.unknown_name(model, step)),
            "res.partner.bank" if self.version < 19 => self.plain_name(model, &["acc_number"], value, step),
            "res.partner.category" => self.category_name(model, value, step),
            "res.users" => self.user_name(model, value, step),
            "stock.picking.type" if has_text(value, ": ") || self.version < 18 && !matches!(value, Literal::Str(_)) => {
                self.picking_type_name(model, value, step)
            }
            name => match known::name_fields(self.version, name) {
                Some(fields) => self.plain_name(model, &fields, value, step),
                None => Err(self.unknown_name(model, step)),
            },
        }
    }

    fn unknown_name(&self, model: &Model, step: Step<'_>) -> DomainError {
        DomainError::new(format!("how Odoo searches {} by name is not known here", model.name))
            .at(step.spans.value)
            .hint("compare with ids, or name the field: partner_id.name")
    }

    /// Any of these fields compares so; with a negative operator, all of them.
    fn plain_name(&self, model: &Model, fields: &[&str], value: &Literal, step: Step<'_>) -> Result<Plan, DomainError> {
        let operator = step.operator;
        // Up to 17 only the positive ones are left out.
        if operator.has_wildcards() && value.is_falsy() && (self.version >= 18 || !operator.is_negative()) {
            return Ok(Plan::Const(Some(!operator.is_negative())));
        }
        if fields == ["*"] {
            // A model without a name: every record matches, and what a negative operator makes of it is not known. 18 finds
            // none, whatever the operator.
            return match (self.version, operator.is_negative()) {
                (18, _) => Ok(Plan::FALSE),
                (_, true) => Err(self.unknown_name(model, step)),
                (_, false) => Ok(Plan::TRUE),
            };
        }
        let operand = Operand::Literal(value);
        let mut plans = Vec::with_capacity(fields.len());
        for path in fields {
            // A field of a module that is not installed is not looked at either.
            let Some(field) = model.field(path.split('.').next().unwrap_or(path)) else {
                return Err(self.unknown_name(model, step));
            };
            let path = match (field.kind.is_relational(), path.contains('.')) {
                (true, false) if self.version >= 18 => format!("{path}.display_name"),
                _ => (*path).to_owned(),
            };
            plans.push(self.leaf(
                model,
                Step {
                    path: &path,
                    value: &operand,
                    ..step
                },
            )?);
        }
        Ok(if operator.is_negative() {
            Plan::all(plans)
        } else {
            Plan::any(plans)
        })
    }

    fn field_leaf(
        &self,
        model: &Model,
        path: &str,
        operator: Operator,
        value: &Literal,
        step: Step<'_>,
    ) -> Result<Plan, DomainError> {
        self.leaf(
            model,
            Step {
                path,
                operator,
                value: &Operand::Literal(value),
                ..step
            },
        )
    }

    /// `code` starts with the text's first word, or the name compares so; in 19 the description may hold it too.
    fn account_name(&self, model: &Model, value: &Literal, step: Step<'_>) -> Result<Plan, DomainError> {
        if self.version < 19 {
            let Literal::Str(text) = value else {
                return Err(self.unknown_name(model, step));
            };
            if self.version < 18 && text.is_empty() {
                return Ok(Plan::TRUE);
            }
            let (operator, code) = match step.operator {
                Operator::Eq | Operator::Ne => (Operator::Eq, first_word(text)),
                _ if self.version < 18 => (Operator::EqIlike, format!("{}%", first_word(text))),
                _ => (Operator::EqLike, format!("{}%", first_word(text))),
            };
            return self.coded(model, "code", (operator, code), value, step);
        }
        if step.operator.is_negative() {
            return self.opposite(step, |step| self.account_name(model, value, step));
        }
        let code = match (step.operator, value) {
            (Operator::In, Literal::List(items)) => {
                let words = items.iter().map(|item| match item {
                    // An empty code is an account without one.
                    Literal::Str(text) if !first_word(text).is_empty() => Ok(Literal::Str(first_word(text))),
                    _ => Err(self.unknown_name(model, step)),
                });
                let words = Literal::List(words.collect::<Result<_, _>>()?);
                self.field_leaf(model, "code", Operator::In, &words, step)?
            }
            (_, Literal::Str(text)) => {
                let pattern = Literal::Str(format!("{}%", first_word(text)));
                self.field_leaf(model, "code", Operator::EqLike, &pattern, step)?
            }
            _ => return Err(self.unknown_name(model, step)),
        };
        let mut plans = vec![code, self.field_leaf(model, "name", step.operator, value, step)?];
        if matches!(value, Literal::Str(_)) {
            plans.push(self.field_leaf(model, "description", Operator::Ilike, value, step)?);
        }
        Ok(Plan::any(plans))
    }

    /// A code that compares in a way of its own, or a name; a negative operator asks for neither (16 to 18).
    fn coded(
        &self,
        model: &Model,
        field: &str,
        (operator, code): (Operator, String),
        value: &Literal,
        step: Step<'_>,
    ) -> Result<Plan, DomainError> {
        let code = Literal::Str(code);
        let named = self.field_leaf(model, "name", step.operator, value, step)?;
        let asked = Step {
            path: field,
            operator,
            value: &Operand::Literal(&code),
            ..step
        };
        let coded = self.negatable(model, asked, step.operator.is_negative())?;
        Ok(match step.operator.is_negative() {
            true => Plan::all(vec![coded, named]),
            false => Plan::any(vec![coded, named]),
        })
    }

    /// A search of 19 that knows no negative operator: the opposite of the positive one.
    fn opposite(
        &self,
        step: Step<'_>,
        search: impl FnOnce(Step<'_>) -> Result<Plan, DomainError>,
    ) -> Result<Plan, DomainError> {
        let operator = step.operator.negated().unwrap_or(step.operator);
        Ok(self.negated(search(Step { operator, ..step })?))
    }

    /// The group's first code starts with the text, or its name compares so.
    fn account_group_name(&self, model: &Model, value: &Literal, step: Step<'_>) -> Result<Plan, DomainError> {
        if self.version >= 19 && step.operator.is_negative() {
            return self.opposite(step, |step| self.account_group_name(model, value, step));
        }
        let Literal::Str(text) = value else {
            return Err(self.unknown_name(model, step));
        };
        if step.operator == Operator::Ilike && text.trim().is_empty() {
            return match self.version {
                19.. => Err(self.unknown_name(model, step)),
                _ => Ok(Plan::TRUE),
            };
        }
        if self.version >= 19 && step.operator != Operator::Ilike {
            return self.field_leaf(model, "name", step.operator, value, step);
        }
        let code = (Operator::EqIlike, format!("{text}%"));
        self.coded(model, "code_prefix_start", code, value, step)
    }

    /// A bank's code starts with the text, or its name compares so; from 18 on only a pattern looks at the code that way.
    fn bank_name(&self, model: &Model, value: &Literal, step: Step<'_>) -> Result<Plan, DomainError> {
        match (value, step.operator) {
            (Literal::Str(text), Operator::Ilike | Operator::NotIlike) if self.version >= 18 && !text.is_empty() => {
                let code = Literal::Str(format!("{text}%"));
                let found = Plan::any(vec![
                    self.field_leaf(model, "bic", Operator::EqIlike, &code, step)?,
                    self.field_leaf(model, "name", Operator::Ilike, value, step)?,
                ]);
                Ok(if step.operator.is_negative() {
                    self.negated(found)
                } else {
                    found
                })
            }
            _ if self.version >= 18 => self.plain_name(model, &["name", "bic"], value, step),
            (Literal::Str(text), _) if text.is_empty() => Ok(Plan::TRUE),
            (Literal::Str(text), operator) if !operator.is_negative() => {
                let code = (Operator::EqIlike, format!("{text}%"));
                self.coded(model, "bic", code, value, step)
            }
            _ => Err(self.unknown_name(model, step)),
        }
    }

    /// A text of two letters is a code as well, whatever the operator (up to 17).
    fn country_name(&self, model: &Model, value: &Literal, step: Step<'_>) -> Result<Plan, DomainError> {
        let Literal::Str(text) = value else {
            return Err(self.unknown_name(model, step));
        };
        let named = self.field_leaf(model, "name", step.operator, value, step)?;
        if text.chars().count() != 2 {
            return Ok(named);
        }
        Ok(Plan::any(vec![
            self.field_leaf(model, "code", Operator::Ilike, value, step)?,
            named,
        ]))
    }

    /// `Warehouse: Type` is taken apart.
    fn picking_type_name(&self, model: &Model, value: &Literal, step: Step<'_>) -> Result<Plan, DomainError> {
        let parts = match value {
            Literal::Str(text) if self.version < 19 || step.operator.is_pattern() => text.split_once(": "),
            _ => None,
        };
        match parts {
            // More of them are part of the name.
            Some((warehouse, name)) if !name.contains(": ") => Ok(Plan::all(vec![
                self.field_leaf(
                    model,
                    "warehouse_id.name",
                    step.operator,
                    &Literal::Str(warehouse.to_owned()),
                    step,
                )?,
                self.field_leaf(model, "name", step.operator, &Literal::Str(name.to_owned()), step)?,
            ])),
            _ => Err(self.unknown_name(model, step)),
        }
    }

    fn tax_name_as_written(
        &self,
        model: &Model,
        fields: &[&str],
        value: &Literal,
        step: Step<'_>,
    ) -> Result<Plan, DomainError> {
        let value = Operand::Literal(value);
        let plans = fields.iter().map(|path| {
            let field = self.field(model, path, step.spans)?;
            let step = Step {
                path,
                value: &value,
                ..step
            };
            let plan = self.dispatch(model, field, None, step)?;
            self.settled(model, field, step, plan)
        });
        Ok(Plan::any(plans.collect::<Result<_, _>>()?))
    }

    /// Up to 17 a pattern is loosened before it is looked up, and in 19; 18 looks up the name as it is written.
    fn tax_name(&self, model: &Model, value: &Literal, step: Step<'_>) -> Result<Plan, DomainError> {
        let fields = known::name_fields(self.version, &model.name).unwrap_or_default();
        match value {
            Literal::Str(text) if matches!(step.operator, Operator::Like | Operator::Ilike) && !text.is_empty() => {
                if self.version == 18 {
                    return self.tax_name_as_written(model, &fields, value, step);
                }
                let loose = loosened(text).ok_or_else(|| self.unknown_name(model, step))?;
                self.plain_name(model, &fields, &Literal::Str(loose), step)
            }
            value => self.plain_name(model, &fields, value, step),
        }
    }

    /// The template's name or reference, or the name of one of its variants (19).
    fn template_name(&self, model: &Model, value: &Literal, step: Step<'_>) -> Result<Plan, DomainError> {
        let plans = vec![
            self.plain_name(model, &["name"], value, step)?,
            self.field_leaf(model, "product_variant_ids", step.operator, value, step)?,
        ];
        Ok(match step.operator.is_negative() {
            true => Plan::all(plans),
            false => Plan::any(plans),
        })
    }

    /// Name, reference or exact barcode; `=` also looks for the reference between brackets (18 on).
    fn product_name(&self, model: &Model, value: &Literal, step: Step<'_>) -> Result<Plan, DomainError> {
        if self.version < 18 {
            return self.product_name_17(model, value, step);
        }
        if step.operator.is_negative() {
            return match (self.version, value) {
                (18, _) => Err(self.unknown_name(model, step)),
                _ => self.plain_name(model, &["name", "default_code"], value, step),
            };
        }
        let barcodes = match value {
            Literal::List(_) => value.clone(),
            one => Literal::List(vec![one.clone()]),
        };
        let mut plans = vec![
            self.field_leaf(model, "name", step.operator, value, step)?,
            self.field_leaf(model, "default_code", step.operator, value, step)?,
            self.field_leaf(model, "barcode", Operator::In, &barcodes, step)?,
        ];
        let exact: &[Literal] = match (value, step.operator) {
            (one @ Literal::Str(_), Operator::Eq) => std::slice::from_ref(one),
            (Literal::List(items), Operator::In) if self.version >= 19 => items,
            _ => &[],
        };
        for text in exact {
            let Literal::Str(text) = text else { continue };
            if let Some((_, after)) = text.split_once('[')
                && let Some((code, _)) = after.split_once(']')
            {
                let code = Literal::Str(code.to_owned());
                plans.push(self.field_leaf(model, "default_code", Operator::Eq, &code, step)?);
            }
        }
        Ok(Plan::any(plans))
    }

    /// Up to 17 the first of these finds that finds anything: the exact reference, the exact barcode, reference or name, the reference
    /// between brackets. A negative operator asks for neither reference nor name.
    fn product_name_17(&self, model: &Model, value: &Literal, step: Step<'_>) -> Result<Plan, DomainError> {
        let Literal::Str(text) = value else {
            return Err(self.unknown_name(model, step));
        };
        if text.is_empty() {
            return Ok(Plan::TRUE);
        }
        let field =
            |path: &str, operator: Operator, value: &Literal| self.field_leaf(model, path, operator, value, step);
        let named = field("name", step.operator, value)?;
        if step.operator.is_negative() {
            let without = field("default_code", Operator::Eq, &Literal::Bool(false))?;
            let coded = field("default_code", step.operator, value)?;
            return Ok(Plan::all(vec![Plan::any(vec![coded, without]), named]));
        }
        let is_like = step.operator.is_pattern() || step.operator == Operator::Eq;
        let mut finds = Vec::new();
        if is_like {
            finds.push(field("default_code", Operator::Eq, value)?);
            finds.push(field("barcode", Operator::Eq, value)?);
        }
        finds.push(Plan::any(vec![field("default_code", step.operator, value)?, named]));
        if is_like
            && let Some((_, after)) = text.split_once('[')
            && let Some((code, _)) = after.split_once(']')
        {
            finds.push(field("default_code", Operator::Eq, &Literal::Str(code.to_owned()))?);
        }
        let table = self.table(model)?;
        let mut before: Vec<Plan> = Vec::new();
        let mut any = Vec::new();
        for find in finds {
            let somebody = Plan::Exists(Box::new(records(table, find.clone())));
            let mut all = before.clone();
            all.push(find);
            any.push(Plan::all(all));
            before.push(somebody.negate());
        }
        Ok(Plan::any(any))
    }

    /// A text that is no number is looked up in the name only; a number may be an id too.
    fn task_name(&self, model: &Model, value: &Literal, step: Step<'_>) -> Result<Plan, DomainError> {
        match value {
            Literal::Str(text) if text.trim().parse::<i64>().is_err() => self.plain_name(model, &["name"], value, step),
            _ => Err(self.unknown_name(model, step)),
        }
    }

    /// Name or code; a text like `Brabant (BE)` is taken apart by Odoo.
    fn state_name(&self, model: &Model, value: &Literal, step: Step<'_>) -> Result<Plan, DomainError> {
        match value {
            Literal::Str(text) if self.version >= 18 && !text.contains('(') => {
                self.plain_name(model, &["name", "code"], value, step)
            }
            _ => Err(self.unknown_name(model, step)),
        }
    }

    /// A pattern finds the categories below those it matches as well; up to 17 a text like `Parent / Child` is taken apart instead.
    fn category_name(&self, model: &Model, value: &Literal, step: Step<'_>) -> Result<Plan, DomainError> {
        if self.version < 18 {
            return match value {
                Literal::Str(text) if text.is_empty() => Ok(Plan::TRUE),
                Literal::Str(text) if !text.contains(" / ") => self.plain_name(model, &["name"], value, step),
                _ => Err(self.unknown_name(model, step)),
            };
        }
        if step.operator.is_negative() && step.operator.is_pattern() {
            return match self.version {
                18 => Err(self.unknown_name(model, step)),
                _ => self.opposite(step, |step| self.category_name(model, value, step)),
            };
        }
        let found = self.plain_name(model, &["name"], value, step)?;
        if !step.operator.is_pattern() {
            return Ok(found);
        }
        let roots = super::super::plan::Members::Query(Box::new(records(self.table(model)?, found)));
        Ok(Plan::UnderPaths {
            table: self.table(model)?.to_owned(),
            roots,
        })
    }

    /// An exact login goes before every name: up to 17 for every positive operator, later for equality and `ilike`.
    fn user_name(&self, model: &Model, value: &Literal, step: Step<'_>) -> Result<Plan, DomainError> {
        if self.version >= 19 {
            return self.user_name_19(model, value, step);
        }
        let named = self.plain_name(model, &["name"], value, step)?;
        let is_exact = match self.version {
            18 => matches!(step.operator, Operator::Eq | Operator::Ilike) && value.is_truthy(),
            _ => !step.operator.is_negative(),
        };
        if !is_exact {
            return Ok(named);
        }
        match value {
            Literal::Str(text) if self.version < 18 && step.operator == Operator::Ilike && text.trim().is_empty() => {
                Ok(Plan::TRUE)
            }
            Literal::Str(login) => self.by_login(model, std::slice::from_ref(login), named),
            Literal::List(items) if self.version < 18 => {
                let logins: Vec<String> = items.iter().filter_map(Literal::python_str).collect();
                self.by_login(model, &logins, named)
            }
            _ => Ok(named),
        }
    }

    fn user_name_19(&self, model: &Model, value: &Literal, step: Step<'_>) -> Result<Plan, DomainError> {
        let named = self.plain_name(model, &["name"], value, step)?;
        match (step.operator, value) {
            (Operator::In, Literal::List(items)) => {
                let logins: Vec<String> = items.iter().filter_map(Literal::python_str).collect();
                self.by_login(model, &logins, named)
            }
            (Operator::Ilike, Literal::Str(login)) if !login.is_empty() => {
                self.by_login(model, std::slice::from_ref(login), named)
            }
            _ => Ok(named),
        }
    }

    /// The users of these logins, or those of `named` where there is none.
    fn by_login(&self, model: &Model, logins: &[String], named: Plan) -> Result<Plan, DomainError> {
        let has_login = Plan::OneOf {
            left: Scalar::Column("login".to_owned()),
            values: Bound::Texts(logins.to_vec()),
            negated: false,
        };
        let somebody = Plan::Exists(Box::new(records(self.table(model)?, has_login.clone())));
        Ok(Plan::any(vec![has_login, Plan::all(vec![somebody.negate(), named])]))
    }
}

/// A pattern with anything between its letters and digits, as taxes are searched; none where a part is quoted.
pub(super) fn loosened(text: &str) -> Option<String> {
    if text.contains('"') {
        return None;
    }
    let kept = text.chars().filter(|c| c.is_alphanumeric() || *c == '_');
    let letters: Vec<String> = kept.map(String::from).collect();
    Some(letters.join("%"))
}

fn first_word(text: &str) -> String {
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// Whether a text, or one of a list, has this piece in it.
fn has_text(value: &Literal, piece: &str) -> bool {
    match value {
        Literal::Str(text) => text.contains(piece),
        Literal::List(items) => items.iter().any(|item| has_text(item, piece)),
        _ => false,
    }
}

/// A text, or a list of texts.
fn is_text(value: &Literal) -> bool {
    match value {
        Literal::Str(_) => true,
        Literal::List(items) => !items.is_empty() && items.iter().all(|item| matches!(item, Literal::Str(_))),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tax_is_found_by_its_letters_whatever_is_in_between() {
        assert_eq!(loosened("21 M%").as_deref(), Some("2%1%M"));
        assert_eq!(loosened("  ").as_deref(), Some(""));
        assert_eq!(loosened(r#"21" M""#), None, "a quoted piece is kept together by Odoo");
    }
}
