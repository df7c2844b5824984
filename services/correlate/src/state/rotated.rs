//! Refresh tokens that were presented before the floor, of a session that goes on: as little of each as tells that it is presented again,
//! and which event had issued it.
//!
//! Of one session no more than [`MOST`]: an offline session goes on for years.

use crate::{checkpoint::kept_struct, places::Place};
use uuid::Uuid;

/// Tokens of one session: more than an ordinary one has in its whole life.
const MOST: usize = 128;

/// Enough of a keyed hash to tell the tokens of one session apart.
type Short = [u8; 8];

/// The latest of them, in the order in which they were issued.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rotated {
    known: Vec<(Short, Uuid)>,
    /// There were more.
    lacks: bool,
}

impl Rotated {
    /// Adds the next, with the event that issued it.
    pub(crate) fn add(&mut self, token: Place, issued: Uuid) {
        self.known.push((short(token), issued));
        if self.known.len() > MOST {
            self.known.remove(0);
            self.lacks = true;
        }
    }

    /// The event that issued a token, if it is one of these.
    pub(crate) fn issued(&self, token: Place) -> Option<Uuid> {
        let token = short(token);
        self.known.iter().find(|(known, _)| *known == token).map(|(_, issued)| *issued)
    }

    /// A token that is not among these may be one all the same.
    pub(crate) fn lacks(&self) -> bool {
        self.lacks
    }
}

fn short(place: Place) -> Short {
    let [first @ .., _, _, _, _] = place;
    first
}

kept_struct!(Rotated { known, lacks });
