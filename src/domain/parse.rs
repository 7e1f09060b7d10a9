//! Text to [`Domain`]: Python literals as Odoo stores them, and JSON.
//!
//! A text that is valid JSON is read as JSON, any other as Python. Nothing is executed; time and memory are bounded by
//! [`Limits`] before anything is built, and recursion by their depth: that of the parser, and that of the tree it builds, which is
//! walked and dropped by recursion too. A chain makes a tree as high as it is long, without any brackets, and chains within brackets
//! add up; hence each node knows its height.

use super::ast::Domain;
use super::build::Builder;
use super::error::{DomainError, Span};
use super::expr::{Arguments, Expr, ExprKind};
use super::lexer::{Dialect, Lexer, Token, TokenKind};

/// How large a domain may be.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of text.
    pub text: usize,
    /// Brackets within brackets, links of a chain, operators and sub-domains below each other.
    pub depth: usize,
    /// Leaves, those of sub-domains included.
    pub leaves: usize,
}

impl Default for Limits {
    /// 256 KiB, 50 deep, 2,000 leaves: far beyond what people write, far below what hurts.
    fn default() -> Self {
        Self {
            text: 256 * 1024,
            depth: 50,
            leaves: 2000,
        }
    }
}

/// Parses a domain within the default limits.
///
/// # Errors
/// A [`DomainError`] with the place: not a domain, not a literal, an unknown operator or name, or too large.
pub fn parse(text: &str) -> Result<Domain, DomainError> {
    parse_within(text, Limits::default())
}

/// Parses a domain within `limits`.
///
/// # Errors
/// As [`parse`].
pub fn parse_within(text: &str, limits: Limits) -> Result<Domain, DomainError> {
    if text.len() > limits.text {
        return Err(DomainError::new(format!(
            "the domain is too long: {} bytes, at most {}",
            text.len(),
            limits.text
        )));
    }
    if let Some(at) = text.find('\0') {
        return Err(DomainError::new("a domain cannot contain a NUL character").at(Span::new(at, at + 1)));
    }
    let is_json = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    let dialect = if is_json { Dialect::Json } else { Dialect::Python };
    let mut parser = Parser::new(text, dialect, limits)?;
    let node = parser.expression()?;
    parser.expect_end()?;
    Builder::new(limits).domain(&node)
}

/// A literal with its place, before it is known to be a domain or a value.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) kind: NodeKind,
    pub(super) span: Span,
    /// Of the tree that it is; one without parts is 0 high.
    height: usize,
}

