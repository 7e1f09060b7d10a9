//! Dates and datetimes as 19 compares them: to the second, with days as their first moment and texts like `today -3d`.
//!
//! Source: `_optimize_type_date`, `_optimize_type_datetime` and `parse_date` of 19.0.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, ToSpan as _};

use super::super::ast::{Operator, Spans};
use super::super::error::DomainError;
use super::super::plan::Plan;
use super::literal::{Literal, is_date_or_time};
use super::{Checker, Operand, Step};
use crate::odoo::registry::{Field, FieldType, Model};

const DAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

/// The largest number of units an offset may have: beyond it every date is out of range.
const MOST_UNITS: i64 = 100_000_000;

/// A point in time as it was written.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Moment {
    Day(Date),
    /// In UTC.
    At(DateTime),
}

impl Checker<'_> {
    /// A leaf about a date or datetime field of the model itself, its operator and value read already.
    pub(super) fn dated(
        &self,
        model: &Model,
        field: &Field,
        step: Step<'_>,
        value: &Literal,
    ) -> Result<Plan, DomainError> {
        let ask = |operator: Operator, value: Literal| {
            let value = Operand::Literal(&value);
            self.dispatch(
                model,
                field,
                None,
                Step {
                    operator,
                    value: &value,
                    ..step
                },
            )
        };
        let is_datetime = field.kind == FieldType::Datetime;
        match (step.operator, value) {
            (operator, value) if operator.is_inequality() => {
                if value.is_unset() {
                    return ask(Operator::In, Literal::List(vec![Literal::Bool(false)])).map(|_| Plan::FALSE);
                }
                let moment = self.moment(value, step.spans)?;
                if !is_datetime {
                    return ask(operator, Literal::Date(moment.day()));
                }
                let at = self.second(moment)?;
                let length = match moment {
                    Moment::Day(_) => SignedDuration::from_hours(24),
                    Moment::At(_) => SignedDuration::from_secs(1),
                };
                let after = || at.checked_add(length).map_err(|_| out_of_range(step.spans));
                match operator {
                    Operator::Gt => ask(Operator::Ge, Literal::DateTime(after()?)),
                    Operator::Le => ask(Operator::Lt, Literal::DateTime(after()?)),
                    operator => ask(operator, Literal::DateTime(at)),
                }
            }
            (operator @ (Operator::In | Operator::NotIn), Literal::List(items)) => {
                let negated = operator == Operator::NotIn;
                if !is_datetime || items.iter().all(Literal::is_unset) {
                    let days = items.iter().map(|item| match item.is_unset() {
                        true => Ok(Literal::Bool(false)),
                        false => self.moment(item, step.spans).map(|moment| Literal::Date(moment.day())),
                    });
                    return ask(operator, Literal::List(days.collect::<Result<_, _>>()?));
                }
                let nothing = || Literal::List(vec![Literal::Bool(false)]);
                let mut plans = Vec::with_capacity(items.len());
                for item in items {
                    if item.is_unset() {
                        plans.push(ask(operator, nothing())?);
                        continue;
                    }
                    // The whole second.
                    let from = self.second(self.moment(item, step.spans)?)?;
                    let to = from
                        .checked_add(SignedDuration::from_secs(1))
                        .map_err(|_| out_of_range(step.spans))?;
                    let (from, to) = (Literal::DateTime(from), Literal::DateTime(to));
                    plans.push(match negated {
                        false => Plan::all(vec![ask(Operator::Ge, from)?, ask(Operator::Lt, to)?]),
                        true => Plan::any(vec![
                            ask(Operator::Lt, from)?,
                            ask(Operator::Ge, to)?,
                            ask(Operator::In, nothing())?,
                        ]),
                    });
                }
                Ok(if negated { Plan::all(plans) } else { Plan::any(plans) })
            }
            (operator, value) => ask(operator, value.clone()),
        }
    }

    /// The first moment of a day, on the user's clock of today; a moment without what is below the second.
    fn second(&self, moment: Moment) -> Result<DateTime, DomainError> {
        match moment {
            Moment::At(at) => at
                .with()
                .subsec_nanosecond(0)
                .build()
                .map_err(|_| out_of_range(Spans::default())),
            Moment::Day(day) => {
                let midnight = day.to_datetime(Time::midnight());
                if matches!(day.year(), 1 | 9999) {
                    return Ok(midnight);
                }
                let offset = self.clock.zone.to_offset(self.clock.now);
                midnight
                    .checked_sub(SignedDuration::from_secs(offset.seconds().into()))
                    .map_err(|_| out_of_range(Spans::default()))
            }
        }
    }

    fn moment(&self, value: &Literal, spans: Spans) -> Result<Moment, DomainError> {
        match value {
            Literal::Date(day) => Ok(Moment::Day(*day)),
            Literal::DateTime(at) => Ok(Moment::At(*at)),
            Literal::Str(text) => match iso(text) {
                Some(moment) => Ok(moment),
                None => {
                    let week_start = self.registry.facts().week_starts.get(&self.context.lang);
                    let moment = relative(text, self.clock.now, &self.clock.zone, week_start.copied().unwrap_or(7))
                        .ok_or_else(|| not_a_date(text).at(spans.value))?;
                    self.spoke_of_now.set(true);
                    Ok(moment)
                }
            },
            other => Err(DomainError::new(format!("{} is not a date or datetime", other.describe())).at(spans.value)),
        }
    }
}

