//! Charts as SVG. Colours come from the style sheet; numbers are in a table beside each, for whoever reads those better.

use std::fmt::Write as _;

use crate::ops::dashboard::OfDay;

/// The picture's width and height, in its own units.
const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 210.0;
const LEFT: f64 = 60.0;
const BOTTOM: f64 = 34.0;
const TOP: f64 = 18.0;

/// A column for each day, what failed upon what arrived. What is in it are numbers and dates of ours alone.
pub fn daily(days: &[OfDay]) -> String {
    let most = days
        .iter()
        .map(|day| day.success + day.failed)
        .max()
        .unwrap_or(0)
        .max(1);
    let scale = nice(most);
    let room = HEIGHT - BOTTOM - TOP;
    #[expect(clippy::cast_precision_loss, reason = "a picture is not exact to so many digits")]
    let tall = |n: i64| n as f64 / scale as f64 * room;
    #[expect(clippy::cast_precision_loss, reason = "there are ninety days at most")]
    let step = (WIDTH - LEFT) / days.len().max(1) as f64;
    let width = (step * 0.72).min(44.0);
    let total: i64 = days.iter().map(|day| day.success + day.failed).sum();
    let failed: i64 = days.iter().map(|day| day.failed).sum();
    let mut svg = format!(
        "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{total} attempts in {} days, {failed} of them failed\">",
        days.len()
    );
    for part in [0, scale / 2, scale] {
        let y = HEIGHT - BOTTOM - tall(part);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            y + 4.0,
            short(part)
        );
    }
    let every = days.len().div_ceil(8).max(1);
    let mut x = LEFT + (step - width) / 2.0;
    for (at, day) in days.iter().enumerate() {
        let (good, bad) = (tall(day.success), tall(day.failed));
        let base = HEIGHT - BOTTOM;
        let _ = write!(
            svg,
            "<g><title>{}: {} arrived, {} failed</title>",
            day.date, day.success, day.failed
        );
        let _ = write!(
            svg,
            "<rect class=\"hit\" x=\"{x:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{room:.1}\"/>\
             <rect class=\"good\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{good:.1}\"/>\
             <rect class=\"bad\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{bad:.1}\"/></g>",
            base - good,
            base - good - bad
        );
        if (days.len() - 1 - at).is_multiple_of(every) {
            let _ = write!(
                svg,
                "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                x + width / 2.0,
                HEIGHT - 8.0,
                day.date.get(5..).unwrap_or(&day.date)
            );
        }
        x += step;
    }
    svg.push_str("</svg>");
    svg
}

/// A bar for a share of the whole, what failed at its end.
pub fn bar(success: i64, failed: i64, most: i64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a picture is not exact to so many digits")]
    let wide = |n: i64| n as f64 / most.max(1) as f64 * 100.0;
    let (good, bad) = (wide(success), wide(failed));
    format!(
        "<svg class=\"bar\" viewBox=\"0 0 100 8\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
         <rect class=\"track\" width=\"100\" height=\"8\"/><rect class=\"good\" width=\"{good:.2}\" height=\"8\"/>\
         <rect class=\"bad\" x=\"{good:.2}\" width=\"{bad:.2}\" height=\"8\"/></svg>"
    )
}

/// The next number that people like at the end of an axis.
fn nice(most: i64) -> i64 {
    let mut unit = 1;
    loop {
        for step in [2, 4, 6, 10] {
            if unit * step >= most {
                return unit * step;
            }
        }
        unit *= 10;
    }
}

fn short(n: i64) -> String {
    match n {
        0..10_000 => n.to_string(),
        10_000..1_000_000 => format!("{}k", n / 1_000),
        _ => format!("{}M", n / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_where_the_highest_column_fits() {
        for most in [1, 2, 3, 7, 10, 11, 99, 1_234_567] {
            let end = nice(most);
            assert!(end >= most && end <= most * 4 && end % 2 == 0, "{most}: {end}");
        }
    }

    #[test]
    fn a_day_is_a_column_with_its_numbers() {
        let day = |date: &str, success, failed| OfDay {
            date: date.to_owned(),
            success,
            failed,
        };
        let svg = daily(&[day("2026-11-30", 0, 0), day("2026-12-01", 3, 1)]);
        assert!(svg.contains("aria-label=\"4 attempts in 2 days, 1 of them failed\""));
        assert!(svg.contains("<title>2026-12-01: 3 arrived, 1 failed</title>"));
        assert!(daily(&[]).ends_with("</svg>"));
    }
}
