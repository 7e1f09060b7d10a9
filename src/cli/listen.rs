//! `listen`: events as they come, printed or posted to a program on this machine.

use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use tokio::io::Interest;
use tokio::net::unix::pipe;

use super::output::{data, say};
use super::receive::{Style, indent, render_body, stopped, visible};
use super::secret::SecretArgs;
use super::verbs;
use crate::http::client::Attempt;
use crate::ops::error::Error as Refused;
use crate::ops::feed::forward::Forwarder;
use crate::ops::feed::{FEED_LIMIT_AT_MOST, FeedEvent, FeedPage};
use crate::ops::{Operator, Service};
use crate::pg::connect::Database;
use crate::signature::Secret;
use crate::subscription::choices::EndpointSource;
use crate::subscription::{Draft, View};
use crate::{Error, Result};

/// How long one wait for events lasts; the next one begins at once.
const WAIT: Duration = Duration::from_secs(30);

/// Pauses between tries while the database is away.
const AWAY_FIRST: Duration = Duration::from_millis(500);
const AWAY_MOST: Duration = Duration::from_secs(10);

/// What a subscription is called that is made here.
const NAME: &str = "odoo-eventd listen";

/// Whose events, and what to do with them.
#[derive(Debug, Args)]
pub struct Listen {
    /// A subscription that is there
    #[arg(long, value_name = "ID", conflicts_with_all = ["model", "event", "domain", "fields", "payload_fields"])]
    subscription: Option<i32>,
    /// Odoo model: sale.order; for a subscription that goes when this ends
    #[arg(long, required_unless_present = "subscription")]
    model: Option<String>,
    /// create, write, unlink or all [default: all]
    #[arg(long)]
    event: Option<String>,
    /// Odoo domain: [('state', '=', 'sale')] [default: every record]
    #[arg(long)]
    domain: Option<String>,
    /// Watched fields, for write events; none = any stored field
    #[arg(long, value_delimiter = ',', value_name = "FIELD,..")]
    fields: Vec<String>,
    /// Fields to tell: 'name,partner_id.email,order_line{product_id.name}'
    #[arg(long, value_name = "PATH,..")]
    payload_fields: Vec<String>,
    /// Post events to an address of this machine, as they would be sent, and show the answers: localhost:3000/hook
    #[arg(long, value_name = "URL")]
    forward_to: Option<String>,
    #[command(flatten)]
    secret: SecretArgs,
    /// Print each event as one line of JSON
    #[arg(long)]
    json: bool,
    /// Remember in this file which events were handed out, and go on there the next time
    #[arg(long, value_name = "FILE", conflicts_with = "model")]
    cursor_file: Option<PathBuf>,
}

/// Prints or forwards events until Ctrl-C, SIGTERM, or nobody reads what is printed.
///
/// # Errors
/// Wrong use; a subscription that is not there any more; output or the cursor's file that cannot be written.
pub async fn listen(database: Database, args: Listen) -> Result<()> {
    let forwarder = forwarder(&args)?;
    let service = verbs(database).await?;
    let operator = Operator::of_database().leasing();
    let (subscription, is_ours) = match args.subscription {
        Some(id) => (existing(&service, &operator, id).await?, false),
        None => (made(&service, &operator, &args).await?, true),
    };
    let session = Listening {
        service: &service,
        operator: &operator,
        subscription,
        args: &args,
        forwarder,
    };
    let ended = tokio::select! {
        ended = session.run() => ended,
        () = stopped() => Ok(()),
        () = nobody_reads() => Ok(()),
    };
    if is_ours {
        // Should this fail, its lease ends it.
        let gone = service.delete_subscription(&operator, subscription, None).await;
        if let Err(error) = gone {
            let error = Error::from(error);
            say(format_args!(
                "subscription {subscription} is left behind and ends by itself: {}",
                error.chain()
            ));
        }
    }
    match ended {
        // `odoo-eventd listen | head -1` has seen enough.
        Err(error) if error.is_closed_pipe() => Ok(()),
        ended => ended,
    }
}

