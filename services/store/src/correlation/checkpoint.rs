//! The correlation's checkpoints: chunks first, the seal last. Knows nothing of what is in them.
//!
//! A checkpoint counts only if it is whole: sealed, with every chunk, of the digest that the seal says. Whatever a crash leaves
//! behind is not read, and dropped with the old ones.

use super::{Place, records::TABLES, streaming};
use crate::{
    Store, StoreError,
    error::within,
    lock::now_ms,
    query::{done, receipt::Blob, rows},
    settings::QUERY_WAIT,
};
use clickhouse::Row;
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Checkpoints that are kept: the newest, and one more in case that cannot be read.
const KEPT: usize = 2;
/// Stands for "no change of the past".
const NEVER: i64 = i64::MIN;

/// What is said of a whole checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// Version up to which the correlation's rows are those of this state.
    pub number: u64,
    /// Format, rules and configuration of the program that wrote it.
    pub made_by: String,
    /// The last change of the past that is in it.
    pub past: Option<i64>,
    id: Uuid,
    chunks: u32,
    digest: [u8; 32],
}

#[derive(Row, Serialize, Deserialize)]
struct SealRow {
    tenant: String,
    number: u64,
    #[serde(with = "clickhouse::serde::uuid")]
    id: Uuid,
    made_by: String,
    past: i64,
    chunks: u32,
    size: u64,
    digest: [u8; 32],
    recorded_at: i64,
}

#[derive(Row, Serialize)]
struct ChunkRow {
    tenant: String,
    number: u64,
    #[serde(with = "clickhouse::serde::uuid")]
    id: Uuid,
    chunk: u32,
    #[serde(serialize_with = "as_bytes")]
    bytes: Vec<u8>,
}

fn as_bytes<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

#[derive(Row, Deserialize)]
struct ChunkRead {
    bytes: Blob,
}

/// A row that was written behind a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Later {
    /// Its id.
    pub row_id: [u8; 16],
    /// Where it was written, and what it says.
    pub place: Place,
    /// It was taken away.
    pub deleted: bool,
}

#[derive(Row, Deserialize)]
struct LaterRow {
    row_id: [u8; 16],
    person: String,
    at: i64,
    content: u64,
    deleted: u8,
}

/// A checkpoint that is being written.
pub struct Sealing {
    store: Store,
    tenant: String,
    number: u64,
    id: Uuid,
    chunks: u32,
    size: u64,
    hash: Sha256,
}

impl Sealing {
    /// Writes the next chunk.
    pub async fn chunk(&mut self, bytes: Vec<u8>) -> Result<(), StoreError> {
        self.hash.update((bytes.len() as u64).to_be_bytes());
        self.hash.update(&bytes);
        self.size += bytes.len() as u64;
        let row = ChunkRow { tenant: self.tenant.clone(), number: self.number, id: self.id, chunk: self.chunks, bytes };
        self.store.write_typed::<ChunkRow>("checkpoint_chunk_rows", &[row]).await?;
        self.chunks += 1;
        Ok(())
    }

    /// Seals it, drops those that are too old, and answers how many bytes it has.
    pub async fn seal(self, made_by: &str, past: Option<i64>) -> Result<u64, StoreError> {
        let Self { store, tenant, number, id, chunks, size, hash } = self;
        let row = SealRow {
            tenant: tenant.clone(),
            number,
            id,
            made_by: made_by.to_owned(),
            past: past.unwrap_or(NEVER),
            chunks,
            size,
            digest: hash.finalize().into(),
            recorded_at: now_ms(),
        };
        // Commit point: a start goes on from here. A crash before this line leaves chunks that nobody reads.
        store.write_typed::<SealRow>("checkpoint_seal_rows", &[row]).await?;
        store.drop_old_checkpoints(&tenant).await?;
        Ok(size)
    }
}

/// A checkpoint that is being read.
pub struct Unsealing {
    store: Store,
    tenant: String,
    seal: Seal,
    chunks: u32,
    hash: Sha256,
}

