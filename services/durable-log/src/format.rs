//! The bytes on disk: segment header, frame, footer. Pure: encodes and decodes, touches no file.
//!
//! All numbers are big-endian. docs/journal-format.md is the specification of this file; change both together and
//! raise [`VERSION`].

use crate::log::{Enc, MAX_RECORD_BYTES};

/// Version of the format, in every structure.
pub const VERSION: u8 = 1;
/// Length of a segment's header.
pub const SEGMENT_HEADER_LEN: u64 = 128;
/// Length of a footer.
pub const FOOTER_LEN: u64 = 128;
/// Length of a frame's fixed head, its CRC included.
pub const FRAME_HEAD_LEN: usize = 156;
/// What a frame adds to header and body.
pub const FRAME_OVERHEAD: usize = FRAME_HEAD_LEN + 4;

const SEGMENT_MAGIC: &[u8; 8] = b"TTJOURNL";
const FRAME_MAGIC: &[u8; 4] = b"TTRF";
const FOOTER_MAGIC: &[u8; 4] = b"TTRE";
/// Where frame and footer carry the segment's mark.
pub(crate) const MARK_AT: usize = 8;

/// First bytes of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Random; repeated in each frame, so that bytes inside a body can never pass for a frame.
    pub mark: [u8; 8],
    /// Offset of the first record.
    pub first_offset: u64,
    /// Sequence number of the first record.
    pub first_seq: u64,
    /// The one stream of this segment.
    pub stream: [u8; 16],
    /// Chain value before the first record.
    pub previous_chain: [u8; 32],
    /// When it was made, UTC milliseconds.
    pub created_ms: u64,
}

/// Fixed part of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameHead {
    /// Encryption of the body.
    pub enc: Enc,
    /// The segment's mark.
    pub mark: [u8; 8],
    /// Length of the header.
    pub header_len: u32,
    /// Length of the body.
    pub body_len: u32,
    /// Entries of the same append that follow.
    pub left: u32,
    /// Offset.
    pub offset: u64,
    /// Sequence number.
    pub seq: u64,
    /// Every offset below had been synced before this frame was written.
    pub durable: u64,
    /// Stream.
    pub stream: [u8; 16],
    /// Key of the commitment.
    pub salt: [u8; 16],
    /// Commitment of the body.
    pub commitment: [u8; 32],
    /// Chain value of this record.
    pub chain: [u8; 32],
}

/// Last bytes of a sealed segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footer {
    /// The segment's mark.
    pub mark: [u8; 8],
    /// Offset of the first record.
    pub first_offset: u64,
    /// Offset after the last record.
    pub next_offset: u64,
    /// Records that could be read when it was sealed.
    pub count: u64,
    /// Sequence number of the last record.
    pub last_seq: u64,
    /// Chain value of the last record.
    pub last_chain: [u8; 32],
    /// When it was sealed, UTC milliseconds.
    pub sealed_ms: u64,
}

/// Why bytes are no such structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// Not written by us, or damaged.
    Bytes,
    /// Intact, but of a later version than [`VERSION`].
    Newer,
}

impl SegmentHeader {
    /// The bytes.
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_LEN as usize] {
        let mut out = [0; SEGMENT_HEADER_LEN as usize];
        out[..8].copy_from_slice(SEGMENT_MAGIC);
        out[8] = VERSION;
        out[16..24].copy_from_slice(&self.mark);
        out[24..32].copy_from_slice(&self.first_offset.to_be_bytes());
        out[32..40].copy_from_slice(&self.first_seq.to_be_bytes());
        out[40..56].copy_from_slice(&self.stream);
        out[56..88].copy_from_slice(&self.previous_chain);
        out[88..96].copy_from_slice(&self.created_ms.to_be_bytes());
        close(&mut out);
        out
    }

    /// Reads it back.
    pub fn decode(bytes: &[u8]) -> Result<Self, Bad> {
        let bytes = checked(bytes, SEGMENT_HEADER_LEN as usize)?;
        if &bytes[..8] != SEGMENT_MAGIC {
            return Err(Bad::Bytes);
        }
        version(bytes[8])?;
        Ok(Self {
            mark: array(bytes, 16),
            first_offset: u64::from_be_bytes(array(bytes, 24)),
            first_seq: u64::from_be_bytes(array(bytes, 32)),
            stream: array(bytes, 40),
            previous_chain: array(bytes, 56),
            created_ms: u64::from_be_bytes(array(bytes, 88)),
        })
    }
}

impl FrameHead {
    /// Length of the whole frame.
    pub fn frame_len(&self) -> u64 {
        FRAME_OVERHEAD as u64 + u64::from(self.header_len) + u64::from(self.body_len)
    }

