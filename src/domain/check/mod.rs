//! Decides what each leaf means on this database, or refuses it: [`Domain`] to [`TypedDomain`].
//!
//! Follows what Odoo's ORM does with a domain, step by step: `!` is pushed to the leaves first, dotted paths become `any`,
//! inherited fields move to the parent, non-stored ones to what they repeat, and only then does a comparison meet a column
//! (`condition`). The order matters, because `!` in front of `a.b = x` is not `a.b != x` (up to 16 it is). The registry's
//! version decides where versions differ; 16 to 19 are each tried against that Odoo's own answers. From 19 on a leaf is first read anew
//! (`reading`).

mod company;
mod computed;
mod condition;
mod convert;
mod hierarchy;
mod kept_apart;
mod literal;
mod names;
mod property;
mod reading;
mod related;
mod relational;
mod relative;
mod search;
mod shown;
mod stored;
mod user;
mod wall;
mod x2many;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::ast::{Domain, Leaf, Operator, Spans};
use super::error::DomainError;
use super::expr::Clock;
use super::parse;
use super::plan::{Plan, Reads, Scalar};
use crate::odoo::nearest::nearest;
use crate::odoo::registry::{Field, FieldType, Model, Registry};
use literal::Literal;
pub use shown::shown_by;
pub use wall::{BEYOND, BEYOND_HINT};

/// How many relational steps (paths, sub-domains, name searches) may be nested: each is a sub-query for PostgreSQL to plan.
const MAX_STEPS: usize = 20;

/// How many leaves one domain may come to in the end, those of domains and paths that fields declare included. A field whose declaration
/// leads back to itself doubles them at each step.
const MAX_LEAVES: usize = 20_000;

/// For whom, where and when a domain is meant.
#[derive(Debug, Clone)]
pub struct Context {
    /// The user that `uid` is; without one it is refused.
    pub uid: Option<i32>,
    /// Language of translated fields; `en_US` is the fallback of all.
    pub lang: String,
    /// Company of company-dependent fields.
    pub company: i32,
    /// Time zone of date parts and of `context_today()`, as PostgreSQL and the IANA database name it.
    pub tz: String,
    /// The moment `context_today()` and `datetime` speak of. An argument, never read from the clock here.
    pub now: Timestamp,
    /// The models whose records may be read for him, those that they inherit from included; none = all. What leads to another is
    /// refused without a word of what is there.
    pub models: Option<Arc<BTreeSet<String>>>,
}

impl Context {
    /// Odoo's defaults at that moment: no user, `en_US`, company 1, UTC.
    pub fn at(now: Timestamp) -> Self {
        Self {
            uid: None,
            lang: "en_US".to_owned(),
            company: 1,
            tz: "UTC".to_owned(),
            now,
            models: None,
        }
    }

    /// Whether records of this model may be read for him.
    pub fn may_read(&self, model: &str) -> bool {
        self.models.as_ref().is_none_or(|models| models.contains(model))
    }
}

/// A domain that can be evaluated exactly.
#[derive(Debug, Clone, PartialEq)]
pub struct TypedDomain {
    model: String,
    table: String,
    plan: Plan,
    reads: Reads,
    depends_on_time: bool,
}

impl TypedDomain {
    /// Whether it was checked for one moment, and has to be checked again for another.
    pub fn depends_on_time(&self) -> bool {
        self.depends_on_time
    }

    /// The model it is about.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The model's table.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// What will be asked.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The columns of the record itself that it reads.
    pub fn own_columns(&self) -> &std::collections::BTreeSet<String> {
        &self.reads.own
    }

    /// The columns inherited through `_inherits` that it reads.
    pub fn inherited(&self) -> &std::collections::BTreeSet<super::plan::Inherited> {
        &self.reads.inherited
    }

    /// The link to a parent, and its model, of which it reads what the parent inherits itself: that is not known of a captured row.
    pub fn inherited_twice(&self) -> Option<&(String, String)> {
        self.reads.inherited_twice.as_ref()
    }

