//! Loads the [`Registry`] from a database.
//!
//! Where odoo-eventd is installed the answers come from its functions, with their owner's rights; elsewhere the same query
//! texts, cut out of `sql/functions/registry.sql`, run with the caller's own (see the top of that file).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use tokio_postgres::{Client, Row};

use super::read_only::Ending;
use crate::error::{Error, Result};
use crate::odoo::known;
use crate::odoo::pulled::Pulled;
use crate::odoo::registry::{Column, Facts, Field, FieldType, Inherit, LinkTable, Model, Registry, Table};

const SQL: &str = include_str!("../../sql/functions/registry.sql");

/// Columns by table, each with its type.
type Catalogue = HashMap<String, HashMap<String, String>>;

/// Reads the registry of the database behind `client`.
///
/// # Errors
/// * A database error: the connection broke, or the caller may not read Odoo's tables and is not the listener; SQLSTATE 55P03 while
///   an upgrade of Odoo is altering one of its tables of models and fields.
/// * [`Error::unfit`] if the database is not an Odoo 16 to 19 database.
pub async fn load(client: &Client) -> Result<Registry> {
    let source = Source::detect(client).await?;
    let begin = match source {
        // An installation of before has no such function.
        Source::Functions => {
            "begin read only;
             do $$ begin
               if pg_catalog.to_regprocedure('odoo_eventd.hold_registry()') is not null then
                 perform odoo_eventd.hold_registry();
               end if;
             end $$"
        }
        Source::Texts => {
            Source::require_plain_tables(client).await?;
            // The texts name no schema of what the catalogue has, and the session's path may be anybody's.
            "begin read only; set local search_path = pg_catalog, pg_temp; set local quote_all_identifiers = off"
        }
    };
    let failed = |e| Error::database("begin to read Odoo's registry", e);
    let ending = Ending::of(client);
    let registry = match client.batch_execute(begin).await.map_err(failed) {
        Ok(()) => Box::pin(read(client, source)).await,
        Err(error) => Err(error),
    };
    ending.end().await.map_err(failed)?;
    registry
}

async fn read(client: &Client, source: Source) -> Result<Registry> {
    // Pipelined: the queries do not depend on each other, and one load is one round trip.
    let (facts, models, columns, fields, defaults, selections, secrets) = tokio::try_join!(
        source.rows(client, "registry_facts"),
        source.rows(client, "registry_models"),
        source.rows(client, "registry_columns"),
        source.rows(client, "registry_fields"),
        source.rows(client, "registry_defaults"),
        source.rows(client, "registry_selections"),
        source.secrets(client),
    )?;
    let mut registry = Registry::new(read_facts(&facts)?);
    let mut catalogue = Catalogue::new();
    for row in &columns {
        catalogue
            .entry(row.get("table_name"))
            .or_default()
            .insert(row.get("column_name"), row.get("type_name"));
    }
    for row in &models {
        registry.insert(read_model(row));
    }
    let secrets: HashSet<(String, String)> = secrets.iter().map(|row| (row.get("model"), row.get("field"))).collect();
    for row in &fields {
        let model: &str = row.get("model");
        let Some(model) = registry.model_mut(model) else {
            continue;
        };
        let table = model.table.name().and_then(|table| catalogue.get(table));
        let field = read_field(row, &model.name, table, &catalogue, &secrets);
        model.insert(field);
    }
    for row in &source.inherits(client, &catalogue).await? {
        if let Some(model) = registry.model_mut(row.get("model")) {
            model.inherits.push(Inherit {
                parent: row.get("parent"),
                link: row.get("link_field"),
            });
        }
    }
    for row in &defaults {
        let field = registry
            .model_mut(row.get("model"))
            .and_then(|model| model.field_mut(row.get("field")));
        if let Some(field) = field {
            field.defaults.push((row.get("company_id"), row.get("value")));
        }
    }
    if catalogue.contains_key("ir_property") && registry.facts().version < 18 {
        let version = registry.facts().version;
        for row in &source.rows(client, "registry_properties").await? {
            // Odoo's code computes this one, and only looks at such rows on the way: `property_product_pricelist`.
            if !known::computed_from(version, row.get("model"), row.get("field")).is_empty() {
                continue;
            }
            let field = registry
                .model_mut(row.get("model"))
                .and_then(|model| model.field_mut(row.get("field")));
            if let Some(field) = field {
                field.company_dependent = true;
                field.property = Some(row.get("field_id"));
            }
        }
    }
    for row in &selections {
        let field = registry
            .model_mut(row.get("model"))
            .and_then(|model| model.field_mut(row.get("field")));
        if let Some(field) = field {
            field.selection.push(row.get("key"));
        }
    }
    if source == Source::Functions
        && let Some(pulled) = load_pulled(client).await?
    {
        registry.set_pulled(pulled);
    }
    Ok(registry)
}

