//! Company-dependent fields in Odoo 18: what becomes of records that have no value of their own.
//!
//! Before it asks the database, Odoo 18 tries a leaf in Python on a record that holds the field's default. Where the default
//! does not satisfy it there, `AND column IS NOT NULL` goes into the SQL, to make an index usable. Python and SQL disagree in
//! places (`= None` is never true of a default that is False; `NOT LIKE '%'` is true of no value in SQL alone), and then it is
//! Python's answer that decides about the records without a value.

use super::super::ast::{Domain, Operator, Value};
use super::super::error::DomainError;
use super::super::plan::{Bound, Comparison, Plan, Scalar};
use super::literal::Literal;
use super::relational::records;
use super::{Checker, Operand, Step};
use crate::odoo::registry::{Field, FieldType, Model};

impl Checker<'_> {
    /// The leaf's condition with what Odoo 18 adds for the records without a value of their own.
    pub(super) fn settled(
        &self,
        model: &Model,
        field: &Field,
        step: Step<'_>,
        plan: Plan,
    ) -> Result<Plan, DomainError> {
        let (Some(column), true) = (&field.column, field.company_dependent && self.version == 18) else {
            return Ok(plan);
        };
        if matches!(plan, Plan::Const(_)) || matches!(step.value, Operand::Lowered(_)) {
            return Ok(plan);
        }
        let has_value = Plan::NotNull(Scalar::Column(column.name.clone()));
        if matches!(step.operator, Operator::ChildOf | Operator::ParentOf) {
            // A default is never found in a hierarchy: Odoo looks for the record it tries, which has no id.
            return Ok(Plan::all(vec![plan, has_value]));
        }
        let default = self.default_in_python(field);
        let unknown = |plan: Plan| Plan::Settled {
            plan: Box::new(plan),
            column: column.name.clone(),
        };
        let Operand::Literal(literal) = step.value else {
            return Ok(unknown(plan));
        };
        if field.kind == FieldType::Many2one
            && is_name(literal)
            && let Literal::Int(id) = default
        {
            let kept = self.default_is_named(model, field, id, step, literal)?;
            return Ok(Plan::all(vec![plan, Plan::any(vec![has_value, kept])]));
        }
        match self.is_kept(field, &default, step.operator, literal) {
            Ok(Some(true)) => Ok(plan),
            Ok(Some(false)) => Ok(Plan::all(vec![plan, has_value])),
            Ok(None) => Ok(unknown(plan)),
            Err(Incomparable) => Err(DomainError::new(format!(
                "Odoo 18 cannot compare the default of {}.{} with {}",
                model.name,
                field.name,
                literal.describe()
            ))
            .at(step.spans.value)),
        }
    }

    /// A sub-domain that Odoo 18 tries on the default of a company-dependent many2one in Python, where it may come out otherwise.
    pub(super) fn expect_same_in_python(
        &self,
        model: &Model,
        field: &Field,
        step: Step<'_>,
    ) -> Result<(), DomainError> {
        let is_tried =
            self.version == 18 && field.company_dependent && field.default_for(self.context.company).is_some();
        let differs = match step.value {
            Operand::Literal(value) => differs_in_python(step.operator, value),
            Operand::Domain(domain) => mentions_what_differs(domain),
            Operand::Lowered(_) => false,
        };
        if !(is_tried && differs) {
            return Ok(());
        }
        Err(DomainError::new(format!(
            "Odoo 18 tries this on the default of {}.{} in Python, where None and days without a time mean something else",
            model.name, field.name
        ))
        .at(step.spans.value)
        .hint("write False for None, and a time of day"))
    }

    /// The default as Python sees it on a record: False where there is none, and 0.0 for numbers.
    fn default_in_python(&self, field: &Field) -> Literal {
        let default = field.default_for(self.context.company);
        match field.kind {
            FieldType::Boolean => Literal::Bool(default.and_then(serde_json::Value::as_bool).unwrap_or(false)),
            FieldType::Integer => Literal::Int(default.and_then(serde_json::Value::as_i64).unwrap_or(0)),
            FieldType::Float | FieldType::Monetary => {
                Literal::Float(default.and_then(serde_json::Value::as_f64).unwrap_or(0.0))
            }
            FieldType::Many2one => default
                .and_then(serde_json::Value::as_i64)
                .map_or(Literal::Bool(false), Literal::Int),
            _ => default
                .and_then(serde_json::Value::as_str)
                .map_or(Literal::Bool(false), |text| Literal::Str(text.to_owned())),
        }
    }

    /// Whether a record that holds `default` satisfies the leaf in Python (`filtered_domain`); none where that is not known.
    fn is_kept(
        &self,
        field: &Field,
        default: &Literal,
        operator: Operator,
        value: &Literal,
    ) -> Result<Option<bool>, Incomparable> {
        if matches!(field.kind, FieldType::Date | FieldType::Datetime) {
            return Ok(None);
        }
        // An empty text and False are one value for text fields, not for selections.
        let is_blank = |value: &Literal| value.is_zero() || *value == Literal::Str(String::new());
        let blanks_are_one = field.kind.is_text();
        let among = |items: &[Literal]| {
            items.iter().any(|item| equal(item, default))
                || (blanks_are_one && is_blank(default) && items.iter().any(is_blank))
        };
        Ok(Some(match operator {
            Operator::Eq | Operator::Ne => {
                let equals = match blanks_are_one && value.is_falsy() {
                    true => is_blank(default),
                    false => equal(value, default),
                };
                equals == (operator == Operator::Eq)
            }
            Operator::Unset => value.is_falsy() || equal(value, default),
            Operator::In | Operator::NotIn => {
                let Literal::List(items) = value else { return Ok(None) };
                among(items) == (operator == Operator::In)
            }
            operator if operator.is_inequality() => {
                // What is False is left out before anything is compared.
                let order = match default {
                    Literal::Bool(false) => return Ok(Some(false)),
                    default => compare(default, value).ok_or(Incomparable)?,
                };
                match operator {
                    Operator::Lt => order.is_lt(),
                    Operator::Le => order.is_le(),
                    Operator::Gt => order.is_gt(),
                    _ => order.is_ge(),
                }
            }
            operator if operator.is_pattern() => {
                let ignores_case = matches!(
                    operator,
                    Operator::Ilike | Operator::NotIlike | Operator::EqIlike | Operator::NotEqIlike
                );
                let text = |value: &Literal| match value.is_truthy() {
                    true => value.python_str().unwrap_or_default(),
                    false => String::new(),
                };
                let (text, pattern) = (text(default), text(value));
                let facts = self.registry.facts();
                if ignores_case
                    && (facts.unaccent || facts.foreign_unaccent)
                    && !(text.is_ascii() && pattern.is_ascii())
                {
                    return Ok(None);
                }
                let fold = |text: String| if ignores_case { text.to_lowercase() } else { text };
                like(&fold(text), &fold(pattern), !operator.has_wildcards()) != operator.is_negative()
            }
            _ => return Ok(None),
        }))
    }

    /// Whether the default record's display name compares so: it is the display name that Python compares, and the name search
    /// that SQL does.
    fn default_is_named(
        &self,
        model: &Model,
        field: &Field,
        id: i64,
        step: Step<'_>,
        value: &Literal,
    ) -> Result<Plan, DomainError> {
        let comodel = self.comodel(model, field, step.spans)?;
        let refused = || {
            DomainError::new(format!(
                "{}.{} has a default, and Odoo 18 compares its name in Python",
                model.name, field.name
            ))
            .at(step.spans.value)
            .hint("compare with ids")
        };
        let column = |name: &str| {
            let field = comodel.field(name).ok_or_else(refused)?;
            self.scalar(comodel, field, step.spans)
        };
        let name = match comodel.name.as_str() {
            "account.account" => Scalar::Words(vec![
                self.account_code_scalar(comodel).ok_or_else(refused)?,
                column("name")?,
            ]),
            "account.journal" => column("name")?,
            "stock.location" => column("complete_name")?,
            _ => return Err(refused()),
        };
        let Literal::Str(text) = value else {
            return Err(refused());
        };
        let ignore_case = matches!(
            step.operator,
            Operator::Ilike | Operator::NotIlike | Operator::EqIlike | Operator::NotEqIlike
        );
        let compared = match step.operator {
            Operator::Eq | Operator::In => Plan::Compare {
                left: name,
                operator: Comparison::Eq,
                right: Bound::Text(text.clone()),
            },
            Operator::Ne | Operator::NotIn => Plan::Compare {
                left: name,
                operator: Comparison::Ne,
                right: Bound::Text(text.clone()),
            },
            operator if operator.is_pattern() => {
                if text.ends_with('\\') {
                    return Err(refused());
                }
                Plan::Like {
                    left: name,
                    pattern: match operator.has_wildcards() {
                        true => format!("%{text}%"),
                        false => text.clone(),
                    },
                    ignore_case,
                    unaccent: ignore_case && self.unaccents().map_err(|error| error.at(step.spans.value))?,
                    negated: operator.is_negative(),
                }
            }
            _ => return Err(refused()),
        };
        let is_default = Plan::OneOf {
            left: Scalar::Column("id".to_owned()),
            values: Bound::Ints(vec![Some(id)]),
            negated: false,
        };
        let found = records(self.table(comodel)?, Plan::all(vec![is_default, compared]));
        Ok(Plan::Exists(Box::new(found)))
    }
}

