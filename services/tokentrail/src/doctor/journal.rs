//! What doctor says of the journal: space, damage, the scrub, the quarantine.

use super::Check;
use crate::{
    config::Config,
    status::{JournalReport, moment},
};

/// What the journal's part of the status tells.
pub fn checks(config: &Config, journal: &JournalReport, now: i64) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut add = |id: &str, what: &str, remedy: Option<String>| checks.push(Check { remedy, ..Check::new(id, what) });
    add(
        "journal",
        "the journal can take receipts",
        (!journal.can_append)
            .then(|| "free disk space below data_dir, or raise journal.max_mib; intake answers 503 until then".into()),
    );
    add(
        "journal_damage",
        "no damaged bytes in the journal",
        (journal.damage > 0)
            .then(|| "run `tokentrail journal verify`; what is damaged is in quarantine beside the journal".into()),
    );
    for damage in journal.damages.iter().filter(|damage| damage.loses_records) {
        let remedy = format!("{} (found {}): import that time again", damage.place, moment(damage.found_at));
        add("journal_losses", "no record of the journal is lost", Some(remedy));
    }
    add("journal_scrub", "the journal is scrubbed", scrub(config.journal.scrub_hours, journal, now));
    add(
        "quarantine",
        "the quarantine has room",
        (journal.quarantine.refused > 0).then(|| {
            format!(
                "{} copies of damaged bytes were not made: move what is in {} elsewhere, free disk space, or raise \
                 journal.quarantine_mib",
                journal.quarantine.refused,
                config.path("journal/quarantine").display()
            )
        }),
    );
    checks
}

fn scrub(hours: u64, journal: &JournalReport, now: i64) -> Option<String> {
    if hours == 0 {
        return Some("journal.scrub_hours is 0: damage that nobody reads is not found".into());
    }
    let scrub = journal.scrub.as_ref()?;
    let ended = moment(scrub.ended_at);
    if scrub.losses > 0 {
        return Some(format!(
            "{} losses found {ended}: run `tokentrail journal verify`, keep the folder, and look at the disk",
            scrub.losses
        ));
    }
    // Twice the interval: a scrub takes its time, too.
    let late = i64::try_from(hours).unwrap_or(i64::MAX).saturating_mul(2 * 3_600_000);
    (now - scrub.ended_at > late).then(|| format!("the last scrub ended {ended}; look for its failures in the log"))
}
