//! Reaching a Keycloak: certificates of its own CA, and being asked to come again later.

use super::*;
use trust::{Refused, Trust};

#[tokio::test]
async fn a_keycloak_behind_a_ca_of_its_own_is_trusted_when_told_so_and_only_then() {
    let bench = Bench::new().await;
    let (fake, ca) = Fake::start_tls().await;
    let (_, other_ca) = Fake::start_tls().await;
    fake.world().user.push(event(1, 1_000));
    let realm = |trust: Trust| bench.realm_of(&Source { trust, ..fake.source(bench.dir.path()) });
    for trust in [Trust::system(), Trust::with_own(&other_ca).unwrap()] {
        assert_eq!(realm(trust).check().await, [State::Unreachable { why: Refused::Issuer.as_str() }]);
    }
    let bundle = [other_ca, ca].concat();
    let mut trusted = realm(Trust::with_own(&bundle).unwrap());
    assert_eq!(trusted.check().await, [State::Reachable]);
    assert_eq!(user(&mut trusted).await.appended, 1);
}

#[tokio::test]
async fn a_source_that_asks_to_be_left_alone_is_left_alone() {
    for (status, state) in [(429, State::Throttled), (503, State::ServerError { status: 503 })] {
        let bench = Bench::new().await;
        bench.store([event(1, 1_000)]);
        let mut realm = bench.realm();
        (bench.fake.world().events_status, bench.fake.world().retry_after) = (status, Some("1"));
        assert_eq!(realm.pass(Feed::User).await, Err(PassError::Source(state.clone())));
        bench.fake.world().events_status = 200;
        let asked = bench.fake.world().requests;
        assert_eq!(realm.pass(Feed::User).await, Err(PassError::Source(state)), "told at once, without asking");
        assert_eq!(bench.fake.world().requests, asked);
        while !realm.quiet().await.is_zero() {
            assert_eq!(bench.fake.world().requests, asked);
            tokio::time::sleep(realm.quiet().await).await;
        }
        assert_eq!(user(&mut realm).await.appended, 1);
    }
}

#[tokio::test]
async fn a_time_to_come_again_is_seconds_or_a_date_and_bounded() {
    let seconds = Duration::from_secs;
    // The fake's own date is 02:46:40.
    for (text, most, least) in [
        ("120", seconds(120), seconds(100)),
        ("Thu, 01 Jan 1970 02:48:40 GMT", seconds(120), seconds(100)),
        ("Thu, 01 Jan 1970 02:46:00 GMT", Duration::ZERO, Duration::ZERO),
        ("99999999", crate::pull::client::MAX_QUIET, seconds(600)),
        ("soon", Duration::ZERO, Duration::ZERO),
    ] {
        let bench = Bench::new().await;
        (bench.fake.world().login_status, bench.fake.world().retry_after) = (429, Some(text));
        let realm = bench.realm();
        assert_eq!(realm.check().await, [State::Throttled]);
        let quiet = realm.quiet().await;
        assert!(quiet <= most && quiet >= least, "{text}: {quiet:?}");
    }
}

#[tokio::test]
async fn the_loop_asks_nothing_while_it_was_asked_to_wait() {
    let bench = Bench::new().await;
    bench.store([event(1, 1_000)]);
    (bench.fake.world().config_status, bench.fake.world().retry_after) = (429, Some("1"));
    let puller = Puller::open(&bench.source(), &around(&bench.journal, NOW)).unwrap();
    let mut status = puller.status().remove(0);
    let (_stop, stopped) = watch::channel(false);
    let running = tokio::spawn(puller.run(stopped));
    until(&mut status, |status| status.states == [State::Throttled]).await;
    bench.fake.world().config_status = 200;
    until(&mut status, |status| status.passes > 0).await;
    let world = bench.fake.world();
    // Before: one login and one question. After: as ever.
    assert_eq!(world.logins, 1);
    assert!(world.requests <= 2 + 8, "a pause of 5 ms would have asked more often: {}", world.requests);
    running.abort();
}
