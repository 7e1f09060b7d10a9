//! The language of payload templates: Jinja with everything taken out that a budget cannot hold.
//!
//! A template comes from a database row. Its instructions are counted by minijinja ("fuel") and its output by us, but neither sees how
//! large a value gets in between: forty lines of `{% set x = x ~ x %}` ask for a terabyte with eighty instructions. So templates
//! have `if` and `for`, no assignments and no macros; `~`, `*` and concatenating loop heads are refused before anything runs; and
//! every filter that makes text pays for it from a budget of bytes.
//!
//! Nor does minijinja see how deep a template is: its parser counts brackets and blocks, but neither signs nor `not`s nor `elif`s, and
//! a chain of operators, filters or attributes makes a tree as deep as it is long, which is compiled and dropped by recursion. So
//! the depth is counted along its own tokens, before it parses them.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::decimal::Decimal;
use jiff::Timestamp;
use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Value, ValueKind};
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, filters, tests as questions};

/// Instructions one rendering may take; the ready-made shapes take a few hundred, a loop over 1,000 order lines some 20,000.
const FUEL: u64 = 50_000;

/// Bytes of text that the filters of one rendering may handle altogether.
const FILTER_BYTES: usize = 16 << 20;

/// What a value can be sent through, as written by people.
const FILTERS: &str = "abs bool date default dictsort first float int items join last length list lower map markdown max min reject \
     rejectattr replace reverse round select selectattr slack sort string sum times tojson trim truncate unique upper";

/// What can be asked of a value after `is`.
const TESTS: &str = "boolean defined eq even ge gt in le lt mapping ne none number odd sequence string undefined";

/// How deep a template may be: blocks within blocks, brackets within brackets, the links of a chain, all added up. The ready-made shapes
/// come to some ten. What the worst of it costs fits into half of a thread's stack, in a build without optimizations too.
const MAX_DEPTH: usize = 100;

/// As what a bracket counts: the parser goes through all levels of precedence for each.
const BRACKET: usize = 4;

/// The filter that puts a value into a JSON string; added by [`prepare`], not written by people.
const INTO_STRING: &str = "__into_string";

/// A statement, an operator or a form that templates do not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    /// Where, counted from 1.
    pub(super) line: usize,
    /// A sentence.
    pub(super) what: String,
}

/// Refuses what templates do not have, and makes `{{ .. }}` inside a JSON string write text rather than JSON.
///
/// Outside of a string a value is written as JSON, so `{"amount": {{ record.amount }}}` gives a number and a text its quotes. Inside,
/// as in `{"text": "Order {{ record.name }}"}`, it is escaped to be a part of that string. The text itself says which of the two
/// a place is; branches of an `if` must not differ in it.
pub(super) fn prepare(source: &str) -> Result<String, Refused> {
    let mut out = String::with_capacity(source.len() + 64);
    let (mut rest, mut in_string, mut escaped, mut additions) = (source, false, false, 0);
    let (mut line, mut counted) = (1, 0);
    while let Some(character) = rest.chars().next() {
        let at = source.len() - rest.len();
        line += source[counted..at].matches('\n').count();
        counted = at;
        if let Some(inner) = rest.strip_prefix("{#") {
            let length = inner.find("#}").map_or(rest.len(), |end| end + 4);
            out.push_str(&rest[..length]);
            rest = &rest[length..];
        } else if rest.starts_with("{{") || rest.starts_with("{%") {
            let tag = Tag::read(rest);
            tag.check(&mut additions).map_err(|what| Refused { line, what })?;
            if in_string && tag.is_expression {
                out.push_str(&tag.wrapped());
            } else {
                out.push_str(&rest[..tag.length]);
            }
            rest = &rest[tag.length..];
        } else {
            if !escaped && character == '"' {
                in_string = !in_string;
            }
            escaped = in_string && character == '\\' && !escaped;
            out.push(character);
            rest = &rest[character.len_utf8()..];
        }
    }
    refuse_depth(&out)?;
    Ok(out)
}

