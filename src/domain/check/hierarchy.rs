//! `child_of` and `parent_of`.
//!
//! A model whose records know the path of their ancestors (`parent_path`) is searched by it; any other by walking the links.

use super::super::ast::{Operator, Spans};
use super::super::error::DomainError;
use super::super::plan::{Members, Plan, Query, Scalar, Source};
use super::literal::Literal;
use super::relational::records;
use super::{Checker, Step};
use crate::odoo::known;
use crate::odoo::registry::{Field, FieldType, Model};

impl Checker<'_> {
    /// `id child_of ..`
    pub(super) fn id_hierarchy(&self, model: &Model, step: Step<'_>) -> Result<Plan, DomainError> {
        let roots = self.roots(model, step)?;
        self.hierarchy(model, roots, known::parent_field(&model.name), step)
    }

    /// `partner_id child_of ..`
    pub(super) fn many2one_hierarchy(&self, model: &Model, field: &Field, step: Step<'_>) -> Result<Plan, DomainError> {
        let comodel = self.comodel(model, field, step.spans)?;
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
        if !model.has_parent_path() || other_link {
            return self.walk(model, roots, parent, down, Plan::TRUE, step.spans);
        }
        if down {
            return Ok(Plan::UnderPaths { table, roots });
        }
        Ok(within(Source::Ancestors { table, roots }))
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
        let link = link.ok_or_else(|| {
            DomainError::new(format!(
                "{} is no hierarchy: it has no field {parent} that leads to {} itself",
                model.name, model.name
            ))
            .at(spans.operator)
        })?;
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
