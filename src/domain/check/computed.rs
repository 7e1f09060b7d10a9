//! Computed fields whose Python search is simple enough to be repeated here exactly.

use super::super::ast::Operator;
use super::super::error::DomainError;
use super::super::plan::{Bound, Comparison, Members, Plan, Query, Scalar, Source};
use super::literal::Literal;
use super::relational::records;
use super::{Checker, Operand, Step};
use crate::odoo::known::{self, Negation};
use crate::odoo::registry::{Field, Model};

impl Checker<'_> {
    /// The search of a computed field of a standard module, if it is one that is known.
    pub(super) fn computed(&self, model: &Model, field: &Field, step: Step<'_>) -> Result<Option<Plan>, DomainError> {
        if let Some((path, negation)) = known::searched_by(self.registry.facts().version, &model.name, &field.name) {
            let positive = step.operator.negated().filter(|_| step.operator.is_negative());
            let positive = match (positive, negation) {
                (None, _) | (_, Negation::Asked) => None,
                (positive, Negation::Opposite) => positive,
                (Some(_), Negation::Unknown) => {
                    return Err(DomainError::new(format!(
                        "what Odoo {} makes of '{}' and {}.{} is not known here",
                        self.version, step.operator, model.name, field.name
                    ))
                    .at(step.spans.operator)
                    .hint("put '!' in front of a leaf with the opposite operator"));
                }
            };
            let asked = Step {
                path,
                operator: positive.unwrap_or(step.operator),
                depth: step.depth + 1,
                ..step
            };
            let plan = self.leaf(model, asked)?;
            return Ok(Some(if positive.is_some() { self.negated(plan) } else { plan }));
        }
        if self.registry.facts().is_untried() {
            return Ok(None);
        }
        // From 19 on what is true or false is asked as one of True; a search knows it as the leaf it was.
        let truth = Operand::Literal(&Literal::Bool(true));
        let step = match (step.operator, step.value) {
            (Operator::In | Operator::NotIn, Operand::Literal(Literal::List(items)))
                if self.version >= 19 && matches!(items.as_slice(), [Literal::Bool(true)]) =>
            {
                Step {
                    operator: if step.operator == Operator::In {
                        Operator::Eq
                    } else {
                        Operator::Ne
                    },
                    value: &truth,
                    ..step
                }
            }
            _ => step,
        };
        match (model.name.as_str(), field.name.as_str()) {
            ("account.account", "code") if self.version >= 18 => self.account_code(model, step),
            ("project.task", "is_closed") if self.version >= 17 => self.task_is_closed(model, step).map(Some),
            ("mail.message", "rating_value") if self.version < 19 => self.message_rating(step).map(Some),
            ("product.category", "total_route_ids") if self.version >= 19 => {
                self.category_routes(model, step).map(Some)
            }
            ("res.groups", "full_name") => self.group_full_name(model, step).map(Some),
            (_, "activity_date_deadline") => self.activity_deadline(model, step).map(Some),
            (_, "has_message") if model.field("message_ids").is_some() => Ok(self.has_message(model, step)),
            (_, name) => self.of_the_user(model, name, step),
        }
    }

    /// A group's name or that of what it belongs to; `Sales / Administrator` names both.
    fn group_full_name(&self, model: &Model, step: Step<'_>) -> Result<Plan, DomainError> {
        let unknown = || DomainError::new("a group's name is compared with text").at(step.spans.value);
        let value = self.literal(step)?;
        if self.version >= 19 && step.operator.is_negative() {
            let operator = step.operator.negated().ok_or_else(unknown)?;
            return Ok(self.negated(self.group_full_name(model, Step { operator, ..step })?));
        }
        let (texts, is_list) = match value {
            Literal::Bool(_) if self.version < 19 => return self.asked_of(model, "name", value, step),
            Literal::Str(_) => (std::slice::from_ref(value), false),
            Literal::List(items) => (items.as_slice(), true),
            _ => return Err(unknown()),
        };
        let operand = |text: &str| {
            let text = Literal::Str(text.to_owned());
            if is_list { Literal::List(vec![text]) } else { text }
        };
        let named = |path: &str, text: &str| self.asked_of(model, path, &operand(text), step);
        let mut plans = Vec::new();
        if self.version >= 19 {
            plans.push(self.asked_of(model, "name", value, step)?);
            for text in texts {
                let Literal::Str(text) = text else { continue };
                let (privilege, group) = match text.split_once('/') {
                    Some((privilege, group)) => (privilege.trim(), group.trim()),
                    None => (text.as_str(), ""),
                };
                plans.push(named("name", text)?);
                if privilege.is_empty() {
                    continue;
                }
                let mut all = vec![named("privilege_id.name", privilege)?];
                if !group.is_empty() {
                    all.push(named("name", group)?);
                }
                plans.push(Plan::all(all));
            }
            return Ok(Plan::any(plans));
        }
        let is_negative = step.operator.is_negative();
        for text in texts {
            let Literal::Str(text) = text else {
                return Err(unknown());
            };
            let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty()).collect();
            let (group, rest) = parts.split_last().ok_or_else(unknown)?;
            let (group, category) = (group.trim(), rest.join("/"));
            let category = Some(category.trim()).filter(|name| !name.is_empty()).unwrap_or(group);
            let mut categorized = named("category_id.name", category)?;
            if is_negative && rest.is_empty() {
                let none = self.asked_of(
                    model,
                    "category_id",
                    &Literal::Bool(false),
                    Step {
                        operator: Operator::Eq,
                        ..step
                    },
                )?;
                categorized = Plan::any(vec![categorized, none]);
            }
            let both = vec![named("name", group)?, categorized];
            plans.push(match is_negative == rest.is_empty() {
                true => Plan::all(both),
                false => Plan::any(both),
            });
        }
        Ok(if is_negative {
            Plan::all(plans)
        } else {
            Plan::any(plans)
        })
    }

    /// The routes of a category and of all above it (19 alone searches them): those below a category that has such a route, and itself.
    fn category_routes(&self, model: &Model, step: Step<'_>) -> Result<Plan, DomainError> {
        if step.operator.is_negative() {
            let operator = step.operator.negated().unwrap_or(step.operator);
            return Ok(self.negated(self.category_routes(model, Step { operator, ..step })?));
        }
        if matches!(step.operator, Operator::ChildOf | Operator::ParentOf) {
            return Err(DomainError::new(format!(
                "Odoo 19 fails on '{}' of routes that are inherited",
                step.operator
            ))
            .at(step.spans.operator));
        }
        let below = |operator: Operator, value: &Operand<'_>| -> Result<Plan, DomainError> {
            let asked = Step {
                path: "route_ids",
                operator,
                value,
                depth: step.depth + 1,
                ..step
            };
            let table = self.table(model)?.to_owned();
            let roots = Members::Query(Box::new(records(&table, self.leaf(model, asked)?)));
            Ok(Plan::UnderPaths { table, roots })
        };
        let Operand::Literal(Literal::List(items)) = step.value else {
            return below(step.operator, step.value);
        };
        let (none, ids): (Vec<Literal>, Vec<Literal>) = items.iter().cloned().partition(Literal::is_unset);
        let mut plans = Vec::new();
        if !none.is_empty() {
            let none = Literal::Bool(false);
            plans.push(self.negated(below(Operator::Ne, &Operand::Literal(&none))?));
        }
        if !ids.is_empty() {
            plans.push(below(step.operator, &Operand::Literal(&Literal::List(ids)))?);
        }
        Ok(Plan::any(plans))
    }

    /// The leaf's operator, asked of another path with another value.
    fn asked_of(&self, model: &Model, path: &str, value: &Literal, step: Step<'_>) -> Result<Plan, DomainError> {
        self.leaf(
            model,
            Step {
                path,
                value: &Operand::Literal(value),
                depth: step.depth + 1,
                ..step
            },
        )
    }

    /// A rating that is about the message compares so.
    fn message_rating(&self, step: Step<'_>) -> Result<Plan, DomainError> {
        let ratings = self.model("rating.rating")?;
        let rated = self.leaf(
            ratings,
            Step {
                path: "rating",
                depth: step.depth + 1,
                ..step
            },
        )?;
        Ok(Plan::InQuery {
            left: Scalar::Column("id".to_owned()),
            query: Box::new(Query {
                source: Source::Table(self.table(ratings)?.to_owned()),
                output: Scalar::Column("message_id".to_owned()),
                filter: rated,
                output_not_null: true,
            }),
            negated: false,
        })
    }

    /// An activity that is due so, or none at all for `= False`.
    fn activity_deadline(&self, model: &Model, step: Step<'_>) -> Result<Plan, DomainError> {
        let is_none = match (step.operator, step.value) {
            (Operator::Eq, Operand::Literal(value)) => value.is_falsy(),
            (Operator::In, Operand::Literal(Literal::List(items))) if self.version >= 19 => {
                if items.iter().any(Literal::is_unset) && items.len() > 1 {
                    return Err(DomainError::new("dates and False cannot be asked together here").at(step.spans.value));
                }
                items.iter().all(Literal::is_unset)
            }
            _ => false,
        };
        if self.version >= 19 && step.operator.is_negative() {
            let operator = step.operator.negated().unwrap_or(step.operator);
            return Ok(self.negated(self.activity_deadline(model, Step { operator, ..step })?));
        }
        let path = if is_none {
            "activity_ids"
        } else {
            "activity_ids.date_deadline"
        };
        self.leaf(
            model,
            Step {
                path,
                depth: step.depth + 1,
                ..step
            },
        )
    }

    /// Whether any message of the model is about the record: up to 18 whatever is not `= True` or `!= False` asks for none.
    fn has_message(&self, model: &Model, step: Step<'_>) -> Option<Plan> {
        let Operand::Literal(value) = step.value else {
            return None;
        };
        let wanted = match (step.operator, value) {
            (Operator::Eq, Literal::Bool(true)) | (Operator::Ne, Literal::Bool(false)) => true,
            (Operator::Eq, Literal::Bool(false)) | (Operator::Ne, Literal::Bool(true)) => false,
            _ if self.version < 19 => false,
            _ => return None,
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
            negated: !wanted,
        })
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
            // What section of what order is chosen is known to the web client alone: without one all are in it.
            ("product.product", "is_in_selected_section_of_order") if self.version >= 19 => {
                Ok(Some(Plan::Const(Some(!step.operator.is_negative()))))
            }
            (_, "analytic_distribution") if self.version >= 17 => {
                let is_none = match value {
                    Literal::List(items) if self.version >= 19 => matches!(items.as_slice(), [Literal::Bool(false)]),
                    value => *value == Literal::Bool(false) && matches!(step.operator, Operator::Eq | Operator::Ne),
                };
                let is_asked = is_none && !step.operator.is_inequality();
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
