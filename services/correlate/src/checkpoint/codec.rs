//! Values as bytes: numbers in as few as they need, lists with their length first, nothing about types or names of fields.
//!
//! A chunk ends between two values, never within one, so that no length that is read can ask for more than a chunk holds.

use uuid::Uuid;

/// Most entries that room is made for on the word of a length alone.
const TRUSTED: usize = 1 << 16;

/// A checkpoint that is torn, or was written by another program.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the checkpoint cannot be read")]
pub struct Unreadable;

/// How the numbers of names are written.
enum Numbers {
    AsTheyAre,
    /// Not at all: it is noted which of them are.
    Reached(Vec<bool>),
    /// Each as another one.
    Anew(Vec<u32>),
}

/// Where values go.
pub struct Writer<'a> {
    chunk: Vec<u8>,
    size: usize,
    /// That is made for a chunk at its beginning.
    room: usize,
    /// Takes a chunk that is full; false: no more are wanted.
    full: &'a mut dyn FnMut(Vec<u8>) -> bool,
    wanted: bool,
    /// The last text that was a key.
    pub(super) key: Option<Uuid>,
    numbers: Numbers,
}

impl<'a> Writer<'a> {
    /// Hands chunks of `size` bytes or a little more to `full`, until that says that no more are wanted.
    pub fn new(size: usize, full: &'a mut dyn FnMut(Vec<u8>) -> bool) -> Self {
        let numbers = Numbers::AsTheyAre;
        Self { chunk: Vec::new(), size, room: size + size / 8, full, wanted: true, key: None, numbers }
    }

    /// Writes nothing, and notes which of so many names are written.
    pub(crate) fn noting(names: usize, full: &'a mut dyn FnMut(Vec<u8>) -> bool) -> Self {
        let numbers = Numbers::Reached(vec![false; names]);
        Self { wanted: false, numbers, ..Self::new(0, full) }
    }

    /// Writes the name of each number under another number.
    pub(crate) fn renumber(&mut self, numbers: Vec<u32>) {
        self.numbers = Numbers::Anew(numbers);
    }

    /// The names that were written, by number.
    pub(crate) fn reached(self) -> Vec<bool> {
        if let Numbers::Reached(reached) = self.numbers { reached } else { Vec::new() }
    }

    /// The number of a name.
    pub(crate) fn name(&mut self, number: u32) {
        let place = number as usize;
        match &mut self.numbers {
            Numbers::AsTheyAre => self.number(u64::from(number)),
            Numbers::Reached(reached) => {
                if let Some(reached) = reached.get_mut(place) {
                    *reached = true;
                }
            }
            Numbers::Anew(numbers) => {
                let anew = numbers.get(place).copied().unwrap_or(u32::MAX);
                self.number(u64::from(anew));
            }
        }
    }

    /// Hands everything to `full` in one piece, for which there is room for about so many bytes.
    pub(crate) fn in_one(room: usize, full: &'a mut dyn FnMut(Vec<u8>) -> bool) -> Self {
        Self { room, ..Self::new(usize::MAX >> 1, full) }
    }

    /// Hands the last chunk over; whether all of them were wanted.
    pub fn finish(mut self) -> bool {
        self.flush();
        self.wanted
    }

    fn flush(&mut self) {
        let chunk = std::mem::take(&mut self.chunk);
        if self.wanted && !chunk.is_empty() {
            self.wanted = (self.full)(chunk);
        }
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        if !self.wanted {
            return;
        }
        if self.chunk.capacity() == 0 {
            self.chunk.reserve(self.room);
        }
        self.chunk.extend_from_slice(bytes);
        if self.chunk.len() >= self.size {
            self.flush();
        }
    }

    /// Seven bits a byte, the lowest first.
    pub(crate) fn number(&mut self, mut number: u64) {
        let mut bytes = [0; 10];
        let mut count = 0;
        loop {
            let low = (number & 0x7f) as u8;
            number >>= 7;
            bytes[count] = if number == 0 { low } else { low | 0x80 };
            count += 1;
            if number == 0 {
                break;
            }
        }
        self.bytes(&bytes[..count]);
    }
}

/// Where values come from.
pub struct Reader<'a> {
    chunk: Vec<u8>,
    at: usize,
    next: &'a mut dyn FnMut() -> Option<Vec<u8>>,
    /// The last text that was a key.
    pub(super) key: Option<Uuid>,
}

impl<'a> Reader<'a> {
    /// Asks `next` for a chunk when it needs one.
    pub fn new(next: &'a mut dyn FnMut() -> Option<Vec<u8>>) -> Self {
        Self { chunk: Vec::new(), at: 0, next, key: None }
    }

