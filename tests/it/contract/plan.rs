//! The statements that `plan` prints, by their first lines. What tables, columns and functions become is in the schema's snapshot.

use super::assert_kept;
use crate::support::Database;
use crate::support::service::eventd_ok;

/// Of these there is one for each function or column.
const OF_THE_SCHEMA: [&str; 5] = [
    "create or replace function",
    "drop function if exists",
    "comment on",
    "revoke all on function",
    "create table",
];

/// SQL without what is quoted in dollars.
fn without_bodies(sql: &str) -> String {
    let mut kept = String::new();
    let mut rest = sql;
    while let Some((before, tag, after)) = next_tag(rest) {
        let end = after.find(&tag).expect("a body has an end");
        kept.push_str(before);
        kept.push_str("$..$");
        rest = &after[end + tag.len()..];
    }
    kept + rest
}

/// What stands before the first opening of a body, the opening, and what is behind it.
fn next_tag(sql: &str) -> Option<(&str, String, &str)> {
    for (start, _) in sql.match_indices('$') {
        let name = sql[start + 1..].split('$').next()?;
        if name.chars().all(|c| c.is_ascii_lowercase() || c == '_') && start + name.len() + 2 <= sql.len() {
            let end = start + name.len() + 2;
            return Some((&sql[..start], sql[start..end].to_owned(), &sql[end..]));
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_prints_the_statements_that_it_printed() {
    let database = Database::fixture().await;
    let plan = eventd_ok(&database.url(), &["plan", "--listener-role", "the_listener"]).await;
    let without_comments: Vec<&str> = plan
        .lines()
        .filter(|line| !line.trim_start().starts_with("--") && !line.trim().is_empty())
        .collect();
    let mut is_first = true;
    let mut statements = Vec::new();
    for line in without_bodies(&without_comments.join("\n")).lines().map(str::trim_end) {
        if is_first && !OF_THE_SCHEMA.iter().any(|words| line.starts_with(words)) {
            statements.push(line.to_owned());
        }
        is_first = line.ends_with(';');
    }
    assert_kept(&database, "plan", &statements.join("\n"));
}
