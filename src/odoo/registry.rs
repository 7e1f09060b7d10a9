//! The registry: an Odoo database's models and fields as its own tables declare them, checked against the catalogue.
//!
//! The invariant: a column or a relation table is reachable here only if a *declared stored field* announces it **and** the
//! catalogue has it. `res_users.password`, TOTP secrets and API keys are columns that no field announces; they do not exist
//! for this program. Declared fields that hold secrets carry [`Field::secret`] and are refused by whoever reads values.
//!
//! Pure data and look-ups: [`crate::pg::registry`] fills it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::known::{self, Digits, FieldDomain};
use super::nearest::nearest;
use super::pulled::Pulled;

/// How often a dependency that is not stored itself is replaced by its own, for hints: real chains are shorter, and circles end.
const DEPENDENCIES_OF_DEPENDENCIES: u8 = 4;

/// All models of one database, and the facts about the database that change what a domain means.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    facts: Facts,
    pulled: Option<Pulled>,
    models: HashMap<String, Model>,
}

/// Facts about the database as a whole.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Odoo's major version, from the version of module `base`: 16 to 19, or a newer one (see [`Facts::rules`]).
    pub version: u16,
    /// Whether Odoo's schema has an `unaccent(text)`, which Odoo then uses in `ilike`.
    pub unaccent: bool,
    /// Whether it has one that must not be called from here, because somebody made it who could act for this session by it.
    pub foreign_unaccent: bool,
    /// Codes of the active languages.
    pub languages: BTreeSet<String>,
    /// First day of the week (1 = Monday .. 7 = Sunday) by language code.
    pub week_starts: BTreeMap<String, i32>,
    /// Technical names of the installed modules.
    pub modules: BTreeSet<String>,
    /// The topmost company above each company (branches, from 17 on).
    pub company_roots: BTreeMap<i32, i32>,
    /// Decimals by the name of the `decimal.precision` record.
    pub precisions: BTreeMap<String, u32>,
}

impl Facts {
    /// The version whose rules are followed: the database's own, or the newest known where that is newer.
    pub fn rules(&self) -> u16 {
        self.version.min(known::NEWEST)
    }

    /// True for a version newer than any that is known here: what only a shipped list tells is unknown then.
    pub fn is_untried(&self) -> bool {
        self.version > known::NEWEST
    }
}

/// One model.
#[derive(Debug, Clone)]
pub struct Model {
    /// Technical name: `sale.order`.
    pub name: String,
    /// Where its records live.
    pub table: Table,
    /// True for wizards, whose records are swept away.
    pub transient: bool,
    /// `_inherits` parents.
    pub inherits: Vec<Inherit>,
    fields: BTreeMap<String, Field>,
}

/// Where a model's records live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Table {
    /// A plain table in schema `public` with an `id`.
    Plain(String),
    /// A view: reports. Readable, but it cannot have triggers.
    View(String),
    /// A table that takes part in PostgreSQL inheritance: a row of the child shows in the parent too.
    Inheritance(String),
    /// A table whose row level security is forced on its owner: some of its rows cannot be read, and nothing tells which.
    Hidden(String),
    /// No table: an abstract model, or one whose module is gone.
    None,
}

/// A parent whose fields appear on the model (`res.users` -> `res.partner`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inherit {
    /// The parent model.
    pub parent: String,
    /// The many2one that leads to the parent's record.
    pub link: String,
}

/// Odoo's field types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the variants are Odoo's own names")]
pub enum FieldType {
    Binary,
    Boolean,
    Char,
    Date,
    Datetime,
    Float,
    Html,
    Integer,
    Json,
    Many2many,
    Many2one,
    Many2oneReference,
    Monetary,
    One2many,
    Properties,
    PropertiesDefinition,
    Reference,
    Selection,
    Text,
    /// A type this program does not know; nothing can be done with such a field.
    Other,
}

