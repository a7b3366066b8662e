//! Start times in the form a pattern asks for; always UTC.

use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use time::{Month, OffsetDateTime};

/// Form of a start time. Source: Envoy, access log operator `START_TIME`; strftime(3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TimeFormat(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Year,
    ShortYear,
    Month,
    MonthName,
    Day,
    PaddedDay,
    DayOfYear,
    WeekdayName,
    Hour,
    Minute,
    Second,
    /// So many digits of the fraction of the second.
    Fraction(usize),
    EpochSeconds,
}

/// Form of `START_TIME` when none is given.
const DEFAULT: &str = "%Y-%m-%dT%H:%M:%S.%3fZ";

impl Default for TimeFormat {
    fn default() -> Self {
        Self::parse(DEFAULT).unwrap_or(Self(Vec::new()))
    }
}

impl TimeFormat {
    /// Reads a form such as `%Y/%m/%d %T.%6f`.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and how many bytes into it.
    pub(super) fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut parts = Vec::new();
        let mut chars = text.char_indices();
        while let Some((at, char)) = chars.next() {
            if char == '%' {
                let digits = chars.as_str().find(|c: char| !c.is_ascii_digit()).unwrap_or(0);
                let (width, rest) = chars.as_str().split_at(digits);
                let known = rest.chars().next().and_then(|name| specifier(width, name));
                let known = known.ok_or_else(|| {
                    (at, format!("unknown time specifier %{width}{}", first(rest)))
                })?;
                parts.extend(known);
                chars.nth(width.len());
            } else if char.is_control() || matches!(char, '"' | '\\') {
                return Err((at, format!("{char:?} cannot stand in a time")));
            } else if let Some(Part::Literal(literal)) = parts.last_mut() {
                literal.push(char);
            } else {
                parts.push(Part::Literal(char.into()));
            }
        }
        Ok(Self(parts))
    }

    /// Appends `time`. Times before 1970 are 1970.
    pub(super) fn write(&self, time: SystemTime, out: &mut Vec<u8>) {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
        let date =
            OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let moment = Moment {
            date,
            day: date.to_calendar_date(),
            clock: date.to_hms(),
            nanos: since.subsec_nanos(),
        };
        for part in &self.0 {
            part.write(&moment, out);
        }
    }
}

/// A time taken apart once.
struct Moment {
    date: OffsetDateTime,
    day: (i32, Month, u8),
    clock: (u8, u8, u8),
    nanos: u32,
}

fn first(text: &str) -> &str {
    text.split_at_checked(text.chars().next().map_or(0, char::len_utf8)).map_or("", |(c, _)| c)
}

fn specifier(width: &str, name: char) -> Option<Vec<Part>> {
    let colon = || Part::Literal(":".into());
    let dash = || Part::Literal("-".into());
    if name == 'f' {
        let digits = if width.is_empty() { 9 } else { width.parse().ok()? };
        return (1..=9).contains(&digits).then(|| vec![Part::Fraction(digits)]);
    }
    if !width.is_empty() {
        return None;
    }
    Some(match name {
        'Y' => vec![Part::Year],
        'y' => vec![Part::ShortYear],
        'm' => vec![Part::Month],
        'b' => vec![Part::MonthName],
        'd' => vec![Part::Day],
        'e' => vec![Part::PaddedDay],
        'j' => vec![Part::DayOfYear],
        'a' => vec![Part::WeekdayName],
        'H' => vec![Part::Hour],
        'M' => vec![Part::Minute],
        'S' => vec![Part::Second],
        's' => vec![Part::EpochSeconds],
        'F' => vec![Part::Year, dash(), Part::Month, dash(), Part::Day],
        'T' => vec![Part::Hour, colon(), Part::Minute, colon(), Part::Second],
        'z' => vec![Part::Literal("+0000".into())],
        'Z' => vec![Part::Literal("UTC".into())],
        '%' => vec![Part::Literal("%".into())],
        _ => return None,
    })
}

