//! `login-link`: a way in on the web page for whoever can reach the database.

use clap::Args;
use jiff::Timestamp;

use super::output::{self, Json, data, say};
use super::verbs;
use crate::ops::page_sessions::{LASTS, LINK_LASTS, LoginLink};
use crate::ops::tokens::NewToken;
use crate::ops::{Operator, Scope, Service};
use crate::pg::connect::Database;
use crate::{Error, Result};

/// Whom to let in.
#[derive(Debug, Args)]
pub struct LoginLinkArgs {
    /// With this token of `token list`, in place of a new one that lasts 12 hours
    #[arg(long, value_name = "ID", conflicts_with_all = ["scope", "user", "models"])]
    token: Option<i32>,
    /// What the new token may be used for [default: admin]
    #[arg(long, value_delimiter = ',', value_name = "SCOPE")]
    scope: Vec<Scope>,
    /// The Odoo user for whom it acts: what is that user's is its to see
    #[arg(long, value_name = "LOGIN|ID")]
    user: Option<String>,
    /// The only models that it may be used for: sale.order,res.partner
    #[arg(long, value_delimiter = ',', value_name = "MODELS")]
    models: Option<Vec<String>>,
    /// Where the web page is; with several databases its /d/NAME included
    #[arg(
        long,
        env = "ODOO_EVENTD_API_PUBLIC_URL",
        default_value = "http://localhost:8075",
        value_name = "URL"
    )]
    url: String,
    #[command(flatten)]
    output: Json,
}

/// Prints a login link.
///
/// # Errors
/// Wrong use; database errors.
pub async fn login_link(database: Database, args: LoginLinkArgs) -> Result<()> {
    let service = verbs(database).await?;
    let token = match args.token {
        Some(token) => token,
        None => {
            let scopes = match args.scope.is_empty() {
                true => [Scope::Admin].into(),
                false => args.scope.into_iter().collect(),
            };
            token_of_link(&service, scopes, args.user, args.models).await?
        }
    };
    let link = service.create_login_link(&Operator::of_database(), token).await?;
    let url = url_of(&args.url, &link);
    if args.output.json {
        return output::json(&serde_json::json!({ "url": url, "token": token, "ends_at": link.ends_at.to_string() }));
    }
    data(&url)?;
    say(format_args!(
        "It logs in once, within {} minutes; `odoo-eventd token revoke {token}` ends the session.",
        LINK_LASTS.as_secs() / 60
    ));
    Ok(())
}

/// A token that nobody knows, for the session of a link.
///
/// # Errors
/// As [`Service::create_token`].
pub(super) async fn token_of_link(
    service: &Service,
    scopes: std::collections::BTreeSet<Scope>,
    user: Option<String>,
    models: Option<Vec<String>>,
) -> Result<i32> {
    let new = NewToken {
        // Of no two the same, and short enough for a page's corner.
        name: format!(
            "login link {} {:04x}",
            Timestamp::now().strftime("%Y-%m-%d %H:%M"),
            rand::random::<u16>()
        ),
        scopes,
        user,
        models,
        lives: Some(LASTS + LINK_LASTS),
    };
    let made = service
        .create_token(&Operator::of_database(), new)
        .await
        .map_err(Error::from)?;
    Ok(made.info.id)
}

/// Opened, it shows a page with a button: whoever only looks at a link, as chats and mail filters do, does not use it up.
pub(super) fn url_of(page: &str, link: &LoginLink) -> String {
    format!("{}/login?link={}", page.trim_end_matches('/'), link.code)
}