/// What stands between two brackets of a tag, or in the whole of it, as far as it was read.
#[derive(Default)]
struct Bracket {
    /// Operators, brackets and the like since the last comma: so many trees stand upon each other.
    links: usize,
    /// The highest tree in a bracket since the last comma. A chain that goes on behind it stands upon it.
    beneath: usize,
    /// The highest tree before the last comma.
    highest: usize,
}

impl Bracket {
    fn height(&self) -> usize {
        self.highest.max(self.links + self.beneath)
    }
}

/// Refuses a template that is deeper than [`MAX_DEPTH`]. What is not a token is left to the parser, which comes no further either.
fn refuse_depth(source: &str) -> Result<(), Refused> {
    // For each block that is open, itself and the `elif`s in it: each is an `if` in the `else` of the one before.
    let mut blocks: Vec<usize> = Vec::new();
    let mut brackets: Vec<Bracket> = Vec::new();
    let mut is_keyword = false;
    for (token, span) in tokenize(source, false, SyntaxConfig::default()).map_while(Result::ok) {
        let is_first = std::mem::take(&mut is_keyword);
        match token {
            Token::TemplateData(_) => continue,
            Token::VariableStart | Token::BlockStart => {
                is_keyword = matches!(token, Token::BlockStart);
                brackets = vec![Bracket::default()];
            }
            Token::VariableEnd | Token::BlockEnd => brackets.clear(),
            Token::Ident("if" | "for") if is_first => blocks.push(1),
            Token::Ident("elif") if is_first => blocks.iter_mut().last().into_iter().for_each(|links| *links += 1),
            Token::Ident("endif" | "endfor") if is_first => drop(blocks.pop()),
            Token::Comma => {
                if let Some(bracket) = brackets.last_mut() {
                    let highest = bracket.height();
                    *bracket = Bracket {
                        highest,
                        ..Bracket::default()
                    };
                }
            }
            Token::BracketClose | Token::ParenClose | Token::BraceClose => {
                if let Some(closed) = brackets.pop()
                    && let Some(around) = brackets.last_mut()
                {
                    around.beneath = around.beneath.max(closed.height());
                }
            }
            Token::Str(_) | Token::String(_) | Token::Int(_) | Token::Int128(_) | Token::Float(_) => {}
            Token::Ident(word) if !matches!(word, "and" | "or" | "not" | "is" | "in" | "if" | "else") => {}
            Token::BracketOpen | Token::ParenOpen | Token::BraceOpen => {
                brackets
                    .iter_mut()
                    .last()
                    .into_iter()
                    .for_each(|around| around.links += BRACKET);
                brackets.push(Bracket::default());
            }
            _ => brackets
                .iter_mut()
                .last()
                .into_iter()
                .for_each(|bracket| bracket.links += 1),
        }
        let (links, inner) = match brackets.split_last() {
            Some((inner, around)) => (around.iter().map(|bracket| bracket.links).sum(), inner.height()),
            None => (0, 0),
        };
        if blocks.iter().sum::<usize>() + links + inner > MAX_DEPTH {
            return Err(Refused {
                line: span.start_line.into(),
                what: format!("more than {MAX_DEPTH} blocks, brackets and operators stand within or upon each other"),
            });
        }
    }
    Ok(())
}

/// A `{{ .. }}` or `{% .. %}`.
struct Tag<'a> {
    is_expression: bool,
    /// With its delimiters, in bytes; to the end of the source when it is never closed, which the compiler then reports.
    length: usize,
    /// Between the delimiters and their whitespace marks.
    code: &'a str,
    /// The delimiters with their marks: `{{-`, `}}`.
    open: &'a str,
    close: &'a str,
}

