//! What an event costs, with settling, beside a bare touch of a hash map in the same run; and what a person costs, part by part. Run
//! by `make bench-rooms`.
//!
//! Everybody is tied and put into a group (an idle person), then signs in and is decided about (an active one). Every event of
//! Keycloak's comes again half a minute later. Blocks of 10,000 events are settled as the pipeline would. Halfway through the program is
//! restarted: the state is kept as a checkpoint and restored. In the end a group turns out to have been deleted long ago.
//!
//! Times are this thread's processor time, which the kernel tells to a few milliseconds: other work on the machine counts only by the
//! caches that it takes. Late changes are shorter and are told by the clock.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement")]

mod story;

use correlate::{
    Config, Correlator, Join,
    checkpoint::{Reader, Writer},
};
use events::person::DeploymentKey;
use std::{
    collections::{HashMap, VecDeque},
    hint::black_box,
    process::Command,
    time::{Duration, Instant},
};
use story::{Person, Step, TRUSTED, delete_group, scatter, world};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BLOCK: usize = 10_000;
/// Milliseconds from one person's story to the next one's, and until Keycloak's events come again.
const APART: i64 = 60;
const AGAIN: i64 = 30_000;

fn main() {
    if let Some(people) = std::env::var("TOKENTRAIL_PEOPLE").ok().and_then(|count| count.parse().ok()) {
        return measure(people);
    }
    // Each in a process of its own: what one left to the allocator is not to be had by the next.
    for people in ["10000", "100000"] {
        let program = std::env::current_exe().expect("this program");
        let status = Command::new(program).env("TOKENTRAIL_PEOPLE", people).status().expect("a process");
        assert!(status.success());
    }
}

fn measure(people: u64) {
    let before = resident();
    let touch = touch(people);
    let mut run = Run::new(people);
    let begun = cpu();
    run.correlator.settle();
    let tied = cpu() - begun;
    run.pass(&[Step::Joined], 2_000);
    println!("{people} people; a hash map touch takes {touch:.0} ns; the catalog was settled in {tied:.1?}");
    run.report("in a group (idle)", before, touch);
    let middle = 2_000 + people.cast_signed() * APART;
    run.pass(&Step::SIGN_IN, middle);
    run.report("signed in once (active)", before, touch);
    let last = middle + people.cast_signed() * APART;
    let late = |run: &mut Run, what: &str, change: &dyn Fn(&mut Correlator)| {
        let begun = Instant::now();
        change(&mut run.correlator);
        let changes = run.correlator.settle().len();
        println!("  {what}: {:.1?}, {changes} rows changed", begun.elapsed());
    };
    late(&mut run, "a membership of one person, told late", &|correlator| {
        Person::new(TRUSTED).joins(TRUSTED + 1, 1_500, correlator);
    });
    let deleted = middle + (last - middle) / 2;
    late(&mut run, "a group of a hundredth of all, deleted in the middle and told at the end", &|correlator| {
        delete_group(TRUSTED, deleted, correlator);
    });
}

struct Run {
    correlator: Correlator,
    people: u64,
    events: u64,
    spent: Duration,
}

impl Run {
    fn new(people: u64) -> Self {
        let mut correlator = Correlator::new(config());
        world(people, &mut correlator);
        Self { correlator, people, events: 0, spent: Duration::ZERO }
    }

    /// Tells these steps of everybody, in a scattered order, so that the caches help no more than they would; with a restart halfway.
    fn pass(&mut self, steps: &[Step], begin: i64) {
        (self.events, self.spent) = (0, Duration::ZERO);
        let mut again: VecDeque<(i64, u64)> = VecDeque::new();
        let mut block: Vec<(Person, i64, Vec<Step>)> = Vec::new();
        let twice: Vec<Step> = steps.iter().copied().filter(|step| step.is_keycloaks()).collect();
        for place in 0..self.people {
            let (number, at) = (place * 7_919 % self.people, begin + place.cast_signed() * APART);
            while let Some((then, number)) = again.front().copied().filter(|(then, _)| *then + AGAIN <= at) {
                again.pop_front();
                block.push((Person::new(number), then, twice.clone()));
            }
            block.push((Person::new(number), at, steps.to_vec()));
            again.push_back((at, number));
            if block.len() * steps.len() >= BLOCK {
                self.settle(&mut block);
            }
            if place == self.people / 2 {
                self.restart();
            }
        }
        block.extend(again.into_iter().map(|(then, number)| (Person::new(number), then, twice.clone())));
        self.settle(&mut block);
    }