/// Python refuses to order these two.
struct Incomparable;

fn is_name(value: &Literal) -> bool {
    match value {
        Literal::Str(_) => true,
        Literal::List(items) => !items.is_empty() && items.iter().all(|item| matches!(item, Literal::Str(_))),
        _ => false,
    }
}

#[expect(clippy::cast_precision_loss, reason = "defaults are ids and small numbers")]
fn number(value: &Literal) -> Option<f64> {
    match value {
        Literal::Bool(value) => Some(f64::from(u8::from(*value))),
        Literal::Int(number) => Some(*number as f64),
        Literal::BigInt(digits) => digits.parse().ok(),
        Literal::Float(number) => Some(*number),
        _ => None,
    }
}

/// Python's `==`: False is 0 and True is 1, None only itself.
fn equal(left: &Literal, right: &Literal) -> bool {
    match (number(left), number(right)) {
        (Some(left), Some(right)) => left.partial_cmp(&right).is_some_and(std::cmp::Ordering::is_eq),
        (None, None) => left == right,
        _ => false,
    }
}

/// Python's order of two numbers or two texts.
fn compare(left: &Literal, right: &Literal) -> Option<std::cmp::Ordering> {
    match (left, right) {
        (Literal::Str(left), Literal::Str(right)) => Some(left.cmp(right)),
        _ => number(left)?.partial_cmp(&number(right)?),
    }
}

