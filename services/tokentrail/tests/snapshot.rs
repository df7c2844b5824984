//! Snapshots of a real Keycloak and a real Backstage by the real program: killed in the middle and resumed, on demand, listed,
//! compared; what went is derivable in SQL; what cannot be read is told by status, doctor and metrics.
#![allow(clippy::unwrap_used)] // a test may panic

mod support;

use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Output,
};
use support::Program;
use testbed::{
    Keycloak, KeycloakOptions,
    backstage::{self, Backstage, BackstageOptions},
    until,
};

struct Bench {
    data: PathBuf,
    config: PathBuf,
}

impl Bench {
    fn start(&self) -> Program {
        Program::start(&self.data, &[("TOKENTRAIL_CONFIG", self.config.to_str().unwrap())])
    }

    fn cli(&self, args: &[&str]) -> Output {
        let mut command = support::command(&self.data);
        command.env("TOKENTRAIL_CONFIG", &self.config).args(args).output().unwrap()
    }

    /// Answer of a command that succeeds, as JSON.
    fn json(&self, args: &[&str]) -> Value {
        let output = self.cli(&[args, &["--format", "json"]].concat());
        let text = String::from_utf8_lossy(&output.stdout);
        serde_json::from_str(&text)
            .unwrap_or_else(|_| panic!("{args:?}: {text} {}", String::from_utf8_lossy(&output.stderr)))
    }

    /// Writes the config; `rate` requests a second.
    fn configure(&self, (keycloak, backstage): (&Keycloak, &Backstage), rate: u32) {
        let text = format!(
            "lateness_seconds = 1\n[alerts]\nbaselines = [\"baseline.toml\"]\n\
             [sources.keycloak]\nkind = \"keycloak\"\n[sources.keycloak.snapshot]\nurl = \"{}\"\nrealms = [\"testbed\"]\n\
             client_id = \"tokentrail\"\nclient_secret_file = \"secrets/keycloak.client\"\npage = 2\n\
             requests_per_second = {rate}\n\
             [sources.portal]\nkind = \"backstage\"\n[sources.portal.snapshot]\nurl = \"{}\"\n\
             token_file = \"secrets/portal.reader\"\npage = 3\n",
            keycloak.url(),
            backstage.url()
        );
        std::fs::write(&self.config, text).unwrap();
    }
}

fn strings(rows: &[Value], field: &str) -> BTreeSet<String> {
    rows.iter().map(|row| row[field].as_str().unwrap().to_owned()).collect()
}

