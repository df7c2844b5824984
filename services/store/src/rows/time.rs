//! Times and partitions as the tables have them.

/// Times are kept within what DateTime64 can hold (1900 to 2299); no source of ours is older or newer.
const TIME_MIN: i64 = -2_208_988_800_000;
const TIME_MAX: i64 = 10_413_791_999_999;

/// A time as the store keeps it.
pub(crate) fn stored_time(time: i64) -> i64 {
    time.clamp(TIME_MIN, TIME_MAX)
}

/// The month of a partition, as `toYYYYMM` counts it.
pub(crate) fn month(time_ms: i64) -> i64 {
    let days = time_ms.clamp(TIME_MIN, TIME_MAX).div_euclid(86_400_000);
    // Days to civil date, proleptic Gregorian (Howard Hinnant, "chrono-compatible low-level date algorithms").
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    year * 100 + month
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_those_of_the_calendar() {
        for (time, expected) in [
            (0, 197_001),
            (951_782_399_999, 200_002),
            (951_782_400_000, 200_002),
            (951_868_800_000, 200_003),
            (1_795_467_054_537, 202_611),
            (1_798_761_599_999, 202_612),
            (1_798_761_600_000, 202_701),
        ] {
            assert_eq!(month(time), expected, "{time}");
        }
    }
}
