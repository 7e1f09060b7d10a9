//! What is wrong, the worst first, each with what to do.

use askama::Template;
use axum::response::Response;

use super::dress::{Trouble, page};
use super::fields::Fields;
use super::frame::{Frame, Section};
use super::shown::{Badge, Tone, When, number, sentence};
use super::visitor::{Turned, Visitor};
use crate::health::{Finding, Level, limits};
use crate::ops::operator::Scope;
use crate::ops::page::PageRequest;
use crate::ops::subscriptions::read::{Filter, Order, OrderBy};
use crate::subscription::choices::State;

/// A figure with where it leads.
struct Figure {
    label: &'static str,
    value: String,
    link: String,
    is_bad: bool,
}

/// A finding as it is shown.
struct Found {
    badge: Badge,
    code: &'static str,
    found: String,
    advice: String,
}

/// A subscription that fails, or cannot be served.
struct Failing {
    id: i32,
    name: String,
    model: String,
    badge: Badge,
    sentence: String,
    since: Option<When>,
    in_a_row: i32,
}

#[derive(Template)]
#[template(path = "health.html", config = ".askama.toml")]
struct HealthPage {
    frame: Frame,
    figures: Vec<Figure>,
    failing: Vec<Failing>,
    has_more: bool,
    /// None = the visitor sees his own alone.
    found: Option<Vec<Found>>,
    good: usize,
    leading: Option<When>,
}

/// The page.
pub async fn show(visitor: Visitor) -> Result<Response, Turned> {
    let (service, operator) = (&visitor.service, visitor.operator());
    let overview = service.overview(operator).await.map_err(Trouble::from)?;
    let request = PageRequest::first(50);
    let filter = Filter {
        domain: Some("['&', ('active', '=', True), '|', ('state', 'in', ['invalid', 'disabled']), ('failures_in_a_row', '>', 0)]".to_owned()),
        ..Filter::default()
    };
    let worst_first = Order {
        by: OrderBy::FailureCount,
        descending: true,
    };
    let failing = service
        .subscriptions(operator, &filter, worst_first, &request)
        .await
        .map_err(Trouble::from)?;
    let findings = match operator.sees_everything() && operator.may(Scope::Admin) {
        true => Some(
            Box::pin(service.examine(operator, limits::ALARM_AFTER))
                .await
                .map_err(Trouble::from)?,
        ),
        false => None,
    };
    let good = findings
        .iter()
        .flatten()
        .filter(|finding| finding.level == Level::Ok)
        .count();
    let base = &visitor.base;
    let counts = overview.subscriptions;
    let figure = |label, count: i64, path: &str, is_bad: bool| Figure {
        label,
        value: if count >= 100_000 {
            format!("{}+", number(count))
        } else {
            number(count)
        },
        link: format!("{base}{path}"),
        is_bad: is_bad && count > 0,
    };
    Ok(page(&HealthPage {
        figures: vec![
            figure("Served", counts.ready, "/subscriptions?show=active", false),
            figure("Invalid", counts.invalid, "/subscriptions?show=invalid", true),
            figure("Disabled", counts.disabled, "/subscriptions?show=disabled", true),
            figure("Paused", counts.paused, "/subscriptions?show=paused", false),
            figure(
                "Unfinished deliveries",
                overview.deliveries.unfinished,
                "/deliveries?status=pending",
                false,
            ),
            figure("Dead letters", overview.deliveries.dead, "/deliveries?dead=1", true),
        ],
        has_more: failing.next_cursor.is_some(),
        failing: failing
            .items
            .into_iter()
            .map(|found| Failing::of(found.subscription))
            .collect(),
        found: findings.map(worst_first_of),
        good,
        leading: overview.leading_since.as_deref().map(since),
        frame: visitor.frame(Section::Health, "Health"),
    })?)
}

/// With a zone, as PostgreSQL writes one in JSON.
fn since(text: &str) -> When {
    let utc = text
        .parse::<jiff::Timestamp>()
        .map(|at| at.strftime("%Y-%m-%dT%H:%M:%S").to_string());
    When::read(&utc.unwrap_or_else(|_| text.to_owned()))
}

fn worst_first_of(findings: Vec<Finding>) -> Vec<Found> {
    let mut findings: Vec<Finding> = findings
        .into_iter()
        .filter(|finding| finding.level > Level::Ok)
        .collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    let found = findings.into_iter().map(|finding| Found {
        badge: match finding.level {
            Level::Wrong => Badge::new(Tone::Bad, "Wrong"),
            Level::Warning => Badge::new(Tone::Warn, "Warning"),
            Level::Note | Level::Ok => Badge::new(Tone::Quiet, "Note"),
        },
        code: finding.code,
        found: finding.found,
        advice: finding.advice,
    });
    found.collect()
}

impl Failing {
    fn of(row: crate::subscription::View) -> Self {
        Self {
            id: row.id,
            name: row
                .name
                .clone()
                .filter(|name| !name.trim().is_empty())
                .unwrap_or_else(|| format!("Subscription {}", row.id)),
            badge: match row.state {
                Some(State::Ready) if row.failures_in_a_row > 0 => Badge::new(Tone::Warn, "Failing"),
                _ => Badge::of_subscription(&row),
            },
            sentence: match sentence(&row) {
                said if said.is_empty() && row.failures_in_a_row > 0 => {
                    "Every request has failed since then; a failed delivery says what to do.".to_owned()
                }
                said => said,
            },
            since: When::maybe(row.failing_since.as_deref()),
            in_a_row: row.failures_in_a_row,
            model: row.model,
        }
    }
}

/// Where a list of failing subscriptions goes on.
pub(super) fn all_failing() -> String {
    let mut fields = Fields::default();
    fields.add("domain", "[('failures_in_a_row', '>', 0)]");
    format!("/subscriptions{}", fields.to_query())
}

impl HealthPage {
    fn all_failing(&self) -> String {
        all_failing()
    }
}
