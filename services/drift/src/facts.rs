//! What rules judge: rows of the correlation, events, completeness. Times are UTC milliseconds.
//!
//! Person keys are keyed hashes (32 hex digits, empty: none); no name, reference or e-mail comes in here.

use crate::{baseline::Listed, configured::Configured, orphan::Orphans};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Everything that one evaluation sees.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Now.
    pub now: i64,
    /// Up to here the sources are complete, or the allowance for late events is over: what rests on younger evidence waits.
    pub ripe: i64,
    /// Whether decisions are correlated here at all.
    pub correlated: bool,
    /// Decisions that a rule may ask about, in order of time.
    pub decisions: Vec<Decision>,
    /// Events that a rule may ask about, in order of time.
    pub acts: Vec<Act>,
    /// Accounts of which failed and good logins were read; none: of all.
    pub guessed: Option<BTreeSet<String>>,
    /// Times for which an input of a source is not known to be complete.
    pub gaps: Vec<Gap>,
    /// Events that must have happened and never arrived.
    pub missing: Vec<Missing>,
    /// The sources of the config.
    pub sources: Vec<Source>,
    /// More is stored than can be looked at at once: decisions or acts are not there.
    pub cut: bool,
    /// A look was cut before: what came then was not judged.
    pub partly: bool,
    /// How many parts of what was too much at once wait to be judged.
    pub parts: usize,
    /// Decisions of callers that are no persons, where somebody wants to know.
    pub callers: u64,
    /// Who did acts of a Backstage that only a tie to Keycloak names, by event.
    pub givers: BTreeMap<Uuid, String>,
    /// What those who gave roles had of these themselves, at some instant about then; and of privileged rights whoever was impersonated.
    pub had: Vec<Had>,
    /// None of these could be looked up: what rests on them cannot be judged.
    pub unanswered: bool,
    /// What was done in impersonated sessions, by the event that began it.
    pub acted: BTreeMap<Uuid, Acted>,
    /// What is held in the groups of the baseline files; none: there is no file, or it cannot be read.
    pub baseline: Option<BaselineFacts>,
    /// Whom only Keycloak or only the catalog knows.
    pub orphans: Orphans,
    /// What Keycloaks are configured with and that changed without an event.
    pub configured: Configured,
}

/// Cause of the gap that says that a clock is off: that is not silence.
const CLOCK_OFF: &str = "clock_off";

/// Baseline files against what is held.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BaselineFacts {
    /// Their groups.
    pub groups: Vec<BaselineGroup>,
}

/// One group of a baseline file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BaselineGroup {
    /// Source id.
    pub source: String,
    /// Realm.
    pub realm: String,
    /// Path of the group.
    pub path: String,
    /// Its Keycloak id; empty: no event and no read has named it.
    pub id: String,
    /// Whether the file calls it privileged.
    pub privileged: bool,
    /// Most members.
    pub most: Option<u32>,
    /// What differs for less than this waits, milliseconds.
    pub grace: i64,
    /// When the file changed last.
    pub changed: i64,
    /// First digits of the file's SHA-256.
    pub file: String,
    /// Since when anything is known of the source.
    pub known_since: i64,
    /// Who is in it.
    pub held: Vec<Member>,
    /// Who should be and is not.
    pub lacking: Vec<Member>,
}

/// Somebody in a group, or in its list.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Person key; empty: nobody of that name was ever seen.
    pub person: String,
    /// Place in the file's list, from 1; 0: not in it.
    pub entry: u32,
    /// Since when it is so; none: since before anything is known.
    pub since: Option<i64>,
    /// How the file lists them.
    pub listed: Listed,
    /// The event that made it so, if one is known.
    pub granted_in: Option<Uuid>,
    /// True if a missing event stands behind it.
    pub inferred: bool,
}

impl Default for Member {
    fn default() -> Self {
        Self { person: String::new(), entry: 0, since: None, listed: Listed::No, granted_in: None, inferred: false }
    }
}

