//! Names: what a text compared with a relational field, or with `display_name`, means.
//!
//! Odoo looks a text up in a few fields of the model, which only Python knows ([`known::name_fields`]); some models have a
//! search of their own, repeated here. Anything else is refused.

use super::super::ast::Operator;
use super::super::error::DomainError;
use super::super::plan::{Bound, Comparison, Plan, Scalar};
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
        self.expect_plain_search(model, step.spans)?;
        let step = Step {
            operator,
            depth: step.depth + 1,
            ..step
        };
        if !is_text(value) {
            return Err(
                DomainError::new(format!("the name of {} is compared with text", model.name)).at(step.spans.value),
            );
        }
        match model.name.as_str() {
            "account.account" => self.account_name(model, value, step),
            "product.product" => self.product_name(model, value, step),
            "project.task" => self.task_name(model, value, step),
            "res.country.state" => self.state_name(model, value, step),
            "res.groups" => self.group_name(model, value, step),
            "res.partner.bank" => self.plain_name(model, &["acc_number"], value, step),
            "res.partner.category" => self.category_name(model, value, step),
            "res.users" => self.user_name(model, value, step),
            name => match known::name_fields(name) {
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
        // The lists are those of 17 and 18; the name alone is as old as Odoo.
        if !matches!(self.version, 17 | 18) && fields != ["name"] {
            return Err(self.unknown_name(model, step));
        }
        let operator = step.operator;
        if operator.has_wildcards() && value.is_falsy() {
            return Ok(Plan::Const(Some(!operator.is_negative())));
        }
        let operand = Operand::Literal(value);
        let mut plans = Vec::with_capacity(fields.len());
        for path in fields {
            // A field of a module that is not installed is not looked at either.
            let Some(field) = model.field(path.split('.').next().unwrap_or(path)) else {
                return Err(self.unknown_name(model, step));
            };
            let path = match (field.kind.is_relational(), path.contains('.')) {
                (true, false) => format!("{path}.display_name"),
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

    /// `code` starts with the text's first word, or the name compares so (18).
    fn account_name(&self, model: &Model, value: &Literal, step: Step<'_>) -> Result<Plan, DomainError> {
        let (Literal::Str(text), 18, false) = (value, self.version, step.operator.is_negative()) else {
            return Err(self.unknown_name(model, step));
        };
        let word = text.split(' ').next().unwrap_or_default();
        let code = match step.operator {
            Operator::Eq => self.field_leaf(model, "code", Operator::Eq, &Literal::Str(word.to_owned()), step)?,
            _ => self.field_leaf(model, "code", Operator::EqLike, &Literal::Str(format!("{word}%")), step)?,
        };
        Ok(Plan::any(vec![
            code,
            self.field_leaf(model, "name", step.operator, value, step)?,
        ]))
    }

    /// Name, reference or exact barcode; `=` also looks for the reference between brackets (18).
    fn product_name(&self, model: &Model, value: &Literal, step: Step<'_>) -> Result<Plan, DomainError> {
        if self.version != 18 || step.operator.is_negative() {
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
        if let (Literal::Str(text), Operator::Eq) = (value, step.operator)
            && let Some((_, after)) = text.split_once('[')
            && let Some((code, _)) = after.split_once(']')
        {
            plans.push(self.field_leaf(
                model,
                "default_code",
                Operator::Eq,
                &Literal::Str(code.to_owned()),
                step,
            )?);
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
            Literal::Str(text) if !text.contains('(') => self.plain_name(model, &["name", "code"], value, step),
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

    /// A pattern finds the categories below those it matches as well.
    fn category_name(&self, model: &Model, value: &Literal, step: Step<'_>) -> Result<Plan, DomainError> {
        if step.operator.is_negative() || !matches!(self.version, 17 | 18) {
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

    /// An exact login goes before every name (17 on).
    fn user_name(&self, model: &Model, value: &Literal, step: Step<'_>) -> Result<Plan, DomainError> {
        if !matches!(self.version, 17 | 18) {
            return Err(self.unknown_name(model, step));
        }
        let named = self.plain_name(model, &["name"], value, step)?;
        let (Literal::Str(login), Operator::Eq | Operator::Ilike, true) = (value, step.operator, value.is_truthy())
        else {
            return Ok(named);
        };
        let has_login = Plan::Compare {
            left: Scalar::Column("login".to_owned()),
            operator: Comparison::Eq,
            right: Bound::Text(login.clone()),
        };
        let somebody = Plan::Exists(Box::new(records(self.table(model)?, has_login.clone())));
        Ok(Plan::any(vec![has_login, Plan::all(vec![somebody.negate(), named])]))
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