    fn settle(&mut self, block: &mut Vec<(Person, i64, Vec<Step>)>) {
        let begun = cpu();
        for (person, at, steps) in block.iter() {
            steps.iter().for_each(|step| person.tell(*step, *at, &mut self.correlator));
        }
        let changes = black_box(self.correlator.settle());
        self.spent += cpu() - begun;
        drop(changes);
        self.events += block.drain(..).map(|(_, _, steps)| steps.len() as u64).sum::<u64>();
    }

    /// Keeps and restores: bytes, and how long each took. What is restored is what was kept.
    fn restart(&mut self) -> (u64, Duration, Duration) {
        let mut chunks: Vec<Vec<u8>> = Vec::new();
        let begun = cpu();
        let mut take = |chunk| {
            chunks.push(chunk);
            true
        };
        let mut to = Writer::new(8 << 20, &mut take);
        self.correlator.keep(&mut to);
        assert!(to.finish());
        let kept = cpu() - begun;
        let size: u64 = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        let answered = self.correlator.answered();
        self.correlator = Correlator::new(config());
        let mut chunks = chunks.into_iter();
        let mut next = || chunks.next();
        let begun = cpu();
        self.correlator = Correlator::restore(config(), &mut Reader::new(&mut next)).expect("a checkpoint");
        let restored = cpu() - begun;
        assert_eq!(self.correlator.answered(), answered);
        (size, kept, restored)
    }

    fn report(&mut self, who: &str, before: u64, touch: f64) {
        let each = self.spent.as_nanos() as f64 / self.events as f64;
        let bytes = resident().saturating_sub(before) / self.people;
        println!(
            "  {who}: {} events, {each:.0} ns each with settling ({:.1} touches), {bytes} bytes resident a person",
            self.events,
            each / touch
        );
        let parts = self.correlator.rooms();
        let sum: usize = parts.iter().map(|(_, bytes)| bytes).sum();
        let of_one = |bytes: usize| bytes as u64 / self.people;
        println!("    {:>5}  in all by room made", of_one(sum));
        for (part, bytes) in parts.iter().filter(|(_, bytes)| of_one(*bytes) > 0) {
            println!("    {:>5}  {part}", of_one(*bytes));
        }
        let (size, kept, restored) = self.restart();
        let size = size / self.people;
        println!("  a checkpoint: {size} bytes a person, kept in {kept:.1?}, restored in {restored:.1?}");
    }
}

fn config() -> Config {
    let join = Join::new("bs", "kc");
    Config { tenant: "t".to_owned(), key: DeploymentKey::new([1; 32]), joins: vec![join], skew: 1_000 }
}

/// Nanoseconds of a random get and update among as many entries.
fn touch(entries: u64) -> f64 {
    let key = |number: u64| u128::from(scatter(number)) << 64 | u128::from(number);
    let mut map: HashMap<u128, [u64; 8]> = (0..entries).map(|number| (key(number), [number; 8])).collect();
    let touches = entries.max(1_000_000);
    let begun = cpu();
    for number in 0..touches {
        if let Some(value) = map.get_mut(&key(number * 7_919 % entries)) {
            value[0] = value[0].wrapping_add(1);
        }
    }
    black_box(&map);
    (cpu() - begun).as_nanos() as f64 / touches as f64
}

/// Processor time of this thread.
fn cpu() -> Duration {
    let spent = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells it");
    let nanos = spent.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("nanoseconds first");
    Duration::from_nanos(nanos)
}

/// Resident bytes of this process.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4_096
}
