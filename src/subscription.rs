//! Subscriptions: who wants to hear of which changes, and where to.
//!
//! Pure. [`Subscription`] is the row as it was stored; [`Accepted`] is what came out of looking at it against Odoo's metadata: the
//! columns that have to be captured for it and the domain in a form that can be judged. What cannot be done exactly is refused with
//! a sentence (SPEC 3.9).

pub mod draft;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::HeaderMap;
use serde::Deserialize;

use crate::backoff::Backoff;
use crate::domain::DomainError;
use crate::domain::check::{Context, TypedDomain, check_text};
use crate::domain::plan::Plan;
use crate::error::Passage;
use crate::event::{AUDIT_COLUMNS, Change, EventType, Image};
use crate::http::auth::parse_auth;
use crate::http::guard::{Guard, parse_url};
use crate::http::headers::parse_header;
use crate::odoo::registry::{Field, FieldType, Model, Registry, Table, nearest};
use crate::payload::content::{Content, Wishes};
use crate::payload::plan::Inherited;
use crate::payload::value;
use crate::relations::{Need, Watch};
use crate::sealing::{self, Kept, Keyring, Kind, Place};
use crate::signature::Secret;
use crate::{Error, Result};

/// A row of `mcp_event_subscription`, with its secrets.
#[derive(Debug, Clone, Deserialize)]
pub struct Subscription {
    /// The row's id.
    pub id: i32,
    /// Optional, for people.
    pub name: Option<String>,
    /// Odoo model.
    pub model: String,
    /// `create`, `write`, `unlink` or `all`.
    pub event_type: String,
    /// Odoo domain as text.
    pub domain: String,
    /// Watched fields; empty = any.
    #[serde(default)]
    pub fields: Vec<String>,
    /// `match`, `enter` or `leave`.
    pub trigger_mode: TriggerMode,
    /// Odoo user who made it; the domain's `uid`.
    pub user_id: Option<i32>,
    /// False = does nothing.
    pub active: bool,
    /// Where to send; empty = nowhere.
    pub webhook_url: Option<String>,
    /// `static` = `webhook_url`; `record` = the callback URL of each record.
    pub endpoint_source: String,
    /// Signs the requests.
    pub webhook_secret: Option<Redacted>,
    /// Credentials for the endpoint.
    pub auth: Option<Redacted>,
    /// What is kept of its secrets beside those two.
    pub kept: Option<Kept>,
    /// JSON template.
    pub webhook_payload_template: Option<String>,
    /// Fields to send.
    #[serde(default)]
    pub payload_fields: Vec<String>,
    /// Fields to send beside the default body.
    #[serde(default)]
    pub enrich_fields: Vec<String>,
    /// HTTP method.
    pub http_method: String,
    /// Additional headers.
    #[serde(default)]
    pub headers: BTreeMap<String, serde_json::Value>,
    /// `json` or `xml`.
    pub format: String,
    /// Language of translated values.
    pub lang: Option<String>,
    /// Limit of one attempt, everything included.
    pub timeout_ms: u32,
    /// 1 = one-shot.
    pub max_attempts: i32,
    /// The wait after the first failed attempt; doubled by each further one.
    pub retry_first_ms: u32,
    /// The longest wait between two attempts.
    pub retry_max_ms: u32,
    /// Whether waits are drawn, up to their length.
    pub retry_jitter: bool,
    /// Deliveries wait.
    pub paused: bool,
    /// When the service gave the endpoint up.
    pub disabled_at: Option<String>,
    /// One change of a record after the other.
    pub ordered: bool,
    /// Requests a second at most.
    pub rate_limit: Option<serde_json::Number>,
    /// `transaction` or `record`.
    pub grouping: String,
    /// Older events are not sent, in seconds.
    pub max_event_age_s: Option<i64>,
    /// Larger bodies are sent thin.
    pub max_body_bytes: usize,
    /// Changes by these users are ignored.
    #[serde(default)]
    pub ignore_user_ids: Vec<i32>,
    /// `ready`, `invalid` or not looked at yet.
    pub state: Option<String>,
    /// Why it is invalid.
    pub error: Option<String>,
    /// First transaction it is judged on.
    #[serde(deserialize_with = "xid_from_text", default)]
    pub captured_from: Option<u64>,
    /// Identifies this version of the row.
    pub write_stamp: String,
    /// The columns that were recorded as needed when it was last looked at.
    pub needed: Option<BTreeSet<String>>,
    /// Those of them of which a change is worth capturing.
    pub needed_compared: Option<BTreeSet<String>>,
    /// Those of them whose value itself is needed.
    pub needed_whole: Option<BTreeSet<String>>,
    /// What was recorded as needed of other tables, by name.
    #[serde(default)]
    pub needed_elsewhere: BTreeMap<String, Need>,
}

