//! The command line: one file for each command, all of them thin. Data on stdout, words on stderr.

pub mod capture;
pub mod dashboard;
pub mod deliveries;
pub mod demo;
mod demo_page;
pub mod doctor;
pub mod domain;
pub mod domain_args;
pub mod emit;
pub mod erase;
pub mod install;
pub mod listen;
pub mod login_link;
pub mod manual;
pub mod mcp;
pub mod output;
pub mod receive;
pub mod registry;
pub mod run;
pub mod secret;
pub mod secrets;
pub mod serve;
pub mod status;
pub mod subscribe;
pub mod subscriptions;
pub mod test_event;
pub mod token;
pub mod verify;

use std::future::Future;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use tokio::runtime::Runtime;

use crate::config::{DatabaseUrl, ignoring_empty_variables, no_database};
use crate::endpoint::guard::Guard;
use crate::ops::page::{LIMIT_AT_MOST, Page, PageRequest};
use crate::ops::{self, Service};
use crate::pg::Client;
use crate::pg::connect::Database;
use crate::pg::schema;
use crate::telemetry::{Log, LogFormat};
use crate::worker::upkeep::admission::ServiceRules;
use crate::{Error, Result};

/// Signed webhooks for every create, write and unlink in an Odoo database.
#[derive(Parser)]
#[command(
    name = "odoo-eventd",
    version,
    about,
    max_term_width = 120,
    arg_required_else_help = true
)]
pub struct Cli {
    #[command(flatten)]
    database: DatabaseUrl,
    /// How log lines look; on a terminal for people, else as JSON with --log-format json
    #[arg(long, global = true, env = "ODOO_EVENTD_LOG_FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,
    /// What is logged: error, warn, info, debug, or a tracing filter
    #[arg(long, global = true, env = "ODOO_EVENTD_LOG", value_name = "FILTER")]
    log: Option<String>,
    /// What to do
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Shows everything on a throw-away PostgreSQL: install, subscribe, change records, watch signed deliveries arrive
    Demo(demo::Demo),
    /// Prints the SQL that install would run
    Plan(install::Roles),
    /// Installs or upgrades what is needed in the database
    Install(install::Roles),
    /// Removes triggers and functions from the database
    Uninstall(install::Uninstall),
    /// The emergency switch: stops or resumes capture, without locking a table
    Capture(capture::Capture),
    /// Lets this copy of a database capture and deliver from now on
    Adopt(capture::Adopt),
    /// Adds a subscription
    Subscribe(Box<subscribe::Subscribe>),
    /// Lists subscriptions; pauses, resumes or enables one
    Subscriptions(subscriptions::Subscriptions),
    /// Shows events as they come, or posts them to a program on this machine
    Listen(Box<listen::Listen>),
    /// Deactivates a subscription
    Unsubscribe(subscribe::Unsubscribe),
    /// Sends a test event to a subscription's endpoint and shows request and response
    Test(test_event::Test),
    /// Sends existing records through a subscription
    Emit(emit::Emit),
    /// Runs the service
    Run(Box<run::Run>),
    /// Serves the HTTP API alone, beside a service that runs elsewhere
    Serve(Box<run::Run>),
    /// Speaks MCP with an assistant's client, on standard input and output
    Mcp(mcp::Mcp),
    /// Shows triggers, drift, queues, the service and every subscription's health
    Status(output::Json),
    /// Looks for what would go wrong here, and says what to do about it
    Doctor(doctor::Doctor),
    /// Shows what was sent in the last days, in figures
    Dashboard(dashboard::DashboardArgs),
    /// Lists attempts to deliver, newest first
    Deliveries(deliveries::Deliveries),
    /// Sends ended deliveries once more, under the same ids
    Redeliver(deliveries::Redeliver),
    /// Blanks what is kept of some records: bodies, answers, captured values
    Erase(erase::Erase),
    /// Lists who changed which subscription, when and how
    History(erase::History),
    /// Evaluates or explains an Odoo domain on the database as it is now
    #[command(subcommand)]
    Domain(domain_args::DomainCommand),
    /// Learns from Odoo what its tables do not tell
    #[command(subcommand)]
    Registry(registry::RegistryCommand),
    /// Changes the secret of a subscription, or the key that secrets are encrypted with
    #[command(subcommand)]
    Secret(secrets::SecretCommand),
    /// Makes, lists and revokes tokens for the HTTP API
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Prints a link that logs in on the web page, once
    LoginLink(login_link::LoginLinkArgs),
    /// A receiver for development: verifies what arrives and prints it
    Receive(receive::ReceiveArgs),
    /// Checks a signature; the body comes on stdin
    Verify(verify::VerifyArgs),
    /// Prints the manual page
    #[command(hide = true)]
    Man,
    /// Prints a shell's completions
    #[command(hide = true)]
    Completions(manual::Completions),
}

