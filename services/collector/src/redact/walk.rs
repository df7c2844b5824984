//! One pass over one JSON value under a [`Rule`]: checks the syntax and bounds, notes what the splitter needs, lists edits.
//!
//! Never builds a tree and never changes the text itself; [`Walk::body`] splices the edits into a copy.

use super::{
    Broken, Class, MAX_DEPTH, Others, Rule, detect,
    json::{Cursor, Quoted},
    mark_nested, mark_text, scalar,
    seen::{Seen, Slot, Span},
    telling,
};
use events::person::DeploymentKey;

struct Edit {
    start: usize,
    end: usize,
    text: String,
}

/// The walk itself.
pub(crate) struct Walk<'a> {
    cursor: Cursor<'a>,
    key: &'a DeploymentKey,
    depth: u32,
    nodes: u32,
    max_nodes: u32,
    edits: Vec<Edit>,
    names: Vec<u64>,
    pub seen: Seen,
}

impl<'a> Walk<'a> {
    pub fn new(text: &'a str, key: &'a DeploymentKey, max_nodes: u32) -> Self {
        Self {
            cursor: Cursor::new(text),
            key,
            depth: 0,
            nodes: 0,
            max_nodes,
            edits: Vec::new(),
            names: Vec::new(),
            seen: Seen::default(),
        }
    }

