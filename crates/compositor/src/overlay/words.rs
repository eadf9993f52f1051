//! The words of an overlay, written into memory that is there already: at every tick they are compared with what was said
//! before, and only what is new is set and drawn.

use std::fmt::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// No text on a tile is longer, in characters; what a camera answers has no other bound.
const MOST: usize = 256;

/// Appends what can be shown of `text`: no control or format characters, which have no picture, and at most [`MOST`].
pub(super) fn write_clean(into: &mut String, text: impl fmt::Display) {
    let mut clean = Clean { into, left: MOST };
    // It ends early where there is no room left; that is no error here.
    let _cut = write!(clean, "{text}");
}

struct Clean<'s> {
    into: &'s mut String,
    left: usize,
}

impl Write for Clean<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for char in text.chars().filter_map(shown) {
            self.left = self.left.checked_sub(1).ok_or(fmt::Error)?;
            self.into.push(char);
        }
        Ok(())
    }
}

fn shown(char: char) -> Option<char> {
    match char {
        '\t' | '\n' | '\r' => Some(' '),
        // Soft hyphens, joiners, direction marks, variation selectors, tags: of no width, and without a picture.
        '\u{ad}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}' => None,
        char if char.is_control() => None,
        char => Some(char),
    }
}

/// `4 s`, and from two minutes on `2 min`: a number that nobody reads need not change at every second.
pub(super) struct Age(pub(super) Duration);

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            seconds @ 0..120 => write!(f, "{seconds} s"),
            seconds @ 120..7_200 => write!(f, "{} min", seconds / 60),
            seconds => write!(f, "{} h", seconds / 3_600),
        }
    }
}

/// A second of local time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LocalTime {
    /// Seconds since 1970-01-01T00:00:00, as a local clock shows it.
    seconds: i64,
}

impl LocalTime {
    pub(super) fn new(at: SystemTime, utc_offset_s: i32) -> LocalTime {
        let seconds = match at.duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX / 2),
            Err(before) => {
                let before = before.duration();
                -i64::try_from(before.as_secs()).unwrap_or(i64::MAX / 2)
                    - i64::from(before.subsec_nanos() > 0)
            }
        };
        LocalTime { seconds: seconds + i64::from(utc_offset_s) }
    }

    /// How far two are apart, in seconds.
    pub(super) fn distance_s(self, other: LocalTime) -> u64 {
        self.seconds.abs_diff(other.seconds)
    }

    /// `2026-11-21`.
    pub(super) fn date(self) -> Date {
        Date(self)
    }

    /// `13:05:00`.
    pub(super) fn time(self) -> Time {
        Time(self)
    }
}

pub(super) struct Date(LocalTime);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(self.0.seconds.div_euclid(86_400));
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

pub(super) struct Time(LocalTime);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let second = self.0.seconds.rem_euclid(86_400);
        write!(f, "{:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60)
    }
}

/// Year, month and day of the Gregorian calendar, so many days after 1970-01-01. Years are counted from March on, so that
/// the leap day is the last of its year; 400 of them are 146,097 days.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_a_picture_is_written() {
        let clean = |text: &str| {
            let mut into = String::new();
            write_clean(&mut into, text);
            into
        };
        assert_eq!(clean("Front\u{7}\u{1b}[31m door\n2\u{202e}\u{200d}\u{feff}\u{85}"), "Front[31m door 2");
        assert_eq!(clean("é 門 e\u{301}"), "é 門 e\u{301}");
        assert_eq!(clean(&"ü".repeat(10_000)).chars().count(), MOST);
    }

    #[test]
    fn ages_are_whole_seconds_as_long_as_those_matter() {
        let said = |seconds: u64| Age(Duration::from_millis(seconds * 1_000 + 999)).to_string();
        assert_eq!(
            [said(0), said(4), said(119), said(120), said(3_599)],
            ["0 s", "4 s", "119 s", "2 min", "59 min"]
        );
        assert_eq!([said(7_199), said(7_200), said(360_000)], ["119 min", "2 h", "100 h"]);
    }

    #[test]
    fn local_time_is_that_of_the_offset_it_was_taken_at() {
        let check = |seconds: i64, offset: i32, date: &str, time: &str| {
            let at = match u64::try_from(seconds) {
                Ok(after) => UNIX_EPOCH + Duration::from_secs(after),
                Err(_) => UNIX_EPOCH - Duration::from_secs(seconds.unsigned_abs()),
            };
            let local = LocalTime::new(at, offset);
            assert_eq!(
                (local.date().to_string(), local.time().to_string()),
                (date.to_owned(), time.to_owned())
            );
        };
        check(0, 0, "1970-01-01", "00:00:00");
        check(-1, 0, "1969-12-31", "23:59:59");
        check(951_782_399, 0, "2000-02-28", "23:59:59");
        check(951_782_400, 0, "2000-02-29", "00:00:00");
        check(4_107_542_400, 0, "2100-03-01", "00:00:00");
        check(1_767_225_599, 0, "2025-12-31", "23:59:59");
        check(1_767_225_599, 3_600, "2026-01-01", "00:59:59");
        check(1_767_225_600, -12_600, "2025-12-31", "20:30:00");
        // The hour that daylight saving repeats: the same reading twice, an hour apart.
        check(1_761_438_600, 7_200, "2025-10-26", "02:30:00");
        check(1_761_442_200, 3_600, "2025-10-26", "02:30:00");
    }
}
