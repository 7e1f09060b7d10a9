//! What is counted and measured, in Prometheus' words.
//!
//! Every name begins with `odoo_eventd_`; ages are in seconds, sizes in bytes. Labels have few values: results and error words, never a
//! URL, a model or a record. Nothing is global: two services in one process count apart.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::health::facts::Measurement;

/// Seconds; the default limit of an attempt is 5.
const DURATION_BUCKETS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

/// A gauge of seconds or of a ratio.
type Real = Gauge<f64, std::sync::atomic::AtomicU64>;

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    result: &'static str,
    error: &'static str,
}

/// One label `state`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

/// One label `by`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WakeLabels {
    by: &'static str,
}

/// All metrics of one service.
pub struct Metrics {
    registry: Registry,
    phase: Family<StateLabels, Gauge>,
    term: Gauge,
    terms_failed: Counter,
    scans: Counter,
    last_scan: Real,
    rows_read: Counter,
    wakes: Family<WakeLabels, Counter>,
    deliveries_made: Counter,
    feed_events: Counter,
    attempts: Family<AttemptLabels, Counter>,
    attempt_duration: Histogram,
    loopback: Real,
    measured_at: Real,
    fenced: Gauge,
    capture_off: Gauge,
    capture_gaps: Gauge,
    troubles: Gauge,
    outbox_bytes: Gauge,
    outbox_max_bytes: Gauge,
    outbox_unread: Gauge,
    outbox_age: Real,
    unfinished: Gauge,
    oldest_due_age: Real,
    subscriptions: Family<StateLabels, Gauge>,
    log_bytes: Gauge,
    log_days: Gauge,
    log_age: Gauge,
    log_days_missing: Gauge,
    oldest_transaction: Real,
    oldest_prepared: Real,
    notify_queue: Real,
    clock_skew: Real,
    feed_bytes: Gauge,
    feed_max_bytes: Gauge,
    feed_age: Real,
    feed_shortened: Gauge,
}

/// What the service is doing; the values of the label `state` of `odoo_eventd_phase`.
pub const PHASES: [&str; 4] = ["connecting", "standby", "fenced", "leading"];

impl Default for Metrics {
    fn default() -> Self {
        Self::of(None)
    }
}