/// A text that differs after any change of what [`load`] would answer; cheap enough for every few seconds.
///
/// # Errors
/// Database errors; SQLSTATE 55P03 when an upgrade of Odoo has been holding one of its tables for longer than `lock_wait`.
pub async fn stamp(client: &Client, lock_wait: Duration) -> Result<String> {
    let row = client
        .query_one(
            "select odoo_eventd.registry_stamp() from (select pg_catalog.set_config('lock_timeout', $1, true) offset 0) first",
            &[&format!("{}ms", lock_wait.as_millis())],
        )
        .await
        .map_err(|e| Error::database("look for changes of Odoo's fields", e))?;
    Ok(row.get(0))
}

/// What the last `registry pull` brought; none before the first, or where the installation is older than that command.
async fn load_pulled(client: &Client) -> Result<Option<Pulled>> {
    let failed = |e| Error::database("read what Odoo told about its fields", e);
    let known = "select pg_catalog.to_regprocedure('odoo_eventd.registry_pulled()') is not null";
    if !client.query_one(known, &[]).await.map_err(failed)?.get::<_, bool>(0) {
        return Ok(None);
    }
    let row = client
        .query_opt("select answer from odoo_eventd.registry_pulled()", &[])
        .await
        .map_err(failed)?;
    row.map(|row| {
        serde_json::from_value(row.get(0))
            .map_err(|e| Error::unfit("what Odoo told about its fields cannot be read").with_source(e))
            .map_err(|e| e.with_hint("run `odoo-eventd registry pull` again"))
    })
    .transpose()
}

/// Keeps what Odoo told, in place of the last answer.
///
/// # Errors
/// A database error; the caller must be the listener or the owner of an installation.
pub async fn store_pulled(client: &Client, odoo_url: &str, pulled: &Pulled) -> Result<()> {
    let answer =
        serde_json::to_value(pulled).map_err(|e| Error::other("cannot write what Odoo told").with_source(e))?;
    client
        .execute("select odoo_eventd.store_registry_pull($1, $2)", &[&odoo_url, &answer])
        .await
        .map(|_| ())
        .map_err(|e| {
            Error::database("store what Odoo told about its fields", e).with_hint("run `odoo-eventd install` first")
        })
}

/// Where the answers come from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// The installed functions.
    Functions,
    /// The query texts, with the caller's rights.
    Texts,
}

impl Source {
    async fn detect(client: &Client) -> Result<Self> {
        let installed = "select coalesce(pg_catalog.has_function_privilege(p.oid, 'execute'), false),
                                pg_catalog.to_regclass('public.ir_model_fields') is not null,
                                p.oid is null or p.prosecdef and p.proowner operator(pg_catalog.=) (
                                  select m.relowner from pg_catalog.pg_class m
                                   where m.oid operator(pg_catalog.=) pg_catalog.to_regclass('public.ir_model'))
                           from (select) one
                           left join pg_catalog.pg_namespace n on n.nspname operator(pg_catalog.=) 'odoo_eventd'
                           left join pg_catalog.pg_proc p
                             on p.pronamespace operator(pg_catalog.=) n.oid and p.proname operator(pg_catalog.=) 'registry_facts'
                            and p.pronargs operator(pg_catalog.=) 0";
        let row = client
            .query_one(installed, &[])
            .await
            .map_err(|e| Error::database("look for Odoo's tables", e))?;
        if !row.get::<_, bool>(1) {
            return Err(
                Error::unfit("this database has no table ir_model_fields: it is not an Odoo database")
                    .with_hint("name an Odoo database in --database-url"),
            );
        }
        if !row.get::<_, Option<bool>>(2).unwrap_or_default() {
            return Err(
                Error::unfit("function odoo_eventd.registry_facts() is not what `odoo-eventd install` makes")
                    .with_hint(
                        "find out who made the schema odoo_eventd; drop or rename it, or run `odoo-eventd install`",
                    ),
            );
        }
        Ok(if row.get(0) { Self::Functions } else { Self::Texts })
    }

