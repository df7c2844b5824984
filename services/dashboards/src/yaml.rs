//! YAML of plain values: block maps and lists, every text in double quotes as JSON writes it (which is YAML too).

use serde_json::Value;

/// A document.
pub fn text(value: &Value) -> String {
    let mut out = String::new();
    block(&mut out, value, 0);
    out
}

fn block(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                entry(out, &format!("{}{key}:", "  ".repeat(depth)), value, depth + 1);
            }
        }
        Value::Array(items) => {
            for item in items {
                let at = out.len();
                block(out, item, depth + 1);
                if item.is_object() || item.is_array() {
                    // The dash stands in the indentation of the item's first line.
                    out.replace_range(at + 2 * depth..at + 2 * depth + 2, "- ");
                }
            }
        }
        scalar => out.push_str(&format!("{}- {scalar}\n", "  ".repeat(depth.saturating_sub(1)))),
    }
}

fn entry(out: &mut String, key: &str, value: &Value, depth: usize) {
    let empty = value.as_object().is_some_and(serde_json::Map::is_empty) || value.as_array().is_some_and(Vec::is_empty);
    if empty || !(value.is_object() || value.is_array()) {
        out.push_str(&format!("{key} {value}\n"));
        return;
    }
    out.push_str(&format!("{key}\n"));
    block(out, value, depth);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn nested_values_are_laid_out_as_yaml_reads_them() {
        let value =
            json!({"a": 1, "list": [{"x": "p: \"q\"\n#", "y": [1, "two"]}, {"x": {}}], "b": {"c": [], "d": true}});
        let expected = "a: 1\nlist:\n  - x: \"p: \\\"q\\\"\\n#\"\n    y:\n      - 1\n      - \"two\"\n  - x: {}\nb:\n  c: []\n  d: true\n";
        assert_eq!(super::text(&value), expected);
    }
}
