//! `child_of` and `parent_of`.
//!
//! A model whose records know the path of their ancestors (`parent_path`) is searched by it; any other by walking the links.

use super::super::ast::{Operator, Spans};
use super::super::error::DomainError;
use super::super::plan::{Bound, Members, Plan, Query, Scalar, Source};
use super::literal::Literal;
use super::relational::records;
use super::{Checker, Step};
use crate::odoo::known;
use crate::odoo::registry::{Field, FieldType, Inherit, Model};

impl Checker<'_> {
    /// `id child_of ..`
    pub(super) fn id_hierarchy(&self, model: &Model, step: Step<'_>) -> Result<Plan, DomainError> {
        let roots = self.roots(model, step)?;
        self.hierarchy(model, roots, known::parent_field(&model.name), step)
    }

    /// `partner_id child_of ..`
    pub(super) fn many2one_hierarchy(&self, model: &Model, field: &Field, step: Step<'_>) -> Result<Plan, DomainError> {
        let comodel = self.comodel(model, field, step.spans)?;
        self.expect_no_zero_root(step)?;
        let roots = self.roots(comodel, step)?;
        if comodel.name == model.name {
            // A field that leads to its own model is itself the parent link, and the record's own place is asked.
            return self.hierarchy(model, roots, &field.name, step);
        }
        let filter = self.hierarchy(comodel, roots, known::parent_field(&comodel.name), step)?;
        if filter == Plan::FALSE {
            return Ok(filter);
        }
        self.in_records(self.scalar(model, field, step.spans)?, comodel, filter, false)
    }

    /// `child_ids child_of ..`
    pub(super) fn one2many_hierarchy(&self, model: &Model, field: &Field, step: Step<'_>) -> Result<Plan, DomainError> {
        let comodel = self.comodel(model, field, step.spans)?;
        self.expect_no_zero_root(step)?;
        let roots = self.roots(comodel, step)?;
        if comodel.name != model.name {
            let filter = self.hierarchy(comodel, roots, known::parent_field(&comodel.name), step)?;
            if filter == Plan::FALSE {
                return Ok(filter);
            }
            return self.led_by(model, field, filter, step);
        }
        if self.version >= 19 {
            return self.one2many_own_hierarchy(model, field, roots, step);
        }
        if model.has_parent_path() {
            return self.hierarchy(model, roots, &field.name, step);
        }
        let inverse = field.inverse.as_deref().unwrap_or_default();
        // Odoo takes the one2many for the parent link, so both walk the wrong way round: child_of to the records that have the
        // roots as children, parent_of to their children, as the field itself would list them.
        match step.operator {
            Operator::ParentOf => {
                let listed = self.field_domain(model, field, step)?;
                self.walk(model, roots, inverse, true, listed, step.spans)
            }
            _ => self.walk(model, roots, inverse, false, Plan::TRUE, step.spans),
        }
    }

    /// `child_ids child_of ..` of 19: the one2many is the parent link, followed the wrong way round, and a record that has one of those
    /// found among its own matches.
    fn one2many_own_hierarchy(
        &self,
        model: &Model,
        field: &Field,
        roots: Members,
        step: Step<'_>,
    ) -> Result<Plan, DomainError> {
        if roots == Members::Ids(Vec::new()) {
            return Ok(Plan::FALSE);
        }
        let inverse = field.inverse.as_deref().unwrap_or_default();
        let listed = self.field_domain(model, field, step)?;
        let down = step.operator == Operator::ParentOf;
        let through = if down { listed.clone() } else { Plan::TRUE };
        let reached = self.walk(model, roots, inverse, down, through, step.spans)?;
        self.members(model, field, Plan::all(vec![reached, listed]), false, step)
    }

    /// `category_id child_of ..` of a many2many.
    pub(super) fn many2many_hierarchy(
        &self,
        model: &Model,
        field: &Field,
        step: Step<'_>,
    ) -> Result<Plan, DomainError> {
        let comodel = self.comodel(model, field, step.spans)?;
        let roots = self.roots(comodel, step)?;
        let filter = self.hierarchy(comodel, roots, known::parent_field(&comodel.name), step)?;
        if filter == Plan::FALSE {
            return Ok(filter);
        }
        self.linked_to(model, field, records(self.table(comodel)?, filter), step.spans)
    }

    /// In 19 a record without an id, reached through a link, stands for no record at all.
    fn expect_no_zero_root(&self, step: Step<'_>) -> Result<(), DomainError> {
        match self.literal(step)? {
            Literal::List(items)
                if self.version >= 19 && items.iter().any(|item| item.is_zero() || item.is_unset()) =>
            {
                Err(self.not_ids(step).hint("no record has the id 0"))
            }
            _ => Ok(()),
        }
    }

    /// The records the hierarchy starts from: ids, or those that a name means.
    fn roots(&self, model: &Model, step: Step<'_>) -> Result<Members, DomainError> {
        let named =
            |name: &Literal| -> Result<Plan, DomainError> { self.display_name(model, Operator::Ilike, name, step) };
        let refused = || {
            DomainError::new(format!("'{}' takes an id, a list of ids, or a name", step.operator)).at(step.spans.value)
        };
        match self.literal(step)? {
            // 18 takes it for a mistake, says so in its log, and finds nothing.
            Literal::Bool(false) if self.version != 18 => Ok(Members::Ids(Vec::new())),
            Literal::Int(0) if self.version < 19 => Ok(Members::Ids(Vec::new())),
            Literal::Int(id) if *id != 0 => Ok(Members::Ids(vec![*id])),
            name @ Literal::Str(_) => Ok(Members::Query(Box::new(records(self.table(model)?, named(name)?)))),
            Literal::List(items) if !items.is_empty() && items.iter().all(|item| matches!(item, Literal::Str(_))) => {
                let filters = items.iter().map(named).collect::<Result<_, _>>()?;
                Ok(Members::Query(Box::new(records(
                    self.table(model)?,
                    Plan::any(filters),
                ))))
            }
            Literal::List(items) => {
                let mut ids = Vec::with_capacity(items.len());
                for item in items {
                    match item {
                        Literal::Int(id) if *id != 0 => ids.push(*id),
                        // parent_of drops what is no id; child_of would stumble over it.
                        Literal::Int(_) | Literal::None | Literal::Bool(false)
                            if step.operator == Operator::ParentOf => {}
                        _ => return Err(refused()),
                    }
                }
                Ok(Members::Ids(ids))
            }
            _ => Err(refused()),
        }
    }

    /// The current row is below (or above) the roots, or one of them.
    fn hierarchy(&self, model: &Model, roots: Members, parent: &str, step: Step<'_>) -> Result<Plan, DomainError> {
        if roots == Members::Ids(Vec::new()) {
            return Ok(Plan::FALSE);
        }
        let down = step.operator == Operator::ChildOf;
        let table = self.table(model)?.to_owned();
        // From 19 on the paths are used for the model's own parent link only.
        let other_link = self.version >= 19 && parent != known::parent_field(&model.name);
        if self.version >= 19
            && let Some(inherit) = model.field(parent).and_then(|field| model.inherited_from(field))
        {
            return self.inherited_hierarchy(model, inherit, roots, parent, step);
        }
        if !model.has_parent_path() || other_link {
            return self.walk(model, roots, parent, down, Plan::TRUE, step.spans);
        }
        if down {
            return Ok(Plan::UnderPaths { table, roots });
        }
        Ok(within(Source::Ancestors { table, roots }))
    }

    /// A hierarchy of 19 over a parent link that is inherited and leads to records of another model, as `res.users.parent_id` to a
    /// partner. Odoo takes ids of both models for the same: below a user are those whose partner's parent has the user's number, above
    /// it are the partners that its own partner belongs to, by their numbers.
    fn inherited_hierarchy(
        &self,
        model: &Model,
        inherit: &Inherit,
        roots: Members,
        parent: &str,
        step: Step<'_>,
    ) -> Result<Plan, DomainError> {
        let above = self.model(&inherit.parent)?;
        let is_column = |model: &Model, name: &str| {
            model.field(name).is_some_and(|field| {
                field.kind == FieldType::Many2one && field.column.as_ref().is_some_and(|c| c.type_name == "integer")
            })
        };
        let leads_up = above.field(parent).and_then(|field| field.relation.as_deref()) == Some(above.name.as_str());
        if !(is_column(model, &inherit.link) && is_column(above, parent) && leads_up) {
            return Err(no_hierarchy(model, parent, step.spans));
        }
        let (table, parent_table) = (self.table(model)?.to_owned(), self.table(above)?.to_owned());
        if step.operator == Operator::ChildOf {
            return Ok(within(Source::ReachableByParent {
                table,
                link: inherit.link.clone(),
                parent_table,
                parent: parent.to_owned(),
                roots,
            }));
        }
        let column = |name: &str| Scalar::Column(name.to_owned());
        let root = is_among(&roots);
        let link = Query {
            output: column(&inherit.link),
            output_not_null: true,
            ..records(&table, root.clone())
        };
        // A number that was met as a root is not met again: the way up ends there.
        let is_new = |name: &str| match &roots {
            Members::Ids(ids) => Plan::OneOf {
                left: column(name),
                values: Bound::Ints(ids.iter().copied().map(Some).collect()),
                negated: true,
            },
            Members::Query(query) => Plan::InQuery {
                left: column(name),
                query: query.clone(),
                negated: true,
            },
        };
        let own = Plan::InQuery {
            left: column("id"),
            query: Box::new(link),
            negated: false,
        };
        let first = Query {
            output: column(parent),
            output_not_null: true,
            ..records(&parent_table, Plan::all(vec![own, is_new(parent)]))
        };
        let partners = Source::Reachable {
            table: parent_table,
            parent: parent.to_owned(),
            down: false,
            through: Box::new(is_new(parent)),
            roots: Members::Query(Box::new(first)),
        };
        Ok(Plan::any(vec![root, within(partners)]))
    }

    /// Follows the many2one `parent` from the roots, down to the children or up to the parents, over records that `through` allows.
    fn walk(
        &self,
        model: &Model,
        roots: Members,
        parent: &str,
        down: bool,
        through: Plan,
        spans: Spans,
    ) -> Result<Plan, DomainError> {
        let link = model.field(parent).filter(|field| {
            field.kind == FieldType::Many2one
                && field
                    .column
                    .as_ref()
                    .is_some_and(|column| column.type_name == "integer")
                && field.relation.as_deref() == Some(model.name.as_str())
        });
        let link = link.ok_or_else(|| no_hierarchy(model, parent, spans))?;
        let table = self.table(model)?.to_owned();
        Ok(within(Source::Reachable {
            table,
            parent: link.name.clone(),
            down,
            through: Box::new(through),
            roots,
        }))
    }
}

fn no_hierarchy(model: &Model, parent: &str, spans: Spans) -> DomainError {
    DomainError::new(format!(
        "{} is no hierarchy: it has no field {parent} that leads to {} itself",
        model.name, model.name
    ))
    .at(spans.operator)
    .late()
}

/// The current row is one of the roots.
fn is_among(roots: &Members) -> Plan {
    let left = Scalar::Column("id".to_owned());
    match roots {
        Members::Ids(ids) => Plan::OneOf {
            left,
            values: Bound::Ints(ids.iter().copied().map(Some).collect()),
            negated: false,
        },
        Members::Query(query) => Plan::InQuery {
            left,
            query: query.clone(),
            negated: false,
        },
    }
}

/// The current row's id is among those of a source.
fn within(source: Source) -> Plan {
    Plan::InQuery {
        left: Scalar::Column("id".to_owned()),
        query: Box::new(Query {
            source,
            output: Scalar::Column("id".to_owned()),
            filter: Plan::TRUE,
            output_not_null: false,
        }),
        negated: false,
    }
}
