//! Looks at a subscription against Odoo's metadata: what it needs captured, and its domain in a form that can be judged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;

use super::choices::{EndpointSource, Grouping};
use super::reach::Reach;
use super::resolved::ResolvedSubscription;
use super::row::Subscription;
use crate::backoff::Backoff;
use crate::domain::DomainError;
use crate::domain::check::{Context, TypedDomain, check_text};
use crate::domain::plan::Plan;
use crate::endpoint::auth::parse_auth;
use crate::endpoint::guard::{Guard, parse_url};
use crate::endpoint::headers::parse_header;
use crate::error::Passage;
use crate::event::{AUDIT_COLUMNS, EventType};
use crate::odoo::nearest::nearest;
use crate::odoo::registry::{Field, FieldType, Model, Registry, Table};
use crate::payload::content::Content;
use crate::payload::value;
use crate::relations::{Need, Watch};
use crate::signature::Secret;
use crate::{Error, Result};

impl ResolvedSubscription {
    /// Looks at a subscription against Odoo's metadata, and at its URL where a guard says which addresses may be called.
    ///
    /// # Errors
    /// [`Error::is_usage`] with a sentence that says what is wrong with it and what to do; [`Error::refusals`] gives one for each thing
    /// that is, with its column.
    pub fn check(mut row: Subscription, registry: &Registry, context: &Context, guard: Option<&Guard>) -> Result<Self> {
        let mut faults = Faults::default();
        let model = faults.keep("model", known_model(&row.model, registry));
        let route = Route::of(&row, guard, &mut faults);
        // A lane is the deliveries of one record, and so is what goes to a record's own URL.
        if row.ordered || row.endpoint_source == EndpointSource::Record {
            row.grouping = Grouping::Record;
        }
        faults.keep("lang", require_language(&context.lang, registry));
        let Some(model) = model else {
            return Err(faults.into_error());
        };
        let watched = faults.keep("fields", watched_fields(&row, model, registry, context));
        let domain = faults.keep("domain", judged_domain(&row, registry, context));
        let content = Content::new(row.wishes(), model, registry, context);
        let content = faults.keep("payload_fields", content);
        match (route, watched, domain, content) {
            (Some(route), Some(watched), Some(domain), Some(content)) if faults.0.is_empty() => Self::resolved(
                row,
                model,
                registry,
                Parts {
                    route,
                    watched,
                    domain,
                    content,
                },
            ),
            _ => Err(faults.into_error()),
        }
    }

    /// What a row without faults needs captured.
    fn resolved(row: Subscription, model: &Model, registry: &Registry, parts: Parts) -> Result<Self> {
        let Parts {
            route,
            watched: (watched_columns, derived),
            domain,
            content,
        } = parts;
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
            let parent = known_model(&inherited.model, registry).map_err(|error| error.of("domain"))?;
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
        let reach = Reach::of(&row.model, domain.as_ref(), content.plan.as_deref(), registry);
        Ok(Self {
            endpoint: route.endpoint,
            target: route.target,
            rate: row.rate_limit.as_ref().and_then(serde_json::Number::as_f64),
            backoff: route.backoff,
            row,
            secret: route.secret,
            previous: route.previous,
            headers: route.headers,
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
            reach,
        })
    }
}

/// What is wrong with a row, in the order in which its columns are looked at.
#[derive(Default)]
struct Faults(Vec<Error>);

impl Faults {
    /// The value, or none and one fault more, which is this column's unless it names another itself.
    fn keep<T>(&mut self, column: &'static str, looked_at: Result<T>) -> Option<T> {
        looked_at
            .map_err(|error| match error.column() {
                Some(_) => self.0.push(error),
                None => self.0.push(error.of(column)),
            })
            .ok()
    }

    fn into_error(self) -> Error {
        let mut faults = self.0.into_iter();
        match faults.next() {
            Some(first) => first.with_more(faults),
            None => Error::other("a subscription was refused and nothing is wrong with it"),
        }
    }
}

/// What a row without faults says, read.
struct Parts {
    route: Route,
    watched: (BTreeSet<String>, Vec<Watch>),
    domain: Option<TypedDomain>,
    content: Content,
}

/// Where a subscription sends to, and how.
struct Route {
    endpoint: Arc<str>,
    target: Option<url::Url>,
    backoff: Backoff,
    secret: Option<Secret>,
    previous: Option<(Secret, i64)>,
    headers: HeaderMap,
}

