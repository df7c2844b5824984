//! The two ends of what is read: standard input with what it is handed on to, and the newest file of the spool.

use super::{FILE_BYTES, FILES, LINE_BYTES, Place, Spool};
use crate::lines::{PARTS_BYTES, Parts};
use anyhow::Context;
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
};

/// Where each byte of standard input is also written to.
pub(super) struct Tee {
    out: Box<dyn Write + Send>,
    /// The line that is being read is not written on: a part of it was not taken.
    skips: bool,
    /// A part of a line stands at the end of what was written.
    torn: bool,
    /// Lines that are missing there, since it was last said.
    missing: u64,
}

/// Who reads what is written on is gone, and comes not back.
#[derive(Debug)]
struct Gone;

impl Tee {
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out, skips: false, torn: false, missing: 0 }
    }

    /// Writes a part of a line on. What takes nothing now (a full disk) is tried again with the next line, and never waited for.
    fn put(&mut self, bytes: &[u8], starts: bool) -> Result<(), Gone> {
        if self.skips && !starts {
            return Ok(());
        }
        self.skips = false;
        if starts && self.torn {
            // What stands there is no line: its end tells it from the next.
            match self.write(b"\n") {
                Ok(()) => self.torn = false,
                Err(error) => return self.skip(&error),
            }
        }
        match self.write(bytes) {
            Ok(()) => {
                if self.missing > 0 && bytes.ends_with(b"\n") {
                    tracing::warn!(
                        lines = self.missing,
                        "what --tee writes to takes lines again; these are missing there"
                    );
                    self.missing = 0;
                }
                Ok(())
            }
            Err(error) => {
                self.torn |= !starts;
                self.skip(&error)
            }
        }
    }

    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.out.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    bytes = &bytes[written..];
                    self.torn |= !bytes.is_empty();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.torn = false;
        Ok(())
    }

    fn skip(&mut self, error: &io::Error) -> Result<(), Gone> {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Err(Gone);
        }
        if self.missing == 0 {
            tracing::warn!(%error, "what --tee writes to takes nothing: it is tried again with each line; shipping goes on");
        }
        (self.skips, self.missing) = (true, self.missing + 1);
        Ok(())
    }
}

/// Standard input, of which each byte is also written on.
pub(super) struct Teed<R> {
    pub reader: BufReader<R>,
    pub tee: Option<Tee>,
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
                && !bytes.is_empty()
                && tee.put(bytes, length == 0).is_err()
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
                let _ = tee.out.flush(); // a closed pipe behind us is no reason to stop shipping
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
    /// None as long as it could not be made.
    file: Option<File>,
    size: u64,
    /// Bytes up to which no line is open.
    whole: u64,
    /// A part of a line that could not be taken back stands behind `size`.
    torn: bool,
    parts: Parts,
    /// Lines of which a part was dropped: their rest is dropped, too.
    given_up: Parts,
}