/// One field.
#[derive(Debug, Clone)]
pub struct Field {
    /// Technical name.
    pub name: String,
    /// Its type.
    pub kind: FieldType,
    /// `store`: also true for x2many and attachment-backed binaries, which have no column.
    pub stored: bool,
    /// Its column, where the catalogue has one.
    pub column: Option<Column>,
    /// The model it leads to.
    pub relation: Option<String>,
    /// one2many: the many2one (or integer) of the related model that leads back.
    pub inverse: Option<String>,
    /// many2many: where the pairs live, where the catalogue has it.
    pub link_table: Option<LinkTable>,
    /// `related`: the path it repeats. Also set for fields inherited through `_inherits`.
    pub related: Option<Vec<String>>,
    /// The column is jsonb by language.
    pub translate: bool,
    /// The value depends on the company: jsonb by company from 18, `ir_property` before.
    pub company_dependent: bool,
    /// Where the value is rows of `ir_property` (company-dependent fields up to 17): the field's id there.
    pub property: Option<i32>,
    /// A value must be set.
    pub required: bool,
    /// char: values are cut to this many characters.
    pub size: Option<u32>,
    /// html: Odoo cleans values, and what they are compared with.
    pub sanitized: bool,
    /// Defined by a user (`state = 'manual'`), so that its declaration is in the database and nowhere else.
    pub manual: bool,
    /// The domain of the declaration, known for manual fields only.
    pub domain: Option<String>,
    /// selection: the keys in order.
    pub selection: Vec<String>,
    /// Holds a secret: never to be read, matched or sent.
    pub secret: bool,
    /// Defaults of a company-dependent field in the order Odoo prefers them: (company or all, value).
    pub defaults: Vec<(Option<i32>, serde_json::Value)>,
}

/// A column as the catalogue knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Column name; always the field's.
    pub name: String,
    /// Type as `format_type` prints it: `character varying`, `timestamp without time zone`, `jsonb`.
    pub type_name: String,
}

/// A many2many's table of pairs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkTable {
    /// The table.
    pub table: String,
    /// The column that holds the ids of the model that declares the field.
    pub own: String,
    /// The column that holds the ids of the related model.
    pub other: String,
}

impl FieldType {
    /// The type of that name in `ir_model_fields.ttype`.
    pub fn parse(ttype: &str) -> Self {
        match ttype {
            "binary" => Self::Binary,
            "boolean" => Self::Boolean,
            "char" => Self::Char,
            "date" => Self::Date,
            "datetime" => Self::Datetime,
            "float" => Self::Float,
            "html" => Self::Html,
            "integer" => Self::Integer,
            "json" => Self::Json,
            "many2many" => Self::Many2many,
            "many2one" => Self::Many2one,
            "many2one_reference" => Self::Many2oneReference,
            "monetary" => Self::Monetary,
            "one2many" => Self::One2many,
            "properties" => Self::Properties,
            "properties_definition" => Self::PropertiesDefinition,
            "reference" => Self::Reference,
            "selection" => Self::Selection,
            "text" => Self::Text,
            _ => Self::Other,
        }
    }

    /// Odoo's name of the type.
    pub fn name(self) -> &'static str {
        match self {
            Self::Binary => "binary",
            Self::Boolean => "boolean",
            Self::Char => "char",
            Self::Date => "date",
            Self::Datetime => "datetime",
            Self::Float => "float",
            Self::Html => "html",
            Self::Integer => "integer",
            Self::Json => "json",
            Self::Many2many => "many2many",
            Self::Many2one => "many2one",
            Self::Many2oneReference => "many2one_reference",
            Self::Monetary => "monetary",
            Self::One2many => "one2many",
            Self::Properties => "properties",
            Self::PropertiesDefinition => "properties_definition",
            Self::Reference => "reference",
            Self::Selection => "selection",
            Self::Text => "text",
            Self::Other => "unknown",
        }
    }

    /// many2one, one2many or many2many: a path may go through it.
    pub fn is_relational(self) -> bool {
        matches!(self, Self::Many2one | Self::One2many | Self::Many2many)
    }

    /// char, text or html: Odoo takes an empty string and no value as the same.
    pub fn is_text(self) -> bool {
        matches!(self, Self::Char | Self::Text | Self::Html)
    }

    /// integer, float or monetary: Odoo takes zero and no value as the same. `id` is none of them.
    pub fn is_number(self) -> bool {
        matches!(self, Self::Integer | Self::Float | Self::Monetary)
    }
}

