//! `subscribe`, `unsubscribe`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value, json};
use tokio_postgres::Client;

use super::connect_installed;
use super::output::{self, Json, data, say};
use super::secret::read_secret_file;
use crate::http::guard::Guard;
use crate::payload::template::Template;
use crate::pg::connect::Database;
use crate::subscription::draft::Draft;
use crate::{Error, Result, ops, preview};

/// A new subscription; flags are named after the columns of `mcp_event_subscription`.
#[derive(Args)]
#[allow(missing_debug_implementations, reason = "it may hold a secret")]
pub struct Subscribe {
    /// Odoo model: sale.order
    #[arg(long)]
    model: String,
    /// create, write, unlink or all
    #[arg(long, alias = "event-type", default_value = "all")]
    event: String,
    /// Odoo domain: [('state', '=', 'sale')]
    #[arg(long, default_value = "[]")]
    domain: String,
    /// Watched fields, for write events; none = any stored field
    #[arg(long, value_delimiter = ',', value_name = "FIELD,..")]
    fields: Vec<String>,
    /// match, enter or leave the domain
    #[arg(long, default_value = "match")]
    trigger_mode: String,
    /// Where to send: https://.. ; none = nothing is sent
    #[arg(long, alias = "webhook-url")]
    url: Option<String>,
    /// static: everything goes to --url. record: to the URL that mcp_record_callback has for each record
    #[arg(long, default_value = "static", value_name = "SOURCE", value_parser = ["static", "record"])]
    endpoint_source: String,
    /// Signs the requests; better: --secret-file, which keeps it out of the process list
    #[arg(
        long,
        alias = "webhook-secret",
        env = "ODOO_EVENTD_WEBHOOK_SECRET",
        hide_env_values = true
    )]
    secret: Option<String>,
    /// File whose first line is the secret
    #[arg(long, value_name = "FILE", conflicts_with = "secret")]
    secret_file: Option<PathBuf>,
    /// File with credentials to send: bearer TOKEN, basic USER:PASSWORD, or a header such as X-Api-Key: KEY
    #[arg(long, value_name = "FILE")]
    auth_file: Option<PathBuf>,
    /// A name for people
    #[arg(long)]
    name: Option<String>,
    /// Odoo user who asks for it; `uid` in the domain
    #[arg(long, value_name = "ID")]
    user_id: Option<i32>,
    /// Fields to send: 'name,partner_id.email,lines: order_line{product_id.name,price_unit|round(2)}'
    #[arg(long, value_name = "PATH,..")]
    payload_fields: Vec<String>,
    /// Fields to add to the default body, written alike
    #[arg(long, value_name = "PATH,..")]
    enrich_fields: Vec<String>,
    /// File with a JSON template of the body, or a ready-made one: slack, teams, discord, odoo, cloudevents
    #[arg(long, value_name = "FILE|NAME")]
    template: Option<PathBuf>,
    /// json or xml
    #[arg(long, default_value = "json")]
    format: String,
    /// A larger body is sent without its records
    #[arg(long, default_value_t = 262_144, value_name = "BYTES")]
    max_body_bytes: i32,
    /// GET, POST, PUT, PATCH or DELETE
    #[arg(long, default_value = "POST", value_name = "METHOD")]
    http_method: String,
    /// A header to send: 'X-Team: sales'; may be repeated
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// Language of translated values: fr_FR
    #[arg(long)]
    lang: Option<String>,
    /// Limit of one request, everything included
    #[arg(long, default_value_t = 5000, value_name = "MS")]
    timeout_ms: i32,
    /// 1 = one shot; more = at least once
    #[arg(long, default_value_t = 1, value_name = "N")]
    max_attempts: i32,
    /// With more than one attempt: the wait after the first, doubled by each further one
    #[arg(long, default_value_t = 60_000, value_name = "MS")]
    retry_first_ms: i32,
    /// The longest wait between two attempts
    #[arg(long, default_value_t = 86_400_000, value_name = "MS")]
    retry_max_ms: i32,
    /// Wait in full, instead of a time drawn between nothing and that
    #[arg(long)]
    no_retry_jitter: bool,
    /// One change of a record after the other
    #[arg(long)]
    ordered: bool,
    /// Requests a second at most: 5, 0.5
    #[arg(long, value_name = "N")]
    rate_limit: Option<f64>,
    /// Do not send events older than this: 2h, 30min, 1 day
    #[arg(long, value_name = "TIME")]
    max_event_age: Option<String>,
    /// transaction or record
    #[arg(long, default_value = "transaction")]
    grouping: String,
    /// Changes by these Odoo users are ignored
    #[arg(long, value_delimiter = ',', value_name = "ID,..")]
    ignore_user_ids: Vec<i32>,
    /// Networks that may be called although they are private, as the service's own setting
    #[arg(long, env = "ODOO_EVENTD_ALLOW_NETWORKS", value_delimiter = ',', value_name = "CIDR")]
    allow_networks: Vec<String>,
    /// Ports that may be called at public addresses, as the service's own setting
    #[arg(long, env = "ODOO_EVENTD_ALLOW_PORTS", value_delimiter = ',', value_name = "PORT")]
    allow_ports: Vec<u16>,
    /// Show how many records match now and what would be captured; write nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: Json,
}

