//! The register of findings as rules and receivers ask for it: what one look speaks of, row by row, and never the whole of it at once.
//! However much was ever found costs time, and stops nothing. Decides nothing: what stands is the view's word.

use crate::{
    Store, StoreError,
    correlation::{storable, streaming},
    error::within,
    findings::{FINDING, FINDINGS_MAX, Finding},
    query::{all, parts, rows},
    settings::QUERY_WAIT,
};
use clickhouse::Row;
use serde::Deserialize;
use std::collections::{BTreeMap, HashSet};
use uuid::Uuid;

/// A list of more parts than this is not asked for part by part: the register is read once, and what is wanted is picked.
const PARTS_MAX: usize = 4;
/// Into so many buckets the ids of findings fall.
const BUCKETS: u16 = 4_096;

/// What the rules need to know of a finding that they held before.
#[derive(Clone, Debug, PartialEq, Row, Deserialize)]
pub struct Entry {
    /// Id.
    #[serde(with = "clickhouse::serde::uuid")]
    pub finding_id: Uuid,
    /// Rule id.
    pub rule: String,
    /// Person key; empty: none.
    pub person: String,
    /// When it began, UTC milliseconds.
    pub first_at: i64,
    /// Hash of what it says.
    pub content: u64,
    /// As in [`Finding`].
    pub standing: String,
    /// As in [`Finding`].
    pub handling: String,
    /// Changes by rules.
    pub changes: u64,
}

/// A finding that stands, with the last word of people on it.
#[derive(Clone, Debug, PartialEq, Row, Deserialize)]
pub struct DealtWith {
    /// Id.
    #[serde(with = "clickhouse::serde::uuid")]
    pub finding_id: Uuid,
    /// Rule id.
    pub rule: String,
    /// How bad it is now.
    pub severity: String,
    /// When it began, UTC milliseconds.
    pub first_at: i64,
    /// When it was last seen.
    pub last_at: i64,
    /// `acknowledged` or `closed`.
    pub handling: String,
    /// When that was said.
    pub handled_at: i64,
    /// How bad it was to whoever closed it; empty: not said.
    pub handled_severity: String,
}

/// Of which findings a look speaks; what was withdrawn is in none.
#[derive(Clone, Debug, Default)]
pub struct RegisterScope {
    /// Rules of which all findings count.
    pub whole: Vec<String>,
    /// Rules of which those count that began in a time.
    pub timed: Vec<String>,
    /// That time, UTC milliseconds, [from, to).
    pub time: (i64, i64),
    /// Rules of which those of some persons count, and those of nobody.
    pub personal: Vec<String>,
    /// These persons; none: everybody. Of many, others are told as well.
    pub persons: Option<Vec<String>>,
    /// Rules of which those count that somebody is to do something about.
    pub standing: Vec<String>,
}

