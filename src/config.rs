//! Configuration: flags over `ODOO_EVENTD_*` environment over a TOML file over defaults.
//!
//! [`RawConfig`] is what was said, in whichever way; [`RunConfig`] is validated and ready to use, with units in its names.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use crate::endpoint::guard::Guard;
use crate::http::client::{Client, ClientConfig};
use crate::http::tls::{HostTls, read_certificates};
use crate::pg::connect::Database;
use crate::pg::feed::Keeping;
use crate::pg::subscriptions::GiveUp;
use crate::sealing::Keyring;
use crate::worker::deliver::slots::Limits;
use crate::{Error, Result};

mod api;
mod databases;
mod mcp;
mod settings;

pub use api::{ApiSettings, RawApi};
pub use databases::{ForAll, Guards, RawDatabase, Served};
pub use mcp::{McpSettings, OauthSettings, RawMcp};
pub use settings::Settings;

/// Two failures a week apart are no endpoint that is gone: so many in a row it takes at least.
const GIVE_UP_AFTER_FAILURES: i32 = 10;

/// Settings of `run`, as said by flags and environment, or by a TOML file with the same names.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawConfig {
    /// In a file only: the flag and the environment variable are the program's own.
    #[arg(skip)]
    pub database_url: Option<String>,
    /// In a file only: the databases of an instance that serves many, in place of `database_url`.
    #[arg(skip)]
    #[serde(default)]
    pub database: Vec<RawDatabase>,
    /// Networks that may be called although they are private, as CIDR: 127.0.0.0/8,10.0.0.0/8
    #[arg(long, env = "ODOO_EVENTD_ALLOW_NETWORKS", value_delimiter = ',', value_name = "CIDR")]
    #[serde(default)]
    pub allow_networks: Vec<String>,
    /// Ports that may be called at public addresses, beside 443
    #[arg(long, env = "ODOO_EVENTD_ALLOW_PORTS", value_delimiter = ',', value_name = "PORT")]
    #[serde(default)]
    pub allow_ports: Vec<u16>,
    /// Private networks that callback URLs of records may reach; allow_networks does not hold for them
    #[arg(
        long,
        env = "ODOO_EVENTD_ALLOW_CALLBACK_NETWORKS",
        value_delimiter = ',',
        value_name = "CIDR"
    )]
    #[serde(default)]
    pub allow_callback_networks: Vec<String>,
    /// PEM file with authorities that receivers' certificates may be signed by, beside the system's
    #[arg(long, env = "ODOO_EVENTD_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// In a file only: authorities and client certificates for single hosts
    #[arg(skip)]
    #[serde(default)]
    pub tls: Vec<HostTls>,
    /// File with the key that encrypts secrets in the database [default: the systemd credential secret_key, if there is one]
    #[arg(long, env = "ODOO_EVENTD_SECRET_KEY_FILE", value_name = "FILE")]
    pub secret_key_file: Option<PathBuf>,
    /// Directory for the little that must outlive the process [default: the one that systemd made for the service, if there is one]
    #[arg(long, env = "ODOO_EVENTD_STATE_DIRECTORY", value_name = "DIR")]
    pub state_directory: Option<PathBuf>,
    /// How long to sleep at most when nobody rings [default: 2000]
    #[arg(long, env = "ODOO_EVENTD_POLL_INTERVAL_MS", value_name = "MS")]
    pub poll_interval_ms: Option<u64>,
    /// Requests under way at most [default: 256]
    #[arg(long, env = "ODOO_EVENTD_MAX_IN_FLIGHT", value_name = "N")]
    pub max_in_flight: Option<usize>,
    /// Requests under way for one subscription at most [default: 64]
    #[arg(long, env = "ODOO_EVENTD_MAX_IN_FLIGHT_PER_SUBSCRIPTION", value_name = "N")]
    pub max_in_flight_per_subscription: Option<usize>,
    /// Requests under way to one host and port at most [default: 64]
    #[arg(long, env = "ODOO_EVENTD_MAX_IN_FLIGHT_PER_ENDPOINT", value_name = "N")]
    pub max_in_flight_per_endpoint: Option<usize>,
    /// An endpoint that fails everything for so long is given up; 0 = never [default: 432000, 5 days]
    #[arg(long, env = "ODOO_EVENTD_DISABLE_AFTER_S", value_name = "S")]
    pub disable_after_s: Option<u64>,
    /// How many bytes of an answer's body are kept in the log [default: 16384]
    #[arg(long, env = "ODOO_EVENTD_RESPONSE_BODY_BYTES", value_name = "N")]
    pub response_body_bytes: Option<usize>,
    /// How long requests under way may go on after a stop [default: 10000]
    #[arg(long, env = "ODOO_EVENTD_SHUTDOWN_GRACE_MS", value_name = "MS")]
    pub shutdown_grace_ms: Option<u64>,
    /// For how many days the log of attempts is kept, 0 = for ever [default: 30]
    #[arg(long, env = "ODOO_EVENTD_LOG_RETENTION_DAYS", value_name = "DAYS")]
    pub log_retention_days: Option<u16>,
    /// For how many hours events are kept for readers of the feed [default: 24]
    #[arg(long, env = "ODOO_EVENTD_FEED_KEEP_HOURS", value_name = "HOURS")]
    pub feed_keep_hours: Option<u16>,
    /// How many events of a subscription are kept for its readers [default: 10000]
    #[arg(long, env = "ODOO_EVENTD_FEED_MAX_EVENTS", value_name = "N")]
    pub feed_max_events: Option<u32>,
    /// How many bytes all events that are kept for readers may take [default: 1073741824, 1 GiB]
    #[arg(long, env = "ODOO_EVENTD_FEED_MAX_BYTES", value_name = "N")]
    pub feed_max_bytes: Option<u64>,
    /// A subscription that an assistant or `listen` made is deactivated when nobody has read it for so long [default: 3600]
    #[arg(long, env = "ODOO_EVENTD_FEED_LEASE_S", value_name = "S")]
    pub feed_lease_s: Option<u32>,
    /// Where to serve /healthz, /readyz and /metrics: ADDRESS:PORT, or a port of loopback [default: nowhere]
    #[arg(long, env = "ODOO_EVENTD_LISTEN_HTTP", value_name = "ADDRESS")]
    pub listen_http: Option<String>,
    /// After how long an event that waits is an alarm [default: 300]
    #[arg(long, env = "ODOO_EVENTD_ALARM_AFTER_S", value_name = "SECONDS")]
    pub alarm_after_s: Option<u64>,
    /// In a file only, where a reload finds it: the flag and the environment variable are the program's own.
    #[arg(skip)]
    pub log: Option<String>,
    /// The HTTP server.
    #[command(flatten)]
    #[serde(default)]
    pub api: RawApi,
    /// The door for assistants.
    #[command(flatten)]
    #[serde(default)]
    pub mcp: RawMcp,
}

