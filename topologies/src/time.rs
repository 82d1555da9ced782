//! Instants as people and other systems write them: ISO 8601. Ours are UTC with milliseconds.

use std::fmt;

use aplomb_state::ids::Timestamp;
use serde::{Serialize, Serializer};

const DAY_MS: i64 = 86_400_000;

/// An instant that is written as ISO 8601, UTC, milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Iso(pub Timestamp);

pub fn format(at: Timestamp) -> String {
    Iso(at).to_string()
}

/// Reads what commercetools and other systems send: a date, `T`, a time with any number of
/// decimals, and `Z` or an offset. Digits below milliseconds are cut off.
pub fn parse(text: &str) -> Option<Timestamp> {
    if let Some(at) = parse_utc(text.as_bytes()) {
        return Some(at);
    }
    let at: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp(at.as_nanosecond().div_euclid(1_000_000).try_into().ok()?))
}

/// `2026-08-01T09:30:00.123Z`, the form nearly every record has.
fn parse_utc(text: &[u8]) -> Option<Timestamp> {
    let (head, rest) = text.split_first_chunk::<19>()?;
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T', hour @ .., b':', i1, i2, b':', s1, s2] =
        head
    else {
        return None;
    };
    let fraction = match rest {
        [b'Z'] => 0,
        [b'.', a, b, c, b'Z'] => number(&[*a, *b, *c])?,
        _ => return None,
    };
    let year = number(&[*y1, *y2, *y3, *y4])?;
    let (month, day) = (number(&[*m1, *m2])?, number(&[*d1, *d2])?);
    let (hour, minute, second) = (number(hour)?, number(&[*i1, *i2])?, number(&[*s1, *s2])?);
    let valid = (1..=12).contains(&month)
        && (1..=days_of(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !valid {
        return None;
    }
    let seconds = (hour * 60 + minute) * 60 + second;
    Some(Timestamp(days_from_civil(year, month, day) * DAY_MS + seconds * 1_000 + fraction))
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |sum, digit| {
        digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0'))
    })
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date in the proleptic Gregorian calendar, by eras of 400 years.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

// === impl Iso ===

impl Iso {
    /// Of years with four digits. Every record tells several instants, so this is not left to
    /// `write!`, which takes six times as long.
    fn digits(self) -> Option<[u8; 24]> {
        let (year, month, day) = civil_from_days(self.0.0.div_euclid(DAY_MS));
        let of_day = self.0.0.rem_euclid(DAY_MS);
        let (seconds, ms) = (of_day / 1_000, of_day % 1_000);
        if !(0..=9_999).contains(&year) {
            return None;
        }
        let digit = |number: i64| b'0' + u8::try_from(number % 10).unwrap_or_default();
        let two = |number: i64| [digit(number / 10), digit(number)];
        let [[y1, y2], [y3, y4]] = [two(year / 100), two(year)];
        let [[m1, m2], [d1, d2]] = [two(month), two(day)];
        let [[h1, h2], [i1, i2]] = [two(seconds / 3_600), two(seconds / 60 % 60)];
        let [[s1, s2], [f2, f3]] = [two(seconds % 60), two(ms)];
        Some([
            y1,
            y2,
            y3,
            y4,
            b'-',
            m1,
            m2,
            b'-',
            d1,
            d2,
            b'T',
            h1,
            h2,
            b':',
            i1,
            i2,
            b':',
            s1,
            s2,
            b'.',
            digit(ms / 100),
            f2,
            f3,
            b'Z',
        ])
    }
}

impl fmt::Display for Iso {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(digits) = self.digits()
            && let Ok(text) = std::str::from_utf8(&digits)
        {
            return formatter.write_str(text);
        }
        let (year, month, day) = civil_from_days(self.0.0.div_euclid(DAY_MS));
        let of_day = self.0.0.rem_euclid(DAY_MS);
        let (seconds, ms) = (of_day / 1_000, of_day % 1_000);
        let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        write!(
            formatter,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z"
        )
    }
}

impl Serialize for Iso {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.digits() {
            Some(digits) => match std::str::from_utf8(&digits) {
                Ok(text) => serializer.serialize_str(text),
                Err(error) => Err(serde::ser::Error::custom(error)),
            },
            None => serializer.collect_str(self),
        }
    }
}

#[cfg(test)]
impl schemars::JsonSchema for Iso {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Instant".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "format": "date-time",
            "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_and_written() {
        // (text, milliseconds, as we write it)
        let rows = [
            ("1970-01-01T00:00:00.000Z", 0, "1970-01-01T00:00:00.000Z"),
            ("1969-12-31T23:59:59.999Z", -1, "1969-12-31T23:59:59.999Z"),
            ("2000-02-29T12:00:00Z", 951_825_600_000, "2000-02-29T12:00:00.000Z"),
            ("2026-08-01T09:30:00.123Z", 1_785_576_600_123, "2026-08-01T09:30:00.123Z"),
            ("2026-08-01T09:30:00.123456789Z", 1_785_576_600_123, "2026-08-01T09:30:00.123Z"),
            ("2026-08-01T09:30:00.1Z", 1_785_576_600_100, "2026-08-01T09:30:00.100Z"),
            ("2026-08-01T11:30:00+02:00", 1_785_576_600_000, "2026-08-01T09:30:00.000Z"),
            ("9999-12-31T23:59:59.999Z", 253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
            ("0000-01-01T00:00:00.000Z", -62_167_219_200_000, "0000-01-01T00:00:00.000Z"),
        ];
        for (text, ms, written) in rows {
            assert_eq!(parse(text), Some(Timestamp(ms)), "{text}");
            assert_eq!(format(Timestamp(ms)), written);
        }
    }

    #[test]
    fn every_day_survives() {
        for day in (-200_000..200_000).step_by(37) {
            let (year, month, date) = civil_from_days(day);
            assert_eq!(days_from_civil(year, month, date), day);
            assert!((1..=days_of(year, month)).contains(&date), "{year}-{month}-{date}");
        }
    }

    #[test]
    fn what_is_no_instant_is_refused() {
        for text in ["", "2026-08-01", "2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z", "yesterday"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