/// Runs the program: arguments to exit code.
pub fn main() -> ExitCode {
    let command = ignoring_empty_variables(Cli::command());
    let parsed = command
        .try_get_matches()
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; clap knows which stream and code each has.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let log = crate::telemetry::start(
        cli.log_format,
        cli.log.as_deref(),
        matches!(cli.command, Command::Run(_) | Command::Serve(_)),
    );
    match run_command(cli, &log) {
        Ok(code) => code,
        Err(error) if error.is_closed_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            output::say(format_args!("error: {}", error.for_people()));
            ExitCode::from(error.exit_code())
        }
    }
}

fn run_command(cli: Cli, log: &Log) -> Result<ExitCode> {
    let url = cli.database;
    match cli.command {
        Command::Demo(args) => block_on(demo::demo(args))?,
        Command::Plan(args) => block_on(install::plan(database(&url)?, args))?,
        Command::Install(args) => block_on(install::install(database(&url)?, args))?,
        Command::Uninstall(args) => block_on(install::uninstall(database(&url)?, args))?,
        Command::Capture(args) => block_on(capture::capture(database(&url)?, args))?,
        Command::Adopt(args) => block_on(capture::adopt(database(&url)?, args))?,
        Command::Subscribe(args) => block_on(subscribe::subscribe(database(&url)?, *args))?,
        Command::Subscriptions(args) => block_on(subscriptions::subscriptions(database(&url)?, args))?,
        Command::Listen(args) => block_on(listen::listen(database(&url)?, *args))?,
        Command::Unsubscribe(args) => block_on(subscribe::unsubscribe(database(&url)?, args))?,
        Command::Test(args) => return block_on(test_event::test(url, args)),
        Command::Emit(args) => block_on(emit::emit(database(&url)?, args))?,
        Command::Run(args) => block_on(run::run(url, *args, log))?,
        Command::Serve(args) => block_on(serve::serve(url, *args, log))?,
        Command::Mcp(args) => block_on_reader(mcp::mcp(url, args))?,
        Command::Status(args) => return block_on(status::status(database(&url)?, args)),
        Command::Dashboard(args) => block_on(dashboard::dashboard(database(&url)?, args))?,
        Command::Deliveries(args) => block_on(deliveries::list(database(&url)?, args))?,
        Command::Redeliver(args) => block_on(deliveries::redeliver(database(&url)?, args))?,
        Command::Domain(command) => block_on(domain_args::domain(database(&url)?, command))?,
        Command::Registry(command) => block_on(registry::registry(database(&url)?, command))?,
        Command::Secret(command) => block_on(secrets::secret(database(&url)?, command))?,
        Command::Token(command) => block_on(token::token(database(&url)?, command))?,
        Command::LoginLink(args) => block_on(login_link::login_link(database(&url)?, args))?,
        Command::Doctor(args) => return block_on(doctor::doctor(database(&url)?, args)),
        Command::Erase(args) => block_on(erase::erase(database(&url)?, args))?,
        Command::History(args) => block_on(erase::history(database(&url)?, args))?,
        Command::Man => manual::man()?,
        Command::Completions(args) => manual::completions(&args),
        Command::Receive(args) => block_on(receive::receive(&args))?,
        Command::Verify(args) => verify::verify(&args, std::io::stdin(), jiff::Timestamp::now().as_second())?,
    }
    Ok(ExitCode::SUCCESS)
}

fn block_on<T>(task: impl Future<Output = Result<T>>) -> Result<T> {
    runtime()?.block_on(task)
}

/// The same for a command that reads standard input: a read of it that waits cannot be called off, and is left behind.
fn block_on_reader<T>(task: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = runtime()?;
    let done = runtime.block_on(task);
    runtime.shutdown_background();
    done
}

fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::other("cannot start the runtime").with_source(e))
}

fn database(url: &DatabaseUrl) -> Result<Database> {
    Database::parse(&url.read()?.ok_or_else(no_database)?)
}

/// The verbs on a database, for commands that send nothing to anybody: the rules on who may be called do not matter to them.
async fn verbs(database: Database) -> Result<Service> {
    verbs_under(
        database,
        ServiceRules {
            guard: Guard::new::<&str>(&[], &[])?,
            keyring: None,
        },
    )
    .await
}

/// The verbs on a database. A command does one thing after the other, in one session.
async fn verbs_under(database: Database, rules: ServiceRules) -> Result<Service> {
    Service::open(database, rules, 1).await
}

/// Page after page of a list, until there are so many entries or no more.
async fn pages<T>(most: u32, list: impl AsyncFn(PageRequest) -> ops::error::Result<Page<T>>) -> Result<Vec<T>> {
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let left = most.saturating_sub(u32::try_from(all.len()).unwrap_or(most));
        if left == 0 {
            return Ok(all);
        }
        let page = PageRequest {
            limit: left.min(LIMIT_AT_MOST),
            cursor,
        };
        let page = list(page).await?;
        all.extend(page.items);
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(all);
        }
    }
}

/// Connects to a database that has this program's installation.
async fn connect_installed(database: &Database) -> Result<Client> {
    let client = database.connect().await?;
    schema::require_installed(&client).await?;
    Ok(client)
}