impl Moment {
    fn day(self) -> Date {
        match self {
            Self::Day(day) => day,
            Self::At(at) => at.date(),
        }
    }
}

fn out_of_range(spans: Spans) -> DomainError {
    DomainError::new("the date is out of range").at(spans.value)
}

fn not_a_date(text: &str) -> DomainError {
    let shown: String = text.chars().take(40).collect();
    DomainError::new(format!("{shown:?} is not a date or datetime"))
        .hint("write '2026-01-31', '2026-01-31 23:59:59' in UTC, or 'today -3d'")
}

/// `2026-01-31` or `2026-01-31 23:59[:59[.5]]`, as Python's `fromisoformat` reads them without a time zone.
fn iso(text: &str) -> Option<Moment> {
    let is_padded = text.as_bytes().get(4) == Some(&b'-') && text.as_bytes().get(7) == Some(&b'-');
    if !is_padded || !is_date_or_time(text) {
        return None;
    }
    if text.len() == 10 {
        return text.parse().ok().map(Moment::Day);
    }
    if text.get(11..)?.contains(['Z', '+', '-']) {
        return None;
    }
    text.replacen(' ', "T", 1).parse().ok().map(Moment::At)
}

/// `today`, `now` or nothing, then offsets: `-3d`, `+1m`, `=1d`, `=monday`, `-week_start`.
fn relative(text: &str, now: jiff::Timestamp, zone: &TimeZone, week_start: i32) -> Option<Moment> {
    let mut terms = text.split_whitespace().peekable();
    let first = *terms.peek()?;
    if matches!(first, "today" | "now") {
        terms.next();
    }
    let local = zone.to_datetime(now);
    let mut at = if first == "today" {
        Moment::Day(local.date())
    } else {
        Moment::At(local)
    };
    for term in terms {
        at = offset(at, term, week_start)?;
    }
    match at {
        Moment::Day(day) => Some(Moment::Day(day)),
        Moment::At(local) => {
            let utc = zone.to_ambiguous_zoned(local).compatible().ok()?;
            Some(Moment::At(utc.with_time_zone(TimeZone::UTC).datetime()))
        }
    }
}

fn offset(at: Moment, term: &str, week_start: i32) -> Option<Moment> {
    let (sign, what) = term.split_at_checked(1)?;
    if !matches!(sign, "+" | "-" | "=") || what.len() < 2 {
        return None;
    }
    let week_start = i64::from(week_start - 1);
    let named = DAYS
        .iter()
        .zip(0..)
        .find(|(name, _)| **name == what)
        .map(|(_, number)| number);
    if let Some(weekday) = named.or((what == "week_start").then_some(week_start)) {
        return weekday_offset(at, sign, weekday, week_start);
    }
    let (digits, unit) = what.split_at_checked(what.len() - 1)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: i64 = digits.parse().ok().filter(|number| *number <= MOST_UNITS)?;
    match sign {
        "=" => set(at, unit, number),
        "-" => add(at, unit, -number),
        _ => add(at, unit, number),
    }
}

