//! Blocks of rows in ClickHouse's Native format: column after column, as the server keeps them, so that it neither parses
//! nor casts what it takes in. Costs the server half of what the same rows cost it in RowBinary (docs/store.md, Measured).
//!
//! A column is found by the name of its field; its layout is that of the type that the server says it has. Format:
//! ClickHouse `NativeWriter.cpp` and `Serialization*::serializeBinaryBulk`, as a server reads it from plain HTTP
//! (revision 0: no custom serialisations).

mod cells;

use crate::StoreError;
use bytes::Bytes;
use cells::Cells;
pub(crate) use cells::{Blob, Cell};
use std::sync::Arc;

/// A table as the server describes it: names and types of its columns.
pub(crate) type Columns = Vec<(String, String)>;

/// Rows and table do not fit: another column, another type, or one that is not known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unfit;

impl From<Unfit> for StoreError {
    fn from(_: Unfit) -> Self {
        Self::incompatible("the columns are not those of this program")
    }
}

/// A row that can be written. Made by [`columns!`].
pub(crate) trait Line {
    /// Puts each field into its column.
    fn put(&self, fields: &mut Fields<'_>) -> Result<(), Unfit>;
}

impl<R: Line> Line for &R {
    fn put(&self, fields: &mut Fields<'_>) -> Result<(), Unfit> {
        (*self).put(fields)
    }
}

/// `columns!(Row: field, field)`: the fields of a row, each of which is a column of its table.
macro_rules! columns {
    ($row:ty: $($field:ident),+ $(,)?) => {
        impl $crate::native::Line for $row {
            fn put(&self, fields: &mut $crate::native::Fields<'_>) -> Result<(), $crate::native::Unfit> {
                $(fields.put(stringify!($field), &self.$field)?;)+
                Ok(())
            }
        }
    };
}
pub(crate) use columns;

/// A block on its way.
pub(crate) struct Encoded {
    /// Names of the columns.
    pub(crate) names: Vec<&'static str>,
    /// Its bytes, in pieces to be sent one after another.
    pub(crate) pieces: Vec<Bytes>,
}

/// Columns are put together up to this size; a larger one is sent as it is, without a copy.
const PIECE_BYTES: usize = 64 << 10;

/// Encodes rows of one table as one block.
pub(crate) fn encode<R: Line>(
    table: Arc<Columns>,
    rows: impl ExactSizeIterator<Item = Result<R, StoreError>>,
) -> Result<Encoded, StoreError> {
    let mut block = Building::new(table, rows.len());
    for row in rows {
        block.add(&row?)?;
    }
    Ok(block.finish()?)
}

struct Column {
    name: &'static str,
    /// Its place in the table.
    place: usize,
    cells: Cells,
}

/// A block while its rows come.
pub(crate) struct Building {
    table: Arc<Columns>,
    columns: Vec<Column>,
    room: usize,
    rows: usize,
}

/// Where the fields of one row go.
pub(crate) struct Fields<'b> {
    block: &'b mut Building,
    next: usize,
}

impl Fields<'_> {
    /// Puts the next field; every row has the same ones in the same order.
    #[inline]
    pub(crate) fn put(&mut self, name: &'static str, value: &impl Cell) -> Result<(), Unfit> {
        if self.next == self.block.columns.len() {
            self.block.open(name)?;
        }
        let column = &mut self.block.columns[self.next];
        self.next += 1;
        value.put(&mut column.cells)
    }
}

impl Building {
    /// Of a table, with room for about so many rows.
    pub(crate) fn new(table: Arc<Columns>, room: usize) -> Self {
        Self { columns: Vec::with_capacity(table.len()), table, room, rows: 0 }
    }

    /// How many rows came.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Adds a row. After an error the block cannot be finished.
    pub(crate) fn add(&mut self, row: &impl Line) -> Result<(), Unfit> {
        self.rows += 1;
        row.put(&mut Fields { block: self, next: 0 })
    }

