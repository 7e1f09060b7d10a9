//! Capture: whether it is on everywhere, fits the tables as they are, and left anything out.

use serde_json::Value;

use super::told::{list, text};
use super::{Facts, Finding, Level, add};

/// Judges capture.
pub(super) fn judge(facts: &Facts<'_>, findings: &mut Vec<Finding>) {
    let told = facts.database;
    capture_off(told, findings);
    drift(told, findings);
    gaps(told, findings);
}

fn capture_off(told: &Value, findings: &mut Vec<Finding>) {
    let models: Vec<&Value> = list(&told["models"]).collect();
    let off: Vec<String> = models
        .iter()
        .filter(|m| m["switched_off"] == true)
        .map(|m| text(&m["model"]))
        .collect();
    let for_replicas: Vec<String> = list(&told["replica_role_for"]).map(text).collect();
    if told["capture"] == false {
        add(
            findings,
            "capture-off",
            Level::Wrong,
            "capture is switched off",
            "`odoo-eventd capture on`",
        );
    } else if !off.is_empty() {
        let advice = format!("`odoo-eventd capture on --model {}`", off[0]);
        add(
            findings,
            "capture-off",
            Level::Wrong,
            format!("capture is switched off for {}", off.join(", ")),
            advice,
        );
    } else if !for_replicas.is_empty() {
        add(
            findings,
            "capture-off",
            Level::Warning,
            format!(
                "session_replication_role is replica for {}: what they write fires no trigger",
                for_replicas.join(", ")
            ),
            "ALTER ROLE .. RESET session_replication_role, unless these writes are meant to be unseen",
        );
    } else {
        add(
            findings,
            "capture-off",
            Level::Ok,
            format!("{} models are captured", models.len()),
            "",
        );
    }
}

fn drift(told: &Value, findings: &mut Vec<Finding>) {
    let drifted: Vec<String> = list(&told["models"])
        .filter_map(|m| {
            let reason = match (m["drift"].as_str(), m["asleep"].as_i64()) {
                (Some(reason), _) => reason.to_owned(),
                (None, Some(asleep)) if asleep > 0 => format!("{asleep} triggers are disabled"),
                _ => return None,
            };
            Some(format!("{}: {reason}", text(&m["model"])))
        })
        .collect();
    if drifted.is_empty() {
        add(
            findings,
            "drift",
            Level::Ok,
            "triggers and columns are as they should be",
            "",
        );
    } else {
        add(
            findings,
            "drift",
            Level::Wrong,
            drifted.join("; "),
            "a running service mends what it can within seconds: start it; ENABLE TRIGGER what was disabled; a subscription that watches a \
             field that is gone has to be changed",
        );
    }
}

fn gaps(told: &Value, findings: &mut Vec<Finding>) {
    let gaps: Vec<&Value> = list(&told["gaps"]).collect();
    let full = gaps
        .iter()
        .any(|gap| gap["reason"].as_str().is_some_and(|r| r.contains("full")));
    if gaps.is_empty() {
        add(
            findings,
            "gaps",
            Level::Ok,
            "nothing was left uncaptured in the last 7 days",
            "",
        );
    } else {
        let shown: Vec<String> = gaps
            .iter()
            .take(5)
            .map(|gap| {
                let to = gap["to"].as_str().unwrap_or("now");
                format!(
                    "{} from {} to {to}: {}",
                    text(&gap["model"]),
                    text(&gap["from"]),
                    text(&gap["reason"])
                )
            })
            .collect();
        let open = told["gaps_open"].as_i64().unwrap_or(0) > 0;
        add(
            findings,
            "gaps",
            if open || full { Level::Wrong } else { Level::Warning },
            format!("{} gaps in capture: {}", gaps.len(), shown.join("; ")),
            "what changed then was not told to anybody: compare the receivers with Odoo for these times",
        );
    }
}