/// Which subscription to deactivate.
#[derive(Debug, Args)]
pub struct Unsubscribe {
    /// Its id
    id: i32,
}

impl Subscribe {
    fn draft(&self) -> Result<Draft> {
        let secret = match &self.secret_file {
            Some(path) => Some(read_secret_file(path)?),
            None => self.secret.clone(),
        };
        let auth = self.auth_file.as_deref().map(read_secret_file).transpose()?;
        let template = self.template.as_deref().map(read_template).transpose()?;
        let fields: Vec<String> = self
            .fields
            .iter()
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty())
            .collect();
        let mut headers = Map::new();
        for header in &self.headers {
            let Some((name, value)) = header.split_once(':') else {
                return Err(Error::usage("a header has no colon").with_hint("write --header 'Name: value'"));
            };
            headers.insert(name.trim().to_owned(), Value::String(value.trim().to_owned()));
        }
        Ok(Draft {
            name: self.name.clone(),
            model: Some(self.model.clone()),
            event_type: Some(self.event.clone()),
            domain: Some(self.domain.clone()),
            fields: Some(fields),
            trigger_mode: Some(self.trigger_mode.clone()),
            user_id: self.user_id,
            webhook_url: self.url.clone(),
            webhook_secret: secret,
            auth,
            payload_fields: Some(self.payload_fields.clone()),
            enrich_fields: Some(self.enrich_fields.clone()),
            webhook_payload_template: template,
            format: Some(self.format.clone()),
            max_body_bytes: Some(self.max_body_bytes),
            http_method: Some(self.http_method.clone()),
            headers: Some(headers),
            lang: self.lang.clone(),
            timeout_ms: Some(self.timeout_ms),
            max_attempts: Some(self.max_attempts),
            retry_first_ms: Some(self.retry_first_ms),
            retry_max_ms: Some(self.retry_max_ms),
            retry_jitter: Some(!self.no_retry_jitter),
            ordered: Some(self.ordered),
            rate_limit: self.rate_limit,
            grouping: Some(self.grouping.clone()),
            max_event_age: self.max_event_age.clone(),
            ignore_user_ids: Some(self.ignore_user_ids.clone()),
            endpoint_source: Some(self.endpoint_source.clone()),
            ..Draft::default()
        })
    }
}

/// A ready-made template's name, or what is in the file.
fn read_template(path: &Path) -> Result<String> {
    if let Some(shape) = path
        .to_str()
        .filter(|name| Template::shapes().any(|shape| shape == *name))
    {
        return Ok(shape.to_owned());
    }
    std::fs::read_to_string(path).map_err(|e| {
        let shapes: Vec<&str> = Template::shapes().collect();
        Error::usage(format!("cannot read the template {}", path.display()))
            .with_source(e)
            .with_hint(format!("name a file, or one of {}", shapes.join(", ")))
    })
}

/// Adds a subscription.
///
/// # Errors
/// Wrong use; database errors.
pub async fn subscribe(database: Database, args: Subscribe) -> Result<()> {
    let guard = Guard::new(&args.allow_networks, &args.allow_ports)?;
    let draft = args.draft()?;
    let client = connect_installed(&database).await?;
    if args.dry_run {
        return dry_run(&client, &guard, &draft, args.output).await;
    }
    let made = ops::subscribe::subscribe(&client, &guard, &draft).await?;
    if args.output.json {
        output::json(&made)?;
    } else {
        data(made.id)?;
    }
    if made.captured {
        say(format_args!(
            "subscription {} is ready: changes of {} are captured from now on",
            made.id, args.model
        ));
    } else {
        say(format_args!(
            "subscription {} was added, but the table of {} is busy: the service sets up its triggers when a lock can be had",
            made.id, args.model
        ));
    }
    Ok(())
}

/// Shows what the subscription would be; with `--json` a refusal is an answer as well.
async fn dry_run(client: &Client, guard: &Guard, draft: &Draft, output: Json) -> Result<()> {
    let looked = preview::preview(client, guard, draft).await;
    match (&looked, output.json) {
        (Ok(preview), true) => output::json(preview)?,
        (Ok(preview), false) => data(preview.describe())?,
        (Err(error), true) if error.is_usage() => {
            let place = error.passage();
            output::json(&json!({
                "refused": error.chain(), "hint": error.hint(), "column": place.map(|place| place.column),
                "span": place.map(|place| [place.span.start, place.span.end]),
            }))?;
        }
        (Err(_), _) => {}
    }
    looked.map(drop)
}

/// Deactivates a subscription.
///
/// # Errors
/// No such subscription; database errors.
pub async fn unsubscribe(database: Database, args: Unsubscribe) -> Result<()> {
    let client = connect_installed(&database).await?;
    ops::unsubscribe(&client, args.id).await?;
    say(format_args!("subscription {} is inactive", args.id));
    Ok(())
}
