//! What a verb answers when it does not do what was asked: a kind that each door has a code for, and words.

use std::fmt;

use uuid::Uuid;

use super::operator::Scope;
use crate::pg::sqlstate::BAD_TEXT;
use crate::subscription::Refusal;

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a verb did nothing. A bulk verb has one of these for each row, see [`super::subscriptions::bulk::Outcome`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such thing, or the operator does not see it: which of both is never told.
    #[error("there is no {0}")]
    NotFound(Missing),
    /// It is not as the operator believes it to be.
    #[error("{0}")]
    Conflict(Conflict),
    /// The operator may not do this at all, whatever it is done to.
    #[error("this needs the scope {0}")]
    Forbidden(Scope),
    /// It cannot be; asking differently would help. Never empty.
    #[error("{}", .0.first().map_or("it was refused", |refusal| refusal.message.as_str()))]
    Refused(Vec<Refusal>),
    /// The same call may succeed in a moment.
    #[error("{0}")]
    Busy(#[source] crate::Error),
    /// The database cannot be reached, or cannot do it.
    #[error("{0}")]
    Unavailable(#[source] crate::Error),
}

/// What is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// A subscription with this id.
    Subscription(i32),
    /// A delivery with this id.
    Delivery(Uuid),
    /// A model of this name.
    Model(String),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subscription(id) => write!(f, "subscription {id}"),
            Self::Delivery(id) => write!(f, "delivery {id}"),
            Self::Model(name) => write!(f, "model \"{name}\""),
        }
    }
}

/// What is not as the operator believes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conflict {
    /// Somebody changed the subscription.
    Changed {
        /// Its id.
        id: i32,
        /// The version that it is now.
        now: Version,
    },
    /// This database must not deliver: it looks like a copy, and nobody has said `adopt`.
    Copy {
        /// Why it looks like one.
        reason: String,
    },
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed { id, .. } => write!(f, "subscription {id} was changed by somebody meanwhile"),
            Self::Copy { reason } => write!(f, "nothing is delivered from this database: {reason}"),
        }
    }
}

/// Names one version of a subscription by what its user writes; what the service keeps does not move it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
pub struct Version(pub String);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error {
    /// One thing that is wrong.
    pub fn refused(refusal: Refusal) -> Self {
        Self::Refused(vec![refusal])
    }

    /// There is no subscription with this id.
    pub fn no_subscription(id: i32) -> Self {
        Self::NotFound(Missing::Subscription(id))
    }

    /// An error of a statement about one subscription: the database says so when the operator does not see it.
    pub(super) fn about_subscription(id: i32, error: crate::Error) -> Self {
        if error.is_no_data_found() {
            return Self::no_subscription(id);
        }
        error.into()
    }
}

impl From<crate::Error> for Error {
    fn from(error: crate::Error) -> Self {
        if error.is_usage() {
            Self::Refused(Refusal::all_of(&error))
        } else if error.means(BAD_TEXT) {
            let refused =
                crate::Error::usage("a text holds a character that PostgreSQL cannot keep").with_source(error);
            Self::Refused(Refusal::all_of(
                &refused.with_hint("leave out NUL characters (\\u0000)"),
            ))
        } else if error.is_busy() {
            Self::Busy(error)
        } else {
            Self::Unavailable(error)
        }
    }
}

/// For a terminal, which has exit codes and words alone.
impl From<Error> for crate::Error {
    fn from(error: Error) -> Self {
        let said = error.to_string();
        match error {
            Error::NotFound(Missing::Subscription(_)) => {
                Self::usage(said).with_hint("`odoo-eventd subscriptions` lists them")
            }
            Error::NotFound(Missing::Delivery(_)) => {
                Self::usage(said).with_hint("`odoo-eventd deliveries` lists delivery ids")
            }
            Error::NotFound(Missing::Model(_)) => Self::usage(said),
            Error::Conflict(Conflict::Copy { .. }) => {
                Self::unfit(said).with_hint("if it should deliver: `odoo-eventd adopt`")
            }
            Error::Conflict(Conflict::Changed { .. }) => Self::unfit(said).with_hint("look at it again, and repeat it"),
            Error::Forbidden(_) => Self::usage(said),
            Error::Refused(refusals) => {
                let mut errors = refusals.into_iter().map(Refusal::into_error);
                match errors.next() {
                    Some(first) => first.with_more(errors),
                    None => Self::usage(said),
                }
            }
            Error::Busy(error) | Error::Unavailable(error) => error,
        }
    }
}
