//! Decisions on conditions in a simulated Backstage: what becomes of them is told by the call in which they were made, and only where
//! both lines carry one trace.

use crate::{lines, sim::World};
use rand::Rng;

impl World {
    pub fn decide_on_conditions(&mut self, user: usize) {
        let reference = self.reference(user);
        let trace = self.random_id("trace");
        let traced = self.random.random_bool(0.8);
        let line = lines::conditional(self.now, (&reference, traced.then_some(trace.as_str())));
        let decided = line.event;
        self.lines.push(line);
        let mut outcome = None;
        // The call itself; another one of the same trace, of which the first counts; or one of another trace.
        for _ in 0..self.random.random_range(0..3) {
            self.pause(50);
            let allowed = self.random.random_bool(0.5);
            let other = self.random_id("trace");
            let of_it = self.random.random_bool(0.7);
            let carried = if of_it { &trace } else { &other };
            self.lines.push(lines::call(self.now, (&reference, Some(carried), allowed)));
            if traced && of_it {
                outcome = outcome.or(Some(allowed));
            }
        }
        self.conditional.push((decided, outcome));
    }
}