    /// Appends the whole frame.
    pub fn encode(&self, header: &[u8], body: &[u8], out: &mut Vec<u8>) {
        let mut head = [0; FRAME_HEAD_LEN];
        head[..4].copy_from_slice(FRAME_MAGIC);
        head[4] = VERSION;
        head[5] = self.enc.algorithm;
        head[8..16].copy_from_slice(&self.mark);
        head[16..20].copy_from_slice(&self.enc.key.to_be_bytes());
        head[20..24].copy_from_slice(&self.header_len.to_be_bytes());
        head[24..28].copy_from_slice(&self.body_len.to_be_bytes());
        head[28..32].copy_from_slice(&self.left.to_be_bytes());
        head[32..40].copy_from_slice(&self.offset.to_be_bytes());
        head[40..48].copy_from_slice(&self.seq.to_be_bytes());
        head[48..56].copy_from_slice(&self.durable.to_be_bytes());
        head[56..72].copy_from_slice(&self.stream);
        head[72..88].copy_from_slice(&self.salt);
        head[88..120].copy_from_slice(&self.commitment);
        head[120..152].copy_from_slice(&self.chain);
        close(&mut head);
        out.extend_from_slice(&head);
        out.extend_from_slice(header);
        out.extend_from_slice(body);
        out.extend_from_slice(&payload_crc(&head, header, body).to_be_bytes());
    }

    /// Reads the head; says nothing of header and body.
    pub fn decode(bytes: &[u8]) -> Result<Self, Bad> {
        let bytes = checked(bytes, FRAME_HEAD_LEN)?;
        if &bytes[..4] != FRAME_MAGIC {
            return Err(Bad::Bytes);
        }
        version(bytes[4])?;
        let head = Self {
            enc: Enc { algorithm: bytes[5], key: u32::from_be_bytes(array(bytes, 16)) },
            mark: array(bytes, MARK_AT),
            header_len: u32::from_be_bytes(array(bytes, 20)),
            body_len: u32::from_be_bytes(array(bytes, 24)),
            left: u32::from_be_bytes(array(bytes, 28)),
            offset: u64::from_be_bytes(array(bytes, 32)),
            seq: u64::from_be_bytes(array(bytes, 40)),
            durable: u64::from_be_bytes(array(bytes, 48)),
            stream: array(bytes, 56),
            salt: array(bytes, 72),
            commitment: array(bytes, 88),
            chain: array(bytes, 120),
        };
        if head.frame_len() > (MAX_RECORD_BYTES + FRAME_OVERHEAD) as u64 {
            return Err(Bad::Bytes);
        }
        Ok(head)
    }

    /// True if header and body of the frame that starts `bytes` check out.
    pub fn payload_is_intact(&self, bytes: &[u8]) -> bool {
        let body_at = FRAME_HEAD_LEN + self.header_len as usize;
        let crc_at = body_at + self.body_len as usize;
        let Some(stored) = bytes.get(crc_at..crc_at + 4) else { return false };
        let crc = payload_crc(&bytes[..FRAME_HEAD_LEN], &bytes[FRAME_HEAD_LEN..body_at], &bytes[body_at..crc_at]);
        stored == crc.to_be_bytes()
    }
}

impl Footer {
    /// The bytes.
    pub fn encode(&self) -> [u8; FOOTER_LEN as usize] {
        let mut out = [0; FOOTER_LEN as usize];
        out[..4].copy_from_slice(FOOTER_MAGIC);
        out[4] = VERSION;
        out[8..16].copy_from_slice(&self.mark);
        out[16..24].copy_from_slice(&self.first_offset.to_be_bytes());
        out[24..32].copy_from_slice(&self.next_offset.to_be_bytes());
        out[32..40].copy_from_slice(&self.count.to_be_bytes());
        out[40..48].copy_from_slice(&self.last_seq.to_be_bytes());
        out[48..80].copy_from_slice(&self.last_chain);
        out[80..88].copy_from_slice(&self.sealed_ms.to_be_bytes());
        close(&mut out);
        out
    }

    /// Reads it back.
    pub fn decode(bytes: &[u8]) -> Result<Self, Bad> {
        let bytes = checked(bytes, FOOTER_LEN as usize)?;
        if &bytes[..4] != FOOTER_MAGIC {
            return Err(Bad::Bytes);
        }
        version(bytes[4])?;
        Ok(Self {
            mark: array(bytes, MARK_AT),
            first_offset: u64::from_be_bytes(array(bytes, 16)),
            next_offset: u64::from_be_bytes(array(bytes, 24)),
            count: u64::from_be_bytes(array(bytes, 32)),
            last_seq: u64::from_be_bytes(array(bytes, 40)),
            last_chain: array(bytes, 48),
            sealed_ms: u64::from_be_bytes(array(bytes, 80)),
        })
    }
}

/// The payload's CRC also covers the head's, so that a payload cannot be read under another head.
fn payload_crc(head: &[u8], header: &[u8], body: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&head[FRAME_HEAD_LEN - 4..FRAME_HEAD_LEN]);
    crc32c::crc32c_append(crc32c::crc32c_append(crc, header), body)
}

/// Writes the CRC of all bytes but the last four into the last four.
pub(crate) fn close(bytes: &mut [u8]) {
    let at = bytes.len() - 4;
    let crc = crc32c::crc32c(&bytes[..at]);
    bytes[at..].copy_from_slice(&crc.to_be_bytes());
}

fn checked(bytes: &[u8], len: usize) -> Result<&[u8], Bad> {
    let bytes = bytes.get(..len).ok_or(Bad::Bytes)?;
    let (content, crc) = bytes.split_at(len - 4);
    if crc32c::crc32c(content).to_be_bytes() == crc { Ok(bytes) } else { Err(Bad::Bytes) }
}

fn version(found: u8) -> Result<(), Bad> {
    match found {
        VERSION => Ok(()),
        0 => Err(Bad::Bytes),
        _ => Err(Bad::Newer),
    }
}

/// `N` bytes at a place that the caller has checked to be there.
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}
