//! Computed fields whose Python search asks who is logged in: what one follows, has to read, or sent in vain.
//!
//! The user is the context's; without one it is OdooBot (user 1), as whom Odoo's own jobs run and as whom everything else is read here.
//! What is asked of a message's notifications and letters is here too, for most of it is asked of one's own.

use super::super::ast::{Domain, Operator, Value};
use super::super::error::DomainError;
use super::super::plan::{Bound, Comparison, Plan, Query, Scalar};
use super::literal::Literal;
use super::relational::records;
use super::{Checker, Operand, Step};
use crate::odoo::registry::Model;

/// OdooBot.
const SUPERUSER: i32 = 1;

impl Checker<'_> {
    /// The search of such a field, if it is one; from 19 on the leaf is `= True` or `!= True` by now.
    pub(super) fn of_the_user(&self, model: &Model, field: &str, step: Step<'_>) -> Result<Option<Plan>, DomainError> {
        let is_thread = model.field("message_ids").is_some() && model.field("message_follower_ids").is_some();
        let plan = match (model.name.as_str(), field) {
            ("mail.message", "needaction") => self.message_is_to_be_read(model, step)?,
            ("mail.message", "starred") => self.message_is_starred(model, step)?,
            ("mail.message", "has_error") => self.message_has_error(model, step)?,
            ("mail.message", "has_sms_error") => self.message_has_sms_error(model, step)?,
            ("mail.message", "snailmail_error") => self.message_has_letter_error(model, step)?,
            (_, "message_is_follower") if is_thread => self.is_followed(model, step)?,
            (_, "message_needaction") if is_thread => self.leaf(model, at(step, "message_ids.needaction"))?,
            (_, "message_has_error") if is_thread => self.has_message_with_error(model, step)?,
            (_, "message_has_sms_error") if is_thread => self.has_message_with_sms_error(model, step)?,
            (_, "my_activity_date_deadline") if model.field("activity_ids").is_some() => {
                self.own_activity_deadline(model, step)?
            }
            _ => return Ok(None),
        };
        Ok(Some(plan))
    }

    fn user(&self) -> i32 {
        self.context.uid.unwrap_or(SUPERUSER)
    }

    /// `left` is the user's partner.
    fn is_own_partner(&self, left: &str, step: Step<'_>) -> Result<Plan, DomainError> {
        let users = self.model("res.users").map_err(|error| error.at(step.spans.path))?;
        Ok(Plan::InQuery {
            left: Scalar::Column(left.to_owned()),
            query: Box::new(Query {
                output: Scalar::Column("partner_id".to_owned()),
                ..records(self.table(users)?, self.is_user("id"))
            }),
            negated: false,
        })
    }

    fn is_user(&self, column: &str) -> Plan {
        Plan::Compare {
            left: Scalar::Column(column.to_owned()),
            operator: Comparison::Eq,
            right: Bound::Int4(self.user()),
        }
    }

    /// The field that a search of Odoo's leads through, and the model it leads to.
    fn led_through(&self, model: &Model, field: &str, step: Step<'_>) -> Result<&Model, DomainError> {
        let field = self.field(model, field, step.spans)?;
        self.comodel(model, field, step.spans)
    }

    /// One of the records of an x2many field satisfies `found`: `in` a search for them, which looks at no domain of the field's.
    fn leads_to(&self, model: &Model, field: &str, found: &Plan, step: Step<'_>) -> Result<Plan, DomainError> {
        let found = Operand::Lowered(found);
        self.leaf(
            model,
            Step {
                operator: Operator::In,
                value: &found,
                ..at(step, field)
            },
        )
    }

    /// One of the records of an x2many field satisfies `inner`, as a path through the field asks it.
    fn some(&self, model: &Model, field: &str, inner: Plan, step: Step<'_>) -> Result<Plan, DomainError> {
        let step = at(step, field);
        let field = self.field(model, field, step.spans)?;
        self.through(model, field, inner, false, step)
    }

    /// Each leaf `path operator value` on its own, all of them.
    fn asked(&self, model: &Model, leaves: &[(&str, Value)], step: Step<'_>) -> Result<Plan, DomainError> {
        let domain = Domain::and(leaves.iter().map(|(path, value)| {
            let operator = match value {
                Value::List(_) => Operator::In,
                _ => Operator::Eq,
            };
            Domain::leaf(*path, operator, value.clone())
        }));
        self.lower(model, &domain, false, step.depth + 1)
    }

    fn is_followed(&self, model: &Model, step: Step<'_>) -> Result<Plan, DomainError> {
        let followers = self.led_through(model, "message_follower_ids", step)?;
        let of_model = Plan::Compare {
            left: Scalar::Column("res_model".to_owned()),
            operator: Comparison::Eq,
            right: Bound::Text(model.name.clone()),
        };
        let own = Plan::all(vec![of_model, self.is_own_partner("partner_id", step)?]);
        let followed = |negated| Plan::InQuery {
            left: Scalar::Column("id".to_owned()),
            query: Box::new(Query {
                output: Scalar::Column("res_id".to_owned()),
                output_not_null: true,
                ..records("mail_followers", own.clone())
            }),
            negated,
        };
        self.table(followers)?;
        Ok(followed(!self.asks_for(step)? && !self.is_asked_positively(step)?))
    }

    /// `= True` or `!= False`, and nothing else.
    fn is_asked_positively(&self, step: Step<'_>) -> Result<bool, DomainError> {
        let value = self.literal(step)?;
        Ok(step.operator == Operator::Ne && value.is_falsy())
    }

    /// A notification for the user that is not read yet, or one that is.
    fn message_is_to_be_read(&self, model: &Model, step: Step<'_>) -> Result<Plan, DomainError> {
        let notifications = self.led_through(model, "notification_ids", step)?;
        let is_read = Value::Bool(!self.asks_for(step)?);
        let own = self.is_own_partner("res_partner_id", step)?;
        let found = Plan::all(vec![own, self.asked(notifications, &[("is_read", is_read)], step)?]);
        self.leads_to(model, "notification_ids", &found, step)
    }

    fn message_is_starred(&self, model: &Model, step: Step<'_>) -> Result<Plan, DomainError> {
        let partners = self.led_through(model, "starred_partner_ids", step)?;
        let own = self.is_own_partner("id", step)?;
        self.table(partners)?;
        let found = Operand::Lowered(&own);
        let operator = if self.asks_for(step)? {
            Operator::In
        } else {
            Operator::NotIn
        };
        self.leaf(
            model,
            Step {
                operator,
                value: &found,
                ..at(step, "starred_partner_ids")
            },
        )
    }

    fn message_has_error(&self, model: &Model, step: Step<'_>) -> Result<Plan, DomainError> {
        let failed = ["bounce", "exception"].map(|status| Value::Str(status.to_owned()));
        let failed = Value::List(failed.to_vec());
        let plan = self.asked(model, &[("notification_ids.notification_status", failed)], step)?;
        self.truth_of(plan, step)
    }

    fn message_has_sms_error(&self, model: &Model, step: Step<'_>) -> Result<Plan, DomainError> {
        let failed = [
            ("notification_status", Value::Str("exception".to_owned())),
            ("notification_type", Value::Str("sms".to_owned())),
        ];
        if self.version >= 19 {
            let notifications = self.led_through(model, "notification_ids", step)?;
            let inner = self.asked(notifications, &failed, step)?;
            return self.truth_of(self.some(model, "notification_ids", inner, step)?, step);
        }
        if !self.asks_for(step)? {
            return Err(DomainError::new(format!(
                "Odoo {} fails on anything but has_sms_error = True",
                self.version
            ))
            .at(step.spans.operator));
        }
        let [(status, exception), (kind, sms)] = failed;
        let (status, kind) = (format!("notification_ids.{status}"), format!("notification_ids.{kind}"));
        self.asked(model, &[(&status, exception), (&kind, sms)], step)
    }

    fn message_has_letter_error(&self, model: &Model, step: Step<'_>) -> Result<Plan, DomainError> {
        let leaves = [
            ("letter_ids.state", Value::Str("error".to_owned())),
            ("letter_ids.user_id", Value::Int(self.user().into())),
        ];
        self.truth_of(self.asked(model, &leaves, step)?, step)
    }

    /// Some message of the user's own has an error.
    fn has_message_with_error(&self, model: &Model, step: Step<'_>) -> Result<Plan, DomainError> {
        let messages = self.led_through(model, "message_ids", step)?;
        let own = self.is_own_partner("author_id", step)?;
        let yes = Operand::Literal(&Literal::Bool(true));
        let asked = if self.version >= 19 {
            Step {
                operator: Operator::Eq,
                value: &yes,
                ..step
            }
        } else {
            step
        };
        let failed = self.leaf(messages, at(asked, "has_error"))?;
        let found = Plan::all(vec![failed, own]);
        if self.version < 19 {
            return self.leads_to(model, "message_ids", &found, step);
        }
        self.truth_of(self.some(model, "message_ids", found, step)?, step)
    }

    /// Some message has such an error, and some message is the user's own.
    fn has_message_with_sms_error(&self, model: &Model, step: Step<'_>) -> Result<Plan, DomainError> {
        let own = self.is_own_partner("author_id", step)?;
        let own = self.some(model, "message_ids", own, step)?;
        if self.version < 19 {
            let failed = self.leaf(model, at(step, "message_ids.has_sms_error"))?;
            return Ok(Plan::all(vec![failed, own]));
        }
        let failed = self.asked(model, &[("message_ids.has_sms_error", Value::Bool(true))], step)?;
        self.truth_of(Plan::all(vec![failed, own]), step)
    }

    /// An activity of the user's own is due so.
    fn own_activity_deadline(&self, model: &Model, step: Step<'_>) -> Result<Plan, DomainError> {
        let activities = self.led_through(model, "activity_ids", step)?;
        if self.version >= 19 && step.operator.is_negative() {
            let operator = step.operator.negated().unwrap_or(step.operator);
            return Ok(self.negated(self.own_activity_deadline(model, Step { operator, ..step })?));
        }
        let due = self.leaf(activities, at(step, "date_deadline"))?;
        let about = self.asked(activities, &[("res_model", Value::Str(model.name.clone()))], step)?;
        let mut all = vec![due, about, self.is_user("user_id")];
        if self.version < 19 {
            return self.leads_to(model, "activity_ids", &Plan::all(all), step);
        }
        all.push(self.asked(activities, &[("active", Value::Bool(true))], step)?);
        self.some(model, "activity_ids", Plan::all(all), step)
    }

    /// Whether the leaf is `=` something true: of all others these searches make the opposite. What 19 asks of them is a list, and it
    /// looks at the operator alone.
    fn asks_for(&self, step: Step<'_>) -> Result<bool, DomainError> {
        let value = self.literal(step)?;
        Ok(match step.operator {
            Operator::In => self.version >= 19,
            operator => operator == Operator::Eq && value.is_truthy(),
        })
    }

    /// The plan where the leaf is `= True`, else its opposite.
    fn truth_of(&self, plan: Plan, step: Step<'_>) -> Result<Plan, DomainError> {
        Ok(if self.asks_for(step)? { plan } else { self.negated(plan) })
    }
}

/// The leaf, asked of another path of the same record.
fn at<'l>(step: Step<'l>, path: &'l str) -> Step<'l> {
    Step {
        path,
        depth: step.depth + 1,
        ..step
    }
}