impl Unsealing {
    /// The next chunk; none at the end, or where one is missing.
    pub async fn chunk(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        if self.chunks == self.seal.chunks {
            return Ok(None);
        }
        let sql = "SELECT bytes FROM checkpoint_chunk_rows WHERE tenant = {tenant:String} AND number = {number:UInt64} \
            AND id = {id:UUID} AND chunk = {chunk:UInt32} LIMIT 1";
        let asked = self.store.ask(sql).param("tenant", &self.tenant).param("number", self.seal.number);
        let asked = asked.param("id", self.seal.id.to_string()).param("chunk", self.chunks);
        let Some(ChunkRead { bytes: Blob(bytes) }) = rows::<ChunkRead>(asked).await?.pop() else { return Ok(None) };
        self.hash.update((bytes.len() as u64).to_be_bytes());
        self.hash.update(&bytes);
        self.chunks += 1;
        Ok(Some(bytes))
    }

    /// True if every chunk was there and is as it was written. Believe nothing of what was read before this says so.
    pub fn is_whole(self) -> bool {
        self.chunks == self.seal.chunks && <[u8; 32]>::from(self.hash.finalize()) == self.seal.digest
    }
}

fn hash(id: Uuid) -> Sha256 {
    Sha256::new().chain_update(id.as_bytes())
}

impl Store {
    /// Begins a checkpoint.
    pub fn begin_checkpoint(&self, tenant: &str, number: u64) -> Sealing {
        let id = Uuid::new_v4();
        Sealing { store: self.clone(), tenant: tenant.to_owned(), number, id, chunks: 0, size: 0, hash: hash(id) }
    }

    /// The checkpoints that are sealed, the newest first.
    pub async fn checkpoints(&self, tenant: &str) -> Result<Vec<Seal>, StoreError> {
        let sql = "SELECT ?fields FROM checkpoint_seal_rows FINAL WHERE tenant = {tenant:String} \
            ORDER BY number DESC, recorded_at DESC";
        let found = rows::<SealRow>(self.ask(sql).param("tenant", tenant)).await?;
        let seal = |row: SealRow| Seal {
            number: row.number,
            made_by: row.made_by,
            past: (row.past != NEVER).then_some(row.past),
            id: row.id,
            chunks: row.chunks,
            digest: row.digest,
        };
        Ok(found.into_iter().map(seal).collect())
    }

    /// Begins to read a checkpoint.
    pub fn open_checkpoint(&self, tenant: &str, seal: Seal) -> Unsealing {
        let hash = hash(seal.id);
        Unsealing { store: self.clone(), tenant: tenant.to_owned(), seal, chunks: 0, hash }
    }

    /// What was written to the correlation's tables with a greater version.
    pub async fn correlated_after(&self, tenant: &str, version: u64) -> Result<Vec<Later>, StoreError> {
        let mut later = Vec::new();
        for (table, name) in TABLES {
            let sql = format!(
                "SELECT row_id, person, at, argMax(content, version) AS content, argMax(is_deleted, version) AS deleted \
                 FROM {name} WHERE tenant = {{tenant:String}} AND version > {{version:UInt64}} GROUP BY row_id, person, at"
            );
            let asked = self.ask(&sql).param("tenant", tenant).param("version", version);
            let mut found = streaming(asked).fetch::<LaterRow>()?;
            while let Some(row) = within(QUERY_WAIT, found.next()).await? {
                let place = Place { table: *table, person: row.person, at: row.at, content: row.content };
                later.push(Later { row_id: row.row_id, place, deleted: row.deleted != 0 });
            }
        }
        Ok(later)
    }

    async fn drop_old_checkpoints(&self, tenant: &str) -> Result<(), StoreError> {
        let sealed = self.checkpoints(tenant).await?;
        let Some(oldest) = sealed.iter().map(|seal| seal.number).nth(KEPT - 1) else { return Ok(()) };
        for table in ["checkpoint_seal_rows", "checkpoint_chunk_rows"] {
            let sql = format!(
                "SELECT DISTINCT _partition_id FROM {table} WHERE tenant = {{tenant:String}} AND number < {{oldest:UInt64}}"
            );
            for partition in rows::<String>(self.ask(&sql).param("tenant", tenant).param("oldest", oldest)).await? {
                if partition.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') {
                    let sql = format!("ALTER TABLE {}.{table} DROP PARTITION ID '{partition}'", self.database);
                    done(self.define(&sql)).await?;
                }
            }
        }
        Ok(())
    }
}
