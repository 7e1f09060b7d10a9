//! The arguments of `domain eval` and `domain explain`.

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::domain::{self, Asking};
use crate::domain::check::Context;
use crate::pg::connect::Database;
use crate::pg::registry;
use crate::{Error, Result};

/// What to do with a domain.
#[derive(Debug, Subcommand)]
pub enum DomainCommand {
    /// Prints the ids of the records that match now, as a JSON array
    Eval(Eval),
    /// Prints the tree that was understood and the SQL it becomes
    Explain(Explain),
}

/// For whom a domain is meant.
#[derive(Debug, Args)]
pub struct For {
    /// Odoo user: `uid` in the domain
    #[arg(long, value_name = "ID")]
    uid: Option<i32>,
    /// Language of translated fields
    #[arg(long, default_value = "en_US")]
    lang: String,
    /// Company of company-dependent fields
    #[arg(long, default_value_t = 1, value_name = "ID")]
    company: i32,
    /// Time zone of dates
    #[arg(long, default_value = "UTC", value_name = "ZONE")]
    tz: String,
}

/// Which domain to evaluate.
#[derive(Debug, Args)]
pub struct Eval {
    /// Odoo model: sale.order
    #[arg(long, required_unless_present = "batch")]
    model: Option<String>,
    /// The domain
    #[arg(required_unless_present = "batch")]
    domain: Option<String>,
    /// Read {"model","domain"} from stdin, a line each; answer {"ids"} or {"error"}, a line each
    #[arg(long, conflicts_with_all = ["model", "domain"])]
    batch: bool,
    #[command(flatten)]
    context: For,
}

/// Which domain to explain.
#[derive(Debug, Args)]
pub struct Explain {
    /// Odoo model: sale.order
    #[arg(long)]
    model: String,
    /// The domain
    domain: String,
    #[command(flatten)]
    context: For,
}

impl From<For> for Context {
    fn from(args: For) -> Self {
        let mut context = Self::at(Timestamp::now());
        context.uid = args.uid;
        context.lang = args.lang;
        context.company = args.company;
        context.tz = args.tz;
        context
    }
}

/// Evaluates or explains; needs no installation, only the right to read Odoo's tables.
///
/// # Errors
/// A domain that is refused; database errors.
pub async fn domain(database: Database, command: DomainCommand) -> Result<()> {
    let client = database.connect().await?;
    let registry = registry::load(&client).await?;
    let mut out = std::io::stdout();
    match command {
        DomainCommand::Eval(args) => {
            let context = args.context.into();
            let asking = Asking {
                client: &client,
                registry: &registry,
                context: &context,
            };
            match (args.model, args.domain) {
                (Some(model), Some(text)) => domain::eval(asking, &model, &text, &mut out).await,
                _ if args.batch => {
                    let input = tokio::io::BufReader::new(tokio::io::stdin());
                    domain::eval_batch(asking, input, &mut out).await
                }
                _ => Err(Error::usage("give --model and a domain, or --batch")),
            }
        }
        DomainCommand::Explain(args) => {
            let context = args.context.into();
            let asking = Asking {
                client: &client,
                registry: &registry,
                context: &context,
            };
            domain::explain(asking, &args.model, &args.domain, &mut out)
        }
    }
}
