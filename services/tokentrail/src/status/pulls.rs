//! What a status tells of the realms that are pulled: what is wrong with each, and what to do about it.

use super::moment;
use crate::table::visible;
use collector::pull::{RealmStatus, Severity};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// The realms of all sources that are pulled, each with its source.
pub type Realms = Vec<(String, watch::Receiver<RealmStatus>)>;

/// How the pull of one realm stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullReport {
    /// Source id.
    pub source: String,
    /// Realm.
    pub realm: String,
    /// What is to be said of it, worst first; empty before the first look.
    pub states: Vec<PullState>,
    /// Up to here both kinds of events are complete, UTC milliseconds of Keycloak's clock.
    pub complete_until: Option<i64>,
    /// When the last pass over both ended, UTC milliseconds.
    pub last_pass: Option<i64>,
}

/// One thing to say of a realm.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullState {
    /// Its name, as in metrics.
    pub state: String,
    /// What to do; empty where nothing is.
    pub remedy: String,
}

impl PullReport {
    pub(super) fn of((source, realm): &(String, watch::Receiver<RealmStatus>)) -> Self {
        let status = realm.borrow();
        let state = |state: &collector::pull::State| PullState {
            state: state.as_str().to_owned(),
            remedy: if state.severity() == Severity::Fine { String::new() } else { state.remedy() },
        };
        Self {
            source: source.clone(),
            realm: status.realm.clone(),
            states: status.states.iter().map(state).collect(),
            complete_until: status.watermark(),
            last_pass: status.last_pass,
        }
    }

    /// Lines for people: one of the realm, and one for each remedy.
    pub fn render(&self) -> String {
        let states: Vec<&str> = self.states.iter().map(|state| state.state.as_str()).collect();
        let states = if states.is_empty() { "not looked at yet".to_owned() } else { states.join(", ") };
        let last =
            self.last_pass.map_or_else(|| "no whole pass yet".to_owned(), |at| format!("last pass {}", moment(at)));
        let mut out = format!("  {}: pull of realm {}: {states}; {last}\n", self.source, visible(&self.realm));
        for state in self.states.iter().filter(|state| !state.remedy.is_empty()) {
            out.push_str(&format!("    {}: {}\n", state.state, visible(&state.remedy)));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use collector::pull::State;

    #[test]
    fn a_realm_is_told_with_what_to_do_about_it() {
        let status = RealmStatus {
            realm: "acme".into(),
            states: vec![State::Forbidden { role: "view-events" }, State::Reachable],
            user_watermark: Some(9),
            admin_watermark: Some(7),
            last_pass: None,
            ..RealmStatus::default()
        };
        let (_sender, realm) = watch::channel(status);
        let report = PullReport::of(&("kc".into(), realm));
        assert_eq!((report.complete_until, report.states.len()), (Some(7), 2));
        assert!(report.states[0].remedy.contains("view-events"), "{:?}", report.states);
        assert_eq!(report.states[1], PullState { state: "reachable".into(), remedy: String::new() });
        let text = report.render();
        assert!(
            text.starts_with("  kc: pull of realm acme: forbidden, reachable; no whole pass yet\n    forbidden: "),
            "{text}"
        );
        assert_eq!(text.lines().count(), 2, "{text}");
        let (_sender, realm) = watch::channel(RealmStatus { realm: "acme".into(), ..RealmStatus::default() });
        assert!(PullReport::of(&("kc".into(), realm)).render().contains("not looked at yet"));
    }
}
