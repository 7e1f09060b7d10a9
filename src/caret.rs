//! Shows a place in a text, on a terminal's line.

use std::ops::Range;

/// The line around a place, cut to a screen's width, and a line with carets under it; each begins with two spaces.
///
/// The place is in bytes; one outside of the text, or inside of a character, is moved to the nearest that is not.
pub(crate) fn excerpt(text: &str, span: &Range<usize>) -> String {
    /// Characters shown before and after the place.
    const AROUND: usize = 60;
    let start = floor_boundary(text, span.start);
    let end = floor_boundary(text, span.end.max(start));
    let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
    let before: Vec<char> = text[line_start..start].chars().collect();
    let (lead, shown) = if before.len() > AROUND {
        ("..", &before[before.len() - AROUND..])
    } else {
        ("", &before[..])
    };
    let marked = text[start..end.min(line_end)].chars().count().clamp(1, AROUND);
    let after: String = text[start..line_end].chars().take(marked + AROUND).collect();
    let cut = text[start..line_end].chars().count() > marked + AROUND;
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    let line: String = lead
        .chars()
        .chain(shown.iter().copied())
        .chain(after.chars())
        .map(printable)
        .collect();
    let end = if cut { ".." } else { "" };
    let width = lead.len() + shown.len();
    format!("  {line}{end}\n  {:width$}{}", "", "^".repeat(marked))
}

fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let shown = excerpt(&"x".repeat(500), &(250..251));
        assert!(shown.lines().all(|line| line.len() < 140), "{shown}");
    }

    #[test]
    fn a_place_outside_the_text_does_no_harm() {
        assert!(excerpt("é", &(90..95)).contains('^'));
        assert!(excerpt("é", &(1..1)).contains('^'));
    }
}
