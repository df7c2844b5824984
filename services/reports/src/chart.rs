//! Charts as SVG: no script, no reference, a title and a table of the numbers for those who do not see. Bounded memory: words
//! beyond the most frequent are one, and a time axis halves its resolution when it grows.

use crate::{
    format::{text, visible},
    report::{Chart, Report},
};
use serde_json::Value;
use std::collections::BTreeMap;

/// Words that are kept apart while rows come.
const WORDS: usize = 2_000;
/// Words that are drawn apart.
const SHOWN: usize = 7;
/// Columns of a chart over time.
const BUCKETS: usize = 96;
const OTHERS: &str = "(others)";
/// Words that mean well or ill have the tint of that in every chart, whichever is more frequent.
const MEANT: [(&str, usize); 7] = [
    ("agrees", 2),
    ("success", 2),
    ("complete", 2),
    ("exposure", 1),
    ("violation", 3),
    ("allowed_without_right", 3),
    ("failure", 3),
];
/// Tints of all others: first those that say nothing.
const TINTS: [usize; 8] = [0, 4, 5, 6, 7, 1, 2, 3];

/// The charts of a report while its rows come.
pub(crate) struct Drawing {
    charts: Vec<One>,
}

struct One {
    chart: Chart,
    by: usize,
    or: Option<usize>,
    time: Option<usize>,
    weight: Option<usize>,
    /// Milliseconds of a bucket.
    width: i64,
    /// Number by (beginning of the bucket, word).
    numbers: BTreeMap<(i64, String), f64>,
}

impl Drawing {
    /// The charts that a report wants.
    pub(crate) fn new(report: &Report) -> Self {
        let one = |chart: &Chart| {
            let (time, by, or, weight) = match chart {
                Chart::OverTime { time, by, weight, .. } => (*time, *by, "", *weight),
                Chart::Bars { by, or, weight, .. } => ("", *by, *or, *weight),
                Chart::Longest { by, of, .. } => ("", *by, "", *of),
            };
            Some(One {
                chart: *chart,
                by: report.place(by)?,
                or: report.place(or),
                time: report.place(time),
                weight: report.place(weight),
                width: 1_000,
                numbers: BTreeMap::new(),
            })
        };
        Self { charts: report.charts.iter().filter_map(one).collect() }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, row: &[Value]) {
        self.charts.iter_mut().for_each(|chart| chart.row(row));
    }

    /// The charts, each with a table of its numbers.
    pub(crate) fn svg(&self, escape: fn(&str) -> String) -> Vec<String> {
        self.charts.iter().filter(|one| one.numbers.values().any(|n| *n > 0.0)).map(|one| one.svg(escape)).collect()
    }
}

impl One {
    fn row(&mut self, row: &[Value]) {
        let number = match self.weight {
            Some(at) => row.get(at).and_then(Value::as_f64).unwrap_or_default(),
            None => 1.0,
        };
        if number <= 0.0 {
            return;
        }
        let words = [Some(self.by), self.or].into_iter().flatten().filter_map(|at| row.get(at).map(text));
        let word = words.into_iter().find(|word| !word.is_empty()).unwrap_or_else(|| "(none)".to_owned());
        let at = match self.time {
            None => 0,
            Some(at) => {
                let Some(time) = row.get(at).map(text).and_then(|time| time.parse::<jiff::Timestamp>().ok()) else {
                    return;
                };
                time.as_millisecond()
            }
        };
        let full = self.numbers.len() >= WORDS && !self.numbers.contains_key(&(self.bucket(at), word.clone()));
        let word = if full && self.time.is_none() { OTHERS.to_owned() } else { word };
        let longest = self.longest();
        let kept = self.numbers.entry((self.bucket(at), word)).or_default();
        *kept = if longest { kept.max(number) } else { *kept + number };
        if self.time.is_some() {
            while self.span() > BUCKETS as i64 {
                self.coarser();
            }
        }
    }

    fn longest(&self) -> bool {
        matches!(self.chart, Chart::Longest { .. })
    }

