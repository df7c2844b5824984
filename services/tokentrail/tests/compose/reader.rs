//! Grafana, and the user as whom it and auditors read.

use crate::{PROFILES, clickhouse, project, read, root};
use serde_json::Value;
use sha2::Digest;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

/// Files that a service is given: where, and which of ours.
fn given(project: &Value, service: &Value, what: &str) -> BTreeMap<String, PathBuf> {
    let each = service[what].as_array().into_iter().flatten().map(|one| {
        let file = project[what][one["source"].as_str().unwrap()]["file"].as_str().unwrap();
        (one["target"].as_str().unwrap().to_owned(), PathBuf::from(file))
    });
    each.collect()
}

#[test]
fn grafana_finds_its_dashboards_and_reads_as_a_user_that_sees_views_alone() {
    let text = read("deploy/compose/reader.xml");
    let between = |from: &'static str, to: &'static str| {
        text.split(from).skip(1).map(move |rest| rest.split(to).next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let granted: BTreeSet<String> = between("<query>GRANT SELECT ON tokentrail.", "</query>").into_iter().collect();
    assert_eq!(granted, store::VIEWS.iter().map(|view| (*view).to_owned()).collect());
    assert_eq!(between("<query>", "</query>").len(), granted.len(), "and nothing else");
    assert_eq!(
        (between("<readonly>", "<"), between("<max_execution_time>", "<")),
        (vec!["2".into()], vec!["60".into()])
    );
    for profile in PROFILES {
        let Some(project) = project(profile) else { return };
        let ((_, clickhouse), grafana) = (clickhouse(&project), &project["services"]["grafana"]);
        let users = "/etc/clickhouse-server/users.d/tokentrail_reader";
        let config = &given(&project, &clickhouse, "configs")[&format!("{users}.xml")];
        assert_eq!(*config, root().join("deploy/compose/reader.xml"));
        assert!(given(&project, &clickhouse, "secrets").contains_key(&format!("{users}_password.xml")));
        // What the provisioned data source asks for.
        let source = dashboards::Source::read(&dashboards::folder().join("source")).unwrap();
        let data = &source.plain["datasource"]["datasources"][0];
        assert!(text.contains(&format!("<{}>", data["jsonData"]["username"].as_str().unwrap())));
        let password = data["secureJsonData"]["password"].as_str().unwrap();
        let secrets = given(&project, grafana, "secrets");
        assert!(secrets.keys().any(|path| password == format!("$__file{{{path}}}")), "{password}");
        let environment = &grafana["environment"];
        assert_eq!(environment["TOKENTRAIL_CLICKHOUSE_HOST"], "clickhouse");
        let plugin = format!("{}@", dashboards::DATA_SOURCE);
        assert!(environment["GF_PLUGINS_PREINSTALL_SYNC"].as_str().unwrap().starts_with(&plugin));
        assert!(secrets.contains_key(environment["GF_SECURITY_ADMIN_PASSWORD__FILE"].as_str().unwrap()));
        let mounted = grafana["volumes"].as_array().unwrap().iter().find(|one| one["type"] == "bind").unwrap();
        let home = environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"].as_str().unwrap();
        let below = Path::new(home).strip_prefix(mounted["target"].as_str().unwrap()).unwrap();
        assert!(Path::new(mounted["source"].as_str().unwrap()).join(below).is_file(), "{home}");
    }
}

#[test]
fn the_reader_has_one_password_and_clickhouse_knows_its_hash_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(root().join("deploy/compose/secrets.sh"), dir.path().join("secrets.sh")).unwrap();
    let run = || Command::new("bash").arg(dir.path().join("secrets.sh")).output().unwrap();
    let secret = |name: &str| std::fs::read_to_string(dir.path().join("secrets").join(name)).unwrap();
    assert!(run().status.success());
    let (password, told) = (secret("tokentrail_reader_password"), secret("clickhouse_reader.xml"));
    let hash = hex::encode(sha2::Sha256::digest(password.trim()));
    assert!(
        told.contains(&format!("<tokentrail_reader><password_sha256_hex>{hash}<")) && !told.contains(password.trim())
    );
    // Run again it makes nothing anew.
    assert_eq!(String::from_utf8(run().stdout).unwrap(), "");
    assert_eq!((secret("tokentrail_reader_password"), secret("clickhouse_reader.xml")), (password, told));
}