    /// With the caller's own rights only what brings no code of anybody else's along is read: tables of the role that has Odoo's, whose
    /// columns are of types that only a superuser makes, for a row that is turned into JSON calls the casts of its columns' types.
    async fn require_plain_tables(client: &Client) -> Result<()> {
        let foreign = "select c.relname::pg_catalog.text
              from pg_catalog.pg_class c
              join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) c.relnamespace
             where n.nspname operator(pg_catalog.=) 'public' and c.relname operator(pg_catalog.=) any (array[
                     'ir_model', 'ir_model_fields', 'ir_model_inherit', 'ir_model_fields_selection', 'ir_default', 'ir_property',
                     'ir_module_module', 'res_lang', 'res_company', 'decimal_precision']::pg_catalog.name[])
               and (c.relkind operator(pg_catalog.<>) 'r'
                    or c.relowner operator(pg_catalog.<>) (select m.relowner from pg_catalog.pg_class m
                         where m.oid operator(pg_catalog.=) pg_catalog.to_regclass('public.ir_model'))
                    or exists (select from pg_catalog.pg_attribute a
                                 join pg_catalog.pg_type t on t.oid operator(pg_catalog.=) a.atttypid
                                 join pg_catalog.pg_roles r on r.oid operator(pg_catalog.=) t.typowner
                                where a.attrelid operator(pg_catalog.=) c.oid and a.attnum operator(pg_catalog.>) 0
                                  and not a.attisdropped and not r.rolsuper))
             limit 1";
        let found = client
            .query_opt(foreign, &[])
            .await
            .map_err(|e| Error::database("look at Odoo's tables", e))?;
        match found {
            None => Ok(()),
            Some(row) => Err(Error::unfit(format!(
                "\"public.{}\" is not a table as Odoo makes it: reading it could run somebody else's code with your rights",
                row.get::<_, &str>(0)
            ))
            .with_hint("run `odoo-eventd install` as the owner of Odoo's tables: then it is read with that role's rights")),
        }
    }

    async fn rows(self, client: &Client, function: &str) -> Result<Vec<Row>> {
        let sql = match self {
            Self::Functions => format!("select * from odoo_eventd.{function}()"),
            Self::Texts => format!("select * from ({}) answer {}", query_text(function), columns(function)),
        };
        client
            .query(&sql, &[])
            .await
            .map_err(|e| Error::database(format!("read Odoo's registry ({function})"), e))
    }

    /// The `_inherits` parents. The functions know where they are told; the texts are chosen here: 16 has no table of them.
    async fn inherits(self, client: &Client, catalogue: &Catalogue) -> Result<Vec<Row>> {
        match self {
            Self::Texts if !catalogue.contains_key("ir_model_inherit") => {
                self.rows(client, "registry_inherits_by_fields").await
            }
            _ => self.rows(client, "registry_inherits").await,
        }
    }

    async fn secrets(self, client: &Client) -> Result<Vec<Row>> {
        match self {
            Self::Functions => self.rows(client, "registry_secret_fields").await,
            Self::Texts => self.rows(client, "builtin_secret_fields").await,
        }
    }
}

/// The text between the two `$query$` marks after `function` in the SQL file.
fn query_text(function: &str) -> &'static str {
    SQL.split_once(&format!("function odoo_eventd.{function}()"))
        .and_then(|(_, after)| after.split_once("$query$"))
        .and_then(|(_, after)| after.split_once("$query$"))
        .map(|(query, _)| query)
        .expect("the file defines every function that is loaded, with its query between marks")
}

/// The function's declared column names, as a column alias list: the query texts need not repeat them.
fn columns(function: &str) -> String {
    let declared = SQL
        .split_once(&format!("function odoo_eventd.{function}()\nreturns table ("))
        .and_then(|(_, after)| after.split_once(')'))
        .map(|(columns, _)| columns)
        .expect("every function of the file declares its columns");
    let names: Vec<&str> = declared
        .split(',')
        .filter_map(|column| column.split_whitespace().next())
        .collect();
    format!("({})", names.join(", "))
}

fn read_facts(rows: &[Row]) -> Result<Facts> {
    let row = rows
        .first()
        .ok_or_else(|| Error::unfit("Odoo's registry gave no answer"))?;
    let version: Option<String> = row.get("base_version");
    let major = version
        .as_deref()
        .and_then(|version| version.split('.').next()?.parse().ok());
    let Some(version) = major.filter(|version| *version >= known::OLDEST) else {
        return Err(Error::unfit(format!(
            "this is not a database of Odoo {} or later: module base has version {}",
            known::OLDEST,
            version.as_deref().unwrap_or("none")
        )));
    };
    let precisions: BTreeMap<String, Option<u32>> = from_json(row.get("precisions"));
    let week_starts: BTreeMap<String, Option<String>> = from_json(row.get("week_starts"));
    let company_roots: BTreeMap<String, String> = from_json(row.get("company_roots"));
    Ok(Facts {
        version,
        unaccent: row.get::<_, Option<bool>>("unaccent") == Some(true),
        foreign_unaccent: row.get::<_, Option<bool>>("unaccent").is_none(),
        languages: row.get::<_, Vec<String>>("languages").into_iter().collect(),
        modules: row.get::<_, Vec<String>>("modules").into_iter().collect(),
        company_roots: company_roots
            .into_iter()
            .filter_map(|(company, root)| Some((company.parse().ok()?, root.parse().ok()?)))
            .collect(),
        precisions: precisions
            .into_iter()
            .filter_map(|(name, digits)| Some((name, digits?)))
            .collect(),
        week_starts: week_starts
            .into_iter()
            .filter_map(|(lang, day)| Some((lang, day?.parse().ok()?)))
            .collect(),
    })
}

