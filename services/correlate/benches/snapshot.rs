//! What a snapshot costs the correlation: 100,000 users with three groups each and their default role, twice; the second lists the
//! same marks but for one membership that went unseen. Run by `make bench-rooms`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement")]

use correlate::{
    Config, Correlator, Moment, Rank, Span,
    facts::{Fact, Mark, Said, Snapshot, State, What},
    rows::Row,
};
use events::{
    person::DeploymentKey,
    snapshot::{Area, LIST_ENTRIES},
};
use std::time::Instant;
use uuid::Uuid;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const GROUPS: usize = 100;

/// An id as Keycloak gives it: random, and the same each time.
fn random_id(kind: u64, of: usize) -> String {
    let spread = |number: u64| number.wrapping_add(kind).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
    Uuid::from_u64_pair(spread(of as u64), spread(!(of as u64)).wrapping_mul(0xBF58_476D_1CE4_E5B9)).to_string()
}

struct Taker {
    correlator: Correlator,
    number: u128,
}

impl Taker {
    fn tell(&mut self, at: i64, id: &str, said: Said<'_>) {
        self.number += 1;
        let moment = Moment { at, rank: Rank::Read, event: Uuid::from_u128(self.number) };
        let what = What::Snapshot(Snapshot { id, said });
        let span = Span::exact(at);
        self.correlator.take(&Fact { moment, span, source: "kc", realm: "one", by: "", what });
    }

    fn entity(&mut self, mark: u128, state: State<'_>) {
        self.tell(0, "s", Said::Entity { mark: Mark { entity: mark, hash: 1 }, state });
    }

    /// Lists of an area, and what became of it.
    fn area(&mut self, at: i64, area: Area, lists: &[(&str, Vec<u128>)]) {
        let id = at.to_string();
        let (mut pages, mut entries) = (0, 0);
        for (within, marks) in lists {
            let chunks: Vec<&[u128]> = if marks.is_empty() { vec![&[]] } else { marks.chunks(LIST_ENTRIES).collect() };
            pages += chunks.len() as u64;
            entries += marks.len() as u64;
            for (page, chunk) in (0..).zip(&chunks) {
                let text: String = chunk.iter().map(|mark| format!("{mark:032x}{:016x}", 1)).collect();
                let said = Said::List { area, within, page, pages: chunks.len() as u64, entries: &text };
                self.tell(at, &id, said);
            }
        }
        self.tell(at, &id, Said::Area { area, whole: true, counted: (lists.len() as u64, pages, entries) });
    }
}

fn main() {
    let users: usize =
        std::env::var("TOKENTRAIL_SNAPSHOT_USERS").ok().and_then(|count| count.parse().ok()).unwrap_or(100_000);
    let key = DeploymentKey::new([1; 32]);
    let config = Config { tenant: "t".to_owned(), key, joins: Vec::new(), skew: 1_000 };
    let mut taker = Taker { correlator: Correlator::new(config), number: 0 };
    let mark = |kind: u128, of: usize| kind << 96 | of as u128;
    for (at, gone) in [(1_000_000, usize::MAX), (2_000_000, 0), (3_000_000, 0)] {
        let begun = Instant::now();
        if at == 1_000_000 {
            taker.entity(mark(1, 0), State::Realm { id: "r", default_role: "default" });
            taker.entity(mark(2, 0), State::Role { role: "default", name: "default", client: "" });
            for group in 0..GROUPS {
                let (id, path) = (random_id(1, group), format!("/g{group}"));
                taker.entity(mark(3, group), State::Group { group: &id, path: &path, parent: "" });
            }
            for user in 0..users {
                let (id, name) = (random_id(2, user), format!("person{user}"));
                let email = format!("{name}@example.org");
                taker.entity(mark(4, user), State::User { user: &id, username: &name, email: &email, enabled: true });
                taker.entity(mark(5, user), State::Pair { holder: &id, held: "default" });
                for way in 0..3 {
                    let group = random_id(1, (user * 7 + way * 31) % GROUPS);
                    taker.entity(mark(6 + way as u128, user), State::Pair { holder: &id, held: &group });
                }
            }
        }
        let all = |kind: u128| (0..users).map(|user| mark(kind, user)).collect::<Vec<_>>();
        let mut members: Vec<(String, Vec<u128>)> = (0..GROUPS).map(|group| (random_id(1, group), vec![])).collect();
        for user in 0..users {
            for way in (0..3).filter(|way| *way > 0 || user != gone) {
                members[(user * 7 + way * 31) % GROUPS].1.push(mark(6 + way as u128, user));
            }
        }
        let members: Vec<(&str, Vec<u128>)> = members.iter().map(|(id, marks)| (id.as_str(), marks.clone())).collect();
        taker.area(at, Area::Realm, &[("", vec![mark(1, 0)])]);
        taker.area(at, Area::Clients, &[("", vec![])]);
        taker.area(at, Area::Roles, &[("", vec![mark(2, 0)])]);
        taker.area(at, Area::Groups, &[("", (0..GROUPS).map(|group| mark(3, group)).collect())]);
        taker.area(at, Area::Users, &[("", all(4))]);
        taker.area(at, Area::Members, &members);
        taker.area(at, Area::RoleUsers, &[("default", all(5))]);
        drop(members);
        let taken = begun.elapsed();
        let changes = taker.correlator.settle();
        let gaps = changes.iter().filter(|change| matches!(change.row, Some(Row::Gap(_)))).count();
        println!(
            "{users} users: taken in {:.2} s, settled in {:.2} s, {} changes, {gaps} missing events; {} MiB resident",
            taken.as_secs_f64(),
            (begun.elapsed() - taken).as_secs_f64(),
            changes.len(),
            resident() >> 20
        );
        drop(changes);
        let parts = taker.correlator.rooms();
        let sum: usize = parts.iter().map(|(_, bytes)| bytes).sum();
        let largest: Vec<String> =
            parts.iter().take(12).map(|(part, bytes)| format!("{part} {}", bytes / users)).collect();
        println!("  kept: {} bytes a user: {}", sum / users, largest.join(", "));
    }
}

/// Resident bytes of this process.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4_096
}
