//! For which versions of Odoo something holds.

use std::collections::HashMap;

/// The newest version whose rules are known here.
pub const NEWEST: u16 = 19;

/// The oldest one.
pub const OLDEST: u16 = 16;

/// What to say of a version of Odoo (`20.0.1.3`) that is newer than every one known here; none of any other.
pub fn untried(version: &str) -> Option<String> {
    let major: u16 = version.split('.').next()?.parse().ok()?;
    (major > NEWEST).then(|| {
        format!(
            "{version} is newer than this program: the rules of {NEWEST} are followed, untried, and what they need a list of Odoo's \
             own declarations for is refused"
        )
    })
}

/// A range of versions, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    first: u16,
    last: u16,
}

impl Versions {
    /// From `first` to `last`.
    pub const fn between(first: u16, last: u16) -> Self {
        Self { first, last }
    }

    /// From `first` to the newest that is known.
    pub const fn since(first: u16) -> Self {
        Self::between(first, NEWEST)
    }

    /// From the oldest that is known to `last`.
    pub const fn until(last: u16) -> Self {
        Self::between(OLDEST, last)
    }

    /// Whether it holds for that version. Nothing is known to hold for a version newer than the newest.
    pub const fn hold_for(self, version: u16) -> bool {
        self.first <= version && version <= self.last
    }

    /// `16-18`, or `18` alone.
    fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Some(Self::between(first.parse().ok()?, last.parse().ok()?))
    }
}

/// A shipped list: facts by key, each for some versions.
pub(super) struct Facts<K, V>(HashMap<K, Vec<(Versions, V)>>);

impl<K: std::hash::Hash + Eq, V> Facts<K, V> {
    /// The fact about `key` that holds for that version.
    pub(super) fn get<Q>(&self, version: u16, key: &Q) -> Option<&V>
    where
        K: std::borrow::Borrow<Q>,
        Q: std::hash::Hash + Eq + ?Sized,
    {
        let facts = self.0.get(key)?;
        facts
            .iter()
            .find(|(versions, _)| versions.hold_for(version))
            .map(|(_, fact)| fact)
    }
}

impl<K: std::hash::Hash + Eq, V> FromIterator<(Versions, K, V)> for Facts<K, V> {
    fn from_iter<I: IntoIterator<Item = (Versions, K, V)>>(facts: I) -> Self {
        let mut by_key: HashMap<K, Vec<(Versions, V)>> = HashMap::new();
        for (versions, key, fact) in facts {
            by_key.entry(key).or_default().push((versions, fact));
        }
        Self(by_key)
    }
}

/// Lines of a list file without comments and blanks: the versions each holds for, and the rest.
pub(super) fn lines(text: &'static str) -> impl Iterator<Item = (Versions, &'static str)> {
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .filter_map(|line| {
            let (versions, rest) = line.split_once(' ')?;
            Some((Versions::parse(versions)?, rest))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_holds_for_a_version_that_is_not_known() {
        assert!(Versions::since(18).hold_for(19));
        assert!(!Versions::since(18).hold_for(20));
        assert!(!Versions::until(17).hold_for(18));
        assert_eq!(Versions::parse("16-18"), Some(Versions::between(16, 18)));
        assert_eq!(Versions::parse("18"), Some(Versions::between(18, 18)));
    }

    #[test]
    fn a_newer_version_is_called_untried() {
        assert!(untried("20.0.1.3").is_some_and(|text| text.contains("rules of 19")));
        for version in ["19.0.1.3", "16.0.1.3", "saas~18.2", ""] {
            assert_eq!(untried(version), None, "{version}");
        }
    }

    #[test]
    fn every_line_of_every_list_says_its_versions() {
        for text in [
            include_str!("computed.txt"),
            include_str!("digits.txt"),
            include_str!("names.txt"),
            include_str!("x2many_domains.txt"),
            include_str!("x2many_plain.txt"),
        ] {
            let all = text
                .lines()
                .filter(|line| !line.starts_with('#') && !line.trim().is_empty());
            assert_eq!(lines(text).count(), all.count());
            assert!(lines(text).all(|(versions, _)| versions.hold_for(versions.first) && versions.last <= NEWEST));
        }
    }
}
