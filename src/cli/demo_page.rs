//! The demonstration's web page: a link that logs in, and changes that keep coming while somebody looks.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::login_link::{token_of_link, url_of};
use super::output::{data, say};
use crate::api::door::DoorOptions;
use crate::api::{self, Api};
use crate::config::{ApiSettings, RawApi};
use crate::http::receiver::Received;
use crate::ops::{Operator, Scope, Service};
use crate::pg;
use crate::subscription::Draft;
use crate::{Error, Result};

/// Where the page is, if nobody else is there.
const PORT: u16 = 8075;

/// Between two changes: slow enough to read.
const PAUSE: Duration = Duration::from_millis(1500);

/// What goes on in a company, over and over: each as Odoo writes it.
const CHANGES: [&str; 6] = [
    "update sale_order set state = 'sale', write_uid = 2, write_date = now() at time zone 'utc'
      where id = (select id from sale_order where state in ('draft', 'sent') order by random() limit 1)",
    "update sale_order set state = 'draft', write_uid = 2, write_date = now() at time zone 'utc'
      where id = (select id from sale_order where state = 'sale' order by random() limit 1)",
    "insert into project_task (name, project_id, state, active, create_uid, create_date, write_uid, write_date)
     select (array['Call the customer', 'Write the offer', 'Check the delivery', 'Send the invoice'])[1 + (random() * 3)::integer],
            min(id), '01_in_progress', true, 2, now() at time zone 'utc', 2, now() at time zone 'utc' from project_project",
    "update project_task set state = '1_done', write_uid = 2, write_date = now() at time zone 'utc'
      where id = (select id from project_task where state <> '1_done' order by random() limit 1)",
    "update res_partner set city = (array['Brussels', 'Lyon', 'Porto', 'Graz'])[1 + (random() * 3)::integer], write_uid = 2,
            write_date = now() at time zone 'utc' where id = (select id from res_partner order by random() limit 1)",
    "update sale_order set client_order_ref = 'PO ' || (1000 + (random() * 8999)::integer), write_uid = 2,
            write_date = now() at time zone 'utc' where id = (select id from sale_order order by random() limit 1)",
];

/// The demonstration's page.
pub(super) struct DemoPage {
    address: SocketAddr,
    task: JoinSet<()>,
}

impl DemoPage {
    /// Serves it.
    ///
    /// # Errors
    /// When no address of this machine can be had.
    pub(super) async fn serve(door: DoorOptions, stop: CancellationToken) -> Result<Self> {
        let settings = ApiSettings::resolve(
            RawApi {
                listen: Some(PORT.to_string()),
                ..RawApi::default()
            },
            RawApi::default(),
        )?;
        let usual = SocketAddr::from(([127, 0, 0, 1], PORT));
        let listener = match api::listen(usual).await {
            Ok(listener) => listener,
            Err(_) => api::listen(SocketAddr::from(([127, 0, 0, 1], 0))).await?,
        };
        let address = listener
            .local_addr()
            .map_err(|e| Error::other("cannot tell where the page is served").with_source(e))?;
        let mut task = JoinSet::new();
        task.spawn(Api::new(settings, vec![door], stop).run(listener));
        Ok(Self { address, task })
    }

    /// Prints a link that logs in.
    ///
    /// # Errors
    /// Database errors.
    pub(super) async fn invite(&self, verbs: &Service) -> Result<()> {
        let token = token_of_link(verbs, [Scope::Admin].into(), None, None).await?;
        let link = verbs.create_login_link(&Operator::of_database(), token).await?;
        let url = url_of(&format!("http://localhost:{}", self.address.port()), &link);
        data(format_args!("\n== The web page: open this, it logs in once\n   {url}"))
    }

    /// Waits until it has stopped.
    pub(super) async fn ended(mut self) {
        while self.task.join_next().await.is_some() {}
    }
}

/// Whether somebody sits there who could look at the page.
pub(super) fn somebody_looks() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// Waits for the Enter key.
pub(super) async fn until_enter() {
    say("press Enter to end; `make demo ARGS=--stay` keeps changes coming");
    let mut line = String::new();
    let mut input = tokio::io::BufReader::new(tokio::io::stdin());
    // Whatever comes, a line or the end of the input, it is over.
    let _ = tokio::io::AsyncBufReadExt::read_line(&mut input, &mut line).await;
}

/// Subscriptions of every kind that a page has a badge for.
///
/// # Errors
/// Database errors.
pub(super) async fn subscribe_to_more(verbs: &Service, operator: &Operator, url: &str, secret: &str) -> Result<()> {
    for options in [
        json!({"name": "tasks that are done, to Slack", "model": "project.task", "event_type": "write", "fields": ["state"],
               "domain": "[('state', '=', '1_done')]", "trigger_mode": "enter", "webhook_url": url, "created_from": "ai",
               "connection": "Claude", "webhook_secret": secret, "webhook_payload_template": "slack", "enrich_fields": ["name", "project_id.name"]}),
        json!({"name": "orders with values before and after", "model": "sale.order", "event_type": "write", "webhook_url": url, "webhook_secret": secret,
               "fields": ["state", "client_order_ref"], "payload_fields": ["name", "state", "client_order_ref", "partner_id{name}"]}),
        json!({"name": "partners to a program that is down", "model": "res.partner", "event_type": "write", "fields": ["city"],
               "webhook_url": "http://127.0.0.1:9/hooks/partners", "max_attempts": 2, "retry_first_ms": 2000}),
        json!({"name": "watched by an assistant", "model": "sale.order", "event_type": "create", "created_from": "ai",
               "connection": "ChatGPT", "webhook_url": ""}),
    ] {
        let made = Box::pin(verbs.create_subscription(operator, Draft::parse(options)?)).await;
        made.map_err(Error::from)?;
    }
    Ok(())
}

/// Keeps changes coming until somebody stops it, and takes what arrives.
///
/// # Errors
/// Database errors.
pub(super) async fn keep_going(odoo: &pg::Client, deliveries: &mut mpsc::Receiver<Received>) -> Result<()> {
    say("changes keep coming; Ctrl-C ends it and removes everything");
    let mut tick = tokio::time::interval(PAUSE);
    let mut changes = CHANGES.iter().cycle();
    loop {
        tokio::select! {
            _ = tick.tick() => if let Some(change) = changes.next() {
                odoo.batch_execute(change).await.map_err(|e| Error::database("change records", e))?;
            },
            Some(_) = deliveries.recv() => {}
        }
    }
}
