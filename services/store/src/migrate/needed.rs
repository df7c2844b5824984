//! What an empty database needs of all statements. Most views were written anew by a later file, some of them five times: there,
//! only the last text counts.

use super::code;

const VIEW: &str = "CREATE OR REPLACE VIEW {database}.";

/// Those of `statements`, in order, without which an empty database ends otherwise. A view that a later one replaces is left out,
/// unless a statement that stays speaks of it in between.
pub(super) fn on_an_empty_database<'a>(statements: &[&'a str]) -> Vec<&'a str> {
    let texts: Vec<String> = statements.iter().map(|sql| code(sql)).collect();
    // The last one first: whether one stays depends on those behind it.
    let mut stay: Vec<usize> = Vec::new();
    for at in (0..texts.len()).rev() {
        if view(&texts[at]).is_none_or(|name| !replaced(name, stay.iter().rev().map(|at| texts[*at].as_str()))) {
            stay.push(at);
        }
    }
    stay.into_iter().rev().map(|at| statements[at]).collect()
}

/// Whether the first of `later` that speaks of the view replaces it.
fn replaced<'a>(name: &str, mut later: impl Iterator<Item = &'a str>) -> bool {
    later.find(|text| words(text).any(|word| word == name)).is_some_and(|text| view(text) == Some(name))
}

/// The name of the view that a statement makes.
fn view(text: &str) -> Option<&str> {
    words(text.strip_prefix(VIEW)?).next()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_speaks_of_in_between_is_left_out() {
        let a = "CREATE OR REPLACE VIEW {database}.a {on_cluster} AS SELECT 1";
        let newer = "-- a\nCREATE OR REPLACE VIEW {database}.a {on_cluster} AS SELECT 2";
        let newest = "CREATE OR REPLACE VIEW {database}.a {on_cluster} AS SELECT 3";
        let over_a = "CREATE OR REPLACE VIEW {database}.b {on_cluster} AS SELECT * FROM {database}.a";
        let table = "CREATE TABLE IF NOT EXISTS {database}.aa {on_cluster} (a_b UInt8)";
        assert_eq!(on_an_empty_database(&[a, table, newer, newest]), [table, newest]);
        assert_eq!(on_an_empty_database(&[a, over_a, newer]), [a, over_a, newer]);
        assert_eq!(on_an_empty_database(&[a, newer, over_a, newest]), [newer, over_a, newest]);
        // What speaks of it is left out itself.
        assert_eq!(on_an_empty_database(&[a, over_a, newer, over_a]), [newer, over_a]);
        // A view over its own older text would be a mistake, and not one that this hides.
        assert_eq!(on_an_empty_database(&[table, a]), [table, a]);
    }
}