    fn bucket(&self, at: i64) -> i64 {
        at.div_euclid(self.width) * self.width
    }

    fn span(&self) -> i64 {
        match (self.numbers.first_key_value(), self.numbers.last_key_value()) {
            (Some((first, _)), Some((last, _))) => (last.0 - first.0) / self.width + 1,
            _ => 0,
        }
    }

    fn coarser(&mut self) {
        self.width *= 2;
        let mut numbers = BTreeMap::new();
        for ((at, word), number) in std::mem::take(&mut self.numbers) {
            *numbers.entry((self.bucket(at), word)).or_default() += number;
        }
        self.numbers = numbers;
    }

    /// The most frequent words with their sums, the rest as one.
    fn words(&self) -> Vec<(String, f64)> {
        let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
        for ((_, word), number) in &self.numbers {
            *sums.entry(word).or_default() += number;
        }
        let mut sums: Vec<(String, f64)> = sums.into_iter().map(|(word, sum)| (word.to_owned(), sum)).collect();
        sums.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        if sums.len() > SHOWN + 1 {
            let rest = sums.split_off(SHOWN);
            let numbers = rest.iter().map(|one| one.1);
            let together = if self.longest() { numbers.fold(0.0, f64::max) } else { numbers.sum() };
            sums.push((format!("{} others", rest.len()), together));
        }
        sums
    }

    fn svg(&self, escape: fn(&str) -> String) -> String {
        let words = self.words();
        let tints = tints(&words);
        let (title, drawn) = match self.chart {
            Chart::OverTime { title, .. } => (title, self.over_time(&words, &tints, escape)),
            Chart::Bars { title, .. } | Chart::Longest { title, .. } => (title, bars(&words, escape)),
        };
        let (height, inner) = drawn;
        let rows: String = words
            .iter()
            .enumerate()
            .map(|(n, (word, sum))| {
                let mark = if matches!(self.chart, Chart::OverTime { .. }) {
                    format!("<span class=\"k k{}\"></span>", tints[n])
                } else {
                    String::new()
                };
                format!(
                    "<tr><th scope=\"row\">{mark}{}</th><td class=\"n\">{}</td></tr>",
                    escape(&visible(word)),
                    short(*sum)
                )
            })
            .collect();
        format!(
            "<figure><figcaption>{}</figcaption><svg viewBox=\"0 0 720 {height}\" role=\"img\" aria-label=\"{}; the numbers are in the table beside it\">{inner}</svg>\
             <table class=\"legend\"><thead><tr><th scope=\"col\">what</th><th scope=\"col\" class=\"n\">{}</th></tr></thead><tbody>{rows}</tbody></table></figure>",
            escape(title),
            escape(title),
            if self.longest() { "longest" } else { "sum" }
        )
    }

    fn over_time(&self, words: &[(String, f64)], tints: &[usize], escape: fn(&str) -> String) -> (i64, String) {
        let (left, top, width, height) = (44.0, 8.0, 668.0, 150.0);
        let first = self.numbers.first_key_value().map_or(0, |one| one.0.0);
        let count = self.span().max(1);
        let place = |word: &str| words.iter().position(|one| one.0 == word).unwrap_or(words.len().saturating_sub(1));
        let mut columns: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
        for ((at, word), number) in &self.numbers {
            columns.entry(*at).or_insert_with(|| vec![0.0; words.len()])[place(word)] += number;
        }
        let most = columns.values().map(|column| column.iter().sum::<f64>()).fold(1.0, f64::max);
        let step = width / count as f64;
        let mut out = String::new();
        for part in 0..=2 {
            let value = most * f64::from(part) / 2.0;
            let y = top + height - height * f64::from(part) / 2.0;
            out.push_str(&format!(
                "<line class=\"g\" x1=\"{left}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>",
                left + width
            ));
            out.push_str(&format!(
                "<text class=\"e\" x=\"{}\" y=\"{:.1}\">{}</text>",
                left - 6.0,
                y + 4.0,
                short(value)
            ));
        }
        for (at, column) in &columns {
            let x = left + step * ((at - first) / self.width) as f64;
            let mut y = top + height;
            for (n, number) in column.iter().enumerate().filter(|one| *one.1 > 0.0) {
                let tall = height * number / most;
                y -= tall;
                out.push_str(&format!(
                    "<rect class=\"k{}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{tall:.1}\"><title>{} {}: {}</title></rect>",
                    tints[n],
                    (step - 1.0).max(step * 0.8),
                    crate::verdict::moment(*at),
                    escape(&visible(&words[n].0)),
                    short(*number)
                ));
            }
        }
        for (x, at, anchor) in [(left, first, "s"), (left + width, first + count * self.width, "e")] {
            let time = crate::verdict::moment(at).replace('T', " ").replace(".000Z", "").replace('Z', "");
            out.push_str(&format!(
                "<text class=\"{anchor}\" x=\"{x}\" y=\"{}\">{time} UTC</text>",
                top + height + 18.0
            ));
        }
        (184, out)
    }
}