/// Of whom findings are.
#[derive(Clone, Copy, Debug)]
pub enum FoundOf<'a> {
    /// Anybody.
    Anybody,
    /// Who is among these.
    Persons(&'a [String]),
    /// Who has one in these buckets of ids.
    Buckets(&'a [u16]),
}

/// Which findings there are: a digest of the ids in each bucket, which whoever adds one changes.
pub type Digests = BTreeMap<u16, u64>;

/// The bucket of an id.
const BUCKET: &str = "toUInt16(cityHash64(finding_id) % {buckets:UInt16})";
/// Columns of [`Entry`] and where they are.
const ENTRY: &str = "SELECT ?fields FROM findings WHERE tenant = {tenant:String}";

impl Store {
    /// Hands over the findings of a scope, in no order.
    pub async fn register(
        &self,
        tenant: &str,
        scope: &RegisterScope,
        each: &mut (dyn FnMut(Entry) + Send),
    ) -> Result<(), StoreError> {
        let sql = format!(
            "{ENTRY} AND standing != 'withdrawn' AND (has({{whole:Array(String)}}, rule) \
             OR (has({{timed:Array(String)}}, rule) AND first_at >= fromUnixTimestamp64Milli({{from:Int64}}, 'UTC') \
                 AND first_at < fromUnixTimestamp64Milli({{to:Int64}}, 'UTC')) \
             OR (has({{personal:Array(String)}}, rule) AND ({{everybody:UInt8}} = 1 OR person IN {{persons:Array(String)}} OR ({{nobody:UInt8}} = 1 AND person = ''))) \
             OR (has({{standing:Array(String)}}, rule) AND standing = 'open' AND handling != 'closed'))"
        );
        let persons = scope.persons.as_deref().map(parts);
        let everybody = persons.as_ref().is_none_or(|parts| parts.len() > PARTS_MAX);
        let mut persons = persons.filter(|_| !everybody).unwrap_or_default();
        let (nothing, nobody) = (Vec::new(), ["-".to_owned()]);
        if persons.is_empty() {
            persons.push(&nobody);
        }
        for (place, persons) in persons.into_iter().enumerate() {
            let once = |rules| if place == 0 { rules } else { &nothing };
            let asked = self
                .ask(&sql)
                .param("tenant", tenant)
                .param("whole", once(&scope.whole))
                .param("timed", once(&scope.timed))
                .param("standing", once(&scope.standing))
                .param("from", storable(scope.time.0))
                .param("to", storable(scope.time.1))
                .param("personal", &scope.personal)
                .param("everybody", u8::from(everybody))
                .param("nobody", u8::from(place == 0))
                .param("persons", persons);
            let mut found = streaming(asked).fetch::<Entry>()?;
            while let Some(entry) = within(QUERY_WAIT, found.next()).await? {
                each(entry);
            }
        }
        Ok(())
    }

    /// Some findings by their ids, also such as were withdrawn.
    pub async fn register_of(&self, tenant: &str, findings: &[Uuid]) -> Result<Vec<Entry>, StoreError> {
        let named: Vec<String> = findings.iter().map(Uuid::to_string).collect();
        let (parts, mut found) = (parts(&named), Vec::new());
        if parts.len() > PARTS_MAX {
            let wanted: HashSet<&Uuid> = findings.iter().collect();
            let mut all = streaming(self.ask(ENTRY).param("tenant", tenant)).fetch::<Entry>()?;
            while let Some(entry) = within(QUERY_WAIT, all.next()).await? {
                found.extend(Some(entry).filter(|entry| wanted.contains(&entry.finding_id)));
            }
            return Ok(found);
        }
        let sql = format!("{ENTRY} AND finding_id IN (arrayMap(id -> toUUID(id), {{findings:Array(String)}}))");
        for some in parts {
            found.extend(rows::<Entry>(self.ask(&sql).param("tenant", tenant).param("findings", some)).await?);
        }
        Ok(found)
    }

    /// Rule, severity and how many findings somebody is to do something about.
    pub async fn register_counts(&self, tenant: &str) -> Result<Vec<(String, String, u64)>, StoreError> {
        let sql = "SELECT rule, severity, count() FROM findings WHERE tenant = {tenant:String} \
            AND standing = 'open' AND handling != 'closed' GROUP BY rule, severity ORDER BY rule, severity";
        rows(self.ask(sql).param("tenant", tenant)).await
    }

    /// Digests of the ids of all findings of some rules.
    pub async fn register_digests(&self, tenant: &str, rules: &[&str]) -> Result<Digests, StoreError> {
        let sql = format!(
            "SELECT {BUCKET} AS bucket, groupBitXor(sipHash64(finding_id)) FROM \
             (SELECT DISTINCT finding_id FROM finding_rows WHERE tenant = {{tenant:String}} AND has({{rules:Array(String)}}, rule)) \
             GROUP BY bucket"
        );
        let asked = self.ask(&sql).param("tenant", tenant).param("rules", rules).param("buckets", BUCKETS);
        Ok(rows::<(u16, u64)>(asked).await?.into_iter().collect())
    }

    /// Persons of whom some rules ever found something, in order.
    pub async fn persons_found(
        &self,
        (tenant, rules): (&str, &[&str]),
        of: FoundOf<'_>,
    ) -> Result<Vec<String>, StoreError> {
        let sql = |which: &str| {
            format!(
                "SELECT DISTINCT person FROM finding_rows WHERE tenant = {{tenant:String}} AND has({{rules:Array(String)}}, rule) \
                 AND person != '' {which}"
            )
        };
        let ask = |sql: &str| self.ask(sql).param("tenant", tenant).param("rules", rules);
        let mut found: Vec<String> = match of {
            FoundOf::Anybody => rows(ask(&sql(""))).await?,
            FoundOf::Buckets(buckets) => {
                let sql = sql(&format!("AND has({{which:Array(UInt16)}}, {BUCKET})"));
                rows(ask(&sql).param("which", buckets).param("buckets", BUCKETS)).await?
            }
            FoundOf::Persons(persons) => {
                let sql = sql("AND person IN {persons:Array(String)}");
                let mut found = Vec::new();
                for some in parts(persons) {
                    found.extend(rows::<String>(ask(&sql).param("persons", some)).await?);
                }
                found
            }
        };
        found.sort();
        Ok(found)
    }

    /// Findings that stand although somebody dealt with them, and that say something since which these may not have known.
    pub async fn dealt_with(&self, tenant: &str) -> Result<Vec<DealtWith>, StoreError> {
        let sql = "SELECT ?fields FROM findings WHERE tenant = {tenant:String} AND standing = 'open' AND handling != '' \
            AND (last_at > handled_at OR (handling = 'closed' AND handled_severity != '' AND handled_severity != severity))";
        rows(self.ask(sql).param("tenant", tenant)).await
    }

    /// Hands over what a receiver may have to be told now, in no order: findings that stand and nobody is silent about, and those that ended
    /// and were opened at or after `since` (UTC milliseconds).
    pub async fn findings_to_tell(
        &self,
        (tenant, since): (&str, i64),
        each: &mut (dyn FnMut(Finding) + Send),
    ) -> Result<(), StoreError> {
        let sql = format!(
            "SELECT {FINDING} FROM findings AS f WHERE tenant = {{tenant:String}} AND ((standing = 'open' AND state IN ('OPEN', 'ACKNOWLEDGED')) \
             OR (state = 'ENDED' AND opened_at >= fromUnixTimestamp64Milli({{since:Int64}}, 'UTC')))"
        );
        let asked = self.ask(&sql).param("tenant", tenant).param("since", storable(since));
        let mut found = streaming(asked).fetch::<Finding>()?;
        while let Some(finding) = within(QUERY_WAIT, found.next()).await? {
            each(finding);
        }
        Ok(())
    }

    /// Some findings by their ids, in no order.
    pub async fn findings_of(&self, tenant: &str, findings: &[Uuid]) -> Result<Vec<Finding>, StoreError> {
        let sql = format!(
            "SELECT {FINDING} FROM findings AS f WHERE tenant = {{tenant:String}} \
             AND finding_id IN (arrayMap(id -> toUUID(id), {{findings:Array(String)}}))"
        );
        let findings: Vec<String> = findings.iter().map(Uuid::to_string).collect();
        let mut found = Vec::new();
        for some in parts(&findings) {
            found.extend(rows::<Finding>(self.ask(&sql).param("tenant", tenant).param("findings", some)).await?);
        }
        Ok(found)
    }

    /// Findings in some states, the latest first.
    pub async fn findings_in_state(&self, tenant: &str, states: &[&str]) -> Result<Vec<Finding>, StoreError> {
        let sql = format!(
            "SELECT {FINDING} FROM findings AS f WHERE tenant = {{tenant:String}} AND has({{states:Array(String)}}, state) \
             ORDER BY first_at DESC, finding_id LIMIT {{beyond:UInt32}}"
        );
        all(self.ask(&sql).param("tenant", tenant).param("states", states), FINDINGS_MAX).await
    }

    /// Findings whose id begins so, the latest first.
    pub async fn findings_named(&self, tenant: &str, begins: &str) -> Result<Vec<Finding>, StoreError> {
        let sql = format!(
            "SELECT {FINDING} FROM findings AS f WHERE tenant = {{tenant:String}} AND startsWith(toString(finding_id), {{begins:String}}) \
             ORDER BY first_at DESC, finding_id LIMIT {{beyond:UInt32}}"
        );
        all(self.ask(&sql).param("tenant", tenant).param("begins", begins), FINDINGS_MAX).await
    }
}
