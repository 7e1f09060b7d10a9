//! Text to [`Domain`]: Python literals as Odoo stores them, and JSON.
//!
//! A text that is valid JSON is read as JSON, any other as Python. Nothing is executed; time and memory are bounded by
//! [`Limits`] before anything is built, and recursion by their depth.

use super::ast::{Domain, Leaf, Operator, Spans, Value};
use super::error::{DomainError, Span};
use super::expr::{Arguments, Expr, ExprKind};
use super::lexer::{Dialect, Lexer, Token, TokenKind};

/// How large a domain may be.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of text.
    pub text: usize,
    /// Brackets within brackets.
    pub depth: usize,
    /// Leaves, those of sub-domains included.
    pub leaves: usize,
}

impl Default for Limits {
    /// 256 KiB, 100 brackets deep, 2,000 leaves: far beyond what people write, far below what hurts.
    fn default() -> Self {
        Self {
            text: 256 * 1024,
            depth: 100,
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
    let is_json = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    let dialect = if is_json { Dialect::Json } else { Dialect::Python };
    let mut parser = Parser::new(text, dialect, limits)?;
    let node = parser.expression()?;
    parser.expect_end()?;
    let mut builder = Builder {
        leaves: limits.leaves,
        depth: limits.depth,
    };
    builder.domain(&node)
}

/// A literal with its place, before it is known to be a domain or a value.
#[derive(Debug, Clone)]
struct Node {
    kind: NodeKind,
    span: Span,
}

#[derive(Debug, Clone)]
enum NodeKind {
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

    /// Counts the links of a chain: a long sum is as deep a tree as nested brackets are.
    fn longer(&self, length: usize) -> Result<usize, DomainError> {
        if length >= self.limits.depth {
            return Err(
                DomainError::new(format!("an expression has more than {} parts", self.limits.depth))
                    .at(self.token.span),
            );
        }
        Ok(length + 1)
    }

    /// A value, possibly a sum of dates and deltas.
    fn expression(&mut self) -> Result<Node, DomainError> {
        let mut left = self.postfix()?;
        let mut length = 0;
        while self.at_symbol('+') || self.at_symbol('-') {
            length = self.longer(length)?;
            let minus = self.at_symbol('-');
            self.advance()?;
            let right = self.postfix()?;
            let span = left.span.to(right.span);
            let sum = ExprKind::Sum {
                left: Box::new(into_expr(left)?),
                minus,
                right: Box::new(into_expr(right)?),
            };
            left = Node {
                kind: NodeKind::Expr(Expr { kind: sum, span }),
                span,
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
                let (arguments, end) = self.deeper(Self::arguments)?;
                let span = node.span.to(end);
                node = Node {
                    kind: NodeKind::Expr(Expr {
                        kind: ExprKind::Call(name, arguments),
                        span,
                    }),
                    span,
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
        let kind = match target.kind {
            NodeKind::Expr(Expr {
                kind: ExprKind::Name(before),
                ..
            }) => ExprKind::Name(format!("{before}.{name}")),
            NodeKind::Expr(expr) if self.at_symbol('(') => {
                let (arguments, end) = self.deeper(Self::arguments)?;
                let span = whole.to(end);
                let kind = ExprKind::Method(Box::new(expr), name, arguments);
                return Ok(Node {
                    kind: NodeKind::Expr(Expr { kind, span }),
                    span,
                });
            }
            _ => return Err(DomainError::new(format!("there is no attribute {name} here")).at(span)),
        };
        Ok(Node {
            kind: NodeKind::Expr(Expr { kind, span: whole }),
            span: whole,
        })
    }

    /// At the opening parenthesis of a call.
    fn arguments(&mut self) -> Result<(Arguments, Span), DomainError> {
        self.advance()?;
        let mut arguments = Arguments::default();
        loop {
            if self.at_symbol(')') {
                return Ok((arguments, self.advance()?.span));
            }
            let node = self.deeper(Self::expression)?;
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
        Ok(Node { kind, span })
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
        Ok(Node { kind, span })
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

/// Turns literals into a domain, and counts.
struct Builder {
    /// Leaves that may still come.
    leaves: usize,
    /// How many operators may stand above each other.
    depth: usize,
}

/// A term and the height of its tree.
type Term = (Domain, usize);

impl Builder {
    /// Reads a literal as a domain: terms in prefix notation, all of them required.
    fn domain(&mut self, node: &Node) -> Result<Domain, DomainError> {
        let NodeKind::List(items) = &node.kind else {
            let error = DomainError::new("a domain is a list").at(node.span);
            return Err(match &node.kind {
                NodeKind::Expr(expr) => expr.check().err().unwrap_or(error).at(node.span),
                _ => error.hint("write [('field', 'operator', value)]"),
            });
        };
        // Prefix notation is read from its end, as Odoo does; each operator takes what stands right of it.
        let mut stack: Vec<Term> = Vec::new();
        for item in items.iter().rev() {
            let term = match &item.kind {
                NodeKind::Str(symbol) => self.combine(symbol, &mut stack, item.span)?,
                NodeKind::List(parts) => (self.leaf(parts, item.span)?, 0),
                NodeKind::Expr(expr) => {
                    expr.check()?;
                    return Err(not_a_term(item.span));
                }
                _ => return Err(not_a_term(item.span)),
            };
            stack.push(term);
        }
        stack.reverse();
        Ok(Domain::and(stack.into_iter().map(|(domain, _)| domain)))
    }

    fn combine(&self, symbol: &str, stack: &mut Vec<Term>, span: Span) -> Result<Term, DomainError> {
        let mut operand = || {
            stack.pop().ok_or_else(|| {
                let needs = if symbol == "!" { "one term" } else { "two terms" };
                DomainError::new(format!("'{symbol}' needs {needs} to its right")).at(span)
            })
        };
        let (term, height) = match symbol {
            "!" => {
                let (inner, height) = operand()?;
                (Domain::Not(Box::new(inner)), height + 1)
            }
            "&" | "|" => {
                let ((left, left_height), (right, right_height)) = (operand()?, operand()?);
                let is_and = symbol == "&";
                // A chain of one operator is one flat node, however long.
                let above = |term: &Domain, height: usize| match term {
                    Domain::And(_) if is_and => height,
                    Domain::Or(_) if !is_and => height,
                    _ => height + 1,
                };
                let height = above(&left, left_height).max(above(&right, right_height));
                (
                    if is_and {
                        Domain::and([left, right])
                    } else {
                        Domain::or([left, right])
                    },
                    height,
                )
            }
            _ => {
                let shown: String = symbol.chars().take(40).collect();
                let error =
                    DomainError::new(format!("'{shown}' is neither a leaf nor one of '&', '|' and '!'")).at(span);
                return Err(error.hint("a leaf is written ('field', 'operator', value)"));
            }
        };
        if height > self.depth {
            return Err(
                DomainError::new(format!("more than {} operators stand above each other", self.depth)).at(span),
            );
        }
        Ok((term, height))
    }

    fn leaf(&mut self, parts: &[Node], span: Span) -> Result<Domain, DomainError> {
        self.leaves = self
            .leaves
            .checked_sub(1)
            .ok_or_else(|| DomainError::new("the domain has too many leaves").at(span))?;
        let [path, operator, value] = parts else {
            let nested = parts
                .first()
                .is_some_and(|first| matches!(first.kind, NodeKind::List(_)));
            let hint = if nested {
                "domains are not nested: use '&' and '|'"
            } else {
                "write ('field', 'operator', value)"
            };
            return Err(
                DomainError::new(format!("a leaf has three parts, this has {}", parts.len()))
                    .at(span)
                    .hint(hint),
            );
        };
        let NodeKind::Str(symbol) = &operator.kind else {
            return Err(DomainError::new("the operator of a leaf is a string").at(operator.span));
        };
        let path_text = match &path.kind {
            NodeKind::Str(text) => text,
            NodeKind::Int(_) | NodeKind::Bool(_) => return constant_leaf(path, symbol, value),
            _ => return Err(DomainError::new("a leaf starts with the name of a field").at(path.span)),
        };
        let spans = Spans {
            path: path.span,
            operator: operator.span,
            value: value.span,
        };
        let operator = Operator::parse(symbol).ok_or_else(|| unknown_operator(symbol, operator.span))?;
        let value = match operator {
            Operator::Any | Operator::NotAny => {
                let NodeKind::List(_) = value.kind else {
                    return Err(DomainError::new(format!("'{operator}' takes a domain: a list")).at(value.span));
                };
                Value::Domain(Box::new(self.domain(value)?))
            }
            _ => build_value(value)?,
        };
        Ok(Domain::Leaf(Leaf {
            path: path_text.clone(),
            operator,
            value,
            spans,
        }))
    }
}

fn not_a_term(span: Span) -> DomainError {
    DomainError::new("a domain holds leaves and the operators '&', '|' and '!'")
        .at(span)
        .hint("a leaf is written ('field', 'operator', value)")
}

/// `(1, '=', 1)` and `(0, '=', 1)`; Python takes `True` and `False` for 1 and 0.
fn constant_leaf(left: &Node, symbol: &str, right: &Node) -> Result<Domain, DomainError> {
    let number = |node: &Node| match node.kind {
        NodeKind::Int(number) => Some(number),
        NodeKind::Bool(value) => Some(i64::from(value)),
        _ => None,
    };
    match (number(left), symbol, number(right)) {
        (Some(1), "=", Some(1)) => Ok(Domain::Const(true)),
        (Some(0), "=", Some(1)) => Ok(Domain::Const(false)),
        _ => Err(DomainError::new("a leaf starts with the name of a field")
            .at(left.span)
            .hint("the only leaves without one are (1, '=', 1) and (0, '=', 1)")),
    }
}

fn unknown_operator(symbol: &str, span: Span) -> DomainError {
    let shown: String = symbol.chars().take(40).collect();
    let error = DomainError::new(format!("unknown operator '{shown}'")).at(span);
    let lower = symbol.to_lowercase();
    match symbol {
        "==" | "===" | "is" => error.hint("write '='"),
        "!like" => error.hint("write 'not like'"),
        _ if Operator::parse(&lower).is_some() => error.hint(format!("operators are written in lower case: '{lower}'")),
        _ => {
            let known: Vec<&str> = Operator::ALL.iter().map(|(_, symbol)| *symbol).collect();
            error.hint(format!("the operators are {}", known.join(" ")))
        }
    }
}

fn build_value(node: &Node) -> Result<Value, DomainError> {
    Ok(match &node.kind {
        NodeKind::None => Value::None,
        NodeKind::Bool(value) => Value::Bool(*value),
        NodeKind::Int(number) => Value::Int(*number),
        NodeKind::BigInt(digits) => Value::BigInt(digits.clone()),
        NodeKind::Float(number) => Value::Float(*number),
        NodeKind::Str(text) => Value::Str(text.clone()),
        NodeKind::List(items) => Value::List(items.iter().map(build_value).collect::<Result<_, _>>()?),
        NodeKind::Expr(expr) => {
            expr.check()?;
            Value::Expr(expr.clone())
        }
    })
}

#[cfg(test)]
mod tests;