impl Route {
    fn of(row: &Subscription, guard: Option<&Guard>, faults: &mut Faults) -> Option<Self> {
        let to_callbacks = row.endpoint_source == EndpointSource::Record;
        if to_callbacks {
            faults.keep("endpoint_source", refuse_what_callbacks_never_get(row));
        }
        let url = row.webhook_url.as_deref().filter(|url| !url.is_empty());
        let url = url.map(|url| guard.map_or_else(|| parse_url(url), |guard| guard.validate_url(url)));
        let url = faults.keep("webhook_url", url.transpose());
        let (first, longest) = (
            Duration::from_millis(row.retry_first_ms.into()),
            Duration::from_millis(row.retry_max_ms.into()),
        );
        // By itself the first wait is at fault, else the longest is.
        let backoff = Backoff::new(first, longest, row.retry_jitter).map_err(|error| {
            error.of(match Backoff::new(first, first, row.retry_jitter) {
                Err(_) => "retry_first_ms",
                Ok(_) => "retry_max_ms",
            })
        });
        let backoff = faults.keep("retry_max_ms", backoff);
        // Of one that is kept and was not read, all that is known is that it was accepted once.
        let secret = row.webhook_secret.as_ref().filter(|secret| !secret.is_mask());
        let secret = secret.map(|text| Secret::parse(text.reveal())).transpose();
        let secret = faults.keep("webhook_secret", secret);
        let previous = row
            .kept
            .as_ref()
            .and_then(|kept| kept.previous_secret.as_ref().zip(kept.previous_until_s));
        let previous = previous
            .map(|(text, until)| Secret::parse(text.as_str()).map(|secret| (secret, until)))
            .transpose();
        let previous = faults.keep("webhook_secret", previous);
        let headers = faults.keep("headers", own_headers(row));
        let url = url?;
        let endpoint = match &url {
            _ if to_callbacks => format!("callbacks of subscription {}", row.id).into(),
            Some(url) => endpoint_of(url),
            None => Arc::from(""),
        };
        Some(Self {
            endpoint,
            target: url.filter(|_| !to_callbacks),
            backoff: backoff?,
            secret: secret?,
            previous: previous?,
            headers: headers?,
        })
    }
}

/// The domain in a form that can be judged; `None` = every record.
fn judged_domain(row: &Subscription, registry: &Registry, context: &Context) -> Result<Option<TypedDomain>> {
    let typed =
        check_text(&row.domain, &row.model, registry, context).map_err(|error| refused_domain(&error, &row.domain))?;
    if typed.reads_rows_of_record() && row.event_type.include(EventType::Unlink) {
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
    Ok((*typed.plan() != Plan::Const(Some(true))).then_some(typed))
}

/// Host and port, as a connection is made to them.
fn endpoint_of(url: &url::Url) -> Arc<str> {
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
fn watched_fields(
    row: &Subscription,
    model: &Model,
    registry: &Registry,
    context: &Context,
) -> Result<(BTreeSet<String>, Vec<Watch>)> {
    let mut columns = BTreeSet::new();
    let mut derived: Vec<Watch> = Vec::new();
    // Nothing but a write has changed fields.
    let watches_writes = row.event_type.include(EventType::Write);
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
                let watch = watch_elsewhere(model, field, registry, context)?;
                if watches_writes && !derived.contains(&watch) {
                    derived.push(watch);
                }
            }
        }
    }
    Ok((columns, derived))
}

/// Where changes of a field show that has no column of its own.
fn watch_elsewhere(model: &Model, field: &Field, registry: &Registry, context: &Context) -> Result<Watch> {
    Watch::of(model, field, registry).map_err(|error| {
        if context.models.is_some() {
            // Why, and what it depends on, may be other models' matter.
            return Error::usage(format!(
                "changes of field \"{}\" of \"{}\" show in no table that can be watched",
                field.name, model.name
            ))
            .with_hint("watch stored fields of this model");
        }
        error.with_hint(match registry.stored_dependencies(&model.name, &field.name) {
            fields if fields.is_empty() => "watch stored fields of this model".to_owned(),
            fields => format!("watch what it depends on: {}", fields.join(", ")),
        })
    })
}

/// Why a field of a model cannot be watched, as far as it may be told; `None` = it can.
pub fn why_not_watched(model: &Model, field: &Field, registry: &Registry, context: &Context) -> Option<Error> {
    let watchable = watchable(&field.name, model);
    let watched = watchable.and_then(|field| match &field.column {
        Some(_) if field.stored => Ok(()),
        _ => watch_elsewhere(model, field, registry, context).map(drop),
    });
    watched.err()
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
    if let Some(auth) = row.auth.as_ref().filter(|auth| !auth.is_mask()) {
        let (name, value) = parse_auth(auth.reveal()).map_err(|error| error.of("auth"))?;
        headers.insert(name, value);
    }
    Ok(headers)
}

/// A domain's error as one of the column `domain`, with its place in the text.
pub fn refused_domain(error: &DomainError, text: &str) -> Error {
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
        .with_hint("leave it empty; a callback is signed with the secret that mcp_record_callback has for it")
        .of(option)),
    }
}
