//! What one event costs, with settling, beside a bare touch of a hash map in the same run. Run by `make bench`.
//!
//! Each person signs in, is put into a group, and is decided about; blocks of 10,000 facts are settled as the pipeline would. Then the
//! state is kept as a checkpoint and restored, which is what a start does instead of taking every fact in again.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement")]

use correlate::{
    Config, Correlator, Join, Moment, Rank, Span,
    checkpoint::{Reader, Writer},
    facts::{Decided, Entity, Fact, Grant, Issued, List, Piece, Policy, Read, What},
};
use events::{event::Outcome, person::DeploymentKey};
use std::{collections::HashMap, hint::black_box, time::Instant};
use uuid::Uuid;

const BLOCK: u64 = 10_000;

fn main() {
    let people = std::env::var("TOKENTRAIL_PEOPLE").ok().and_then(|count| count.parse().ok());
    for people in people.map_or(vec![10_000, 100_000], |people| vec![people]) {
        let touch = touch(people);
        let before = resident();
        let (correlator, facts, spent, late) = correlate(people);
        let bytes = (resident() - before) / people;
        println!(
            "{people} people, {facts} facts: {spent:.0} ns each with settling, a hash map touch {touch:.0} ns ({:.1}x), {bytes} bytes a person, a late group change {late:.0} us",
            spent / touch
        );
        let (size, kept, restored) = checkpoint(&correlator);
        println!(
            "  a checkpoint: {} bytes a person, kept in {:.0} ns a fact, restored in {:.0} ns ({:.0}x faster than taken in)",
            size / people,
            kept / facts as f64,
            restored / facts as f64,
            spent * facts as f64 / restored
        );
    }
}

/// Bytes, nanoseconds to keep and to restore. What is restored is what was kept.
fn checkpoint(correlator: &Correlator) -> (u64, f64, f64) {
    let mut chunks: Vec<Vec<u8>> = Vec::new();
    let begun = Instant::now();
    let mut take = |chunk| {
        chunks.push(chunk);
        true
    };
    let mut to = Writer::new(8 << 20, &mut take);
    correlator.keep(&mut to);
    assert!(to.finish());
    let kept = begun.elapsed().as_nanos() as f64;
    let size = chunks.iter().map(|chunk| chunk.len() as u64).sum();
    let mut chunks = chunks.into_iter();
    let mut next = || chunks.next();
    let begun = Instant::now();
    let restored = Correlator::restore(config(), &mut Reader::new(&mut next)).expect("a checkpoint");
    let spent = begun.elapsed().as_nanos() as f64;
    assert_eq!(restored.answered(), correlator.answered());
    (size, kept, spent)
}

fn config() -> Config {
    let join = Join::new("bs", "kc");
    Config { tenant: "t".to_owned(), key: DeploymentKey::new([1; 32]), joins: vec![join], skew: 1_000 }
}

/// Nanoseconds of a random get and update among as many entries.
fn touch(entries: u64) -> f64 {
    let mut map: HashMap<u128, [u64; 8]> = (0..entries).map(|key| (scatter(key), [key; 8])).collect();
    let begun = Instant::now();
    for key in 0..entries {
        if let Some(value) = map.get_mut(&scatter(key * 7_919 % entries)) {
            value[0] = value[0].wrapping_add(1);
        }
    }
    black_box(&map);
    begun.elapsed().as_nanos() as f64 / entries as f64
}

fn scatter(key: u64) -> u128 {
    u128::from(key.wrapping_mul(0x9E37_79B9_7F4A_7C15)) << 32 | u128::from(key)
}

