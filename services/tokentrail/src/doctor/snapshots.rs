//! What the state of snapshots tells: none yet, too old, areas that could not be read.

use super::Check;
use crate::{
    config::Config,
    snapshotting::{State, States, configured, remedy},
    status::moment,
};

/// Checks each source that has snapshots.
pub fn checks(config: &Config, states: &States, now: i64) -> Vec<Check> {
    configured(config).map(|(id, snapshot)| one(id, (states.get(id), snapshot.interval_hours), now)).collect()
}

fn one(id: &str, (state, interval_hours): (Option<&State>, u64), now: i64) -> Check {
    let check = Check::new("snapshot", format!("source {id} has a complete snapshot")).of_source(id);
    let lost = "a missing event is not found, and absence cannot be shown";
    let Some(last) = state.and_then(|state| state.last.as_ref()) else {
        let why = state.and_then(|state| state.trouble.clone()).unwrap_or_else(|| "none has ended yet".to_owned());
        return check.look(format!("{why}: run `tokentrail snapshot take --source {id}`")).losing(lost);
    };
    if !last.complete {
        let remedies: Vec<String> = last.lacking.iter().map(remedy).collect();
        return check.look(remedies.join("; ")).losing(lost);
    }
    // Two intervals: one may be under way.
    let oldest = i64::try_from(interval_hours.saturating_mul(2 * 3_600_000)).unwrap_or(i64::MAX);
    if interval_hours > 0 && now.saturating_sub(last.began) > oldest {
        let why = state.and_then(|state| state.trouble.clone()).unwrap_or_else(|| "look at the log".to_owned());
        return check.look(format!("the last began {}: {why}", moment(last.began))).losing(lost);
    }
    check
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshotting::Told;

    fn told(began: i64) -> State {
        let told = Told {
            snapshot: "s".into(),
            source: "kc".into(),
            began,
            ended: began + 5,
            complete: true,
            entities: 1,
            changed: 1,
            lacking: Vec::new(),
        };
        State { last: Some(told), ..State::default() }
    }

    #[test]
    fn none_and_old_ones_are_told() {
        let hour = 3_600_000;
        assert!(one("kc", (None, 24), 0).remedy.unwrap().contains("snapshot take --source kc"));
        assert!(one("kc", (Some(&told(0)), 24), 47 * hour).good());
        assert!(one("kc", (Some(&told(0)), 24), 49 * hour).remedy.unwrap().contains("the last began"));
        assert!(one("kc", (Some(&told(0)), 0), 1_000 * hour).good(), "only on demand");
    }
}
