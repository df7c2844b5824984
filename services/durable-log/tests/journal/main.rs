//! Tests of the embedded journal, one binary: the contract, every fault twice, crashes, flipped bits, full disks, kills.
#![allow(clippy::unwrap_used)]

mod basics;
mod contract;
mod crashes;
mod faults;
mod flips;
mod frames;
mod kill;
mod ledger;
mod quarantine;
mod recovery;
mod scrubs;
mod seals;
mod sim;
mod space;
mod tails;
mod world;
