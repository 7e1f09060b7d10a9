//! Install, upgrade and uninstall: which SQL of `sql/` has to run, in which order, and running it.
//!
//! The plan is a list of steps, the same that `odoo-eventd plan` prints: what is shown is what is done. Everything runs in one
//! transaction that first takes an advisory lock, so twenty installs at once are one install and nineteen that find it done.

use tokio_postgres::{Client, Transaction};

use super::locks::{self, LOCK_INSTALLATION};
use crate::{Error, Result};

/// Names and texts, in the order in which they are applied: `NNNNNN_name` and what `sql/install.sql` lists (`sql/embed.rs`). The number
/// is the schema version that the migration makes. Immutable once released.
const MIGRATIONS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/migrations.rs"));

/// Applied by every install, in this order.
const FUNCTIONS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/functions.rs"));

const SESSION: &str = include_str!("../../sql/session.sql");
const PREMISES: &str = include_str!("../../sql/premises.sql");
const ROLES: &str = include_str!("../../sql/roles.sql");
const UNINSTALL: &str = include_str!("../../sql/uninstall.sql");
const PURGE: &str = include_str!("../../sql/purge.sql");

/// Names of the roles to make; see `sql/roles.sql`.
#[derive(Debug, Clone)]
pub struct Roles {
    /// What the service logs in as.
    pub listener: String,
    /// What those who install become members of.
    pub installer: String,
}

/// One piece of SQL and what it is for.
#[derive(Debug, Clone)]
pub struct Step {
    /// A line for people.
    pub title: String,
    /// Complete statements.
    pub sql: String,
}

/// What is installed in a database now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// The newest migration that was applied; 0 = none.
    pub version: i32,
    /// The role that owns Odoo's tables.
    pub owner: String,
    /// Whether the functions are there: false between `uninstall` and the next `install`.
    pub working: bool,
}

/// Looks at what is installed.
///
/// # Errors
/// [`Error::unfit`] if this is not an Odoo database.
pub async fn installed(client: &Client) -> Result<Installed> {
    // Every name with its schema: this is asked before anything is known of the database, and of the session's path.
    let row = client
        .query_one(
            "select (select pg_catalog.pg_get_userbyid(m.relowner)::pg_catalog.text), f.relname is not null, v.relname is not null,
                    exists (select from pg_catalog.pg_proc p where p.pronamespace operator(pg_catalog.=) n.oid
                                                               and p.proname operator(pg_catalog.=) 'assert_listener'),
                    n.nspowner operator(pg_catalog.<>) m.relowner,
                    v.relowner operator(pg_catalog.=) m.relowner and v.relkind operator(pg_catalog.=) 'r' and exists (
                      select from pg_catalog.pg_attribute a
                       where a.attrelid operator(pg_catalog.=) v.oid and a.attname operator(pg_catalog.=) 'version'
                         and a.atttypid operator(pg_catalog.=) 'integer'::pg_catalog.regtype and not a.attisdropped),
                    pg_catalog.pg_get_userbyid(n.nspowner)::pg_catalog.text
               from (select) one
               left join pg_catalog.pg_class m
                 on m.oid operator(pg_catalog.=) pg_catalog.to_regclass('public.ir_model') and m.relkind operator(pg_catalog.=) 'r'
               left join pg_catalog.pg_class f
                 on f.oid operator(pg_catalog.=) pg_catalog.to_regclass('public.ir_model_fields')
                and f.relkind operator(pg_catalog.=) 'r' and f.relowner operator(pg_catalog.=) m.relowner
               left join pg_catalog.pg_namespace n on n.nspname operator(pg_catalog.=) 'odoo_eventd'
               left join pg_catalog.pg_class v
                 on v.relnamespace operator(pg_catalog.=) n.oid and v.relname operator(pg_catalog.=) 'schema_migration'",
            &[],
        )
        .await
        .map_err(|e| Error::database("look at what is installed", e))?;
    let (Some(owner), true) = (row.get::<_, Option<String>>(0), row.get::<_, bool>(1)) else {
        return Err(
            Error::unfit("this is not an Odoo database: it has no tables ir_model and ir_model_fields")
                .with_hint("name Odoo's own database in --database-url; its base module must be installed"),
        );
    };
    let mut version = 0;
    if row.get::<_, bool>(2) {
        // What is in there would run with the rights of whoever looks.
        if row.get::<_, Option<bool>>(4) != Some(false) || row.get::<_, Option<bool>>(5) != Some(true) {
            return Err(not_ours(&row.get::<_, Option<String>>(6).unwrap_or_default(), &owner));
        }
        version = client
            .query_one(
                "select coalesce(pg_catalog.max(m.version), 0) from odoo_eventd.schema_migration m",
                &[],
            )
            .await
            .map_err(|e| Error::database("read the installed version", e))?
            .get(0);
    } else if row.get::<_, Option<bool>>(4) == Some(true) {
        return Err(not_ours(&row.get::<_, Option<String>>(6).unwrap_or_default(), &owner));
    }
    Ok(Installed {
        version,
        owner,
        working: row.get(3),
    })
}