    /// True if rows of other tables that lead to the record by its id decide (one2many, many2many, hierarchies). They go when
    /// the record goes: such a domain cannot be judged for a record that has been unlinked.
    pub fn reads_rows_of_record(&self) -> bool {
        self.reads.by_id
    }

    /// True if it reads anything but the record and its `_inherits` parents: related records are seen as they are when the
    /// domain is evaluated.
    pub fn reads_related(&self) -> bool {
        self.reads.related
    }
}

/// Parses and checks a domain.
///
/// # Errors
/// A [`DomainError`]: what is wrong, where, and what to do.
pub fn check_text(text: &str, model: &str, registry: &Registry, context: &Context) -> Result<TypedDomain, DomainError> {
    check(&parse::parse(text)?, model, registry, context)
}

/// Checks a parsed domain against the registry.
///
/// # Errors
/// A [`DomainError`] for an unknown model, field or operator, a value of the wrong type, a secret field, or anything that
/// cannot be evaluated exactly from the database.
pub fn check(domain: &Domain, model: &str, registry: &Registry, context: &Context) -> Result<TypedDomain, DomainError> {
    let checker = Checker::new(registry, context)?;
    let model = checker.model(model)?;
    let table = checker.table(model)?.to_owned();
    let plan = checker.search(model, domain, 0)?;
    let reads = plan.reads();
    Ok(TypedDomain {
        model: model.name.clone(),
        table,
        plan,
        reads,
        depends_on_time: domain.depends_on_time() || checker.spoke_of_now.get(),
    })
}

/// One check of one domain.
struct Checker<'a> {
    registry: &'a Registry,
    context: &'a Context,
    clock: Clock,
    /// Whose rules are followed; what a shipped list says is asked for the database's own version.
    version: u16,
    /// Leaves that may still come.
    leaves: Cell<usize>,
    /// A text stood for a moment that moves on: `today`, `-3d`.
    spoke_of_now: Cell<bool>,
    /// The leaf under way has come to a model that may not be read.
    met_foreign: Cell<bool>,
}

/// A leaf under way: its path may have been shortened and its operator negated.
#[derive(Clone, Copy)]
struct Step<'l> {
    path: &'l str,
    operator: Operator,
    value: &'l Operand<'l>,
    spans: Spans,
    depth: usize,
}