impl Subscription {
    fn wishes(&self) -> Wishes<'_> {
        Wishes {
            payload_fields: &self.payload_fields,
            enrich_fields: &self.enrich_fields,
            template: self.webhook_payload_template.as_deref(),
            format: &self.format,
            max_body_bytes: self.max_body_bytes,
        }
    }
}

fn xid_from_text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<u64>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|t| t.parse().map_err(serde::de::Error::custom)).transpose()
}

/// Text that never shows in a `Debug` print.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Redacted(String);

impl Redacted {
    /// The text itself; for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Subscription {
    /// Opens the secrets that are encrypted, as [`Accepted::check`] needs them.
    ///
    /// # Errors
    /// [`Error::is_usage`] with a sentence that names the column and the keys' ids.
    pub fn open_secrets(&mut self, keyring: Option<&Keyring>) -> Result<()> {
        let Some(kept) = &mut self.kept else { return Ok(()) };
        let open = |kind, sealed: &Option<Vec<u8>>, column: &str| {
            let place = Place {
                secret_ref: kept.secret_ref,
                kind,
            };
            sealing::open(keyring, place, sealed.as_deref()).map_err(|why| {
                Error::usage(format!("{column} cannot be read: {why}")).with_hint(
                    "name the key's file in secret_key_file (ODOO_EVENTD_SECRET_KEY_FILE) and restart, or write the value anew",
                )
            })
        };
        let secret = open(Kind::WebhookSecret, &kept.sealed_secret, "webhook_secret")?;
        let auth = open(Kind::Auth, &kept.sealed_auth, "auth")?;
        let previous = open(
            Kind::WebhookSecret,
            &kept.sealed_previous,
            "the secret before the last rotation",
        )?;
        self.webhook_secret = secret.map(Redacted).or_else(|| self.webhook_secret.take());
        self.auth = auth.map(Redacted).or_else(|| self.auth.take());
        kept.previous_secret = previous.or_else(|| kept.previous_secret.take());
        Ok(())
    }
}

/// When a record that matches the domain counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TriggerMode {
    /// It matches after the change (an unlinked record: before).
    Match,
    /// It matches after and did not before.
    Enter,
    /// It matched before and does not after.
    Leave,
}

impl fmt::Display for TriggerMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Match => "match",
            Self::Enter => "enter",
            Self::Leave => "leave",
        })
    }
}

/// A subscription that can be served.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// The row.
    pub row: Subscription,
    /// Host and port that it sends to; what is sent to one endpoint shares its limit. Empty where nothing is sent.
    pub endpoint: Arc<str>,
    /// Where to send, if anywhere and not to callbacks: read once and not for each attempt.
    pub target: Option<reqwest::Url>,
    /// Requests a second at most.
    pub rate: Option<f64>,
    /// When failed attempts are repeated.
    pub backoff: Backoff,
    /// Signs its requests.
    pub secret: Option<Secret>,
    /// The secret before the last rotation, and until when it signs too, in seconds since 1970.
    pub previous: Option<(Secret, i64)>,
    /// Its own headers and the one that `auth` makes; that one does not show in a `Debug` print.
    pub headers: HeaderMap,
    /// Its domain; `None` = every record.
    pub domain: Option<TypedDomain>,
    /// Columns of the model's table that have to be captured.
    pub columns: BTreeSet<String>,
    /// Those among them of which a change is worth capturing.
    pub compared: BTreeSet<String>,
    /// Those among them whose value itself is needed, however long; of the others it is enough to see that they changed.
    pub whole: BTreeSet<String>,
    /// Watched fields, for write events.
    pub watched: BTreeSet<String>,
    /// Those among them of which a change in another language than the subscription's counts for nothing; by column.
    pub in_one_language: BTreeMap<String, value::Column>,
    /// What is sent.
    pub content: Content,
    /// Those among them whose changes show elsewhere than in a column of their own.
    pub derived: Vec<Watch>,
    /// Those that are inherited and sent, by the parents that keep them.
    pub inherited: Vec<Inherited>,
    /// What has to be captured of other tables than the model's own, by the name under which each is captured.
    pub elsewhere: BTreeMap<String, Need>,
}

