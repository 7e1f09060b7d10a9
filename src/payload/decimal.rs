//! Decimal numbers of any length, exactly: a column of type numeric, or a number in JSON, may hold more than a double does.

use std::fmt;

use serde_json::Number;

/// Digits that any double tells apart, whatever they are.
const DIGITS_OF_DOUBLE: usize = 15;

/// Zeros that are written out at most; no type of PostgreSQL's has more.
const MOST_ZEROS: u64 = 200_000;

/// `digits * 10^exponent`, without zeros at either end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decimal {
    is_negative: bool,
    /// 0 to 9 each, the first the largest; none for zero.
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    /// Reads `-12.50`, `1e+22`; none for what is no number, or an infinite one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (is_negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse().ok()?),
            None => (rest, 0_i64),
        };
        let (whole, decimals) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.len() + decimals.len() == 0 || !is_number(whole) || !is_number(decimals) {
            return None;
        }
        let digits = whole.bytes().chain(decimals.bytes()).map(|byte| byte - b'0').collect();
        let exponent = exponent.checked_sub(i64::try_from(decimals.len()).ok()?)?;
        Some(Self::new(is_negative, digits, exponent))
    }

    /// What a double is written as: the shortest text that no other double has.
    pub(super) fn of_double(double: f64) -> Option<Self> {
        Self::parse(&format!("{double:e}"))
    }

    fn new(is_negative: bool, mut digits: Vec<u8>, mut exponent: i64) -> Self {
        let zeros = digits.iter().take_while(|digit| **digit == 0).count();
        digits.drain(..zeros);
        while digits.last() == Some(&0) {
            digits.pop();
            exponent = exponent.saturating_add(1);
        }
        if digits.is_empty() {
            exponent = 0;
        }
        Self {
            is_negative: is_negative && !digits.is_empty(),
            digits,
            exponent,
        }
    }

    /// To so many decimals; a half away from zero, as people round.
    pub(super) fn rounded(&self, decimals: u32) -> Self {
        self.cut(decimals, |first| first >= 5)
    }

    /// Without decimals.
    pub(super) fn truncated(&self) -> Self {
        self.cut(0, |_| false)
    }

    /// Without what is behind the decimals; one more in the last place where the first digit that goes says so.
    fn cut(&self, decimals: u32, carries: impl Fn(u8) -> bool) -> Self {
        let behind = -(self.exponent.saturating_add(i64::from(decimals)));
        let Ok(behind @ 1..) = usize::try_from(behind) else {
            return self.clone();
        };
        let kept = self.digits.len().saturating_sub(behind);
        let first_gone = if behind > self.digits.len() {
            0
        } else {
            self.digits[kept]
        };
        let mut digits = self.digits[..kept].to_vec();
        if carries(first_gone) {
            let nines = digits.iter().rev().take_while(|digit| **digit == 9).count();
            digits.truncate(kept - nines);
            match digits.last_mut() {
                Some(digit) => *digit += 1,
                None => digits.push(1),
            }
            digits.resize(digits.len() + nines, 0);
        }
        Self::new(self.is_negative, digits, -i64::from(decimals))
    }

    /// The exact product.
    pub(super) fn times(&self, other: &Self) -> Self {
        let mut product = vec![0_u32; self.digits.len() + other.digits.len()];
        for (i, left) in self.digits.iter().rev().enumerate() {
            let mut carry = 0;
            for (j, right) in other.digits.iter().rev().enumerate() {
                let sum = product[i + j] + u32::from(*left) * u32::from(*right) + carry;
                (product[i + j], carry) = (sum % 10, sum / 10);
            }
            product[i + other.digits.len()] += carry;
        }
        let digits = product.into_iter().rev().map(|digit| u8::try_from(digit).unwrap_or(9));
        Self::new(
            self.is_negative != other.is_negative,
            digits.collect(),
            self.exponent.saturating_add(other.exponent),
        )
    }

    /// As a number in JSON: as a double is written where one holds it, else digit by digit. None where that would be endless.
    pub(super) fn number(&self) -> Option<Number> {
        if let Some(number) = self.double() {
            return Number::from_f64(number);
        }
        (self.exponent.unsigned_abs() <= MOST_ZEROS)
            .then(|| self.to_string().parse().ok())
            .flatten()
    }

    /// The double nearest to it; infinity beyond all of them.
    pub(super) fn nearest_double(&self) -> f64 {
        let sign = if self.is_negative { "-" } else { "" };
        let digits: String = self.digits.iter().map(|digit| char::from(b'0' + digit)).collect();
        let digits = if digits.is_empty() { "0" } else { &digits };
        format!("{sign}{digits}e{}", self.exponent).parse().unwrap_or(f64::NAN)
    }

    /// The double that holds it, if one does.
    pub(super) fn double(&self) -> Option<f64> {
        let double = self.nearest_double();
        (double.is_finite() && Self::of_double(double).as_ref() == Some(self)).then_some(double)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits: String = self.digits.iter().map(|digit| char::from(b'0' + digit)).collect();
        if self.is_negative {
            f.write_str("-")?;
        }
        if digits.is_empty() {
            return f.write_str("0");
        }
        if self.exponent.unsigned_abs() > MOST_ZEROS {
            return write!(f, "{digits}e{}", self.exponent);
        }
        let Ok(decimals @ 1..) = usize::try_from(-self.exponent) else {
            let zeros = usize::try_from(self.exponent).unwrap_or_default();
            return write!(f, "{digits}{}", "0".repeat(zeros));
        };
        if decimals < digits.len() {
            let (whole, behind) = digits.split_at(digits.len() - decimals);
            return write!(f, "{whole}.{behind}");
        }
        write!(f, "0.{}{digits}", "0".repeat(decimals - digits.len()))
    }
}

