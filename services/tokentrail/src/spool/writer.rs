//! The two ends of what is read: standard input with what it is handed on to, and the newest file of the spool.

use super::{FILE_BYTES, FILES, LINE_BYTES, Place, Spool};
use crate::lines::{PARTS_BYTES, Parts};
use anyhow::Context;
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
};

/// Standard input, of which each byte is also written on.
pub(super) struct Teed<R> {
    pub reader: BufReader<R>,
    pub tee: Option<Box<dyn Write + Send>>,
}

impl<R: Read> Teed<R> {
    /// Reads the next line into `line`, cut where it is too long; false at the end of the input.
    pub fn line(&mut self, line: &mut Vec<u8>) -> io::Result<bool> {
        line.clear();
        let mut length = 0;
        loop {
            let bytes = match self.reader.fill_buf() {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(bytes.len(), |end| end + 1);
            let bytes = &bytes[..taken];
            if let Some(tee) = &mut self.tee
                && tee.write_all(bytes).is_err()
            {
                tracing::warn!("what --tee writes to is closed; shipping goes on");
                self.tee = None;
            }
            line.extend_from_slice(&bytes[..taken.min(LINE_BYTES - line.len())]);
            length += taken;
            self.reader.consume(taken);
            if end.is_none() && taken > 0 {
                continue;
            }
            if let Some(tee) = &mut self.tee {
                let _ = tee.flush(); // a closed pipe behind us is no reason to stop shipping
            }
            if length > LINE_BYTES {
                tracing::warn!(bytes = length, "a line is longer than a line may be and is cut");
            }
            return Ok(length > 0);
        }
    }
}

/// Writes the newest file of a spool and begins the next one.
pub(super) struct Writer<'a> {
    spool: &'a Spool,
    number: u64,
    file: File,
    size: u64,
    /// A part of a line that could not be taken back stands behind `size`.
    torn: bool,
    parts: Parts,
}

impl<'a> Writer<'a> {
    pub fn new(spool: &'a Spool) -> anyhow::Result<Self> {
        // A number is never used twice, also when the folder is empty: what is kept of the place is about one file.
        let last = spool.lock().files.back().map(|(number, _)| *number);
        let number = last.max(Place::kept_in(&spool.dir)?.map(|place| place.file)).map_or(0, |last| last + 1);
        Ok(Self { spool, number, file: Self::create(spool, number)?, size: 0, torn: false, parts: Parts::default() })
    }

    fn create(spool: &Spool, number: u64) -> anyhow::Result<File> {
        let path = spool.path(number);
        let file = File::options().create_new(true).append(true).open(&path);
        let file = file.with_context(|| format!("cannot create the spool file {}", path.display()))?;
        spool.lock().files.push_back((number, 0));
        spool.shared.news.notify_one();
        Ok(file)
    }

    /// Appends a line (`text` is how it was read), and goes on to a new file at a place where no line is open. What cannot
    /// be written whole leaves nothing.
    pub fn write(&mut self, framed: &[u8], text: &[u8]) -> anyhow::Result<()> {
        if self.torn {
            self.file.set_len(self.size).context("cannot take back a part of a line")?;
        }
        let written = self.file.write_all(framed);
        self.torn = written.is_err() && self.file.set_len(self.size).is_err();
        if let Err(error) = written {
            return Err(error).context("cannot write the spool");
        }
        self.size += framed.len() as u64;
        self.parts.line(text);
        if let Some((_, size)) = self.spool.lock().files.iter_mut().find(|(number, _)| *number == self.number) {
            *size = self.size;
        }
        self.spool.shared.news.notify_one();
        let most = FILE_BYTES.min(self.spool.max_bytes / FILES);
        let with_parts = most + (PARTS_BYTES as u64).min(most);
        if (self.size >= most && self.parts.whole()) || self.size >= with_parts {
            self.close();
        }
        Ok(())
    }

    /// Ends the file, unless it is empty, and begins the next one; where that cannot be, this one goes on.
    pub fn close(&mut self) {
        if self.size == 0 {
            return;
        }
        match Self::create(self.spool, self.number + 1) {
            Ok(file) => (self.number, self.file, self.size) = (self.number + 1, file, 0),
            Err(error) => tracing::debug!(error = format!("{error:#}"), "the spool goes on in the same file"),
        }
    }
}
