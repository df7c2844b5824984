//! The rows that stand, in parts of the time, so that nobody need hold all at once.

use super::{Place, records::TABLES, storable, streaming};
use crate::{Store, StoreError, error::within, query::rows, settings::QUERY_WAIT};
use clickhouse::Row;
use serde::Deserialize;
use std::collections::BTreeMap;

const DAY: i64 = 86_400_000;

#[derive(Row, Deserialize)]
struct PlaceRow {
    row_id: [u8; 16],
    person: String,
    at: i64,
    content: u64,
}

/// A part of the time by which rows are sorted, UTC milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// From this instant on; none: from the first row on.
    pub from: Option<i64>,
    /// Before this one; none: to the last row.
    pub to: Option<i64>,
}

impl Store {
    /// Hands over the rows that stand in a part of the time.
    pub async fn places_in(
        &self,
        tenant: &str,
        part: Stretch,
        each: &mut (dyn FnMut([u8; 16], Place) + Send),
    ) -> Result<(), StoreError> {
        let from = part.from.map_or("", |_| "AND at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')");
        let to = part.to.map_or("", |_| "AND at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')");
        for (table, name) in TABLES {
            let sql = format!(
                "SELECT row_id, person, at, content FROM {name} FINAL WHERE tenant = {{tenant:String}} {from} {to}"
            );
            let mut asked = self.ask(&sql).param("tenant", tenant);
            for (name, bound) in [("from", part.from), ("to", part.to)] {
                if let Some(bound) = bound {
                    asked = asked.param(name, storable(bound));
                }
            }
            let mut found = streaming(asked).fetch::<PlaceRow>()?;
            while let Some(row) = within(QUERY_WAIT, found.next()).await? {
                let place = Place { table: *table, person: row.person, at: row.at, content: row.content };
                each(row.row_id, place);
            }
        }
        Ok(())
    }

    /// The whole time in parts of at least `rows_each` rows that stand, but the last: whole days, of which each can hold any
    /// number. Rows that were taken away and not merged yet count, too.
    pub async fn place_parts(&self, tenant: &str, rows_each: u64) -> Result<Vec<Stretch>, StoreError> {
        let mut days: BTreeMap<i64, u64> = BTreeMap::new();
        for (_, name) in TABLES {
            let sql = format!(
                "SELECT toInt64(floor(toUnixTimestamp64Milli(at) / {DAY})) AS day, count() FROM {name} \
                 WHERE tenant = {{tenant:String}} GROUP BY day"
            );
            for (day, count) in rows::<(i64, u64)>(self.ask(&sql).param("tenant", tenant)).await? {
                *days.entry(day).or_default() += count;
            }
        }
        let (mut parts, mut from, mut count) = (Vec::new(), None, 0);
        for (day, rows) in days {
            count += rows;
            if count >= rows_each {
                let to = Some((day + 1) * DAY);
                parts.push(Stretch { from, to });
                (from, count) = (to, 0);
            }
        }
        parts.push(Stretch { from, to: None });
        Ok(parts)
    }
}
