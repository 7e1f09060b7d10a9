//! What is true: the tables of the database without us, read before and after each transaction, by id.
//!
//! Nothing here knows triggers or the outbox.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures_util::future::try_join_all;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Statement};

use super::script::ident;

/// A table's column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// As `format_type` writes it.
    pub type_name: String,
    /// Its number: another column of the same name has another.
    pub number: i16,
    /// NOT NULL.
    pub required: bool,
    /// Has a default, is an identity, or is generated.
    pub filled: bool,
    /// Cannot be written.
    pub generated: bool,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Identifies it through renames, within one database.
    pub oid: u32,
    /// Its columns in their order.
    pub columns: Vec<Column>,
}

impl Table {
    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// Tables by name.
pub type Catalogue = BTreeMap<String, Table>;

/// The ordinary tables of the schema public as a session sees them, but for these and ours.
pub async fn catalogue(client: &Client, but: &BTreeSet<String>) -> Result<Catalogue, tokio_postgres::Error> {
    let rows = client
        .query(
            "select c.relname::text, c.oid, a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnum, a.attnotnull,
                    a.atthasdef or a.attidentity <> '' as filled, a.attgenerated <> '' or a.attidentity = 'a' as generated
               from pg_catalog.pg_class c
               left join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
              where c.relnamespace = 'public'::pg_catalog.regnamespace and c.relkind in ('r', 'p')
                and left(c.relname::text, 4) <> 'mcp_'
              order by c.relname, a.attnum",
            &[],
        )
        .await?;
    let mut tables = Catalogue::new();
    for row in rows {
        let name: String = row.get(0);
        if but.contains(&name) {
            continue;
        }
        let table = tables.entry(name).or_insert_with(|| Table {
            oid: row.get(1),
            columns: Vec::new(),
        });
        if let Some(name) = row.get(2) {
            table.columns.push(Column {
                name,
                // Written as in a session that finds it without its schema, whatever path this one has.
                type_name: row.get::<_, String>(3).trim_start_matches("public.").to_owned(),
                number: row.get(4),
                required: row.get(5),
                filled: row.get(6),
                generated: row.get(7),
            });
        }
    }
    Ok(tables)
}

/// A row's values as text; long ones by their digest.
pub type Values = Vec<Option<String>>;

/// A table's rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// Names and types of what is in them.
    pub columns: Vec<(String, String)>,
    /// By id; of a table without one by all values.
    pub by_id: BTreeMap<String, Values>,
}

/// All tables' rows.
pub type Contents = BTreeMap<String, Rows>;

/// Reads a database's tables, past all row level security.
pub struct Reader {
    client: Client,
    statements: HashMap<String, Statement>,
}

/// What is longer is told by its digest.
const LONG: usize = 300;

impl Reader {
    /// `client` is a superuser's.
    pub async fn new(client: Client) -> Self {
        client
            .batch_execute(
                "set search_path = pg_catalog, pg_temp; set datestyle = 'ISO, YMD'; set timezone = 'UTC'; set extra_float_digits = 1;
                 set intervalstyle = 'postgres'; set bytea_output = 'hex'; set row_security = off; set lock_timeout = '3s'; set jit = off;
                 set quote_all_identifiers = off",
            )
            .await
            .unwrap();
        Self {
            client,
            statements: HashMap::new(),
        }
    }

    /// The session itself.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// All rows of all these tables.
    pub async fn contents(&mut self, catalogue: &Catalogue) -> Result<Contents, tokio_postgres::Error> {
        match self.try_contents(catalogue).await {
            // A table was made anew, or a column's type has another collation: "cached plan must not change result type".
            Err(error) if error.code() == Some(&SqlState::FEATURE_NOT_SUPPORTED) => {
                self.statements.clear();
                self.try_contents(catalogue).await
            }
            read => read,
        }
    }

    async fn try_contents(&mut self, catalogue: &Catalogue) -> Result<Contents, tokio_postgres::Error> {
        let mut questions = Vec::new();
        for (name, table) in catalogue {
            let sql = question(name, table);
            if !self.statements.contains_key(&sql) {
                let statement = self.client.prepare(&sql).await?;
                self.statements.insert(sql.clone(), statement);
            }
            questions.push((name, table, self.statements[&sql].clone()));
        }
        let client = &self.client;
        let answers = try_join_all(questions.iter().map(|(.., statement)| client.query(statement, &[])));
        let mut contents = Contents::new();
        for ((name, table, _), rows) in questions.iter().zip(answers.await?) {
            let columns = table.columns.iter().map(|c| (c.name.clone(), c.type_name.clone()));
            let mut read = Rows {
                columns: columns.collect(),
                by_id: BTreeMap::new(),
            };
            for row in rows {
                let values: Values = row.get(1);
                let id = row.get::<_, Option<String>>(0);
                let mut key = id.unwrap_or_else(|| format!("{values:?}"));
                while read.by_id.contains_key(&key) {
                    key.push('+');
                }
                read.by_id.insert(key, values);
            }
            contents.insert((*name).clone(), read);
        }
        Ok(contents)
    }
}

fn question(name: &str, table: &Table) -> String {
    let values: Vec<String> = table
        .columns
        .iter()
        .map(|column| {
            let text = format!("{}::text", ident(&column.name));
            format!(
                "case when octet_length({text}) > {LONG} then left({text}, 20) || '..' || md5({text}) else {text} end"
            )
        })
        .collect();
    let id = if table.column("id").is_some() {
        "id::text"
    } else {
        "null::text"
    };
    format!(
        "select {id}, array[{}]::text[] from public.{}",
        values.join(", "),
        ident(name)
    )
}

