//! `odoo-eventd verify`: is this signature right?
//!
//! For the receiver's side: to check an implementation against, or to use from a shell script. The body comes on standard input, byte
//! for byte as it arrived.

use std::io::Read;
use std::time::Duration;

use super::secret::SecretArgs;
use crate::signature::{self, Received, Secret, VerifyError};
use crate::{Error, Result};

/// The arguments of `verify`.
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// The signature as it arrived: X-MCP-Signature (sha256=..) or webhook-signature (v1,..)
    #[arg(long, value_name = "HEADER")]
    pub signature: String,

    /// The value of webhook-id; needed for a v1 signature
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,

    /// The value of webhook-timestamp; needed for a v1 signature
    #[arg(long, value_name = "SECONDS", allow_hyphen_values = true)]
    pub timestamp: Option<String>,

    /// How old a v1 signature may be
    #[arg(long, value_name = "SECONDS", default_value_t = signature::DEFAULT_TOLERANCE.as_secs())]
    pub tolerance: u64,

    /// Accept a v1 signature of any age, for a request that was stored
    #[arg(long, conflicts_with = "tolerance")]
    pub any_age: bool,

    /// The secret.
    #[command(flatten)]
    pub secret: SecretArgs,
}

/// Verifies the signature over the bytes of `body`; `now` in seconds since 1970. Says nothing when it is valid.
///
/// # Errors
/// [`Error::is_usage`] (exit code 2) when something is missing to verify with; otherwise (exit code 1) the reason why the
/// signature is not valid.
pub fn verify(args: &VerifyArgs, mut body: impl Read, now: i64) -> Result<()> {
    let secrets = args.secret.read()?;
    if secrets.is_empty() {
        return Err(Error::usage("no secret to verify with")
            .with_hint("give --secret-file FILE, ODOO_EVENTD_SECRET or --secret SECRET"));
    }
    let mut bytes = Vec::new();
    body.read_to_end(&mut bytes)
        .map_err(|error| Error::other("cannot read the body from standard input").with_source(error))?;
    let checked = check(args, &secrets, &bytes, now)?;
    let Err(reason) = checked else { return Ok(()) };
    let error = Error::other(format!("not valid: {reason}"));
    // The commonest mistake: `echo` and editors add a line break that was never sent.
    let without_break = bytes.strip_suffix(b"\n");
    Err(match without_break {
        Some(shorter) if check(args, &secrets, shorter, now)?.is_ok() => {
            error.with_hint("it is valid without the line break at the end of the body: pass the body as it was sent")
        }
        _ => error,
    })
}

/// The inner result is the verdict, the outer one whether there could be one.
fn check(args: &VerifyArgs, secrets: &[Secret], body: &[u8], now: i64) -> Result<Result<(), VerifyError>> {
    let header = args.signature.trim();
    if header.starts_with("sha256=") {
        return Ok(signature::verify_body(secrets, header, body));
    }
    if !header.split_ascii_whitespace().any(|entry| entry.starts_with("v1,")) {
        return Err(Error::usage("the signature is neither sha256=<hex> nor v1,<base64>"));
    }
    let (Some(id), Some(timestamp)) = (&args.id, &args.timestamp) else {
        return Err(Error::usage("a v1 signature covers the id and the timestamp too")
            .with_hint("give --id and --timestamp: the headers webhook-id and webhook-timestamp"));
    };
    let tolerance = if args.any_age {
        Duration::MAX
    } else {
        Duration::from_secs(args.tolerance)
    };
    Ok(signature::verify_message(
        secrets,
        Received {
            id,
            timestamp,
            signature: header,
        },
        body,
        now,
        tolerance,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const AT: i64 = 1_614_265_330;

    fn args(signature: &str) -> VerifyArgs {
        VerifyArgs {
            signature: signature.into(),
            id: Some("msg_p5jXN8AQM9LWM0D4loKWxJek".into()),
            timestamp: Some(AT.to_string()),
            tolerance: 300,
            any_age: false,
            secret: SecretArgs {
                secret: vec!["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into()],
                secret_file: vec![],
            },
        }
    }

    const V1: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    #[test]
    fn both_forms_are_accepted() {
        verify(&args(V1), BODY, AT).unwrap();
        let secrets = args("").secret.read().unwrap();
        let mut plain = args(&signature::sign_body(&secrets[0], BODY));
        plain.id = None;
        verify(&plain, BODY, AT).unwrap();
    }

    #[test]
    fn what_is_not_valid_exits_with_one_and_says_why() {
        let error = verify(&args(V1), &b"{}"[..], AT).unwrap_err();
        assert_eq!(error.exit_code(), 1);
        assert!(
            error.chain().starts_with("not valid: the signature does not match"),
            "{error}"
        );
        let error = verify(&args(V1), BODY, AT + 4_000).unwrap_err();
        assert!(error.chain().contains("signed 4000 s ago"), "{error}");
        verify(
            &VerifyArgs {
                any_age: true,
                ..args(V1)
            },
            BODY,
            AT + 4_000,
        )
        .unwrap();
    }

    #[test]
    fn a_line_break_that_was_not_sent_is_pointed_out() {
        let error = verify(&args(V1), &[BODY, b"\n"].concat()[..], AT).unwrap_err();
        assert!(error.hint().unwrap().contains("line break"), "{error:?}");
    }

    #[test]
    fn what_is_missing_exits_with_two() {
        for wrong in [
            VerifyArgs { id: None, ..args(V1) },
            VerifyArgs {
                timestamp: None,
                ..args(V1)
            },
            VerifyArgs {
                secret: SecretArgs::default(),
                ..args(V1)
            },
            args("md5=abc"),
            args(""),
        ] {
            assert_eq!(verify(&wrong, BODY, AT).unwrap_err().exit_code(), 2, "{wrong:?}");
        }
    }

    #[test]
    fn a_secret_is_read_from_a_file_without_its_line_break() {
        let file = std::env::temp_dir().join(format!("odoo-eventd-secret-{}", std::process::id()));
        std::fs::write(&file, "from a file\r\n").unwrap();
        let read = SecretArgs {
            secret: vec![],
            secret_file: vec![file.clone()],
        }
        .read();
        std::fs::remove_file(&file).unwrap();
        assert_eq!(read.unwrap(), [Secret::parse("from a file").unwrap()]);
    }
}
