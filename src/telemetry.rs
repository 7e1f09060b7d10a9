//! Logging: set-up of the subscriber. Log lines go to stderr; data goes to stdout.
//!
//! What libraries say for their own developers is not logged, whatever the filter says: the database driver tells statements with their
//! parameters, which are secrets when a subscription is written, and HTTP and TLS tell headers, URLs and bytes. Of them only
//! warnings and errors pass. What this program says itself holds no secret at any level.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

use crate::{Error, Result};

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The driver logs the server's notices at info; they are the server's log's business. The verifier logs each certificate that it
/// refuses as an error of its own; the attempt's line says it once.
const DEFAULT_FILTER: &str = "info,tokio_postgres=warn,rustls_platform_verifier=off";

/// For commands whose output is for reading: only what went wrong.
const QUIET_FILTER: &str = "warn,rustls_platform_verifier=off";

/// The log, whose filter can be changed while it runs.
#[derive(Debug)]
pub struct Log {
    filter: reload::Handle<EnvFilter, Registry>,
    /// Said by flag or environment: goes before any file.
    is_fixed: bool,
    default: &'static str,
}

impl Log {
    /// What a configuration file says is to be logged; `None` = the default. Does nothing when flag or environment say it.
    ///
    /// # Errors
    /// [`Error::is_usage`] when it is no filter.
    pub fn set(&self, filter: Option<&str>) -> Result<()> {
        if self.is_fixed {
            return Ok(());
        }
        let filter = EnvFilter::try_new(filter.unwrap_or(self.default)).map_err(|e| {
            Error::usage(format!("log is \"{}\", which is no filter", filter.unwrap_or_default()))
                .with_source(e)
                .with_hint("a level (error, warn, info, debug) or a tracing filter")
        })?;
        self.filter
            .reload(filter)
            .map_err(|e| Error::other("cannot change what is logged").with_source(e))
    }
}

/// Whether something may be logged at all; the filter chooses among what may.
fn may_be_said(said: &Metadata<'_>) -> bool {
    let crate_name = said.target().split("::").next().unwrap_or_default();
    crate_name == env!("CARGO_CRATE_NAME") || *said.level() <= Level::WARN
}

/// Starts logging; only the service logs what goes well. `filter` is a level or a tracing filter; what cannot be read as one means the default.
pub fn start(format: LogFormat, filter: Option<&str>, is_service: bool) -> Log {
    let default = if is_service { DEFAULT_FILTER } else { QUIET_FILTER };
    let said = filter.and_then(|f| EnvFilter::try_new(f).ok());
    let is_fixed = said.is_some();
    let (filter, handle) = reload::Layer::new(said.unwrap_or_else(|| EnvFilter::new(default)));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => lines
            .with_target(false)
            .with_ansi(std::io::stderr().is_terminal())
            .boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(filter_fn(may_be_said))
        .with(lines)
        .init();
    Log {
        filter: handle,
        is_fixed,
        default,
    }
}
