//! The two databases against each other: their rows and sequences, and what an uninstallation leaves of us.

use std::collections::{BTreeMap, BTreeSet};

use odoo_eventd::pg::schema;

use super::{Difference, Runner, harness, is_of_today};
use crate::differential::oracle::{Catalogue, Reader, Rows, catalogue};

/// What a database is made of, beside the rows of its tables, without numbers that differ between any two.
const LEFT: &str = "
    select concat_ws(' ', 'schema', n.nspname, n.nspacl) from pg_namespace n where n.nspname !~ '^pg_(temp|toast_temp)_'
    union all
    select concat_ws(' ', 'relation', c.oid::regclass, c.relkind, c.relowner::regrole, c.relacl, c.reloptions, c.relrowsecurity, c.relhasrules)
      from pg_class c where c.relkind <> 't' and c.relnamespace not in ('pg_toast'::regnamespace) and c.relname !~ '^pg_toast'
       and c.relpersistence <> 't'
    union all
    select concat_ws(' ', 'column', a.attrelid::regclass, a.attname, a.attacl) from pg_attribute a join pg_class c on c.oid = a.attrelid
     where c.relnamespace = 'public'::regnamespace and not a.attisdropped and c.relkind <> 'i'
    union all
    select concat_ws(' ', 'trigger', t.tgrelid::regclass, t.tgname, t.tgenabled) from pg_trigger t where not t.tgisinternal
    union all
    select concat_ws(' ', 'function', p.oid::regprocedure, p.proowner::regrole, p.proacl) from pg_proc p
    union all
    select concat_ws(' ', 'type', t.oid::regtype, t.typowner::regrole, t.typacl) from pg_type t
     where t.typname !~ '^pg_toast' and t.typnamespace::regnamespace::text !~ '^pg_temp'
    union all
    select concat_ws(' ', 'default', d.defaclrole::regrole, d.defaclobjtype, d.defaclacl) from pg_default_acl d
    union all
    select concat_ws(' ', 'event trigger', e.evtname) from pg_event_trigger e
    union all
    select concat_ws(' ', 'extension', e.extname) from pg_extension e
    union all
    select concat_ws(' ', 'database', d.datacl) from pg_database d where d.datname = current_database()
    union all
    select concat_ws(' ', 'setting', s.setrole, s.setconfig) from pg_db_role_setting s
     where s.setdatabase = (select d.oid from pg_database d where d.datname = current_database())
    union all
    select concat_ws(' ', 'comment', d.classoid::regclass, d.description) from pg_description d
     where d.classoid in ('pg_trigger'::regclass, 'pg_class'::regclass, 'pg_namespace'::regclass) and d.objoid >= 16384";

impl Runner {
    /// When we are gone, nothing tells that we were there.
    pub(super) async fn compare_without_either(&mut self) -> Result<(), Difference> {
        if self.events.take().is_none() {
            return Ok(());
        }
        let mut owner = self.eventd.database.client().await;
        let removed = schema::uninstall(&mut owner, true, 5_000).await;
        removed.map_err(|error| Difference::new("uninstall", error.chain()))?;
        let (bare, eventd) = tokio::try_join!(self.admins[0].query(LEFT, &[]), self.admins[1].query(LEFT, &[]))
            .map_err(|error| harness("read what is left", &error))?;
        let texts = |rows: &[tokio_postgres::Row]| -> BTreeSet<String> { rows.iter().map(|row| row.get(0)).collect() };
        let (bare, eventd) = (texts(&bare), texts(&eventd));
        if bare != eventd {
            let missing: Vec<_> = bare.difference(&eventd).collect();
            let left: Vec<_> = eventd.difference(&bare).collect();
            return Err(Difference::new(
                "uninstall",
                format!("{left:?} is left, and {missing:?} is missing"),
            ));
        }
        Ok(())
    }

    /// Both databases hold the same rows, and their sequences stand alike.
    pub(super) async fn compare_tables(&mut self) -> Result<(), Difference> {
        let there = catalogue(&self.admins[1], &self.but)
            .await
            .map_err(|error| harness("read the catalogue", &error))?;
        let columns = |of: &Catalogue| -> BTreeMap<String, Vec<(String, String)>> {
            of.iter()
                .map(|(name, table)| {
                    let columns = table.columns.iter().map(|c| (c.name.clone(), c.type_name.clone()));
                    (name.clone(), columns.collect())
                })
                .collect()
        };
        if columns(&there) != columns(&self.catalogue) {
            let text = format!(
                "their columns are {:?} and with us {:?}",
                columns(&self.catalogue),
                columns(&there)
            );
            return Err(Difference::new("tables", text));
        }
        let client = self.eventd.database.admin_client().await;
        let mut reader = Reader::new(client).await;
        let with_us = reader.contents(&there).await;
        let with_us = with_us.map_err(|error| harness("read the tables", &error))?;
        let without_us = self.read().await?;
        for (name, rows) in &without_us {
            let other = &with_us[name];
            if timeless(rows) != timeless(other) {
                let text = format!("\"{name}\" holds\n  {rows:?}\nand with us\n  {other:?}");
                return Err(Difference::new("tables", text));
            }
        }
        let sequences = "select string_agg(format('%s=%s', sequencename, last_value), ' ' order by sequencename)
                           from pg_catalog.pg_sequences where schemaname = 'public' and sequencename not like 'mcp%'";
        let (bare, eventd) = tokio::try_join!(
            self.admins[0].query_one(sequences, &[]),
            self.admins[1].query_one(sequences, &[])
        )
        .map_err(|error| harness("read the sequences", &error))?;
        let (bare, eventd): (Option<String>, Option<String>) = (bare.get(0), eventd.get(0));
        if bare != eventd && !self.was_cut_short {
            return Err(Difference::new("sequences", format!("{bare:?} and with us {eventd:?}")));
        }
        Ok(())
    }
}

fn timeless(rows: &Rows) -> BTreeMap<String, Vec<Option<String>>> {
    let has_id = rows.columns.iter().any(|(name, _)| name == "id");
    let mut result = BTreeMap::new();
    for (key, values) in &rows.by_id {
        let values: Vec<Option<String>> = values
            .iter()
            .map(|value| {
                value.as_ref().map(|text| {
                    if is_of_today(text) {
                        "today".to_owned()
                    } else {
                        text.clone()
                    }
                })
            })
            .collect();
        let key = if has_id { key.clone() } else { format!("{values:?}") };
        let mut unique = key;
        while result.contains_key(&unique) {
            unique.push('+');
        }
        result.insert(unique, values);
    }
    result
}