fn forwarder(args: &Listen) -> Result<Option<Forwarder>> {
    let Some(address) = &args.forward_to else {
        return Ok(None);
    };
    let mut secrets = args.secret.read()?;
    if secrets.is_empty() {
        let secret = format!("whsec_{}", STANDARD.encode(rand::random::<[u8; 32]>()));
        say(format_args!("no secret was given; events are signed with {secret}"));
        secrets.push(Secret::parse(secret)?);
    }
    Forwarder::new(address, secrets).map(Some)
}

/// Ends when whoever reads the output has gone, also while there is nothing to print. Files and terminals have no such end.
async fn nobody_reads() {
    let watched = std::io::stdout()
        .as_fd()
        .try_clone_to_owned()
        .and_then(pipe::Sender::from_owned_fd_unchecked);
    if let Ok(watched) = watched
        && watched.ready(Interest::ERROR).await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

async fn existing(service: &Service, operator: &Operator, id: i32) -> Result<i32> {
    let View {
        webhook_url,
        endpoint_source,
        in_session,
        active,
        ..
    } = service.subscription(operator, id).await?.subscription;
    let is_sent = webhook_url.is_some_and(|url| !url.is_empty()) || endpoint_source == EndpointSource::Record;
    if is_sent && !in_session {
        return Err(Error::usage(format!(
            "the events of subscription {id} are sent and not kept for readers"
        ))
        .with_hint(format!(
            "UPDATE mcp_event_subscription SET in_session = true WHERE id = {id}"
        )));
    }
    if !active {
        say(format_args!(
            "subscription {id} is not active: what is left of its events is all there is"
        ));
    }
    Ok(id)
}

async fn made(service: &Service, operator: &Operator, args: &Listen) -> Result<i32> {
    let draft = Draft {
        name: Some(NAME.to_owned()),
        model: args.model.clone(),
        event_type: args.event.as_deref().map(str::parse).transpose()?,
        domain: args.domain.clone(),
        fields: Some(args.fields.clone()),
        payload_fields: Some(args.payload_fields.clone()),
        ..Draft::default()
    };
    let made = Box::pin(service.create_subscription(operator, draft)).await?;
    let id = made.row.subscription.id;
    if !made.captured {
        say(format_args!("the table is busy: events come once it can be captured"));
    }
    Ok(id)
}

/// One run of the command.
struct Listening<'a> {
    service: &'a Service,
    operator: &'a Operator,
    subscription: i32,
    args: &'a Listen,
    forwarder: Option<Forwarder>,
}

