//! Moments as syslog writes them.

use std::fmt;

use crate::message::Timestamp;

/// `2026-11-21T07:20:00.123Z` (RFC 3339), or `-` for a moment past the year 9999.
pub(super) fn rfc3339(at: Timestamp) -> impl fmt::Display {
    struct Shown(Timestamp);
    impl fmt::Display for Shown {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let Civil { year, month, day, hour, minute, second } = civil(self.0);
            if year > 9999 {
                return f.write_str("-");
            }
            let millis = self.0.as_millis() % 1000;
            write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
        }
    }
    Shown(at)
}

/// `Nov  1 07:20:00` (RFC 3164, section 4.1.2).
pub(super) fn rfc3164(at: Timestamp) -> impl fmt::Display {
    struct Shown(Timestamp);
    impl fmt::Display for Shown {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let Civil { month, day, hour, minute, second, .. } = civil(self.0);
            let month = MONTHS[(month as usize - 1) % MONTHS.len()];
            write!(f, "{month} {day:2} {hour:02}:{minute:02}:{second:02}")
        }
    }
    Shown(at)
}

struct Civil {
    year: u64,
    /// From 1, as is the day.
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
}

/// The date and time of day in the Gregorian calendar.
fn civil(at: Timestamp) -> Civil {
    let (days, second) = (at.as_secs() / DAY, at.as_secs() % DAY);
    // Years begin in March here, so that the leap day is a year's last: days since the 1st of March of the year 0.
    let days = days + 719_468;
    let (era, day_of_era) = (days / ERA, days % ERA);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months from March on have 31 and 30 days by turns of five: 153 days each.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    Civil { year, month, day, hour: second / 3600, minute: second / 60 % 60, second: second % 60 }
}

/// Seconds.
const DAY: u64 = 86_400;
/// Days of the 400 years after which the calendar repeats itself.
const ERA: u64 = 146_097;
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn both(secs: u64) -> (String, String) {
        let at = Timestamp::from_millis(secs * 1000);
        (rfc3339(at).to_string(), rfc3164(at).to_string())
    }

    #[test]
    fn known_moments_are_written_as_others_write_them() {
        // By GNU date.
        for (secs, modern, old) in [
            (0, "1970-01-01T00:00:00.000Z", "Jan  1 00:00:00"),
            (951_782_399, "2000-02-28T23:59:59.000Z", "Feb 28 23:59:59"),
            (951_782_400, "2000-02-29T00:00:00.000Z", "Feb 29 00:00:00"),
            (951_868_800, "2000-03-01T00:00:00.000Z", "Mar  1 00:00:00"),
            (1_709_164_800, "2024-02-29T00:00:00.000Z", "Feb 29 00:00:00"),
            (1_735_689_599, "2024-12-31T23:59:59.000Z", "Dec 31 23:59:59"),
            (1_795_249_200, "2026-11-21T08:20:00.000Z", "Nov 21 08:20:00"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z", "Mar  1 00:00:00"),
            (253_402_300_799, "9999-12-31T23:59:59.000Z", "Dec 31 23:59:59"),
            (253_402_300_800, "-", "Jan  1 00:00:00"),
        ] {
            assert_eq!(both(secs), (modern.to_owned(), old.to_owned()));
        }
        assert_eq!(rfc3339(Timestamp::from_millis(u64::MAX)).to_string(), "-");
        assert_eq!(rfc3339(Timestamp::from_millis(7)).to_string(), "1970-01-01T00:00:00.007Z");
    }

    #[test]
    fn each_day_of_400_years_follows_the_one_before() {
        let lengths = |year: u64| {
            let every = |years| year.is_multiple_of(years);
            let leap = (every(4) && !every(100)) || every(400);
            [31, 28 + u64::from(leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        };
        let mut days = 0;
        for year in 1970..2370 {
            for (month, length) in lengths(year).into_iter().enumerate() {
                for day in 1..=length {
                    let shown = civil(Timestamp::from_millis(days * DAY * 1000));
                    assert_eq!((shown.year, shown.month, shown.day), (year, month as u64 + 1, day));
                    days += 1;
                }
            }
        }
        assert_eq!(days, ERA);
    }

    proptest! {
        #[test]
        fn no_moment_is_too_far(millis in any::<u64>()) {
            let at = Timestamp::from_millis(millis);
            prop_assert!([1, 24].contains(&rfc3339(at).to_string().len()));
            prop_assert_eq!(rfc3164(at).to_string().len(), 15);
        }
    }
}
