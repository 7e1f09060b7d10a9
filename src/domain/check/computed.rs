//! Computed fields whose Python search is simple enough to be repeated here exactly.

use super::super::ast::Operator;
use super::super::error::DomainError;
use super::super::plan::{Bound, Comparison, Plan, Query, Scalar, Source};
use super::literal::Literal;
use super::relational::records;
use super::{Checker, Operand, Step};
use crate::odoo::known;
use crate::odoo::registry::{Field, Model};

impl Checker<'_> {
    /// The search of a computed field of a standard module, if it is one that is known.
    pub(super) fn computed(&self, model: &Model, field: &Field, step: Step<'_>) -> Result<Option<Plan>, DomainError> {
        if let Some(path) = known::searched_by(&model.name, &field.name) {
            return self
                .leaf(
                    model,
                    Step {
                        path,
                        depth: step.depth + 1,
                        ..step
                    },
                )
                .map(Some);
        }
        match (model.name.as_str(), field.name.as_str()) {
            ("account.account", "code") if self.version >= 18 => self.account_code(model, step),
            ("project.task", "is_closed") if self.version >= 17 => self.task_is_closed(model, step).map(Some),
            (_, "has_message") if model.field("message_ids").is_some() => Ok(has_message(model, step)),
            _ => Ok(None),
        }
    }

    /// Stored fields of standard models that Odoo compares in a way of their own.
    pub(super) fn overridden(
        &self,
        model: &Model,
        field: &Field,
        value: &Literal,
        step: Step<'_>,
    ) -> Result<Option<Plan>, DomainError> {
        match (model.name.as_str(), field.name.as_str()) {
            (_, "analytic_distribution") if self.version >= 17 => {
                let is_asked = matches!(step.operator, Operator::Eq | Operator::Ne) && *value == Literal::Bool(false);
                match is_asked {
                    true => Ok(None),
                    false => Err(DomainError::new(format!(
                        "Odoo looks up accounts in Python before it compares {}.analytic_distribution",
                        model.name
                    ))
                    .at(step.spans.path)
                    .hint("ask only whether it is set: = False, != False")),
                }
            }
            // Account numbers are compared without blanks and punctuation, in capitals.
            ("res.partner.bank", "acc_number") => {
                let sanitized = model
                    .field("sanitized_acc_number")
                    .filter(|field| field.column.is_some());
                let (Some(sanitized), Some(value)) = (sanitized, account_numbers(value)) else {
                    return Err(DomainError::new("an account number is compared with text").at(step.spans.value));
                };
                let scalar = self.scalar(model, sanitized, step.spans)?;
                self.condition(model, sanitized, &scalar, step.operator, &value, step.spans)
                    .map(Some)
            }
            ("mail.blacklist", "email") | ("phone.blacklist", "number") => Err(DomainError::new(format!(
                "Odoo rewrites what {}.{} is compared with, in Python",
                model.name, field.name
            ))
            .at(step.spans.path)),
            _ => Ok(None),
        }
    }

    /// The code of an account of the current row.
    pub(super) fn account_code_scalar(&self, model: &Model) -> Option<Scalar> {
        let column = model.field("code_store")?.column.as_ref()?;
        let company = self.context.company;
        Some(Scalar::PerCompany {
            column: column.name.clone(),
            company: self
                .registry
                .facts()
                .company_roots
                .get(&company)
                .copied()
                .unwrap_or(company),
            fallback: None,
            sql_type: "varchar",
        })
    }

    /// An account's code is kept by company, and read for the topmost one above the user's.
    fn account_code(&self, model: &Model, step: Step<'_>) -> Result<Option<Plan>, DomainError> {
        let (Some(store), Operand::Literal(value)) = (model.field("code_store"), step.value) else {
            return Ok(None);
        };
        let Some(scalar) = self.account_code_scalar(model) else {
            return Ok(None);
        };
        let filter = self.condition(model, store, &scalar, step.operator, value, step.spans)?;
        self.in_records(Scalar::Column("id".to_owned()), model, filter, false)
            .map(Some)
    }

    /// Closed is one of two states, open one of the others.
    fn task_is_closed(&self, model: &Model, step: Step<'_>) -> Result<Plan, DomainError> {
        const OPEN: [&str; 4] = [
            "01_in_progress",
            "02_changes_requested",
            "03_approved",
            "04_waiting_normal",
        ];
        const CLOSED: [&str; 2] = ["1_done", "1_canceled"];
        let (Operand::Literal(Literal::Bool(value)), Operator::Eq | Operator::Ne) = (step.value, step.operator) else {
            return Err(
                DomainError::new("is_closed is compared with True or False, by '=' or '!='").at(step.spans.value),
            );
        };
        let closed = *value == (step.operator == Operator::Eq);
        let states = if closed { &CLOSED[..] } else { &OPEN[..] };
        let states = Literal::List(states.iter().map(|state| Literal::Str((*state).to_owned())).collect());
        let value = Operand::Literal(&states);
        self.leaf(
            model,
            Step {
                path: "state",
                operator: Operator::In,
                value: &value,
                depth: step.depth + 1,
                ..step
            },
        )
    }
}

/// Whether any message of the model is about the record.
fn has_message(model: &Model, step: Step<'_>) -> Option<Plan> {
    let (Operand::Literal(Literal::Bool(value)), Operator::Eq | Operator::Ne) = (step.value, step.operator) else {
        return None;
    };
    let about = Plan::Compare {
        left: Scalar::Column("model".to_owned()),
        operator: Comparison::Eq,
        right: Bound::Text(model.name.clone()),
    };
    Some(Plan::InQuery {
        left: Scalar::Column("id".to_owned()),
        query: Box::new(Query {
            source: Source::Table("mail_message".to_owned()),
            output: Scalar::Column("res_id".to_owned()),
            ..records("mail_message", about)
        }),
        negated: *value != (step.operator == Operator::Eq),
    })
}

/// Account numbers as Odoo compares them: letters, digits and underscores, in capitals.
fn account_numbers(value: &Literal) -> Option<Literal> {
    match value {
        Literal::Str(text) => {
            let kept = text
                .chars()
                .filter(|c| c.is_alphanumeric() || *c == '_')
                .collect::<String>();
            Some(Literal::Str(kept.to_uppercase()))
        }
        Literal::List(items) => items
            .iter()
            .map(account_numbers)
            .collect::<Option<_>>()
            .map(Literal::List),
        value if value.is_unset() => Some(value.clone()),
        _ => None,
    }
}
