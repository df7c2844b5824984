//! Walks the frames of one segment, naming what does not check out and going on at the next frame that does.
//!
//! Used alike by reading, recovery and scrub. Checks CRCs and that offset, sequence number and stream are those
//! expected at that place; never the chain, never a commitment. Writes nothing.

use crate::disk::DiskFile;
use crate::format::{Bad, FOOTER_LEN, FRAME_HEAD_LEN, FRAME_OVERHEAD, Footer, FrameHead, MARK_AT};
use bytes::Bytes;
use std::io;
use std::ops::Range;

/// Bytes read at once, unless one frame needs more.
const CHUNK: u64 = 512 * 1024;

/// What every frame of a segment has in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) mark: [u8; 8],
    pub(crate) first_offset: u64,
    pub(crate) first_seq: u64,
    pub(crate) stream: [u8; 16],
}

/// Where the frames end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    /// Position after the last byte that may belong to a frame.
    pub(crate) end: u64,
    /// Offset after the last record, if that is known.
    pub(crate) next_offset: Option<u64>,
}

/// One step.
#[derive(Debug)]
pub(crate) enum Item {
    /// A frame that checks out.
    Frame { pos: u64, head: FrameHead, header: Bytes, body: Bytes },
    /// Bytes that do not, and the offsets that they must have held.
    Damage { bytes: Range<u64>, offsets: Range<u64> },
    /// The footer, where the next frame would stand.
    Footer(Footer),
    /// Nothing that checks out from here on. If the limit knew the next offset, every record before it was named.
    End { pos: u64 },
}

pub(crate) struct Scanner<'a> {
    file: &'a dyn DiskFile,
    identity: &'a Identity,
    limit: Limit,
    pos: u64,
    offset: u64,
    buf: Bytes,
    buf_at: u64,
}

impl<'a> Scanner<'a> {
    /// Starts at a frame's position and offset.
    pub(crate) fn new(file: &'a dyn DiskFile, identity: &'a Identity, limit: Limit) -> Self {
        let (pos, offset) = (crate::format::SEGMENT_HEADER_LEN, identity.first_offset);
        Self { file, identity, limit, pos, offset, buf: Bytes::new(), buf_at: 0 }
    }

    /// Jumps to where a frame with this offset is known to start.
    pub(crate) fn seek(&mut self, offset: u64, pos: u64) {
        (self.offset, self.pos) = (offset, pos);
    }

    /// Position of the next step.
    pub(crate) fn pos(&self) -> u64 {
        self.pos
    }

    /// The next step.
    pub(crate) fn next(&mut self) -> io::Result<Item> {
        if self.pos >= self.limit.end {
            return Ok(self.end());
        }
        let pos = self.pos;
        let bytes = self.bytes(pos, FRAME_HEAD_LEN as u64)?;
        if let Some(head) = self.head(&bytes)
            && pos + head.frame_len() <= self.limit.end
        {
            if head.offset > self.offset {
                return Ok(self.damage(pos, head.offset));
            }
            if head.offset == self.offset {
                return self.frame(head);
            }
        } else if let Some(footer) = self.footer(&bytes) {
            if footer.next_offset > self.offset {
                return Ok(self.damage(pos, footer.next_offset));
            }
            return Ok(Item::Footer(footer));
        }
        self.resync()
    }

    fn frame(&mut self, head: FrameHead) -> io::Result<Item> {
        let (pos, len) = (self.pos, head.frame_len());
        let bytes = self.bytes(pos, len)?;
        if !head.payload_is_intact(&bytes) {
            return Ok(self.damage(pos + len, self.offset + 1));
        }
        let body_at = FRAME_HEAD_LEN + head.header_len as usize;
        let header = bytes.slice(FRAME_HEAD_LEN..body_at);
        let body = bytes.slice(body_at..bytes.len() - (FRAME_OVERHEAD - FRAME_HEAD_LEN));
        self.pos += len;
        self.offset += 1;
        Ok(Item::Frame { pos, head, header, body })
    }

    /// Names everything up to a place as damage and goes on there.
    fn damage(&mut self, pos: u64, offset: u64) -> Item {
        let item = Item::Damage { bytes: self.pos..pos, offsets: self.offset..offset };
        (self.pos, self.offset) = (pos, offset);
        item
    }

