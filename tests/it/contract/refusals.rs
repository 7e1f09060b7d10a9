//! What each wrong use is answered with: exit code and words.

use super::assert_kept;
use crate::support::Database;
use crate::support::service::{eventd, eventd_ok};

/// What these commands answer, one after the other.
async fn answers(database: &Database, commands: &[&[&str]]) -> String {
    let mut text = String::new();
    for command in commands {
        let output = eventd(&database.url(), command).await;
        assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{command:?}");
        text.push_str(&format!(
            "$ {}\n{}exit code {}\n\n",
            command.join(" "),
            String::from_utf8(output.stderr).unwrap(),
            output.status.code().unwrap()
        ));
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_use_is_answered_with_what_to_do() {
    let database = Database::fixture().await;
    let not_installed = answers(
        &database,
        &[
            &["status"],
            &["subscribe", "--model", "sale.order"],
            &["run"],
            &["nonsense"],
        ],
    )
    .await;
    assert_kept(&database, "refusals_where_nothing_is_installed", &not_installed);
    eventd_ok(&database.url(), &["install"]).await;
    let order = |more: &[&'static str]| [&["subscribe", "--model", "sale.order"], more].concat();
    let url = "https://hooks.example.org/a";
    let subscribing: Vec<Vec<&str>> = vec![
        vec!["subscribe", "--model", "sale.ordr"],
        order(&["--event", "changed"]),
        order(&["--fields", "stat"]),
        order(&["--fields", "no_such_field"]),
        order(&["--domain", "[('state', '=', 'sale'"]),
        order(&["--domain", "[('stat', '=', 'sale')]"]),
        order(&["--domain", "[('amount_total', 'ilike', open('/etc/passwd'))]"]),
        order(&["--payload-fields", "partner_id.mail"]),
        order(&["--payload-fields", "name|nonsense"]),
        order(&["--template", "no-such-file.json"]),
        order(&["--format", "yaml"]),
        order(&["--url", "ftp://example.org"]),
        order(&["--url", "http://10.0.0.1/"]),
        order(&["--url", "https://user:password@example.org/"]),
        order(&["--url", url, "--header", "Host: x"]),
        order(&["--url", url, "--header", "no colon"]),
        order(&["--url", url, "--secret", "whsec_nonsense!"]),
        order(&["--url", url, "--endpoint-source", "record"]),
        order(&["--timeout-ms", "0"]),
        order(&["--max-attempts", "0"]),
        order(&["--rate-limit=-1"]),
        order(&["--max-event-age", "yesterday"]),
        order(&["--lang", "xx_XX"]),
        order(&["--trigger-mode", "enter", "--event", "nonsense"]),
        order(&["--allow-networks", "10.0.0.0/99"]),
    ];
    let commands: Vec<&[&str]> = subscribing.iter().map(Vec::as_slice).collect();
    let text = answers(&database, &commands).await;
    assert_kept(&database, "refusals_of_subscribe", &text);
    let others = answers(
        &database,
        &[
            &["unsubscribe", "99"],
            &["subscriptions", "pause", "99"],
            &["subscriptions", "enable", "99"],
            &["test", "99"],
            &["secret", "rotate", "99"],
            &["emit", "--subscription", "99", "--ids", "1"],
            &["redeliver"],
            &["redeliver", "nonsense"],
            &["deliveries", "--status", "nonsense"],
            &["deliveries", "--since", "yesterday"],
            &["capture", "off", "--model", "res.lang"],
            &["erase", "--model", "sale.order"],
            &["domain", "eval", "--model", "sale.order", "[('state', '=', 'sale'"],
            &[
                "domain",
                "explain",
                "--model",
                "sale.order",
                "[('partner_id.nam', '=', 'x')]",
            ],
            &[
                "domain",
                "explain",
                "--model",
                "sale.order",
                "[('partner_id', 'child_of')]",
            ],
            &["verify", "--secret", "x", "--signature", "nonsense"],
        ],
    )
    .await;
    assert_kept(&database, "refusals_of_other_commands", &others);
}