impl Metrics {
    /// Those of a database; with its name as the label `database`, where a process serves many.
    pub fn of(database: Option<&str>) -> Self {
        let labels = database.map(|name| (Cow::Borrowed("database"), Cow::Owned(name.to_owned())));
        let mut registry = Registry::with_prefix_and_labels("odoo_eventd", labels.into_iter());
        registry.register(
            "build",
            "The program that runs",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        macro_rules! register {
            ($name:literal, $help:literal) => {
                register!($name, $help, Default::default())
            };
            ($name:literal, $help:literal, $metric:expr) => {{
                let metric = $metric;
                registry.register($name, $help, Clone::clone(&metric));
                metric
            }};
        }
        let metrics = Self {
            phase: register!("phase", "1 for what the service is doing, 0 for what it is not doing"),
            term: register!("term", "The term that this instance leads or led last"),
            terms_failed: register!(
                "terms_failed",
                "Terms that ended by a failure; each is followed by a reconnect"
            ),
            scans: register!("scans", "Looks into the outbox that succeeded"),
            last_scan: register!(
                "last_scan_timestamp_seconds",
                "When the outbox was last read to its end or a batch of it committed, 0 = never"
            ),
            rows_read: register!("outbox_rows_read", "Rows of the outbox that were read"),
            wakes: register!("wakes", "Why the dispatcher woke up: by notify or by poll"),
            deliveries_made: register!("deliveries_made", "Deliveries made of events"),
            feed_events: register!("feed_events", "Events written to the feed, for readers"),
            attempts: register!(
                "attempts",
                "Attempts that ended, by result, and by the error word of the log"
            ),
            attempt_duration: register!(
                "attempt_duration_seconds",
                "From the name look-up to the last byte of the answer",
                Histogram::new(DURATION_BUCKETS)
            ),
            loopback: register!("loopback_seconds", "How long the service's last NOTIFY to itself took"),
            measured_at: register!(
                "measured_timestamp_seconds",
                "When the database was last measured; the metrics below are from then"
            ),
            fenced: register!(
                "fenced",
                "1 when the database looks like a copy, so that nothing is delivered from it"
            ),
            capture_off: register!("capture_off", "1 after `capture off`"),
            capture_gaps: register!("capture_gaps", "Gaps in capture that go on"),
            troubles: register!(
                "troubles",
                "Things that are tried again and again in vain; `odoo-eventd status` tells which"
            ),
            outbox_bytes: register!("outbox_bytes", "What the outbox's rows take"),
            outbox_max_bytes: register!("outbox_max_bytes", "Beyond this capture stops"),
            outbox_unread: register!(
                "outbox_unread_rows",
                "Rows of the outbox that were not read yet, 100000 = or more"
            ),
            outbox_age: register!(
                "capture_age_seconds",
                "For how long the oldest captured change has not been read"
            ),
            unfinished: register!(
                "deliveries_unfinished",
                "Deliveries that have not ended, 100000 = or more"
            ),
            oldest_due_age: register!(
                "oldest_due_age_seconds",
                "For how long the oldest unsent delivery could have been sent"
            ),
            subscriptions: register!(
                "subscriptions",
                "Subscriptions by state: ready, invalid, pending, disabled, inactive"
            ),
            log_bytes: register!("log_bytes", "What the log of attempts takes"),
            log_days: register!("log_days", "Partitions of the log, those ahead of time included"),
            log_age: register!(
                "log_oldest_day_age_days",
                "How many days ago the log's oldest day began"
            ),
            log_days_missing: register!(
                "log_days_missing",
                "Partitions of the log for today and tomorrow that are missing"
            ),
            oldest_transaction: register!(
                "oldest_transaction_age_seconds",
                "Age of the oldest transaction in the database, anybody's"
            ),
            oldest_prepared: register!(
                "oldest_prepared_age_seconds",
                "Age of the oldest prepared transaction in the database"
            ),
            notify_queue: register!(
                "notify_queue_ratio",
                "How full PostgreSQL's notification queue is, 0 to 1"
            ),
            clock_skew: register!("clock_skew_seconds", "This host's clock minus the server's"),
            feed_bytes: register!("feed_bytes", "What the events that are kept for readers take"),
            feed_max_bytes: register!("feed_max_bytes", "Beyond this the oldest of them go before their time"),
            feed_age: register!(
                "feed_oldest_age_seconds",
                "Since when the oldest block of the feed has been written to"
            ),
            feed_shortened: register!(
                "feed_shortened",
                "1 when events had to go before their time, because the feed had become too large"
            ),
            registry,
        };
        metrics.set_phase(PHASES[0]);
        for by in ["notify", "poll"] {
            drop(metrics.wakes.get_or_create(&WakeLabels { by }));
        }
        for state in ["ready", "invalid", "pending", "disabled", "inactive"] {
            drop(metrics.subscriptions.get_or_create(&StateLabels { state }));
        }
        drop(metrics.attempts.get_or_create(&AttemptLabels {
            result: "success",
            error: "",
        }));
        metrics
    }
    /// One of [`PHASES`].
    pub fn set_phase(&self, phase: &'static str) {
        for state in PHASES {
            self.phase
                .get_or_create(&StateLabels { state })
                .set(i64::from(state == phase));
        }
    }

    /// A term began.
    pub fn set_term(&self, term: i64) {
        self.term.set(term);
    }

    /// A term failed.
    pub fn term_failed(&self) {
        self.terms_failed.inc();
    }

    /// The outbox was read; `unix_now` in seconds.
    pub fn scanned(&self, rows: usize, unix_now: f64) {
        self.scans.inc();
        self.rows_read.inc_by(rows as u64);
        self.last_scan.set(unix_now);
    }

    /// The dispatcher woke up.
    pub fn woke(&self, rang: bool) {
        let by = if rang { "notify" } else { "poll" };
        self.wakes.get_or_create(&WakeLabels { by }).inc();
    }

    /// Deliveries were made.
    pub fn made(&self, deliveries: usize) {
        self.deliveries_made.inc_by(deliveries as u64);
    }

    /// Events were written for readers.
    pub fn fed(&self, events: usize) {
        self.feed_events.inc_by(events as u64);
    }

    /// An attempt was recorded.
    pub fn attempted(&self, success: bool, error: Option<&'static str>, duration_ms: i32) {
        let labels = AttemptLabels {
            result: if success { "success" } else { "failed" },
            error: error.unwrap_or_default(),
        };
        self.attempts.get_or_create(&labels).inc();
        self.attempt_duration.observe(f64::from(duration_ms) / 1_000.0);
    }

    /// A NOTIFY to ourselves came back.
    pub fn looped_back(&self, seconds: f64) {
        self.loopback.set(seconds);
    }

    /// The database was looked at; `unix_now` in seconds.
    pub fn measured(&self, health: &Measurement, unix_now: f64) {
        self.measured_at.set(unix_now);
        self.clock_skew.set(unix_now - health.server_time);
        self.fenced.set(i64::from(health.fence.is_some()));
        self.capture_off.set(i64::from(!health.capture));
        self.capture_gaps.set(health.gaps_open);
        self.troubles.set(health.troubles_open);
        self.outbox_bytes.set(health.outbox_bytes);
        self.outbox_max_bytes.set(health.outbox_max_bytes);
        self.outbox_unread.set(health.outbox_unread);
        self.outbox_age.set(health.outbox_oldest_unread_age_s);
        self.unfinished.set(health.unfinished);
        self.oldest_due_age.set(health.oldest_due_age_s);
        for (state, count) in [
            ("ready", health.subscriptions.ready),
            ("invalid", health.subscriptions.invalid),
            ("pending", health.subscriptions.pending),
            ("disabled", health.subscriptions.disabled),
            ("inactive", health.subscriptions.inactive),
        ] {
            self.subscriptions.get_or_create(&StateLabels { state }).set(count);
        }
        self.log_bytes.set(health.log.bytes);
        self.log_days.set(health.log.days);
        self.log_age.set(health.log.oldest_age_days.unwrap_or(0));
        let missing = [health.log.today, health.log.tomorrow];
        self.log_days_missing
            .set(i64::try_from(missing.iter().filter(|there| **there != Some(true)).count()).unwrap_or(0));
        self.oldest_transaction.set(health.oldest_transaction_age_s);
        self.oldest_prepared.set(health.oldest_prepared_age_s);
        self.notify_queue.set(health.notify_queue_ratio);
        self.feed_bytes.set(health.feed.bytes);
        self.feed_max_bytes.set(health.feed.max_bytes);
        self.feed_age.set(health.feed.oldest_age_s);
        self.feed_shortened.set(i64::from(health.feed.is_shortened));
    }

    /// All of them as OpenMetrics text.
    ///
    /// Source: OpenMetrics 1.0, which Prometheus asks for and reads.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// One text of several whose metrics differ by their labels: OpenMetrics wants all of a name in one place.
pub fn merge(texts: impl Iterator<Item = String>) -> String {
    let mut order: Vec<String> = Vec::new();
    let mut families: HashMap<String, (String, String)> = HashMap::new();
    for text in texts {
        let mut name = String::new();
        for line in text.lines().filter(|line| *line != "# EOF") {
            let described = line.strip_prefix("# ").and_then(|rest| rest.split(' ').nth(1));
            if let Some(described) = described {
                name = described.to_owned();
            }
            let (head, samples) = families.entry(name.clone()).or_insert_with(|| {
                order.push(name.clone());
                (String::new(), String::new())
            });
            match described {
                // What is said of it is the same in all.
                Some(_) if samples.is_empty() => head.extend([line, "\n"]),
                Some(_) => {}
                None => samples.extend([line, "\n"]),
            }
        }
    }
    let mut merged = String::new();
    for name in order {
        if let Some((head, samples)) = families.remove(&name) {
            merged.push_str(&head);
            merged.push_str(&samples);
        }
    }
    merged.push_str("# EOF\n");
    merged
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_of_many_databases_are_told_apart_and_described_once() {
        let all = ["one", "two"].map(|name| Metrics::of(Some(name)));
        all[1].set_term(7);
        let text = merge(all.iter().map(Metrics::encode));
        assert!(
            text.contains("odoo_eventd_term{database=\"one\"} 0\nodoo_eventd_term{database=\"two\"} 7\n"),
            "{text}"
        );
        assert!(
            text.contains("odoo_eventd_phase{state=\"connecting\",database=\"two\"} 1\n")
                || text.contains("odoo_eventd_phase{database=\"two\",state=\"connecting\"} 1\n"),
            "{text}"
        );
        for line in text.lines().filter(|line| line.starts_with("# ")) {
            assert_eq!(text.matches(line).count(), 1, "{line}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn counters_end_in_total_and_all_names_have_the_prefix() {
        let metrics = Metrics::default();
        metrics.attempted(false, Some("timeout"), 5_000);
        let text = metrics.encode();
        assert!(
            text.contains("odoo_eventd_attempts_total{result=\"failed\",error=\"timeout\"} 1\n"),
            "{text}"
        );
        assert!(
            text.contains("odoo_eventd_attempt_duration_seconds_bucket{le=\"5.0\"} 1\n"),
            "{text}"
        );
        assert!(text.contains("odoo_eventd_phase{state=\"connecting\"} 1\n"), "{text}");
        assert!(
            text.lines()
                .filter_map(|line| line.strip_prefix("# TYPE "))
                .all(|line| line.starts_with("odoo_eventd_"))
        );
    }
}
