//! What was done and what Backstage answered, with the time before and after each: the truth that the program's answers are held
//! against. Nothing here is read from what Keycloak or Backstage recorded.

use crate::bench::{Bench, REALM};
use std::{collections::BTreeMap, time::Duration};
use testbed::{
    Keycloak,
    backstage::{Decision, Permission, Refresh, Session},
};

/// Between two questions about one thing. Each leaves lines in Backstage's output.
const ASK: Duration = Duration::from_millis(300);
/// Questions until Backstage has followed: two minutes.
const MOST_ASKED: usize = 400;
/// Times that a change is made until a decision comes before the catalog hears of it.
const TRIES: usize = 5;

/// Times between which something happened, UTC milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub from: i64,
    pub to: i64,
}

pub fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// How somebody stood to the right that was asked for.
#[derive(Clone, Copy, Debug)]
pub enum Stand {
    /// Never had it.
    Never,
    /// Has had it since before the story.
    Held,
    /// Was given it.
    Given(Span),
    /// It was taken.
    Taken(Span),
    /// Has it, and the account was disabled.
    Disabled(Span),
    /// Has it, since it was given behind the API's back.
    GivenUnseen,
    /// It was taken behind the API's back.
    TakenUnseen,
}

/// Of a membership.
#[derive(Clone, Copy)]
pub enum Change {
    Join,
    Leave,
}

/// One decision.
#[derive(Clone, Debug)]
pub struct Decided {
    pub at: Span,
    pub stand: Stand,
    pub allowed: bool,
    /// Tokens of Backstage that the person had been given by then.
    pub tokens: u32,
    /// Made after a change of which the catalog had not heard yet.
    pub unheard: bool,
}

/// A person of the story.
pub struct Person {
    pub id: String,
    pub session: Session,
    pub permission: Permission<'static>,
    pub stand: Stand,
    /// How many tokens of Backstage were given, and when all but the first.
    pub tokens: u32,
    pub renewed: Vec<Span>,
    pub decided: Vec<Decided>,
}

/// The servers with everybody who signed in, by username.
pub struct Story<'a> {
    pub bench: &'a Bench,
    pub people: BTreeMap<&'static str, Person>,
}

impl Story<'_> {
    /// Signs somebody in, and waits until the program has the line that names the token: a line has no time but that of its reader.
    pub async fn sign_in(
        &mut self,
        keycloak: &Keycloak,
        name: &'static str,
        (permission, stand): (Permission<'static>, Stand),
    ) {
        let id = keycloak.admin().user_id(REALM, name).await.unwrap();
        let session = self.bench.backstage.sign_in(name, &format!("{name}-pw")).await.unwrap().done().unwrap();
        let person = Person { id, session, permission, stand, tokens: 1, renewed: Vec::new(), decided: Vec::new() };
        self.people.insert(name, person);
        self.tokens_are_told(name);
    }

    /// Takes a new token, which counts from here on.
    pub async fn refresh(&mut self, name: &str) {
        let person = self.people.get_mut(name).unwrap();
        let from = now();
        assert_eq!(person.session.refresh().await.unwrap(), Refresh::Done);
        person.renewed.push(Span { from, to: now() });
        person.tokens += 1;
        self.tokens_are_told(name);
    }

    fn tokens_are_told(&self, name: &str) {
        let person = &self.people[name];
        let session = &person.session.keycloak_session;
        let lines = format!(
            "SELECT countIf(kind = 'backstage_token_issued' AND person_name = 'user:default/{name}') AS tokens, \
             countIf(kind = 'backstage_callback' AND session_id = '{session}') AS callbacks FROM events"
        );
        self.bench.until("no line of a token", || {
            let told = self.bench.program.sql(&lines);
            (told[0]["tokens"] == person.tokens && told[0]["callbacks"] == 1).then_some(())
        });
    }

    /// Asks Backstage for the person's permission; whether it was allowed.
    pub async fn decide(&mut self, name: &str) -> bool {
        let person = self.people.get_mut(name).unwrap();
        let calls = self.bench.backstage.calls(&person.session.token);
        let from = now();
        let allowed = calls.authorize(person.permission).await.unwrap() == Decision::Allow;
        let at = Span { from, to: now() };
        let (stand, tokens) = (person.stand, person.tokens);
        person.decided.push(Decided { at, stand, allowed, tokens, unheard: false });
        allowed
    }

    /// Asks until the answer is as it must become.
    pub async fn until_decided(&mut self, name: &str, allowed: bool) {
        for _ in 0..MOST_ASKED {
            if self.decide(name).await == allowed {
                return;
            }
            tokio::time::sleep(ASK).await;
        }
        panic!("{name} never got another answer than {}", !allowed);
    }

    /// Makes a change just after a sync, and has a decision made before the next one, so that the catalog knows nothing of it. Where
    /// it was quicker, on a busy machine, the decisions are like any other, and the change is taken back and made again.
    pub async fn decide_before_the_sync(&mut self, keycloak: &Keycloak, name: &str, (change, group): (Change, &str)) {
        let (stale, undo) = match change {
            Change::Join => (false, Change::Leave),
            Change::Leave => (true, Change::Join),
        };
        let backstage = &self.bench.backstage;
        for _ in 0..TRIES {
            backstage.synced().await.unwrap();
            let syncs = backstage.syncs().unwrap();
            self.change(keycloak, name, (change, group)).await;
            if self.decide(name).await == stale && backstage.syncs().unwrap() == syncs {
                let person = self.people.get_mut(name).unwrap();
                person.decided.last_mut().unwrap().unheard = true;
                return;
            }
            self.until_decided(name, !stale).await;
            self.change(keycloak, name, (undo, group)).await;
            self.until_decided(name, stale).await;
        }
        panic!("the catalog was quicker {TRIES} times");
    }

    async fn change(&mut self, keycloak: &Keycloak, name: &str, (change, group): (Change, &str)) {
        let admin = keycloak.admin();
        let id = admin.group_id(REALM, group).await.unwrap();
        let person = self.people.get_mut(name).unwrap();
        let from = now();
        match change {
            Change::Join => admin.join_group(REALM, &person.id, &id).await.unwrap(),
            Change::Leave => admin.leave_group(REALM, &person.id, &id).await.unwrap(),
        }
        let at = Span { from, to: now() };
        person.stand = match change {
            Change::Join => Stand::Given(at),
            Change::Leave => Stand::Taken(at),
        };
    }
}
