//! The form of a subscription: a new one, and one that is there. It is complete without the script; the script only asks sooner.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use sha2::{Digest, Sha256};

use super::dress::{Trouble, page};
use super::fields::Fields;
use super::frame::{Frame, Section};
use super::shown::{Badge, When, sentence};
use super::visitor::{Posted, Turned, Visitor};
use super::{compose, entry, models, picker};
use crate::ops::error::{Conflict, Error, Version};
use crate::ops::operator::Scope;
use crate::ops::subscriptions::once::Once;
use crate::ops::subscriptions::read::Versioned;
use crate::ops::subscriptions::sample::Sample;
use crate::ops::test_event::Tested;
use crate::payload::template::Template as PayloadTemplate;
use crate::pg::answered_requests::RequestKey;
use crate::subscription::{Refusal, View};

/// The language that names are shown in.
pub(super) const LANG: &str = "en_US";

/// One thing that is wrong, beside its field.
struct Fault {
    column: String,
    text: String,
}

/// What became of what was asked: it is shown above the form.
#[derive(Default)]
pub(super) struct Outcome {
    refusals: Vec<Refusal>,
    /// A sentence on what was checked.
    checked: Option<String>,
    /// What would be, fact by fact.
    facts: Vec<(&'static str, String)>,
    sample: Option<Sample>,
    /// A secret that was just made.
    secret: Option<String>,
    tested: Option<Tested>,
    /// Somebody else changed it meanwhile.
    overtaken: bool,
}

impl Outcome {
    /// A secret was made: it is shown this once.
    pub(super) fn of_secret(secret: Option<String>) -> Self {
        Self {
            secret,
            ..Self::default()
        }
    }