impl<'a> Tag<'a> {
    fn read(text: &'a str) -> Self {
        let is_expression = text.starts_with("{{");
        let end = if is_expression { "}}" } else { "%}" };
        let (mut depth, mut quote, mut skip) = (0_usize, None, false);
        let mut length = text.len();
        for (at, c) in text.char_indices().skip(2) {
            if std::mem::take(&mut skip) {
                continue;
            }
            match (quote, c) {
                (Some(_), '\\') => skip = true,
                (Some(open), c) if c == open => quote = None,
                (Some(_), _) => {}
                (None, '"' | '\'') => quote = Some(c),
                (None, _) if depth == 0 && text[at..].starts_with(end) => {
                    length = at + 2;
                    break;
                }
                (None, '{' | '[' | '(') => depth += 1,
                (None, '}' | ']' | ')') => depth = depth.saturating_sub(1),
                (None, _) => {}
            }
        }
        let closed = length >= 4 && text[..length].ends_with(end);
        let marked = |c: Option<&u8>| c.is_some_and(|c| matches!(c, b'-' | b'+'));
        let from = 2 + usize::from(marked(text.as_bytes().get(2)));
        let mut to = if closed { length - 2 } else { length };
        if closed && to > from && marked(text.as_bytes().get(to - 1)) {
            to -= 1;
        }
        let to = to.max(from.min(length));
        Self {
            is_expression,
            length,
            code: &text[from.min(to)..to],
            open: &text[..from.min(to)],
            close: &text[to..length],
        }
    }

    fn wrapped(&self) -> String {
        format!("{} ({})|{INTO_STRING} {}", self.open, self.code, self.close)
    }

    fn check(&self, additions: &mut usize) -> Result<(), String> {
        /// Each adds at most one value's size to another; more of them than anybody writes could still add up.
        const MAX_ADDITIONS: usize = 32;
        let operators = without_strings(self.code);
        let word = operators.split_whitespace().next().unwrap_or_default();
        if !self.is_expression && !matches!(word, "if" | "elif" | "else" | "endif" | "for" | "endfor") {
            return Err(format!("templates have if and for only, not {word:?}"));
        }
        if operators.contains('~') {
            return Err("templates do not have \"~\": write the parts one after the other in the text".into());
        }
        if operators.contains('*') {
            return Err("templates do not have \"*\": use the filter times(number)".into());
        }
        // minijinja would find these only when it meets them, in the first delivery.
        for name in operators.split('|').skip(1).map(first_name) {
            if !FILTERS.split(' ').any(|known| known == name) {
                return Err(format!("there is no filter {name:?}"));
            }
        }
        for asked in operators.split(" is ").skip(1) {
            let name = first_name(asked.trim_start().strip_prefix("not ").unwrap_or(asked));
            if !TESTS.split(' ').any(|known| known == name) {
                return Err(format!("nothing can be asked with \"is {name}\""));
            }
        }
        *additions += operators.matches('+').count();
        if *additions > MAX_ADDITIONS {
            return Err(format!("there are more than {MAX_ADDITIONS} additions"));
        }
        if word == "for" && operators.contains('+') {
            return Err("a for goes over a list as it is: \"+\" is not allowed in its head".into());
        }
        Ok(())
    }
}

/// The name that the code begins with.
fn first_name(code: &str) -> &str {
    let code = code.trim_start();
    &code[..code
        .find(|c: char| !(c.is_alphanumeric() || c == '_'))
        .unwrap_or(code.len())]
}

/// The code with the contents of its string literals blanked out.
fn without_strings(code: &str) -> String {
    let (mut quote, mut skip) = (None, false);
    code.chars()
        .map(|c| match (quote, c) {
            _ if std::mem::take(&mut skip) => ' ',
            (Some(_), '\\') => {
                skip = true;
                ' '
            }
            (Some(open), c) => {
                if c == open {
                    quote = None;
                }
                ' '
            }
            (None, '"' | '\'') => {
                quote = Some(c);
                ' '
            }
            (None, c) => c,
        })
        .collect()
}

type Filtered<T = String> = Result<T, minijinja::Error>;

/// Bytes that the filters of one rendering may still handle.
#[derive(Clone)]
struct Budget(Arc<AtomicUsize>);

