//! Which user the server runs as: PostgreSQL refuses root, and containers and CI jobs mostly are root.

use std::process::{Command, Stdio};

use crate::{Error, Result};

/// Accounts without rights of their own that a system is likely to have. `postgres` comes with the distributions'
/// packages and can read whatever they installed; `nobody` exists everywhere else.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// An unprivileged user that root hands the server to.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) name: &'static str,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Account {
    /// The account to run as when this process is `uid`: none but our own, unless that is root.
    pub(super) fn for_owner(uid: u32) -> Result<Option<Self>> {
        if uid != 0 {
            return Ok(None);
        }
        UNPRIVILEGED.into_iter().find_map(Self::named).map(Some).ok_or_else(|| {
            Error::unfit(format!(
                "PostgreSQL does not run as root, and none of the users {} exists to run it",
                UNPRIVILEGED.join(", ")
            ))
            .with_hint("run this as an ordinary user, or add one: useradd --system postgres")
        })
    }

    /// Asks `id` rather than reading /etc/passwd: accounts may come from a directory service.
    fn named(name: &'static str) -> Option<Self> {
        let ask = |what: &str| -> Option<u32> {
            let answer = Command::new("id")
                .args([what, name])
                .stdin(Stdio::null())
                .output()
                .ok()?;
            if !answer.status.success() {
                return None;
            }
            String::from_utf8(answer.stdout).ok()?.trim().parse().ok()
        };
        let (uid, gid) = (ask("-u")?, ask("-g")?);
        (uid != 0).then_some(Self { name, uid, gid })
    }
}
