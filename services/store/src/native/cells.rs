//! Cells of one column while rows are added, and their layout on the wire.

use super::{Pieces, Unfit, put_text};
use std::collections::HashMap;
use uuid::Uuid;

/// `LowCardinality`: version of the layout (own keys with each block), once per column.
const LOW_PREFIX: [u8; 8] = 1u64.to_le_bytes();
/// `LowCardinality`: this block brings its keys, and nothing is known of others.
const LOW_OWN_KEYS: u64 = 1 << 9 | 1 << 10;

/// The cells of a column.
pub(crate) enum Cells {
    /// Each of this many bytes, little endian.
    Fixed { width: usize, bytes: Vec<u8> },
    /// Strings, each with its length before it.
    Text { count: usize, bytes: Vec<u8> },
    /// Strings of which many are equal.
    Low(Dictionary),
    /// A byte for each cell, 1 where there is none; and the cells, zeros where there is none.
    Nullable { nulls: Vec<u8>, cells: Box<Cells> },
    /// Where each list ends, and the elements of all.
    Lists { ends: Vec<u8>, total: usize, elements: Box<Cells> },
    /// Where each map ends, and the keys and values of all.
    Maps { ends: Vec<u8>, total: usize, keys: Box<Cells>, values: Box<Cells> },
}

impl Cells {
    /// No cells yet, room for so many, of a type as ClickHouse writes its name; `None` for one that is not known here.
    pub(super) fn of(kind: &str, rows: usize) -> Option<Self> {
        let (name, inside) = match kind.split_once('(') {
            Some((name, rest)) => (name, rest.strip_suffix(')')?),
            None => (kind, ""),
        };
        let fixed = |width: usize| Some(Self::Fixed { width, bytes: Vec::with_capacity(width * rows) });
        let ends = || Vec::with_capacity(8 * rows);
        let inner = |kind| Self::of(kind, rows).map(Box::new);
        match name {
            "UInt8" => fixed(1),
            "UInt32" | "DateTime" => fixed(4),
            "UInt64" | "Int64" | "DateTime64" => fixed(8),
            "UUID" => fixed(16),
            "FixedString" => fixed(inside.parse().ok()?),
            "String" => Some(Self::Text { count: 0, bytes: Vec::new() }),
            "LowCardinality" if inside == "String" => {
                Some(Self::Low(Dictionary { cells: Vec::with_capacity(rows), ..Dictionary::default() }))
            }
            "Nullable" => Some(Self::Nullable { nulls: Vec::with_capacity(rows), cells: inner(inside)? }),
            "Array" => Some(Self::Lists { ends: ends(), total: 0, elements: inner(inside)? }),
            "Map" => {
                let (key, value) = inside.split_once(", ")?;
                Some(Self::Maps { ends: ends(), total: 0, keys: inner(key)?, values: inner(value)? })
            }
            // Laid out as its argument.
            "SimpleAggregateFunction" => Self::of(inside.split_once(", ")?.1, rows),
            _ => None,
        }
    }

    /// What stands before all cells.
    pub(super) fn put_prefix(&self, out: &mut Vec<u8>) {
        match self {
            Self::Low(_) => out.extend_from_slice(&LOW_PREFIX),
            Self::Lists { elements: inside, .. } | Self::Nullable { cells: inside, .. } => inside.put_prefix(out),
            Self::Maps { keys, values, .. } => {
                keys.put_prefix(out);
                values.put_prefix(out);
            }
            Self::Fixed { .. } | Self::Text { .. } => {}
        }
    }

    /// The cells, if there are so many.
    pub(super) fn finish(self, count: usize, pieces: &mut Pieces) -> Result<(), Unfit> {
        if self.count() != count {
            return Err(Unfit);
        }
        match self {
            Self::Fixed { bytes, .. } | Self::Text { bytes, .. } => pieces.put(bytes),
            Self::Low(dictionary) => dictionary.finish(pieces),
            Self::Nullable { nulls, cells } => {
                pieces.put(nulls);
                cells.finish(count, pieces)?;
            }
            Self::Lists { ends, total, elements } => {
                pieces.put(ends);
                elements.finish(total, pieces)?;
            }
            Self::Maps { ends, total, keys, values } => {
                pieces.put(ends);
                keys.finish(total, pieces)?;
                values.finish(total, pieces)?;
            }
        }
        Ok(())
    }

    fn count(&self) -> usize {
        match self {
            Self::Fixed { width, bytes } => bytes.len() / width.max(&1),
            Self::Text { count, .. } => *count,
            Self::Low(dictionary) => dictionary.cells.len(),
            Self::Nullable { nulls, .. } => nulls.len(),
            Self::Lists { ends, .. } | Self::Maps { ends, .. } => ends.len() / 8,
        }
    }

