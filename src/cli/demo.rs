//! `demo`: the main job, on a throw-away PostgreSQL, in under a minute.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::demo_page::{self, DemoPage};
use super::output::{data, say};
use super::receive::{Style, render};
use crate::api::door::DoorOptions;
use crate::demo::{Cluster, Durability, ODOO_SHAPED, Options as ClusterOptions};
use crate::endpoint::guard::Guard;
use crate::http::client::{Client, ClientConfig};
use crate::http::receiver::{Received, Receiver, ReceiverConfig};
use crate::ops::deliveries::read::AttemptFilter;
use crate::ops::page::PageRequest;
use crate::ops::{Operator, Service};
use crate::pg::connect::Database;
use crate::pg::feed::Keeping;
use crate::pg::subscriptions::GiveUp;
use crate::pg::{self, schema};
use crate::signature::Secret;
use crate::subscription::draft::Draft;
use crate::worker::deliver::slots::Limits;
use crate::worker::term::budget::Budget;
use crate::worker::term::supervisor::{self, Options};
use crate::worker::upkeep::admission::ServiceRules;
use crate::worker::vitals::Vitals;
use crate::{Error, Result};

/// How long to show it: everything it uses is its own.
#[derive(Debug, Args)]
pub struct Demo {
    /// Keep changes coming until Ctrl-C, so that the web page has something to show
    #[arg(long)]
    stay: bool,
}

/// Long enough for a laptop that is busy with something else; everything takes milliseconds.
const ARRIVES_WITHIN: Duration = Duration::from_secs(20);

const SECRET: &str = "a-secret-that-only-you-and-odoo-eventd-know";

/// One business action, as Odoo writes it, and what is to arrive.
struct Act {
    title: &'static str,
    sql: &'static str,
    deliveries: usize,
}

const ACTS: [Act; 5] = [
    Act {
        title: "A user confirms a quotation: two statements of one transaction, as Odoo writes them",
        sql: "begin isolation level repeatable read;
              update sale_order set state = 'sale', date_order = now() at time zone 'utc', write_uid = 2, write_date = now() at time zone 'utc'
               where id = (select min(id) from sale_order where state = 'draft');
              update sale_order set invoice_status = 'to invoice', write_uid = 2, write_date = now() at time zone 'utc'
               where write_date = now() at time zone 'utc';
              commit;",
        deliveries: 1,
    },
    Act {
        title: "A confirmation that fails: the transaction is rolled back, and nothing may arrive",
        sql: "begin; update sale_order set state = 'sale' where state = 'draft'; rollback;",
        deliveries: 0,
    },
    Act {
        title: "A field that nobody watches, and a draft that stays a draft: nothing may arrive",
        sql: "update sale_order set client_order_ref = 'PO 4711'; update sale_order set state = 'sent' where state = 'draft';",
        deliveries: 0,
    },
    Act {
        title: "Raw SQL, past Odoo's ORM: every order that was sent is confirmed at once",
        sql: "update sale_order set state = 'sale' where state = 'sent';",
        deliveries: 1,
    },
    Act {
        title: "A task is created and completed in one transaction: one create, with its last values",
        sql: "begin;
              insert into project_task (name, project_id, state, active, create_uid, create_date, write_uid, write_date)
              select 'Call the customer', min(id), '01_in_progress', true, 2, now() at time zone 'utc', 2, now() at time zone 'utc'
                from project_project;
              update project_task set priority = '1' where id = (select max(id) from project_task);
              commit;",
        deliveries: 1,
    },
];

/// Shows the main job.
///
/// # Errors
/// No PostgreSQL server programs (the hint says what to install); anything that does not go as it should.
pub async fn demo(args: Demo) -> Result<()> {
    let stop = CancellationToken::new();
    let shown = show(args.stay, stop.clone());
    tokio::select! {
        shown = shown => shown,
        // The cluster is removed when `show` is dropped. Who asked it to stay ends it so.
        _ = tokio::signal::ctrl_c() => match args.stay {
            true => Ok(()),
            false => Err(Error::other("stopped; nothing was left behind")),
        },
    }
}