    /// The text that is walked.
    pub fn text(&self) -> &'a str {
        self.cursor.text
    }

    /// The cursor, for a splitter that reads what stands between values.
    pub fn cursor(&mut self) -> &mut Cursor<'a> {
        &mut self.cursor
    }

    /// Walks the next value, forgetting what was noted before; returns where it stands.
    pub fn next(&mut self, rule: &'static Rule) -> Result<Span, Broken> {
        self.seen = Seen::default();
        self.edits.clear();
        self.names.clear();
        self.nodes = 0;
        self.depth = 0;
        self.cursor.space();
        let start = self.cursor.at;
        self.value(rule)?;
        Ok(Span { start, end: self.cursor.at })
    }

    /// Walks a text that is one value and nothing more.
    pub fn only(&mut self, rule: &'static Rule) -> Result<Span, Broken> {
        let span = self.next(rule)?;
        self.cursor.space();
        if self.cursor.at != self.cursor.text.len() {
            return Err(Broken::Syntax);
        }
        Ok(span)
    }

    /// Whether nothing has to be removed.
    pub fn is_clean(&self) -> bool {
        self.edits.is_empty()
    }

    /// Lists a replacement of a piece that has none yet.
    pub fn replace(&mut self, span: Span, text: String) {
        if self.edits.iter().any(|edit| edit.start < span.end && span.start < edit.end) {
            return;
        }
        self.edits.push(Edit { start: span.start, end: span.end, text });
    }

    /// Replaces a noted string by its mark.
    pub fn deny(&mut self, slot: Slot) {
        let (Some(span), Some(value)) = (self.seen.span(slot), self.seen.text(slot, self.cursor.text)) else {
            return;
        };
        if !scalar::is_harmless(&value) {
            let text = format!("\"{}\"", mark_text(self.key, &value));
            self.replace(span, text);
        }
    }

    /// The bytes of a piece with the edits done.
    pub fn body(&mut self, span: Span) -> Vec<u8> {
        self.edits.sort_by_key(|edit| edit.start);
        let text = self.cursor.text;
        let mut body = Vec::with_capacity(span.end - span.start + 64 * self.edits.len());
        let mut at = span.start;
        for edit in &self.edits {
            body.extend_from_slice(&text.as_bytes()[at..edit.start]);
            body.extend_from_slice(edit.text.as_bytes());
            at = edit.end;
        }
        body.extend_from_slice(&text.as_bytes()[at..span.end]);
        body
    }

    fn edit(&mut self, start: usize, text: String) {
        self.edits.push(Edit { start, end: self.cursor.at, text });
    }

    fn value(&mut self, rule: &'static Rule) -> Result<(), Broken> {
        self.nodes += 1;
        if self.nodes > self.max_nodes {
            return Err(Broken::TooManyNodes);
        }
        match (rule, self.cursor.peek()) {
            (Rule::Note(slot, inner), _) => {
                let start = self.cursor.at;
                self.value(inner)?;
                self.seen.note(*slot, Span { start, end: self.cursor.at });
                Ok(())
            }
            (_, b'"') => {
                let quoted = self.cursor.string()?;
                self.string(rule, quoted)
            }
            (Rule::One(class), b'{') => self.object(Names::Of(class)),
            (Rule::Map(inner), b'{') => self.object(Names::Any(inner)),
            (Rule::Tree, b'{') => self.object(Names::Any(&Rule::Tree)),
            (_, b'{') => self.denied(),
            (Rule::Deny | Rule::Later, b'[') => self.denied(),
            (_, b'[') => self.list(rule),
            _ => {
                let start = self.cursor.at;
                let literal = self.cursor.literal()?;
                if matches!(rule, Rule::Deny) && !matches!(literal, "true" | "false" | "null") {
                    let mark = mark_text(self.key, literal);
                    self.edit(start, format!("\"{mark}\""));
                }
                Ok(())
            }
        }
    }

    fn string(&mut self, rule: &'static Rule, quoted: Quoted<'a>) -> Result<(), Broken> {
        if matches!(rule, Rule::Later) {
            return Ok(());
        }
        let value = quoted.decoded()?;
        if let Some(kept) = scalar::redact(self.key, rule, &value) {
            let text = serde_json::to_string(&kept).map_err(|_| Broken::Syntax)?;
            self.edit(quoted.start, text);
        }
        Ok(())
    }

    /// Checks a nested value and lists its replacement, unless it is empty.
    fn denied(&mut self) -> Result<(), Broken> {
        let (start, edits, seen) = (self.cursor.at, self.edits.len(), self.seen.clone());
        if self.cursor.peek() == b'{' {
            self.object(Names::Any(&Rule::Tree))?;
        } else {
            self.list(&Rule::Tree)?;
        }
        self.seen = seen;
        self.edits.truncate(edits);
        let raw = &self.cursor.text[start..self.cursor.at];
        if raw[1..raw.len() - 1].bytes().any(|b| !b.is_ascii_whitespace()) {
            let text = mark_nested(self.key, raw);
            self.edit(start, text);
        }
        Ok(())
    }

    fn enter(&mut self) -> Result<(), Broken> {
        self.depth += 1;
        self.cursor.at += 1;
        self.cursor.space();
        if self.depth > MAX_DEPTH { Err(Broken::TooDeep) } else { Ok(()) }
    }

    /// After a value: true if another follows.
    fn more(&mut self, close: u8) -> Result<bool, Broken> {
        self.cursor.space();
        let byte = self.cursor.peek();
        if byte != b',' && byte != close {
            return Err(Broken::Syntax);
        }
        self.cursor.at += 1;
        if byte == b',' {
            self.cursor.space();
            return Ok(true);
        }
        self.depth -= 1;
        Ok(false)
    }

    fn list(&mut self, rule: &'static Rule) -> Result<(), Broken> {
        self.enter()?;
        if self.cursor.peek() == b']' {
            self.more(b']')?;
            return Ok(());
        }
        loop {
            self.value(rule)?;
            if !self.more(b']')? {
                return Ok(());
            }
        }
    }

    fn object(&mut self, names: Names) -> Result<(), Broken> {
        self.enter()?;
        if self.cursor.peek() == b'}' {
            self.more(b'}')?;
            return Ok(());
        }
        let first_name = self.names.len();
        let (mut known, mut hint) = (0u128, 0);
        loop {
            let quoted = self.cursor.string()?;
            let name = quoted.decoded()?;
            let found = match names {
                Names::Of(class) => find(class, &name, hint),
                Names::Any(_) => None,
            };
            let rule = match (found, names) {
                (Some(place), Names::Of(class)) => {
                    let bit = 1u128 << place;
                    if known & bit != 0 {
                        return Err(Broken::DuplicateName);
                    }
                    known |= bit;
                    hint = place + 1;
                    &class.fields[place].1
                }
                (_, names) => {
                    self.unlisted(&name, quoted)?;
                    names.rule(&name)
                }
            };
            self.cursor.space();
            self.cursor.take(b':')?;
            self.cursor.space();
            self.value(rule)?;
            if !self.more(b'}')? {
                break;
            }
        }
        self.check_names(first_name)
    }

    /// A name off the list: remembered to find doubles, and itself replaced if it is a secret.
    fn unlisted(&mut self, name: &str, quoted: Quoted<'a>) -> Result<(), Broken> {
        self.names.push(hash(name));
        if let Some(kept) = detect::words(self.key, name) {
            let text = serde_json::to_string(&kept).map_err(|_| Broken::Syntax)?;
            self.edit(quoted.start, text);
        }
        Ok(())
    }

    fn check_names(&mut self, first: usize) -> Result<(), Broken> {
        let mine = &mut self.names[first..];
        mine.sort_unstable();
        let doubled = mine.windows(2).any(|pair| pair[0] == pair[1]);
        self.names.truncate(first);
        if doubled { Err(Broken::DuplicateName) } else { Ok(()) }
    }
}