/// A number's text as a number in JSON: as a double is written where that is the same number, else with all its digits. None for what is
/// no number there: NaN, infinity.
pub(super) fn number(text: &str) -> Option<Number> {
    // Most are short, and need no second look.
    if text.len() <= DIGITS_OF_DOUBLE && !text.contains(['e', 'E']) {
        return text.parse::<f64>().ok().and_then(Number::from_f64);
    }
    Decimal::parse(text)?.number()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    #[test]
    fn what_a_double_holds_is_written_as_one_and_all_else_digit_by_digit() {
        for (text, shown) in [
            ("1250.50", "1250.5"),
            ("3", "3.0"),
            ("-0.1000000000000000000", "-0.1"),
            ("1e+22", "1e+22"),
            ("12345678901234567890.123", "12345678901234567890.123"),
            ("9007199254740993", "9007199254740993"),
            ("0.1000000000000000000001", "0.1000000000000000000001"),
        ] {
            assert_eq!(number(text).unwrap().to_string(), shown, "{text}");
        }
        let beyond = format!("1{}", "0".repeat(400));
        assert_eq!(number(&beyond).unwrap().to_string(), beyond);
        for text in ["NaN", "Infinity", "-Infinity", "", "1.2.3", "x", "."] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn rounding_is_of_the_digits_that_are_written() {
        for (text, decimals, shown) in [
            ("2.25", 1, "2.3"),
            ("-2.25", 1, "-2.3"),
            ("1.005", 2, "1.01"),
            ("2.675", 2, "2.68"),
            ("9.995", 2, "10"),
            ("0.004", 2, "0"),
            ("0.005", 2, "0.01"),
            ("-0.0004", 2, "0"),
            ("1e22", 2, "10000000000000000000000"),
            ("9007199254740993", 2, "9007199254740993"),
            ("12345678901234567890.125", 2, "12345678901234567890.13"),
            ("99999999999999999999.999", 2, "100000000000000000000"),
        ] {
            assert_eq!(decimal(text).rounded(decimals).to_string(), shown, "{text}");
        }
        assert_eq!(decimal("-12.9").truncated().to_string(), "-12");
        assert_eq!(decimal("0.9").truncated().to_string(), "0");
    }

    #[test]
    fn products_are_exact() {
        for (left, right, product) in [
            ("0.1", "3", "0.3"),
            ("12.5", "100", "1250"),
            ("-99999999999999999999", "99", "-9899999999999999999901"),
            ("0", "-7", "0"),
        ] {
            assert_eq!(
                decimal(left).times(&decimal(right)).to_string(),
                product,
                "{left} {right}"
            );
        }
    }
}