/// Where the database's URL comes from. A file can be a systemd credential; it is read again by a reload.
#[derive(Clone, Args)]
pub struct DatabaseUrl {
    /// The Odoo database: postgres://user@host/database
    #[arg(
        long,
        global = true,
        env = "DATABASE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    database_url: Option<String>,
    /// A file with the URL in it, so that a password is in nobody's environment
    #[arg(long, global = true, env = "DATABASE_URL_FILE", value_name = "FILE")]
    database_url_file: Option<PathBuf>,
}

/// Takes a variable that is set and empty for one that is not set: that is what `VAR=` in an environment file and `${VAR:-}` in a
/// compose file mean.
pub fn ignoring_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |name: &std::ffi::OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    command
        .mut_args(|arg| match arg.get_env().is_some_and(is_empty) {
            true => arg.env(None::<&str>),
            false => arg,
        })
        .mut_subcommands(ignoring_empty_variables)
}

impl DatabaseUrl {
    /// What was said, or stands in the file; `None` when neither was.
    ///
    /// # Errors
    /// [`Error::is_usage`] when the file cannot be read or is empty.
    pub fn read(&self) -> Result<Option<String>> {
        if let Some(url) = self.database_url.as_ref().filter(|url| !url.is_empty()) {
            return Ok(Some(url.clone()));
        }
        let Some(file) = &self.database_url_file else {
            return Ok(None);
        };
        let text = std::fs::read_to_string(file).map_err(|e| {
            Error::usage(format!("cannot read the database URL from {}", file.display())).with_source(e)
        })?;
        let url = text.trim();
        if url.is_empty() {
            return Err(Error::usage(format!("{} holds no database URL", file.display())));
        }
        Ok(Some(url.to_owned()))
    }
}