/// A decision with what the correlation says of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// The event that tells it.
    pub event: Uuid,
    /// When.
    pub at: i64,
    /// Who; empty: a caller that is no person.
    pub person: String,
    /// Permission; empty: an audited call.
    pub permission: String,
    /// `allow`, `deny`, `conditional`, ...
    pub outcome: String,
    /// Verdict of the correlation.
    pub verdict: String,
    /// Milliseconds since the change that the verdict is about.
    pub delay: Option<i64>,
    /// The clock that it obeys.
    pub clock: String,
    /// How sure.
    pub grade: String,
    /// Why no better.
    pub reasons: Vec<String>,
    /// Credentials that can stand behind it.
    pub candidates: u32,
    /// Keycloak ids of the groups that supported it.
    pub groups: Vec<String>,
}

impl Decision {
    /// True if the correlation gave this reason.
    pub fn has(&self, reason: &str) -> bool {
        self.reasons.iter().any(|one| one == reason)
    }

    /// True if it let somebody in, perhaps under conditions.
    pub fn lets_in(&self) -> bool {
        matches!(self.outcome.as_str(), "allow" | "conditional")
    }
}

/// An event.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Act {
    /// Its id.
    pub event: Uuid,
    /// When.
    pub at: i64,
    /// The earliest that it can have been: of a read, when it began.
    pub began: i64,
    /// Source id.
    pub source: String,
    /// Realm, if said.
    pub realm: String,
    /// Keycloak id of the realm, if said.
    pub realm_id: String,
    /// Kind in our words.
    pub kind: String,
    /// `success`, `failure`, `unknown`, ...
    pub outcome: String,
    /// Key of the account that it concerns; of a person whom nobody made of several by hand, their key.
    pub account: String,
    /// Whom it concerns.
    pub person: String,
    /// Who did it.
    pub actor: String,
    /// Kind of right, if it is about one.
    pub right_kind: String,
    /// Id of the right.
    pub right: String,
    /// What it was given to, if that is no person: id of a group or role, reference of a Backstage group.
    pub holder: String,
    /// Plain details.
    pub details: BTreeMap<String, String>,
}

/// Somebody had a role, or a privileged group, by one path.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Had {
    /// Who.
    pub person: String,
    /// Source of the role.
    pub source: String,
    /// Keycloak id; of a Backstage role its name.
    pub role: String,
    /// Keycloak id of the group or role that they are in directly and that leads to it; empty: none does.
    pub through: String,
    /// All that leads to it: ids of groups and roles, references of Backstage groups.
    pub path: Vec<String>,
    /// Since when they are in that, if an event says so, and the event.
    pub joined: Option<(i64, Uuid)>,
    /// From when on all of the path holds; none: as far back as is known.
    pub from: Option<i64>,
    /// Until when; none: still.
    pub to: Option<i64>,
    /// An event is missing that it rests on.
    pub rests_on_gap: bool,
}

/// What was done in an impersonated session.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Acted {
    /// When the session ended, or by when it must have; none: nothing tells it.
    pub ended: Option<i64>,
    /// Decisions that let them in and name the session.
    pub let_in: u64,
    /// Of these, those behind which no other session can stand.
    pub sure: u64,
    /// Of these, those that allowed to create, update or delete: whether it was done they do not say.
    pub writes: u64,
    /// Changes of credentials.
    pub credentials: u64,
    /// When the last of it was; none: nothing was done.
    pub last: Option<i64>,
    /// Events of it, in order of time.
    pub evidence: Vec<Uuid>,
}

/// A time for which something may be missing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gap {
    /// Source id; empty: any.
    pub source: String,
    /// Realm, instance or stream.
    pub scope: String,
    /// Way in; empty: any.
    pub input: String,
    /// Why, in a word.
    pub cause: String,
    /// From when.
    pub since: i64,
    /// Until when; none: still.
    pub until: Option<i64>,
    /// How much, where known.
    pub missing: Option<u64>,
    /// When everything was there after all.
    pub repaired: Option<i64>,
    /// The way by which it came; empty while it did not.
    pub repaired_by: String,
}