#[derive(Debug, Clone)]
pub(super) enum NodeKind {
    None,
    Bool(bool),
    Int(i64),
    BigInt(String),
    Float(f64),
    Str(String),
    List(Vec<Node>),
    Expr(Expr),
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    token: Token,
    dialect: Dialect,
    depth: usize,
    limits: Limits,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, dialect: Dialect, limits: Limits) -> Result<Self, DomainError> {
        let mut lexer = Lexer::new(text, dialect);
        let token = lexer.next_token()?;
        Ok(Self {
            lexer,
            token,
            dialect,
            depth: 0,
            limits,
        })
    }

    fn advance(&mut self) -> Result<Token, DomainError> {
        let next = self.lexer.next_token()?;
        Ok(std::mem::replace(&mut self.token, next))
    }

    fn at_symbol(&self, symbol: char) -> bool {
        self.token.kind == TokenKind::Symbol(symbol)
    }

    fn expect_end(&self) -> Result<(), DomainError> {
        match self.token.kind {
            TokenKind::End => Ok(()),
            TokenKind::Symbol('=') => Err(DomainError::new("this is not a domain")
                .at(self.token.span)
                .hint("a comparison is written ('field', 'operator', value)")),
            _ => Err(DomainError::new("the domain should end here").at(self.token.span)),
        }
    }

    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T, DomainError>) -> Result<T, DomainError> {
        if self.depth >= self.limits.depth {
            return Err(DomainError::new(format!(
                "the domain is nested more than {} levels deep",
                self.limits.depth
            ))
            .at(self.token.span));
        }
        self.depth += 1;
        let result = parse(self);
        self.depth -= 1;
        result
    }

    /// Counts the links of a chain that makes no tree.
    fn longer(&self, length: usize) -> Result<usize, DomainError> {
        if length >= self.limits.depth {
            return Err(
                DomainError::new(format!("an expression has more than {} parts", self.limits.depth))
                    .at(self.token.span),
            );
        }
        Ok(length + 1)
    }

    /// The height of what stands upon parts of these heights: a long sum is as high a tree as nested brackets are, and what either
    /// holds is added to it.
    fn above(&self, parts: impl IntoIterator<Item = usize>) -> Result<usize, DomainError> {
        self.longer(parts.into_iter().max().unwrap_or(0))
    }

    /// A value, possibly a sum of dates and deltas.
    fn expression(&mut self) -> Result<Node, DomainError> {
        let mut left = self.postfix()?;
        while self.at_symbol('+') || self.at_symbol('-') {
            let minus = self.at_symbol('-');
            self.advance()?;
            let right = self.postfix()?;
            let span = left.span.to(right.span);
            let height = self.above([left.height, right.height])?;
            let sum = ExprKind::Sum {
                left: Box::new(into_expr(left)?),
                minus,
                right: Box::new(into_expr(right)?),
            };
            left = Node {
                kind: NodeKind::Expr(Expr { kind: sum, span }),
                span,
                height,
            };
        }
        if let TokenKind::Symbol(symbol @ ('*' | '/' | '%' | '<' | '>' | '&' | '|' | '^' | '@')) = self.token.kind {
            return Err(
                DomainError::new(format!("the operator {symbol} cannot be used in a domain")).at(self.token.span),
            );
        }
        Ok(left)
    }

    fn postfix(&mut self) -> Result<Node, DomainError> {
        let mut node = self.primary()?;
        let mut length = 0;
        loop {
            length = self.longer(length)?;
            if self.at_symbol('.') {
                self.advance()?;
                let Token {
                    kind: TokenKind::Name(name),
                    span,
                } = self.advance()?
                else {
                    return Err(DomainError::new("a name should follow the point").at(node.span));
                };
                node = self.attribute(node, name, span)?;
            } else if self.at_symbol('(') {
                let NodeKind::Expr(Expr {
                    kind: ExprKind::Name(name),
                    ..
                }) = node.kind
                else {
                    return Err(DomainError::new("this cannot be called")
                        .at(self.token.span)
                        .hint("a comma may be missing before it"));
                };
                let (arguments, height, end) = self.deeper(Self::arguments)?;
                let span = node.span.to(end);
                node = Node {
                    kind: NodeKind::Expr(Expr {
                        kind: ExprKind::Call(name, arguments),
                        span,
                    }),
                    span,
                    height: self.above([height])?,
                };
            } else if self.at_symbol('[') {
                return Err(DomainError::new("a list cannot stand here")
                    .at(self.token.span)
                    .hint("a comma may be missing"));
            } else {
                return Ok(node);
            }
        }
    }

    fn attribute(&mut self, target: Node, name: String, span: Span) -> Result<Node, DomainError> {
        let whole = target.span.to(span);
        let below = target.height;
        let kind = match target.kind {
            NodeKind::Expr(Expr {
                kind: ExprKind::Name(before),
                ..
            }) => ExprKind::Name(format!("{before}.{name}")),
            NodeKind::Expr(expr) if self.at_symbol('(') => {
                let (arguments, height, end) = self.deeper(Self::arguments)?;
                let span = whole.to(end);
                let kind = ExprKind::Method(Box::new(expr), name, arguments);
                return Ok(Node {
                    kind: NodeKind::Expr(Expr { kind, span }),
                    span,
                    height: self.above([below, height])?,
                });
            }
            _ => return Err(DomainError::new(format!("there is no attribute {name} here")).at(span)),
        };
        Ok(Node {
            kind: NodeKind::Expr(Expr { kind, span: whole }),
            span: whole,
            height: below,
        })
    }

    /// At the opening parenthesis of a call. Also tells the height of the highest one.
    fn arguments(&mut self) -> Result<(Arguments, usize, Span), DomainError> {
        self.advance()?;
        let mut arguments = Arguments::default();
        let mut height = 0;
        loop {
            if self.at_symbol(')') {
                return Ok((arguments, height, self.advance()?.span));
            }
            let node = self.deeper(Self::expression)?;
            height = height.max(node.height);
            if self.at_symbol('=') {
                let NodeKind::Expr(Expr {
                    kind: ExprKind::Name(name),
                    ..
                }) = node.kind
                else {
                    return Err(DomainError::new("an argument's name should stand here").at(node.span));
                };
                self.advance()?;
                let value = self.deeper(Self::expression)?;
                height = height.max(value.height);
                arguments.named.push((name, into_expr(value)?));
            } else {
                arguments.positional.push(into_expr(node)?);
            }
            if self.at_symbol(',') {
                self.advance()?;
            } else if !self.at_symbol(')') {
                return Err(DomainError::new("a comma or a closing parenthesis should stand here").at(self.token.span));
            }
        }
    }

    fn primary(&mut self) -> Result<Node, DomainError> {
        let Token { kind, span } = self.advance()?;
        let kind = match kind {
            TokenKind::Str(text) => return self.joined_string(text, span),
            TokenKind::Int(number) => NodeKind::Int(number),
            TokenKind::BigInt(digits) => NodeKind::BigInt(digits),
            TokenKind::Float(number) => NodeKind::Float(number),
            TokenKind::Symbol('[') => return self.deeper(|parser| parser.list(span, ']')),
            TokenKind::Symbol('(') => return self.deeper(|parser| parser.list(span, ')')),
            TokenKind::Symbol(sign @ ('-' | '+')) => return self.deeper(|parser| parser.signed(sign == '-', span)),
            TokenKind::Symbol('{') => {
                return Err(DomainError::new("a dictionary or a set cannot stand in a domain")
                    .at(span)
                    .hint("use a list"));
            }
            TokenKind::Symbol(symbol) => return Err(DomainError::new(format!("unexpected {symbol}")).at(span)),
            TokenKind::End => {
                return Err(DomainError::new("the domain ends too early")
                    .at(span)
                    .hint("every bracket and parenthesis needs its partner; all records are []"));
            }
            TokenKind::Name(name) => self.name(name, span),
        };
        Ok(Node { kind, span, height: 0 })
    }

    fn name(&self, name: String, span: Span) -> NodeKind {
        match (self.dialect, name.as_str()) {
            (Dialect::Python, "True") | (Dialect::Json, "true") => NodeKind::Bool(true),
            (Dialect::Python, "False") | (Dialect::Json, "false") => NodeKind::Bool(false),
            (Dialect::Python, "None") | (Dialect::Json, "null") => NodeKind::None,
            _ => NodeKind::Expr(Expr {
                kind: ExprKind::Name(name),
                span,
            }),
        }
    }

    /// Python joins strings that stand side by side.
    fn joined_string(&mut self, mut text: String, mut span: Span) -> Result<Node, DomainError> {
        while matches!(self.token.kind, TokenKind::Str(_)) {
            let Token {
                kind: TokenKind::Str(more),
                span: next,
            } = self.advance()?
            else {
                break;
            };
            text.push_str(&more);
            span = span.to(next);
        }
        Ok(Node {
            kind: NodeKind::Str(text),
            span,
            height: 0,
        })
    }

    fn signed(&mut self, minus: bool, sign: Span) -> Result<Node, DomainError> {
        let node = self.postfix()?;
        let span = sign.to(node.span);
        let kind = match (node.kind, minus) {
            (kind @ (NodeKind::Int(_) | NodeKind::BigInt(_) | NodeKind::Float(_)), false) => kind,
            (NodeKind::Int(number), true) => NodeKind::Int(-number),
            (NodeKind::Float(number), true) => NodeKind::Float(-number),
            (NodeKind::BigInt(digits), true) => match digits.strip_prefix('-') {
                Some(positive) => NodeKind::BigInt(positive.to_owned()),
                None if digits == "9223372036854775808" => NodeKind::Int(i64::MIN),
                None => NodeKind::BigInt(format!("-{digits}")),
            },
            _ => return Err(DomainError::new("a sign needs a number").at(span)),
        };
        Ok(Node { kind, span, height: 0 })
    }

    /// After an opening bracket or parenthesis: a list, a tuple, or a value in parentheses.
    fn list(&mut self, open: Span, close: char) -> Result<Node, DomainError> {
        let mut items = Vec::new();
        let mut commas = 0;
        loop {
            if self.at_symbol(close) {
                let span = open.to(self.advance()?.span);
                if close == ')' && items.len() == 1 && commas == 0 {
                    let mut inner: Node = items.remove(0);
                    inner.span = span;
                    return Ok(inner);
                }
                return Ok(Node {
                    height: self.above(items.iter().map(|item| item.height))?,
                    kind: NodeKind::List(items),
                    span,
                });
            }
            if self.token.kind == TokenKind::End {
                return Err(DomainError::new(format!("a closing {close} is missing")).at(open));
            }
            items.push(self.expression()?);
            if self.at_symbol(',') {
                self.advance()?;
                commas += 1;
            } else if !self.at_symbol(close) {
                return Err(self.list_interrupted(open, close));
            }
        }
    }

    fn list_interrupted(&self, open: Span, close: char) -> DomainError {
        match &self.token.kind {
            TokenKind::End => DomainError::new(format!("a closing {close} is missing")).at(open),
            TokenKind::Symbol('=') => DomainError::new("= cannot stand here")
                .at(self.token.span)
                .hint("a comparison is written ('field', 'operator', value)"),
            TokenKind::Name(word)
                if matches!(
                    word.as_str(),
                    "for" | "if" | "and" | "or" | "not" | "in" | "is" | "lambda"
                ) =>
            {
                DomainError::new(format!("Python's {word} cannot be used in a domain")).at(self.token.span)
            }
            _ => DomainError::new(format!("a comma or a closing {close} should stand here")).at(self.token.span),
        }
    }
}

/// A node as part of an expression.
fn into_expr(node: Node) -> Result<Expr, DomainError> {
    let kind = match node.kind {
        NodeKind::Expr(expr) => return Ok(expr),
        NodeKind::Int(number) => ExprKind::Int(number),
        NodeKind::Float(number) => ExprKind::Float(number),
        NodeKind::Str(text) => ExprKind::Str(text),
        _ => return Err(DomainError::new("this cannot be part of an expression").at(node.span)),
    };
    Ok(Expr { kind, span: node.span })
}

#[cfg(test)]
mod tests;