impl Listening<'_> {
    async fn run(&self) -> Result<()> {
        let mut cursor = self.remembered()?;
        // Of a subscription that was made here all events are wanted.
        if cursor.is_none() && self.args.subscription.is_some() {
            let end = self.service.feed_end(self.operator, self.subscription).await?;
            self.remember(&end)?;
            cursor = Some(end);
        }
        self.greet().await?;
        let mut away = AWAY_FIRST;
        loop {
            let page = self
                .service
                .wait_feed(
                    self.operator,
                    self.subscription,
                    cursor.as_deref(),
                    FEED_LIMIT_AT_MOST,
                    WAIT,
                )
                .await;
            let page = match page {
                Ok(page) => page,
                Err(Refused::Unavailable(error) | Refused::Busy(error)) => {
                    if away == AWAY_FIRST {
                        say(format_args!("the database is away, trying again: {}", error.chain()));
                    }
                    tokio::time::sleep(away).await;
                    away = (away * 2).min(AWAY_MOST);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            away = AWAY_FIRST;
            cursor = Some(self.hand_out(page).await?);
        }
    }

    async fn greet(&self) -> Result<()> {
        let to = match &self.forwarder {
            Some(forwarder) => format!(", forwarding to {}", forwarder.url()),
            None => String::new(),
        };
        say(format_args!(
            "listening to subscription {}{to}; Ctrl-C stops",
            self.subscription
        ));
        if self.service.overview(self.operator).await?.leading_since.is_none() {
            say("no service leads this database: events come once `odoo-eventd run` does");
        }
        Ok(())
    }

    /// Prints or forwards the events of a page; returns the cursor behind them.
    async fn hand_out(&self, page: FeedPage) -> Result<String> {
        if page.truncated {
            say("events were missed: they are not kept any more, or the database was put back");
        }
        for event in &page.events {
            let answer = match &self.forwarder {
                Some(forwarder) => Some(Answer::of(forwarder.forward(self.subscription, event).await?)),
                None => None,
            };
            self.print(event, answer)?;
            self.remember(&event.cursor)?;
        }
        if page.truncated {
            self.remember(&page.cursor)?;
        }
        Ok(page.cursor)
    }

    fn print(&self, event: &FeedEvent, answer: Option<Answer>) -> Result<()> {
        if self.args.json {
            let line = serde_json::to_string(&Line { event, answer })
                .map_err(|e| Error::other("cannot print JSON").with_source(e))?;
            // In JSON a line break is never part of a text.
            data(line.replace(['\n', '\r'], " "))?;
        } else {
            data(render(event, answer.as_ref(), Style::of(&std::io::stdout())))?;
        }
        std::io::stdout()
            .flush()
            .map_err(|e| Error::other("cannot write to stdout").with_source(e))
    }

    fn remembered(&self) -> Result<Option<String>> {
        let Some(file) = &self.args.cursor_file else {
            return Ok(None);
        };
        match std::fs::read_to_string(file) {
            Ok(cursor) => Ok(Some(cursor.trim().to_owned()).filter(|cursor| !cursor.is_empty())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(cannot_use(file, error)),
        }
    }

    /// Whole or not at all: a file that was half written would begin anew.
    fn remember(&self, cursor: &str) -> Result<()> {
        let Some(file) = &self.args.cursor_file else {
            return Ok(());
        };
        let mut beside = file.clone().into_os_string();
        beside.push(".new");
        std::fs::write(&beside, format!("{cursor}\n"))
            .and_then(|()| std::fs::rename(&beside, file))
            .map_err(|error| cannot_use(file, error))
    }
}

fn cannot_use(file: &Path, error: std::io::Error) -> Error {
    Error::usage(format!("cannot use the cursor file {}", file.display()))
        .with_source(error)
        .with_hint("name a file in a directory that this user may write to")
}

/// An event as a line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    event: &'a FeedEvent,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Answer>,
}

/// What came of forwarding an event.
#[derive(Serialize)]
struct Answer {
    status: Option<u16>,
    error: Option<&'static str>,
    detail: Option<String>,
    body: String,
    duration_ms: u128,
}

impl Answer {
    fn of(attempt: Attempt) -> Self {
        Self {
            status: attempt.status,
            error: attempt.outcome.failure.map(|failure| failure.as_str()),
            detail: attempt.detail,
            body: attempt.response.text,
            duration_ms: attempt.duration.as_millis(),
        }
    }
}

fn render(event: &FeedEvent, answer: Option<&Answer>, style: Style) -> String {
    let at = Timestamp::now().strftime("%H:%M:%S").to_string();
    let name = format!("{}.{}", event.model, event.event_type);
    let head = format!(
        "{} {}  event {}",
        style.paint("2", &at),
        style.paint("1", &visible(&name)),
        event.event_id
    );
    let body = indent(&render_body(event.body.as_bytes()));
    let Some(answer) = answer else {
        return format!("{head}\n{}", body.trim_end());
    };
    let came = match (answer.status, answer.error) {
        (Some(status), None) => style.paint("32", &format!("[{status}]")),
        (Some(status), Some(error)) => style.paint("31", &format!("[{status} {error}]")),
        (None, error) => style.paint("31", &format!("[{}]", error.unwrap_or("no answer"))),
    };
    let detail = answer.detail.as_deref().map(|detail| format!(" {}", visible(detail)));
    let said = match answer.body.trim() {
        "" => String::new(),
        said => format!("\n{}", indent(&visible(said)).trim_end()),
    };
    format!(
        "{head}\n{}\n  <-- {came} in {} ms{}{said}",
        body.trim_end(),
        answer.duration_ms,
        detail.unwrap_or_default()
    )
}
