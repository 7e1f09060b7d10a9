//! Cargo's build script: puts what `install.sql` lists into the program, in the same order, so that `odoo-eventd install` and
//! `psql -f sql/install.sql` cannot differ. A file that is in a folder and not in the list, or in the list and not there, stops
//! the build.

#![allow(clippy::print_stdout, reason = "Cargo reads what a build script prints")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn main() {
    let sql = Path::new(&variable("CARGO_MANIFEST_DIR")).join("sql");
    println!("cargo::rerun-if-changed={}", sql.display());
    let script = std::fs::read_to_string(sql.join("install.sql")).expect("sql/install.sql can be read");

    let migrations = listed(&script, "\\set migration ", "");
    require_all_of(&sql.join("migrations"), &migrations);
    for (version, name) in (1..).zip(&migrations) {
        let number = format!("{version:06}_");
        assert!(
            name.starts_with(&number),
            "sql/install.sql: {name} is not the next migration, {number}.."
        );
    }
    let functions = listed(&script, "\\ir functions/", ".sql");
    require_all_of(&sql.join("functions"), &functions);

    write(&sql.join("migrations"), &migrations, "migrations.rs");
    write(&sql.join("functions"), &functions, "functions.rs");
}

/// What stands between `before` and `after` on the lines that begin so.
fn listed<'a>(script: &'a str, before: &str, after: &str) -> Vec<&'a str> {
    script
        .lines()
        .filter_map(|line| line.strip_prefix(before)?.trim_end().strip_suffix(after))
        .collect()
}

fn require_all_of(folder: &Path, listed: &[&str]) {
    let entries = std::fs::read_dir(folder).expect("a folder of sql/ can be read");
    let names = entries.map(|entry| entry.expect("a folder's entry can be read").file_name());
    let there: BTreeSet<String> = names
        .filter_map(|name| Some(name.to_str()?.strip_suffix(".sql")?.to_owned()))
        .collect();
    let listed: BTreeSet<String> = listed.iter().map(|&name| name.to_owned()).collect();
    let differing: Vec<_> = there.symmetric_difference(&listed).collect();
    assert!(
        differing.is_empty(),
        "{} and sql/install.sql differ in: {differing:?}",
        folder.display()
    );
}

/// Writes an expression, a slice of names and texts, for `include!`.
fn write(folder: &Path, names: &[&str], file: &str) {
    let mut expression = "&[\n".to_owned();
    for name in names {
        let path = folder.join(format!("{name}.sql"));
        writeln!(expression, "({name:?}, include_str!({path:?})),").expect("a String takes everything");
    }
    expression.push(']');
    let path = PathBuf::from(variable("OUT_DIR")).join(file);
    std::fs::write(path, expression).expect("Cargo's output directory can be written");
}

fn variable(name: &str) -> String {
    std::env::var(name).expect("Cargo sets it for a build script")
}