/// The file of a snapshot of Keycloak that runs.
fn running(data: &Path) -> Option<String> {
    let files = std::fs::read_dir(data.join("snapshots")).ok()?;
    let mut paths = files.filter_map(|file| Some(file.ok()?.path()));
    let path = paths.find(|path| {
        path.file_name().is_some_and(|name| {
            let name = name.to_string_lossy();
            name.starts_with("keycloak.") && name.ends_with(".run")
        })
    })?;
    std::fs::read_to_string(path).ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_survive_a_kill_and_tell_what_changed_and_what_went() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench { data: dir.path().join("data"), config: dir.path().join("tokentrail.toml") };
    std::fs::create_dir_all(bench.data.join("secrets")).unwrap();
    let keycloak = Keycloak::start(KeycloakOptions { realms: vec![backstage::realm()], ..KeycloakOptions::default() })
        .await
        .unwrap();
    let portal = Backstage::start(BackstageOptions::with_keycloak(&keycloak.url())).await.unwrap();
    std::fs::write(bench.data.join("secrets/keycloak.client"), "tokentrail-secret").unwrap();
    std::fs::write(bench.data.join("secrets/portal.reader"), &portal.secrets().reader).unwrap();

    // Slow enough to be killed in the middle, by what it wrote and not by the clock.
    bench.configure((&keycloak, &portal), 4);
    let program = bench.start();
    let before = until("pages of a running snapshot", || running(&bench.data).filter(|text| text.lines().count() > 12));
    program.kill();
    let begin: Value = serde_json::from_str(&before.lines().next().unwrap()[9..]).unwrap();
    let first = begin["begin"]["begin"]["snapshot"].as_str().unwrap().to_owned();
    bench.configure((&keycloak, &portal), 500);
    let program = bench.start();
    // Until ClickHouse is there, no status is told.
    let last = |source: &str| -> Value {
        let status = program.get_admin("/v1/status").map_or(Value::Null, |text| serde_json::from_str(&text).unwrap());
        status["snapshots"][source]["last"].clone()
    };
    let told = until("the snapshot to end", || Some(last("keycloak")).filter(|last| !last.is_null()));
    assert_eq!((told["snapshot"].as_str(), told["complete"].as_bool()), (Some(first.as_str()), Some(true)), "{told}");
    let told = until("the snapshot of the portal", || Some(last("portal")).filter(|last| !last.is_null()));
    assert_eq!(told["complete"], true, "{told}");
    let status = program.drained();
    assert!(status["inputs"].as_array().unwrap().iter().all(|input| input["dead"] == 0), "{status}");
    equals_what_was_set_up(&program, &first);
    let baseline = a_baseline_to_begin_with(&bench);

    let (second, removed) = change_and_take(&bench, &keycloak, &program).await;
    let diff = bench.json(&["snapshot", "diff", &first, &second]);
    let told: BTreeSet<(String, String)> = diff["entities"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["area"].as_str().unwrap().to_owned(), one["change"].as_str().unwrap().to_owned()))
        .collect();
    let expected = [("members", "added"), ("members", "removed"), ("users", "changed"), ("users", "removed")];
    assert_eq!(told, expected.map(|(area, change)| (area.to_owned(), change.to_owned())).into(), "{diff:#}");
    let changed = diff["entities"].as_array().unwrap().iter().find(|one| one["change"] == "changed").unwrap();
    assert_eq!(changed["fields"], json!({"enabled": ["true", "false"]}));
    let absent = program.sql(&format!(
        "SELECT area, person_id, right_name FROM snapshot_absences WHERE snapshot = '{second}' AND area IN ('users', 'members') ORDER BY area, right_name"
    ));
    let row = |area: &str, person: &str, right: &str| json!({"area": area, "person_id": person, "right_name": right});
    assert_eq!(
        absent,
        [row("members", &removed.1, "/billing"), row("members", &removed.0, "/partners"), row("users", &removed.0, ""),]
    );
    let text = bench.cli(&["snapshot", "diff", &first[..13], &second[..13]]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("- members testbed pia > /partners") && text.contains("enabled: true -> false"), "{text}");
    let list = String::from_utf8_lossy(&bench.cli(&["snapshot", "list"]).stdout).into_owned();
    assert!(list.contains(&first) && list.contains(&second) && list.contains("complete"), "{list}");

    what_no_event_told_is_a_missing_event(&bench, &program, &removed);
    what_differs_from_the_baseline_is_found_and_ends(&bench, &baseline);

    backstage_follows(&bench, &program);
    what_cannot_be_read_is_told(&bench, &keycloak, &program).await;

    // Without a running program: the same path, into the journal, for the next start.
    assert_eq!(program.terminate(), Some(0));
    let alone = bench.json(&["snapshot", "take", "--source", "keycloak", "--full"]);
    let third = alone[0]["snapshot"].as_str().unwrap().to_owned();
    assert!(alone[0]["changed"] == alone[0]["entities"] && alone[0]["complete"] == true, "{alone}");
    let program = bench.start();
    program.drained();
    let ended = program.sql(&format!("SELECT complete FROM snapshots WHERE snapshot = '{third}'"));
    assert_eq!(ended.len(), 1);
    assert_eq!(program.terminate(), Some(0));
}

fn equals_what_was_set_up(program: &Program, snapshot: &str) {
    let of = |area: &str, field: &str| {
        let sql = format!(
            "SELECT DISTINCT {field} AS x FROM snapshot_states WHERE snapshot = '{snapshot}' AND area = '{area}'"
        );
        strings(&program.sql(&sql), "x")
    };
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(of("users", "person_name"), set(&backstage::PEOPLE));
    let members = of("members", "concat(person_name, ' ', right_name)");
    assert!(members.contains("nora /engineering/sre") && members.contains("nora /engineering"), "{members:?}");
    assert_eq!(of("service_accounts", "client"), set(&["backstage-catalog", "tokentrail"]));
    assert!(of("groups", "right_name").contains("/engineering/sre"));
    // What a kill repeated is one event; nothing that is listed is without its state.
    let twice = "SELECT said['entity'] AS x, count() AS n FROM snapshot_events WHERE startsWith(kind, 'state_') \
        GROUP BY snapshot, x, said['hash'] HAVING n > 1";
    assert_eq!(program.sql(twice), Vec::<Value>::new());
    assert_eq!(
        program.sql("SELECT area FROM snapshot_states WHERE event_id = toUUID('00000000-0000-0000-0000-000000000000')"),
        Vec::<Value>::new()
    );

    let portal = |area: &str, field: &str| {
        let sql =
            format!("SELECT DISTINCT {field} AS x FROM snapshot_states WHERE source_id = 'portal' AND area = '{area}'");
        strings(&program.sql(&sql), "x")
    };
    let people = backstage::PEOPLE.map(|name| format!("user:default/{name}"));
    assert_eq!(portal("catalog_users", "person_name"), people.into());
    // Joined by the annotation alone.
    assert_eq!(portal("catalog_users", "person_id"), of("users", "person_id"));
    let members = portal("catalog_members", "concat(person_name, ' ', right_id)");
    assert!(members.contains("user:default/nora group:default/sre"), "{members:?}");
    assert!(portal("rbac_roles", "right_id").contains("role:default/operators"));
    assert!(
        portal("rbac_members", "concat(holder_id, ' ', right_id)").contains("group:default/sre role:default/operators")
    );
    assert!(
        portal("rbac_policies", "concat(holder_id, ' ', right_id)")
            .contains("role:default/readers catalog-entity,read,allow")
    );
    assert!(portal("rbac_conditions", "holder_id").contains("role:default/owners"));
}

