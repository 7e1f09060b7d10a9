//! What the database tells about an installation, typed: what it does not tell is an error, and what cannot be known is `None`, never zero.

use serde::Deserialize;

/// One look at the database; cheap enough for every few seconds. Ages in seconds; counts stop at 100,000.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Measurement {
    /// The server's clock, in seconds since 1970.
    pub server_time: f64,
    /// Why nothing may be delivered from here.
    pub fence: Option<String>,
    /// False after `capture off`.
    pub capture: bool,
    /// What the outbox may take.
    pub outbox_max_bytes: i64,
    /// What its rows take, long values included and indexes not: what the cap goes by.
    pub outbox_bytes: i64,
    /// Rows that were not read yet.
    pub outbox_unread: i64,
    /// Since when the oldest of them waits; 0 = none does.
    pub outbox_oldest_unread_age_s: f64,
    /// Gaps in capture that go on.
    pub gaps_open: i64,
    /// Things that are tried in vain.
    pub troubles_open: i64,
    /// Deliveries that have not ended.
    pub unfinished: i64,
    /// For how long the oldest of them could have been sent; 0 = none could.
    pub oldest_due_age_s: f64,
    /// How many there are.
    pub subscriptions: Subscriptions,
    /// The log of attempts.
    pub log: Log,
    /// The oldest transaction of anybody in this database: reading by snapshot waits for it, and so does vacuum. 0 = none is open.
    pub oldest_transaction_age_s: f64,
    /// The oldest prepared transaction of this database; 0 = none.
    pub oldest_prepared_age_s: f64,
    /// How full PostgreSQL's queue of notifications is, 0 to 1.
    pub notify_queue_ratio: f64,
    /// The events that are kept for readers.
    pub feed: Feed,
}

/// The event feed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Feed {
    /// What it takes.
    pub bytes: i64,
    /// What it may take.
    pub max_bytes: i64,
    /// For how long events are kept, in seconds.
    pub keep_s: i64,
    /// Since when its oldest block has been written to; 0 = it is empty.
    pub oldest_age_s: f64,
    /// Whether events had to go before their time within the time that they are kept.
    pub is_shortened: bool,
}

/// Subscriptions by state.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Subscriptions {
    /// Active and served.
    pub ready: i64,
    /// Active and refused.
    pub invalid: i64,
    /// Active and not looked at yet.
    pub pending: i64,
    /// Active, and the endpoint was given up.
    pub disabled: i64,
    /// Kept for audit.
    pub inactive: i64,
}

/// The partitions of the log.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Log {
    /// How many there are, those ahead of time included.
    pub days: i64,
    /// What they take.
    pub bytes: i64,
    /// The first day there is, as PostgreSQL writes a date.
    pub oldest: Option<String>,
    /// Whether there is one for today (UTC); `None` without any.
    pub today: Option<bool>,
    /// Whether there is one for tomorrow.
    pub tomorrow: Option<bool>,
    /// How many days ago the oldest began.
    pub oldest_age_days: Option<i64>,
}

/// All that `doctor` judges: a measurement, and what is looked at only when somebody asks.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Examination {
    /// What is measured all the time.
    #[serde(flatten)]
    pub measured: Measurement,
    /// As `show server_version_num`.
    pub server_version_num: i64,
    /// As `show server_version`.
    pub server_version: String,
    /// The least limit on temporary files that a role or this database has; `None` = there is none.
    pub temp_file_limit: Option<String>,
    /// A standby, or read-only by default.
    pub read_only: bool,
    /// Odoo's version; `None` = it is not in the database.
    pub odoo_version: Option<String>,
    /// Who looks.
    pub login: String,
    /// Who owns Odoo's tables.
    pub owner: String,
    /// The service's role; `None` = it logs in as the owner.
    pub listener_role: Option<String>,
    /// Whether that role is on this cluster.
    pub listener_exists: bool,
    /// Whether the login is a superuser.
    pub login_is_superuser: bool,
    /// Whether Odoo's manager may end the service's sessions.
    pub owner_may_end_listener: bool,
    /// Whether Odoo's role reads every table, through the service's role.
    pub owner_reads_all: bool,
    /// Whether this session is encrypted; `None` = the server does not say.
    pub tls: Option<bool>,
    /// Whether the server is another host.
    pub remote: bool,
    /// The cluster's identifier.
    pub system_identifier: String,
    /// The models that are captured.
    pub models: Vec<Model>,
    /// Gaps in capture of the last week.
    pub gaps: Vec<Gap>,
    /// Subscriptions that are refused.
    pub invalid: Vec<Refused>,
    /// Subscriptions whose endpoints were given up.
    pub disabled: Vec<Refused>,
    /// Subscriptions that are looked at again and again.
    pub waiting: Vec<Refused>,
    /// Roles whose writes fire no trigger.
    pub replica_role_for: Vec<String>,
    /// The server's process of the session that leads.
    pub leader_pid: Option<i64>,
    /// What is tried in vain.
    pub troubles: Vec<Trouble>,
    /// Who holds a lock of the service's.
    pub strangers: Vec<Stranger>,
    /// Who else listens in this database.
    pub other_listeners: Vec<String>,
    /// Transactions open for more than ten minutes, the oldest five.
    pub long_transactions: Vec<LongTransaction>,
    /// Transactions prepared more than five minutes ago, the oldest five.
    pub prepared: Vec<Prepared>,
    /// Connections and their limits.
    pub connections: Connections,
    /// Rows of the table of deliveries; `None` = no statistics.
    pub delivery: Option<Rows>,
}