async fn show(stays: bool, stop: CancellationToken) -> Result<()> {
    let (cluster, database, odoo) = start().await?;
    let client = install(&database).await?;

    let (sender, mut deliveries) = mpsc::channel(64);
    let receiver = Receiver::start(
        ReceiverConfig {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            secrets: vec![Secret::parse(SECRET)?],
            status: None,
            delay: Duration::ZERO,
        },
        sender,
    )
    .await?;
    let guard = Guard::new(&["127.0.0.0/8"], &[])?;
    let rules = ServiceRules {
        guard: guard.clone(),
        keyring: None,
    };
    let client_of_service = Client::new(ClientConfig::new(guard.clone()))?;
    let door = DoorOptions {
        name: database.name().to_owned(),
        database: database.clone(),
        rules: rules.clone(),
        client: client_of_service.clone(),
        sessions: 8,
        requests_per_second: 50,
    };
    let (verbs, operator) = (
        super::verbs_under(database.clone(), rules).await?,
        Operator::of_database(),
    );
    let url = format!("{}/hooks/odoo", receiver.url().trim_end_matches('/'));
    subscribe(&verbs, &operator, &url).await?;

    let mut service = JoinSet::new();
    let (_, options) = tokio::sync::watch::channel(Options {
        name: database.name().to_owned(),
        database: database.clone(),
        client: client_of_service,
        guard,
        keyring: None,
        poll_interval: Duration::from_secs(2),
        limits: Limits {
            total: 64,
            per_endpoint: 64,
            per_subscription: 16,
        },
        give_up: GiveUp {
            after: Duration::ZERO,
            after_failures: 0,
        },
        grace: Duration::from_secs(5),
        log_retention_days: 0,
        feed: Keeping::default(),
        state_directory: None,
    });
    let vitals = Arc::new(Vitals::new(Duration::from_secs(300)));
    service.spawn(supervisor::run(options, Budget::new(64), vitals, stop.clone()));
    let page = DemoPage::serve(door, stop.clone()).await?;
    let arrived = act_and_show(&odoo, &mut deliveries).await?;
    if stays {
        demo_page::subscribe_to_more(&verbs, &operator, &url, SECRET).await?;
        page.invite(&verbs).await?;
        demo_page::keep_going(&odoo, &mut deliveries).await?;
    } else if demo_page::somebody_looks() {
        page.invite(&verbs).await?;
        demo_page::until_enter().await;
    }
    stop.cancel();
    page.ended().await;
    while let Some(ended) = service.join_next().await {
        ended.map_err(|e| Error::other("the service died").with_source(e))??;
    }
    data("\n== The log: public.mcp_webhook_delivery")?;
    let log = verbs
        .attempts(&operator, &AttemptFilter::default(), &PageRequest::first(20))
        .await?;
    super::deliveries::print(&log.items)?;
    say(format_args!(
        "\n{arrived} signed deliveries arrived and were verified; nothing else did. Removing everything again."
    ));
    drop((client, verbs));
    tokio::task::spawn_blocking(move || drop(cluster))
        .await
        .map_err(|e| Error::other("cannot remove the throw-away PostgreSQL").with_source(e))
}

/// A server of its own, with a database that looks like Odoo's, and Odoo's session there.
async fn start() -> Result<(Cluster, Database, pg::Client)> {
    say("starting a throw-away PostgreSQL ..");
    let cluster = tokio::task::spawn_blocking(|| -> Result<Cluster> {
        let cluster = Cluster::start(ClusterOptions::new().durability(Durability::Off))?;
        cluster.create_role("odoo", "")?;
        cluster.create_database("odoo", "odoo")?;
        Ok(cluster)
    })
    .await
    .map_err(|e| Error::other("cannot start the demonstration").with_source(e))??;
    let database = Database::parse(&cluster.url("odoo", "postgres"))?;
    let odoo = Database::parse(&cluster.url("odoo", "odoo"))?.connect().await?;
    // Our own sessions look for names in the catalogue alone; this one is Odoo's.
    odoo.batch_execute("set search_path = public")
        .await
        .map_err(|e| Error::database("look for tables where Odoo does", e))?;
    odoo.batch_execute(ODOO_SHAPED)
        .await
        .map_err(|e| Error::database("make Odoo-shaped tables", e))?;
    Ok((cluster, database, odoo))
}

async fn install(database: &Database) -> Result<pg::Client> {
    say("installing: roles, tables, functions");
    let mut client = database.connect().await?;
    let roles = schema::Roles {
        listener: "odoo_eventd_listener".to_owned(),
        installer: "odoo_eventd_installer".to_owned(),
    };
    schema::install(&mut client, &roles).await?;
    Ok(client)
}

async fn subscribe(verbs: &Service, operator: &Operator, url: &str) -> Result<()> {
    for options in [
        json!({"name": "confirmed orders", "model": "sale.order", "event_type": "write", "fields": ["state"],
               "domain": "[('state', '=', 'sale')]", "webhook_url": url, "webhook_secret": SECRET}),
        json!({"name": "new tasks", "model": "project.task", "event_type": "create", "webhook_url": url, "webhook_secret": SECRET}),
    ] {
        let made = Box::pin(verbs.create_subscription(operator, Draft::parse(options.clone())?)).await;
        let made = made.map_err(Error::from)?;
        say(format_args!(
            "subscription {}: {} of {}, domain {}, watching {}",
            made.row.subscription.id,
            options["event_type"].as_str().unwrap_or_default(),
            options["model"].as_str().unwrap_or_default(),
            options["domain"].as_str().unwrap_or("[]"),
            options["fields"].as_array().map_or("every field".to_owned(), |f| f
                .iter()
                .filter_map(|v| v.as_str())
                .collect::<Vec<_>>()
                .join(", ")),
        ));
    }
    Ok(())
}

/// Changes records as Odoo would, and shows what arrives. Returns how many deliveries did.
async fn act_and_show(odoo: &pg::Client, deliveries: &mut mpsc::Receiver<Received>) -> Result<usize> {
    let mut arrived = 0;
    for act in &ACTS {
        data(format_args!("\n== {}", act.title))?;
        for line in act.sql.lines() {
            data(format_args!("   {}", line.trim()))?;
        }
        odoo.batch_execute(act.sql)
            .await
            .map_err(|e| Error::database("change records", e))?;
        for _ in 0..act.deliveries {
            let received = tokio::time::timeout(ARRIVES_WITHIN, deliveries.recv())
                .await
                .ok()
                .flatten()
                .ok_or_else(|| Error::other("a delivery did not arrive"))?;
            show_delivery(&received)?;
            arrived += 1;
        }
    }
    // What must not arrive would have come before the last delivery: deliveries are made in the order of commits.
    if let Ok(received) = deliveries.try_recv() {
        show_delivery(&received)?;
        return Err(Error::other("something arrived that should not have"));
    }
    Ok(arrived)
}

fn show_delivery(received: &Received) -> Result<()> {
    data(render(received, Style::of(&std::io::stdout())).trim_end())?;
    if received.is_verified() {
        Ok(())
    } else {
        Err(Error::other("a delivery arrived whose signature is wrong"))
    }
}