/// Changes Keycloak, takes a snapshot; its id, who was removed, and who left a group.
async fn change_and_take(bench: &Bench, keycloak: &Keycloak, program: &Program) -> (String, (String, String)) {
    let admin = keycloak.admin();
    let id = async |name: &str| admin.user_id("testbed", name).await.unwrap();
    let group = async |path: &str| admin.group_id("testbed", path).await.unwrap();
    let (pia, omar, sven) = (id("pia").await, id("omar").await, id("sven").await);
    admin.delete_user("testbed", &pia).await.unwrap();
    admin.leave_group("testbed", &omar, &group("/billing").await).await.unwrap();
    admin.join_group("testbed", &sven, &group("/partners").await).await.unwrap();
    admin.disable_user("testbed", &sven).await.unwrap();
    let taken = bench.json(&["snapshot", "take", "--source", "keycloak"]);
    assert_eq!((taken[0]["complete"].as_bool(), taken[0]["changed"].as_u64()), (Some(true), Some(2)), "{taken}");
    program.drained();
    (taken[0]["snapshot"].as_str().unwrap().to_owned(), (pia, omar))
}

/// No event of Keycloak reaches this program: every change between the two snapshots is a gap, and nothing else is.
fn what_no_event_told_is_a_missing_event(bench: &Bench, program: &Program, removed: &(String, String)) {
    until("the correlation to follow", || {
        let correlation = program.status()["correlation"].clone();
        (correlation["phase"] == "following" && correlation["lag"] == 0).then_some(())
    });
    let gaps = bench.json(&["gaps"]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let told = |gap: &Value| {
        let names = gaps["names"][text(&gap["person"])].as_array().unwrap();
        let user = names.iter().find(|name| name["user_id"] != "").map(|name| text(&name["user_id"]));
        let right = gaps["right_names"].get(text(&gap["right_id"])).map(&text).unwrap_or_default();
        (user.unwrap_or_default(), text(&gap["right_kind"]), right, text(&gap["missing"]))
    };
    let found: BTreeSet<_> = gaps["missing_events"].as_array().unwrap().iter().map(told).collect();
    let sven =
        program.sql("SELECT DISTINCT person_id FROM snapshot_states WHERE area = 'users' AND person_name = 'sven'");
    let sven = text(&sven[0]["person_id"]);
    let gap = |user: &str, kind: &str, right: &str, missing: &str| {
        (user.to_owned(), kind.to_owned(), right.to_owned(), missing.to_owned())
    };
    let expected = [
        gap(&removed.0, "existence", "", "removal"),
        gap(&removed.1, "group", "/billing", "removal"),
        gap(&sven, "group", "/partners", "grant"),
        gap(&sven, "enabled", "", "change"),
    ];
    assert_eq!(found, BTreeSet::from(expected), "{gaps:#}");
    assert_eq!(gaps["missing_events"].as_array().unwrap().len(), found.len(), "each is named once");
}

/// What the first snapshot has is the baseline; held against it nothing differs.
fn a_baseline_to_begin_with(bench: &Bench) -> String {
    let args = ["baseline", "init-from-snapshot", "--source", "keycloak", "--realm", "testbed"];
    let text = String::from_utf8(bench.cli(&args).stdout).unwrap();
    assert!(text.contains("[groups.\"/engineering/sre\"]") && text.contains("\"nora\""), "{text}");
    let text = text.replace("grace_minutes = 60", "grace_minutes = 0");
    std::fs::write(bench.data.join("baseline.toml"), &text).unwrap();
    let checked = bench.json(&["baseline", "check"]);
    assert!(checked[0]["wrong"].is_null() && checked[0]["members"].as_u64() > Some(5), "{checked}");
    until("what was read to be held", || (bench.json(&["baseline", "diff"]) == json!([])).then_some(()));
    std::fs::write(bench.data.join("wrong.toml"), text.replace("realm =", "relam =")).unwrap();
    let wrong = bench.cli(&["baseline", "check", bench.data.join("wrong.toml").to_str().unwrap()]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&wrong.stdout).contains("relam"), "{wrong:?}");
    text
}

