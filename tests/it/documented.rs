//! What the documents quote exists: commands, options, targets of make, settings, columns, files and headings.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::support::documents::{anchors, assert_links_lead_somewhere, documents};
use crate::support::service::program;

const README: &str = include_str!("../../README.md");
const OPERATE: &str = include_str!("../../.packaging/OPERATE.md");
const FOR_THE_DBA: &str = include_str!("../../sql/README.md");
const COMPOSE: &str = include_str!("../../docker-compose.yml");
const ALERTS: &str = include_str!("../../.packaging/alerts.yml");
const MAKEFILE: &str = include_str!("../../Makefile");
const SCHEMA: &str = include_str!("contract/snapshots/schema.snap");

/// What fits on a few screens.
const README_BYTES_AT_MOST: usize = 15_360;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All documents, by name.
fn texts() -> Vec<(String, String)> {
    let read = |name: String| {
        let text = std::fs::read_to_string(root().join(&name)).unwrap();
        (name, text)
    };
    documents(root()).into_iter().map(read).collect()
}

/// The commands that a text quotes, without the program's name: in backticks, or as lines of their own in a block of code.
fn quoted(text: &str) -> Vec<String> {
    let spans = text
        .split("`odoo-eventd ")
        .skip(1)
        .map(|rest| rest.split('`').next().unwrap());
    let joined = text.replace("\\\n", " ");
    let lines = joined.lines().filter_map(|line| {
        let line = line.trim_start_matches('#');
        let (before, command) = line.split_once("odoo-eventd ")?;
        let is_code = before.ends_with("exec eventd ") || (before.len() >= 4 && before.trim().is_empty());
        is_code.then_some(command)
    });
    spans.chain(lines).map(str::to_owned).collect()
}

/// The help of a command, or nothing where there is no such command.
fn help(path: &[&str]) -> Option<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_odoo-eventd"))
        .args(path)
        .arg("--help")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let usage = format!("Usage: odoo-eventd {}", path.join(" "));
    text.lines().any(|line| line.starts_with(&usage)).then_some(text)
}

#[test]
fn every_command_and_option_that_the_documents_quote_exists() {
    let mut known = BTreeSet::new();
    let others = [("docker-compose.yml", COMPOSE), ("alerts.yml", ALERTS)];
    let others = others.map(|(name, text)| (name.to_owned(), text.to_owned()));
    for (document, text) in texts().into_iter().chain(others) {
        for command in quoted(&text) {
            let words: Vec<&str> = command
                .split(|c: char| c.is_whitespace() || "[]()|\\`".contains(c))
                .filter(|word| !word.is_empty())
                .collect();
            let told = help(&words[..1]).unwrap_or_else(|| panic!("{document}: no command {command:?}"));
            let is_word = |word: &&&str| word.chars().all(|c| c.is_ascii_lowercase());
            let told = match words.get(1).filter(is_word) {
                Some(_) => help(&words[..2]).unwrap_or(told),
                None => told,
            };
            for option in words.iter().filter(|word| word.starts_with("--")) {
                let fits = |line: &str| {
                    line.split([' ', ',', '['])
                        .any(|word| word.trim_end_matches("...") == *option)
                };
                assert!(
                    told.lines().any(fits),
                    "{document}: {command:?} has no {option}:\n{told}"
                );
            }
            known.insert(words[0].to_owned());
        }
    }
    // So that the reading itself is not what finds nothing.
    assert!(known.len() > 15, "{known:?}");
}

#[test]
fn every_target_of_make_that_the_documents_quote_exists() {
    let targets: BTreeSet<&str> = MAKEFILE
        .lines()
        .filter(|line| line.contains("## "))
        .filter_map(|line| line.split_once(':').map(|(target, _)| target))
        .collect();
    let texts = texts();
    let quoted: BTreeSet<&str> = texts
        .iter()
        .flat_map(|(_, text)| text.split("`make ").skip(1).chain(text.split("    make ").skip(1)))
        .filter_map(|rest| rest.split(|c: char| !(c.is_ascii_lowercase() || c == '-')).next())
        .filter(|word| !word.is_empty())
        .collect();
    let unknown: Vec<_> = quoted.difference(&targets).collect();
    assert!(quoted.len() > 5 && unknown.is_empty(), "{unknown:?} of {quoted:?}");
}