impl Accepted {
    /// Looks at a subscription against Odoo's metadata, and at its URL where a guard says which addresses may be called.
    ///
    /// # Errors
    /// [`Error::is_usage`] with a sentence that says what is wrong with it and what to do.
    pub fn check(mut row: Subscription, registry: &Registry, context: &Context, guard: Option<&Guard>) -> Result<Self> {
        let model = known_model(&row.model, registry)?;
        let mut endpoint = Arc::from("");
        let mut target = None;
        if row.endpoint_source == "record" {
            refuse_what_callbacks_never_get(&row)?;
            row.grouping = "record".to_owned();
            endpoint = format!("callbacks of subscription {}", row.id).into();
        }
        if let Some(url) = row.webhook_url.as_deref().filter(|u| !u.is_empty()) {
            let url = match guard {
                Some(guard) => guard.validate_url(url)?,
                None => parse_url(url)?,
            };
            if row.endpoint_source != "record" {
                endpoint = endpoint_of(&url);
                target = Some(url);
            }
        }
        let backoff = Backoff::new(
            Duration::from_millis(row.retry_first_ms.into()),
            Duration::from_millis(row.retry_max_ms.into()),
            row.retry_jitter,
        )?;
        if row.ordered {
            // A lane is the deliveries of one record.
            "record".clone_into(&mut row.grouping);
        }
        let secret = row
            .webhook_secret
            .as_ref()
            .map(|text| Secret::parse(text.reveal()))
            .transpose()?;
        let previous = row
            .kept
            .as_ref()
            .and_then(|kept| kept.previous_secret.as_ref().zip(kept.previous_until_s));
        let previous = previous
            .map(|(text, until)| Secret::parse(text.as_str()).map(|secret| (secret, until)))
            .transpose()?;
        let headers = own_headers(&row)?;
        require_language(&context.lang, registry)?;
        let (watched_columns, derived) = watched_fields(&row, model, registry)?;
        let typed = check_text(&row.domain, &row.model, registry, context)
            .map_err(|error| refused_domain(&error, &row.domain))?;
        if typed.reads_rows_of_record() && matches!(row.event_type.as_str(), "unlink" | "all") {
            return Err(Error::usage(
                "the domain looks at rows that go when the record goes, so it cannot be judged for an unlink",
            )
            .with_hint("subscribe to create or to write"));
        }
        if let Some((link, parent)) = typed.inherited_twice() {
            return Err(Error::usage(format!(
                "domain: it reads a field of which the value is kept two parents away: \"{link}\" leads to a \"{parent}\", which inherits it in turn"
            ))
            .with_hint(format!("what it was in an event is known one parent away only; subscribe to \"{parent}\"")));
        }
        let domain = (*typed.plan() != Plan::Const(Some(true))).then_some(typed);
        let content = Content::new(row.wishes(), model, registry, context)?;
        let in_one_language = in_one_language(&row, model);
        let sent = content.plan.iter().flat_map(|plan| plan.captured_columns());
        let links = domain
            .iter()
            .flat_map(|d| d.inherited())
            .map(|inherited| inherited.link.clone());
        let whole: BTreeSet<String> = domain
            .iter()
            .flat_map(|d| d.own_columns().iter().cloned())
            .chain(links)
            .chain(sent)
            .chain(in_one_language.keys().cloned())
            .filter(|c| *c != "id")
            .collect();
        let columns: BTreeSet<String> = watched_columns.union(&whole).cloned().collect();
        let compared = columns
            .iter()
            .filter(|c| !AUDIT_COLUMNS.contains(&c.as_str()))
            .cloned()
            .collect();
        let inherited = content.plan.iter().flat_map(|plan| plan.inherited(model, &derived));
        let inherited = inherited.collect();
        let mut elsewhere: BTreeMap<String, Need> = BTreeMap::new();
        for watch in &derived {
            let of_table = elsewhere.entry(watch.source.name().to_owned()).or_default();
            of_table.add(watch.need());
        }
        for inherited in domain.iter().flat_map(|d| d.inherited()) {
            let parent = known_model(&inherited.model, registry)?;
            let of_parent = elsewhere.entry(parent.name.clone()).or_default();
            of_parent.add(Need::of_value(&inherited.column));
        }
        // A parent and its children can be of one model: then it is the own table that tells.
        let mut own = Need {
            columns,
            compared,
            whole,
        };
        own.add(elsewhere.remove(&row.model).unwrap_or_default());
        let watched = derived.iter().map(|watch| watch.field.to_string());
        let watched = watched.chain(watched_columns).collect();
        Ok(Self {
            endpoint,
            target,
            rate: row.rate_limit.as_ref().and_then(serde_json::Number::as_f64),
            backoff,
            row,
            secret,
            previous,
            headers,
            domain,
            columns: own.columns,
            compared: own.compared,
            whole: own.whole,
            watched,
            in_one_language,
            content,
            derived,
            inherited,
            elsewhere,
        })
    }

