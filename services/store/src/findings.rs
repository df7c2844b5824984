//! The findings register, the states of rules, and the messages to receivers. Every row has a deterministic key: writing one again
//! changes nothing. Decides nothing: what is found is the rules' word, what becomes of it the operators'.

use crate::{
    Store, StoreError,
    query::{all, rows},
};
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Most findings of one answer to a person.
pub(crate) const FINDINGS_MAX: (&str, u32) = ("findings", 200_000);

/// A finding as the rules say it.
#[derive(Clone, Debug, PartialEq, Row, Serialize, Deserialize)]
pub struct FindingRow {
    /// Tenant.
    pub tenant: String,
    /// Id.
    #[serde(with = "clickhouse::serde::uuid")]
    pub finding_id: Uuid,
    /// The greatest wins.
    pub version: u64,
    /// Rule id.
    pub rule: String,
    /// Version of the rule.
    pub rule_version: u32,
    /// Person key; empty: none.
    pub person: String,
    /// How bad.
    pub severity: String,
    /// How sure.
    pub confidence: String,
    /// When it began, UTC milliseconds.
    pub first_at: i64,
    /// When it was last seen, UTC milliseconds.
    pub last_at: i64,
    /// JSON object.
    pub detail: String,
    /// Event ids.
    pub evidence: Vec<crate::correlation::Id>,
    /// STREAM/SEQ of each.
    pub receipts: Vec<String>,
    /// Hash of what it says.
    pub content: u64,
}

/// A change of a finding.
#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct FindingChange {
    /// Tenant.
    pub tenant: String,
    /// Finding.
    #[serde(with = "clickhouse::serde::uuid")]
    pub finding_id: Uuid,
    /// Id of the change.
    #[serde(with = "clickhouse::serde::uuid")]
    pub change_id: Uuid,
    /// When, UTC milliseconds.
    pub changed_at: i64,
    /// What.
    pub what: String,
    /// `rules`, or who. Personal.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// End of a suppression.
    pub until: Option<i64>,
    /// Of `closed`: how bad it was to whoever closed it; empty: not said.
    pub severity: String,
    /// Of `revived`: when the act was made that it answers.
    pub answers: Option<i64>,
}

/// A finding with what became of it.
#[derive(Clone, Debug, PartialEq, Row, Serialize, Deserialize)]
pub struct Finding {
    /// Id.
    #[serde(with = "clickhouse::serde::uuid")]
    pub finding_id: Uuid,
    /// Rule id.
    pub rule: String,
    /// Version of the rule.
    pub rule_version: u32,
    /// Person key; empty: none.
    pub person: String,
    /// How bad.
    pub severity: String,
    /// How sure.
    pub confidence: String,
    /// When it began, UTC milliseconds.
    pub first_at: i64,
    /// When it was last seen.
    pub last_at: i64,
    /// JSON object of numbers and words.
    pub detail: String,
    /// Event ids, as text.
    pub evidence: Vec<String>,
    /// STREAM/SEQ of each that is stored.
    pub receipts: Vec<String>,
    /// Hash of what it says.
    pub content: u64,
    /// When it was opened.
    pub opened_at: i64,
    /// `open`, `ended`, `withdrawn`; empty: not opened yet.
    pub standing: String,
    /// `acknowledged`, `closed` or empty.
    pub handling: String,
    /// Changes by rules.
    pub changes: u64,
    /// Who handled it last. Personal.
    pub owner: String,
    /// End of the longest suppression that counts now, else of its own last one.
    pub suppressed_until: Option<i64>,
    /// OPEN, ACKNOWLEDGED, SUPPRESSED, ENDED, CLOSED or WITHDRAWN.
    pub state: String,
    /// The suppression of a group by which it is suppressed; empty: none, or it is suppressed by itself.
    pub suppression: String,
    /// 1: it ended while it was suppressed.
    pub over_unheard: u8,
}

/// How a rule stands.
#[derive(Clone, Debug, PartialEq, Row, Serialize, Deserialize)]
pub struct RuleState {
    /// Tenant.
    pub tenant: String,
    /// Rule id.
    pub rule: String,
    /// Since when, UTC milliseconds.
    pub since: i64,
    /// In words.
    pub state: String,
    /// Version of the rule.
    pub rule_version: u32,
    /// Findings that stand.
    pub open: u32,
    /// Why, or what is not judged.
    pub detail: String,
}