    /// The first row says which columns there are, and in which order.
    fn open(&mut self, name: &'static str) -> Result<(), Unfit> {
        let place = self.table.iter().position(|(column, _)| column == name).ok_or(Unfit)?;
        let cells = Cells::of(&self.table[place].1, self.room).ok_or(Unfit)?;
        self.columns.push(Column { name, place, cells });
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<Encoded, Unfit> {
        // The server would fill a column that no row names with defaults, and nobody would see it.
        if self.columns.len() != self.table.len() {
            return Err(Unfit);
        }
        let mut names = Vec::with_capacity(self.columns.len());
        let mut pieces = Pieces { done: Vec::new(), open: Vec::new() };
        put_length(&mut pieces.open, self.columns.len());
        put_length(&mut pieces.open, self.rows);
        for column in self.columns {
            names.push(column.name);
            put_text(&mut pieces.open, column.name.as_bytes());
            put_text(&mut pieces.open, self.table[column.place].1.as_bytes());
            column.cells.put_prefix(&mut pieces.open);
            column.cells.finish(self.rows, &mut pieces)?;
        }
        pieces.done.push(pieces.open);
        Ok(Encoded { names, pieces: pieces.done.into_iter().map(Bytes::from).collect() })
    }
}

struct Pieces {
    done: Vec<Vec<u8>>,
    open: Vec<u8>,
}

impl Pieces {
    fn put(&mut self, bytes: Vec<u8>) {
        if bytes.len() > PIECE_BYTES {
            self.done.push(std::mem::take(&mut self.open));
            self.done.push(bytes);
        } else {
            self.open.extend_from_slice(&bytes);
        }
    }
}

/// LEB128, as ClickHouse writes lengths.
#[inline]
fn put_length(out: &mut Vec<u8>, length: usize) {
    let mut left = length;
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

#[inline]
fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    put_length(out, text.len());
    out.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    struct One {
        name: &'static str,
        place: u32,
    }
    columns!(One: name, place);

    fn table(columns: &[(&str, &str)]) -> Columns {
        columns.iter().map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned())).collect()
    }

    fn bytes(table: &Columns, rows: &[One]) -> Result<Vec<u8>, StoreError> {
        Ok(encode(Arc::new(table.clone()), rows.iter().map(Ok))?.pieces.concat())
    }

    #[test]
    fn a_block_is_as_the_server_writes_it() {
        // SELECT 'a' AS name, toUInt32(7) AS place UNION ALL SELECT 'bc', 258 FORMAT Native
        let plain = table(&[("place", "UInt32"), ("name", "String")]);
        let rows = [One { name: "a", place: 7 }, One { name: "bc", place: 258 }];
        let expected = b"\x02\x02\x04name\x06String\x01a\x02bc\x05place\x06UInt32\x07\0\0\0\x02\x01\0\0";
        assert_eq!(bytes(&plain, &rows).unwrap(), expected);
    }

    #[test]
    fn rows_that_do_not_fit_are_refused() {
        let rows = || [One { name: "a", place: 7 }];
        for columns in [
            &[("name", "String")][..],
            &[("name", "String"), ("place", "UInt32"), ("more", "String")],
            &[("name", "String"), ("other", "UInt32")],
            &[("name", "String"), ("place", "UInt64")],
            &[("name", "UInt32"), ("place", "UInt32")],
            &[("name", "String"), ("place", "Float32")],
        ] {
            assert!(matches!(bytes(&table(columns), &rows()), Err(StoreError::Incompatible(_))), "{columns:?}");
        }
    }

    #[test]
    fn large_columns_are_sent_as_they_are() {
        let long: &'static str = Box::leak("x".repeat(PIECE_BYTES).into_boxed_str());
        let plain = table(&[("name", "String"), ("place", "UInt32")]);
        let encoded = encode(Arc::new(plain), [Ok(One { name: long, place: 1 })].into_iter()).unwrap();
        assert_eq!(encoded.pieces.len(), 3);
        assert_eq!(encoded.names, ["name", "place"]);
    }
}