    /// True if nothing is left.
    pub fn is_done(&mut self) -> bool {
        self.fill().is_none()
    }

    fn fill(&mut self) -> Option<()> {
        while self.at == self.chunk.len() {
            self.chunk = (self.next)()?;
            self.at = 0;
        }
        Some(())
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<&[u8], Unreadable> {
        if count == 0 {
            return Ok(&[]);
        }
        self.fill().ok_or(Unreadable)?;
        let end = self.at.checked_add(count).ok_or(Unreadable)?;
        let bytes = self.chunk.get(self.at..end).ok_or(Unreadable)?;
        self.at = end;
        Ok(bytes)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        self.bytes(N)?.try_into().map_err(|_| Unreadable)
    }

    pub(super) fn number(&mut self) -> Result<u64, Unreadable> {
        self.fill().ok_or(Unreadable)?;
        let mut number = 0;
        for (count, byte) in self.chunk[self.at..].iter().enumerate().take(10) {
            number |= u64::from(byte & 0x7f) << (7 * count);
            if byte & 0x80 == 0 {
                self.at += count + 1;
                return Ok(number);
            }
        }
        Err(Unreadable)
    }

    /// A length, and how much room to make for it.
    pub(crate) fn length(&mut self) -> Result<(usize, usize), Unreadable> {
        let length = usize::try_from(self.number()?).map_err(|_| Unreadable)?;
        Ok((length, length.min(TRUSTED)))
    }
}

/// A value that is part of a checkpoint.
pub trait Kept: Sized {
    /// Writes it.
    fn put(&self, to: &mut Writer<'_>);
    /// Reads it back.
    fn get(from: &mut Reader<'_>) -> Result<Self, Unreadable>;

    /// Bytes that it owns beside its own place: room that was made, whether used or not. Of trees about; what the allocator adds
    /// is not among them.
    fn room(&self) -> usize {
        0
    }

    /// The same, of each field.
    fn rooms(&self) -> Vec<(&'static str, usize)> {
        Vec::new()
    }
}

/// A struct: its fields in this order, all of them.
macro_rules! kept_struct {
    ($name:ident $(<$value:ident>)? { $($field:ident),+ $(,)? }) => {
        impl $(<$value: $crate::checkpoint::Kept>)? $crate::checkpoint::Kept for $name $(<$value>)? {
            fn put(&self, to: &mut $crate::checkpoint::Writer<'_>) {
                let Self { $($field),+ } = self;
                $($crate::checkpoint::Kept::put($field, to);)+
            }

            fn get(from: &mut $crate::checkpoint::Reader<'_>) -> Result<Self, $crate::checkpoint::Unreadable> {
                Ok(Self { $($field: $crate::checkpoint::Kept::get(from)?),+ })
            }

            fn room(&self) -> usize {
                let Self { $($field),+ } = self;
                0 $(+ $crate::checkpoint::Kept::room($field))+
            }

            fn rooms(&self) -> Vec<(&'static str, usize)> {
                let Self { $($field),+ } = self;
                vec![$((stringify!($field), $crate::checkpoint::Kept::room($field))),+]
            }
        }
    };
}

/// An enum: the number of the variant, then its fields (`0: name` is the first of a tuple).
macro_rules! kept_enum {
    ($name:ident $(<$of:ident>)? { $($tag:literal $variant:ident { $($field:tt: $value:ident),* $(,)? }),+ $(,)? }) => {
        impl $(<$of: $crate::checkpoint::Kept>)? $crate::checkpoint::Kept for $name $(<$of>)? {
            fn put(&self, to: &mut $crate::checkpoint::Writer<'_>) {
                match self {
                    $(Self::$variant { $($field: $value),* } => {
                        $crate::checkpoint::Kept::put(&($tag as u8), to);
                        $($crate::checkpoint::Kept::put($value, to);)*
                    })+
                }
            }

            fn get(from: &mut $crate::checkpoint::Reader<'_>) -> Result<Self, $crate::checkpoint::Unreadable> {
                let tag: u8 = $crate::checkpoint::Kept::get(from)?;
                Ok(match tag {
                    $($tag => Self::$variant { $($field: $crate::checkpoint::Kept::get(from)?),* },)+
                    _ => return Err($crate::checkpoint::Unreadable),
                })
            }

            fn room(&self) -> usize {
                match self {
                    $(Self::$variant { $($field: $value),* } => 0 $(+ $crate::checkpoint::Kept::room($value))*,)+
                }
            }
        }
    };
}

pub(crate) use {kept_enum, kept_struct};
