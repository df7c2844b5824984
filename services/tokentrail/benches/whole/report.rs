//! The table: goal beside what was measured, and in plain words what falls short.

use serde_json::{Value, json};

/// One line of the table.
pub struct Figure {
    pub stage: &'static str,
    /// The goal's limit in `unit`.
    pub goal: Goal,
    pub unit: &'static str,
    pub measured: f64,
    /// Where the figure comes from, or what it is made of.
    pub note: String,
    /// What stands in the way when the goal is missed.
    pub why: &'static str,
}

/// Which side of the limit is good.
#[derive(Clone, Copy, Debug)]
pub enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

impl Figure {
    pub fn is_met(&self) -> bool {
        match self.goal {
            Goal::AtMost(limit) => self.measured <= limit,
            Goal::AtLeast(limit) => self.measured >= limit,
        }
    }

    fn goal_text(&self) -> String {
        match self.goal {
            Goal::AtMost(limit) => format!("<= {} {}", number(limit), self.unit),
            Goal::AtLeast(limit) => format!(">= {} {}", number(limit), self.unit),
        }
    }

    fn to_json(&self) -> Value {
        let (limit, better) = match self.goal {
            Goal::AtMost(limit) => (limit, "lower"),
            Goal::AtLeast(limit) => (limit, "higher"),
        };
        json!({
            "stage": self.stage, "goal": limit, "better": better, "unit": self.unit,
            "measured": self.measured, "met": self.is_met(), "note": self.note,
            "why": if self.is_met() { "" } else { self.why },
        })
    }
}

fn number(value: f64) -> String {
    let digits = if value.abs() >= 100.0 { 0 } else { 2 };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// All that one run found.
pub struct Report {
    pub machine: Value,
    pub figures: Vec<Figure>,
    /// Everything else, for comparing runs.
    pub details: Value,
}

impl Report {
    pub fn to_json(&self) -> Value {
        let figures: Vec<_> = self.figures.iter().map(Figure::to_json).collect();
        json!({"machine": self.machine, "figures": figures, "details": self.details})
    }

    pub fn to_text(&self) -> String {
        let mut out = format!("{}\n\n", self.machine_line());
        let width = |of: &dyn Fn(&Figure) -> usize| self.figures.iter().map(of).max().unwrap_or(0);
        let stages = width(&|figure| figure.stage.len());
        let goals = width(&|figure| figure.goal_text().len());
        out += &format!("{:<stages$}  {:<goals$}  {:>9}        of\n", "stage", "goal", "measured");
        for figure in &self.figures {
            let mark = if figure.is_met() { "met " } else { "MISS" };
            let (goal, measured) = (figure.goal_text(), number(figure.measured));
            out += &format!("{:<stages$}  {goal:<goals$}  {measured:>9}  {mark}  {}\n", figure.stage, figure.note);
        }
        out.push('\n');
        for figure in self.figures.iter().filter(|figure| !figure.is_met()) {
            out += &format!("missed: {}: {}\n", figure.stage, figure.why);
        }
        if self.is_busy() {
            out += "This machine does other work: ratios and processor times count, wall-clock figures do not.\n";
        }
        out
    }

    /// Whether others had the processors before this run began.
    fn is_busy(&self) -> bool {
        let number = |pointer: &str| self.machine.pointer(pointer).and_then(Value::as_f64).unwrap_or(0.0);
        number("/load_before") > number("/cores") / 2.0
    }

    fn machine_line(&self) -> String {
        let of =
            |pointer: &str| self.machine.pointer(pointer).map_or(String::new(), |v| v.to_string().replace('"', ""));
        format!(
            "{} cores, {}, Linux {}; load {} before, {} after; fdatasync of 1.2 KB: p50 {} ms, p99 {} ms",
            of("/cores"),
            of("/processor"),
            of("/kernel"),
            of("/load_before"),
            of("/load_after"),
            of("/fdatasync/p50_ms"),
            of("/fdatasync/p99_ms"),
        )
    }
}
