//! What doctor says of what runs beside the flow: whether it works, and whether the correlation hears of what is stored, and has the
//! memory for it.

use super::Check;
use crate::status::{FaultReport, MemoryReport, Report};

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
    checks.extend(report.correlation.iter().filter_map(|correlation| correlation.memory.as_ref()).map(memory));
    checks
}

fn memory(kept: &MemoryReport) -> Check {
    let check = Check::new("correlation_memory", "what the correlation must know fits into its memory");
    if kept.fits() {
        return check;
    }
    let (bytes, budget) = (kept.bytes >> 20, kept.budget >> 20);
    check
        .look(format!("it keeps {bytes} MiB, and correlation.memory_mib allows {budget}: raise that"))
        .losing("nothing while the machine has more; it kills what takes too much")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memory_that_is_too_small_is_told_with_what_to_raise() {
        let kept = MemoryReport { bytes: 64 << 20, budget: 64 << 20, ..MemoryReport::default() };
        assert_eq!(memory(&kept).remedy, None);
        let more = MemoryReport { bytes: (65 << 20) + 1, ..kept };
        let remedy = memory(&more).remedy.unwrap_or_default();
        assert_eq!(remedy, "it keeps 65 MiB, and correlation.memory_mib allows 64: raise that");
    }
}
