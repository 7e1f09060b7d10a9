//! A row as one text: how PostgreSQL writes a composite value, and the values in it.
//!
//! Source: PostgreSQL's documentation, "Composite Type Input and Output Syntax", of which only what `record_out` writes is read: values
//! between parentheses, with commas between them; NULL is nothing at all; a value that is empty or has a parenthesis, comma, quote,
//! backslash or white space in it is quoted, with each quote and backslash in it twice.

use super::image::StoredImage;

/// The values of a row, each as `::text` would write it, in the order of these types; `None` when it is no such row.
pub(super) fn values(row: &str, types: &[String]) -> StoredImage {
    let mut rest = row.strip_prefix('(')?;
    let mut values = Vec::with_capacity(types.len());
    for (place, of_type) in types.iter().enumerate() {
        if place > 0 {
            rest = rest.strip_prefix(',')?;
        }
        let (value, behind) = value(rest)?;
        rest = behind;
        values.push(value.map(|text| as_cast(text, of_type)));
    }
    (rest == ")").then_some(values)
}

/// The next value, and what stands behind it.
fn value(text: &str) -> Option<(Option<String>, &str)> {
    let Some(mut rest) = text.strip_prefix('"') else {
        let end = text.find([',', ')'])?;
        let (value, behind) = text.split_at(end);
        return Some(((end > 0).then(|| value.to_owned()), behind));
    };
    let mut value = String::new();
    loop {
        let special = rest.find(['"', '\\'])?;
        value.push_str(&rest[..special]);
        let (first, behind) = rest[special..].split_at(1);
        match behind.strip_prefix(first) {
            Some(doubled) => {
                value.push_str(first);
                rest = doubled;
            }
            None if first == "\"" => return Some((Some(value), behind)),
            None => return None,
        }
    }
}

/// Of the types that capture tells as rows, one is cast to text otherwise than it is written.
fn as_cast(text: String, of_type: &str) -> String {
    match (of_type, text.as_str()) {
        ("boolean", "t") => "true".to_owned(),
        ("boolean", "f") => "false".to_owned(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(row: &str, types: &[&str]) -> StoredImage {
        let types: Vec<_> = types.iter().map(|of_type| (*of_type).to_owned()).collect();
        values(row, &types)
    }

    #[test]
    fn values_are_read_as_record_out_writes_them() {
        // Each row as `select row(..)::text` gives it.
        for (row, types, expected) in [
            ("(1,2)", &["integer"; 2][..], &[Some("1"), Some("2")][..]),
            ("(,)", &["text"; 2], &[None, None]),
            (r#"("",a)"#, &["text"; 2], &[Some(""), Some("a")]),
            (
                r#"("a ""b"" \\ (c), d",t,f)"#,
                &["text", "boolean", "text"],
                &[Some(r#"a "b" \ (c), d"#), Some("true"), Some("f")],
            ),
            (r#"("{""a"": ""\\""""}")"#, &["jsonb"], &[Some(r#"{"a": "\""}"#)]),
            (
                "(\"\n\",\"2024-01-01 00:00:00\")",
                &["text", "timestamp without time zone"],
                &[Some("\n"), Some("2024-01-01 00:00:00")],
            ),
            ("()", &[], &[]),
        ] {
            let expected: Vec<_> = expected.iter().map(|value| value.map(str::to_owned)).collect();
            assert_eq!(read(row, types), Some(expected), "{row}");
        }
    }

    #[test]
    fn what_is_no_row_of_so_many_values_is_none() {
        for row in [
            "",
            "(",
            "(1",
            "(1)",
            "(1,2",
            "(1,2,3)",
            "1,2",
            "(1,2))",
            "(\"1,2)",
            "(\"a\\b\",)",
        ] {
            assert_eq!(read(row, &["text", "text"]), None, "{row}");
        }
    }

    proptest! {
        #[test]
        fn any_values_come_back_as_they_were_written(written in prop::collection::vec(prop::option::of(".*"), 1..8)) {
            let texts: Vec<_> = written
                .iter()
                .map(|value| value.as_ref().map_or(String::new(), |text| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\"\""))))
                .collect();
            let types = vec!["text".to_owned(); written.len()];
            prop_assert_eq!(values(&format!("({})", texts.join(",")), &types), Some(written));
        }

        #[test]
        fn no_text_ends_the_program(text in ".*") {
            let _ = values(&text, &["text".to_owned(), "boolean".to_owned()]);
        }
    }
}
