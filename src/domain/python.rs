//! Python literals that are no domains: dictionaries, lists and plain values, as document 003's API takes them in its queries.
//!
//! By the lexer of domains, so a string, a number or a name means the same in both; a tuple is a list. Nothing is executed, and names
//! other than `True`, `False` and `None` (of JSON: `true`, `false`, `null`) are refused.

use serde_json::{Map, Number, Value};

use super::error::{DomainError, Span};
use super::lexer::{Dialect, Lexer, Token, TokenKind};
use super::parse::Limits;

/// Reads a literal, in Python's notation or in JSON's.
///
/// # Errors
/// A [`DomainError`] with the place.
pub fn literal(text: &str) -> Result<Value, DomainError> {
    let limits = Limits::default();
    if text.len() > limits.text {
        return Err(DomainError::new(format!(
            "the literal is longer than {} bytes",
            limits.text
        )));
    }
    let is_json = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    let dialect = if is_json { Dialect::Json } else { Dialect::Python };
    let mut lexer = Lexer::new(text, dialect);
    let token = lexer.next_token()?;
    let mut reader = Reader {
        lexer,
        token,
        deeper: limits.depth,
    };
    let value = reader.value()?;
    match reader.token.kind {
        TokenKind::End => Ok(value),
        _ => Err(DomainError::new("the literal should end here").at(reader.token.span)),
    }
}

struct Reader<'a> {
    lexer: Lexer<'a>,
    token: Token,
    /// Brackets that may still be within those that are open.
    deeper: usize,
}

impl Reader<'_> {
    fn advance(&mut self) -> Result<Token, DomainError> {
        let next = self.lexer.next_token()?;
        Ok(std::mem::replace(&mut self.token, next))
    }

    fn is_at(&self, symbol: char) -> bool {
        self.token.kind == TokenKind::Symbol(symbol)
    }

    fn value(&mut self) -> Result<Value, DomainError> {
        let Token { kind, span } = self.advance()?;
        match kind {
            TokenKind::Str(mut text) => {
                // Python joins strings that stand side by side.
                while let TokenKind::Str(_) = self.token.kind {
                    if let TokenKind::Str(more) = self.advance()?.kind {
                        text.push_str(&more);
                    }
                }
                Ok(Value::String(text))
            }
            TokenKind::Int(number) => Ok(number.into()),
            TokenKind::BigInt(digits) => big(&digits, span),
            TokenKind::Float(number) => Ok(number.into()),
            TokenKind::Name(name) => match name.as_str() {
                "True" | "true" => Ok(true.into()),
                "False" | "false" => Ok(false.into()),
                "None" | "null" => Ok(Value::Null),
                _ => Err(DomainError::new(format!("{name} cannot stand in a literal"))
                    .at(span)
                    .hint("text stands between quotes")),
            },
            TokenKind::Symbol(sign @ ('-' | '+')) => self.signed(sign == '-', span),
            TokenKind::Symbol('[') => self.within(span, |reader| reader.list(span, ']')),
            TokenKind::Symbol('(') => self.within(span, |reader| reader.list(span, ')')),
            TokenKind::Symbol('{') => self.within(span, |reader| reader.dictionary(span)),
            TokenKind::Symbol(symbol) => Err(DomainError::new(format!("unexpected {symbol}")).at(span)),
            TokenKind::End => Err(DomainError::new("the literal ends too early").at(span)),
        }
    }

    fn within(
        &mut self,
        span: Span,
        read: impl FnOnce(&mut Self) -> Result<Value, DomainError>,
    ) -> Result<Value, DomainError> {
        self.deeper = self
            .deeper
            .checked_sub(1)
            .ok_or_else(|| DomainError::new("there are too many brackets within each other").at(span))?;
        let read = read(self);
        self.deeper += 1;
        read
    }

    fn signed(&mut self, is_negative: bool, sign: Span) -> Result<Value, DomainError> {
        let Token { kind, span } = self.advance()?;
        match (kind, is_negative) {
            (TokenKind::Int(number), false) => Ok(number.into()),
            (TokenKind::Int(number), true) => Ok(number.wrapping_neg().into()),
            (TokenKind::Float(number), false) => Ok(number.into()),
            (TokenKind::Float(number), true) => Ok((-number).into()),
            (TokenKind::BigInt(digits), false) => big(&digits, span),
            (TokenKind::BigInt(digits), true) => big(&format!("-{digits}"), span),
            _ => Err(DomainError::new("a sign needs a number").at(sign.to(span))),
        }
    }

    fn list(&mut self, open: Span, close: char) -> Result<Value, DomainError> {
        let mut items = Vec::new();
        let mut has_comma = false;
        while !self.is_at(close) {
            items.push(self.value()?);
            has_comma |= self.comma_or(close, open)?;
        }
        self.advance()?;
        // A value in parentheses is no tuple.
        match (close, has_comma, items.len()) {
            (')', false, 1) => Ok(items.remove(0)),
            _ => Ok(Value::Array(items)),
        }
    }

    fn dictionary(&mut self, open: Span) -> Result<Value, DomainError> {
        let mut entries = Map::new();
        while !self.is_at('}') {
            let at = self.token.span;
            let Value::String(key) = self.value()? else {
                return Err(DomainError::new("a key is a string").at(at));
            };
            if !self.is_at(':') {
                return Err(DomainError::new("a colon should follow the key").at(self.token.span));
            }
            self.advance()?;
            let value = self.value()?;
            entries.insert(key, value);
            self.comma_or('}', open)?;
        }
        self.advance()?;
        Ok(Value::Object(entries))
    }

    /// Past a comma, and whether there was one; else it must be the end.
    fn comma_or(&mut self, close: char, open: Span) -> Result<bool, DomainError> {
        if self.is_at(',') {
            self.advance()?;
            return Ok(true);
        }
        match self.token.kind {
            _ if self.is_at(close) => Ok(false),
            TokenKind::End => Err(DomainError::new(format!("a closing {close} is missing")).at(open)),
            _ => Err(DomainError::new(format!("a comma or a closing {close} should stand here")).at(self.token.span)),
        }
    }
}

