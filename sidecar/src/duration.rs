//! Durations as Go's `time` package reads and prints them (`docs/spec/agent-cli.md` 1.2).
//!
//! Holds the type and its text form only; which flag or file key is a duration is its reader's business.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A signed span of time, in nanoseconds, with Go's range (about 292 years either way).
///
/// Parsed with [`str::parse`], printed as Go prints it: `1h0m0s`, `1.5s`, `300ms`, `1µs`, `0s`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoDuration {
    nanoseconds: i64,
}

impl GoDuration {
    /// From a number of nanoseconds.
    pub const fn from_nanoseconds(nanoseconds: i64) -> Self {
        Self { nanoseconds }
    }

    /// The number of nanoseconds, negative for a negative duration.
    pub const fn nanoseconds(self) -> i64 {
        self.nanoseconds
    }

    /// The same span as an unsigned [`Duration`]; `None` if it is negative.
    pub fn to_unsigned(self) -> Option<Duration> {
        u64::try_from(self.nanoseconds).ok().map(Duration::from_nanos)
    }
}

impl From<Duration> for GoDuration {
    /// Spans longer than Go can express become the longest it can.
    fn from(duration: Duration) -> Self {
        Self::from_nanoseconds(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
    }
}

/// Why a text is not a duration. The texts are Go's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not a number with a unit, or out of range.
    #[error("time: invalid duration {}", quote(.0))]
    Invalid(String),
    /// A number without a unit.
    #[error("time: missing unit in duration {}", quote(.0))]
    MissingUnit(String),
    /// A unit that does not exist.
    #[error("time: unknown unit {} in duration {}", quote(.unit), quote(.text))]
    UnknownUnit {
        /// The letters that should be a unit.
        unit: String,
        /// The whole text.
        text: String,
    },
}

impl FromStr for GoDuration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let invalid = || DurationError::Invalid(text.to_owned());
        let (negative, mut rest) = match text.as_bytes().first() {
            Some(b'-') => (true, text.get(1..).unwrap_or_default()),
            Some(b'+') => (false, text.get(1..).unwrap_or_default()),
            _ => (false, text),
        };
        if rest == "0" {
            return Ok(Self::default());
        }
        if rest.is_empty() {
            return Err(invalid());
        }
        let mut total: u64 = 0;
        while !rest.is_empty() {
            let (nanoseconds, left) = parse_component(rest, text)?;
            total = total.checked_add(nanoseconds).filter(|sum| *sum <= MAGNITUDE_MAX).ok_or_else(invalid)?;
            rest = left;
        }
        let signed = if negative { -i128::from(total) } else { i128::from(total) };
        i64::try_from(signed).map(Self::from_nanoseconds).map_err(|_| invalid())
    }
}

/// Magnitude of the most negative duration, as in Go: 2^63 nanoseconds.
const MAGNITUDE_MAX: u64 = 1 << 63;

/// One `number[.fraction]unit` from the front of `rest`: its nanoseconds and what follows.
fn parse_component<'a>(rest: &'a str, text: &str) -> Result<(u64, &'a str), DurationError> {
    let invalid = || DurationError::Invalid(text.to_owned());
    let (whole_digits, after_whole) = split_while(rest, |byte| byte.is_ascii_digit());
    let (fraction_digits, after_number) = match after_whole.strip_prefix('.') {
        Some(after_point) => split_while(after_point, |byte| byte.is_ascii_digit()),
        None => ("", after_whole),
    };
    if whole_digits.is_empty() && fraction_digits.is_empty() {
        return Err(invalid());
    }
    let whole = whole_number(whole_digits).ok_or_else(invalid)?;
    let (unit_text, left) = split_while(after_number, |byte| byte != b'.' && !byte.is_ascii_digit());
    if unit_text.is_empty() {
        return Err(DurationError::MissingUnit(text.to_owned()));
    }
    let unit = unit_nanoseconds(unit_text)
        .ok_or_else(|| DurationError::UnknownUnit { unit: unit_text.to_owned(), text: text.to_owned() })?;
    let nanoseconds = whole
        .checked_mul(unit)
        .filter(|product| *product <= MAGNITUDE_MAX)
        .and_then(|product| product.checked_add(fraction_nanoseconds(fraction_digits, unit)))
        .filter(|sum| *sum <= MAGNITUDE_MAX)
        .ok_or_else(invalid)?;
    Ok((nanoseconds, left))
}

