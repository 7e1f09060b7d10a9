//! `subscribe`, `unsubscribe`.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use serde_json::{Map, Value, json};

use super::output::{self, Json, data, say};
use super::secret::read_secret_file;
use super::{verbs, verbs_under};
use crate::endpoint::guard::Guard;
use crate::ops::subscriptions::preview::Preview;
use crate::ops::{Operator, Service};
use crate::payload::template::Template;
use crate::pg::connect::Database;
use crate::subscription::choices::{TriggerMode, WantedEvents};
use crate::subscription::draft::Draft;
use crate::worker::upkeep::admission::ServiceRules;
use crate::{Error, Result};

/// A new subscription; flags are named after the columns of `mcp_event_subscription`.
#[derive(Args)]
#[allow(missing_debug_implementations, reason = "it may hold a secret")]
pub struct Subscribe {
    /// Odoo model: sale.order
    #[arg(long)]
    model: String,
    /// create, write, unlink or all [default: all]
    #[arg(long, alias = "event-type")]
    event: Option<String>,
    /// Odoo domain: [('state', '=', 'sale')] [default: every record]
    #[arg(long)]
    domain: Option<String>,
    /// Watched fields, for write events; none = any stored field
    #[arg(long, value_delimiter = ',', value_name = "FIELD,..")]
    fields: Vec<String>,
    /// match, enter or leave the domain [default: match]
    #[arg(long)]
    trigger_mode: Option<String>,
    /// Where to send: https://.. ; none = events are read from the feed
    #[arg(long, alias = "webhook-url")]
    url: Option<String>,
    /// Its events can be read from the feed too, although they are sent
    #[arg(long)]
    in_session: bool,
    /// static: everything goes to --url. record: to the URL that mcp_record_callback has for each record [default: static]
    #[arg(long, value_name = "SOURCE")]
    endpoint_source: Option<String>,
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
    /// json or xml [default: json]
    #[arg(long)]
    format: Option<String>,
    /// A larger body is sent without its records [default: 262144]
    #[arg(long, value_name = "BYTES")]
    max_body_bytes: Option<i32>,
    /// GET, POST, PUT, PATCH or DELETE [default: POST]
    #[arg(long, value_name = "METHOD")]
    http_method: Option<String>,
    /// A header to send: 'X-Team: sales'; may be repeated
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// Language of translated values: fr_FR
    #[arg(long)]
    lang: Option<String>,
    /// Limit of one request, everything included [default: 5000]
    #[arg(long, value_name = "MS")]
    timeout_ms: Option<i32>,
    /// 1 = one shot; more = at least once [default: 1]
    #[arg(long, value_name = "N")]
    max_attempts: Option<i32>,
    /// With more than one attempt: the wait after the first, doubled by each further one [default: 60000]
    #[arg(long, value_name = "MS")]
    retry_first_ms: Option<i32>,
    /// The longest wait between two attempts [default: 86400000]
    #[arg(long, value_name = "MS")]
    retry_max_ms: Option<i32>,
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
    /// transaction or record [default: transaction]
    #[arg(long)]
    grouping: Option<String>,
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
            event_type: choice(self.event.as_deref())?,
            domain: self.domain.clone(),
            fields: Some(fields),
            trigger_mode: choice(self.trigger_mode.as_deref())?,
            user_id: self.user_id,
            webhook_url: self.url.clone(),
            webhook_secret: secret,
            auth,
            payload_fields: Some(self.payload_fields.clone()),
            enrich_fields: Some(self.enrich_fields.clone()),
            webhook_payload_template: template,
            format: choice(self.format.as_deref())?,
            max_body_bytes: self.max_body_bytes,
            http_method: choice(self.http_method.as_deref())?,
            headers: Some(headers),
            lang: self.lang.clone(),
            timeout_ms: self.timeout_ms,
            max_attempts: self.max_attempts,
            retry_first_ms: self.retry_first_ms,
            retry_max_ms: self.retry_max_ms,
            retry_jitter: self.no_retry_jitter.then_some(false),
            in_session: self.in_session.then_some(true),
            ordered: self.ordered.then_some(true),
            rate_limit: self.rate_limit,
            grouping: choice(self.grouping.as_deref())?,
            max_event_age: self.max_event_age.clone(),
            ignore_user_ids: Some(self.ignore_user_ids.clone()),
            endpoint_source: choice(self.endpoint_source.as_deref())?,
            ..Draft::default()
        })
    }
}

