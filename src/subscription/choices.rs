//! The closed columns of `mcp_event_subscription`: each value has one name here, and is read and printed here alone.
//!
//! The table's CHECK constraints hold the same lists; `tests/it/floor/choices.rs` compares them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::event::EventType;
use crate::odoo::registry::nearest;
use crate::{Error, Result};

macro_rules! choices {
    (
        $(#[$about:meta])*
        $name:ident in $column:literal { $($(#[$about_value:meta])* $value:ident = $text:literal,)+ }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$about_value])* #[serde(rename = $text)] $value,)+
        }

        impl $name {
            /// The column of `mcp_event_subscription` that takes these.
            pub const COLUMN: &'static str = $column;

            /// Every value, in the order in which people are told of them.
            pub const ALL: &'static [Self] = &[$(Self::$value,)+];

            /// As it stands in the table.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$value => $text,)+
                }
            }
        }

        // The derive does not see names that come through a macro.
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::Type::String)
                    .enum_values(Some(Self::ALL.iter().map(|value| value.as_str())))
                    .into()
            }
        }

        impl utoipa::ToSchema for $name {}

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = Error;

            /// # Errors
            /// [`Error::is_usage`] that names the column and what there is to choose from.
            fn from_str(text: &str) -> Result<Self> {
                Self::ALL
                    .iter()
                    .copied()
                    .find(|value| value.as_str() == text)
                    .ok_or_else(|| unknown_choice($column, text, &[$($text,)+]))
            }
        }
    };
}

choices! {
    /// Which events a subscription wants.
    WantedEvents in "event_type" {
        /// Records that are new.
        Create = "create",
        /// Records that changed.
        Write = "write",
        /// Records that are gone.
        Unlink = "unlink",
        /// All three.
        All = "all",
    }
}

impl WantedEvents {
    /// Whether events of this type are among them.
    pub fn include(self, event_type: EventType) -> bool {
        match self {
            Self::All => true,
            Self::Create => event_type == EventType::Create,
            Self::Write => event_type == EventType::Write,
            Self::Unlink => event_type == EventType::Unlink,
        }
    }
}

choices! {
    /// When a record that matches the domain counts.
    TriggerMode in "trigger_mode" {
        /// It matches after the change (an unlinked record: before).
        Match = "match",
        /// It matches after and did not before.
        Enter = "enter",
        /// It matched before and does not after.
        Leave = "leave",
    }
}

choices! {
    /// Who made a subscription.
    CreatedFrom in "created_from" {
        /// A person.
        Manual = "manual",
        /// An assistant, on behalf of one.
        Ai = "ai",
    }
}

choices! {
    /// Whose URL a subscription sends to.
    EndpointSource in "endpoint_source" {
        /// Its own `webhook_url`.
        Static = "static",
        /// The one that `mcp_record_callback` has for each record.
        Record = "record",
    }
}

choices! {
    /// The method of its requests.
    HttpMethod in "http_method" {
        /// GET, with a body all the same.
        Get = "GET",
        /// POST.
        Post = "POST",
        /// PUT.
        Put = "PUT",
        /// PATCH.
        Patch = "PATCH",
        /// DELETE, with a body all the same.
        Delete = "DELETE",
    }
}

impl From<HttpMethod> for http::Method {
    fn from(method: HttpMethod) -> Self {
        match method {
            HttpMethod::Get => Self::GET,
            HttpMethod::Post => Self::POST,
            HttpMethod::Put => Self::PUT,
            HttpMethod::Patch => Self::PATCH,
            HttpMethod::Delete => Self::DELETE,
        }
    }
}

choices! {
    /// How its bodies are written.
    BodyFormat in "format" {
        /// JSON.
        Json = "json",
        /// XML.
        Xml = "xml",
    }
}

choices! {
    /// Which records share a request.
    Grouping in "grouping" {
        /// Those of one transaction.
        Transaction = "transaction",
        /// None: each has its own.
        Record = "record",
    }
}

choices! {
    /// What the service found a subscription to be; none = it has not looked at this version of the row yet.
    State in "state" {
        /// It is served.
        Ready = "ready",
        /// It is served as soon as what it needs can be captured.
        Waiting = "waiting",
        /// It cannot be served.
        Invalid = "invalid",
        /// It is served, and its endpoint was given up.
        Disabled = "disabled",
    }
}

impl State {
    /// Whether deliveries are made for it.
    pub fn is_served(self) -> bool {
        matches!(self, Self::Ready | Self::Disabled)
    }
}

fn unknown_choice(column: &'static str, text: &str, known: &[&'static str]) -> Error {
    let error = Error::usage(format!("{column} cannot be \"{text}\"")).of(column);
    match nearest(text, known.iter().copied()) {
        Some(near) => error.with_hint(format!("did you mean \"{near}\"? choose one of {}", known.join(", "))),
        None => error.with_hint(format!("choose one of {}", known.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_as_it_is_printed_and_another_is_refused_with_the_choices() {
        for mode in TriggerMode::ALL {
            assert_eq!(mode.as_str().parse::<TriggerMode>().unwrap(), *mode);
            let json = serde_json::to_string(mode).unwrap();
            assert_eq!(serde_json::from_str::<TriggerMode>(&json).unwrap(), *mode);
        }
        let refused = "changed".parse::<WantedEvents>().unwrap_err();
        assert_eq!(refused.chain(), "event_type cannot be \"changed\"");
        assert_eq!(refused.column(), Some("event_type"));
        assert_eq!(refused.hint(), Some("choose one of create, write, unlink, all"));
        assert!(
            "post"
                .parse::<HttpMethod>()
                .unwrap_err()
                .hint()
                .unwrap()
                .contains("POST")
        );
    }
}