#[derive(Clone, Copy)]
enum Names {
    Of(&'static Class),
    Any(&'static Rule),
}

impl Names {
    /// The rule of a name that is not listed.
    fn rule(self, name: &str) -> &'static Rule {
        match self {
            Self::Of(class) if class.others == Others::Deny => &Rule::Deny,
            _ if telling(name) => &Rule::Deny,
            Self::Of(_) => &Rule::Unlisted,
            Self::Any(rule) => rule,
        }
    }
}

/// The place of a name in a class, looked for from `hint` on and around.
#[inline]
fn find(class: &Class, name: &str, hint: usize) -> Option<usize> {
    let fields = class.fields;
    let hint = hint.min(fields.len());
    let later = fields[hint..].iter().position(|field| field.0 == name).map(|at| at + hint);
    later.or_else(|| fields[..hint].iter().position(|field| field.0 == name))
}

/// FNV-1a, 64 bits: two names of one object that collide by chance are read as a double, which is a dead letter.
fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    static PAIR: Class = Class { fields: &[("a", Rule::Name), ("b", Rule::One(&PAIR))], others: Others::Search };
    static ONE: Rule = Rule::One(&PAIR);

    fn run(text: &str) -> Result<String, Broken> {
        let key = DeploymentKey::new([7; 32]);
        let mut walk = Walk::new(text, &key, 100);
        let span = walk.only(&ONE)?;
        Ok(String::from_utf8(walk.body(span)).unwrap())
    }

    #[test]
    fn keeps_what_is_listed_and_denies_what_is_nested_or_telling() {
        let kept = r#"{ "a":"x" ,"b":{"a":null,"c":[1,2]},"d":{},"e":true}"#;
        assert_eq!(run(kept).unwrap(), kept);
        let out = run(r#"{"a":{"deep":1},"x":{"y":"z"},"p\u0061ssword":"short","otp":12345}"#).unwrap();
        let value: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(value["a"]["redacted"], true);
        assert_eq!(value["x"]["redacted"], true);
        assert!(value["password"].as_str().unwrap().ends_with(":5"));
        assert!(value["otp"].as_str().unwrap().starts_with("redacted:"));
    }

    #[test]
    fn bounds_and_doubles_are_refused() {
        let deep = format!("{}1{}", r#"{"b":"#.repeat(33), "}".repeat(33));
        assert_eq!(run(&deep), Err(Broken::TooDeep));
        assert!(run(&format!("{}1{}", r#"{"b":"#.repeat(32), "}".repeat(32))).is_ok());
        let wide = format!(r#"{{"c":[{}0]}}"#, "0,".repeat(100));
        assert_eq!(run(&wide), Err(Broken::TooManyNodes));
        for doubled in [r#"{"a":1,"a":2}"#, r#"{"z":1,"q":1,"z":2}"#, r#"{"a":1,"\u0061":2}"#] {
            assert_eq!(run(doubled), Err(Broken::DuplicateName), "{doubled}");
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            ".{0,12}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
                prop::collection::vec((".{0,6}", inner), 0..6)
                    .prop_map(|pairs| serde_json::Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn accepts_what_serde_accepts_and_writes_json(value in json()) {
            let out = run(&value.to_string()).unwrap();
            prop_assert!(serde_json::from_str::<serde_json::Value>(&out).is_ok());
        }

        #[test]
        fn never_accepts_what_serde_refuses(value in json(), cut in 0usize..200, junk in "[ -~]{0,3}") {
            let mut text = value.to_string();
            let cut = (0..=cut.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap();
            text.replace_range(cut.., &junk);
            if run(&text).is_ok() {
                prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}", text);
            }
        }
    }
}
