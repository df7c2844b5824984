//! An operator's act on findings: a receipt of the journal, and waited for until the register says so.

use crate::{
    app::acts::FINDINGS,
    config::Config,
    handing_in::{FOLLOWING, LOOK, hand_in},
};
use anyhow::bail;
use events::{
    act::TEXT_BYTES,
    finding_act::{BY_RULES, FindingAct, Handled, change_id},
};
use std::time::Instant;
use store::Store;
use uuid::Uuid;

/// Where acts are made.
pub struct Desk<'a> {
    /// Of the program that takes receipts in.
    pub config: &'a Config,
    /// Of the register.
    pub store: &'a Store,
}

impl Desk<'_> {
    /// Whose findings.
    pub fn tenant(&self) -> &str {
        &self.config.tenant
    }

    /// Makes the act and waits until the register says so; a word to add where it does not by now.
    pub async fn act(&self, said: Handled, (by, reason): (&str, &str)) -> anyhow::Result<&'static str> {
        let (by, reason) = (by.trim().to_owned(), reason.trim().to_owned());
        let act = FindingAct { said, by, reason };
        if !act.is_whole() {
            bail!(
                "--by names a person and --reason says why; neither may be empty or longer than {TEXT_BYTES} bytes, and `{BY_RULES}` is no person"
            );
        }
        let id = Uuid::new_v4();
        hand_in(self.config, (FINDINGS, id), &act).await?;
        let began = Instant::now();
        while !self.store.register_holds(self.tenant(), change_id(id)).await? {
            if began.elapsed() > FOLLOWING {
                return Ok("; the register follows as soon as the receipt is stored (`tokentrail status`)");
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok("")
    }
}
