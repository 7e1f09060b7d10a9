//! The settings, whichever way they were said.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Serialize;

use super::{ApiSettings, McpSettings, RawConfig, secret_key_file};
use crate::health::limits::ALARM_AFTER;
use crate::http::client::DEFAULT_RESPONSE_CAP_BYTES;
use crate::http::tls::HostTls;
use crate::pg::feed::Keeping;
use crate::{Error, Result};

/// Five days, in seconds. Source: Standard Webhooks, "Disabling endpoints"; Svix gives up after 120 hours of nothing but failures.
const DISABLE_AFTER_S: u64 = 5 * 24 * 60 * 60;

/// The most that may be kept of an answer: 16 MiB, held in memory for each request under way.
const MOST_RESPONSE_BODY_BYTES: usize = 16 * 1024 * 1024;

/// Readers are noted every five seconds at most.
const LEAST_FEED_LEASE_S: u32 = 10;

/// With less an empty block's own pages would be too much.
const LEAST_FEED_MAX_BYTES: u64 = 4 * 1024 * 1024;

/// Validated settings.
#[derive(Debug, Clone, Serialize)]
pub struct Settings {
    /// See [`RawConfig::allow_networks`].
    pub allow_networks: Vec<String>,
    /// See [`RawConfig::allow_ports`].
    pub allow_ports: Vec<u16>,
    /// See [`RawConfig::allow_callback_networks`].
    pub allow_callback_networks: Vec<String>,
    /// See [`RawConfig::ca_file`].
    pub ca_file: Option<PathBuf>,
    /// See [`RawConfig::tls`].
    pub tls: Vec<HostTls>,
    /// See [`RawConfig::secret_key_file`].
    pub secret_key_file: Option<PathBuf>,
    /// See [`RawConfig::state_directory`].
    pub state_directory: Option<PathBuf>,
    /// See [`RawConfig::poll_interval_ms`].
    pub poll_interval_ms: u64,
    /// See [`RawConfig::max_in_flight`].
    pub max_in_flight: usize,
    /// See [`RawConfig::max_in_flight_per_subscription`].
    pub max_in_flight_per_subscription: usize,
    /// See [`RawConfig::max_in_flight_per_endpoint`].
    pub max_in_flight_per_endpoint: usize,
    /// See [`RawConfig::disable_after_s`].
    pub disable_after_s: u64,
    /// See [`RawConfig::response_body_bytes`].
    pub response_body_bytes: usize,
    /// See [`RawConfig::shutdown_grace_ms`].
    pub shutdown_grace_ms: u64,
    /// See [`RawConfig::log_retention_days`].
    pub log_retention_days: u16,
    /// See [`RawConfig::feed_keep_hours`].
    pub feed_keep_hours: u16,
    /// See [`RawConfig::feed_max_events`].
    pub feed_max_events: u32,
    /// See [`RawConfig::feed_max_bytes`].
    pub feed_max_bytes: u64,
    /// See [`RawConfig::feed_lease_s`].
    pub feed_lease_s: u32,
    /// See [`RawConfig::listen_http`].
    pub listen_http: Option<SocketAddr>,
    /// See [`RawConfig::alarm_after_s`].
    pub alarm_after_s: u64,
    /// What the file says is logged; the flag and the environment go before it.
    pub log: Option<String>,
    /// The HTTP server.
    pub api: ApiSettings,
    /// The door for assistants.
    pub mcp: McpSettings,
}

