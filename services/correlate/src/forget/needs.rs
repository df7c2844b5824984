//! What was touched and is gone.

use crate::{
    dirt::Dirt,
    known::Known,
    moment::{Millis, Moment},
    names::Id,
};

impl Known {
    /// The earliest instant from which answers would be others that are gone, or that rest on what is gone.
    pub(crate) fn needs_gone(&self, dirt: &Dirt) -> Option<Millis> {
        let over = self.gone.over?;
        let mut needed: Vec<Millis> = Vec::new();
        let reaches = |from: Millis| from < over;
        for (user, since) in dirt.users.iter().filter(|(_, since)| reaches(since.from)) {
            if self.references_of(*user).into_iter().any(|reference| self.is_gone(reference, (since.from, over))) {
                needed.push(since.from);
            }
        }
        for (reference, since) in dirt.references.iter().filter(|(_, since)| reaches(since.from)) {
            needed.extend(self.is_gone(*reference, (since.from, over)).then_some(since.from));
        }
        for (source, since) in dirt.sources.iter().filter(|(_, since)| reaches(since.from)) {
            let mut here = self.decisions.keys().chain(self.gone.references.keys()).filter(|of| of.source == *source);
            needed.extend(here.any(|of| self.is_gone(*of, (since.from, over))).then_some(since.from));
        }
        let tokens =
            dirt.tokens.iter().filter(|(_, moment)| reaches(moment.at)).map(|(user, moment)| (*user, moment.at));
        let sign_ins = dirt.user_sign_ins.iter().filter(|(_, from)| reaches(**from)).map(|(user, from)| (*user, *from));
        for (user, from) in tokens.chain(sign_ins) {
            needed.extend(self.gone.users.get(&user).is_some_and(|until| from <= *until).then_some(from));
        }
        needed.into_iter().min()
    }

    /// Whether of a reference anything is gone that was or went on at or after `from`; or something is there from before `over`, and what it
    /// rests on may not be.
    fn is_gone(&self, reference: Id, (from, over): (Millis, Millis)) -> bool {
        let gone = self.gone.references.get(&reference).is_some_and(|until| from <= *until);
        let old = Moment::floor(from)..Moment::floor(over);
        gone || self.decisions.get(&reference).is_some_and(|all| all.range(old).next().is_some())
    }
}