/// What `run` works with.
#[derive(Debug, Clone)]
pub struct RunConfig {
    /// Which databases; one at least.
    pub databases: Vec<Served>,
    /// Whether they were named by `[[database]]`: then a database that cannot be served stops no other, and is tried again.
    pub serves_many: bool,
    /// How requests are made; which addresses may be called is each database's own, see [`RunConfig::clients`].
    pub client: ClientConfig,
    /// Opens and seals secrets at rest.
    pub keyring: Option<Arc<Keyring>>,
    /// The rest, as `--print-config` shows it.
    pub settings: Settings,
}

/// What [`RunConfig`] says of one database.
#[derive(Debug)]
pub struct OfOne {
    /// Where it is.
    pub database: Database,
    /// Who may be called.
    pub guards: Guards,
    /// Calls them, with the authorities and certificates of the settings.
    pub client: Client,
    /// Opens and seals secrets at rest.
    pub keyring: Option<Arc<Keyring>>,
}

impl RunConfig {
    /// Puts together what was said.
    ///
    /// # Errors
    /// [`Error::is_usage`] naming the setting that is missing, out of range or unreadable.
    pub fn resolve(said: RawConfig, database_url: Option<String>, file: Option<&Path>) -> Result<Self> {
        let mut file = file.map(read_file).transpose()?.unwrap_or_default();
        let url = database_url.or(file.database_url.take());
        if url.is_some() && !file.database.is_empty() {
            return Err(Error::usage("databases are named both by a URL and by [[database]] tables").with_hint(
                "remove --database-url, DATABASE_URL and database_url, or the tables; a URL can be a table of its own",
            ));
        }
        let serves_many = !file.database.is_empty();
        let databases = std::mem::take(&mut file.database);
        let settings = Settings::of(said, file)?;
        let mut client = ClientConfig::new(Guard::new(&settings.allow_networks, &settings.allow_ports)?);
        client.response_cap_bytes = settings.response_body_bytes;
        if let Some(ca_file) = &settings.ca_file {
            client.authorities = read_certificates(ca_file)?;
        }
        client.hosts = settings.tls.iter().map(HostTls::read).collect::<Result<_>>()?;
        let for_all = ForAll {
            allow_networks: &settings.allow_networks,
            allow_ports: &settings.allow_ports,
            allow_callback_networks: &settings.allow_callback_networks,
            max_in_flight: settings.max_in_flight,
        };
        let databases = match url {
            Some(url) => vec![Served::only(Database::parse(&url)?, for_all)],
            None if serves_many => Served::all(databases, for_all)?,
            None => return Err(no_database()),
        };
        for served in &databases {
            // Read here, so that a wrong network is told before anything runs.
            served.guards()?;
        }
        Ok(Self {
            databases,
            serves_many,
            client,
            keyring: read_keyring(settings.secret_key_file.as_deref())?.map(Arc::new),
            settings,
        })
    }

    /// The settings for one database of those that it serves, for a command that sends to an endpoint as the service does. What the
    /// command line says goes before the file; where that names several databases, `url` says which.
    ///
    /// # Errors
    /// As [`RunConfig::resolve`]; [`Error::is_usage`] for a database that is not among those of the file.
    pub fn of_one(said: RawConfig, url: Option<String>, file: Option<&Path>) -> Result<OfOne> {
        let serves_many = file
            .map(read_file)
            .transpose()?
            .is_some_and(|file| !file.database.is_empty());
        let wanted = url.as_deref().map(Database::parse).transpose()?;
        let config = Self::resolve(said, url.filter(|_| !serves_many), file)?;
        let which =
            match (&wanted, config.databases.len()) {
                (None, 1) => 0,
                (None, _) => {
                    return Err(Error::usage("the configuration serves several databases")
                        .with_hint("name one: --database-url"));
                }
                (Some(wanted), _) => {
                    let same = |served: &Served| served.database.to_string() == wanted.to_string();
                    config.databases.iter().position(same).ok_or_else(|| {
                        Error::usage(format!("{wanted} is not among those that the configuration serves"))
                    })?
                }
            };
        let (guards, client) = config.clients()?.swap_remove(which);
        let served = config.databases.into_iter().nth(which);
        let served = served.ok_or_else(no_database)?;
        Ok(OfOne {
            database: wanted.unwrap_or(served.database),
            guards,
            client,
            keyring: config.keyring,
        })
    }

