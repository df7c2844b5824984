//! What a realm is said to be, and that nothing of what came is said with it.

use super::*;
use crate::pull::fake::World;

#[tokio::test]
async fn every_state_is_told_by_what_shows_it() {
    let bench = Bench::new().await;
    let check = async |change: &dyn Fn(&mut World)| {
        let fresh = Fake::start().await;
        change(&mut fresh.world());
        bench.realm_of(&fresh.source(bench.dir.path())).check().await
    };
    assert_eq!(check(&|_| {}).await, [State::Reachable]);
    assert_eq!(check(&|world| world.login_status = 401).await, [State::Unauthorized]);
    assert_eq!(check(&|world| world.login_status = 404).await, [State::RealmMissing]);
    assert_eq!(check(&|world| world.login_status = 503).await, [State::ServerError { status: 503 }]);
    assert_eq!(check(&|world| world.config_status = 403).await, [State::Forbidden { role: "view-events" }]);
    assert_eq!(check(&|world| world.events_status = 403).await, [State::Forbidden { role: "view-events" }]);
    assert_eq!(check(&|world| world.events_status = 429).await, [State::Throttled]);
    assert_eq!(check(&|world| world.events_status = 500).await, [State::EventStoreMissing]);
    assert_eq!(check(&|world| world.config = json!("<html>")).await, [State::NotSupported]);
    let off = |world: &mut World| world.config["eventsEnabled"] = json!(false);
    assert_eq!(check(&off).await, [State::EventsOff, State::Reachable]);
    let off = |world: &mut World| world.config["adminEventsEnabled"] = json!(false);
    assert_eq!(check(&off).await, [State::AdminEventsOff, State::Reachable]);
    let off = |world: &mut World| world.config["adminEventsDetailsEnabled"] = json!(false);
    assert_eq!(check(&off).await, [State::DetailsOff, State::Reachable]);
    let few = |world: &mut World| {
        world.config["enabledEventTypes"].as_array_mut().unwrap().retain(|name| name != "REFRESH_TOKEN");
    };
    assert_eq!(check(&few).await, [State::TypesNotSaved(vec!["REFRESH_TOKEN".into()]), State::Reachable]);
    let listens = async |listeners: serde_json::Value| {
        let fresh = Fake::start().await;
        fresh.world().config["eventsListeners"] = listeners;
        let source = Source { listener: Some("ext-event-webhook"), ..fresh.source(bench.dir.path()) };
        bench.realm_of(&source).check().await
    };
    assert_eq!(listens(json!(["jboss-logging", "ext-event-webhook"])).await, [State::Reachable]);
    let missing = State::ListenerMissing { listener: "ext-event-webhook" };
    assert!(missing.remedy().contains("ext-event-webhook") && missing.remedy().contains("Event listeners"));
    assert_eq!(listens(json!(["jboss-logging"])).await, [missing, State::Reachable]);
    let late = |world: &mut World| world.date = "Thu, 01 Jan 1970 02:46:00 GMT";
    assert_eq!(check(&late).await, [State::ClockOffset { ms: 9_960_500 - NOW }, State::Reachable]);
    // No date that can be read: the token's time of issue stands in.
    let told = check(&|world| world.date = "-").await;
    assert!(matches!(told[0], State::ClockOffset { ms } if ms >= 1_700_000_000_500 - NOW), "{told:?}");
    let mut nowhere = bench.source();
    nowhere.base_url = "http://127.0.0.1:1".into();
    assert_eq!(bench.realm_of(&nowhere).check().await, [State::Unreachable { why: "no connection" }]);
}

#[tokio::test]
async fn no_state_is_without_remedy_and_none_shows_what_came() {
    let bench = Bench::new().await;
    for body in ["<html>s3cret</html>", "[1]", r#"[{"time":2},{"time":1}]"#, "{\"error\":\"s3cret\"}"] {
        bench.fake.world().faults.push_back(Fault::Body(body));
        let failed = bench.realm().pass(Feed::User).await.unwrap_err();
        assert_eq!(failed, PassError::Source(State::NotSupported));
        assert!(!format!("{failed:?} {failed}").contains("s3cret"));
    }
    assert!(!format!("{:?}", bench.source()).contains("s3cret"));
    // A remedy that names a key of the config names one that there is.
    for (state, key) in [(State::Throttled, "interval_seconds"), (State::AnswerTooLarge, "32 MiB")] {
        let remedy = state.remedy();
        assert!(remedy.contains(key) && !remedy.contains("requests_per_second") && !remedy.contains("answer_bytes"));
    }
    assert!(State::EventStoreMissing.remedy().contains("--spi-events-store--provider=jpa"));
    assert!(State::Forbidden { role: "view-events" }.remedy().contains("`view-events`"));
}
