//! Facts of what operators say of persons.

use super::{Fact, What, detail, fact};
use crate::moment::Rank;
use events::{act::AccountKind, event::Event};

/// An account, as its source names it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Account<'a> {
    /// Source id.
    pub source: &'a str,
    /// What it is there.
    pub kind: AccountKind,
    /// Its id or name.
    pub name: &'a str,
}

pub(super) fn facts<'a>(event: &'a Event, take: &mut dyn FnMut(Fact<'a>)) {
    let name = if event.person_id.is_empty() { &event.person_name } else { &event.person_id };
    let account = account(detail(event, "account_source"), detail(event, "account_kind"), name);
    let into = self::account(detail(event, "into_source"), &event.resource_kind, &event.resource);
    match (event.kind.as_str(), account, into) {
        ("person_merged", Some(account), Some(into)) => {
            take(fact(event, Rank::Change, What::Merged { account, into }));
        }
        ("person_split", Some(account), _) => take(fact(event, Rank::Change, What::Split { account })),
        _ => {}
    }
}

fn account<'a>(source: &'a str, kind: &'a str, name: &'a str) -> Option<Account<'a>> {
    let kind = kind.parse().ok()?;
    (!source.is_empty() && !name.is_empty()).then_some(Account { source, kind, name })
}
