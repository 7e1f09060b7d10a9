//! A place in the feed as text: opaque, and of one installation.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::ops::error::{Error, Result};
use crate::pg::feed::Place;
use crate::subscription::Refusal;

/// What it begins with: whose it is, and of which form.
const MARK: [u8; 2] = [b'f', 1];

const BYTES: usize = MARK.len() + 16 + 8;

pub(super) fn write(place: Place) -> String {
    let mut bytes = [0; BYTES];
    bytes[..2].copy_from_slice(&MARK);
    bytes[2..18].copy_from_slice(place.epoch.as_bytes());
    bytes[18..].copy_from_slice(&place.seq.to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// # Errors
/// [`Error::Refused`] for what [`write()`] has not made.
pub(super) fn read(text: &str) -> Result<Place> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok();
    let bytes = bytes.and_then(|bytes| <[u8; BYTES]>::try_from(bytes).ok());
    let place = bytes.filter(|bytes| bytes[..2] == MARK).and_then(|bytes| {
        let epoch = Uuid::from_slice(&bytes[2..18]).ok()?;
        let seq = i64::from_be_bytes(bytes[18..].try_into().ok()?);
        (seq >= 0).then_some(Place { epoch, seq })
    });
    place.ok_or_else(|| {
        Error::refused(
            Refusal::of("cursor", "the cursor is not one of the event feed")
                .with_hint("take the cursor of the last page or event as it is, or begin without one"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_nothing_else_is() {
        let place = Place {
            epoch: Uuid::from_u128(7),
            seq: 12_345,
        };
        let text = write(place);
        assert_eq!(read(&text).unwrap(), place);
        assert!(
            text.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        );
        let negative = write(Place { seq: -1, ..place });
        let longer = format!("{text}AA");
        let other_form = URL_SAFE_NO_PAD.encode([0; BYTES]);
        for wrong in [
            "",
            "0",
            "12345",
            &text[1..],
            &longer,
            &negative,
            &other_form,
            "\u{1F600}",
        ] {
            let Err(Error::Refused(refusals)) = read(wrong) else {
                panic!("\"{wrong}\" was taken for a cursor")
            };
            assert_eq!(refusals[0].column, Some("cursor"));
        }
    }
}