/// What a fact says, or nothing where its shape is not the expected one.
fn from_json<T: serde::de::DeserializeOwned + Default>(value: serde_json::Value) -> T {
    serde_json::from_value(value).unwrap_or_default()
}

fn read_model(row: &Row) -> Model {
    let table: String = row.get("table_name");
    let relkind: Option<&str> = row.get("relkind");
    let has_id: bool = row.get("has_id");
    let table = match relkind {
        Some("r" | "p") if row.get("is_partial") => Table::Inheritance(table),
        Some("r" | "p") if has_id => Table::Plain(table),
        Some("v" | "m") if has_id => Table::View(table),
        Some("hidden") => Table::Hidden(table),
        _ => Table::None,
    };
    // An abstract model may share its name with a left-over table; from 19 on Odoo says which ones are abstract.
    let table = if row.get::<_, Option<bool>>("abstract") == Some(true) {
        Table::None
    } else {
        table
    };
    let mut model = Model::new(row.get::<_, String>("model"), table);
    model.transient = row.get("transient");
    model
}

fn read_field(
    row: &Row,
    model: &str,
    table: Option<&HashMap<String, String>>,
    catalogue: &Catalogue,
    secrets: &HashSet<(String, String)>,
) -> Field {
    let name: String = row.get("name");
    let mut field = Field::new(name, FieldType::parse(row.get("ttype")));
    field.stored = row.get("stored");
    if field.stored {
        field.column = table
            .and_then(|columns| columns.get(&field.name))
            .map(|type_name| Column {
                name: field.name.clone(),
                type_name: type_name.clone(),
            });
        field.link_table = read_link_table(row, catalogue);
    }
    field.relation = row.get("relation");
    field.inverse = row.get("relation_field");
    field.related = row
        .get::<_, Option<&str>>("related")
        .filter(|path| !path.is_empty())
        .map(|path| path.split('.').map(str::to_owned).collect());
    field.translate = row.get("translate");
    field.company_dependent = row.get("company_dependent");
    field.required = row.get("required");
    field.size = row
        .get::<_, Option<i32>>("size")
        .and_then(|size| u32::try_from(size).ok())
        .filter(|size| *size > 0);
    field.sanitized = row.get("sanitized");
    field.manual = row.get::<_, Option<&str>>("state") == Some("manual");
    field.domain = row.get("domain");
    let is_secret = |model: &str| secrets.contains(&(model.to_owned(), field.name.clone()));
    field.secret = is_secret(model) || is_secret("*");
    field
}

fn read_link_table(row: &Row, catalogue: &Catalogue) -> Option<LinkTable> {
    let link = LinkTable {
        table: row.get::<_, Option<String>>("relation_table")?,
        own: row.get::<_, Option<String>>("column1")?,
        other: row.get::<_, Option<String>>("column2")?,
    };
    let columns = catalogue.get(&link.table)?;
    // Ids: the type of somebody else could bring a cast of his that a comparison with an id would call.
    let is_id = |name: &str| {
        matches!(
            columns.get(name).map(String::as_str),
            Some("integer" | "bigint" | "smallint")
        )
    };
    (is_id(&link.own) && is_id(&link.other)).then_some(link)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_query_is_found_in_the_file_with_its_columns() {
        let functions = [
            "registry_facts",
            "registry_models",
            "registry_columns",
            "registry_fields",
            "registry_inherits",
            "registry_inherits_by_fields",
            "registry_defaults",
            "registry_selections",
            "registry_properties",
            "builtin_secret_fields",
        ];
        for function in functions {
            let text = query_text(function);
            assert!(text.contains("select") || text.contains("values"), "{function}");
            assert!(
                !text.contains("odoo_eventd."),
                "{function} must run where nothing is installed"
            );
            assert!(columns(function).len() > 2, "{function}");
        }
    }
}