impl Budget {
    fn pay(&self, bytes: usize) -> Filtered<()> {
        let paid = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        paid.map(drop)
            .map_err(|_| minijinja::Error::new(ErrorKind::OutOfFuel, "the template makes too much text"))
    }
}

/// An environment for one rendering: its budget is spent with it.
pub(super) fn environment() -> Environment<'static> {
    let budget = Budget(Arc::new(AtomicUsize::new(FILTER_BYTES)));
    let mut env = Environment::empty();
    env.set_fuel(Some(FUEL));
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_auto_escape_callback(|_| AutoEscape::Json);
    env.set_recursion_limit(50);
    add_plain_filters(&mut env);
    add_text_filters(&mut env, &budget);
    add_tests(&mut env);
    env
}

/// Filters whose results are no larger than their input.
fn add_plain_filters(env: &mut Environment<'static>) {
    env.add_filter("abs", filters::abs);
    env.add_filter("bool", filters::bool);
    env.add_filter("default", filters::default);
    env.add_filter("dictsort", filters::dictsort);
    env.add_filter("first", filters::first);
    env.add_filter("float", filters::float);
    env.add_filter("int", filters::int);
    env.add_filter("items", filters::items);
    env.add_filter("last", filters::last);
    env.add_filter("length", filters::length);
    env.add_filter("list", filters::list);
    env.add_filter("map", filters::map);
    env.add_filter("max", filters::max);
    env.add_filter("min", filters::min);
    env.add_filter("reject", filters::reject);
    env.add_filter("rejectattr", filters::rejectattr);
    env.add_filter("reverse", filters::reverse);
    env.add_filter("round", filters::round);
    env.add_filter("select", filters::select);
    env.add_filter("selectattr", filters::selectattr);
    env.add_filter("sort", filters::sort);
    env.add_filter("sum", filters::sum);
    env.add_filter("unique", filters::unique);
    env.add_filter("times", |value: Value, factor: Value| -> Filtered<Value> {
        let product = decimal_of(&value)
            .zip(decimal_of(&factor))
            .map(|(value, factor)| value.times(&factor));
        let product =
            product.ok_or_else(|| minijinja::Error::new(ErrorKind::InvalidOperation, "times is for numbers"))?;
        let are_whole = value.is_integer() && factor.is_integer();
        let whole = are_whole.then(|| product.to_string().parse::<i128>().ok()).flatten();
        Ok(whole.map_or_else(|| Value::from(product.nearest_double()), Value::from))
    });
    env.add_filter("date", |value: Cow<'_, str>, format: Cow<'_, str>| {
        format_date(&value, &format)
    });
}

/// Filters that make text; each pays for what it reads and writes.
/// A number's digits.
fn decimal_of(value: &Value) -> Option<Decimal> {
    if value.is_integer() {
        return Decimal::parse(&i128::try_from(value.clone()).ok()?.to_string());
    }
    Decimal::of_double(f64::try_from(value.clone()).ok()?)
}

