//! What `tokentrail status` says of lines that are no receipts: summed over all deliveries, a repeated one once.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use store::{Store, StoreError};

/// Lines of one source that are no receipts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherLines {
    /// Source id.
    pub source: String,
    /// How many, by kind (`events::lines::LineKind`).
    pub lines: BTreeMap<String, u64>,
}

/// Reads the sums of every source that has some.
pub async fn read(store: &Store, tenant: &str) -> Result<Vec<OtherLines>, StoreError> {
    let mut sources: Vec<OtherLines> = Vec::new();
    // Ordered by source.
    for row in store.other_lines(tenant).await? {
        match sources.last_mut() {
            Some(last) if last.source == row.source_id => {
                last.lines.insert(row.kind, row.lines);
            }
            _ => sources.push(OtherLines { source: row.source_id, lines: BTreeMap::from([(row.kind, row.lines)]) }),
        }
    }
    Ok(sources)
}

/// One line per source.
pub fn render(sources: &[OtherLines]) -> String {
    let line = |one: &OtherLines| {
        let kinds: Vec<String> = one.lines.iter().map(|(kind, lines)| format!("{kind} {lines}")).collect();
        format!("  {}: other lines: {}\n", one.source, kinds.join(", "))
    };
    sources.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_per_source_with_every_kind() {
        let lines = BTreeMap::from([("json".to_owned(), 3), ("access".to_owned(), 2)]);
        let text = render(&[OtherLines { source: "portal".into(), lines }]);
        assert_eq!(text, "  portal: other lines: access 2, json 3\n");
        assert_eq!(render(&[]), "");
    }
}