/// Whether two values of one type are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sameness {
    /// They are.
    Same,
    /// They are not.
    Different,
    /// Written differently, and equal by the type's own word, or nearly: told or not told, both are right.
    Unclear,
}

/// Compares what [`Reader::contents`] read.
pub fn compare(type_name: &str, before: Option<&str>, after: Option<&str>) -> Sameness {
    let (Some(before), Some(after)) = (before, after) else {
        return if before == after {
            Sameness::Same
        } else {
            Sameness::Different
        };
    };
    if before == after {
        return Sameness::Same;
    }
    let base = type_name.trim_end_matches("[]");
    if ["text", "character varying", "\"char\"", "name", "dom_text", "dom_dom"]
        .iter()
        .any(|text| base == *text || base.starts_with("character varying("))
    {
        return Sameness::Different;
    }
    if (type_name == "numeric" || type_name.starts_with("numeric(")) && normalized(before) == normalized(after) {
        return Sameness::Same;
    }
    if before.len() > LONG || after.len() > LONG || before.contains("..") || after.contains("..") {
        return Sameness::Unclear;
    }
    let parsed = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    let is_equal = normalized(before) == normalized(after)
        || (base == "citext" && before.to_lowercase() == after.to_lowercase())
        || (base == "json" && parsed(before).is_some() && parsed(before) == parsed(after))
        || (base.starts_with("character") && before.trim_end() == after.trim_end());
    if is_equal {
        Sameness::Unclear
    } else {
        Sameness::Different
    }
}

/// Numbers without zeros at the end of a fraction, and spans of time that PostgreSQL calls equal alike.
fn normalized(text: &str) -> String {
    let text = text.replace("30 days", "1 mon").replace("24:00:00", "1 day");
    let mut result = String::with_capacity(text.len());
    let (mut is_string, mut is_escaped) = (false, false);
    let mut number = String::new();
    for character in text.chars().chain(['\0']) {
        if !is_string && (character.is_ascii_digit() || character == '.') {
            number.push(character);
            continue;
        }
        if !number.is_empty() {
            let short = if number.contains('.') {
                number.trim_end_matches('0').trim_end_matches('.')
            } else {
                &number
            };
            if short == "0" && result.ends_with('-') {
                result.pop();
            }
            result.push_str(short);
            number.clear();
        }
        if character == '"' && !is_escaped {
            is_string = !is_string;
        }
        is_escaped = character == '\\' && !is_escaped;
        if character != '\0' {
            result.push(character);
        }
    }
    result
}

/// What a transaction did to a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is there and was not.
    Create,
    /// It was there and is, and these columns differ; these others may be told too.
    Write {
        /// Those that must be told.
        surely: BTreeSet<String>,
        /// Those that may be.
        perhaps: BTreeSet<String>,
    },
    /// It was there and is not.
    Unlink,
}

/// What happened to the records of one table between two readings, by id. `unsure` are columns of which nothing is asked.
pub fn fates(
    before: &Rows,
    after: &Rows,
    watched: &BTreeSet<String>,
    unsure: &BTreeSet<String>,
) -> BTreeMap<String, Fate> {
    let mut fates = BTreeMap::new();
    let ids: BTreeSet<&String> = before.by_id.keys().chain(after.by_id.keys()).collect();
    for id in ids {
        let fate = match (before.by_id.get(id), after.by_id.get(id)) {
            (None, _) => Fate::Create,
            (_, None) => Fate::Unlink,
            (Some(was), Some(is)) if was == is && unsure.is_empty() => continue,
            (Some(was), Some(is)) => {
                let (mut surely, mut perhaps) = (BTreeSet::new(), BTreeSet::new());
                for column in watched {
                    let at = |rows: &Rows| rows.columns.iter().position(|(name, _)| name == column);
                    match (at(before), at(after)) {
                        (Some(old), Some(new)) if !unsure.contains(column) => {
                            match compare(&before.columns[old].1, was[old].as_deref(), is[new].as_deref()) {
                                Sameness::Same => continue,
                                Sameness::Different => surely.insert(column.clone()),
                                Sameness::Unclear => perhaps.insert(column.clone()),
                            };
                        }
                        _ => {
                            perhaps.insert(column.clone());
                        }
                    }
                }
                if surely.is_empty() && perhaps.is_empty() {
                    continue;
                }
                Fate::Write { surely, perhaps }
            }
        };
        fates.insert(id.clone(), fate);
    }
    fates
}

#[test]
fn values_that_are_equal_by_their_types_word_are_neither_asked_for_nor_forbidden() {
    let of = |type_name, before, after| compare(type_name, Some(before), Some(after));
    assert_eq!(of("text", "1.0", "1.00"), Sameness::Different);
    assert_eq!(of("numeric", "1.0", "1.00"), Sameness::Same);
    assert_eq!(of("numeric", "1.0", "1.1"), Sameness::Different);
    assert_eq!(of("jsonb", "{\"a\": 1.0}", "{\"a\": 1.00}"), Sameness::Unclear);
    assert_eq!(
        of("jsonb", "{\"a\": \"1.0\"}", "{\"a\": \"1.00\"}"),
        Sameness::Different
    );
    assert_eq!(
        of("jsonb", "12345678901234567890", "12345678901234567891"),
        Sameness::Different
    );
    assert_eq!(of("interval", "1 day", "24:00:00"), Sameness::Unclear);
    assert_eq!(of("numeric[]", "{1.0}", "{1}"), Sameness::Unclear);
    assert_eq!(compare("text", None, Some("")), Sameness::Different);
}
