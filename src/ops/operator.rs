//! Who calls: what he may do, what he sees, and how his doings are named.
//!
//! Scopes decide which verbs he has; what he sees is decided by the statement that reads or writes it (`sql/functions/operators.sql`),
//! from what [`Operator::to_json`] says of him. What he does not see is not there for him.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde_json::{Value, json};

use super::error::{Error, Result};
use crate::subscription::choices::CreatedFrom;
use crate::subscription::{Draft, Patch, Refusal, View};

/// What an operator may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Read subscriptions, models and fields.
    SubscriptionsRead,
    /// Make, change, test and delete subscriptions.
    SubscriptionsWrite,
    /// Read deliveries, bodies included.
    DeliveriesRead,
    /// Send deliveries once more.
    DeliveriesRedeliver,
    /// Read events of the feed.
    EventsRead,
    /// Call Odoo.
    Inbound,
    /// Everything, and everybody's.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::SubscriptionsRead,
        Self::SubscriptionsWrite,
        Self::DeliveriesRead,
        Self::DeliveriesRedeliver,
        Self::EventsRead,
        Self::Inbound,
        Self::Admin,
    ];

    /// As tokens name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SubscriptionsRead => "subscriptions:read",
            Self::SubscriptionsWrite => "subscriptions:write",
            Self::DeliveriesRead => "deliveries:read",
            Self::DeliveriesRedeliver => "deliveries:redeliver",
            Self::EventsRead => "events:read",
            Self::Inbound => "inbound",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = crate::Error;

    fn from_str(text: &str) -> crate::Result<Self> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| {
                let known: Vec<&str> = Self::ALL.into_iter().map(Self::as_str).collect();
                crate::Error::usage(format!("there is no scope \"{text}\""))
                    .with_hint(format!("choose of {}", known.join(", ")))
            })
    }
}

/// How an operator came in.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Login {
    /// By a login of the database: as on the command line.
    Database,
    /// Through a door of ours, which knows him by the name of his connection.
    Connection(String),
}

/// What stands between the name of a connection and the client behind it, in what is made through it. No connection's name has it.
pub const BEFORE_CLIENT: &str = " / ";

/// More of a client's name is not kept.
const CLIENT_CHARS: usize = 80;

/// Who calls.
#[derive(Debug, Clone)]
pub struct Operator {
    login: Login,
    client: Option<String>,
    user_id: Option<i32>,
    created_from: CreatedFrom,
    scopes: BTreeSet<Scope>,
    models: Option<BTreeSet<String>>,
    leases: bool,
}

impl Operator {
    /// Who has logged in to the database as the listener or the owner: everything there is his to see.
    pub fn of_database() -> Self {
        Self {
            login: Login::Database,
            client: None,
            user_id: None,
            created_from: CreatedFrom::Manual,
            scopes: BTreeSet::from([Scope::Admin]),
            models: None,
            leases: false,
        }
    }

    /// Who came through a door, under the name of his token or client, which is never empty.
    pub fn of_connection(name: impl Into<String>, scopes: impl IntoIterator<Item = Scope>) -> Self {
        Self {
            login: Login::Connection(name.into()),
            client: None,
            user_id: None,
            created_from: CreatedFrom::Manual,
            scopes: scopes.into_iter().collect(),
            models: None,
            leases: false,
        }
    }

    /// Acts for this Odoo user: what is that user's is his, through whatever connection it was made.
    #[must_use]
    pub fn for_user(mut self, user_id: i32) -> Self {
        self.user_id = Some(user_id);
        self
    }

    /// Is bound to these models.
    #[must_use]
    pub fn bound_to(mut self, models: impl IntoIterator<Item = String>) -> Self {
        self.models = Some(models.into_iter().collect());
        self
    }

    /// Is an assistant: what he makes is marked as made by one.
    #[must_use]
    pub fn as_assistant(mut self) -> Self {
        self.created_from = CreatedFrom::Ai;
        self
    }

    /// Comes by this program, which names itself: what he makes tells of it. It decides nothing.
    #[must_use]
    pub fn by_client(mut self, client: &str) -> Self {
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        let client: String = client.chars().map(plain).take(CLIENT_CHARS).collect();
        self.client = Some(client.trim().to_owned()).filter(|client| !client.is_empty());
        self
    }

    /// Reads what he makes himself: it lives as long as somebody does.
    #[must_use]
    pub fn leasing(mut self) -> Self {
        self.leases = true;
        self
    }

    /// The same with one scope more: who may change something is told what it was and is.
    #[must_use]
    pub(super) fn also(mut self, scope: Scope) -> Self {
        self.scopes.insert(scope);
        self
    }