impl<'a> Writer<'a> {
    pub fn new(spool: &'a Spool) -> anyhow::Result<Self> {
        // A number is never used twice, also when the folder is empty: what is kept of the place is about one file.
        let last = spool.lock().files.back().map(|(number, _)| *number);
        let number = last.max(Place::kept_in(&spool.dir)?.map(|place| place.file)).map_or(0, |last| last + 1);
        let (parts, given_up) = (Parts::default(), Parts::default());
        Ok(Self { spool, number, file: None, size: 0, whole: 0, torn: false, parts, given_up })
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
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(Self::create(self.spool, self.number)?),
        };
        if self.torn {
            file.set_len(self.size).context("cannot take back a part of a line")?;
        }
        let written = file.write_all(framed);
        self.torn = written.is_err() && file.set_len(self.size).is_err();
        if let Err(error) = written {
            self.close_if_whole();
            return Err(error).context("cannot write the spool");
        }
        self.size += framed.len() as u64;
        self.parts.line(text);
        if self.parts.whole() {
            self.whole = self.size;
        }
        if let Some((_, size)) = self.spool.lock().files.iter_mut().find(|(number, _)| *number == self.number) {
            *size = self.size;
        }
        self.spool.shared.news.notify_one();
        let most = self.most();
        if (self.size >= most && self.parts.whole()) || self.size >= most + self.most_open() {
            self.close();
        }
        Ok(())
    }

    /// Bytes at which a file is closed.
    fn most(&self) -> u64 {
        FILE_BYTES.min(self.spool.max_bytes / FILES)
    }

    /// Bytes by which a file, or the spool, may grow beyond its bound so as not to end inside a line that is cut into parts.
    fn most_open(&self) -> u64 {
        (PARTS_BYTES as u64).min(self.most())
    }

    /// Whether so many bytes more belong to a line that has begun, and that is not too long to be kept together.
    pub fn is_inside(&self, bytes: u64) -> bool {
        !self.parts.whole() && self.size - self.whole + bytes <= self.most_open()
    }

    /// Whether a line as it was read is the rest of one of which a part was dropped: on its own it would be no line.
    pub fn is_rest(&mut self, text: &[u8]) -> bool {
        self.given_up.goes_on(text)
    }

    /// A line as it was read is dropped, and with it those that are open: their parts that are here end with this file.
    pub fn dropped(&mut self, text: &[u8]) {
        self.given_up.give_up(&mut self.parts);
        self.given_up.line(text);
        self.whole = self.size;
        self.close_if_whole();
    }

    /// Only closed files are ever deleted: what is shipped of the newest one would hold a full disk full for ever.
    fn close_if_whole(&mut self) {
        if !self.torn && self.parts.whole() {
            self.close();
        }
    }

    /// Ends the file, unless it is empty, and begins the next one; where that cannot be, this one goes on.
    pub fn close(&mut self) {
        if self.size == 0 {
            return;
        }
        match Self::create(self.spool, self.number + 1) {
            Ok(file) => {
                (self.number, self.file) = (self.number + 1, Some(file));
                (self.size, self.whole) = (0, 0);
            }
            Err(error) => tracing::debug!(error = format!("{error:#}"), "the spool goes on in the same file"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// Takes so many bytes of each write as it is told in turn, then all; 0: the disk is full.
    struct Moody {
        takes: std::vec::IntoIter<usize>,
        full: io::ErrorKind,
        took: Arc<Mutex<Vec<u8>>>,
        tries: Arc<Mutex<usize>>,
    }

    impl Write for Moody {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            *self.tries.lock().unwrap() += 1;
            let taken = self.takes.next().unwrap_or(usize::MAX).min(bytes.len());
            if taken == 0 {
                return Err(self.full.into());
            }
            self.took.lock().unwrap().extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn through(takes: &[usize], full: io::ErrorKind, input: &str) -> (String, usize) {
        let (took, tries) = (Arc::default(), Arc::default());
        let moody =
            Moody { takes: Vec::from(takes).into_iter(), full, took: Arc::clone(&took), tries: Arc::clone(&tries) };
        let mut teed =
            Teed { reader: BufReader::with_capacity(4, input.as_bytes()), tee: Some(Tee::new(Box::new(moody))) };
        let (mut line, mut read) = (Vec::new(), String::new());
        while teed.line(&mut line).unwrap() {
            read += std::str::from_utf8(&line).unwrap();
        }
        assert_eq!(read, input, "shipping never minds");
        let took = String::from_utf8(took.lock().unwrap().clone()).unwrap();
        (took, *tries.lock().unwrap())
    }

    #[test]
    fn a_tee_on_a_full_disk_goes_on_with_the_next_line_that_fits() {
        let full = io::ErrorKind::StorageFull;
        assert_eq!(through(&[], full, "a\nb\nc\n").0, "a\nb\nc\n");
        // `a`, one byte of `bb`, and then nothing until there is room for `d`.
        assert_eq!(through(&[2, 1, 0, 0], full, "a\nbb\nc\nd\n").0, "a\nb\nd\n");
        // The disk is full between two parts of one line: its rest is left out, and its end is told.
        assert_eq!(through(&[4, 0], full, "a long line\nb\n").0, "a lo\nb\n");
        assert_eq!(through(&[0, 0, 0], full, "a long line\nb\nc\nd\n").0, "d\n", "one try for a line");
    }

    #[test]
    fn a_tee_whose_reader_is_gone_is_left_alone() {
        let (took, tries) = through(&[2, 0], io::ErrorKind::BrokenPipe, "a\nb\nc\n");
        assert_eq!((took.as_str(), tries), ("a\n", 2));
    }
}