fn not_ours(schema_owner: &str, owner: &str) -> Error {
    Error::unfit(format!(
        "schema \"odoo_eventd\", which belongs to \"{schema_owner}\", is not what `install` makes for \"{owner}\", the owner of Odoo's tables"
    ))
    .with_hint("find out who made it and what for; rename or drop it, and run `odoo-eventd install`")
}

/// Refuses functions that are not as `install` makes them: they belong to the owner of Odoo's tables, who may have changed them, and what
/// does not run with his rights would run with those of whoever calls it, a superuser perhaps.
async fn require_our_functions(client: &Client) -> Result<()> {
    let changed = client
        .query_opt(
            "select p.oid::pg_catalog.regprocedure::pg_catalog.text
               from pg_catalog.pg_proc p
               join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) p.pronamespace
              where n.nspname operator(pg_catalog.=) 'odoo_eventd'
                and (p.proowner operator(pg_catalog.<>) n.nspowner
                     or not p.prosecdef and p.proname::pg_catalog.text operator(pg_catalog.<>) all ($1::pg_catalog.text[]))
              limit 1",
            &[&without_rights_of_their_own()],
        )
        .await
        .map_err(|e| Error::database("look at the installed functions", e))?;
    match changed {
        None => Ok(()),
        Some(row) => Err(Error::unfit(format!(
            "function {} is not as `odoo-eventd install` makes it: it would run with the rights of whoever calls it",
            row.get::<_, &str>(0)
        ))
        .with_hint("run `odoo-eventd install` as the owner of Odoo's tables")),
    }
}

/// Our functions that are made without SECURITY DEFINER. Only others of ours call them.
fn without_rights_of_their_own() -> Vec<&'static str> {
    let headers = FUNCTIONS
        .iter()
        .flat_map(|(_, sql)| sql.split("function odoo_eventd.").skip(1));
    headers
        .filter_map(|text| {
            let (name, _) = text.split_once('(')?;
            let (header, _) = text.split_once("\nas ").or_else(|| text.split_once(" as "))?;
            let is_made = header.contains("\nlanguage ") || header.contains(" language ");
            (is_made && !header.contains("security definer")).then_some(name)
        })
        .collect()
}

/// The version of the schema that this program brings.
pub fn newest_version() -> i32 {
    i32::try_from(MIGRATIONS.len()).expect("migrations are numbered with six digits")
}

/// Refuses a database whose installation is missing, older or newer than this program.
///
/// # Errors
/// [`Error::unfit`] with what to do.
pub async fn require_installed(client: &Client) -> Result<Installed> {
    let found = installed(client).await?;
    if found.version == 0 || !found.working {
        return Err(
            Error::unfit("odoo-eventd is not installed in this database").with_hint("run `odoo-eventd install` first")
        );
    }
    if found.version < newest_version() {
        return Err(Error::unfit(format!(
            "the installation has schema version {}, and this program needs {}",
            found.version,
            newest_version()
        ))
        .with_hint("run `odoo-eventd install` to upgrade it"));
    }
    refuse_newer(&found)?;
    require_our_functions(client).await?;
    Ok(found)
}

fn refuse_newer(found: &Installed) -> Result<()> {
    if found.version <= newest_version() {
        return Ok(());
    }
    Err(Error::unfit(format!(
        "the installation has schema version {}, and this program knows {} at most",
        found.version,
        newest_version()
    ))
    .with_hint("use the newer odoo-eventd that upgraded it"))
}