    /// Whether each record is sent alone.
    pub fn is_per_record(&self) -> bool {
        self.row.grouping == "record" || self.content.is_per_record()
    }

    /// Whether the database knows already what this subscription needs.
    pub fn is_recorded(&self) -> bool {
        let row = &self.row;
        row.needed.as_ref() == Some(&self.columns)
            && row.needed_compared.as_ref() == Some(&self.compared)
            && row.needed_whole.as_ref() == Some(&self.whole)
            && row.needed_elsewhere == self.elsewhere
    }

    /// Whether it needs the capture of that name: its own model's or another table's.
    pub fn needs(&self, capture: &str) -> bool {
        self.row.model == capture || self.elsewhere.contains_key(capture)
    }

    /// Whether events of this type are wanted at all.
    pub fn wants(&self, event_type: EventType) -> bool {
        self.row.event_type == "all" || self.row.event_type == event_type.as_str()
    }

    /// Whether a change is one that this subscription watches, the domain aside.
    pub fn watches(&self, change: &Change) -> bool {
        self.wants(change.event_type)
            && !change
                .user_id
                .is_some_and(|user| self.row.ignore_user_ids.contains(&user))
            && (change.event_type != EventType::Write || self.changed_fields(change).next().is_some())
    }

    /// The watched fields that a change changed; a field's column has the field's name.
    pub fn changed_fields<'a>(&'a self, change: &'a Change) -> impl Iterator<Item = &'a str> {
        let columns = change
            .changed
            .iter()
            .map(|index| (*index, change.layout.columns[*index].as_str()))
            .filter(move |(index, column)| !self.is_in_another_language(change, *index, column))
            .map(|(_, column)| column);
        columns
            .chain(change.derived.iter().map(AsRef::as_ref))
            .filter(|c| self.watched.contains(*c))
    }

    /// Whether a column changed in nothing that the subscription's language shows.
    fn is_in_another_language(&self, change: &Change, index: usize, column: &str) -> bool {
        let (Some(column), Some(lang)) = (self.in_one_language.get(column), &self.row.lang) else {
            return false;
        };
        let (Some(old), Some(new)) = (&change.old, &change.new) else {
            return false;
        };
        if old.is_unknown(index) || new.is_unknown(index) {
            return false;
        }
        let shown = |image: &Image| {
            let text = image.get(index).and_then(Option::as_deref);
            // A translated value is the same in every company.
            column.value(text, lang, 1)
        };
        shown(old) == shown(new)
    }

    /// Whether a change's images hold everything that the domain reads. A watched column that is not in them was dropped from the
    /// table meanwhile, and then it is no reason to be silent about the others; who is judged too early is told by `captured_from`.
    pub fn is_covered_by(&self, change: &Change) -> bool {
        let mut judged = self.domain.iter().flat_map(|d| d.own_columns());
        judged.all(|column| column == "id" || change.layout.index_of(column).is_some())
    }

    /// What the domain's answers before and after a change mean for this subscription.
    ///
    /// `before` and `after` are `None` where there is no such image: no record before a create, none after an unlink.
    pub fn decides(&self, before: Option<bool>, after: Option<bool>) -> bool {
        match self.row.trigger_mode {
            TriggerMode::Match => after.or(before).unwrap_or(false),
            TriggerMode::Enter => after == Some(true) && before != Some(true),
            TriggerMode::Leave => before == Some(true) && after != Some(true),
        }
    }

