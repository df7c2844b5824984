//! Turns records of the log into one block for the store: pure, so that a replay gives the same block.

use crate::correlation::{Announcement, Announcing};
use durable_log::{Record, carrier::DeadLetter};
use events::{
    event::Event,
    ids::{Position, StreamId},
    normalise::{Context, Dead, NORMALISER_VERSION, Normalised, normalise},
    receipt::{Input, Payload, Receipt, ReceiptHeader},
};
use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};
use store::{Block, Fate, Laid, Laying, Layout, Records, StoreError, StoredReceipt};
use tokio::sync::{mpsc, oneshot};

/// The chain value is stored with every receipt whose seq is a multiple of this; between, it is recomputed.
pub const CHAIN_EVERY: u64 = 4096;

/// What one read of the log becomes.
pub struct Work {
    /// Receipts and events.
    pub block: Block,
    /// What receipts among them say of completeness, and what operators did. To be written after them.
    pub records: Records,
    /// What nobody understood, as it came.
    pub dead: Vec<DeadLetter>,
}

/// Records of which what becomes of them is in memory at once; a block is laid out so many at a time.
const TOGETHER: usize = 500;

/// [`Work`] as it waits for ClickHouse.
pub struct Ready {
    /// Receipts and events.
    pub block: Laid,
    /// To be written after them.
    pub records: Records,
    /// What nobody understood.
    pub dead: Vec<DeadLetter>,
    /// What whoever correlates is told.
    pub told: Announcement,
    /// How many receipts had each fate.
    pub fates: BTreeMap<&'static str, u64>,
    /// How many events they yielded.
    pub events: u64,
}

/// Records, the tables that they go into, and where to send what becomes of them.
pub type Task = (Arc<Vec<Record>>, Layout, oneshot::Sender<Result<Ready, StoreError>>);

/// One thread for all blocks, until nobody can send it one: an allocator keeps for each thread what a block took, and of several threads each
/// would keep as much.
pub fn normaliser(context: Context) -> mpsc::Sender<Task> {
    let (given, mut taken) = mpsc::channel::<Task>(1);
    tokio::task::spawn_blocking(move || {
        while let Some((records, layout, answer)) = taken.blocking_recv() {
            // Nobody waits for it: the flow has ended.
            let _ = answer.send(ready((&records, &layout), &context));
        }
    });
    given
}

/// Normalises records and lays them out, some at a time.
fn ready((records, layout): (&[Record], &Layout), context: &Context) -> Result<Ready, StoreError> {
    let (mut laying, mut announcing) = (Laying::new(layout, records.len()), Announcing::default());
    let (mut told, mut dead, mut events) = (Records::default(), Vec::new(), 0);
    let mut fates = BTreeMap::new();
    for some in records.chunks(TOGETHER) {
        let work = work(some.to_vec(), context);
        laying.add(&work.block)?;
        announcing.add(&work.block);
        told.append(work.records);
        dead.extend(work.dead);
        events += work.block.events.len() as u64;
        for receipt in &work.block.receipts {
            *fates.entry(receipt.fate.as_str()).or_default() += 1;
        }
    }
    Ok(Ready { block: laying.finish()?, records: told, dead, told: announcing.finish(), fates, events })
}

/// Normalises every record: each receives exactly one fate, also one whose header cannot be read.
pub fn work(records: Vec<Record>, context: &Context) -> Work {
    let note = |told: &mut Records, receipt: &Receipt| {
        crate::coverage::note(told, receipt);
        crate::register::note(told, receipt);
    };
    work_by(records, note, |receipt| normalise(receipt, context))
}

fn work_by(
    records: Vec<Record>,
    note: impl Fn(&mut Records, &Receipt),
    normalise: impl Fn(&Receipt) -> Normalised,
) -> Work {
    let (mut told, mut dead) = (Records::default(), Vec::new());
    let mut block = Block { receipts: Vec::with_capacity(records.len()), events: Vec::with_capacity(records.len()) };
    for record in records {
        let position = Position { stream: StreamId(record.stream), seq: record.seq };
        let (receipt, fate) = match ReceiptHeader::from_bytes(&record.header) {
            Ok(header) => {
                let receipt = Receipt { position, header, body: record.body.to_vec() };
                let yielded = match noted(&receipt, &note) {
                    Some(noted) => {
                        told.append(noted);
                        judged(&receipt, &normalise)
                    }
                    None => Normalised::Dead(Dead::NormaliserFailed),
                };
                let fate = settle(&receipt.header, yielded, &mut block.events);
                (receipt, fate)
            }
            Err(_) => (headless(position, &record), Fate::Dead(Dead::BadHeader)),
        };
        if let Fate::Dead(reason) = &fate {
            let (record, reason) = (record.clone(), reason.as_str());
            dead.push(DeadLetter { record, reason, normaliser: NORMALISER_VERSION });
        }
        let chain = record.seq.is_multiple_of(CHAIN_EVERY).then_some(record.chain);
        block.receipts.push(StoredReceipt {
            receipt,
            fate,
            salt: record.salt,
            commitment: record.commitment,
            chain,
            enc: record.enc.key,
            normaliser: NORMALISER_VERSION,
        });
    }
    Work { block, records: told, dead }
}