impl Table {
    /// The table to read records from, if there is one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Plain(name) | Self::View(name) | Self::Inheritance(name) => Some(name),
            Self::Hidden(_) | Self::None => None,
        }
    }
}

impl Model {
    /// A model without fields.
    pub fn new(name: impl Into<String>, table: Table) -> Self {
        Self {
            name: name.into(),
            table,
            transient: false,
            inherits: Vec::new(),
            fields: BTreeMap::new(),
        }
    }

    /// Adds or replaces a field.
    pub fn insert(&mut self, field: Field) {
        self.fields.insert(field.name.clone(), field);
    }

    /// The field of that name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.get(name)
    }

    /// The field of that name, to complete it while loading.
    pub fn field_mut(&mut self, name: &str) -> Option<&mut Field> {
        self.fields.get_mut(name)
    }

    /// All fields by name.
    pub fn fields(&self) -> impl Iterator<Item = &Field> {
        self.fields.values()
    }

    /// The `_inherits` parent a field comes from, if it is inherited: a non-stored field whose `related` is
    /// `link.same_name`.
    pub fn inherited_from(&self, field: &Field) -> Option<&Inherit> {
        if field.stored {
            return None;
        }
        match field.related.as_deref() {
            Some([link, name]) if *name == field.name => self.inherits.iter().find(|parent| parent.link == *link),
            _ => None,
        }
    }

    /// True if records know the path of their ancestors (`_parent_store`): Odoo then searches hierarchies by it.
    pub fn has_parent_path(&self) -> bool {
        self.field("parent_path")
            .and_then(|field| field.column.as_ref())
            .is_some_and(|column| matches!(column.type_name.as_str(), "character varying" | "text"))
    }
}

impl Field {
    /// A field without anything but its name and type.
    pub fn new(name: impl Into<String>, kind: FieldType) -> Self {
        Self {
            name: name.into(),
            kind,
            stored: true,
            column: None,
            relation: None,
            inverse: None,
            link_table: None,
            related: None,
            translate: false,
            company_dependent: false,
            property: None,
            required: false,
            size: None,
            sanitized: true,
            manual: false,
            domain: None,
            selection: Vec::new(),
            secret: false,
            defaults: Vec::new(),
        }
    }

    /// The default a company sees where nothing is stored (company-dependent fields from 18 on).
    pub fn default_for(&self, company: i32) -> Option<&serde_json::Value> {
        self.defaults
            .iter()
            .find(|(only, _)| only.is_none_or(|only| only == company))
            .map(|(_, value)| value)
            .filter(|value| !value.is_null() && **value != serde_json::Value::Bool(false))
    }
}

impl Registry {
    /// An empty registry of a database with these facts.
    pub fn new(facts: Facts) -> Self {
        Self {
            facts,
            pulled: None,
            models: HashMap::new(),
        }
    }

    /// What is known about the database as a whole.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// What Odoo itself told (`registry pull`), which goes before the shipped list.
    pub fn set_pulled(&mut self, pulled: Pulled) {
        self.pulled = Some(pulled);
    }

    /// The domain in the Python declaration of an x2many field. What is known is never replaced by an answer that does not tell.
    pub fn x2many_domain(&self, model: &str, field: &str, relation: &str) -> FieldDomain {
        let pulled = self
            .pulled
            .as_ref()
            .and_then(|pulled| pulled.x2many_domain(model, field))
            .filter(|pulled| *pulled != FieldDomain::Unknown);
        pulled.unwrap_or_else(|| known::x2many_domain(self.facts.version, model, field, relation))
    }

