//! A record on Kafka: headers that prove it, labels that describe it, the body as value. docs/kafka.md specifies it; change
//! both together and raise [`FORMAT`].

use crate::chain;
use crate::log::{Enc, MAX_RECORD_BYTES, Record};
use bytes::Bytes;
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use std::sync::Arc;

/// Version of the format, in every record.
pub const FORMAT: u32 = 1;

const VERSION: &str = "tokentrail.format";
const STREAM: &str = "tokentrail.stream";
const SEQ: &str = "tokentrail.seq";
const HEADER: &str = "tokentrail.header";
const SALT: &str = "tokentrail.salt";
const COMMITMENT: &str = "tokentrail.commitment";
const CHAIN: &str = "tokentrail.chain";
const ENC: &str = "tokentrail.enc";
/// Headers that are always there.
const PROOFS: usize = 8;

/// What the caller knows of a record: Kafka's key and further headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Label {
    /// Decides the partition. No personal value.
    pub key: Vec<u8>,
    /// Name and text. They describe and prove nothing: a reader of ours does not look at them.
    pub headers: Vec<(&'static str, String)>,
}

/// Makes the label of a record.
pub type Labeller = Arc<dyn Fn(&Record) -> Label + Send + Sync>;

/// Why a record of the topic is none of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It has no header that names the format.
    #[error("it names no format")]
    NoFormat,
    /// The format is newer than [`FORMAT`]: not at fault, this program is too old.
    #[error("its format is newer")]
    Newer,
    /// A header is missing or does not have the form that it must have.
    #[error("header {0} is missing or has not its form")]
    BadHeader(&'static str),
    /// It has no value.
    #[error("it has no value")]
    NoValue,
    /// It is larger than a record of a journal can be.
    #[error("it is too large")]
    TooLarge,
    /// The body does not agree with the commitment: one of them was altered.
    #[error("the body does not agree with its commitment")]
    Altered,
}

/// Headers of a record.
pub(super) fn headers(record: &Record, label: &Label) -> OwnedHeaders {
    let mut headers = OwnedHeaders::new_with_capacity(PROOFS + label.headers.len());
    let mut add = |key: &str, value: &[u8]| {
        let before = std::mem::take(&mut headers);
        headers = before.insert(Header { key, value: Some(value) });
    };
    add(VERSION, FORMAT.to_string().as_bytes());
    add(STREAM, hex::encode(record.stream).as_bytes());
    add(SEQ, record.seq.to_string().as_bytes());
    add(HEADER, &record.header);
    add(SALT, &record.salt);
    add(COMMITMENT, &record.commitment);
    add(CHAIN, &record.chain);
    add(ENC, format!("{}:{}", record.enc.algorithm, record.enc.key).as_bytes());
    for (name, value) in &label.headers {
        add(name, value.as_bytes());
    }
    headers
}

/// Reads a record back. `offset` of the result is Kafka's, in its partition.
pub(super) fn record(message: &BorrowedMessage<'_>) -> Result<Record, Unreadable> {
    let found = message.headers().ok_or(Unreadable::NoFormat)?;
    let get = |name: &str| found.iter().find(|header| header.key == name).and_then(|header| header.value);
    let format: u32 = text(get(VERSION)).ok_or(Unreadable::NoFormat)?;
    if format > FORMAT {
        return Err(Unreadable::Newer);
    }
    let mut stream = [0; 16];
    let hexed = get(STREAM).ok_or(Unreadable::BadHeader(STREAM))?;
    hex::decode_to_slice(hexed, &mut stream).map_err(|_| Unreadable::BadHeader(STREAM))?;
    let header = get(HEADER).ok_or(Unreadable::BadHeader(HEADER))?;
    let body = message.payload().ok_or(Unreadable::NoValue)?;
    if header.len() + body.len() > MAX_RECORD_BYTES {
        return Err(Unreadable::TooLarge);
    }
    let salt = bytes(get(SALT)).ok_or(Unreadable::BadHeader(SALT))?;
    let commitment = bytes(get(COMMITMENT)).ok_or(Unreadable::BadHeader(COMMITMENT))?;
    if chain::commitment(&salt, body) != commitment {
        return Err(Unreadable::Altered);
    }
    let enc = get(ENC).and_then(|enc| std::str::from_utf8(enc).ok()?.split_once(':'));
    let enc = enc.and_then(|(algorithm, key)| Some(Enc { algorithm: algorithm.parse().ok()?, key: key.parse().ok()? }));
    Ok(Record {
        offset: u64::try_from(message.offset()).unwrap_or_default(),
        stream,
        seq: text(get(SEQ)).ok_or(Unreadable::BadHeader(SEQ))?,
        header: Bytes::copy_from_slice(header),
        body: Bytes::copy_from_slice(body),
        salt,
        commitment,
        chain: bytes(get(CHAIN)).ok_or(Unreadable::BadHeader(CHAIN))?,
        enc: enc.ok_or(Unreadable::BadHeader(ENC))?,
    })
}

fn text<T: std::str::FromStr>(value: Option<&[u8]>) -> Option<T> {
    std::str::from_utf8(value?).ok()?.parse().ok()
}

fn bytes<const N: usize>(value: Option<&[u8]>) -> Option<[u8; N]> {
    value?.try_into().ok()
}