impl Settings {
    /// What the command line and the environment say, else the file, else the default.
    pub(super) fn of(said: RawConfig, file: RawConfig) -> Result<Self> {
        let either = |said: Vec<String>, file: Vec<String>| if said.is_empty() { file } else { said };
        let api = ApiSettings::resolve(said.api, file.api)?;
        let settings = Self {
            allow_networks: either(said.allow_networks, file.allow_networks),
            allow_ports: if said.allow_ports.is_empty() {
                file.allow_ports
            } else {
                said.allow_ports
            },
            allow_callback_networks: either(said.allow_callback_networks, file.allow_callback_networks),
            ca_file: said.ca_file.or(file.ca_file),
            tls: file.tls,
            secret_key_file: secret_key_file(said.secret_key_file.or(file.secret_key_file)),
            state_directory: state_directory(said.state_directory.or(file.state_directory)),
            poll_interval_ms: said.poll_interval_ms.or(file.poll_interval_ms).unwrap_or(2_000),
            max_in_flight: said.max_in_flight.or(file.max_in_flight).unwrap_or(256),
            max_in_flight_per_subscription: said
                .max_in_flight_per_subscription
                .or(file.max_in_flight_per_subscription)
                .unwrap_or(64),
            max_in_flight_per_endpoint: said
                .max_in_flight_per_endpoint
                .or(file.max_in_flight_per_endpoint)
                .unwrap_or(64),
            disable_after_s: said.disable_after_s.or(file.disable_after_s).unwrap_or(DISABLE_AFTER_S),
            response_body_bytes: said
                .response_body_bytes
                .or(file.response_body_bytes)
                .unwrap_or(DEFAULT_RESPONSE_CAP_BYTES),
            shutdown_grace_ms: said.shutdown_grace_ms.or(file.shutdown_grace_ms).unwrap_or(10_000),
            log_retention_days: said.log_retention_days.or(file.log_retention_days).unwrap_or(30),
            feed_keep_hours: said.feed_keep_hours.or(file.feed_keep_hours).unwrap_or(24),
            feed_max_events: said
                .feed_max_events
                .or(file.feed_max_events)
                .unwrap_or(Keeping::default().max_events),
            feed_max_bytes: said
                .feed_max_bytes
                .or(file.feed_max_bytes)
                .unwrap_or(Keeping::default().max_bytes),
            feed_lease_s: said.feed_lease_s.or(file.feed_lease_s).unwrap_or(3_600),
            listen_http: said
                .listen_http
                .or(file.listen_http)
                .filter(|address| !address.is_empty())
                .map(|address| crate::http::server::parse_address("listen_http", &address))
                .transpose()?,
            alarm_after_s: said
                .alarm_after_s
                .or(file.alarm_after_s)
                .unwrap_or(ALARM_AFTER.as_secs()),
            log: file.log,
            mcp: McpSettings::resolve(said.mcp, file.mcp, api.public_url.as_deref())?,
            api,
        };
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<()> {
        for (name, value) in [
            ("alarm_after_s", self.alarm_after_s),
            ("poll_interval_ms", self.poll_interval_ms),
            ("feed_keep_hours", u64::from(self.feed_keep_hours)),
            ("feed_max_events", u64::from(self.feed_max_events)),
            ("max_in_flight", self.max_in_flight as u64),
            (
                "max_in_flight_per_subscription",
                self.max_in_flight_per_subscription as u64,
            ),
            ("max_in_flight_per_endpoint", self.max_in_flight_per_endpoint as u64),
        ] {
            if value == 0 {
                return Err(Error::usage(format!("{name} must be more than 0")));
            }
        }
        if self.response_body_bytes > MOST_RESPONSE_BODY_BYTES {
            return Err(Error::usage(format!(
                "response_body_bytes must be {MOST_RESPONSE_BODY_BYTES} at most"
            )));
        }
        if self.feed_lease_s < LEAST_FEED_LEASE_S {
            return Err(Error::usage(format!(
                "feed_lease_s must be {LEAST_FEED_LEASE_S} at least"
            )));
        }
        if self.feed_max_bytes < LEAST_FEED_MAX_BYTES {
            return Err(Error::usage(format!(
                "feed_max_bytes must be {LEAST_FEED_MAX_BYTES} at least"
            )));
        }
        if let Some(directory) = self.state_directory.as_ref().filter(|directory| !directory.is_dir()) {
            return Err(
                Error::usage(format!("state_directory: {} is no directory", directory.display()))
                    .with_hint("make it, and let the user that the service runs as write to it"),
            );
        }
        Ok(())
    }
}

/// Where the service keeps what must outlive it: the directory that was named, or the one that systemd made for it.
///
/// Source: systemd.exec(5), `StateDirectory=`: `$STATE_DIRECTORY` has the paths, with colons between them.
fn state_directory(named: Option<PathBuf>) -> Option<PathBuf> {
    named.or_else(|| {
        let made = std::env::var_os("STATE_DIRECTORY")?;
        std::env::split_paths(&made).find(|path| !path.as_os_str().is_empty())
    })
}
