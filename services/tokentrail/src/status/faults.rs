//! What a status tells of parts that died by a fault of their own.

use super::moment;
use pipeline::faults::{Fault, Part};
use serde::{Deserialize, Serialize};

/// A part that died since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultReport {
    /// Its name, as in metrics.
    pub part: String,
    /// Times that it died.
    pub count: u64,
    /// The last time, UTC milliseconds.
    pub at: i64,
    /// It works again.
    pub well: bool,
}

impl From<(Part, Fault)> for FaultReport {
    fn from((part, fault): (Part, Fault)) -> Self {
        Self { part: part.as_str().to_owned(), count: fault.count, at: fault.at, well: fault.well }
    }
}

impl FaultReport {
    /// A line for people.
    pub fn render(&self) -> String {
        let now = if self.well { "it works again" } else { "IT DOES NOT WORK, and is begun again and again" };
        format!(
            "  FAULT  {} died {} times since the start, last at {}: {now}\n",
            self.part,
            self.count,
            moment(self.at)
        )
    }
}
