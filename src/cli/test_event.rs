//! `test`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::output::{self, Json, data, say};
use super::verbs_under;
use crate::Result;
use crate::config::{DatabaseUrl, RawConfig, RunConfig};
use crate::delivery::meaning::{Meaning, meaning_of};
use crate::ops::Operator;
use crate::ops::test_event::Tested;
use crate::worker::upkeep::admission::ServiceRules;

/// Whose endpoint to try.
#[derive(Debug, Args)]
pub struct Test {
    /// The subscription's id
    id: i32,
    /// TOML file with the service's settings, of which those count that say whom it calls and how; options go before it
    #[arg(long, env = "ODOO_EVENTD_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Networks that may be called although they are private, as the service's own setting
    #[arg(long, env = "ODOO_EVENTD_ALLOW_NETWORKS", value_delimiter = ',', value_name = "CIDR")]
    allow_networks: Vec<String>,
    /// Ports that may be called at public addresses, as the service's own setting
    #[arg(long, env = "ODOO_EVENTD_ALLOW_PORTS", value_delimiter = ',', value_name = "PORT")]
    allow_ports: Vec<u16>,
    /// Authorities that the endpoint's certificate may be signed by, as the service's own setting
    #[arg(long, env = "ODOO_EVENTD_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// The key of encrypted secrets, as the service's own setting
    #[arg(long, env = "ODOO_EVENTD_SECRET_KEY_FILE", value_name = "FILE")]
    secret_key_file: Option<PathBuf>,
    #[command(flatten)]
    output: Json,
}

/// Sends a test event and shows request and response. Exits with 1 when it did not arrive.
///
/// # Errors
/// Wrong use; database errors.
pub async fn test(url: DatabaseUrl, args: Test) -> Result<ExitCode> {
    let said = RawConfig {
        allow_networks: args.allow_networks,
        allow_ports: args.allow_ports,
        ca_file: args.ca_file,
        secret_key_file: args.secret_key_file,
        ..RawConfig::default()
    };
    let settings = RunConfig::of_one(said, url.read()?, args.config.as_deref())?;
    let rules = ServiceRules {
        guard: settings.guards.of_subscriptions,
        keyring: settings.keyring,
    };
    let service = verbs_under(settings.database, rules).await?.sending_by(settings.client);
    let tested = Box::pin(service.test_subscription(&Operator::of_database(), args.id)).await?;
    if args.output.json {
        output::json(&tested)?;
    } else {
        print(&tested)?;
    }
    let status = tested.response_code.map(i32::from);
    if let Some(Meaning { what, next }) = tested.error.and_then(|error| meaning_of(error, status)) {
        say(format_args!("{what} {next}"));
    }
    say(format_args!(
        "{} in {} ms; `odoo-eventd deliveries --subscription {}` shows it in the log",
        if tested.success { "arrived" } else { "did not arrive" },
        tested.duration_ms,
        args.id
    ));
    Ok(if tested.success {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn print(tested: &Tested) -> Result<()> {
    data(format_args!("{} {}", tested.method, tested.url))?;
    for (name, value) in &tested.headers {
        data(format_args!("{name}: {value}"))?;
    }
    data(format_args!("\n{}\n", tested.body))?;
    match (tested.response_code, tested.error) {
        (Some(status), None) => data(format_args!("HTTP {status}"))?,
        (Some(status), Some(error)) => data(format_args!("HTTP {status} ({error})"))?,
        (None, error) => data(error.unwrap_or("no answer"))?,
    }
    if let Some(detail) = &tested.detail {
        data(detail)?;
    }
    if !tested.response_body.is_empty() {
        data(&tested.response_body)?;
    }
    Ok(())
}