/// Omar left, pia was deleted, sven came: three findings. The file that says so too ends them.
fn what_differs_from_the_baseline_is_found_and_ends(bench: &Bench, baseline: &str) {
    let told = |all: &Value, group: &str, username: &str| -> BTreeSet<(String, String)> {
        let text = |one: &Value, name: &str| one[name].as_str().unwrap().to_owned();
        let all = all.as_array().unwrap().iter().filter(|one| one["group"] == group && one["username"] == username);
        all.map(|one| (text(one, "what"), text(one, "person"))).collect()
    };
    let differ = bench.json(&["baseline", "diff"]);
    assert_eq!(bench.cli(&["baseline", "diff"]).status.code(), Some(1));
    let sven = told(&differ, "/partners", "sven");
    let omar = told(&differ, "/billing", "omar");
    assert_eq!((sven.len(), omar.len(), told(&differ, "/partners", "pia").len()), (1, 1, 1), "{differ}");
    assert_eq!(differ.as_array().unwrap().len(), 3, "{differ}");
    let found = |state: &str| -> BTreeSet<(String, String)> {
        let found = bench.json(&["findings", "list", "--all", "--rule", "D04"]);
        let of = found.as_array().unwrap().iter().filter(|one| one["state"] == state);
        of.map(|one| {
            let values: Value = serde_json::from_str(one["detail"].as_str().unwrap()).unwrap();
            (values["what"].as_str().unwrap().to_owned(), one["person"].as_str().unwrap().to_owned())
        })
        .collect()
    };
    let expected: BTreeSet<_> = ["sven", "omar", "pia"]
        .into_iter()
        .flat_map(|name| ["/partners", "/billing"].map(|group| told(&differ, group, name)))
        .flatten()
        .collect();
    until("the findings", || (found("OPEN") == expected).then_some(()));
    let extra = expected.iter().find(|(what, _)| what == "extra").unwrap();
    assert_eq!(extra, sven.iter().next().unwrap());
    // Reviewed and merged: sven is meant to be there.
    let merged =
        baseline.replace("[groups.\"/partners\"]\nmembers = [", "[groups.\"/partners\"]\nmembers = [\"sven\", ");
    assert_ne!(merged, baseline);
    std::fs::write(bench.data.join("baseline.toml"), merged).unwrap();
    until("the end", || (found("ENDED") == BTreeSet::from([extra.clone()])).then_some(()));
}

/// The catalog follows Keycloak at its next sync: the next snapshot of the portal has the membership, and no longer the person.
fn backstage_follows(bench: &Bench, program: &Program) {
    until("the catalog to follow", || {
        let taken = bench.json(&["snapshot", "take", "--source", "portal"]);
        // One page that is slow, and it is taken again.
        if taken[0]["complete"] != true {
            return None;
        }
        program.drained();
        let gone = "SELECT person_name FROM snapshot_absences WHERE source_id = 'portal' AND area = 'catalog_users'";
        let new = "SELECT person_name FROM snapshot_events WHERE kind = 'state_catalog_member' AND right_id = 'group:default/partners' \
            AND person_name = 'user:default/sven'";
        let there = program.sql(gone).iter().any(|row| row["person_name"] == "user:default/pia")
            && !program.sql(new).is_empty();
        there.then_some(())
    });
}

async fn what_cannot_be_read_is_told(bench: &Bench, keycloak: &Keycloak, program: &Program) {
    let admin = keycloak.admin();
    admin.revoke_service_account("testbed", "tokentrail", ("realm-management", "view-users")).await.unwrap();
    let output = bench.cli(&["snapshot", "take", "--source", "keycloak"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("NOT COMPLETE") && text.contains("give the service account `view-users`"), "{text}");
    let metrics = program.get_admin("/metrics").unwrap();
    assert!(metrics.contains("tokentrail_snapshot_complete{source=\"keycloak\"} 0"), "{metrics}");
    assert!(metrics.contains("tokentrail_snapshots_total{result=\"incomplete\",source=\"keycloak\"} 1"));
    let doctor = bench.json(&["doctor"]);
    let found = doctor["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|check| check["id"] == "snapshot" && check["source"] == "keycloak");
    assert!(found.unwrap()["remedy"].as_str().unwrap().contains("view-users"), "{doctor}");
    program.drained();
    // Nobody is absent from what was not read.
    let ids = program.sql("SELECT snapshot FROM snapshots WHERE source_id = 'keycloak' ORDER BY began DESC LIMIT 1");
    let last = ids[0]["snapshot"].as_str().unwrap();
    let absent = program
        .sql(&format!("SELECT area FROM snapshot_absences WHERE snapshot = '{last}' AND area IN ('users', 'members')"));
    assert_eq!(absent, Vec::<Value>::new());
    admin.grant_service_account("testbed", "tokentrail", ("realm-management", "view-users")).await.unwrap();
}
