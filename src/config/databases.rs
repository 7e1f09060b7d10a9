//! `[[database]]`: the databases of an instance that serves many.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::endpoint::guard::Guard;
use crate::pg::connect::Database;
use crate::{Error, Result};

/// One `[[database]]` as it was said.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawDatabase {
    /// The connection string; this or `url_file`.
    pub url: Option<String>,
    /// A file that it is in, so that no password is in this one.
    pub url_file: Option<PathBuf>,
    /// What logs and metrics call it; the database's own name where nothing is said.
    pub name: Option<String>,
    /// In place of the `allow_networks` of all.
    pub allow_networks: Option<Vec<String>>,
    /// In place of the `allow_ports` of all.
    pub allow_ports: Option<Vec<u16>>,
    /// In place of the `allow_callback_networks` of all.
    pub allow_callback_networks: Option<Vec<String>>,
    /// How many of the process's requests under way may be this database's.
    pub max_in_flight: Option<usize>,
}

impl fmt::Debug for RawDatabase {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawDatabase")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// One database that is served.
#[derive(Debug, Clone, Serialize)]
pub struct Served {
    /// What logs call it; of no two the same.
    pub name: String,
    /// Where it is. Shown without the password.
    #[serde(serialize_with = "shown")]
    pub database: Database,
    /// Networks that may be called although they are private.
    pub allow_networks: Vec<String>,
    /// Ports that may be called at public addresses, beside 443.
    pub allow_ports: Vec<u16>,
    /// Private networks that callback URLs of records may reach.
    pub allow_callback_networks: Vec<String>,
    /// Requests under way at most for this database.
    pub max_in_flight: usize,
}

fn shown<S: serde::Serializer>(database: &Database, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(database)
}

/// What holds for a database that says nothing else.
#[derive(Debug, Clone, Copy)]
pub struct ForAll<'a> {
    /// See [`Served::allow_networks`].
    pub allow_networks: &'a [String],
    /// See [`Served::allow_ports`].
    pub allow_ports: &'a [u16],
    /// See [`Served::allow_callback_networks`].
    pub allow_callback_networks: &'a [String],
    /// Requests under way at most in the whole process.
    pub max_in_flight: usize,
}

/// Which addresses one database's deliveries may reach.
#[derive(Debug, Clone)]
pub struct Guards {
    /// Those that subscriptions name.
    pub of_subscriptions: Guard,
    /// Those that records name.
    pub of_callbacks: Guard,
}

impl Served {
    /// The rules that its settings make.
    ///
    /// # Errors
    /// [`Error::is_usage`] naming the network that cannot be read.
    pub fn guards(&self) -> Result<Guards> {
        Ok(Guards {
            of_subscriptions: Guard::new(&self.allow_networks, &self.allow_ports)?,
            of_callbacks: Guard::new(&self.allow_callback_networks, &self.allow_ports)?
                .for_networks_named_in("allow_callback_networks"),
        })
    }

    /// The one database of an instance that serves no other.
    pub fn only(database: Database, for_all: ForAll<'_>) -> Self {
        Self {
            name: database.name().to_owned(),
            database,
            allow_networks: for_all.allow_networks.to_vec(),
            allow_ports: for_all.allow_ports.to_vec(),
            allow_callback_networks: for_all.allow_callback_networks.to_vec(),
            max_in_flight: for_all.max_in_flight,
        }
    }

    /// Reads all entries.
    ///
    /// # Errors
    /// [`Error::is_usage`] naming the entry: it has no URL or an unreadable one, or names what another has named.
    pub fn all(said: Vec<RawDatabase>, for_all: ForAll<'_>) -> Result<Vec<Self>> {
        let mut names = HashSet::new();
        let mut places = HashSet::new();
        let mut all = Vec::with_capacity(said.len());
        for (index, raw) in said.into_iter().enumerate() {
            let number = index + 1;
            let served = Self::one(raw, for_all).map_err(|error| {
                let hint = error.hint().map(str::to_owned);
                let error = Error::usage(format!("[[database]] number {number} cannot be used")).with_source(error);
                match hint {
                    Some(hint) => error.with_hint(hint),
                    None => error,
                }
            })?;
            if !places.insert(served.database.to_string()) {
                return Err(Error::usage(format!(
                    "[[database]] number {number} names {}, which another entry names as well",
                    served.database
                ))
                .with_hint("a database is served once: remove one of the entries"));
            }
            if !names.insert(served.name.clone()) {
                return Err(Error::usage(format!(
                    "[[database]] number {number} is called \"{}\" as another is",
                    served.name
                ))
                .with_hint("give it a name of its own: name = \"...\""));
            }
            all.push(served);
        }
        Ok(all)
    }

