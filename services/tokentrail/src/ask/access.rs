//! `tokentrail access`: what somebody could do, by every path, at an instant or over a time.

use super::{
    AccessArgs, at,
    clocks::{self, Clock, Known},
    one_person, person, rights,
};
use crate::{
    config::Config,
    status::moment,
    table::{Align, Table},
};
use serde::Serialize;
use std::collections::BTreeMap;
use store::{
    Store,
    correlation::{AliasRecord, EffectiveRecord, WorldRecord},
};

/// Rights of a person.
#[derive(Serialize)]
pub struct Access {
    person: String,
    /// What they are: `user`, `service_account`, `static`, `plugin`, `name`.
    kind: &'static str,
    names: Vec<AliasRecord>,
    from: i64,
    /// The last instant that is asked for.
    to: i64,
    /// By whose knowledge.
    clock: Clock,
    /// What each Backstage goes by, on another clock than Keycloak's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    known: Vec<Known>,
    /// When the account was disabled, and when it was no more.
    account: Vec<WorldRecord>,
    rights: Vec<EffectiveRecord>,
    right_names: BTreeMap<String, String>,
    policies_known: bool,
}

/// What somebody could do.
pub async fn of_person(store: &Store, config: &Config, args: &AccessArgs) -> anyhow::Result<Access> {
    let tenant = &config.tenant;
    let bearer = one_person(store, tenant, &args.person).await?;
    let (from, to) = match (args.from, args.to) {
        (None, None) => (at(args.at), at(args.at)),
        (from, to) => (from.map_or(i64::MIN, |from| from.0), at(to).saturating_sub(1)),
    };
    let (known, rights) = match args.clock {
        Clock::Keycloak => (Vec::new(), store.rights_of(tenant, &bearer.person, (from, to)).await?),
        clock => clocks::rights(store, config, (&bearer.person, to), clock).await?,
    };
    let meets =
        |row: &WorldRecord| row.held_from.is_none_or(|begin| begin <= to) && row.held_to.is_none_or(|end| end > from);
    let account = store.account_of(tenant, &bearer.person).await?.into_iter().filter(meets).collect();
    let right_names = rights::names(store, tenant, &rights).await?;
    let policies_known = store.knows_policies(tenant, to).await?;
    let kind = person::kind(&bearer.names);
    Ok(Access {
        person: bearer.person,
        kind,
        names: bearer.names,
        from,
        to,
        clock: args.clock,
        known,
        account,
        rights,
        right_names,
        policies_known,
    })
}

/// For people.
pub fn render_person(access: &Access) -> String {
    use Align::Left;
    let mut out =
        format!("  {} ({}, person {})\n", person::names(&access.names), person::describe(access.kind), access.person);
    for row in &access.account {
        let what = if row.kind == "gone" {
            "deleted"
        } else {
            "disabled: may not sign in, and has what follows only while a token lives"
        };
        let since = row.held_from.map_or_else(|| "as far back as known".to_owned(), moment);
        let until = row.held_to.map(|end| format!(" until {}", moment(end))).unwrap_or_default();
        out.push_str(&format!("  {what}; since {since}{until}\n"));
    }
    out.push_str(&clocks::lines(access.clock, &access.known));
    out.push('\n');
    if access.rights.is_empty() {
        out.push_str("  has nothing then, as far as is known\n");
        return out;
    }
    let columns =
        [("right", Left), ("kind", Left), ("through", Left), ("from", Left), ("until", Left), ("by", Left), ("", Left)];
    let mut table = Table::new(&columns);
    for right in &access.rights {
        let [from, to, by, note] = rights::held(right);
        let (name, through) = (rights::name(right, &access.right_names), rights::through(right, &access.right_names));
        table.row(vec![name, right.right_kind.replace('_', " "), through, from, to, by, note]);
    }
    out.push_str(&table.render());
    if !access.policies_known {
        out.push_str("\n  No policy of a Backstage is known for then: what its roles permit cannot be told.\n");
    }
    out
}
