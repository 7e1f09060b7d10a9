//! A subscription that can be served, and what it says of a change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use http::HeaderMap;

use super::choices::{EndpointSource, Grouping, TriggerMode};
use super::reach::Reach;
use super::row::Subscription;
use crate::backoff::Backoff;
use crate::domain::check::TypedDomain;
use crate::event::{Change, EventType, Image};
use crate::payload::content::Content;
use crate::payload::plan::Inherited;
use crate::payload::value;
use crate::relations::{Need, Watch};
use crate::signature::Secret;

/// A subscription that can be served.
#[derive(Debug, Clone)]
pub struct ResolvedSubscription {
    /// The row.
    pub row: Subscription,
    /// Host and port that it sends to; what is sent to one endpoint shares its limit. Empty where nothing is sent.
    pub endpoint: Arc<str>,
    /// Where to send, if anywhere and not to callbacks: read once and not for each attempt.
    pub target: Option<url::Url>,
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
    /// What it reads beside its own model.
    pub reach: Reach,
}

impl ResolvedSubscription {
    /// Whether each record is sent alone.
    pub fn is_per_record(&self) -> bool {
        self.row.grouping == Grouping::Record || self.content.is_per_record()
    }

    /// Whether the database knows already what this subscription needs and reads.
    pub fn is_recorded(&self) -> bool {
        let row = &self.row;
        row.needed.as_ref() == Some(&self.columns)
            && row.needed_compared.as_ref() == Some(&self.compared)
            && row.needed_whole.as_ref() == Some(&self.whole)
            && row.needed_elsewhere == self.elsewhere
            && row.reach.as_ref().is_some_and(|known| self.reach.is_part_of(known))
    }

    /// Whether it needs the capture of that name: its own model's or another table's.
    pub fn needs(&self, capture: &str) -> bool {
        self.row.model == capture || self.elsewhere.contains_key(capture)
    }

    /// Whether events of this type are wanted at all.
    pub fn wants(&self, event_type: EventType) -> bool {
        self.row.event_type.include(event_type)
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
        self.row.endpoint_source == EndpointSource::Record
    }

    /// Whether anything can be sent at all.
    pub fn has_endpoint(&self) -> bool {
        self.sends_to_callbacks() || self.url().is_some()
    }

    /// Whether its events are kept for readers: always where they are sent nowhere.
    pub fn is_fed(&self) -> bool {
        self.row.in_session || !self.has_endpoint()
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
