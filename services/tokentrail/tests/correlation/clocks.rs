//! What somebody can do on each clock: as Keycloak has it, and as Backstage knows it.

use super::{Program, Story};
use serde_json::Value;

/// Cleo was in /platform/ops from 21:25:07.067 to 21:25:16.818; the catalog was read at :02.6, :12.6 and :22.6. Finn was disabled at 21:25:06.810.
pub fn of_rights(story: &Story, program: &Program) {
    let told = |who: &str, at: &str, clock: &str| -> Value {
        let at = format!("2026-11-23T21:{at}Z");
        let words = ["access", who, "--at", &at, "--clock", clock, "--format", "json"];
        serde_json::from_slice(&story.cli(program, &words).stdout).unwrap()
    };
    let is_operator = |at: &str, clock: &str| {
        let told = told("cleo", at, clock);
        told["rights"].as_array().unwrap().iter().any(|right| right["right_id"] == "role:default/operators")
    };
    let of = |clock: &str| ["25:05", "25:10", "25:14", "25:20", "25:25"].map(|at| is_operator(at, clock));
    assert_eq!(of("keycloak"), [false, true, true, false, false]);
    assert_eq!(of("catalog"), [false, false, true, true, false]);
    let known = &told("cleo", "25:20", "catalog")["known"][0];
    assert_eq!(known["backstage"], "bs");
    assert_eq!(known["heard_at"].as_i64().unwrap() / 1_000, 1_795_469_112, "{known}");
    // Dora was in /release from 21:25:24.016 to 21:25:33.755. What is left to conditions goes by the claims of the last token, of 21:25:33.691;
    // her roles, which are left to none, are no part of it.
    let releases = |told: &Value| told["rights"].to_string().contains("role:default/releasers");
    assert!(releases(&told("dora", "25:35", "catalog")) && !releases(&told("dora", "25:35", "keycloak")));
    let claims = told("dora", "25:35", "claims");
    assert!(claims["known"][0]["token"]["claims"].to_string().contains("group:default/release"), "{claims}");
    assert!(claims["rights"].as_array().unwrap().is_empty(), "{claims}");
    // What a token opens goes by whether it lives.
    let finn = told("finn", "30:00", "token");
    let ends = finn["known"][0]["token"]["ends_by"].as_i64().unwrap();
    assert!(ends > 1_795_469_400_000, "{finn}");
    let after = told("finn", "59:00", "token");
    assert!(after["known"][0].get("token").is_none() && after["rights"].as_array().unwrap().is_empty(), "{after}");
    let text = story.cli(program, &["access", "cleo", "--at", "2026-11-23T21:25:20Z", "--clock", "catalog"]).stdout;
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("bs: its catalog read Keycloak at 2026-11-23T21:25:12"), "{text}");
}
