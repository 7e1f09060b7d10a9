//! The few expressions Odoo allows in stored filters, as a closed grammar: `uid`, `user.id`, `context_today()`, dates and
//! what is added to them.
//!
//! Nothing is executed. An expression is names, calls, `+` and `-`; every name and every argument must be in the tables of
//! this file, and what is not is refused by name. The clock is an argument ([`Clock`]): a filter is evaluated when it is used.

use std::fmt;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};

use super::ast::{Quoted, python_float};
use super::error::{DomainError, Span};

/// An expression as written.
#[derive(Debug, Clone)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where it stands.
    pub span: Span,
}

/// A place is no part of the meaning.
impl PartialEq for Expr {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

/// The forms an expression can have.
#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    /// A dotted name: `user.id`.
    Name(String),
    /// A call of a dotted name.
    Call(String, Arguments),
    /// A method of a value: `context_today().strftime('%Y')`.
    Method(Box<Expr>, String, Arguments),
    /// `left + right`, or `left - right`.
    Sum {
        /// The left side.
        left: Box<Expr>,
        /// True for `-`.
        minus: bool,
        /// The right side.
        right: Box<Expr>,
    },
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// Text.
    Str(String),
}

/// What a call is given.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Arguments {
    /// By position.
    pub positional: Vec<Expr>,
    /// By name.
    pub named: Vec<(String, Expr)>,
}

/// When and for whom an expression is evaluated.
#[derive(Debug, Clone)]
pub struct Clock {
    /// The moment.
    pub now: Timestamp,
    /// The time zone of the user: what day `context_today()` is.
    pub zone: TimeZone,
    /// The user, where there is one.
    pub uid: Option<i32>,
    /// The user's company.
    pub company: i32,
}

/// What an expression comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// Text.
    Str(String),
    /// Several whole numbers.
    Ints(Vec<i64>),
    /// A day.
    Date(Date),
    /// A moment: in UTC, or (`local`) on the user's clock.
    DateTime {
        /// The time.
        at: DateTime,
        /// On the user's clock rather than in UTC.
        local: bool,
    },
    /// A time of day.
    Time(Time),
    /// A fixed length of time.
    Duration(SignedDuration),
    /// A calendar change.
    Relative(Relative),
}