#[tokio::test]
async fn the_operators_page_lists_every_setting_of_run_and_none_that_does_not_exist() {
    let output = program()
        .env_remove("ODOO_EVENTD_ALLOW_NETWORKS")
        .args(["--database-url", "postgres://localhost/odoo", "run", "--print-config"])
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let config: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let section = OPERATE.split("## Settings of `run`").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let listed: BTreeSet<&str> = section
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    // A section of its own in the file, told of further below.
    let settings: BTreeSet<&str> = config["settings"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .filter(|name| *name != "tls")
        .collect();
    assert_eq!(listed, settings);
}

#[test]
fn the_readme_is_short() {
    assert!(README.len() <= README_BYTES_AT_MOST, "{}", README.len());
}

#[test]
fn every_link_between_documents_leads_to_a_file_and_a_heading() {
    // So that the reading itself is not what finds nothing.
    assert!(assert_links_lead_somewhere(root()) > 50);
}

#[test]
fn every_document_can_be_reached_from_the_readme() {
    for document in documents(root()) {
        assert!(
            document == "README.md" || README.contains(&format!("]({document})")),
            "{document}"
        );
    }
}

#[test]
fn every_alert_points_to_its_paragraph_in_the_runbook() {
    let headings = anchors(OPERATE);
    let pointed = ALERTS.lines().filter_map(|line| line.trim().strip_prefix("runbook: "));
    let mut alerts = 0;
    for place in pointed {
        let heading = place.strip_prefix("OPERATE.md#").unwrap_or_else(|| panic!("{place}"));
        assert!(headings.contains(heading), "{place}");
        alerts += 1;
    }
    assert!(alerts > 10);
}

#[test]
fn the_dbas_page_lists_every_column_of_the_public_tables() {
    for table in ["mcp_event_subscription", "mcp_webhook_delivery", "mcp_record_callback"] {
        let section = FOR_THE_DBA.split(&format!("\n## {table}\n")).nth(1).unwrap();
        let section = section.split("\n## ").next().unwrap();
        let listed: BTreeSet<&str> = section
            .lines()
            .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next())
            .flat_map(|names| names.split('`').skip(1).step_by(2))
            .collect();
        let prefix = format!("column {table}.");
        let columns: BTreeSet<&str> = SCHEMA
            .lines()
            .filter_map(|line| line.strip_prefix(prefix.as_str())?.split(' ').next())
            .collect();
        assert!(
            columns.len() > 5 && listed == columns,
            "{table}: {:?}",
            listed.symmetric_difference(&columns)
        );
    }
}

#[test]
fn the_page_of_the_page_says_of_each_error_what_the_program_says() {
    use odoo_eventd::delivery::Failure;
    use odoo_eventd::delivery::meaning::{Meaning, meaning_of};
    let page = std::fs::read_to_string(root().join(".packaging/PAGE.md")).unwrap();
    for failure in Failure::ALL {
        let Meaning { what, next } = failure.meaning();
        let row = format!("| `{failure}` | {what} | {next} |");
        assert!(page.contains(&row), "PAGE.md has no {row}");
    }
    for (status, code) in [
        ("400, 422", 422),
        ("401, 403", 401),
        ("404, 405", 404),
        ("410", 410),
        ("413", 413),
        ("408, 425, 429", 429),
        ("5xx", 503),
    ] {
        let Meaning { what, next } = meaning_of("http_status", Some(code)).unwrap();
        let row = format!("| {status} | {what} | {next} |");
        assert!(page.contains(&row), "PAGE.md has no {row}");
    }
}
