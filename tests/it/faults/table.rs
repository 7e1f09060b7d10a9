//! Injecting faults, and the table of what they cost.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

use super::Fault;
use super::checker::{Breach, Report};
use super::world::World;

/// One injection. What happens until the next belongs to it: a repetition may come some time after deliveries go on.
pub struct Run {
    fault: &'static str,
    from: Instant,
}

/// Injects a fault and waits until deliveries go on.
pub async fn inject(fault: &dyn Fault, world: &mut World) -> Run {
    let from = Instant::now();
    fault.inject(world).await;
    world.recovered().await;
    Run {
        fault: fault.name(),
        from,
    }
}

#[derive(Default)]
struct Row {
    times: usize,
    events: usize,
    lost: usize,
    resent: usize,
    interrupted: usize,
    /// The longest of each injection.
    gaps: Vec<Duration>,
}

/// The table in Markdown, a row for each fault and one for all.
pub fn render(report: &Report, runs: &[Run]) -> String {
    let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
    let end = Instant::now();
    let ends = runs.iter().skip(1).map(|run| run.from).chain([end]);
    for (run, to) in runs.iter().zip(ends) {
        let within = |at: &&Instant| (run.from..to).contains(*at);
        let row = rows.entry(run.fault).or_default();
        row.times += 1;
        row.events += report.events.iter().flatten().filter(within).count();
        row.resent += report.resent.iter().filter(within).count();
        row.interrupted += report.interrupted.iter().flatten().filter(within).count();
        let lost = report.violations.iter().filter(|v| v.breach == Breach::Lost);
        row.lost += lost.filter(|v| v.at.as_ref().is_some_and(|at| within(&at))).count();
        row.gaps.push(report.longest_gap(run.from, to));
    }
    let total = Row {
        times: runs.len(),
        events: report.events.len(),
        lost: report.count(Breach::Lost),
        resent: report.resent.len(),
        interrupted: report.interrupted.len(),
        gaps: rows.values().flat_map(|row| row.gaps.iter().copied()).collect(),
    };
    let mut table = String::from(
        "| fault | times | events | lost | duplicated | one-shots interrupted | gap, median | gap, longest |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for (name, row) in rows.iter().map(|(name, row)| (*name, row)).chain([("all", &total)]) {
        let mut gaps: Vec<f64> = row.gaps.iter().map(Duration::as_secs_f64).collect();
        gaps.sort_unstable_by(f64::total_cmp);
        writeln!(
            table,
            "| {name} | {} | {} | {} | {} | {} | {:.1} s | {:.1} s |",
            row.times,
            row.events,
            row.lost,
            row.resent,
            row.interrupted,
            gaps[gaps.len() / 2],
            gaps[gaps.len() - 1]
        )
        .unwrap();
    }
    writeln!(
        table,
        "\n{} of the interrupted one-shots had come to their receivers.",
        report.interrupted_yet_arrived
    )
    .unwrap();
    table
}