/// What a leaf compares with.
#[derive(Clone, Copy)]
enum Operand<'l> {
    /// A value.
    Literal(&'l Literal),
    /// The domain of `any`, as written: about the model the field leads to.
    Domain(&'l Domain),
    /// A condition already lowered: the related records that satisfy it (Odoo's `Query` values).
    Lowered(&'l Plan),
}

impl<'a> Checker<'a> {
    fn new(registry: &'a Registry, context: &'a Context) -> Result<Self, DomainError> {
        let zone = TimeZone::get(&context.tz)
            .map_err(|_| DomainError::new(format!("{} is not a known time zone", context.tz)))?;
        let clock = Clock {
            now: context.now,
            zone,
            uid: context.uid,
            company: context.company,
        };
        Ok(Self {
            registry,
            context,
            clock,
            version: registry.facts().rules(),
            leaves: Cell::new(MAX_LEAVES),
            spoke_of_now: Cell::new(false),
            met_foreign: Cell::new(false),
        })
    }

    fn model(&self, name: &str) -> Result<&'a Model, DomainError> {
        if !self.context.may_read(name) {
            self.met_foreign.set(true);
        }
        self.registry.model(name).ok_or_else(|| {
            let error = DomainError::new(format!("unknown model {name}"));
            match self.registry.nearest_model(&name.replace('_', ".")) {
                Some(near) => error.hint(format!("did you mean {near}?")),
                None => error.hint("a model is named like sale.order, and its module must be installed"),
            }
        })
    }

    fn table<'m>(&self, model: &'m Model) -> Result<&'m str, DomainError> {
        model.table.name().ok_or_else(|| {
            DomainError::new(format!(
                "model {} has no table: it has no records of its own",
                model.name
            ))
        })
    }

    fn field<'m>(&self, model: &'m Model, name: &str, spans: Spans) -> Result<&'m Field, DomainError> {
        let shown: String = name.chars().take(60).collect();
        let field = model.field(name).ok_or_else(|| {
            let error = DomainError::new(format!("model {} has no field {shown:?}", model.name)).at(spans.path);
            match nearest(name, model.fields().map(|field| field.name.as_str())) {
                Some(near) => error.hint(format!("did you mean {near}?")),
                None => error.hint("use the technical name of a field of this model"),
            }
        })?;
        if field.secret {
            return Err(DomainError::new(format!(
                "{}.{name} holds a secret and cannot be used in a domain",
                model.name
            ))
            .at(spans.path)
            .hint("matching on a secret is reading it"));
        }
        Ok(field)
    }

    /// A whole domain, with the negations above it (`_tree_not` in Odoo).
    fn lower(&self, model: &Model, domain: &Domain, negate: bool, depth: usize) -> Result<Plan, DomainError> {
        let each = |items: &[Domain], deciding: bool| -> Result<Vec<Plan>, DomainError> {
            let plans = items.iter().map(|item| self.lower(model, item, negate, depth));
            self.unless_decided(items, plans.collect(), deciding)
        };
        self.expect_unmerged(model, domain)?;
        match domain {
            Domain::Const(value) => Ok(Plan::Const(Some(*value != negate))),
            Domain::Not(inner) => self.lower(model, inner, !negate, depth),
            Domain::And(items) if negate => Ok(Plan::any(each(items, true)?)),
            Domain::And(items) => Ok(Plan::all(each(items, false)?)),
            Domain::Or(items) if negate => Ok(Plan::all(each(items, false)?)),
            Domain::Or(items) => Ok(Plan::any(each(items, true)?)),
            Domain::Leaf(leaf) => self.within_the_wall(leaf, || self.lower_leaf(model, leaf, negate, depth)),
        }
    }

    /// The plans of leaves side by side. From 19 on one that decides them all by itself, as `in []` does, is seen before anything is
    /// looked up, and hides what the others would fail at then.
    fn unless_decided(
        &self,
        items: &[Domain],
        plans: Vec<Result<Plan, DomainError>>,
        deciding: bool,
    ) -> Result<Vec<Plan>, DomainError> {
        let decides = |item: &Domain, plan: &Result<Plan, DomainError>| {
            let is_own = matches!(item, Domain::Leaf(leaf) if !leaf.path.contains('.'));
            is_own && *plan == Ok(Plan::Const(Some(deciding)))
        };
        let is_decided = self.version >= 19 && items.iter().zip(&plans).any(|(item, plan)| decides(item, plan));
        plans
            .into_iter()
            .filter(|plan| !(is_decided && plan.as_ref().is_err_and(DomainError::is_late)))
            .collect()
    }

    fn lower_leaf(&self, model: &Model, leaf: &Leaf, negate: bool, depth: usize) -> Result<Plan, DomainError> {
        self.operator_exists(leaf)?;
        let literal;
        let value = match &leaf.value {
            super::ast::Value::Domain(domain) => Operand::Domain(domain),
            other => {
                literal = Literal::resolve(other, &self.clock).map_err(|error| error.at(leaf.spans.value))?;
                Operand::Literal(&literal)
            }
        };
        let is_spelt_otherwise = leaf.operator == Operator::Differs;
        let step = Step {
            path: &leaf.path,
            operator: if is_spelt_otherwise {
                Operator::Ne
            } else {
                leaf.operator
            },
            value: &value,
            spans: leaf.spans,
            depth,
        };
        let is_path = self.version >= 17 && self.is_relational_path(model, step.path);
        if is_spelt_otherwise && negate && self.version < 19 && !is_path {
            // Up to 18 `<>` becomes `!=` only after negations were pushed down: it is negated by NOT, which nulls do not survive.
            return Ok(self.negated(self.leaf(model, step)?));
        }
        self.negatable(model, step, negate)
    }

    /// A leaf with a `!` in front of it, or not: the operator is negated where it can be, the SQL otherwise.
    fn negatable(&self, model: &Model, step: Step<'_>, negate: bool) -> Result<Plan, DomainError> {
        if !negate {
            return self.leaf(model, step);
        }
        // A path is `any` by the time it is negated: not (a.b = x) is (a not any b = x). 16 knows no `any` and negates `=`.
        let is_path = self.version >= 17 && self.is_relational_path(model, step.path);
        if is_path {
            let Some((head, rest)) = step.path.split_once('.') else {
                return Err(self.misplaced_domain(step));
            };
            return self.path(model, head, rest, step, true);
        }
        // From 18 on Odoo decides `=?` before it negates: without a value the leaf is true, negated false. Before, NOT is written.
        if step.operator == Operator::Unset && self.version >= 18 {
            let Operand::Literal(value) = step.value else {
                return Err(self.misplaced_domain(step));
            };
            if value.is_falsy() {
                // Checked all the same: a mistake is not to hide behind an empty value.
                self.leaf(model, step)?;
                return Ok(Plan::FALSE);
            }
            return self.negatable(
                model,
                Step {
                    operator: Operator::Eq,
                    ..step
                },
                true,
            );
        }
        match step.operator.negated() {
            // Up to 18 `not =like` and `not =ilike` do not exist, so `=like` cannot be negated but by NOT.
            Some(negated) if self.version >= 19 && step.operator.is_inequality() => self.negated_inequality(
                model,
                Step {
                    operator: negated,
                    ..step
                },
            ),
            Some(negated) => self.leaf(
                model,
                Step {
                    operator: negated,
                    ..step
                },
            ),
            None => Ok(self.negated(self.leaf(model, step)?)),
        }
    }

    /// NOT, as the version writes it.
    fn negated(&self, plan: Plan) -> Plan {
        match plan {
            plan if self.version < 19 => plan.negate(),
            Plan::Const(value) => Plan::Const(Some(value != Some(true))),
            plan => Plan::Untrue(Box::new(plan)),
        }
    }

    /// From 19 on not (a > b) is a <= b or no a; a number or text without a value has zero or the empty text for one.
    fn negated_inequality(&self, model: &Model, step: Step<'_>) -> Result<Plan, DomainError> {
        let plan = self.leaf(model, step)?;
        let head = step.path.split('.').next().unwrap_or(step.path);
        let field = self.field(model, head, step.spans)?;
        let has_empty_value =
            field.kind.is_number() || field.kind == FieldType::Many2oneReference || field.kind.is_text();
        if has_empty_value && field.name != "id" {
            return Ok(plan);
        }
        let is_dated = matches!(field.kind, FieldType::Date | FieldType::Datetime);
        if is_dated && matches!(step.value, Operand::Literal(value) if value.is_unset()) {
            // Nothing is before or after no date, and all is not.
            return Ok(Plan::TRUE);
        }
        let unset = Operand::Literal(&Literal::Bool(false));
        let unset = self.leaf(
            model,
            Step {
                path: head,
                operator: Operator::Eq,
                value: &unset,
                ..step
            },
        )?;
        Ok(Plan::any(vec![plan, unset]))
    }

    fn is_relational_path(&self, model: &Model, path: &str) -> bool {
        path.split_once('.')
            .and_then(|(head, _)| model.field(head))
            .is_some_and(|field| field.kind.is_relational())
    }

    fn operator_exists(&self, leaf: &Leaf) -> Result<(), DomainError> {
        let since = match leaf.operator {
            Operator::Any | Operator::NotAny => 17,
            Operator::NotEqLike | Operator::NotEqIlike => 19,
            _ => 16,
        };
        if self.version >= since {
            return Ok(());
        }
        Err(DomainError::new(format!(
            "operator '{}' exists from Odoo {since} on; this is {}",
            leaf.operator, self.version
        ))
        .at(leaf.spans.operator)
        .hint(match leaf.operator {
            Operator::NotEqLike => "put '!' in front of a leaf with '=like'",
            Operator::NotEqIlike => "put '!' in front of a leaf with '=ilike'",
            _ => "write a dotted path",
        }))
    }

    /// Refuses what is nested too deeply, or has become too much altogether.
    fn within_limits(&self, step: Step<'_>) -> Result<(), DomainError> {
        if step.depth > MAX_STEPS {
            return Err(
                DomainError::new(format!("more than {MAX_STEPS} relational steps are nested")).at(step.spans.path),
            );
        }
        let Some(left) = self.leaves.get().checked_sub(1) else {
            return Err(DomainError::new(format!(
                "with what the fields in it stand for, the domain has more than {MAX_LEAVES} leaves"
            ))
            .at(step.spans.path));
        };
        self.leaves.set(left);
        Ok(())
    }

    /// A leaf with its final operator.
    fn leaf(&self, model: &Model, step: Step<'_>) -> Result<Plan, DomainError> {
        self.within_limits(step)?;
        let (head, rest) = match step.path.split_once('.') {
            Some((head, rest)) => (head, Some(rest)),
            None => (step.path, None),
        };
        let field = self.field(model, head, step.spans)?;
        if let Some(parent) = model.inherited_from(field) {
            let (link, parent) = (parent.link.clone(), self.model(&parent.parent)?);
            return self.inherited(model, &link, parent, step);
        }
        if let (Some(rest), true) = (rest, field.kind.is_relational()) {
            return self.path(model, head, rest, step, false);
        }
        if field.name == "id" && matches!(step.operator, Operator::ChildOf | Operator::ParentOf) && rest.is_none() {
            return self.id_hierarchy(model, step);
        }
        if self.version >= 18
            && let ("account.tax", "name", Operator::Like | Operator::Ilike) =
                (model.name.as_str(), step.path, step.operator)
            && let Operand::Literal(Literal::Str(text)) = step.value
        {
            // Taxes are found by the letters of their names, whatever is in between.
            let loose = names::loosened(text).ok_or_else(|| {
                DomainError::new("a quoted piece of a tax's name is taken apart by Odoo").at(step.spans.value)
            })?;
            let value = Operand::Literal(&Literal::Str(loose));
            let plan = self.dispatch(model, field, rest, Step { value: &value, ..step })?;
            return self.settled(model, field, step, plan);
        }
        if self.version >= 19
            && let Operand::Literal(value) = step.value
        {
            return self.leaf_as_read(model, field, rest, step, value);
        }
        let plan = self.dispatch(model, field, rest, step)?;
        self.settled(model, field, step, plan)
    }

    /// A leaf about a field of the model itself, by the field's kind.
    fn dispatch(&self, model: &Model, field: &Field, rest: Option<&str>, step: Step<'_>) -> Result<Plan, DomainError> {
        match (field.kind, rest) {
            (FieldType::Properties, _) => self.property(model, field, rest, step),
            (FieldType::Date | FieldType::Datetime, Some(part)) => self.date_part(model, field, part, step),
            (_, Some(rest)) => Err(DomainError::new(format!(
                "{}.{} is a {} field: no path goes through it to {rest:?}",
                model.name,
                field.name,
                field.kind.name()
            ))
            .at(step.spans.path)),
            _ if matches!(step.operator, Operator::Any | Operator::NotAny) => self.any(model, field, step),
            _ if !field.stored => self.not_stored(model, field, step),
            (FieldType::One2many, None) => self.one2many(model, field, step),
            (FieldType::Many2many, None) => self.many2many(model, field, step),
            (FieldType::Many2one, None) => self.many2one(model, field, step),
            (FieldType::Binary, None) if field.column.is_none() => Err(self.attachment(model, field, step)),
            (_, None) => {
                let literal = self.literal(step)?;
                if let Some(plan) = self.overridden(model, field, literal, step)? {
                    return Ok(plan);
                }
                let scalar = self.scalar(model, field, step.spans)?;
                self.condition(model, field, &scalar, step.operator, literal, step.spans)
            }
        }
    }

    /// An inherited field: the leaf, asked of the parent's record.
    fn inherited(&self, model: &Model, link: &str, parent: &Model, step: Step<'_>) -> Result<Plan, DomainError> {
        let link_field = self.field(model, link, step.spans)?;
        let plan = self.leaf(
            parent,
            Step {
                depth: step.depth + 1,
                ..step
            },
        )?;
        if matches!(plan, Plan::Const(_)) {
            return Ok(plan);
        }
        if !link_field.stored {
            // A link that is computed (`hr.employee.version_id` of 19) is searched, and leads where its search does.
            return self.through(model, link_field, plan, false, step);
        }
        Ok(Plan::Joined {
            link: self.scalar(model, link_field, step.spans)?,
            table: self.table(parent)?.to_owned(),
            inherits: Some((link.to_owned(), parent.name.clone())),
            plan: Box::new(plan),
        })
    }

    fn literal<'l>(&self, step: Step<'l>) -> Result<&'l Literal, DomainError> {
        match step.value {
            Operand::Literal(literal) => Ok(literal),
            Operand::Domain(_) | Operand::Lowered(_) => Err(self.misplaced_domain(step)),
        }
    }

    fn misplaced_domain(&self, step: Step<'_>) -> DomainError {
        DomainError::new(format!("operator '{}' takes no domain here", step.operator)).at(step.spans.value)
    }

    /// The value of a stored field of the current row.
    fn scalar(&self, model: &Model, field: &Field, spans: Spans) -> Result<Scalar, DomainError> {
        let Some(column) = &field.column else {
            return Err(
                DomainError::new(format!("{}.{} has no column in the database", model.name, field.name)).at(spans.path),
            );
        };
        if field.company_dependent {
            return self.per_company(model, field, spans);
        }
        if field.translate && column.type_name == "jsonb" {
            return Ok(Scalar::Translated {
                column: column.name.clone(),
                languages: self.languages(),
            });
        }
        if !column_fits(field.kind, &column.type_name) {
            return Err(DomainError::new(format!(
                "{}.{} is a {} field, but its column is of type {}",
                model.name,
                field.name,
                field.kind.name(),
                column.type_name
            ))
            .at(spans.path));
        }
        Ok(Scalar::Column(column.name.clone()))
    }

    /// The languages a translated value is looked up in, in order.
    fn languages(&self) -> Vec<String> {
        const FALLBACK: &str = "en_US";
        let lang = &self.context.lang;
        if lang == FALLBACK || !self.registry.facts().languages.contains(lang) {
            return vec![FALLBACK.to_owned()];
        }
        vec![lang.clone(), FALLBACK.to_owned()]
    }
}

/// Whether a column of that PostgreSQL type can be what the field's declaration promises.
fn column_fits(kind: FieldType, type_name: &str) -> bool {
    match kind {
        FieldType::Boolean => type_name == "boolean",
        FieldType::Integer | FieldType::Many2one | FieldType::Many2oneReference => {
            matches!(type_name, "integer" | "bigint" | "smallint")
        }
        FieldType::Float | FieldType::Monetary => {
            matches!(
                type_name,
                "numeric" | "double precision" | "real" | "integer" | "bigint"
            )
        }
        FieldType::Char | FieldType::Text | FieldType::Html | FieldType::Selection | FieldType::Reference => {
            matches!(type_name, "character varying" | "text" | "character")
        }
        FieldType::Date | FieldType::Datetime => matches!(type_name, "date" | "timestamp without time zone"),
        FieldType::Json | FieldType::Properties | FieldType::PropertiesDefinition => type_name == "jsonb",
        FieldType::Binary => type_name == "bytea",
        FieldType::One2many | FieldType::Many2many | FieldType::Other => false,
    }
}

#[cfg(test)]
mod tests;
