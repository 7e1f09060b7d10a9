//! Finding PostgreSQL's server programs.
//!
//! A client installation has `psql` and even `pg_config`, but neither `initdb` nor `postgres`, and distributions keep both out
//! of the PATH. So all usual places are looked at, and when none has them the message says what to install.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Error, Result};

/// The oldest PostgreSQL that is supported: `xid8` and `pg_current_xact_id()` came with it.
pub const OLDEST_MAJOR: u32 = 13;

/// Names the directory of the server programs, before every other place.
pub const BINDIR_VARIABLE: &str = "ODOO_EVENTD_PG_BINDIR";

/// Names the wanted major version: `PG_MAJOR=16 make test`.
pub const MAJOR_VARIABLE: &str = "PG_MAJOR";

/// What a server program calls itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// `15` of `15.18`.
    pub major: u32,
    /// `15.18`, or `18beta1`, without what a distribution adds.
    pub text: String,
}

impl Version {
    /// Reads the answer to `postgres --version`: `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
    fn parse(answer: &str) -> Option<Self> {
        let text = answer.split("(PostgreSQL)").nth(1)?.split_whitespace().next()?;
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        Some(Self {
            major: digits.parse().ok()?,
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Where to look for the server programs, and for which.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// The one directory that counts, if it is set ([`BINDIR_VARIABLE`]).
    pub bindir: Option<PathBuf>,
    /// The one major version that counts, if it is set ([`MAJOR_VARIABLE`]).
    pub major: Option<u32>,
    /// A PATH. `pg_config`, asked for its bindir, is looked for there too.
    pub path: OsString,
    /// Directories that hold one installation or more: `ROOT/bin`, `ROOT/*/bin`, newest first.
    pub roots: Vec<PathBuf>,
}

impl Search {
    /// Looks where the environment says and where the packages of Debian, Fedora, PGDG and Homebrew install.
    ///
    /// # Errors
    /// When [`MAJOR_VARIABLE`] is set and is no number.
    pub fn from_env() -> Result<Self> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let major = match set(MAJOR_VARIABLE) {
            None => None,
            Some(value) => Some(
                value
                    .to_str()
                    .and_then(|text| text.trim().parse().ok())
                    .ok_or_else(|| {
                        Error::usage(format!(
                            "{MAJOR_VARIABLE} is {value:?}, but a major version of PostgreSQL is a number"
                        ))
                        .with_hint(format!("for example {MAJOR_VARIABLE}=16"))
                    })?,
            ),
        };
        Ok(Self {
            bindir: set(BINDIR_VARIABLE).map(PathBuf::from),
            major,
            path: std::env::var_os("PATH").unwrap_or_default(),
            roots: [
                "/usr/lib/postgresql", // Debian, Ubuntu: 15/bin
                "/usr",                // Fedora: bin; PGDG's RPMs: pgsql-16/bin
                "/usr/local",          // built from source: bin, pgsql/bin
                "/opt/homebrew/opt",   // Homebrew on Apple silicon: postgresql@16/bin
                "/usr/local/opt",      // Homebrew on Intel
                "/home/linuxbrew/.linuxbrew/opt",
            ]
            .map(PathBuf::from)
            .to_vec(),
        })
    }

    /// The directories to look in, best first.
    fn places(&self) -> Vec<PathBuf> {
        if let Some(bindir) = &self.bindir {
            return vec![bindir.clone()];
        }
        let on_path: Vec<PathBuf> = std::env::split_paths(&self.path)
            .filter(|directory| directory.is_absolute())
            .collect();
        let mut places: Vec<PathBuf> = on_path
            .iter()
            .filter_map(|directory| bindir_told_by(directory))
            .take(1)
            .collect();
        places.extend(on_path);
        for root in &self.roots {
            places.push(root.join("bin"));
            let mut installations: Vec<(u32, PathBuf)> = std::fs::read_dir(root)
                .into_iter()
                .flatten()
                .flatten()
                .filter_map(|entry| {
                    let name = entry.file_name();
                    let name = name.to_str()?;
                    let number = ["", "pgsql-", "pgsql", "postgresql@", "postgresql"]
                        .into_iter()
                        .find_map(|prefix| name.strip_prefix(prefix)?.parse().ok())
                        // Fedora and Homebrew also have a directory without a number.
                        .or_else(|| ["pgsql", "postgresql"].contains(&name).then_some(0))?;
                    Some((number, entry.path().join("bin")))
                })
                .collect();
            installations.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
            places.extend(installations.into_iter().map(|(_, bin)| bin));
        }
        places
    }
}

/// The directory that `pg_config` in `directory` names, if it is there and answers.
fn bindir_told_by(directory: &Path) -> Option<PathBuf> {
    let answer = Command::new(directory.join("pg_config"))
        .arg("--bindir")
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let told = String::from_utf8(answer.stdout).ok()?;
    answer.status.success().then(|| PathBuf::from(told.trim()))
}

/// The server programs of one PostgreSQL installation.
#[derive(Debug, Clone)]
pub struct Programs {
    bindir: PathBuf,
    version: Version,
}

impl Programs {
    /// The first installation found that is new enough and of the wanted major version.
    ///
    /// # Errors
    /// When there is none: the message says what was found instead, the hint what to install.
    pub fn find(search: &Search) -> Result<Self> {
        let mut others: Vec<Self> = Vec::new();
        for place in search.places() {
            let Some(programs) = Self::in_directory(&place) else {
                continue;
            };
            let wanted = search.major.is_none_or(|major| programs.version.major == major);
            if wanted && programs.version.major >= OLDEST_MAJOR {
                return Ok(programs);
            }
            if others.iter().all(|other| other.bindir != programs.bindir) {
                others.push(programs);
            }
        }
        Err(Self::refusal(search, &others))
    }

    /// The installation in `place`, if both `initdb` and `postgres` are there and the latter tells its version.
    fn in_directory(place: &Path) -> Option<Self> {
        // A PATH may hold links to the programs; the real directory has the others beside them.
        let bindir = place.join("initdb").canonicalize().ok()?.parent()?.to_owned();
        let answer = Command::new(bindir.join("postgres"))
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .ok()?;
        let version = Version::parse(&String::from_utf8_lossy(&answer.stdout))?;
        Some(Self { bindir, version })
    }

    fn refusal(search: &Search, others: &[Self]) -> Error {
        let found = others
            .iter()
            .map(|other| format!("{} in {}", other.version, other.bindir.display()))
            .collect::<Vec<_>>()
            .join(", ");
        let message = match (search.major, &search.bindir) {
            (Some(major), _) if major < OLDEST_MAJOR => {
                return Error::usage(format!(
                    "{MAJOR_VARIABLE} is {major}, but the oldest PostgreSQL supported is {OLDEST_MAJOR}"
                ));
            }
            (Some(major), _) if !others.is_empty() => {
                format!("no PostgreSQL {major} server programs found, only {found}")
            }
            (_, _) if !others.is_empty() => {
                format!("PostgreSQL {found} is too old: {OLDEST_MAJOR} or later is needed")
            }
            (_, Some(bindir)) => format!(
                "no PostgreSQL server programs (initdb, postgres) in {}, which {BINDIR_VARIABLE} names",
                bindir.display()
            ),
            (Some(major), None) => format!("no PostgreSQL {major} server programs (initdb, postgres) found"),
            (None, None) => "no PostgreSQL server programs (initdb, postgres) found".to_owned(),
        };
        Error::unfit(message).with_hint(format!(
            "install them ({}), or name their directory in {BINDIR_VARIABLE}",
            how_to_install(search.major)
        ))
    }

    /// The directory of the programs.
    pub fn bindir(&self) -> &Path {
        &self.bindir
    }

    /// The full path of one of them.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bindir.join(name)
    }

    /// The version that they all have.
    pub fn version(&self) -> &Version {
        &self.version
    }
}

/// The commands for the platforms at hand: only the right one where the package manager can be seen.
fn how_to_install(major: Option<u32>) -> String {
    let numbered = |separator: &str| major.map(|major| format!("{separator}{major}")).unwrap_or_default();
    let apt = (
        "/usr/bin/apt-get",
        format!("Debian, Ubuntu: sudo apt-get install postgresql{}", numbered("-")),
    );
    // Fedora's own package has no number; PGDG's packages are called postgresql16-server.
    let dnf = (
        "/usr/bin/dnf",
        format!("Fedora, RHEL: sudo dnf install postgresql{}-server", numbered("")),
    );
    let brew = format!("macOS: brew install postgresql@{}", major.unwrap_or(17));
    if cfg!(target_os = "macos") {
        return brew;
    }
    let at_hand: Vec<String> = [&apt, &dnf]
        .into_iter()
        .filter(|(manager, _)| Path::new(manager).exists())
        .map(|(_, how)| how.clone())
        .collect();
    if at_hand.is_empty() {
        [apt.1, dnf.1, brew].join("; ")
    } else {
        at_hand.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_releases_betas_and_distributions_are_read() {
        let read = |answer: &str| Version::parse(answer).map(|version| (version.major, version.text));
        let is = |major, text: &str| Some((major, text.to_owned()));
        assert_eq!(
            read("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"),
            is(15, "15.18")
        );
        assert_eq!(read("postgres (PostgreSQL) 18beta1\n"), is(18, "18beta1"));
        assert_eq!(read("postgres (PostgreSQL) 9.6.24\n"), is(9, "9.6.24"));
        assert_eq!(read("something else 3.1\n"), None);
    }
}