/// A captured model.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Model {
    /// Odoo's name.
    pub model: String,
    /// How its table differs from what its capture was made for.
    pub drift: Option<String>,
    /// Whether somebody switched its capture off.
    pub switched_off: bool,
    /// Triggers that do not fire.
    pub asleep: i64,
}

/// A time in which changes were not captured, or in part.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Gap {
    /// Odoo's name.
    pub model: String,
    /// Why.
    pub reason: String,
    /// From when, as PostgreSQL writes a time.
    pub from: String,
    /// Until when; `None` = it goes on.
    pub to: Option<String>,
}

/// A subscription that is not served.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Refused {
    /// Its id.
    pub id: i64,
    /// Why.
    pub error: Option<String>,
}

/// Something that is tried in vain.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Trouble {
    /// What is tried, in the infinitive.
    pub what: String,
    /// What the database says to it.
    pub error: String,
    /// How often.
    pub times: i64,
    /// From when, as PostgreSQL writes a time.
    pub since: String,
}

impl Trouble {
    /// A sentence for people.
    pub fn sentence(&self) -> String {
        let Self {
            what,
            error,
            times,
            since,
        } = self;
        format!("cannot {what}: {error} ({times} times since {since})")
    }
}

/// A session that holds an advisory lock of the service's and is none of its.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Stranger {
    /// Which lock.
    pub lock: String,
    /// The server's process.
    pub pid: i64,
    /// Who it is.
    pub role: Option<String>,
    /// What it calls itself.
    pub application: Option<String>,
}

/// A transaction that has been open for long.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct LongTransaction {
    /// The server's process.
    pub pid: i64,
    /// Who it is.
    #[serde(default)]
    pub login: Option<String>,
    /// What it calls itself.
    #[serde(default)]
    pub application: Option<String>,
    /// As in `pg_stat_activity`.
    #[serde(default)]
    pub state: Option<String>,
    /// For how long.
    pub age_s: f64,
}

/// A prepared transaction that nobody ends.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Prepared {
    /// Its name.
    pub gid: String,
    /// For how long.
    pub age_s: f64,
}

/// Connections, and limits; a limit of -1 is none.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Connections {
    /// In use on the server.
    pub used: i64,
    /// The server's limit for ordinary roles.
    pub most: i64,
    /// The login's limit.
    pub of_login: i64,
    /// The database's limit.
    pub of_database: i64,
    /// In use by the login.
    pub used_by_login: i64,
    /// In use in the database.
    pub used_in_database: i64,
}

impl Connections {
    /// How many more can be made.
    pub fn room(&self) -> i64 {
        let limits = [
            (self.of_login, self.used_by_login),
            (self.of_database, self.used_in_database),
        ];
        let of_limits = limits
            .into_iter()
            .filter(|(limit, _)| *limit >= 0)
            .map(|(limit, used)| limit - used);
        of_limits.fold(self.most - self.used, i64::min)
    }
}

/// Rows of a table, as PostgreSQL's statistics have them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Rows {
    /// Alive.
    pub rows: i64,
    /// Dead.
    pub dead: i64,
}
