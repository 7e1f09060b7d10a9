//! What messages for people need beyond JSON: their text escaped, and their size within what the service takes.
//!
//! A message that is too large is refused as a whole, and nobody learns of the change. So what stands last goes, and a mark says so.

use serde_json::{Value as Json, json};

/// Teams refuses messages of more than 28 KB; counted in bytes, with some room for what its gateway adds.
/// Source: learn.microsoft.com, "Create incoming webhooks", "message size limit".
const TEAMS_BYTES: usize = 28_000;

/// Slack cuts a text after 40,000 characters, in the middle of whatever is there.
/// Source: docs.slack.dev, "chat.postMessage", "Truncating content".
const SLACK_CHARACTERS: usize = 39_000;

/// Discord refuses a message with more in its embeds altogether, or in its text.
/// Source: docs.discord.com, "Embed limits"; "Execute webhook", `content`.
const DISCORD_EMBED_CHARACTERS: usize = 6_000;
const DISCORD_TEXT_CHARACTERS: usize = 2_000;

/// Stands for what is left out.
const MORE: &str = "…";

/// What cuts a message of this shape to what its service takes; it tells whether anything was changed.
pub(super) fn limit_of(shape: &str) -> Option<fn(&mut Json) -> bool> {
    match shape {
        "teams" => Some(cut_teams),
        "slack" => Some(cut_slack),
        "discord" => Some(cut_discord),
        _ => None,
    }
}

fn cut_teams(message: &mut Json) -> bool {
    let too_much = message.to_string().len().saturating_sub(TEAMS_BYTES);
    if too_much == 0 {
        return false;
    }
    let facts = message.pointer_mut("/attachments/0/content/body/1/facts");
    let Some(facts) = facts.and_then(Json::as_array_mut) else {
        return false;
    };
    let mark = json!({"title": MORE, "value": MORE});
    let mut to_save = too_much + mark.to_string().len() + 1;
    while to_save > 0
        && let Some(fact) = facts.pop()
    {
        to_save = to_save.saturating_sub(fact.to_string().len() + 1);
    }
    facts.push(mark);
    true
}

fn cut_slack(message: &mut Json) -> bool {
    let Some(Json::String(text)) = message.get_mut("text") else {
        return false;
    };
    let Some((end, _)) = text.char_indices().nth(SLACK_CHARACTERS) else {
        return false;
    };
    // Between two fields: an escape is not cut in two, nor a line.
    let end = text[..end].rfind("\n• ").unwrap_or(end);
    text.truncate(end);
    text.push('\n');
    text.push_str(MORE);
    true
}

fn cut_discord(message: &mut Json) -> bool {
    let length = |text: &Json| text.as_str().map_or(0, |text| text.encode_utf16().count());
    let mut is_cut = false;
    if let Some(Json::String(content)) = message.get_mut("content")
        && content.encode_utf16().count() > DISCORD_TEXT_CHARACTERS
    {
        // Half of it are characters of two units at most.
        *content = content.chars().take(DISCORD_TEXT_CHARACTERS / 2 - 1).collect();
        content.push_str(MORE);
        is_cut = true;
    }
    let fields = message.pointer_mut("/embeds/0/fields").and_then(Json::as_array_mut);
    let Some(fields) = fields else { return is_cut };
    let mut left = DISCORD_EMBED_CHARACTERS - 2 * MORE.len();
    let fitting = fields.iter().take_while(|field| {
        let taken = left.checked_sub(length(&field["name"]) + length(&field["value"]));
        left = taken.unwrap_or(0);
        taken.is_some()
    });
    let fitting = fitting.count();
    if fitting < fields.len() {
        fields.truncate(fitting);
        fields.push(json!({"name": MORE, "inline": true, "value": MORE}));
        is_cut = true;
    }
    is_cut
}

/// The text such that markdown shows it as it is: no emphasis, link, heading, list or quotation, and no date function of a card.
///
/// An underscore or a full stop within a word means nothing there and stays; names of fields remain legible to whoever reads the JSON.
pub(super) fn escape_markdown(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut escaped = String::with_capacity(text.len() + 8);
    let mut is_line_start = true;
    for (at, &character) in characters.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| characters[before]);
        let after = characters.get(at + 1).copied();
        let is_in_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let ends_word = after.is_none_or(char::is_whitespace);
        let means_something = match character {
            '\\' | '*' | '[' | ']' | '`' | '~' | '|' => true,
            '_' => !(is_in_word(before) && is_in_word(after)),
            '#' | '>' => is_line_start,
            '-' | '+' => is_line_start && (ends_word || after == Some(character)),
            '.' | ')' => ends_word && is_number_at_line_start(&characters[..at]),
            '{' => before == Some('{'),
            _ => false,
        };
        if means_something {
            escaped.push('\\');
        }
        escaped.push(character);
        // What is indented begins its line all the same.
        is_line_start = matches!(character, '\n' | '\r') || is_line_start && character.is_whitespace();
    }
    escaped
}

fn is_number_at_line_start(before: &[char]) -> bool {
    let digits = before.iter().rev().take_while(|c| c.is_ascii_digit()).count();
    let line = before[..before.len() - digits].iter().rev();
    digits > 0
        && line
            .take_while(|c| !matches!(c, '\n' | '\r'))
            .all(|c| c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_in_markdown_is_escaped_and_nothing_else() {
        for (text, escaped) in [
            ("S00042 <b>", "S00042 <b>"),
            ("partner_id.name", "partner_id.name"),
            ("-5.25", "-5.25"),
            ("Größe: 1.5 m - 2.", "Größe: 1.5 m - 2."),
            ("**bold** _it_", "\\*\\*bold\\*\\* \\_it\\_"),
            (
                "[pay here](https://evil.example)",
                "\\[pay here\\](https://evil.example)",
            ),
            (
                "`code` ~~gone~~ ||hidden||",
                "\\`code\\` \\~\\~gone\\~\\~ \\|\\|hidden\\|\\|",
            ),
            (
                "# heading\n> said\n  - item\n1. first\n2) second",
                "\\# heading\n\\> said\n  \\- item\n1\\. first\n2\\) second",
            ),
            ("---", "\\---"),
            ("a # b > c", "a # b > c"),
            ("back\\slash", "back\\\\slash"),
            ("{{DATE(2026-01-01, SHORT)}}", "{\\{DATE(2026-01-01, SHORT)}}"),
        ] {
            assert_eq!(escape_markdown(text), escaped, "{text}");
        }
    }
}