/// The pattern language of LIKE, as Odoo translates it to a regular expression: `exact` or anywhere in the text.
fn like(text: &str, pattern: &str, exact: bool) -> bool {
    let text: Vec<char> = text.chars().collect();
    // `reached[n]`: the pattern so far matches up to the nth character.
    let mut reached = vec![!exact; text.len() + 1];
    reached[0] = true;
    let mut characters = pattern.chars();
    while let Some(c) = characters.next() {
        let literal = match c {
            '%' => {
                let first = reached
                    .iter()
                    .position(|is_reached| *is_reached)
                    .unwrap_or(reached.len());
                reached[first..].fill(true);
                continue;
            }
            '_' => None,
            '\\' => match characters.next() {
                Some(escaped) => Some(escaped),
                None => break,
            },
            c => Some(c),
        };
        let mut next = vec![false; text.len() + 1];
        for (at, found) in text.iter().enumerate() {
            next[at + 1] = reached[at] && literal.is_none_or(|literal| literal == *found);
        }
        reached = next;
    }
    if exact {
        reached[text.len()]
    } else {
        reached.contains(&true)
    }
}

/// None is no value for SQL, and something else than False for Python; a day is its end for SQL's `<=`, its beginning for Python.
fn differs_in_python(operator: Operator, value: &Literal) -> bool {
    match value {
        Literal::None => true,
        Literal::List(items) => items.iter().any(|item| differs_in_python(operator, item)),
        Literal::Str(text) => operator == Operator::Le && text.len() == 10,
        _ => false,
    }
}

fn mentions_what_differs(domain: &Domain) -> bool {
    let differs = |operator: Operator, value: &Value| match value {
        Value::None => true,
        Value::List(items) => items.contains(&Value::None),
        // Negated, `>` is `<=`.
        Value::Str(text) => matches!(operator, Operator::Le | Operator::Gt) && text.len() == 10,
        Value::Domain(domain) => mentions_what_differs(domain),
        _ => false,
    };
    match domain {
        Domain::Const(_) => false,
        Domain::Leaf(leaf) => differs(leaf.operator, &leaf.value),
        Domain::Not(inner) => mentions_what_differs(inner),
        Domain::And(items) | Domain::Or(items) => items.iter().any(mentions_what_differs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_sql_says() {
        for (text, pattern, exact, matches) in [
            ("", "%", false, true),
            ("", "", true, true),
            ("", "_", false, false),
            ("normal", "rm", false, true),
            ("normal", "rm", true, false),
            ("normal", "n%l", true, true),
            ("50%", "50\\%", true, true),
            ("50x", "50\\%", true, false),
            ("abc", "%b_", true, true),
        ] {
            assert_eq!(like(text, pattern, exact), matches, "{text} {pattern}");
        }
    }

    #[test]
    fn false_is_zero_and_none_is_only_none() {
        assert!(equal(&Literal::Bool(false), &Literal::Float(0.0)));
        assert!(equal(&Literal::Int(1), &Literal::Bool(true)));
        assert!(!equal(&Literal::None, &Literal::Bool(false)));
        assert!(!equal(&Literal::Str("0".to_owned()), &Literal::Int(0)));
    }
}