fn weekday_offset(at: Moment, sign: &str, weekday: i64, week_start: i64) -> Option<Moment> {
    let today = i64::from(at.day().weekday().to_monday_zero_offset());
    let mut days = (weekday - week_start).rem_euclid(7) - (today - week_start).rem_euclid(7);
    match sign {
        "+" if days < 0 => days += 7,
        "-" if days > 0 => days -= 7,
        _ => {}
    }
    let at = match (sign, at) {
        ("=", Moment::At(local)) => Moment::At(local.date().to_datetime(Time::midnight())),
        (_, at) => at,
    };
    add(at, "d", days)
}

/// `relativedelta`: months and years keep the day where the month has it. A day that is given hours becomes a moment.
fn add(at: Moment, unit: &str, number: i64) -> Option<Moment> {
    let span = match unit {
        "d" => number.days(),
        "w" => number.weeks(),
        "m" => number.months(),
        "y" => number.years(),
        "H" | "M" | "S" => {
            let seconds = match unit {
                "H" => number.checked_mul(3600)?,
                "M" => number.checked_mul(60)?,
                _ => number,
            };
            let Moment::At(local) = at else {
                // What Odoo makes of hours added to a day has no time zone: it is refused.
                return None;
            };
            return local
                .checked_add(SignedDuration::from_secs(seconds))
                .ok()
                .map(Moment::At);
        }
        _ => return None,
    };
    Some(match at {
        Moment::Day(day) => Moment::Day(day.checked_add(span).ok()?),
        Moment::At(local) => Moment::At(local.checked_add(span).ok()?),
    })
}

/// Sets one part; what is below it starts anew, a day or more at midnight.
fn set(at: Moment, unit: &str, number: i64) -> Option<Moment> {
    let day = at.day();
    let clamped = |year: i16, month: i8, wanted: i8| {
        let first = Date::new(year, month, 1).ok()?;
        Date::new(year, month, wanted.min(first.days_in_month())).ok()
    };
    let small = |number: i64| i8::try_from(number).ok();
    let day = match unit {
        "d" => clamped(
            day.year(),
            day.month(),
            small(number).filter(|wanted| (1..=31).contains(wanted))?,
        )?,
        "m" => clamped(day.year(), small(number)?, day.day())?,
        "y" => clamped(i16::try_from(number).ok()?, day.month(), day.day())?,
        "H" | "M" | "S" => {
            let Moment::At(local) = at else { return None };
            let time = match unit {
                "H" => Time::new(small(number)?, 0, 0, 0),
                "M" => Time::new(local.hour(), small(number)?, 0, 0),
                _ => Time::new(local.hour(), local.minute(), small(number)?, 0),
            };
            return Some(Moment::At(day.to_datetime(time.ok()?)));
        }
        _ => return None,
    };
    Some(match at {
        Moment::Day(_) => Moment::Day(day),
        Moment::At(_) => Moment::At(day.to_datetime(Time::midnight())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Option<String> {
        // A Friday.
        let now = "2026-11-20T15:30:45.5Z".parse().expect("a timestamp");
        let zone = TimeZone::get("Europe/Brussels").expect("a zone");
        relative(text, now, &zone, 7).map(|moment| match moment {
            Moment::Day(day) => day.to_string(),
            Moment::At(at) => at.to_string(),
        })
    }

    #[test]
    fn offsets_are_added_or_set_one_after_the_other() {
        for (text, wanted) in [
            ("today", "2026-11-20"),
            ("today -3d", "2026-11-17"),
            ("today +3m", "2027-02-20"),
            ("today =31d +3m", "2027-02-28"),
            ("today =monday", "2026-11-16"),
            ("today =sunday", "2026-11-15"),
            ("today +monday", "2026-11-23"),
            ("today -saturday", "2026-11-14"),
            ("today =week_start -1w", "2026-11-08"),
            ("now", "2026-11-20T15:30:45.5"),
            ("-1d", "2026-11-19T15:30:45.5"),
            ("=1d", "2026-10-31T23:00:00"),
            ("=3H", "2026-11-20T02:00:00"),
            ("=monday -1w", "2026-11-08T23:00:00"),
        ] {
            assert_eq!(at(text).as_deref(), Some(wanted), "{text}");
        }
        for text in [
            "",
            "tomorrow",
            "3d",
            "today 3d",
            "+d",
            "=1w",
            "today +1H",
            "+1x",
            "today +99999999999y",
        ] {
            assert_eq!(at(text), None, "{text}");
        }
    }
}