/// What a receipt says of completeness and findings; none if reading that died of it, with nothing half told.
pub(crate) fn noted(receipt: &Receipt, note: impl Fn(&mut Records, &Receipt)) -> Option<Records> {
    let noting = || {
        let mut told = Records::default();
        note(&mut told, receipt);
        told
    };
    catch_unwind(AssertUnwindSafe(noting)).ok()
}

/// What a normaliser yields. One that dies of a receipt is to blame itself, and neither the receipts beside it nor the processor: the
/// receipt is a dead letter, to be tried again by a normaliser that is mended.
pub(crate) fn judged(receipt: &Receipt, normalise: impl Fn(&Receipt) -> Normalised) -> Normalised {
    // It is pure: a panic leaves nothing behind.
    catch_unwind(AssertUnwindSafe(|| normalise(receipt))).unwrap_or(Normalised::Dead(Dead::NormaliserFailed))
}

/// The one fate of what a normaliser yields; its events go to the others.
pub(crate) fn settle(header: &ReceiptHeader, normalised: Normalised, events: &mut Vec<Event>) -> Fate {
    match normalised {
        Normalised::Events(yielded) => match yielded.first() {
            Some(first) => {
                let fate = Fate::event(header, first);
                events.extend(yielded);
                fate
            }
            None => Fate::Dead(Dead::UnknownShape),
        },
        Normalised::Ignored(reason) => Fate::Ignored(reason),
        Normalised::Dead(reason) => Fate::Dead(reason),
    }
}

/// Stands in for a header that cannot be read, so that the receipt is still counted and can be looked at.
fn headless(position: Position, record: &Record) -> Receipt {
    let header = ReceiptHeader::own("", (Input::Collector, Payload::Unparsable), 0);
    Receipt { position, header, body: record.body.to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use durable_log::Enc;
    use events::normalise::Ignored;

    fn record(seq: u64, body: &str) -> Record {
        let header = ReceiptHeader::own("acme", (Input::Webhook, Payload::KeycloakWebhook), 0);
        Record {
            offset: seq,
            stream: [1; 16],
            seq,
            header: header.to_bytes().into(),
            body: body.to_owned().into(),
            salt: [0; 16],
            commitment: [0; 32],
            chain: [0; 32],
            enc: Enc::NONE,
        }
    }

    /// Tells one thing of each receipt.
    fn tell(told: &mut Records, receipt: &Receipt) {
        told.watermarks.push(store::Watermark {
            tenant: receipt.header.tenant.clone(),
            source_id: String::new(),
            input: Input::Webhook,
            watermark: 0,
            recorded_at: 0,
        });
    }

    #[test]
    fn a_receipt_that_kills_who_reads_what_it_tells_is_a_dead_letter_and_tells_nothing() {
        let note = |told: &mut Records, receipt: &Receipt| {
            tell(told, receipt);
            assert_eq!(receipt.body, b"good", "a fault of the reader");
        };
        let records = vec![record(0, "good"), record(1, "bad"), record(2, "good")];
        let work = work_by(records, note, |_| Normalised::Ignored(Ignored::PlainLine));
        let letters: Vec<(u64, &str)> = work.dead.iter().map(|letter| (letter.record.seq, letter.reason)).collect();
        assert_eq!((letters, work.block.receipts.len()), (vec![(1, "normaliser_failed")], 3));
        assert_eq!(work.records.watermarks.len(), 2, "nothing half told");
    }

    #[test]
    fn a_receipt_that_kills_its_normaliser_is_a_dead_letter_and_those_beside_it_are_not() {
        let records = vec![record(0, "good"), record(1, "bad"), record(2, "good")];
        let normalise = |receipt: &Receipt| match receipt.body.as_slice() {
            b"good" => Normalised::Ignored(Ignored::PlainLine),
            _ => panic!("a fault of the normaliser"),
        };
        let work = work_by(records, tell, normalise);
        assert_eq!(work.records.watermarks.len(), 3, "what it tells is told");
        let fates: Vec<&Fate> = work.block.receipts.iter().map(|stored| &stored.fate).collect();
        let (fine, dead) = (Fate::Ignored(Ignored::PlainLine), Fate::Dead(Dead::NormaliserFailed));
        assert_eq!(fates, [&fine, &dead, &fine]);
        let letters: Vec<(u64, &str)> = work.dead.iter().map(|letter| (letter.record.seq, letter.reason)).collect();
        assert_eq!(letters, [(1, "normaliser_failed")]);
    }
}
