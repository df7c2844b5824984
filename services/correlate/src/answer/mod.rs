//! Every answer is a function of what is known, as of an instant; nothing is remembered between two questions.

mod aliases;
pub(crate) mod credential;
pub(crate) mod decision;
pub(crate) mod gaps;
pub(crate) mod grants;
pub(crate) mod judge;
pub(crate) mod person;
pub(crate) mod session;
pub(crate) mod support;
mod world;
