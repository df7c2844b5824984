//! Scales with ticks: time across, numbers upwards.

use jiff::Timestamp;

/// Steps of time between ticks, seconds.
const STEPS: [i64; 17] =
    [1, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800];
/// Least pixels between two ticks of time.
const APART: f64 = 90.0;

/// UTC, to the second.
pub fn stamp(millis: i64) -> String {
    let time = Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH);
    time.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// A scale of time.
#[derive(Clone, Copy, Debug)]
pub struct Time {
    pub period: (i64, i64),
    pub left: f64,
    pub width: f64,
}

impl Time {
    /// Milliseconds of the period.
    pub fn span(&self) -> f64 {
        (self.period.1 - self.period.0).max(1) as f64
    }

    /// The place of a time, within the period.
    pub fn x(&self, millis: i64) -> f64 {
        self.beyond(millis.clamp(self.period.0, self.period.1))
    }

    /// The place of a time, which may lie outside.
    pub fn beyond(&self, millis: i64) -> f64 {
        self.left + (millis - self.period.0) as f64 / self.span() * self.width
    }

    /// Places and names of ticks.
    pub fn ticks(&self) -> Vec<(f64, String)> {
        let (from, to) = self.period;
        let per_pixel = (to - from) as f64 / 1e3 / self.width;
        let step = STEPS.iter().find(|step| **step as f64 / per_pixel >= APART).copied().unwrap_or(2_592_000) * 1_000;
        let form = |millis: i64| match step {
            86_400_000.. => stamp(millis)[5..10].replace('-', "/"),
            step if step < 60_000 => stamp(millis)[11..].to_owned(),
            // A day begins with its date.
            _ if millis % 86_400_000 == 0 => stamp(millis)[5..10].replace('-', "/"),
            _ => stamp(millis)[11..16].to_owned(),
        };
        let first = from.div_euclid(step) + i64::from(from.rem_euclid(step) > 0);
        (first..=to.div_euclid(step)).map(|at| at * step).map(|at| (self.x(at), form(at))).collect()
    }
}

/// Digits that ticks so far apart need.
pub fn digits(ticks: &[f64]) -> u32 {
    let step = ticks.get(1).copied().unwrap_or(1.0);
    if step >= 1.0 || step <= 0.0 { 0 } else { (-step.log10().floor()) as u32 }
}

/// Ticks of numbers from 0 to at least `most`: 1, 2 or 5 of a power of ten apart.
pub fn numbers(most: f64) -> Vec<f64> {
    let rough = (most / 4.0).max(f64::MIN_POSITIVE);
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].iter().map(|one| one * power).find(|step| *step >= rough).unwrap_or(rough);
    (0..).map(|at| f64::from(at) * step).take_while(|at| *at < most + step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        let time = Time { period: (1_795_469_000_000, 1_795_470_000_000), left: 0.0, width: 700.0 };
        let names: Vec<String> = time.ticks().into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["21:25", "21:30", "21:35", "21:40"]);
        assert_eq!(numbers(583.0), [0.0, 200.0, 400.0, 600.0]);
        assert_eq!(numbers(4.0), [0.0, 1.0, 2.0, 3.0, 4.0]);
    }
}