    /// The secrets that sign at this time (seconds since 1970), the current one first; two while a rotation overlaps.
    pub fn signing_secrets(&self, unix_now: i64) -> Vec<Secret> {
        let previous = self.previous.iter().filter(|(_, until)| unix_now < *until);
        self.secret
            .iter()
            .chain(previous.map(|(secret, _)| secret))
            .cloned()
            .collect()
    }

    /// Whether each record's changes go to the callback URL of that record, if it has one.
    pub fn sends_to_callbacks(&self) -> bool {
        self.row.endpoint_source == "record"
    }

    /// Whether anything can be sent at all.
    pub fn has_endpoint(&self) -> bool {
        self.sends_to_callbacks() || self.url().is_some()
    }

    /// Whether an event was too old to be sent when its attempt began; both in milliseconds since 1970, by the database's clock.
    pub fn is_too_old(&self, event_at: i64, attempt_at: i64) -> bool {
        self.row
            .max_event_age_s
            .is_some_and(|most| attempt_at.saturating_sub(event_at) > most.saturating_mul(1_000))
    }

    /// Whether its deliveries may be sent now; else they wait, or are ended by the service.
    pub fn is_sending(&self) -> bool {
        !self.row.paused && self.row.disabled_at.is_none() && self.has_endpoint()
    }

    /// Where to send, if anywhere and not to callbacks.
    pub fn url(&self) -> Option<&str> {
        self.row.webhook_url.as_deref().filter(|url| !url.is_empty())
    }
}

/// Host and port, as a connection is made to them.
fn endpoint_of(url: &reqwest::Url) -> Arc<str> {
    let host = url.host_str().unwrap_or_default();
    format!("{host}:{}", url.port_or_known_default().unwrap_or_default()).into()
}

/// The model a subscription names, if its changes can be captured.
///
/// # Errors
/// [`Error::is_usage`] for a model that is unknown, or is kept in a way that no trigger can watch.
pub fn known_model<'a>(name: &str, registry: &'a Registry) -> Result<&'a Model> {
    let Some(model) = registry.model(name) else {
        let error = Error::usage(format!("unknown model \"{name}\""));
        return Err(match registry.nearest_model(name) {
            Some(near) => error.with_hint(format!("did you mean \"{near}\"?")),
            None => error.with_hint("models are named as Odoo names them: sale.order, res.partner"),
        });
    };
    match &model.table {
        Table::Plain(_) => Ok(model),
        Table::View(_) => Err(Error::usage(format!(
            "model \"{name}\" cannot be watched: it is a view, and triggers see tables only"
        ))),
        Table::Inheritance(_) => Err(Error::usage(format!(
            "model \"{name}\" cannot be watched: its table takes part in PostgreSQL inheritance, where triggers miss changes"
        ))),
        Table::Hidden(_) => Err(Error::usage(format!(
            "model \"{name}\" cannot be watched: its table has row level security that is forced on its owner, and hides records"
        ))
        .with_hint("ALTER TABLE .. NO FORCE ROW LEVEL SECURITY, or give BYPASSRLS to the role that owns the schema odoo_eventd")),
        Table::None => Err(Error::usage(format!(
            "model \"{name}\" cannot be watched: it has no table"
        ))),
    }
}

/// Domains and payloads in a language that the database has not would quietly be in English.
fn require_language(lang: &str, registry: &Registry) -> Result<()> {
    let active = &registry.facts().languages;
    if active.is_empty() || lang.is_empty() || lang == "en_US" || active.contains(lang) {
        return Ok(());
    }
    let active: Vec<&str> = active.iter().map(String::as_str).collect();
    Err(
        Error::usage(format!("language \"{lang}\" is not active in this database"))
            .with_hint(format!("active are {}", active.join(", "))),
    )
}