    /// Whether an x2many field lists archived records too, whoever asks.
    pub fn lists_archived(&self, model: &str, field: &str) -> bool {
        let pulled = self.pulled.as_ref().and_then(|pulled| pulled.active_test(model, field));
        pulled.or_else(|| known::active_test(self.facts.version, model, field)) == Some(false)
    }

    /// How a stored float field rounds what it is compared with.
    pub fn digits(&self, model: &str, field: &str) -> Option<Digits> {
        // A precision known by name follows the database; a pulled number is what it was on that day.
        known::digits(self.facts.version, model, field).or_else(|| self.pulled.as_ref()?.digits(model, field))
    }

    /// The same, to correct what the database says of itself.
    pub fn facts_mut(&mut self) -> &mut Facts {
        &mut self.facts
    }

    /// Adds or replaces a model.
    pub fn insert(&mut self, model: Model) {
        self.models.insert(model.name.clone(), model);
    }

    /// The model of that name.
    pub fn model(&self, name: &str) -> Option<&Model> {
        self.models.get(name)
    }

    /// The model of that name, to complete it while loading.
    pub fn model_mut(&mut self, name: &str) -> Option<&mut Model> {
        self.models.get_mut(name)
    }

    /// All models, in no particular order.
    pub fn models(&self) -> impl Iterator<Item = &Model> {
        self.models.values()
    }

    /// The model whose name resembles `name` most, for hints.
    pub fn nearest_model(&self, name: &str) -> Option<&str> {
        nearest(name, self.models.keys().map(String::as_str))
    }

    /// The stored fields a non-stored field of `model` is computed from, as far as they are known; empty if they are not.
    pub fn stored_dependencies(&self, model: &str, field: &str) -> Vec<String> {
        let mut found = Vec::new();
        self.add_stored_dependencies(model, field, "", 0, &mut found);
        found
    }

    fn add_stored_dependencies(&self, model: &str, field: &str, prefix: &str, depth: u8, found: &mut Vec<String>) {
        for path in self.dependencies(model, field) {
            match self.end_of(model, &path) {
                Some((of, end)) if !end.stored => {
                    let before = path.strip_suffix(end.name.as_str()).unwrap_or_default();
                    if depth < DEPENDENCIES_OF_DEPENDENCIES {
                        self.add_stored_dependencies(
                            &of.name,
                            &end.name,
                            &format!("{prefix}{before}"),
                            depth + 1,
                            found,
                        );
                    }
                }
                _ => {
                    let whole = format!("{prefix}{path}");
                    if !found.contains(&whole) {
                        found.push(whole);
                    }
                }
            }
        }
    }

    /// What a field says itself that it is computed from, stored or not.
    fn dependencies(&self, model: &str, field: &str) -> Vec<String> {
        let pulled = self.pulled.as_ref().and_then(|pulled| pulled.depends(model, field));
        if let Some(paths) = pulled.filter(|paths| !paths.is_empty()) {
            return paths.to_vec();
        }
        let known = known::computed_from(self.facts.version, model, field);
        if !known.is_empty() {
            return known.into_iter().map(str::to_owned).collect();
        }
        let Some(of) = self.model(model) else {
            return Vec::new();
        };
        if let Some(path) = of.field(field).and_then(|field| field.related.as_ref()) {
            return vec![path.join(".")];
        }
        // Odoo's default for `_rec_name`.
        let names = ["name", "x_name"].into_iter().filter(|name| of.field(name).is_some());
        names
            .take(usize::from(field == "display_name"))
            .map(str::to_owned)
            .collect()
    }

    /// The field at the end of a path, and whose it is.
    fn end_of(&self, model: &str, path: &str) -> Option<(&Model, &Field)> {
        let mut of = self.model(model)?;
        let (through, last) = path.rsplit_once('.').unwrap_or(("", path));
        for name in through.split('.').filter(|name| !name.is_empty()) {
            of = self.model(of.field(name)?.relation.as_deref()?)?;
        }
        Some((of, of.field(last)?))
    }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
