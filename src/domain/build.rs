//! Literals to [`Domain`]: prefix notation, leaves, operators.

use super::ast::{Domain, Leaf, Operator, Spans, Value};
use super::error::{DomainError, Span};
use super::parse::{Limits, Node, NodeKind};

/// Turns literals into a domain, and counts.
pub(super) struct Builder {
    /// Leaves that may still come.
    leaves: usize,
    /// How many operators and sub-domains may stand above each other.
    depth: usize,
}

/// A term and the height of its tree.
type Term = (Domain, usize);

impl Builder {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            leaves: limits.leaves,
            depth: limits.depth,
        }
    }

    /// Reads a literal as a domain: terms in prefix notation, all of them required.
    pub(super) fn domain(&mut self, node: &Node) -> Result<Domain, DomainError> {
        self.terms(node).map(|(domain, _)| domain)
    }

    fn terms(&mut self, node: &Node) -> Result<Term, DomainError> {
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
                NodeKind::List(parts) => self.leaf(parts, item.span)?,
                NodeKind::Expr(expr) => {
                    expr.check()?;
                    return Err(not_a_term(item.span));
                }
                _ => return Err(not_a_term(item.span)),
            };
            stack.push(term);
        }
        stack.reverse();
        let height = stack.iter().map(|(_, height)| *height).max().unwrap_or(0);
        Ok((Domain::and(stack.into_iter().map(|(domain, _)| domain)), height))
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
        self.limited(height, span).map(|height| (term, height))
    }

    fn limited(&self, height: usize, span: Span) -> Result<usize, DomainError> {
        if height > self.depth {
            return Err(
                DomainError::new(format!("more than {} operators stand above each other", self.depth)).at(span),
            );
        }
        Ok(height)
    }

    fn leaf(&mut self, parts: &[Node], span: Span) -> Result<Term, DomainError> {
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
            NodeKind::Int(_) | NodeKind::Bool(_) => return Ok((constant_leaf(path, symbol, value)?, 0)),
            _ => return Err(DomainError::new("a leaf starts with the name of a field").at(path.span)),
        };
        let spans = Spans {
            path: path.span,
            operator: operator.span,
            value: value.span,
        };
        let operator = Operator::parse(symbol).ok_or_else(|| unknown_operator(symbol, operator.span))?;
        let mut height = 0;
        let value = match operator {
            Operator::Any | Operator::NotAny => {
                let NodeKind::List(_) = value.kind else {
                    return Err(DomainError::new(format!("'{operator}' takes a domain: a list")).at(value.span));
                };
                // What it holds stands below whatever stands above this leaf.
                let (domain, below) = self.terms(value)?;
                height = self.limited(below + 1, span)?;
                Value::Domain(Box::new(domain))
            }
            _ => build_value(value)?,
        };
        let leaf = Leaf {
            path: path_text.clone(),
            operator,
            value,
            spans,
        };
        Ok((Domain::Leaf(leaf), height))
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