    #[inline]
    fn fixed(&mut self, little: &[u8]) -> Result<(), Unfit> {
        match self {
            Self::Fixed { width, bytes } if *width == little.len() => bytes.extend_from_slice(little),
            _ => return Err(Unfit),
        }
        Ok(())
    }

    #[inline]
    fn text(&mut self, text: &[u8]) -> Result<(), Unfit> {
        match self {
            Self::Text { count, bytes } => {
                put_text(bytes, text);
                *count += 1;
            }
            Self::Low(dictionary) => dictionary.push(text),
            _ => return Err(Unfit),
        }
        Ok(())
    }
}

/// Distinct strings in the order of their first use, and for each cell which of them it is.
#[derive(Default)]
pub(crate) struct Dictionary {
    keys: Vec<u8>,
    known: HashMap<Box<[u8]>, u32>,
    cells: Vec<u32>,
    last: (Box<[u8]>, u32),
}

impl Dictionary {
    #[inline]
    fn push(&mut self, text: &[u8]) {
        // Most cells are equal to the one before.
        if *self.last.0 != *text || self.cells.is_empty() {
            self.last = (text.into(), self.find(text));
        }
        self.cells.push(self.last.1);
    }

    fn find(&mut self, text: &[u8]) -> u32 {
        if let Some(place) = self.known.get(text) {
            return *place;
        }
        // No block has nearly so many rows.
        let place = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        put_text(&mut self.keys, text);
        self.known.insert(text.into(), place);
        place
    }

    fn finish(self, pieces: &mut Pieces) {
        // Where there is no cell, the server reads nothing.
        if self.cells.is_empty() {
            return;
        }
        let (width, kind) = match self.known.len() {
            0..=0x100 => (1, 0),
            0x101..=0x1_0000 => (2, 1),
            _ => (4, 2),
        };
        pieces.put((LOW_OWN_KEYS | kind).to_le_bytes().to_vec());
        pieces.put((self.known.len() as u64).to_le_bytes().to_vec());
        pieces.put(self.keys);
        pieces.put((self.cells.len() as u64).to_le_bytes().to_vec());
        let mut cells = Vec::with_capacity(self.cells.len() * width);
        for cell in &self.cells {
            cells.extend_from_slice(&cell.to_le_bytes()[..width]);
        }
        pieces.put(cells);
    }
}

/// A value of a field.
pub(crate) trait Cell {
    /// Puts itself behind the others, if it is of their type.
    fn put(&self, cells: &mut Cells) -> Result<(), Unfit>;
}

/// Bytes that ClickHouse keeps as a String.
pub(crate) struct Blob<'a>(pub(crate) &'a [u8]);

macro_rules! cell {
    ($(<$($generic:tt),+>)? $type:ty, |$value:ident, $cells:ident| $put:expr) => {
        impl$(<$($generic),+>)? Cell for $type {
            #[inline]
            fn put(&self, $cells: &mut Cells) -> Result<(), Unfit> {
                let $value = self;
                $put
            }
        }
    };
}

cell!(u8, |value, cells| cells.fixed(&[*value]));
cell!(u32, |value, cells| cells.fixed(&value.to_le_bytes()));
cell!(u64, |value, cells| cells.fixed(&value.to_le_bytes()));
cell!(i64, |value, cells| cells.fixed(&value.to_le_bytes()));
cell!([u8; 16], |value, cells| cells.fixed(value));
cell!([u8; 32], |value, cells| cells.fixed(value));
cell!(&str, |value, cells| cells.text(value.as_bytes()));
cell!(String, |value, cells| cells.text(value.as_bytes()));
cell!(Blob<'_>, |value, cells| cells.text(value.0));
// Two numbers, the more significant one first, each little endian.
cell!(Uuid, |value, cells| {
    let (high, low) = value.as_u64_pair();
    cells.fixed((u128::from(low) << 64 | u128::from(high)).to_le_bytes().as_slice())
});

impl<T: Cell + Default> Cell for Option<T> {
    fn put(&self, cells: &mut Cells) -> Result<(), Unfit> {
        let Cells::Nullable { nulls, cells } = cells else { return Err(Unfit) };
        nulls.push(u8::from(self.is_none()));
        match self {
            Some(value) => value.put(cells),
            None => T::default().put(cells),
        }
    }
}

cell!(Vec<&str>, |value, cells| {
    let Cells::Lists { ends, total, elements } = cells else { return Err(Unfit) };
    *total += value.len();
    ends.extend_from_slice(&(*total as u64).to_le_bytes());
    value.iter().try_for_each(|text| elements.text(text.as_bytes()))
});

cell!(Vec<(&str, &str)>, |value, cells| {
    let Cells::Maps { ends, total, keys, values } = cells else { return Err(Unfit) };
    *total += value.len();
    ends.extend_from_slice(&(*total as u64).to_le_bytes());
    value.iter().try_for_each(|(key, value)| {
        keys.text(key.as_bytes())?;
        values.text(value.as_bytes())
    })
});
