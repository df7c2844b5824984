//! Reports on the recorded story, by the program as its users run it: rows that the truth knows, the same bytes twice, verdicts
//! that follow what is known to be missing, and pages that hold against hostile names.
#![allow(clippy::unwrap_used)] // a test may panic

mod bars;
mod differences;
mod facts;
mod large;
mod left;
mod pages;
#[path = "../support/recorded.rs"]
mod recorded;
mod rows;
mod story;
#[path = "../support/mod.rs"]
mod support;
mod verdicts;

use story::Story;

#[test]
fn reports_say_what_the_story_was_and_what_they_prove() {
    let story = Story::new();
    rows::names_and_times(&story);
    rows::trace(&story);
    rows::ties(&story);
    rows::listing(&story);
    rows::authentication(&story);
    rows::configuration(&story);
    rows::bytes(&story);
    verdicts::of_a_time_without_data(&story);
    verdicts::follow_what_is_missing(&story);
    differences::differences(&story);
    differences::instants(&story);
    pages::hold(&story);
    verdicts::tampering(&story);
    large::stay_small(&story);
    bars::are_for_terminals(&story);
    story.end();
}
