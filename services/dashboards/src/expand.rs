//! What Grafana and its ClickHouse data source make of a question before ClickHouse sees it: first the variables (in the browser),
//! then the macros (in the plugin). Only what our sources use; anything else is an error, so that nothing goes unexpanded unseen.

use anyhow::{Context, bail};
use std::collections::BTreeMap;

/// The value of "All".
pub const ALL: &str = "$__all";

/// What the reader has chosen.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Beginning of the period, UTC milliseconds.
    pub from: i64,
    /// Its end.
    pub to: i64,
    /// Width of a bar, seconds.
    pub interval: u32,
    /// Values of variables; [`ALL`] with what it stands for.
    pub variables: BTreeMap<String, Vec<String>>,
    /// Variables that stand on "All".
    pub all: Vec<String>,
}

impl Choice {
    /// Chooses one value.
    #[must_use]
    pub fn with(mut self, variable: &str, value: &str) -> Self {
        self.variables.insert(variable.to_owned(), vec![value.to_owned()]);
        self
    }

    /// SQL as ClickHouse gets it.
    pub fn expand(&self, sql: &str) -> anyhow::Result<String> {
        let sql = self.conditions(sql)?;
        let sql = self.interpolate(&sql)?;
        let sql = self.macros(&sql)?;
        if let Some(at) = sql.find("$_").or_else(|| sql.find("${")) {
            bail!("not expanded: {}", sql[at..].chars().take(40).collect::<String>());
        }
        Ok(sql)
    }

    /// `$__conditionalAll(condition, $variable)`: nothing is asked where the variable stands on "All" or on nothing.
    fn conditions(&self, sql: &str) -> anyhow::Result<String> {
        replace_calls(sql, "$__conditionalAll", |arguments| {
            let (condition, variable) = arguments.rsplit_once(',').context("$__conditionalAll takes two arguments")?;
            let name = variable.trim().trim_start_matches('$');
            let empty = self.variables.get(name).is_none_or(|values| values.iter().all(String::is_empty));
            let all = self.all.iter().any(|one| one == name);
            Ok(if all || empty { "1=1".to_owned() } else { condition.trim().to_owned() })
        })
    }

    /// `${name}`, `${name:singlequote}`, `${name:queryparam}`, `${__from}`, `${__to}`.
    fn interpolate(&self, sql: &str) -> anyhow::Result<String> {
        let mut out = String::new();
        let mut rest = sql;
        while let Some(at) = rest.find("${") {
            out.push_str(&rest[..at]);
            let end = rest[at..].find('}').context("a ${ without }")? + at;
            let inner = &rest[at + 2..end];
            let (name, format) = inner.split_once(':').unwrap_or((inner, ""));
            out.push_str(&self.value(name, format)?);
            rest = &rest[end + 1..];
        }
        out.push_str(rest);
        Ok(out)
    }

    fn value(&self, name: &str, format: &str) -> anyhow::Result<String> {
        match (name, format) {
            ("__from", "") => return Ok(self.from.to_string()),
            ("__to", "") => return Ok(self.to.to_string()),
            _ => {}
        }
        let values = self.variables.get(name).with_context(|| format!("no variable {name}"))?;
        Ok(match format {
            "singlequote" => values.iter().map(|v| quoted(v)).collect::<Vec<_>>().join(","),
            "queryparam" => values.iter().map(|v| format!("var-{name}={v}")).collect::<Vec<_>>().join("&"),
            other => bail!("the format {other} of {name} is not one that our sources use"),
        })
    }

    /// Macros of the plugin.
    fn macros(&self, sql: &str) -> anyhow::Result<String> {
        let (from, to) = (self.from.div_euclid(1000), self.to.div_euclid(1000));
        let sql = replace_calls(sql, "$__timeFilter", |column| {
            Ok(format!("{column} >= toDateTime({from}) AND {column} <= toDateTime({to})"))
        })?;
        let interval = self.interval.max(1);
        let sql = replace_calls(&sql, "$__timeInterval", |column| {
            Ok(format!("toStartOfInterval(toDateTime({column}), INTERVAL {interval} second)"))
        })?;
        Ok(sql
            .replace("$__fromTime", &format!("toDateTime({from})"))
            .replace("$__toTime", &format!("toDateTime({to})")))
    }
}

/// A text as Grafana quotes it: backslash before a quote.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// Replaces each `name(arguments)`; brackets within the arguments are counted.
fn replace_calls(sql: &str, name: &str, with: impl Fn(&str) -> anyhow::Result<String>) -> anyhow::Result<String> {
    let call = format!("{name}(");
    let mut out = String::new();
    let mut rest = sql;
    while let Some(at) = rest.find(&call) {
        out.push_str(&rest[..at]);
        let inner = &rest[at + call.len()..];
        let mut depth = 1;
        let end = inner.char_indices().find(|(_, c)| {
            depth += match c {
                '(' => 1,
                ')' => -1,
                _ => 0,
            };
            depth == 0
        });
        let (end, _) = end.with_context(|| format!("{name} is not closed"))?;
        out.push_str(&with(&inner[..end])?);
        rest = &inner[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn choice() -> Choice {
        Choice { from: 1_500, to: 90_999, interval: 30, ..Choice::default() }.with("who", "o'b\\r").with("source", "kc")
    }

    #[test]
    fn variables_and_macros_become_what_the_data_source_sends() {
        let sql = "SELECT $__timeInterval(t) FROM v(from = ${__from}) WHERE $__timeFilter(t) AND w = ${who:singlequote} AND t < $__toTime";
        let expected = "SELECT toStartOfInterval(toDateTime(t), INTERVAL 30 second) FROM v(from = 1500) WHERE t >= toDateTime(1) AND t <= toDateTime(90) \
                        AND w = 'o\\'b\\\\r' AND t < toDateTime(90)";
        assert_eq!(choice().expand(sql).unwrap(), expected);
    }

    #[test]
    fn all_asks_nothing_and_one_asks_for_it() {
        let sql = "WHERE $__conditionalAll((s = '' OR s IN (${source:singlequote})), $source)";
        assert_eq!(choice().expand(sql).unwrap(), "WHERE (s = '' OR s IN ('kc'))");
        let all = Choice { all: vec!["source".into()], ..choice() };
        assert_eq!(all.expand(sql).unwrap(), "WHERE 1=1");
    }

    #[test]
    fn what_is_not_known_is_an_error() {
        for sql in ["${nobody:singlequote}", "$__unknown(x)", "${who}", "$__timeFilter(x", "${who:csv}"] {
            assert!(choice().expand(sql).is_err(), "{sql}");
        }
    }
}