    fn one(raw: RawDatabase, for_all: ForAll<'_>) -> Result<Self> {
        let url = match (raw.url, raw.url_file) {
            (Some(_), Some(_)) => {
                return Err(Error::usage("it has both url and url_file").with_hint("leave one of them"));
            }
            (Some(url), None) => url,
            (None, Some(file)) => read_url(&file)?,
            (None, None) => {
                return Err(Error::usage("it has no url").with_hint("url = \"postgres://user@host/database\""));
            }
        };
        let database = Database::parse(&url)?;
        let max_in_flight = raw.max_in_flight.unwrap_or(for_all.max_in_flight);
        if max_in_flight == 0 || max_in_flight > for_all.max_in_flight {
            return Err(Error::usage(format!(
                "its max_in_flight is {max_in_flight}, and must be 1 to {}",
                for_all.max_in_flight
            ))
            .with_hint("the max_in_flight above all tables holds for the process, one in a table for its share"));
        }
        Ok(Self {
            name: raw.name.unwrap_or_else(|| database.name().to_owned()),
            database,
            allow_networks: raw.allow_networks.unwrap_or_else(|| for_all.allow_networks.to_vec()),
            allow_ports: raw.allow_ports.unwrap_or_else(|| for_all.allow_ports.to_vec()),
            allow_callback_networks: raw
                .allow_callback_networks
                .unwrap_or_else(|| for_all.allow_callback_networks.to_vec()),
            max_in_flight,
        })
    }
}

fn read_url(file: &Path) -> Result<String> {
    let text = std::fs::read_to_string(file)
        .map_err(|e| Error::usage(format!("cannot read its url_file {}", file.display())).with_source(e))?;
    let url = text.trim();
    if url.is_empty() {
        return Err(Error::usage(format!("its url_file {} is empty", file.display())));
    }
    Ok(url.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOR_ALL: ForAll<'_> = ForAll {
        allow_networks: &[],
        allow_ports: &[],
        allow_callback_networks: &[],
        max_in_flight: 256,
    };

    fn read(text: &str) -> Result<Vec<Served>> {
        #[derive(Deserialize)]
        struct File {
            database: Vec<RawDatabase>,
        }
        Served::all(toml::from_str::<File>(text).unwrap().database, FOR_ALL)
    }

    #[test]
    fn a_table_says_what_is_different_for_its_database() {
        let all = read(
            "[[database]]\nurl = 'postgres://a:s3cret@h/one'\nallow_networks = ['10.0.0.0/8']\nmax_in_flight = 8\n\
             [[database]]\nurl = 'postgres://a@h/two'\nname = 'customer'",
        )
        .unwrap();
        assert_eq!(all[0].allow_networks, ["10.0.0.0/8"]);
        assert_eq!((all[0].max_in_flight, all[1].max_in_flight), (8, 256));
        assert_eq!((all[0].name.as_str(), all[1].name.as_str()), ("one", "customer"));
        let shown = serde_json::to_string(&all).unwrap();
        assert!(!shown.contains("s3cret") && shown.contains("h:5432"), "{shown}");
    }

    #[test]
    fn a_wrong_table_is_named_by_its_number_and_never_by_its_url() {
        for (text, expected) in [
            ("[[database]]\nname = 'x'", "number 1 cannot be used: it has no url"),
            (
                "[[database]]\nurl = 'postgres://a:s3cret@h/x'\nurl_file = 'f'",
                "both url and url_file",
            ),
            (
                "[[database]]\nurl = 'postgres://a:s3cret@h:port/x'",
                "cannot read the database URL",
            ),
            (
                "[[database]]\nurl = 'postgres://a@h/x'\n[[database]]\nurl = 'postgres://a:s3cret@h/x'",
                "number 2 names",
            ),
            (
                "[[database]]\nurl = 'postgres://a@h/x'\n[[database]]\nurl = 'postgres://a:s3cret@i/x'",
                "called \"x\"",
            ),
            (
                "[[database]]\nurl = 'postgres://a:s3cret@h/x'\nmax_in_flight = 0",
                "must be 1 to 256",
            ),
            ("[[database]]\nurl_file = '/nonexistent'", "url_file /nonexistent"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.is_usage());
            assert!(error.chain().contains(expected), "{}", error.chain());
            assert!(!error.chain().contains("s3cret"), "{}", error.chain());
        }
    }
}
