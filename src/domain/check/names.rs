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
            "product.product" => self.product_name(model, value, step),
            "product.template" if self.version >= 19 => self.template_name(model, value, step),
            "project.task" => self.task_name(model, value, step),
            "res.country.state" => self.state_name(model, value, step),
            "res.groups" => self.group_name(model, value, step),
            "res.partner.bank" if self.version < 19 => self.plain_name(model, &["acc_number"], value, step),
            "res.partner.category" => self.category_name(model, value, step),
            "res.users" => self.user_name(model, value, step),
            "stock.picking.type" if has_text(value, ": ") => Err(self.unknown_name(model, step)),
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
            // A model without a name: every record matches, and what a negative operator makes of it is not known.
            return match operator.is_negative() {
                true => Err(self.unknown_name(model, step)),
                false => Ok(Plan::TRUE),
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

    /// `code` starts with the text's first word, or the name compares so (18 on).
    fn account_name(&self, model: &Model, value: &Literal, step: Step<'_>) -> Result<Plan, DomainError> {
        if self.version < 18 || step.operator.is_negative() {
            return Err(self.unknown_name(model, step));
        }
        let code = match (step.operator, value) {
            (Operator::Eq, Literal::Str(text)) => {
                let word = Literal::Str(first_word(text));
                self.field_leaf(model, "code", Operator::Eq, &word, step)?
            }
            (Operator::In, Literal::List(items)) if self.version >= 19 => {
                let words = items.iter().map(|item| match item {
                    Literal::Str(text) => Ok(Literal::Str(first_word(text))),
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
        Ok(Plan::any(vec![
            code,
            self.field_leaf(model, "name", step.operator, value, step)?,
        ]))
    }

    /// The template's name or reference, or the name of one of its variants (19).
    fn template_name(&self, model: &Model, value: &Literal, step: Step<'_>) -> Result<Plan, DomainError> {
        if step.operator.is_negative() {
            return Err(self.unknown_name(model, step));
        }
        Ok(Plan::any(vec![
            self.plain_name(model, &["name"], value, step)?,
            self.field_leaf(model, "product_variant_ids", step.operator, value, step)?,
        ]))
    }

    /// Name, reference or exact barcode; `=` also looks for the reference between brackets (18 on).
    fn product_name(&self, model: &Model, value: &Literal, step: Step<'_>) -> Result<Plan, DomainError> {
        if self.version < 18 || step.operator.is_negative() {
            return Err(self.unknown_name(model, step));
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

    /// The group's name or its category's; `Sales / Administrator` is taken apart by Odoo.
    fn group_name(&self, model: &Model, value: &Literal, step: Step<'_>) -> Result<Plan, DomainError> {
        match value {
            Literal::Str(text)
                if self.version <= 18
                    && !text.contains('/')
                    && !text.trim().is_empty()
                    && !step.operator.is_negative() =>
            {
                let word = Literal::Str(text.trim().to_owned());
                self.plain_name(model, &["name", "category_id.name"], &word, step)
            }
            _ => Err(self.unknown_name(model, step)),
        }
    }

    /// A pattern finds the categories below those it matches as well; up to 17 a text like `Parent / Child` is taken apart instead.
    fn category_name(&self, model: &Model, value: &Literal, step: Step<'_>) -> Result<Plan, DomainError> {
        if self.version < 18 {
            return match value {
                Literal::Str(text) if !text.contains(" / ") => self.plain_name(model, &["name"], value, step),
                _ => Err(self.unknown_name(model, step)),
            };
        }
        if step.operator.is_negative() {
            return Err(self.unknown_name(model, step));
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
        let fields = match self.version {
            // 19 looks at logins too where none is exact.
            19.. => return self.user_name_19(model, value, step),
            _ => ["name"],
        };
        let named = self.plain_name(model, &fields, value, step)?;
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
        let named = self.plain_name(model, &["name", "login"], value, step)?;
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
