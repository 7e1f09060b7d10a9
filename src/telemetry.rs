//! Logging: set-up of the subscriber. Log lines go to stderr; data goes to stdout.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

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

/// Starts logging; only the service logs what goes well. `filter` is a level or a tracing filter; what cannot be read as one means the default.
pub fn start(format: LogFormat, filter: Option<&str>, is_service: bool) {
    let filter = filter
        .and_then(|f| EnvFilter::try_new(f).ok())
        .unwrap_or_else(|| EnvFilter::new(if is_service { DEFAULT_FILTER } else { QUIET_FILTER }));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder
            .with_target(false)
            .with_ansi(std::io::stderr().is_terminal())
            .init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}