fn split_while(text: &str, accept: impl Fn(u8) -> bool) -> (&str, &str) {
    let end = text.bytes().position(|byte| !accept(byte)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// The digits before the point; none is zero. `None` if above 2^63.
fn whole_number(digits: &str) -> Option<u64> {
    digits.bytes().try_fold(0u64, |number, digit| {
        number.checked_mul(10)?.checked_add(u64::from(digit - b'0')).filter(|sum| *sum <= MAGNITUDE_MAX)
    })
}

/// The digits after the point as nanoseconds. Digits beyond the range of 64 bits are ignored, as in Go, and the product
/// is computed in floating point and cut, as in Go.
fn fraction_nanoseconds(digits: &str, unit: u64) -> u64 {
    let mut number: u64 = 0;
    let mut scale: f64 = 1.0;
    for digit in digits.bytes() {
        let Some(next) = number.checked_mul(10).and_then(|n| n.checked_add(u64::from(digit - b'0'))) else { break };
        if next > MAGNITUDE_MAX {
            break;
        }
        number = next;
        scale *= 10.0;
    }
    (number as f64 * (unit as f64 / scale)) as u64
}

/// Nanoseconds of a unit; both micro signs count.
fn unit_nanoseconds(unit: &str) -> Option<u64> {
    match unit {
        "ns" => Some(1),
        "us" | "\u{b5}s" | "\u{3bc}s" => Some(1_000),
        "ms" => Some(1_000_000),
        "s" => Some(1_000_000_000),
        "m" => Some(60_000_000_000),
        "h" => Some(3_600_000_000_000),
        _ => None,
    }
}

/// Quotes as Go's `time` package does: plain ASCII stays, everything else becomes `\x` and two digits per byte.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => quoted.extend(['\\', char::from(byte)]),
            b' '..=0x7f => quoted.push(char::from(byte)),
            _ => quoted.push_str(&format!("\\x{byte:02x}")),
        }
    }
    quoted.push('"');
    quoted
}

impl fmt::Display for GoDuration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.nanoseconds.unsigned_abs();
        let sign = if self.nanoseconds < 0 { "-" } else { "" };
        let text = match magnitude {
            0 => "0s".to_owned(),
            1..1_000 => format!("{sign}{magnitude}ns"),
            1_000..1_000_000 => format!("{sign}{}µs", decimal(magnitude, 3)),
            1_000_000..1_000_000_000 => format!("{sign}{}ms", decimal(magnitude, 6)),
            _ => format!("{sign}{}", clock(magnitude)),
        };
        formatter.pad(&text)
    }
}