    /// Whether he may do what this scope is for.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin)
    }

    /// # Errors
    /// [`Error::Forbidden`] where he has not this scope.
    pub(super) fn require(&self, scope: Scope) -> Result<()> {
        if self.may(scope) {
            Ok(())
        } else {
            Err(Error::Forbidden(scope))
        }
    }

    /// Whether he may subscribe to this model, as far as it lies with him.
    pub fn may_use_model(&self, model: &str) -> bool {
        self.models.as_ref().is_none_or(|models| models.contains(model))
    }

    /// The models that he is bound to; none = all.
    pub(super) fn models(&self) -> Option<&BTreeSet<String>> {
        self.models.as_ref()
    }

    /// Whether he sees everybody's subscriptions, and what is left of those that are gone.
    pub fn sees_everything(&self) -> bool {
        self.may(Scope::Admin) && self.models.is_none()
    }

    /// The Odoo user for whom he acts.
    pub fn user_id(&self) -> Option<i32> {
        self.user_id
    }

    fn connection(&self) -> Option<&str> {
        match &self.login {
            Login::Database => None,
            Login::Connection(name) => Some(name),
        }
    }

    /// The same, with the client that he comes by.
    fn signature(&self) -> Option<String> {
        match (self.connection(), &self.client) {
            (Some(connection), Some(client)) => Some(format!("{connection}{BEFORE_CLIENT}{client}")),
            (Some(only), None) => Some(only.to_owned()),
            (None, client) => client.clone(),
        }
    }

    /// Whether a subscription is one that he made himself, and not only one that he sees.
    pub(super) fn has_made(&self, view: &View) -> bool {
        let is_of_connection = || match (self.connection(), view.connection.as_deref()) {
            (Some(own), Some(named)) => named
                .strip_prefix(own)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(BEFORE_CLIENT)),
            (None, _) => true,
            (Some(_), None) => false,
        };
        view.created_from == self.created_from && view.user_id == self.user_id && is_of_connection()
    }

    /// As the database's functions take it.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "user_id": self.user_id, "connection": self.connection(), "sees_all": self.may(Scope::Admin), "models": self.models,
            "leases": self.leases,
        })
    }

    /// Puts his name under what he wants to make: his user and his connection are what shows it to him afterwards.
    ///
    /// # Errors
    /// [`Error::Refused`] where he names somebody else, or a model that he may not use.
    pub(super) fn sign(&self, mut draft: Draft) -> Result<Draft> {
        self.refuse_foreign_model(draft.model.as_deref())?;
        if self.login == Login::Database && self.created_from == CreatedFrom::Manual {
            return Ok(draft);
        }
        let is_admin = self.may(Scope::Admin);
        let connection = self.signature();
        if !is_admin {
            same_or_refused("user_id", draft.user_id, self.user_id)?;
            same_or_refused("connection", draft.connection.as_ref(), connection.as_ref())?;
            same_or_refused("created_from", draft.created_from, Some(self.created_from))?;
        }
        draft.user_id = draft.user_id.or(self.user_id);
        draft.connection = draft.connection.or(connection);
        draft.created_from = draft.created_from.or(Some(self.created_from));
        Ok(draft)
    }

    /// # Errors
    /// [`Error::Refused`] where he would give a subscription away, or take it to a model that he may not use.
    pub(super) fn refuse_giving_away(&self, patch: &Patch) -> Result<()> {
        self.refuse_foreign_model(patch.set.model.as_deref())?;
        if self.may(Scope::Admin) {
            return Ok(());
        }
        let whose = ["user_id", "connection", "created_from"];
        match patch.columns().find(|column| whose.contains(column)) {
            None => Ok(()),
            Some(column) => Err(Error::refused(Refusal::of(
                column,
                format!("{column} says whose it is, and only an administrator changes that"),
            ))),
        }
    }

    fn refuse_foreign_model(&self, model: Option<&str>) -> Result<()> {
        match model {
            Some(model) if !self.may_use_model(model) => Err(Error::refused(Refusal::of(
                "model",
                format!("model \"{model}\" is not among those that you may subscribe to"),
            ))),
            _ => Ok(()),
        }
    }
}

fn same_or_refused<T: PartialEq>(column: &'static str, named: Option<T>, own: Option<T>) -> Result<()> {
    match named {
        None => Ok(()),
        named if named == own => Ok(()),
        Some(_) => Err(Error::refused(Refusal::of(
            column,
            format!("{column} is filled in for you, and nobody else may be named"),
        ))),
    }
}