/// The translated columns that a subscription names and sees in its own language alone.
///
/// Whoever names no fields hears of every change of a stored value, and whoever names no language of every language: a receiver that
/// reads the record afterwards may want them all.
fn in_one_language(row: &Subscription, model: &Model) -> BTreeMap<String, value::Column> {
    if row.lang.is_none() {
        return BTreeMap::new();
    }
    let named = row.fields.iter().filter_map(|name| model.field(name));
    named
        .filter(|field| field.translate)
        .filter_map(|field| Some((field.name.clone(), value::Column::of(field)?)))
        .collect()
}

/// The watched columns of the model's own table, and the watched fields that are kept elsewhere.
fn watched_fields(row: &Subscription, model: &Model, registry: &Registry) -> Result<(BTreeSet<String>, Vec<Watch>)> {
    let mut columns = BTreeSet::new();
    let mut derived: Vec<Watch> = Vec::new();
    // Nothing but a write has changed fields.
    let watches_writes = matches!(row.event_type.as_str(), "write" | "all");
    if row.fields.is_empty() {
        for field in model.fields().filter(|field| field.stored && !field.secret) {
            if field.kind == FieldType::Many2many && watches_writes {
                // One whose relation table is not there, or cannot be watched, is no reason to refuse all others.
                derived.extend(Watch::of(model, field, registry));
            } else if field.column.is_some() && field.name != "id" && !AUDIT_COLUMNS.contains(&field.name.as_str()) {
                columns.insert(field.name.clone());
            }
        }
        return Ok((columns, derived));
    }
    for name in &row.fields {
        let field = watchable(name, model)?;
        match &field.column {
            Some(column) if field.stored => {
                columns.insert(column.name.clone());
            }
            _ => {
                let watch = Watch::of(model, field, registry).map_err(|error| {
                    error.with_hint(match registry.stored_dependencies(&model.name, name) {
                        fields if fields.is_empty() => "watch stored fields of this model".to_owned(),
                        fields => format!("watch what it depends on: {}", fields.join(", ")),
                    })
                })?;
                if watches_writes && !derived.contains(&watch) {
                    derived.push(watch);
                }
            }
        }
    }
    Ok((columns, derived))
}

fn watchable<'a>(name: &str, model: &'a Model) -> Result<&'a Field> {
    let Some(field) = model.field(name) else {
        let error = Error::usage(format!("model \"{}\" has no field \"{name}\"", model.name));
        return Err(match nearest(name, model.fields().map(|field| field.name.as_str())) {
            Some(near) => error.with_hint(format!("did you mean \"{near}\"?")),
            None => error.with_hint("watched fields are the model's own fields, named as Odoo names them"),
        });
    };
    if field.secret {
        return Err(Error::usage(format!(
            "field \"{name}\" of \"{}\" holds a secret and is never captured",
            model.name
        )));
    }
    Ok(field)
}

fn own_headers(row: &Subscription) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in &row.headers {
        // Numbers and booleans are common in hand-written JSON; their JSON text is what was meant.
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let (name, value) = parse_header(name, &text)?;
        headers.insert(name, value);
    }
    if let Some(auth) = &row.auth {
        let (name, value) = parse_auth(auth.reveal())?;
        headers.insert(name, value);
    }
    Ok(headers)
}

fn refused_domain(error: &DomainError, text: &str) -> Error {
    let mut refused = Error::usage(format!("domain: {error}"));
    if let Some(span) = error.span() {
        refused = refused.at(Passage {
            column: "domain",
            text: text.to_owned(),
            span: span.start..span.end,
        });
    }
    match error.hint_text() {
        Some(hint) => refused.with_hint(hint),
        None => refused,
    }
}

/// What belongs to an endpoint of one's own. A callback URL is a stranger's, so none of it goes there; better said than left out.
fn refuse_what_callbacks_never_get(row: &Subscription) -> Result<()> {
    let asked = [
        (
            row.webhook_url.as_deref().is_some_and(|url| !url.is_empty()),
            "webhook_url",
        ),
        (row.webhook_secret.is_some(), "webhook_secret"),
        (row.auth.is_some(), "auth"),
        (!row.headers.is_empty(), "headers"),
    ];
    match asked.iter().find(|(is_asked, _)| *is_asked) {
        None => Ok(()),
        Some((_, option)) => Err(Error::usage(format!(
            "{option} cannot be used with endpoint_source = record: callback URLs come from outside, and get none of the subscription's own"
        ))
        .with_hint("leave it empty; a callback is signed with the secret that mcp_record_callback has for it")),
    }
}
