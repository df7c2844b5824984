//! Lists under change, faults and kills, against a source of the tests' own that answers as the Admin API does: sorted by name,
//! by offset. What is told complete is compared with what was there, instant by instant.

#[path = "../../tests/support/state.rs"]
mod state;

mod faults;
mod truth;
mod world;
