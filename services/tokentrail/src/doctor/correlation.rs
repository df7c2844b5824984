//! What doctor says of what runs beside the flow: whether it works, and whether the correlation hears of what is stored.

use super::Check;
use crate::status::{FaultReport, Report};

/// What the running program tells; nothing of a process that stores nothing.
pub fn checks(report: &Report) -> Vec<Check> {
    if report.store_up.is_none() {
        return Vec::new();
    }
    let mut checks: Vec<Check> = report.faults.iter().map(fault).collect();
    if checks.is_empty() {
        checks.push(Check::new("parts", "what runs beside the flow never died since the start"));
    }
    if let Some(correlation) = report.correlation.as_ref().filter(|_| report.kafka.is_some()) {
        let heard = Check::new("correlation_told", "the correlation hears of what is stored");
        checks.push(match &correlation.unannounced {
            Some(why) => heard
                .look(format!(
                    "{why}: see whether the topic kafka.events is there, and which rights processors have on it"
                ))
                .losing("answers are some seconds older; storing goes on"),
            None => heard,
        });
    }
    checks
}

fn fault(fault: &FaultReport) -> Check {
    let check = Check::new("parts", format!("{} works", fault.part));
    let told = format!(
        "it died {} times by a fault of its own, which the log names (`panicked at`): report it, and upgrade",
        fault.count
    );
    if fault.well {
        return check.look(told).losing("nothing: it began again, and works");
    }
    check.look(told).losing("what it answers is as old as its last work; storing goes on")
}