/// A message to a receiver.
#[derive(Clone, Debug, PartialEq, Row, Serialize, Deserialize)]
pub struct AlertMessage {
    /// Tenant.
    pub tenant: String,
    /// Receiver's name.
    pub receiver: String,
    /// Id: the same on every attempt.
    #[serde(with = "clickhouse::serde::uuid")]
    pub message_id: Uuid,
    /// 1: to be delivered, 2: delivered.
    pub version: u8,
    /// When it was made, UTC milliseconds.
    pub created_at: i64,
    /// When it was delivered.
    pub delivered_at: Option<i64>,
    /// Finding, and `firing` or `resolved`.
    pub items: Vec<(crate::correlation::Id, String)>,
    /// What is sent.
    pub body: String,
}

/// Columns of [`Finding`], in order.
pub(crate) const FINDING: &str = "finding_id, rule, rule_version, person, severity, confidence, first_at, last_at, detail, \
    arrayMap(x -> toString(x), f.evidence) AS evidence, receipts, content, opened_at, standing, handling, changes, owner, suppressed_until, state, suppression, over_unheard";

impl Store {
    /// Writes findings; their changes are written after them.
    pub async fn put_findings(&self, findings: &[FindingRow]) -> Result<(), StoreError> {
        self.write_typed::<FindingRow>("finding_rows", findings).await
    }

    /// Writes changes of findings.
    pub async fn put_finding_changes(&self, changes: &[FindingChange]) -> Result<(), StoreError> {
        self.write_typed::<FindingChange>("finding_change_rows", changes).await
    }

    /// All findings of a tenant, the latest first.
    pub async fn findings(&self, tenant: &str) -> Result<Vec<Finding>, StoreError> {
        let sql = format!(
            "SELECT {FINDING} FROM findings AS f WHERE tenant = {{tenant:String}} ORDER BY first_at DESC, finding_id LIMIT {{beyond:UInt32}}"
        );
        all(self.ask(&sql).param("tenant", tenant), FINDINGS_MAX).await
    }

    /// Whether an operator's act is written, by its id.
    pub async fn register_holds(&self, tenant: &str, act: Uuid) -> Result<bool, StoreError> {
        let of = |table: &str| {
            format!(
                "SELECT 1 AS one FROM {table} WHERE tenant = {{tenant:String}} AND change_id = toUUID({{act:String}}) LIMIT 1"
            )
        };
        let sql = format!("{} UNION ALL {}", of("finding_change_rows"), of("suppression_rows"));
        let asked = self.ask(&sql).param("tenant", tenant).param("act", act.to_string());
        Ok(!rows::<u8>(asked).await?.is_empty())
    }

    /// The changes of a finding, in order of time.
    pub async fn finding_changes(&self, tenant: &str, finding: Uuid) -> Result<Vec<FindingChange>, StoreError> {
        let sql = "SELECT ?fields FROM finding_change_rows FINAL WHERE tenant = {tenant:String} \
            AND finding_id = toUUID({finding:String}) ORDER BY changed_at, change_id";
        rows(self.ask(sql).param("tenant", tenant).param("finding", finding.to_string())).await
    }

    /// Writes how rules stand.
    pub async fn put_rule_states(&self, states: &[RuleState]) -> Result<(), StoreError> {
        self.write_typed::<RuleState>("rule_state_rows", states).await
    }

    /// How each rule stood last.
    pub async fn rule_states(&self, tenant: &str) -> Result<Vec<RuleState>, StoreError> {
        let sql = "SELECT ?fields FROM rule_state_rows FINAL WHERE tenant = {tenant:String} ORDER BY rule, since DESC LIMIT 1 BY rule";
        rows(self.ask(sql).param("tenant", tenant)).await
    }

    /// Writes a message: before its first attempt, and after its delivery.
    pub async fn put_alert_message(&self, message: &AlertMessage) -> Result<(), StoreError> {
        self.write_typed::<AlertMessage>("alert_message_rows", std::slice::from_ref(message)).await
    }

    /// All messages to a receiver, in order of time; the bodies only of those that are not delivered.
    pub async fn alert_messages(&self, tenant: &str, receiver: &str) -> Result<Vec<AlertMessage>, StoreError> {
        let sql = "SELECT tenant, receiver, message_id, version, created_at, delivered_at, items, if(version = 1, body, '') AS body \
            FROM alert_message_rows FINAL WHERE tenant = {tenant:String} AND receiver = {receiver:String} ORDER BY created_at, message_id";
        rows(self.ask(sql).param("tenant", tenant).param("receiver", receiver)).await
    }
}