fn big(digits: &str, span: Span) -> Result<Value, DomainError> {
    let number: Result<Number, _> = digits.parse();
    number
        .map(Value::Number)
        .map_err(|_| DomainError::new("this is no number").at(span))
}

/// A value as a Python literal: of a list the lists in it are tuples, as leaves of a domain are written.
pub fn domain_text(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let terms: Vec<String> = items
                .iter()
                .map(|term| match term {
                    Value::Array(parts) => {
                        let parts: Vec<String> = parts.iter().map(written).collect();
                        format!("({}{})", parts.join(", "), if parts.len() == 1 { "," } else { "" })
                    }
                    other => written(other),
                })
                .collect();
            format!("[{}]", terms.join(", "))
        }
        other => written(other),
    }
}

fn written(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => super::ast::Quoted(text).to_string(),
        Value::Array(items) => format!("[{}]", items.iter().map(written).collect::<Vec<_>>().join(", ")),
        Value::Object(entries) => {
            let entries = entries
                .iter()
                .map(|(key, value)| format!("{}: {}", super::ast::Quoted(key), written(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn dictionaries_lists_and_tuples_are_read_as_json_would_have_them() {
        for (text, value) in [
            (
                "{'name': 'A', 'n': -1, 'yes': True, 'none': None}",
                json!({"name": "A", "n": -1, "yes": true, "none": null}),
            ),
            (
                "[('state', '=', 'done'), ('n', 'in', [1, 2])]",
                json!([["state", "=", "done"], ["n", "in", [1, 2]]]),
            ),
            ("(1,)", json!([1])),
            ("(1)", json!(1)),
            ("{}", json!({})),
            ("[]", json!([])),
            ("{\"a\": [true, null, \"\\u00e9\"]}", json!({"a": [true, null, "é"]})),
            ("'it''s'", json!("its")),
        ] {
            assert_eq!(literal(text).unwrap(), value, "{text}");
        }
    }

    #[test]
    fn what_is_no_literal_is_refused_with_the_place() {
        for text in [
            "",
            "{",
            "{'a'}",
            "{'a': }",
            "{1: 2}",
            "[1 2]",
            "uid",
            "__import__('os')",
            "[1]]",
            "-'a'",
        ] {
            assert!(literal(text).unwrap_err().span().is_some(), "{text}");
        }
        assert!(literal(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn a_domain_is_written_as_people_write_one() {
        let text = "['|', ('state', '=', 'done'), ('n', 'in', [1, 2]), ('ok', '=', True)]";
        assert_eq!(domain_text(&literal(text).unwrap()), text);
    }
}