/// One of a column's values, if one was named.
fn choice<T: FromStr<Err = Error>>(named: Option<&str>) -> Result<Option<T>> {
    named.map(str::parse).transpose()
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
    let draft = match args.draft() {
        Ok(draft) => draft,
        // Of a column, as the database's own refusals are.
        Err(error) if error.column().is_some() => {
            print_refusal(&error, args.dry_run && args.output.json)?;
            return Err(match args.dry_run {
                true => error,
                false => not_added(error),
            });
        }
        Err(error) => return Err(error),
    };
    let service = verbs_under(database, ServiceRules { guard, keyring: None }).await?;
    let operator = Operator::of_database();
    if args.dry_run {
        return dry_run(&service, &operator, draft, args.output).await;
    }
    let made = Box::pin(service.create_subscription(&operator, draft)).await;
    let made = made.map_err(|error| not_added(error.into()))?;
    let id = made.row.subscription.id;
    if args.output.json {
        output::json(&json!({ "id": id, "captured": made.captured }))?;
    } else {
        data(id)?;
    }
    if made.captured {
        say(format_args!(
            "subscription {id} is ready: changes of {} are captured from now on",
            args.model
        ));
    } else {
        say(format_args!(
            "subscription {id} was added, but the table of {} is busy: the service sets up its triggers when a lock can be had",
            args.model
        ));
    }
    Ok(())
}

/// Shows what the subscription would be; with `--json` a refusal is an answer as well.
async fn dry_run(service: &Service, operator: &Operator, draft: Draft, output: Json) -> Result<()> {
    match Box::pin(service.preview_subscription(operator, draft)).await {
        Ok(preview) if output.json => output::json(&preview),
        Ok(preview) => data(describe(&preview)),
        Err(error) => {
            let error = Error::from(error);
            print_refusal(&error, output.json && error.is_usage())?;
            Err(error)
        }
    }
}

fn not_added(error: Error) -> Error {
    match error.is_usage() {
        true => error.before("the subscription was not added"),
        false => error,
    }
}

/// What it would be, a line a fact, for people.
fn describe(preview: &Preview) -> String {
    let list = |names: &[String]| match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(", "),
    };
    let event = match preview.event_type {
        WantedEvents::All => "create, write, unlink",
        one => one.as_str(),
    };
    let when = match preview.trigger_mode {
        TriggerMode::Enter => "when a record enters the domain",
        TriggerMode::Leave => "when a record leaves the domain",
        TriggerMode::Match => "when a record matches after the change",
    };
    let matching = match (preview.matching_records, &preview.not_counted) {
        (Some(count), _) => count.to_string(),
        (None, why) => format!("not counted: {}", why.as_deref().unwrap_or("unknown")),
    };
    let sent = match preview.is_sent {
        true => "yes",
        false => "no URL: events are read from the feed, by `odoo-eventd listen` for one",
    };
    let others = match preview.reads_other_records {
        true => "looked at, as they are when an event is processed",
        false => "not looked at",
    };
    format!(
        "model              {} (table {})\nevents             {event}, {when}\nsent               {sent}\ndomain             {}\n\
             matching now       {matching}\nother records      {others}\nwatched columns    {}\ncaptured columns   {}\n\
             \x20 compared         {}\n  kept whole       {}\n  not captured yet {}\ntriggers to make   {}",
        preview.model,
        preview.table,
        preview.domain,
        list(&preview.watched),
        list(&preview.captured),
        list(&preview.compared),
        list(&preview.kept_whole),
        list(&preview.columns_to_add),
        list(&preview.triggers_to_make),
    )
}

fn print_refusal(error: &Error, is_wanted: bool) -> Result<()> {
    if !is_wanted {
        return Ok(());
    }
    let span = error.passage().map(|place| [place.span.start, place.span.end]);
    output::json(&json!({ "refused": error.chain(), "hint": error.hint(), "column": error.column(), "span": span }))
}

/// Deactivates a subscription.
///
/// # Errors
/// No such subscription; database errors.
pub async fn unsubscribe(database: Database, args: Unsubscribe) -> Result<()> {
    let service = verbs(database).await?;
    Box::pin(service.set_active(&Operator::of_database(), args.id, false)).await?;
    say(format_args!("subscription {} is inactive", args.id));
    Ok(())
}
