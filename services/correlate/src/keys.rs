//! Keys of the rows that are listed of one person or thing, in few bytes: they are read again only where a row is gone.

use crate::{
    checkpoint::{Kept, Reader, Unreadable, Writer},
    rows::Key,
};

/// About what the keys of a person take who is in one group and has one name.
const ROOM: usize = 192;

/// Keys as bytes, in the order in which they came. The same keys in another order are not equal.
#[derive(Default, PartialEq, Eq)]
pub(crate) struct Keys(Box<[u8]>);

impl Keys {
    pub(crate) fn of<'a>(keys: impl Iterator<Item = &'a Key>) -> Self {
        let mut all = Vec::new();
        let mut take = |bytes| {
            all = bytes;
            true
        };
        let mut to = Writer::in_one(ROOM, &mut take);
        keys.for_each(|key| key.put(&mut to));
        to.finish();
        Self(all.into_boxed_slice())
    }

    pub(crate) fn read(&self) -> Vec<Key> {
        let mut left = Some(self.0.to_vec());
        let mut next = || left.take();
        let mut from = Reader::new(&mut next);
        let mut keys = Vec::new();
        while !from.is_done() {
            // What was written here is read here; and what a checkpoint held is sealed.
            let Ok(key) = Kept::get(&mut from) else { break };
            keys.push(key);
        }
        keys
    }
}

impl Kept for Keys {
    fn put(&self, to: &mut Writer<'_>) {
        to.number(self.0.len() as u64);
        to.bytes(&self.0);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let (length, _) = from.length()?;
        from.bytes(length).map(|bytes| Self(bytes.into()))
    }

    fn room(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{AliasKind, RightKind, WorldKind};
    use events::person::PersonKey;
    use uuid::Uuid;

    #[test]
    fn keys_are_read_as_they_were_and_take_few_bytes() {
        let id = "8a0e4f9c-16d2-4c57-9d3e-5b1c7f60a2e4";
        let person = PersonKey(id.replace('-', ""));
        let (reference, source) = ("user:default/ann".to_owned(), "kc".to_owned());
        let all = [
            Key::Grant(person.clone(), RightKind::Group, id.to_owned(), Uuid::from_u128(7)),
            Key::Gap(id.to_uppercase(), RightKind::Role, String::new(), Uuid::nil()),
            Key::Alias(person, AliasKind::Email, source.clone(), i64::MIN, 3),
            Key::World(source, WorldKind::Tie, reference, id.to_owned(), 1_790_000_000_000),
        ];
        let keys = Keys::of(all.iter());
        assert_eq!(keys.read(), all);
        assert!(keys.0.len() < 220, "{}", keys.0.len());
        assert!(Keys::of(all.iter().take(0)).read().is_empty());
        assert!(Keys::of(all.iter().rev()) != keys);
    }
}
