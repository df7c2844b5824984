//! What was touched and is gone.

use crate::{
    dirt::{Dirt, Since},
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
        let needs = |reference: Id, since: &Since| {
            let from = self.decided_from(reference, since.from);
            (reaches(from) && self.is_gone(reference, (from, over))).then_some(from)
        };
        for (user, since) in &dirt.users {
            needed.extend(self.references_of(*user).into_iter().filter_map(|reference| needs(reference, since)));
        }
        needed.extend(dirt.references.iter().filter_map(|(reference, since)| needs(*reference, since)));
        for (source, since) in &dirt.sources {
            let here = self.decisions.keys().chain(self.gone.references.keys()).filter(|of| of.source == *source);
            needed.extend(here.filter_map(|reference| needs(*reference, since)));
        }
        let tokens =
            dirt.tokens.iter().filter(|(_, moment)| reaches(moment.at)).map(|(user, moment)| (*user, moment.at));
        let sign_ins = dirt.user_sign_ins.iter().filter(|(_, from)| reaches(**from)).map(|(user, from)| (*user, *from));
        for (user, from) in tokens.chain(sign_ins) {
            needed.extend(self.gone.users.get(&user).is_some_and(|until| from <= *until).then_some(from));
        }
        needed.into_iter().min()
    }

    /// From when on decisions of a reference may be others, where something that concerns it is another from `from` on: a token whose line is stamped
    /// from then on can have been issued before.
    pub(crate) fn decided_from(&self, reference: Id, from: Millis) -> Millis {
        let lines = self.sessions.paid.get(&reference).map(|all| all.range(Moment::floor(from)..));
        lines.into_iter().flatten().map(|(_, paid)| paid.span.min).fold(from, Millis::min)
    }

    /// Whether of a reference anything is gone that was or went on at or after `from`; or something is there from before `over`, and what it
    /// rests on may not be.
    fn is_gone(&self, reference: Id, (from, over): (Millis, Millis)) -> bool {
        let gone = self.gone.references.get(&reference).is_some_and(|until| from <= *until);
        let old = Moment::floor(from)..Moment::floor(over);
        gone || self.decisions.get(&reference).is_some_and(|all| all.range(old).next().is_some())
    }
}