/// Hours, minutes and seconds, without leading zero parts: `1h0m0.5s`.
fn clock(nanoseconds: u64) -> String {
    const MINUTE: u64 = 60_000_000_000;
    let seconds = decimal(nanoseconds % MINUTE, 9);
    let minutes = nanoseconds / MINUTE;
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// `number` divided by ten to the power of `places`, without trailing zeros.
fn decimal(number: u64, places: u32) -> String {
    let divisor = 10u64.pow(places);
    let fraction = format!("{:0width$}", number % divisor, width = places as usize);
    let fraction = fraction.trim_end_matches('0');
    let whole = number / divisor;
    if fraction.is_empty() { whole.to_string() } else { format!("{whole}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<i64, String> {
        text.parse::<GoDuration>().map(GoDuration::nanoseconds).map_err(|error| error.to_string())
    }

    #[test]
    fn every_form_go_takes_is_taken() {
        for (text, nanoseconds) in [
            ("0", 0),
            ("+0", 0),
            ("-0", 0),
            ("0s", 0),
            ("5ns", 5),
            ("1us", 1_000),
            ("1µs", 1_000),
            ("1μs", 1_000),
            ("300ms", 300_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("+5s", 5_000_000_000),
            ("-1.5h", -5_400_000_000_000),
            ("1h2m3s", 3_723_000_000_000),
            ("3s1h", 3_603_000_000_000),
            ("9223372036854775807ns", i64::MAX),
            ("-9223372036854775808ns", i64::MIN),
            ("0.100000000000000000000h", 360_000_000_000),
            ("0.9223372036854775808999h", 3_320_413_933_267),
        ] {
            assert_eq!(parsed(text), Ok(nanoseconds), "{text}");
        }
    }

    #[test]
    fn errors_are_those_of_go() {
        for (text, error) in [
            ("", r#"time: invalid duration """#),
            ("x", r#"time: invalid duration "x""#),
            ("-", r#"time: invalid duration "-""#),
            (".s", r#"time: invalid duration ".s""#),
            ("5", r#"time: missing unit in duration "5""#),
            ("-1.5", r#"time: missing unit in duration "-1.5""#),
            ("1d", r#"time: unknown unit "d" in duration "1d""#),
            ("1 s", r#"time: unknown unit " s" in duration "1 s""#),
            ("1h 2m", r#"time: unknown unit "h " in duration "1h 2m""#),
            ("1e3s", r#"time: unknown unit "e" in duration "1e3s""#),
            ("1s-2s", r#"time: unknown unit "s-" in duration "1s-2s""#),
            ("9223372036854775808ns", r#"time: invalid duration "9223372036854775808ns""#),
            ("3000000h", r#"time: invalid duration "3000000h""#),
            ("99999999999999999999s", r#"time: invalid duration "99999999999999999999s""#),
            ("\"\\é\n", r#"time: invalid duration "\"\\\xc3\xa9\x0a""#),
        ] {
            assert_eq!(parsed(text), Err(error.to_owned()), "{text}");
        }
    }

    #[test]
    fn printing_is_that_of_go() {
        for (nanoseconds, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_000, "1µs"),
            (1_100, "1.1µs"),
            (2_200_000, "2.2ms"),
            (300_000_000, "300ms"),
            (1_500_000_000, "1.5s"),
            (60_000_000_000, "1m0s"),
            (245_000_000_000, "4m5s"),
            (3_600_000_000_000, "1h0m0s"),
            (18_367_001_000_000, "5h6m7.001s"),
            (-1_500_000_000, "-1.5s"),
            (i64::MAX, "2562047h47m16.854775807s"),
            (i64::MIN, "-2562047h47m16.854775808s"),
        ] {
            assert_eq!(GoDuration::from_nanoseconds(nanoseconds).to_string(), text);
            assert_eq!(parsed(text), Ok(nanoseconds), "{text}");
        }
    }

    #[test]
    fn conversions_keep_what_fits() {
        assert_eq!(GoDuration::from_nanoseconds(-1).to_unsigned(), None);
        assert_eq!(GoDuration::from_nanoseconds(7).to_unsigned(), Some(Duration::from_nanos(7)));
        assert_eq!(GoDuration::from(Duration::MAX).nanoseconds(), i64::MAX);
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(256))]

        #[test]
        fn what_is_printed_is_read_back_the_same(nanoseconds: i64) {
            // Fractions go through floating point, as in Go; the nine digits printed come back exactly.
            let duration = GoDuration::from_nanoseconds(nanoseconds);
            proptest::prop_assert_eq!(duration.to_string().parse(), Ok(duration));
        }

        #[test]
        fn what_is_read_prints_to_the_same(text in "[-+]?[0-9.a-zµ\"\\\\\u{0}-\u{ff}]{0,40}") {
            if let Ok(duration) = text.parse::<GoDuration>() {
                proptest::prop_assert_eq!(duration.to_string().parse(), Ok(duration));
            }
        }
    }
}
