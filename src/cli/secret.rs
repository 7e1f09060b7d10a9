//! Secrets on the command line, shared by the commands that take one.

use std::path::{Path, PathBuf};

use crate::signature::{Secret, without_surroundings};
use crate::{Error, Result};

/// Where a secret comes from. All that are given count: during a rotation there are two.
#[derive(Clone, Default, clap::Args)]
pub struct SecretArgs {
    /// The secret: text, or whsec_ and base64. Others on this machine can read it in the process list: prefer the file or the
    /// environment
    #[arg(long, value_name = "SECRET", env = "ODOO_EVENTD_SECRET", hide_env_values = true)]
    pub secret: Vec<String>,

    /// A file that holds the secret; a byte order mark and line breaks around it do not count
    #[arg(long, value_name = "FILE")]
    pub secret_file: Vec<PathBuf>,
}

impl SecretArgs {
    /// Reads and checks all secrets given.
    ///
    /// # Errors
    /// [`Error::is_usage`] when a file cannot be read or a secret cannot be a key.
    pub fn read(&self) -> Result<Vec<Secret>> {
        let mut secrets = self.secret.iter().map(Secret::parse).collect::<Result<Vec<_>>>()?;
        for file in &self.secret_file {
            secrets.push(Secret::parse(read_secret_file(file)?)?);
        }
        Ok(secrets)
    }
}

/// Reads a secret from a file, without the marks that an editor leaves around it.
///
/// # Errors
/// [`Error::is_usage`] when the file cannot be read.
pub fn read_secret_file(file: &Path) -> Result<String> {
    std::fs::read_to_string(file)
        .map(|text| without_surroundings(&text).to_owned())
        .map_err(|error| {
            Error::usage(format!("cannot read the secret from {}", file.display()))
                .with_source(error)
                .with_hint("it must be a text in UTF-8 that can be read by this user")
        })
}

impl std::fmt::Debug for SecretArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecretArgs({} given)", self.secret.len() + self.secret_file.len())
    }
}
