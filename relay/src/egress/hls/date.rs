//! Formats dates for playlists (ISO 8601; RFC 8216bis, section 4.4.4.6).

/// Days in 400 years, the period of the Gregorian calendar.
const DAYS_IN_400_YEARS: i64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const DAYS_TO_1970: i64 = 719_468;

/// `unix` seconds since the Unix epoch as a UTC date with milliseconds.
pub(super) fn iso_8601(unix: f64) -> String {
    let milliseconds = (unix * 1e3).round() as i64;
    let (days, of_day) = (milliseconds.div_euclid(86_400_000), milliseconds.rem_euclid(86_400_000));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", of_day % 1000)
}

/// Year, month and day of the day `days` after 1970-01-01. Years count from March, so that a leap day is the last day.
fn civil(days: i64) -> (i64, i64, i64) {
    let since = days + DAYS_TO_1970;
    let (cycle, of_cycle) = (since.div_euclid(DAYS_IN_400_YEARS), since.rem_euclid(DAYS_IN_400_YEARS));
    // Every 4th year has an extra day, except every 100th, but including every 400th.
    let year = (of_cycle - of_cycle / 1460 + of_cycle / 36_524 - of_cycle / 146_096) / 365;
    let of_year = of_cycle - (365 * year + year / 4 - year / 100);
    // From March, months have 31, 30, 31, 30, 31 days twice, and then the rest of that pattern.
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (year + cycle * 400 + next, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates_match() {
        for (unix, date) in [
            (0.0, "1970-01-01T00:00:00.000Z"),
            (951_782_400.0, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199.999, "2024-02-29T23:59:59.999Z"),
            (1_709_251_200.0, "2024-03-01T00:00:00.000Z"),
            (1_795_617_767.040_4, "2026-11-25T14:42:47.040Z"),
            (4_107_542_400.0, "2100-03-01T00:00:00.000Z"),
            (1_798_761_599.999_6, "2027-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(iso_8601(unix), date);
        }
    }

    #[test]
    fn consecutive_days_have_consecutive_dates() {
        let mut before = civil(-1);
        for days in 0..200_000 {
            let (year, month, day) = civil(days);
            let follows = match before {
                (y, m, d) if (y, m) == (year, month) => day == d + 1,
                (y, m, d) => day == 1 && d >= 28 && (y * 12 + m + 1 == year * 12 + month),
            };
            assert!(follows, "{before:?}, {:?}", (year, month, day));
            before = (year, month, day);
        }
    }
}