impl Part {
    fn write(&self, moment: &Moment, out: &mut Vec<u8>) {
        let ((year, month, day), (hour, minute, second)) = (moment.day, moment.clock);
        match self {
            Self::Literal(text) => out.extend_from_slice(text.as_bytes()),
            Self::Year => digits(u64::from(year.unsigned_abs()), 4, out),
            Self::ShortYear => digits(u64::from(year.unsigned_abs() % 100), 2, out),
            Self::Month => digits(u64::from(u8::from(month)), 2, out),
            Self::MonthName => short_name(month, out),
            Self::Day => digits(u64::from(day), 2, out),
            Self::PaddedDay => {
                if day < 10 {
                    out.push(b' ');
                }
                digits(u64::from(day), 1, out);
            }
            Self::DayOfYear => digits(u64::from(moment.date.ordinal()), 3, out),
            Self::WeekdayName => short_name(moment.date.weekday(), out),
            Self::Hour => digits(u64::from(hour), 2, out),
            Self::Minute => digits(u64::from(minute), 2, out),
            Self::Second => digits(u64::from(second), 2, out),
            Self::Fraction(count) => {
                let start = out.len();
                digits(u64::from(moment.nanos), 9, out);
                out.truncate(start.saturating_add(*count));
            }
            Self::EpochSeconds => digits(moment.date.unix_timestamp().unsigned_abs(), 1, out),
        }
    }
}

/// First three letters of the name of a month or weekday.
fn short_name(name: impl std::fmt::Display, out: &mut Vec<u8>) {
    let start = out.len();
    // Writing to a vector cannot fail.
    let _ = write!(out, "{name}");
    out.truncate(start.saturating_add(3));
}

fn digits(number: u64, width: usize, out: &mut Vec<u8>) {
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(number).as_bytes();
    out.extend(std::iter::repeat_n(b'0', width.saturating_sub(text.len())));
    out.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn written(format: &TimeFormat, seconds: u64, nanos: u32) -> String {
        let mut out = Vec::new();
        let time = UNIX_EPOCH.checked_add(Duration::new(seconds, nanos)).unwrap();
        format.write(time, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn times_take_the_form_asked_for() {
        // 2024-02-29 is a Thursday, the 60th day of a leap year.
        let (seconds, nanos) = (1_709_210_096, 7_008_009);
        for (format, expected) in [
            (DEFAULT, "2024-02-29T12:34:56.007Z"),
            ("%s.%6f", "1709210096.007008"),
            ("%f", "007008009"),
            ("%F %T %z %Z", "2024-02-29 12:34:56 +0000 UTC"),
            ("%a, %e %b %y (%j) é%%", "Thu, 29 Feb 24 (060) é%"),
        ] {
            let format = TimeFormat::parse(format).unwrap();
            assert_eq!(written(&format, seconds, nanos), expected);
        }
        assert_eq!(written(&TimeFormat::default(), 0, 999_999_999), "1970-01-01T00:00:00.999Z");
        assert_eq!(written(&TimeFormat::parse("%e").unwrap(), 0, 0), " 1");
    }

    #[test]
    fn times_out_of_reach_are_1970() {
        let format = TimeFormat::parse("%F").unwrap();
        let mut out = Vec::new();
        format.write(UNIX_EPOCH.checked_sub(Duration::from_secs(1)).unwrap(), &mut out);
        format.write(UNIX_EPOCH.checked_add(Duration::from_secs(1 << 60)).unwrap(), &mut out);
        assert_eq!(out, b"1970-01-011970-01-01");
    }

    #[test]
    fn errors_say_where() {
        for (format, at) in [("%Y %Q", 3), ("%", 0), ("%0f", 0), ("%3", 0), ("é%3Y", 2), ("a\"", 1)]
        {
            assert_eq!(TimeFormat::parse(format).unwrap_err().0, at, "{format}");
        }
    }
}
