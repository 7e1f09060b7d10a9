//! Capture: whether it is on everywhere, fits the tables as they are, and left anything out.

use super::facts::Examination;
use super::{Facts, Finding, Level, add};

/// Judges capture.
pub(super) fn judge(facts: &Facts<'_>, findings: &mut Vec<Finding>) {
    let told = facts.database;
    capture_off(told, findings);
    drift(told, findings);
    gaps(told, findings);
}

fn capture_off(told: &Examination, findings: &mut Vec<Finding>) {
    let off: Vec<&str> = told
        .models
        .iter()
        .filter(|m| m.switched_off)
        .map(|m| m.model.as_str())
        .collect();
    if !told.measured.capture {
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
    } else if !told.replica_role_for.is_empty() {
        add(
            findings,
            "capture-off",
            Level::Warning,
            format!(
                "session_replication_role is replica for {}: what they write fires no trigger",
                told.replica_role_for.join(", ")
            ),
            "ALTER ROLE .. RESET session_replication_role, unless these writes are meant to be unseen",
        );
    } else {
        add(
            findings,
            "capture-off",
            Level::Ok,
            format!("{} models are captured", told.models.len()),
            "",
        );
    }
}

fn drift(told: &Examination, findings: &mut Vec<Finding>) {
    let drifted: Vec<String> = told
        .models
        .iter()
        .filter_map(|m| {
            let reason = match (&m.drift, m.asleep) {
                (Some(reason), _) => reason.clone(),
                (None, asleep) if asleep > 0 => format!("{asleep} triggers are disabled"),
                (None, _) => return None,
            };
            Some(format!("{}: {reason}", m.model))
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

fn gaps(told: &Examination, findings: &mut Vec<Finding>) {
    let gaps = &told.gaps;
    let full = gaps.iter().any(|gap| gap.reason.contains("full"));
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
                let to = gap.to.as_deref().unwrap_or("now");
                format!("{} from {} to {to}: {}", gap.model, gap.from, gap.reason)
            })
            .collect();
        let open = told.measured.gaps_open > 0;
        add(
            findings,
            "gaps",
            if open || full { Level::Wrong } else { Level::Warning },
            format!("{} gaps in capture: {}", gaps.len(), shown.join("; ")),
            "what changed then was not told to anybody: compare the receivers with Odoo for these times",
        );
    }
}