/// The correlator, facts, nanoseconds each, microseconds of a late change.
fn correlate(people: u64) -> (Correlator, u64, f64, f64) {
    let mut correlator = Correlator::new(config());
    let mut number = 0;
    let mut tell = |correlator: &mut Correlator, at: i64, rank: Rank, what: What<'_>| {
        number += 1;
        let moment = Moment { at, rank, event: Uuid::from_u128(scatter(number)) };
        let source = match what {
            What::Login { .. } | What::Issued(_) | What::Member { .. } => "kc",
            _ => "bs",
        };
        correlator.take(&Fact { moment, span: Span::exact(at), source, realm: "r", by: "", what });
        number
    };
    let policy = Policy { permission: "deploy", action: "use", effect: "allow" };
    tell(&mut correlator, 0, Rank::Change, What::Policy { role: "role:default/ops", policy, held: true });
    let member = What::RoleMember { role: "role:default/ops", member: "group:default/g7", held: true };
    tell(&mut correlator, 0, Rank::Change, member);
    catalog(people, &mut correlator);
    correlator.settle();
    let begun = Instant::now();
    let mut facts = 0;
    for person in 0..people {
        // In a scattered order, so that the caches help no more than they would.
        let person = person * 7_919 % people;
        let at = 10_000 + (facts * 10) as i64;
        let (user, session) = (format!("u{person}"), format!("s{person}"));
        let (reference, group) = (format!("user:default/p{person}"), format!("kg{}", person % 100));
        let (user, session, reference) = (user.as_str(), session.as_str(), reference.as_str());
        let issued = Issued {
            user,
            session,
            client: "backstage",
            grant: Grant::Code,
            access: session,
            presented: "",
            refresh: session,
            offline: false,
        };
        let decided = Decided {
            reference,
            actor: ("plugin", "plugin:permission"),
            permission: "deploy",
            action: "use",
            resource_type: "",
            resource: "",
            outcome: if person % 100 == 7 { Outcome::Allow } else { Outcome::Deny },
            owner_refs: &[],
            instance: "pod-1",
            trace: "",
        };
        let whats = [
            (0, Rank::Change, What::Member { user, group: &group, path: "", held: true }),
            (10, Rank::Login, What::Login { user, session, client: "backstage", impersonator: "" }),
            (40, Rank::Issue, What::Issued(issued)),
            (90, Rank::BackstageIssue, What::BackstageIssued { reference, claims: "", instance: "pod-1" }),
            (95, Rank::Callback, What::Callback { session }),
            (500, Rank::Decision, What::Decided(decided)),
        ];
        for (after, rank, what) in whats {
            tell(&mut correlator, at + after, rank, what);
            facts += 1;
            if facts % BLOCK == 0 {
                black_box(correlator.settle());
            }
        }
    }
    black_box(correlator.settle());
    let spent = begun.elapsed().as_nanos() as f64 / facts as f64;
    let begun = Instant::now();
    tell(&mut correlator, 9_000, Rank::Change, What::Member { user: "u7", group: "kg8", path: "", held: true });
    black_box(correlator.settle());
    let late = begun.elapsed().as_nanos() as f64 / 1e3;
    (correlator, facts, spent, late)
}

fn catalog(people: u64, correlator: &mut Correlator) {
    let names: Vec<(String, String)> = (0..people).map(|p| (format!("user:default/p{p}"), format!("u{p}"))).collect();
    let groups: Vec<(String, String)> = (0..100).map(|g| (format!("group:default/g{g}"), format!("kg{g}"))).collect();
    let mut pieces = vec![Piece::Begin { at: 1_000 }];
    pieces.extend(names.iter().map(|(reference, keycloak)| Piece::Entity(Entity::CatalogUser { reference, keycloak })));
    let parent = "";
    pieces.extend(
        groups.iter().map(|(reference, keycloak)| Piece::Entity(Entity::CatalogGroup { reference, keycloak, parent })),
    );
    let entities = names.len() + groups.len();
    pieces.push(Piece::End { at: 1_000, whole: vec![List::Users, List::Groups], entities, pairs: 0 });
    for piece in pieces {
        let moment = Moment { at: 1_000, rank: Rank::Read, event: Uuid::from_u128(1) };
        let what = What::Read(Read { id: "catalog", piece });
        correlator.take(&Fact { moment, span: Span::exact(1_000), source: "bs", realm: "", by: "", what });
    }
}

/// Resident bytes of this process.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4_096
}
