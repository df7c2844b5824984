//! Access drift: rules over correlated facts, and the register of what they found.
//!
//! Pure: facts and settings in, findings and states out. One rule is one file of [`rules`]; what a rule cannot judge for want of an
//! input it says (NOT EVALUABLE), and never passes over. Reads no clock, no store and no name of a person.

#![forbid(unsafe_code)]

pub mod baseline;
pub mod configured;
pub mod facts;
pub mod finding;
pub mod handling;
pub mod orphan;
pub mod register;
pub mod rules;
pub mod settings;
pub mod subject;

pub use baseline::Baseline;
pub use facts::Facts;
pub use finding::{Candidate, Confidence, Severity};
pub use rules::{Judged, RULES, Rule, State};
pub use settings::Settings;
pub use subject::Subject;