fn add_text_filters(env: &mut Environment<'static>, budget: &Budget) {
    let paying = |make: fn(&str) -> String| {
        let budget = budget.clone();
        move |text: Cow<'_, str>| -> Filtered {
            budget.pay(text.len())?;
            let made = make(&text);
            budget.pay(made.len()).map(|()| made)
        }
    };
    env.add_filter("upper", paying(str::to_uppercase));
    env.add_filter("lower", paying(str::to_lowercase));
    env.add_filter("trim", paying(|text| text.trim().to_owned()));
    env.add_filter("markdown", paying(super::chat::escape_markdown));
    env.add_filter(
        "slack",
        paying(|text| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")),
    );

    let purse = budget.clone();
    env.add_filter(
        "replace",
        move |text: Cow<'_, str>, from: Cow<'_, str>, to: Cow<'_, str>| -> Filtered {
            // Paid before it is made: an empty `from` matches between all characters.
            purse.pay(text.len() + text.matches(&*from).count().saturating_mul(to.len()))?;
            Ok(text.replace(&*from, &to))
        },
    );
    let purse = budget.clone();
    env.add_filter("truncate", move |text: Cow<'_, str>, length: usize| -> Filtered {
        purse.pay(text.len())?;
        if text.chars().count() <= length {
            return Ok(text.into_owned());
        }
        Ok(text.chars().take(length.saturating_sub(1)).chain(['…']).collect())
    });
    let purse = budget.clone();
    env.add_filter(
        "join",
        move |list: Value, separator: Option<Cow<'_, str>>| -> Filtered {
            let mut joined = String::new();
            for (index, item) in list.try_iter()?.checked().enumerate() {
                let item = item?;
                let item = text_of(&item, &purse)?;
                let separator = if index == 0 {
                    ""
                } else {
                    separator.as_deref().unwrap_or_default()
                };
                purse.pay(item.len() + separator.len())?;
                joined.push_str(separator);
                joined.push_str(&item);
            }
            Ok(joined)
        },
    );
    let purse = budget.clone();
    env.add_filter("string", move |value: Value| {
        text_of(&value, &purse).map(Cow::into_owned)
    });
    let purse = budget.clone();
    env.add_filter("tojson", move |value: Value| -> Filtered { json_of(&value, &purse) });
    let purse = budget.clone();
    env.add_filter(INTO_STRING, move |value: Value| -> Filtered<Value> {
        let quoted = json_of(&Value::from(text_of(&value, &purse)?.into_owned()), &purse)?;
        Ok(Value::from_safe_string(quoted[1..quoted.len() - 1].to_owned()))
    });
}

fn add_tests(env: &mut Environment<'static>) {
    env.add_test("defined", |value: &Value| !value.is_undefined());
    env.add_test("undefined", |value: &Value| value.is_undefined());
    env.add_test("none", |value: &Value| value.is_none());
    env.add_test("boolean", questions::is_boolean);
    env.add_test("number", questions::is_number);
    env.add_test("string", questions::is_string);
    env.add_test("sequence", questions::is_sequence);
    env.add_test("mapping", questions::is_mapping);
    env.add_test("odd", questions::is_odd);
    env.add_test("even", questions::is_even);
    env.add_test("eq", questions::is_eq);
    env.add_test("ne", questions::is_ne);
    env.add_test("lt", questions::is_lt);
    env.add_test("le", questions::is_le);
    env.add_test("gt", questions::is_gt);
    env.add_test("ge", questions::is_ge);
    env.add_test("in", questions::is_in);
}

/// A value as a part of a text: nothing for none, JSON for lists and objects.
fn text_of<'a>(value: &'a Value, budget: &Budget) -> Filtered<Cow<'a, str>> {
    if let Some(text) = value.as_str() {
        return Ok(text.into());
    }
    match value.kind() {
        ValueKind::Undefined => Err(ErrorKind::UndefinedError.into()),
        ValueKind::None => Ok("".into()),
        _ => json_of(value, budget).map(Into::into),
    }
}

fn json_of(value: &Value, budget: &Budget) -> Filtered {
    let made = serde_json::to_string(value).map_err(|error| {
        minijinja::Error::new(ErrorKind::BadSerialization, "the value is not JSON").with_source(error)
    })?;
    budget.pay(made.len()).map(|()| made)
}

/// Formats a date (`2026-11-20`) or a time (`2026-11-20 12:00:00`, `2026-11-20T12:00:00.123456Z`), both UTC as Odoo stores them.
pub(super) fn format_date(text: &str, format: &str) -> Filtered {
    let wrong = |what: &str| minijinja::Error::new(ErrorKind::InvalidOperation, what.to_owned());
    let read = text.parse::<jiff::civil::DateTime>().or_else(|_| {
        text.parse::<Timestamp>()
            .map(|timestamp| timestamp.to_zoned(jiff::tz::TimeZone::UTC).datetime())
    });
    let at = read.map_err(|_| wrong("date is for dates and times"))?;
    jiff::fmt::strtime::format(format, at).map_err(|_| wrong("the format of date cannot be read"))
}

#[cfg(test)]
#[path = "sandbox_tests.rs"]
mod tests;