    /// No frame checks out any more: if it is known how many there were, the rest is damage.
    fn end(&mut self) -> Item {
        match self.limit.next_offset {
            Some(next) if next > self.offset || self.pos < self.limit.end => self.damage(self.limit.end, next),
            _ => Item::End { pos: self.pos },
        }
    }

    /// Finds the next frame or footer by the segment's mark, which no sender can know, and its CRC.
    fn resync(&mut self) -> io::Result<Item> {
        let mut at = self.pos + 1;
        while at < self.limit.end {
            let window = self.bytes(at, CHUNK)?;
            for found in find_all(&window, &self.identity.mark) {
                let Some(start) = (at + found as u64).checked_sub(MARK_AT as u64).filter(|start| *start > self.pos)
                else {
                    continue;
                };
                let bytes = self.bytes(start, FRAME_HEAD_LEN as u64)?;
                if let Some(head) = self.head(&bytes)
                    && head.offset >= self.offset
                    && start + head.frame_len() <= self.limit.end
                {
                    return Ok(self.damage(start, head.offset));
                }
                if let Some(footer) = self.footer(&bytes)
                    && footer.next_offset >= self.offset
                {
                    return Ok(self.damage(start, footer.next_offset));
                }
            }
            if window.len() < self.identity.mark.len() {
                break;
            }
            at += (window.len() - (self.identity.mark.len() - 1)) as u64;
        }
        Ok(self.end())
    }

    /// A head that belongs here: its stream and the distance between offset and sequence number are the segment's.
    fn head(&self, bytes: &[u8]) -> Option<FrameHead> {
        let head = FrameHead::decode(bytes).ok()?;
        let identity = self.identity;
        let belongs = head.mark == identity.mark
            && head.stream == identity.stream
            && head.offset.checked_sub(identity.first_offset) == head.seq.checked_sub(identity.first_seq)
            && head.offset >= identity.first_offset
            && self.limit.next_offset.is_none_or(|next| head.offset < next);
        belongs.then_some(head)
    }

    fn footer(&self, bytes: &[u8]) -> Option<Footer> {
        let footer = Footer::decode(bytes).ok()?;
        let identity = self.identity;
        let belongs = footer.mark == identity.mark
            && footer.first_offset == identity.first_offset
            && self.limit.next_offset.is_none_or(|next| footer.next_offset <= next);
        belongs.then_some(footer)
    }

    /// Up to `len` bytes from `pos`, fewer at the limit.
    fn bytes(&mut self, pos: u64, len: u64) -> io::Result<Bytes> {
        let end = (pos + len).min(self.limit.end);
        if pos >= self.buf_at && end <= self.buf_at + self.buf.len() as u64 {
            let from = (pos - self.buf_at) as usize;
            return Ok(self.buf.slice(from..from + end.saturating_sub(pos) as usize));
        }
        let want = end.max((pos + CHUNK).min(self.limit.end)).saturating_sub(pos);
        let mut buf = vec![0; want as usize];
        let got = self.file.read_at(&mut buf, pos)?;
        // A file that is shorter than it must be reads as zeros: they check out as nothing, so the loss is named.
        debug_assert!(got <= buf.len());
        (self.buf, self.buf_at) = (Bytes::from(buf), pos);
        Ok(self.buf.slice(..end.saturating_sub(pos) as usize))
    }
}

fn find_all<'a>(hay: &'a [u8], needle: &'a [u8; 8]) -> impl Iterator<Item = usize> + 'a {
    let first = needle[0];
    hay.windows(needle.len()).enumerate().filter(move |(_, w)| w[0] == first && *w == needle).map(|(at, _)| at)
}

/// Reads what a segment's frames have in common from its first frame: the place is ours alone, so no sender's bytes
/// can stand there. For a segment whose header is damaged.
pub(crate) fn identity_of_first_frame(bytes: &[u8], first_offset: u64) -> Result<Identity, Bad> {
    let head = FrameHead::decode(bytes)?;
    if head.offset != first_offset {
        return Err(Bad::Bytes);
    }
    Ok(Identity { mark: head.mark, first_offset, first_seq: head.seq, stream: head.stream })
}

const _: () = assert!(FOOTER_LEN as usize <= FRAME_HEAD_LEN, "one read shows either");