/// `relativedelta(..)`: fields to set, then amounts to add.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Relative {
    set: Vec<(&'static str, i64)>,
    add: Vec<(&'static str, i64)>,
    weekday: Option<i8>,
}

/// Every name that can be used, for the hint of a refusal.
pub const KNOWN_NAMES: &str = "uid, user.id, company_id, company_ids, context_today(), current_date, time.strftime(..), datetime.date, \
     datetime.datetime, datetime.time, datetime.timedelta and relativedelta";

impl Expr {
    /// Evaluates it.
    ///
    /// # Errors
    /// A name that is not in the grammar, an argument of the wrong kind, a date out of range, or `uid` without a user.
    pub fn evaluate(&self, clock: &Clock) -> Result<Outcome, DomainError> {
        self.evaluate_kind(clock).map_err(|error| error.at(self.span))
    }

    fn evaluate_kind(&self, clock: &Clock) -> Result<Outcome, DomainError> {
        match &self.kind {
            ExprKind::Int(number) => Ok(Outcome::Int(*number)),
            ExprKind::Float(number) => Ok(Outcome::Float(*number)),
            ExprKind::Str(text) => Ok(Outcome::Str(text.clone())),
            ExprKind::Name(name) => evaluate_name(name, clock),
            ExprKind::Call(name, arguments) => evaluate_call(name, arguments, clock),
            ExprKind::Method(target, name, arguments) => {
                let target = target.evaluate(clock)?;
                evaluate_method(target, name, arguments, clock)
            }
            ExprKind::Sum { left, minus, right } => add(left.evaluate(clock)?, right.evaluate(clock)?, *minus),
        }
    }

    /// Whether what it comes to changes as time goes by.
    pub fn depends_on_time(&self) -> bool {
        match &self.kind {
            ExprKind::Name(name) => name == "current_date",
            ExprKind::Int(_) | ExprKind::Float(_) | ExprKind::Str(_) => false,
            ExprKind::Call(..) | ExprKind::Method(..) | ExprKind::Sum { .. } => true,
        }
    }

    /// Refuses what is outside the grammar, without a clock at hand.
    ///
    /// # Errors
    /// As [`Expr::evaluate`], but for a missing user.
    pub fn check(&self) -> Result<(), DomainError> {
        let sample = Clock {
            now: Timestamp::UNIX_EPOCH,
            zone: TimeZone::UTC,
            uid: Some(1),
            company: 1,
        };
        self.evaluate(&sample).map(|_| ())
    }
}

fn evaluate_name(name: &str, clock: &Clock) -> Result<Outcome, DomainError> {
    match name {
        "uid" | "user.id" => clock.uid.map(|uid| Outcome::Int(uid.into())).ok_or_else(|| {
            DomainError::new(format!("{name} needs a user, and there is none here"))
                .hint("give the user, or write the id itself")
        }),
        "company_id" | "user.company_id.id" => Ok(Outcome::Int(clock.company.into())),
        "company_ids" | "allowed_company_ids" => Ok(Outcome::Ints(vec![clock.company.into()])),
        "current_date" => Ok(Outcome::Str(today(clock).strftime("%Y-%m-%d").to_string())),
        _ => Err(unknown(name)),
    }
}

fn unknown(name: &str) -> DomainError {
    let shown: String = name.chars().take(60).collect();
    let error = DomainError::new(format!("the name {shown} is not known in a domain"));
    match name {
        "true" | "false" => error.hint("Python writes True and False; JSON needs double quotes and no parentheses"),
        "null" => error.hint("Python writes None; JSON needs double quotes and no parentheses"),
        _ => error.hint(format!(
            "text goes between quotes; the names that can be used are {KNOWN_NAMES}"
        )),
    }
}

fn today(clock: &Clock) -> Date {
    clock.now.to_zoned(clock.zone.clone()).date()
}

fn utc_now(clock: &Clock) -> DateTime {
    clock.now.to_zoned(TimeZone::UTC).datetime()
}

fn evaluate_call(name: &str, arguments: &Arguments, clock: &Clock) -> Result<Outcome, DomainError> {
    let given = |wanted: &[&'static str]| numbers(arguments, wanted, clock);
    match name {
        "context_today" => arguments.expect_none().map(|()| Outcome::Date(today(clock))),
        // The server's own day and time are UTC's: that is what Odoo runs in.
        "datetime.date.today" => arguments.expect_none().map(|()| Outcome::Date(utc_now(clock).date())),
        "datetime.datetime.now" | "datetime.datetime.utcnow" | "datetime.datetime.today" => {
            arguments.expect_none().map(|()| Outcome::DateTime {
                at: utc_now(clock),
                local: false,
            })
        }
        "time.strftime" => match &arguments.evaluate_positional(clock)?[..] {
            [Outcome::Str(format)] if arguments.named.is_empty() => strftime(utc_now(clock), format),
            _ => Err(DomainError::new("time.strftime takes one format")),
        },
        "datetime.datetime.combine" => match &arguments.evaluate_positional(clock)?[..] {
            [Outcome::Date(day), Outcome::Time(time)] if arguments.named.is_empty() => Ok(Outcome::DateTime {
                at: day.to_datetime(*time),
                local: true,
            }),
            _ => Err(DomainError::new("datetime.datetime.combine takes a date and a time")),
        },
        "datetime.date" => given(&["year", "month", "day"])
            .and_then(|n| civil_date(n[0], n[1], n[2]))
            .map(Outcome::Date),
        "datetime.time" => given(&["hour", "minute", "second"])
            .and_then(|n| civil_time(n[0], n[1], n[2]))
            .map(Outcome::Time),
        "datetime.datetime" => {
            let n = given(&["year", "month", "day", "hour", "minute", "second"])?;
            let at = civil_date(n[0], n[1], n[2])?.to_datetime(civil_time(n[3], n[4], n[5])?);
            Ok(Outcome::DateTime { at, local: true })
        }
        "datetime.timedelta" | "timedelta" => {
            // In Python's own order of positional arguments.
            let n = given(&[
                "days",
                "seconds",
                "microseconds",
                "milliseconds",
                "minutes",
                "hours",
                "weeks",
            ])?;
            let seconds = i128::from(n[0]) * 86_400
                + i128::from(n[1])
                + i128::from(n[4]) * 60
                + i128::from(n[5]) * 3600
                + i128::from(n[6]) * 604_800;
            let micros = seconds * 1_000_000 + i128::from(n[2]) + i128::from(n[3]) * 1000;
            i64::try_from(micros)
                .map(|micros| Outcome::Duration(SignedDuration::from_micros(micros)))
                .map_err(|_| DomainError::new("the timedelta is too long"))
        }
        "relativedelta" | "dateutil.relativedelta.relativedelta" => {
            relativedelta(arguments, clock).map(Outcome::Relative)
        }
        _ => Err(unknown(name)),
    }
}

impl Arguments {
    fn expect_none(&self) -> Result<(), DomainError> {
        if self.positional.is_empty() && self.named.is_empty() {
            return Ok(());
        }
        Err(DomainError::new("this takes no arguments"))
    }

    fn evaluate_positional(&self, clock: &Clock) -> Result<Vec<Outcome>, DomainError> {
        self.positional
            .iter()
            .map(|argument| argument.evaluate(clock))
            .collect()
    }
}

/// Whole numbers by position or by name, in the order of `wanted`; 0 where not given.
fn numbers(arguments: &Arguments, wanted: &[&'static str], clock: &Clock) -> Result<Vec<i64>, DomainError> {
    let mut values = vec![0; wanted.len()];
    if arguments.positional.len() > wanted.len() {
        return Err(DomainError::new(format!(
            "this takes at most {} arguments",
            wanted.len()
        )));
    }
    let by_position = arguments.positional.iter().enumerate();
    let by_name = arguments.named.iter().map(|(name, argument)| {
        let slot = wanted.iter().position(|wanted| wanted == name);
        slot.map(|slot| (slot, argument))
            .ok_or_else(|| unknown_argument(name).at(argument.span))
    });
    for (slot, argument) in by_name.collect::<Result<Vec<_>, _>>()?.into_iter().chain(by_position) {
        match argument.evaluate(clock)? {
            Outcome::Int(number) => values[slot] = number,
            _ => return Err(DomainError::new("a whole number is needed here").at(argument.span)),
        }
    }
    Ok(values)
}

fn unknown_argument(name: &str) -> DomainError {
    DomainError::new(format!("there is no argument {name} here"))
}

fn out_of_range<E>(_: E) -> DomainError {
    DomainError::new("the date or time is out of range")
}

fn civil_date(year: i64, month: i64, day: i64) -> Result<Date, DomainError> {
    let year = i16::try_from(year).ok().filter(|year| (1..=9999).contains(year));
    let (month, day) = (i8::try_from(month).unwrap_or(-1), i8::try_from(day).unwrap_or(-1));
    Date::new(year.ok_or_else(|| out_of_range(()))?, month, day).map_err(out_of_range)
}

fn civil_time(hour: i64, minute: i64, second: i64) -> Result<Time, DomainError> {
    let part = |number: i64| i8::try_from(number).unwrap_or(-1);
    Time::new(part(hour), part(minute), part(second), 0).map_err(out_of_range)
}

/// The names of a relativedelta: those that add, and those that set.
const ADD: [&str; 7] = ["years", "months", "weeks", "days", "hours", "minutes", "seconds"];
const SET: [&str; 6] = ["year", "month", "day", "hour", "minute", "second"];

fn relativedelta(arguments: &Arguments, clock: &Clock) -> Result<Relative, DomainError> {
    if let Some(first) = arguments.positional.first() {
        return Err(DomainError::new("relativedelta takes named arguments only").at(first.span));
    }
    let mut relative = Relative::default();
    for (name, argument) in &arguments.named {
        let Outcome::Int(number) = argument.evaluate(clock)? else {
            return Err(DomainError::new("a whole number is needed here").at(argument.span));
        };
        if let Some(unit) = ADD.iter().find(|unit| *unit == name) {
            relative.add.push((unit, number));
        } else if let Some(unit) = SET.iter().find(|unit| *unit == name) {
            relative.set.push((unit, number));
        } else if name == "weekday" && (0..7).contains(&number) {
            relative.weekday = i8::try_from(number).ok();
        } else {
            return Err(unknown_argument(name).at(argument.span));
        }
    }
    Ok(relative)
}

impl Relative {
    /// As dateutil does it: years and months are set and added, the day is set and cut to the month's length, the rest is
    /// added, and the weekday sought last.
    fn apply(&self, at: DateTime, minus: bool) -> Result<DateTime, DomainError> {
        let mut fields = [
            i64::from(at.year()),
            at.month().into(),
            at.day().into(),
            at.hour().into(),
            at.minute().into(),
            at.second().into(),
        ];
        for (unit, number) in &self.set {
            if let Some(slot) = SET.iter().position(|name| name == unit) {
                fields[slot] = *number;
            }
        }
        let total = |unit: &str| -> Result<i64, DomainError> {
            let mut parts = self
                .add
                .iter()
                .filter(|(name, _)| *name == unit)
                .map(|(_, number)| *number);
            let sum = parts
                .try_fold(0i64, i64::checked_add)
                .filter(|sum| sum.abs() < 1_000_000_000_000);
            sum.map(|sum| if minus { -sum } else { sum })
                .ok_or_else(|| out_of_range(()))
        };
        let months = (fields[0] + total("years")?) * 12 + fields[1] - 1 + total("months")?;
        let first = civil_date(months.div_euclid(12), months.rem_euclid(12) + 1, 1)?;
        let day = fields[2].min(first.days_in_month().into());
        let time = civil_time(fields[3], fields[4], fields[5])?
            .with()
            .subsec_nanosecond(at.subsec_nanosecond())
            .build();
        let mut result =
            civil_date(first.year().into(), first.month().into(), day)?.to_datetime(time.map_err(out_of_range)?);
        let days = total("weeks")? * 7 + total("days")?;
        let seconds = days * 86_400 + total("hours")? * 3600 + total("minutes")? * 60 + total("seconds")?;
        result = result
            .checked_add(SignedDuration::from_secs(seconds))
            .map_err(out_of_range)?;
        if let Some(weekday) = self.weekday {
            let ahead = (i64::from(weekday) - i64::from(result.weekday().to_monday_zero_offset())).rem_euclid(7);
            result = result.checked_add(ahead.days()).map_err(out_of_range)?;
        }
        Ok(result)
    }
}

fn add(left: Outcome, right: Outcome, minus: bool) -> Result<Outcome, DomainError> {
    let signed = |duration: SignedDuration| if minus { -duration } else { duration };
    match (left, right) {
        (Outcome::Date(day), Outcome::Duration(duration)) => {
            // A date takes a timedelta's whole days, rounded down.
            let days = signed(duration).as_secs().div_euclid(86_400);
            day.checked_add(days.days()).map(Outcome::Date).map_err(out_of_range)
        }
        (Outcome::Date(day), Outcome::Relative(relative)) => {
            let moved = relative.apply(day.to_datetime(Time::midnight()), minus)?;
            Ok(Outcome::Date(moved.date()))
        }
        (Outcome::DateTime { at, local }, Outcome::Duration(duration)) => {
            let at = at.checked_add(signed(duration)).map_err(out_of_range)?;
            Ok(Outcome::DateTime { at, local })
        }
        (Outcome::DateTime { at, local }, Outcome::Relative(relative)) => Ok(Outcome::DateTime {
            at: relative.apply(at, minus)?,
            local,
        }),
        _ => Err(DomainError::new(
            "only a timedelta or a relativedelta can be added, and only to a date or a datetime",
        )),
    }
}

fn evaluate_method(target: Outcome, name: &str, arguments: &Arguments, clock: &Clock) -> Result<Outcome, DomainError> {
    match (target, name) {
        (Outcome::Date(day), "strftime") => strftime(day.to_datetime(Time::midnight()), &format_of(arguments, clock)?),
        (Outcome::DateTime { at, .. }, "strftime") => strftime(at, &format_of(arguments, clock)?),
        (Outcome::DateTime { at, .. }, "date") => arguments.expect_none().map(|()| Outcome::Date(at.date())),
        (Outcome::DateTime { at, local: false }, "to_utc") => {
            arguments.expect_none().map(|()| Outcome::DateTime { at, local: false })
        }
        (Outcome::DateTime { at, local: true }, "to_utc") => {
            arguments.expect_none()?;
            let moment = at.to_zoned(clock.zone.clone()).map_err(out_of_range)?.timestamp();
            Ok(Outcome::DateTime {
                at: moment.to_zoned(TimeZone::UTC).datetime(),
                local: false,
            })
        }
        (Outcome::Date(day), "replace") => {
            let moved = replaced(arguments, clock)?.apply(day.to_datetime(Time::midnight()), false)?;
            Ok(Outcome::Date(moved.date()))
        }
        (Outcome::DateTime { at, local }, "replace") => Ok(Outcome::DateTime {
            at: replaced(arguments, clock)?.apply(at, false)?,
            local,
        }),
        _ => Err(DomainError::new(format!("there is no method {name} here"))),
    }
}

/// `replace(day=1)`: a relativedelta that only sets.
fn replaced(arguments: &Arguments, clock: &Clock) -> Result<Relative, DomainError> {
    let relative = relativedelta(arguments, clock)?;
    if relative.add.is_empty() && relative.weekday.is_none() {
        return Ok(relative);
    }
    Err(DomainError::new(
        "replace takes year, month, day, hour, minute and second",
    ))
}

fn format_of(arguments: &Arguments, clock: &Clock) -> Result<String, DomainError> {
    match arguments.evaluate_positional(clock)?.into_iter().next() {
        Some(Outcome::Str(format)) if arguments.named.is_empty() && arguments.positional.len() == 1 => Ok(format),
        _ => Err(DomainError::new("strftime takes one format")),
    }
}

fn strftime(at: DateTime, format: &str) -> Result<Outcome, DomainError> {
    let mut directives = format.chars();
    while let Some(c) = directives.next() {
        if c == '%'
            && !matches!(
                directives.next(),
                Some('Y' | 'm' | 'd' | 'H' | 'M' | 'S' | 'y' | 'j' | '%')
            )
        {
            return Err(DomainError::new(
                "only %Y %m %d %H %M %S %y %j and %% can be used in strftime",
            ));
        }
    }
    Ok(Outcome::Str(at.strftime(format).to_string()))
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Name(name) => f.write_str(name),
            ExprKind::Call(name, arguments) => write!(f, "{name}({arguments})"),
            ExprKind::Method(target, name, arguments) => match target.kind {
                ExprKind::Sum { .. } => write!(f, "({target}).{name}({arguments})"),
                _ => write!(f, "{target}.{name}({arguments})"),
            },
            ExprKind::Sum { left, minus, right } => {
                let sign = if *minus { '-' } else { '+' };
                match right.kind {
                    ExprKind::Sum { .. } => write!(f, "{left} {sign} ({right})"),
                    _ => write!(f, "{left} {sign} {right}"),
                }
            }
            ExprKind::Int(number) => number.fmt(f),
            ExprKind::Float(number) => f.write_str(&python_float(*number)),
            ExprKind::Str(text) => Quoted(text).fmt(f),
        }
    }
}

impl fmt::Display for Arguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for argument in &self.positional {
            write!(f, "{separator}{argument}")?;
            separator = ", ";
        }
        for (name, argument) in &self.named {
            write!(f, "{separator}{name}={argument}")?;
            separator = ", ";
        }
        Ok(())
    }
}