/// An event that must have happened and is not there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Missing {
    /// Source id; empty: not known.
    pub source: String,
    /// Whose right.
    pub person: String,
    /// Kind of right.
    pub right_kind: String,
    /// Its id.
    pub right: String,
    /// What the missing event did.
    pub what: String,
    /// It happened after this.
    pub after: i64,
    /// And before this.
    pub before: i64,
    /// The evidence before and behind it.
    pub evidence: Vec<Uuid>,
}

/// Product of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// Keycloak.
    Keycloak,
    /// Backstage.
    Backstage,
}

/// A source of the config.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// Its id.
    pub id: String,
    /// Product.
    pub product: Product,
    /// Whether silence can be told from peace: heartbeats or a pull.
    pub proven: bool,
    /// Its first event; none: nothing came yet.
    pub first: Option<i64>,
    /// Life of the tokens that it issues (a Backstage), milliseconds.
    pub token_life: i64,
}

impl Facts {
    /// True if a gap that nothing has repaired meets [from, to] for a source of this product.
    pub fn gap_within(&self, product: Product, span: (i64, i64)) -> bool {
        let of = |gap: &Gap| self.sources.iter().any(|one| one.id == gap.source && one.product == product);
        self.gaps_within(span).any(|gap| gap.source.is_empty() || of(gap))
    }

    /// The same for one source: what another sends cannot have been lost with it.
    pub fn gap_of(&self, source: &str, span: (i64, i64)) -> bool {
        self.gaps_within(span).any(|gap| gap.source.is_empty() || gap.source == source)
    }

    /// True if this is a source of this product.
    pub fn is_of(&self, source: &str, product: Product) -> bool {
        self.sources.iter().any(|one| one.id == source && one.product == product)
    }

    fn gaps_within(&self, (from, to): (i64, i64)) -> impl Iterator<Item = &Gap> {
        let meets = move |gap: &&Gap| gap.since <= to && gap.until.is_none_or(|until| until >= from);
        self.gaps.iter().filter(|gap| gap.repaired.is_none()).filter(meets)
    }

    /// Sources of these products that are silent now, with why.
    pub fn silent(&self, products: &[Product]) -> Vec<String> {
        let mut silent: Vec<String> = Vec::new();
        for gap in
            self.gaps.iter().filter(|gap| gap.until.is_none() && gap.repaired.is_none() && gap.cause != CLOCK_OFF)
        {
            let of = |one: &Source| one.id == gap.source && products.contains(&one.product);
            if (gap.source.is_empty() && !products.is_empty()) || self.sources.iter().any(of) {
                let source = if gap.source.is_empty() { "any source" } else { &gap.source };
                silent.push([source, &gap.input, &gap.cause.replace('_', " ")].join(" ").replace("  ", " "));
            }
        }
        silent.sort();
        silent.dedup();
        silent
    }

    /// Gaps of sources of these products, or of any, that nothing has repaired.
    pub fn unrepaired(&self, products: &[Product]) -> usize {
        let of = |gap: &Gap| {
            let source = |one: &Source| one.id == gap.source && products.contains(&one.product);
            (gap.source.is_empty() && !products.is_empty()) || self.sources.iter().any(source)
        };
        self.gaps.iter().filter(|gap| gap.repaired.is_none() && of(gap)).count()
    }

    /// Sources of these products that send something, and whose silence proves nothing.
    pub fn unproven(&self, products: &[Product]) -> Vec<&str> {
        let unproven = |one: &&Source| !one.proven && one.first.is_some() && products.contains(&one.product);
        self.sources.iter().filter(unproven).map(|one| one.id.as_str()).collect()
    }

    /// From here on the credential behind a decision was heard of, if there is one.
    pub fn credentials_since(&self) -> i64 {
        let heard = |product| {
            self.sources
                .iter()
                .filter(|one| one.product == product)
                .filter_map(|one| one.first)
                .max()
                .unwrap_or(i64::MAX)
        };
        heard(Product::Keycloak).max(heard(Product::Backstage)).saturating_add(self.token_life())
    }

    /// The longest that a credential lives, milliseconds.
    pub fn token_life(&self) -> i64 {
        self.sources.iter().map(|one| one.token_life).max().unwrap_or_default()
    }
}