    /// The endpoint was tried.
    pub(super) fn of_test(tested: Tested) -> Self {
        Self {
            tested: Some(tested),
            ..Self::default()
        }
    }
}

#[derive(Template)]
#[template(path = "form.html", config = ".askama.toml")]
struct FormPage {
    frame: Frame,
    /// None = it is not there yet.
    id: Option<i32>,
    version: String,
    once: String,
    row: Option<View>,
    badge: Option<Badge>,
    sentence: String,
    created: Option<When>,
    last: Option<When>,
    last_badge: Option<Badge>,
    user: String,
    model: String,
    model_label: String,
    typed: Fields,
    fields: Vec<picker::FieldChoice>,
    shapes: Vec<&'static str>,
    faults: Vec<Fault>,
    outcome: Outcome,
    others: Vec<String>,
    comparisons: [(&'static str, &'static str, &'static str); 9],
}

impl FormPage {
    /// What is wrong with a field; empty where nothing is.
    fn fault(&self, column: &str) -> String {
        let faults = self.faults.iter().filter(|fault| fault.column == column);
        faults.map(|fault| fault.text.as_str()).collect::<Vec<_>>().join("\n")
    }

    fn text(&self, name: &str) -> &str {
        self.typed.get(name)
    }

    fn is(&self, name: &str, value: &str) -> bool {
        self.typed.get(name) == value
    }

    fn has_secret(&self) -> bool {
        self.row.as_ref().is_some_and(|row| row.webhook_secret.is_some())
    }

    fn has_auth(&self) -> bool {
        self.row.as_ref().is_some_and(|row| row.auth.is_some())
    }

    /// Whether any of the settings that few need is used.
    fn has_details(&self) -> bool {
        const DETAILS: [&str; 11] = [
            "timeout_ms",
            "max_attempts",
            "retry_first_ms",
            "retry_max_ms",
            "rate_limit",
            "max_event_age",
            "max_body_bytes",
            "lang",
            "ignore_user_ids",
            "headers",
            "payload_fields",
        ];
        self.id.is_none() && DETAILS.iter().any(|name| self.typed.some(name).is_some())
    }

    fn action(&self) -> String {
        match self.id {
            Some(id) => format!("{}/subscriptions/{id}", self.frame.base),
            None => format!("{}/subscriptions/new", self.frame.base),
        }
    }
}

/// The form of a new one; the model first.
pub async fn new(visitor: Visitor) -> Result<Response, Turned> {
    require_writer(&visitor)?;
    let query = visitor.query();
    if query.some("model").is_none() {
        return models::choose(&visitor, &query).await;
    }
    let mut typed = query;
    if typed.some("secret").is_none() {
        typed.set("secret", "make");
    }
    shown(&visitor, None, typed, Outcome::default()).await
}

fn require_writer(visitor: &Visitor) -> Result<(), Turned> {
    match visitor.may(Scope::SubscriptionsWrite) {
        true => Ok(()),
        false => Err(Trouble::from(Error::Forbidden(Scope::SubscriptionsWrite)).into()),
    }
}

/// The form of one that is there.
pub async fn edit(visitor: Visitor, Path(id): Path<String>) -> Result<Response, Turned> {
    let row = found(&visitor, &id).await?;
    let typed = entry::of_view(&row.subscription);
    shown(&visitor, Some(row), typed, Outcome::default()).await
}

/// The subscription of this id.
pub(super) async fn found(visitor: &Visitor, id: &str) -> Result<Versioned, Turned> {
    let id = id
        .parse()
        .map_err(|_| Trouble::not_found("there is no such subscription"))?;
    Ok(visitor
        .service
        .subscription(visitor.operator(), id)
        .await
        .map_err(Trouble::from)?)
}

/// What was typed for a new one: checked, tried, or made.
pub async fn create(posted: Posted) -> Result<Response, Turned> {
    let Posted { visitor, mut fields } = posted;
    require_writer(&visitor)?;
    if fields.get("action") != "save" {
        let outcome = Box::pin(looked_at(&visitor, None, &mut fields)).await?;
        return shown(&visitor, None, fields, outcome).await;
    }
    match Box::pin(made(&visitor, &fields)).await {
        Ok((row, secret)) => {
            let Some(secret) = secret else {
                return Ok(visitor.to(&format!("/subscriptions/{}?done=made", row.subscription.id)));
            };
            // Shown here and nowhere else: no address leads to it again.
            let typed = entry::of_view(&row.subscription);
            shown(&visitor, Some(row), typed, Outcome::of_secret(Some(secret))).await
        }
        Err(error) => {
            let outcome = refused(error)?;
            shown(&visitor, None, fields, outcome).await
        }
    }
}

/// Makes it, once for each form: a form that is sent twice makes one. Also its secret, where that was made here now.
async fn made(visitor: &Visitor, fields: &Fields) -> crate::ops::error::Result<(Versioned, Option<String>)> {
    let mut draft = entry::draft(fields)?;
    let said: String = fields
        .pairs()
        .filter(|(name, _)| *name != "form_token")
        .map(|(name, value)| format!("{name}\0{value}\0"))
        .collect();
    let secret = (fields.get("secret") == "make").then(crate::ops::subscriptions::secret::new_secret);
    draft.webhook_secret = secret.clone().or(draft.webhook_secret);
    let key = format!("page-{}", fields.get("once"));
    let request = RequestKey {
        token: visitor.visit.token,
        key: &key,
        digest: &Sha256::digest(said),
    };
    let once = Box::pin(
        visitor
            .service
            .create_subscription_once(visitor.operator(), request, draft),
    )
    .await?;
    match once {
        Once::Made(row) => Ok((row, secret)),
        Once::Repeated(row) => Ok((row, None)),
        Once::UnderWay | Once::OtherRequest => Err(Error::refused(
            Refusal::of("name", "this form was sent already")
                .with_hint("look for it in the list, or open the form anew"),
        )),
    }
}

/// What was typed for one that is there: checked, tried, or written.
pub async fn save(Path(id): Path<String>, posted: Posted) -> Result<Response, Turned> {
    let Posted { visitor, mut fields } = posted;
    require_writer(&visitor)?;
    let row = found(&visitor, &id).await?;
    fields.set("model", row.subscription.model.clone());
    if fields.get("action") != "save" {
        let outcome = Box::pin(looked_at(&visitor, Some(row.subscription.id), &mut fields)).await?;
        return shown(&visitor, Some(row), fields, outcome).await;
    }
    let expected = Version(fields.get("version").to_owned());
    let written = async {
        let patch = entry::patch(&fields)?;
        let (service, operator) = (&visitor.service, visitor.operator());
        Box::pin(service.update_subscription(operator, row.subscription.id, &patch, Some(&expected))).await
    };
    match written.await {
        Ok(_) if fields.get("secret") == "make" => {
            let rotated = visitor.service.rotate_secret(
                visitor.operator(),
                row.subscription.id,
                None,
                super::subscription::OVERLAP,
            );
            let outcome = Outcome::of_secret(rotated.await.map_err(Trouble::from)?.secret);
            let row = found(&visitor, &id).await?;
            let typed = entry::of_view(&row.subscription);
            shown(&visitor, Some(row), typed, outcome).await
        }
        Ok(_) => Ok(visitor.to(&format!("/subscriptions/{id}?done=saved"))),
        Err(error) => {
            let outcome = refused(error)?;
            // The form has the version now that it was overtaken by: sent again, it is meant.
            let row = found(&visitor, &id).await?;
            shown(&visitor, Some(row), fields, outcome).await
        }
    }
}

/// What a refusal looks like on the form; anything else is a page of its own.
fn refused(error: Error) -> Result<Outcome, Turned> {
    match error {
        Error::Refused(refusals) => Ok(Outcome {
            refusals,
            ..Outcome::default()
        }),
        Error::Conflict(Conflict::Changed { .. }) => Ok(Outcome {
            overtaken: true,
            ..Outcome::default()
        }),
        error => Err(Trouble::from(error).into()),
    }
}

/// Does what a button asks that writes nothing.
async fn looked_at(visitor: &Visitor, id: Option<i32>, fields: &mut Fields) -> Result<Outcome, Turned> {
    let (service, operator) = (&visitor.service, visitor.operator());
    match fields.get("action") {
        "condition" => {
            let known = service
                .fields(operator, fields.get("model"))
                .await
                .map_err(Trouble::from)?;
            Ok(match compose::add_condition(fields, &known) {
                Ok(()) => Outcome::default(),
                Err(missing) => Outcome {
                    refusals: vec![Refusal::of("domain", missing)],
                    ..Outcome::default()
                },
            })
        }
        "check" => {
            let question = super::live::question(fields);
            match service.check_domain(operator, &question).await {
                Ok(answer) => Ok(Outcome {
                    checked: Some(super::live::counted(&answer)),
                    ..Outcome::default()
                }),
                Err(error) => refused(error),
            }
        }
        "sample" => match Box::pin(sampled(visitor, id, fields)).await {
            Ok(sample) => Ok(Outcome {
                sample: Some(sample),
                ..Outcome::default()
            }),
            Err(error) => refused(error),
        },
        "dry_run" => {
            let preview = async {
                match id {
                    Some(id) => Box::pin(service.preview_change(operator, id, &entry::patch(fields)?)).await,
                    None => Box::pin(service.preview_subscription(operator, entry::draft(fields)?)).await,
                }
            };
            match preview.await {
                Ok(preview) => Ok(Outcome {
                    facts: super::subscription::facts(&preview),
                    ..Outcome::default()
                }),
                Err(error) => refused(error),
            }
        }
        _ => Err(Trouble::unreadable("the form does not say what to do").into()),
    }
}

/// The body that a real record would make.
pub(super) async fn sampled(visitor: &Visitor, id: Option<i32>, fields: &Fields) -> crate::ops::error::Result<Sample> {
    let record = fields.parsed("sample_record");
    let (service, operator) = (&visitor.service, visitor.operator());
    match id {
        Some(id) => Box::pin(service.sample_change(operator, id, &entry::patch(fields)?, record)).await,
        None => Box::pin(service.sample_draft(operator, entry::draft(fields)?, record)).await,
    }
}

/// The form with what was typed, and what became of it.
pub(super) async fn shown(
    visitor: &Visitor,
    row: Option<Versioned>,
    typed: Fields,
    outcome: Outcome,
) -> Result<Response, Turned> {
    let (service, operator) = (&visitor.service, visitor.operator());
    let model = typed.get("model").to_owned();
    let known = match service.fields(operator, &model).await {
        Ok(known) => known,
        // A subscription may be of a model that is gone; a new one cannot.
        Err(Error::NotFound(_)) if row.is_some() => Vec::new(),
        Err(error) => return Err(Trouble::from(error).into()),
    };
    let labels = service
        .field_labels(operator, &model, LANG)
        .await
        .map_err(Trouble::from)?;
    let names = service.model_labels(operator, LANG).await.map_err(Trouble::from)?;
    let user = match row.as_ref().and_then(|row| row.subscription.user_id) {
        Some(id) => {
            let users = service.user_labels(operator, &[id]).await.map_err(Trouble::from)?;
            users.get(&id).cloned().unwrap_or_else(|| format!("user {id}"))
        }
        None => String::new(),
    };
    let title = match &row {
        Some(row) => {
            let name = row.subscription.name.clone().filter(|name| !name.trim().is_empty());
            name.unwrap_or_else(|| format!("Subscription {}", row.subscription.id))
        }
        None => "New subscription".to_owned(),
    };
    let (faults, others) = faults(&outcome.refusals);
    let version = row.as_ref().map(|row| row.version.0.clone()).unwrap_or_default();
    let row = row.map(|row| row.subscription);
    let is_refused = !outcome.refusals.is_empty() || outcome.overtaken;
    let mut response = page(&FormPage {
        frame: visitor.frame(Section::Subscriptions, title),
        id: row.as_ref().map(|row| row.id),
        version,
        once: typed
            .some("once")
            .map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned),
        badge: row.as_ref().map(Badge::of_subscription),
        sentence: row.as_ref().map(sentence).unwrap_or_default(),
        created: row.as_ref().map(|row| When::read(&row.create_date)),
        last: row.as_ref().and_then(|row| When::maybe(row.last_delivery.as_deref())),
        last_badge: row
            .as_ref()
            .and_then(|row| row.last_delivery_status.as_deref().map(Badge::of_last_delivery)),
        row,
        user,
        model_label: names.get(&model).cloned().unwrap_or_default(),
        fields: picker::choices(known, &labels, &typed),
        model,
        typed,
        shapes: PayloadTemplate::shapes().collect(),
        faults,
        others,
        outcome,
        comparisons: compose::COMPARISONS,
    })?;
    if is_refused {
        *response.status_mut() = axum::http::StatusCode::UNPROCESSABLE_ENTITY;
    }
    Ok(response)
}

/// Refusals beside the fields that they are about; and those about none that the form has.
fn faults(refusals: &[Refusal]) -> (Vec<Fault>, Vec<String>) {
    const BESIDE: [&str; 28] = [
        "name",
        "event_type",
        "domain",
        "fields",
        "trigger_mode",
        "webhook_url",
        "endpoint_source",
        "payload_fields",
        "enrich_fields",
        "http_method",
        "headers",
        "format",
        "lang",
        "timeout_ms",
        "max_attempts",
        "retry_first_ms",
        "retry_max_ms",
        "retry_jitter",
        "in_session",
        "ordered",
        "rate_limit",
        "grouping",
        "max_event_age",
        "max_body_bytes",
        "ignore_user_ids",
        "auth",
        "webhook_payload_template",
        "webhook_secret",
    ];
    let (mut faults, mut others) = (Vec::new(), Vec::new());
    for refusal in refusals {
        let text = refusal.clone().into_error().for_people();
        match refusal.column.filter(|column| BESIDE.contains(column)) {
            Some(column) => faults.push(Fault {
                column: column.to_owned(),
                text,
            }),
            None => others.push(text),
        }
    }
    (faults, others)
}