/// The steps that `install` would run on a database in this state.
pub fn install_plan(found: &Installed, roles: &Roles) -> Vec<Step> {
    let mut steps = vec![
        how_to_read(),
        Step {
            title: "What is there already is what it must be".to_owned(),
            sql: PREMISES.to_owned(),
        },
        Step {
            title: "One installation at a time in this database".to_owned(),
            sql: format!(
                "set local client_min_messages = warning;\nset local lock_timeout = '60s';\n{LOCK_INSTALLATION};\n\
                 set local lock_timeout = '1s';"
            ),
        },
        Step {
            title: "Roles, where they are missing and may be made".to_owned(),
            sql: format!(
                "set local odoo_eventd.listener_role = {};\nset local odoo_eventd.installer_role = {};\n{ROLES}",
                quote_literal(&roles.listener),
                quote_literal(&roles.installer)
            ),
        },
        Step {
            title: "Everything below belongs to the role that owns Odoo's tables".to_owned(),
            sql: format!("set local role {};", quote_identifier(&found.owner)),
        },
    ];
    for (version, (name, sql)) in (1..).zip(MIGRATIONS).filter(|(version, _)| *version > found.version) {
        steps.push(Step {
            title: format!("Migration {name}"),
            sql: format!(
                "{sql}\ninsert into odoo_eventd.schema_migration (version, name) values ({version}, {});",
                quote_literal(name)
            ),
        });
    }
    for (name, sql) in FUNCTIONS {
        steps.push(Step {
            title: format!("Functions {name}"),
            sql: (*sql).to_owned(),
        });
    }
    steps.push(Step {
        title: "The installation itself, and the log's first days".to_owned(),
        sql: format!(
            "select odoo_eventd.register_installation((select r.rolname from pg_roles r where r.rolname = {}));",
            quote_literal(&roles.listener)
        ),
    });
    steps
}

/// First of all steps, and one of its own: what follows in the same message was read before this is carried out.
fn how_to_read() -> Step {
    Step {
        title: "Names mean the catalogue's".to_owned(),
        sql: SESSION.to_owned(),
    }
}

/// What an installation found and left.
#[derive(Debug, Clone, Copy)]
pub struct Change {
    /// The schema version before; 0 = there was none.
    pub before: i32,
    /// Whether the functions were there: not after an uninstall that kept the tables.
    pub worked: bool,
    /// The schema version now.
    pub after: i32,
}

/// Installs or upgrades, in one transaction.
///
/// # Errors
/// With SQLSTATE 55P03 (lock not available) when a table of ours is in use, by a dump for instance: nothing was changed, try again.
/// [`Error::unfit`] if this is no Odoo database, if the session may not act for the owner of Odoo's tables, or if the installation
/// is newer than this program; database errors with the step that failed.
pub async fn install(client: &mut Client, roles: &Roles) -> Result<Change> {
    let before = installed(client).await?;
    require_owner(client, &before.owner).await?;
    let transaction = begin(client).await?;
    let waited = transaction
        .batch_execute(&format!("set local lock_timeout = '60s'; {LOCK_INSTALLATION}"))
        .await;
    if let Err(error) = waited {
        drop(transaction);
        let error = Error::database("wait for other installations", error);
        return Err(error.with_hint(locks::who_holds_the_installation(client).await?));
    }
    // Another process may have installed while this one waited.
    let found = installed(transaction.client()).await?;
    refuse_newer(&found)?;
    for step in install_plan(&found, roles) {
        transaction
            .batch_execute(&step.sql)
            .await
            .map_err(|e| Error::database(format_args!("install (step: {})", step.title), e))?;
    }
    transaction
        .commit()
        .await
        .map_err(|e| Error::database("commit the installation", e))?;
    Ok(Change {
        before: found.version,
        worked: found.working,
        after: newest_version(),
    })
}

/// The steps that `uninstall` runs.
pub fn uninstall_plan(found: &Installed, purge: bool) -> Vec<Step> {
    let mut steps = vec![
        how_to_read(),
        Step {
            title: "As the owner".to_owned(),
            sql: format!("set local role {};", quote_identifier(&found.owner)),
        },
        Step {
            title: "Triggers and functions".to_owned(),
            sql: UNINSTALL.to_owned(),
        },
    ];
    if purge {
        steps.push(Step {
            title: "Tables and roles".to_owned(),
            sql: PURGE.to_owned(),
        });
    }
    steps
}