    /// The HTTP client of each database, in their order. Those with the same rules share one, its connections included.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn clients(&self) -> Result<Vec<(Guards, Client)>> {
        let mut made: HashMap<String, (Guards, Client)> = HashMap::new();
        self.databases
            .iter()
            .map(|served| {
                let guards = served.guards()?;
                let rules = format!("{guards:?}");
                if let Some(same) = made.get(&rules) {
                    return Ok(same.clone());
                }
                let client = Client::new(ClientConfig {
                    guard: guards.of_subscriptions.clone(),
                    callback_guard: guards.of_callbacks.clone(),
                    ..self.client.clone()
                })?;
                made.insert(rules, (guards.clone(), client.clone()));
                Ok((guards, client))
            })
            .collect()
    }

    /// The poll interval.
    pub fn poll_interval(&self) -> Duration {
        Duration::from_millis(self.settings.poll_interval_ms)
    }

    /// How many requests may be under way.
    pub fn limits(&self) -> Limits {
        Limits {
            total: self.settings.max_in_flight,
            per_endpoint: self.settings.max_in_flight_per_endpoint,
            per_subscription: self.settings.max_in_flight_per_subscription,
        }
    }

    /// When an endpoint that fails everything is given up.
    pub fn give_up(&self) -> GiveUp {
        GiveUp {
            after: Duration::from_secs(self.settings.disable_after_s),
            after_failures: GIVE_UP_AFTER_FAILURES,
        }
    }

    /// What is kept of events for readers.
    pub fn feed(&self) -> Keeping {
        Keeping {
            keep: Duration::from_secs(u64::from(self.settings.feed_keep_hours) * 3_600),
            max_events: self.settings.feed_max_events,
            max_bytes: self.settings.feed_max_bytes,
            lease: Duration::from_secs(u64::from(self.settings.feed_lease_s)),
        }
    }

    /// The grace time.
    pub fn shutdown_grace(&self) -> Duration {
        Duration::from_millis(self.settings.shutdown_grace_ms)
    }
}

/// Where the key of encrypted secrets is: the file that was named, or the credential that systemd passes to the service.
///
/// Source: systemd.exec(5), `LoadCredential=`: files in the directory that `$CREDENTIALS_DIRECTORY` names.
pub fn secret_key_file(named: Option<PathBuf>) -> Option<PathBuf> {
    named.or_else(|| {
        let directory = std::env::var_os("CREDENTIALS_DIRECTORY")?;
        Some(Path::new(&directory).join("secret_key")).filter(|file| file.exists())
    })
}

/// Reads the keys of encrypted secrets, where a file is named.
///
/// # Errors
/// [`Error::is_usage`] naming the file.
pub fn read_keyring(file: Option<&Path>) -> Result<Option<Keyring>> {
    let Some(file) = file else { return Ok(None) };
    let keyring = Keyring::read(file)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Not refused: a container's mounted secrets often cannot be made narrower.
        if std::fs::metadata(file).is_ok_and(|found| found.permissions().mode() & 0o007 != 0) {
            tracing::warn!(file = %file.display(), "everybody on this machine can read the key for secrets: chmod 600");
        }
    }
    Ok(Some(keyring))
}

/// Nobody said which database.
pub fn no_database() -> Error {
    Error::usage("no database was named")
        .with_hint("give --database-url or set DATABASE_URL: postgres://user@host/database")
}

fn read_file(path: &Path) -> Result<RawConfig> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| Error::usage(format!("cannot read the configuration file {}", path.display())).with_source(e))?;
    // The parser's message quotes the line it stumbled over, which may hold a password: only its place is told.
    toml::from_str(&text).map_err(|e| {
        let line = e.span().map(|span| text[..span.start].lines().count().max(1));
        Error::usage(format!(
            "cannot read the configuration file {}: {}",
            path.display(),
            first_line(e.message())
        ))
        .with_hint(match line {
            Some(line) => format!("look at line {line}"),
            None => "see the settings of `run` in OPERATE.md".to_owned(),
        })
    })
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
