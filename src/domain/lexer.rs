//! Splits a domain's text into tokens: the Python literals Odoo stores, and JSON.

use super::error::{DomainError, Span};

/// Which of the two notations a text is in. They differ in names (`True` / `true`) and in string escapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Python,
    Json,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum TokenKind {
    /// One of `( ) [ ] { } , . : = + - *` and the like.
    Symbol(char),
    Str(String),
    Int(i64),
    BigInt(String),
    Float(f64),
    Name(String),
    End,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) span: Span,
}

pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    dialect: Dialect,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str, dialect: Dialect) -> Self {
        Self { text, at: 0, dialect }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn eat(&mut self, prefix: &str) -> bool {
        let found = self.text[self.at..].starts_with(prefix);
        if found {
            self.at += prefix.len();
        }
        found
    }

    fn take_while(&mut self, accept: impl Fn(char) -> bool) -> &'a str {
        let start = self.at;
        while self.peek().is_some_and(&accept) {
            self.bump();
        }
        &self.text[start..self.at]
    }

    fn skip_blanks(&mut self) {
        loop {
            self.take_while(|c| matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{c}'));
            if self.dialect == Dialect::Python && self.peek() == Some('#') {
                self.take_while(|c| c != '\n');
            } else {
                return;
            }
        }
    }

    pub(super) fn next_token(&mut self) -> Result<Token, DomainError> {
        self.skip_blanks();
        let start = self.at;
        let Some(c) = self.peek() else {
            return Ok(Token {
                kind: TokenKind::End,
                span: Span::new(start, start),
            });
        };
        let kind = match c {
            '\'' | '"' => self.string(false)?,
            '0'..='9' => self.number()?,
            '.' if self.text[self.at + 1..].starts_with(|c: char| c.is_ascii_digit()) => self.number()?,
            c if c.is_ascii_alphabetic() || c == '_' => self.word()?,
            '(' | ')' | '[' | ']' | '{' | '}' | ',' | '.' | ':' | '=' | '+' | '-' | '*' | '/' | '%' | '<' | '>'
            | '!' | '&' | '|' | '^' | '~' | '@' => {
                self.bump();
                TokenKind::Symbol(c)
            }
            c => {
                let error =
                    DomainError::new(format!("unexpected character {c:?}")).at(Span::new(start, start + c.len_utf8()));
                let is_quote = matches!(c, '\u{2018}' | '\u{2019}' | '\u{201c}' | '\u{201d}');
                return Err(if is_quote {
                    error.hint("use straight quotes: ' or \"")
                } else {
                    error
                });
            }
        };
        Ok(Token {
            kind,
            span: Span::new(start, self.at),
        })
    }

    fn word(&mut self) -> Result<TokenKind, DomainError> {
        let start = self.at;
        let word = self.take_while(|c| c.is_ascii_alphanumeric() || c == '_');
        if self.dialect == Dialect::Python && matches!(self.peek(), Some('\'' | '"')) {
            return match word {
                "r" | "R" => self.string(true),
                "u" | "U" => self.string(false),
                _ => Err(
                    DomainError::new(format!("strings with the prefix {word} are not supported"))
                        .at(Span::new(start, self.at))
                        .hint("write a plain string"),
                ),
            };
        }
        Ok(TokenKind::Name(word.to_owned()))
    }

    fn number(&mut self) -> Result<TokenKind, DomainError> {
        let start = self.at;
        let radix = match self.text[start..].get(..2).map(str::to_ascii_lowercase).as_deref() {
            Some("0x") => 16,
            Some("0o") => 8,
            Some("0b") => 2,
            _ => 10,
        };
        if radix != 10 {
            self.at += 2;
            let digits = self.take_while(|c| c.is_ascii_alphanumeric() || c == '_');
            return i64::from_str_radix(&digits.replace('_', ""), radix)
                .map(TokenKind::Int)
                .map_err(|_| self.bad_number(start));
        }
        self.take_while(|c| c.is_ascii_digit() || c == '_');
        let mut is_float = self.peek() == Some('.');
        if is_float {
            self.bump();
            self.take_while(|c| c.is_ascii_digit() || c == '_');
        }
        if matches!(self.peek(), Some('e' | 'E')) {
            is_float = true;
            self.bump();
            if matches!(self.peek(), Some('+' | '-')) {
                self.bump();
            }
            self.take_while(|c| c.is_ascii_digit());
        }
        let written = &self.text[start..self.at];
        if self.peek().is_some_and(|c| c.is_alphanumeric() || c == '_') || !underscores_are_separators(written) {
            self.take_while(|c| c.is_alphanumeric() || c == '_');
            return Err(self.bad_number(start));
        }
        let digits = written.replace('_', "");
        if is_float {
            let number: f64 = digits.parse().map_err(|_| self.bad_number(start))?;
            if !number.is_finite() {
                return Err(DomainError::new("the number is too large").at(Span::new(start, self.at)));
            }
            return Ok(TokenKind::Float(number));
        }
        if digits.len() > 1 && digits.starts_with('0') && digits.contains(|c| c != '0') {
            return Err(self.bad_number(start).hint("a whole number does not start with 0"));
        }
        if digits.len() > 100 {
            return Err(DomainError::new("the number is too large").at(Span::new(start, self.at)));
        }
        Ok(digits.parse().map_or(TokenKind::BigInt(digits), TokenKind::Int))
    }

    fn bad_number(&self, start: usize) -> DomainError {
        let written: String = self.text[start..self.at].chars().take(40).collect();
        DomainError::new(format!("{written} is not a number")).at(Span::new(start, self.at))
    }

    /// A string, at its opening quote; `raw` keeps backslashes.
    fn string(&mut self, raw: bool) -> Result<TokenKind, DomainError> {
        let start = self.at;
        let quote = self.bump().unwrap_or('\'');
        let triple: String = std::iter::repeat_n(quote, 3).collect();
        let is_triple = self.dialect == Dialect::Python && self.text[start..].starts_with(&triple);
        if is_triple {
            self.at = start + 3;
        }
        let mut value = String::new();
        loop {
            if if is_triple {
                self.eat(&triple)
            } else {
                self.eat(quote.encode_utf8(&mut [0; 4]))
            } {
                return Ok(TokenKind::Str(value));
            }
            let here = self.at;
            match self.bump() {
                None => return Err(self.unterminated(start)),
                Some('\n') if !is_triple => return Err(self.unterminated(start)),
                Some('\\') if raw => {
                    value.push('\\');
                    // Even in a raw string a backslash keeps the quote after it from closing.
                    value.extend(self.bump());
                }
                Some('\\') => self.escape(here, &mut value)?,
                Some(c) => value.push(c),
            }
        }
    }

    fn unterminated(&self, start: usize) -> DomainError {
        DomainError::new("this string is not closed").at(Span::new(start, start + 1))
    }

    /// What follows a backslash at `start`.
    fn escape(&mut self, start: usize, value: &mut String) -> Result<(), DomainError> {
        let python = self.dialect == Dialect::Python;
        let Some(c) = self.bump() else {
            return Err(self.unterminated(start));
        };
        let plain = match c {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            '\\' | '"' => c,
            '\'' if python => c,
            '/' if !python => c,
            'a' if python => '\u{7}',
            'v' if python => '\u{b}',
            '\n' if python => return Ok(()),
            'x' if python => self.code_point(start, 2)?,
            'u' if python => self.code_point(start, 4)?,
            'U' if python => self.code_point(start, 8)?,
            'u' => self.json_code_point(start)?,
            '0'..='7' if python => {
                self.at -= 1;
                let from = self.at;
                while self.at - from < 3 && matches!(self.peek(), Some('0'..='7')) {
                    self.bump();
                }
                let code = u32::from_str_radix(&self.text[from..self.at], 8).unwrap_or_default();
                self.character(start, code)?
            }
            'N' if python => {
                return Err(DomainError::new("escapes by character name are not supported")
                    .at(Span::new(start, self.at))
                    .hint("write the character itself"));
            }
            other => {
                // Python keeps a backslash that starts no known escape.
                value.push('\\');
                other
            }
        };
        value.push(plain);
        Ok(())
    }

    fn code_point(&mut self, start: usize, digits: usize) -> Result<char, DomainError> {
        let code = self.hex(start, digits)?;
        self.character(start, code)
    }

    /// `\uXXXX`, where two surrogates make one character.
    fn json_code_point(&mut self, start: usize) -> Result<char, DomainError> {
        let high = self.hex(start, 4)?;
        if (0xd800..0xdc00).contains(&high) && self.eat("\\u") {
            let low = self.hex(start, 4)?;
            if (0xdc00..0xe000).contains(&low) {
                return self.character(start, 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00));
            }
        }
        self.character(start, high)
    }

    fn hex(&mut self, start: usize, digits: usize) -> Result<u32, DomainError> {
        let from = self.at;
        while self.at - from < digits && self.peek().is_some_and(|c| c.is_ascii_hexdigit()) {
            self.bump();
        }
        if self.at - from != digits {
            return Err(
                DomainError::new(format!("this escape needs {digits} hexadecimal digits"))
                    .at(Span::new(start, self.at)),
            );
        }
        Ok(u32::from_str_radix(&self.text[from..self.at], 16).unwrap_or(u32::MAX))
    }

    fn character(&self, start: usize, code: u32) -> Result<char, DomainError> {
        char::from_u32(code).filter(|c| *c != '\0').ok_or_else(|| {
            DomainError::new("this escape is no character PostgreSQL can store").at(Span::new(start, self.at))
        })
    }
}

fn underscores_are_separators(number: &str) -> bool {
    let bytes = number.as_bytes();
    bytes.iter().enumerate().all(|(at, byte)| {
        let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
        *byte != b'_' || (digit(at.checked_sub(1)) && digit(Some(at + 1)))
    })
}