/// Removes triggers and functions; with `purge` the tables and unused roles as well.
///
/// # Errors
/// With SQLSTATE 55P03 (lock not available) when a table is busy: nothing was changed, try again.
pub async fn uninstall(client: &mut Client, purge: bool, lock_wait_ms: u32) -> Result<()> {
    let found = installed(client).await?;
    require_owner(client, &found.owner).await?;
    let transaction = begin(client).await?;
    transaction
        .batch_execute(&format!("set local lock_timeout = {lock_wait_ms}"))
        .await
        .map_err(|e| Error::database("set a lock timeout", e))?;
    for step in uninstall_plan(&found, purge) {
        transaction
            .batch_execute(&step.sql)
            .await
            .map_err(|e| Error::database(format_args!("uninstall (step: {})", step.title), e))?;
    }
    transaction
        .commit()
        .await
        .map_err(|e| Error::database("commit the removal", e))
}

async fn begin(client: &mut Client) -> Result<Transaction<'_>> {
    let transaction = client
        .transaction()
        .await
        .map_err(|e| Error::database("begin a transaction", e))?;
    transaction
        .batch_execute(SESSION)
        .await
        .map_err(|e| Error::database("set up a transaction", e))?;
    Ok(transaction)
}

async fn require_owner(client: &Client, owner: &str) -> Result<()> {
    let may: bool = client
        .query_one(
            "select pg_catalog.pg_has_role(session_user, $1::pg_catalog.text::pg_catalog.name, 'member')",
            &[&owner],
        )
        .await
        .map_err(|e| Error::database("check the session's rights", e))?
        .get(0);
    if may {
        return Ok(());
    }
    let user: String = client
        .query_one("select session_user::pg_catalog.text", &[])
        .await
        .map_err(|e| Error::database("check the session's rights", e))?
        .get(0);
    Err(Error::unfit(format!(
        "role \"{user}\" may not act for \"{owner}\", which owns Odoo's tables"
    ))
    .with_hint(format!(
        "connect as \"{owner}\", as a superuser, or as a role that was granted \"{owner}\""
    )))
}

fn quote_literal(text: &str) -> String {
    // standard_conforming_strings is on unless somebody turned it off; E'' is safe either way.
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bodies are parsed where they run, and a session may have `standard_conforming_strings` off: there a backslash in a plain
    /// literal is an escape.
    #[test]
    fn a_backslash_is_in_no_literal_but_one_that_says_so() {
        let mut literals = 0;
        for (name, text) in FUNCTIONS {
            let mut rest = *text;
            while let Some(at) = rest.find(['\'', '"', '-']) {
                let before = rest[..at].chars().next_back();
                let found = &rest[at..];
                let after = &found[1..];
                if found.starts_with("--") {
                    rest = &found[found.find('\n').unwrap_or(found.len())..];
                } else if found.starts_with('-') {
                    rest = after;
                } else if found.starts_with('"') {
                    rest = &after[after.find('"').unwrap() + 1..];
                } else {
                    let says_so = matches!(before, Some('E' | 'e'));
                    let literal = format!("{name}: {}", found.lines().next().unwrap());
                    let mut escaped = false;
                    let end = after.find(|c| {
                        let was = std::mem::replace(&mut escaped, false);
                        assert!(c != '\\' || says_so, "{literal}");
                        escaped = c == '\\' && !was;
                        c == '\'' && !was
                    });
                    literals += 1;
                    rest = &after[end.expect(&literal) + 1..];
                }
            }
        }
        assert!(literals > 1_000, "{literals} were seen");
    }

    #[test]
    fn nothing_is_called_that_runs_with_the_callers_own_rights() {
        let names = without_rights_of_their_own();
        // Helpers of the others, which alone may call them.
        assert!(names.contains(&"home") && names.len() < 40, "{names:?}");
        let mut folders = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                for name in &names {
                    assert!(
                        !text.contains(&format!("odoo_eventd.{name}(")),
                        "{name} in {}",
                        path.display()
                    );
                }
            }
        }
    }

    #[test]
    fn names_are_quoted_whatever_is_in_them() {
        assert_eq!(quote_literal(r"o'd\oo"), r"E'o''d\\oo'");
        assert_eq!(quote_identifier("my \"role\""), "\"my \"\"role\"\"\"");
    }
}
