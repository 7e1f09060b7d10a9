//! Figures of the last days. Each leads to the list that it counts; each chart has its table.

use askama::Template;
use axum::response::Response;

use super::chart;
use super::dress::{Trouble, page};
use super::fields::Fields;
use super::frame::{Frame, Section};
use super::shown::{event_name, number};
use super::visitor::{Turned, Visitor};
use crate::delivery::meaning::meaning_of;
use crate::ops::dashboard::{Dashboard, OfDay};
use crate::ops::error::Error;

/// Where the list lies that has what is said, of the days that are shown.
type Link<'a> = &'a dyn Fn(&[(&str, &str)]) -> String;

/// A figure with where it leads.
struct Figure {
    label: &'static str,
    value: String,
    link: String,
    tone: &'static str,
}

/// A line with a bar.
struct Line {
    name: String,
    link: String,
    bar: String,
    total: String,
    failed: String,
    note: String,
}

#[derive(Template)]
#[template(path = "dashboard.html", config = ".askama.toml")]
struct DashboardPage {
    frame: Frame,
    days: u32,
    tz: String,
    refused: Option<String>,
    figures: Vec<Figure>,
    daily: String,
    traffic: Vec<OfDay>,
    groups: Vec<(&'static str, Vec<Line>)>,
    is_complete: bool,
    is_empty: bool,
}

/// The page.
pub async fn show(visitor: Visitor) -> Result<Response, Turned> {
    let query = visitor.query();
    let days = query.parsed("days").unwrap_or(14);
    let tz = query.some("tz").unwrap_or("UTC").to_owned();
    let (service, operator) = (&visitor.service, visitor.operator());
    let (told, refused) = match service.dashboard(operator, days, &tz).await {
        Ok(told) => (told, None),
        Err(error @ Error::Refused(_)) => {
            let usual = service.dashboard(operator, 14, "UTC").await.map_err(Trouble::from)?;
            (usual, Some(error.to_string()))
        }
        Err(error) => return Err(Trouble::from(error).into()),
    };
    let since = told
        .daily_traffic
        .first()
        .map(|day| day.date.clone())
        .unwrap_or_default();
    let link = |pairs: &[(&str, &str)]| {
        let mut fields = Fields::default();
        for (name, value) in pairs {
            fields.add(name, *value);
        }
        fields.add("since", since.clone());
        format!("{}/deliveries{}", visitor.base, fields.to_query())
    };
    Ok(page(&DashboardPage {
        frame: visitor.frame(Section::Dashboard, "Dashboard"),
        days,
        tz,
        refused,
        figures: figures(&told, &link),
        daily: chart::daily(&told.daily_traffic),
        groups: vec![
            ("Top endpoints", endpoints(&told)),
            ("Events per model", models(&told, &link)),
            ("Event types", events(&told)),
            ("Errors", errors(&told, &link)),
        ],
        is_complete: told.is_complete,
        is_empty: told.summary.total_sent == 0,
        traffic: told.daily_traffic,
    })?)
}

fn figures(told: &Dashboard, link: Link<'_>) -> Vec<Figure> {
    let summary = &told.summary;
    let figure = |label, value, link, tone| Figure {
        label,
        value,
        link,
        tone,
    };
    let capped = |n: i64| {
        if n >= 100_000 {
            format!("{}+", number(n))
        } else {
            number(n)
        }
    };
    let ms = |ms: Option<f64>| ms.map_or_else(|| "–".to_owned(), |ms| format!("{ms:.0} ms"));
    let bad_if = |is_bad: bool| if is_bad { "bad" } else { "" };
    vec![
        figure("Sent", number(summary.total_sent), link(&[]), ""),
        figure(
            "Arrived",
            number(summary.success_count),
            link(&[("status", "success")]),
            "",
        ),
        figure(
            "Failed",
            number(summary.failed_count),
            link(&[("status", "failed")]),
            bad_if(summary.failed_count > 0),
        ),
        figure(
            "Success rate",
            summary
                .success_rate
                .map_or_else(|| "–".to_owned(), |rate| format!("{rate} %")),
            link(&[("status", "failed")]),
            "",
        ),
        figure(
            "Waiting now",
            capped(summary.pending_count),
            link(&[("status", "pending")]),
            "",
        ),
        figure(
            "Dead letters",
            capped(summary.dead_count),
            link(&[("dead", "1")]),
            bad_if(summary.dead_count > 0),
        ),
        figure("Half within", ms(summary.p50_ms), link(&[]), ""),
        figure("95 of 100 within", ms(summary.p95_ms), link(&[]), ""),
    ]
}

fn endpoints(told: &Dashboard) -> Vec<Line> {
    let most = told.top_endpoints.iter().map(|of| of.total).max().unwrap_or(0);
    let line = |of: &crate::ops::dashboard::OfEndpoint| Line {
        name: of.host.clone(),
        link: String::new(),
        bar: chart::bar(of.success, of.failed, most),
        total: number(of.total),
        failed: number(of.failed),
        note: format!(
            "{} %{}",
            of.success_rate,
            of.avg_ms.map(|ms| format!(", {ms:.0} ms")).unwrap_or_default()
        ),
    };
    told.top_endpoints.iter().map(line).collect()
}

fn models(told: &Dashboard, link: Link<'_>) -> Vec<Line> {
    let most = told.events_per_model.iter().map(|of| of.total).max().unwrap_or(0);
    let line = |of: &crate::ops::dashboard::OfModel| Line {
        name: of.model.clone(),
        link: link(&[("model", &of.model)]),
        bar: chart::bar(of.success, of.failed, most),
        total: number(of.total),
        failed: number(of.failed),
        note: String::new(),
    };
    told.events_per_model.iter().map(line).collect()
}

fn events(told: &Dashboard) -> Vec<Line> {
    let most = told.event_type_distribution.values().copied().max().unwrap_or(0);
    let line = |(event, total): (&String, &i64)| Line {
        name: event_name(event).to_owned(),
        link: String::new(),
        bar: chart::bar(*total, 0, most),
        total: number(*total),
        failed: String::new(),
        note: String::new(),
    };
    told.event_type_distribution.iter().map(line).collect()
}

fn errors(told: &Dashboard, link: Link<'_>) -> Vec<Line> {
    let most = told.errors.iter().map(|of| of.count).max().unwrap_or(0);
    let line = |of: &crate::ops::dashboard::OfError| Line {
        name: of.error.clone(),
        link: link(&[("error", &of.error)]),
        bar: chart::bar(0, of.count, most),
        total: number(of.count),
        failed: String::new(),
        note: meaning_of(&of.error, None)
            .map(|meaning| meaning.what.to_owned())
            .unwrap_or_default(),
    };
    told.errors.iter().map(line).collect()
}