/// The tint of each word. Two that mean the same share one; no other does.
fn tints(words: &[(String, f64)]) -> Vec<usize> {
    let meant = |word: &str| MEANT.iter().find(|(known, _)| *known == word).map(|(_, tint)| *tint);
    let taken: Vec<usize> = words.iter().filter_map(|(word, _)| meant(word)).collect();
    let mut rest = TINTS.into_iter().filter(|tint| !taken.contains(tint));
    words.iter().map(|(word, _)| meant(word).or_else(|| rest.next()).unwrap_or_default()).collect()
}

fn bars(words: &[(String, f64)], escape: fn(&str) -> String) -> (i64, String) {
    let most = words.iter().map(|one| one.1).fold(1.0, f64::max);
    let mut out = String::new();
    for (n, (word, sum)) in words.iter().enumerate() {
        let y = 24 * n + 4;
        let shown: String = visible(word).chars().take(34).collect();
        out.push_str(&format!("<text class=\"e\" x=\"232\" y=\"{}\">{}</text>", y + 14, escape(&shown)));
        out.push_str(&format!(
            "<rect class=\"k0\" x=\"240\" y=\"{y}\" width=\"{:.1}\" height=\"18\"/>",
            400.0 * sum / most
        ));
        out.push_str(&format!(
            "<text class=\"s\" x=\"{:.1}\" y=\"{}\">{}</text>",
            246.0 + 400.0 * sum / most,
            y + 14,
            short(*sum)
        ));
    }
    (24 * words.len() as i64 + 8, out)
}

fn short(number: f64) -> String {
    if number.fract() == 0.0 || number >= 1_000.0 { format!("{number:.0}") } else { format!("{number:.1}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_well_is_never_red() {
        let words = |all: [&str; 3]| all.map(|word| (word.to_owned(), 1.0));
        assert_eq!(tints(&words(["exposure", "agrees", "violation"])), [1, 2, 3]);
        assert_eq!(tints(&words(["not_judged", "violation", "agrees"])), [0, 3, 2]);
        let eight: Vec<(String, f64)> = (0..8).map(|n| (n.to_string(), 1.0)).collect();
        assert_eq!(tints(&eight).into_iter().collect::<std::collections::BTreeSet<_>>().len(), 8, "each its own");
    }

    #[test]
    fn what_has_no_cause_is_drawn_by_its_outcome() {
        let report = Report::named("R05").unwrap();
        let mut drawing = Drawing::new(report);
        for (outcome, cause, attempts) in [("success", "", 7), ("failure", "user_disabled", 2)] {
            let mut row = vec![Value::Null; report.columns.len()];
            for (column, value) in [("outcome", outcome.into()), ("cause", cause.into()), ("attempts", attempts.into())]
            {
                row[report.place(column).unwrap()] = value;
            }
            drawing.row(&row);
        }
        let svg = drawing.svg(str::to_owned).concat();
        assert!(svg.contains(">success<") && svg.contains(">user_disabled<") && !svg.contains("(none)"), "{svg}");
    }
}
