//! docker-compose.yml and the Dockerfiles against the program: the file is loaded as Docker Compose loads it (compose-go), and every
//! variable, port, path and key in it must be one that the program knows. No image is built or run here.
#![cfg(feature = "kafka")]
#![allow(clippy::unwrap_used)] // a test may panic

#[path = "compose/reader.rs"]
mod reader;
mod support;

use serde_json::Value;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::{Command, Output},
};

const PROFILES: [&str; 2] = ["production", "demo"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

/// Loads a compose file; none where there is no Go, which CI must have.
fn load(file: &Path, profile: &str) -> Option<Output> {
    let check = root().join("deploy/compose/check");
    let go = Command::new("go").args(["run", "-mod=readonly", "."]).arg(file).arg(profile).current_dir(check).output();
    match go {
        Ok(output) => Some(output),
        Err(error) if std::env::var_os("CI").is_some() => {
            panic!("docker-compose.yml is checked by a Go program: {error}")
        }
        Err(error) => {
            eprintln!("docker-compose.yml is NOT checked: no Go ({error}); CI=true fails here");
            None
        }
    }
}

fn project(profile: &str) -> Option<Value> {
    let output = load(&root().join("docker-compose.yml"), profile)?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(|one| one.as_str().unwrap().to_owned()).collect()
}

fn services(project: &Value) -> Vec<(String, Value)> {
    project["services"].as_object().unwrap().iter().map(|(name, one)| (name.clone(), one.clone())).collect()
}

fn ours(project: &Value) -> Vec<(String, Value)> {
    services(project).into_iter().filter(|(_, one)| one["image"] == "tokentrail:local").collect()
}

/// The program with a service's environment and the config file that is mounted into it.
fn program(service: &Value) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tokentrail"));
    command.env("TOKENTRAIL_CONFIG", root().join("deploy/compose/tokentrail.toml"));
    for (name, value) in service["environment"].as_object().into_iter().flatten() {
        command.env(name, value.as_str().unwrap());
    }
    command
}

fn config(service: &Value) -> toml::Table {
    let output = program(service).args(["config", "print"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().parse().unwrap()
}

/// Every path of the config that is a secret's.
fn secret_paths(value: &toml::Value) -> BTreeSet<String> {
    match value {
        toml::Value::String(text) if text.starts_with("/run/secrets/") => BTreeSet::from([text.clone()]),
        toml::Value::Array(list) => list.iter().flat_map(secret_paths).collect(),
        toml::Value::Table(table) => table.values().flat_map(secret_paths).collect(),
        _ => BTreeSet::new(),
    }
}

#[test]
fn every_service_is_pinned_bounded_checked_and_private() {
    for profile in PROFILES {
        let Some(project) = project(profile) else { return };
        for (name, service) in services(&project) {
            let image = service["image"].as_str().unwrap();
            let (_, tag) = image.rsplit_once(':').unwrap_or_else(|| panic!("{name}: {image} is not pinned"));
            assert!(
                tag == "local" && service["build"].is_object() || tag.starts_with(|c: char| c.is_ascii_digit()),
                "{image}"
            );
            let limits = &service["deploy"]["resources"]["limits"];
            assert!(!limits["memory"].is_null() && !limits["cpus"].is_null(), "{name} has no limits");
            let checked = !service["healthcheck"]["test"].is_null();
            assert!(checked || service["restart"] == "on-failure:5", "{name} has no health check");
            assert!(texts(&service["security_opt"]).contains(&"no-new-privileges:true".to_owned()), "{name}");
            for port in service["ports"].as_array().into_iter().flatten() {
                assert_eq!(port["host_ip"], "127.0.0.1", "{name} publishes {port}");
                assert!(
                    service["networks"]["outside"].is_null() && service["networks"].get("outside").is_some()
                        || service["networks"]["outside"].is_object()
                );
            }
            for (variable, value) in service["environment"].as_object().into_iter().flatten() {
                let tells = ["PASSWORD", "SECRET", "TOKEN"]
                    .iter()
                    .any(|word| variable.trim_start_matches("TOKENTRAIL_").contains(word));
                let file = value.as_str().unwrap().starts_with("/run/secrets/");
                assert!(!tells || variable.ends_with("_FILE") && file, "{name}: {variable} must name a file");
            }
            for volume in service["volumes"].as_array().into_iter().flatten() {
                let source = volume["source"].as_str().unwrap();
                if volume["type"] == "bind" {
                    let ours = source == root().join("dashboards/provisioning").to_str().unwrap();
                    assert!(ours && volume["read_only"] == true, "{name}: {source} is no named volume");
                    continue;
                }
                assert!(volume["type"] == "volume" && !project["volumes"][source].is_null(), "{name}: {source}");
            }
            for (other, how) in service["depends_on"].as_object().into_iter().flatten() {
                let there = &project["services"][other];
                if how["required"] == false && there.is_null() {
                    continue;
                }
                assert!(!there.is_null(), "{name} waits for {other}, which is not in {profile}");
                let ordered = match how["condition"].as_str().unwrap() {
                    "service_healthy" => !there["healthcheck"]["test"].is_null(),
                    condition => condition == "service_completed_successfully" && there["restart"] == "on-failure:5",
                };
                assert!(ordered, "{name} waits for {other} in a way that never comes");
            }
        }
        assert_eq!(project["networks"]["inside"]["internal"], true);
    }
}

#[test]
fn the_program_knows_every_variable_port_path_and_key() {
    for profile in PROFILES {
        let Some(project) = project(profile) else { return };
        let mut roles = BTreeSet::new();
        for (name, service) in ours(&project) {
            assert!(service["read_only"] == true && texts(&service["cap_drop"]) == ["ALL"], "{name}");
            for variable in service["environment"].as_object().into_iter().flatten().map(|(variable, _)| variable) {
                // The one that is not the program's own is the C library's, for who forwards.
                let forwards = variable == "GLIBC_TUNABLES" && name.starts_with("collect");
                assert!(variable.starts_with("TOKENTRAIL__") || forwards, "{name}: {variable}");
            }
            let command = texts(&service["command"]);
            let help = program(&service).args(&command).arg("--help").output().unwrap();
            assert!(help.status.success(), "{name}: {command:?} is no command");
            let check = program(&service).args(["config", "check"]).output().unwrap();
            assert!(check.status.success(), "{name}: {}", String::from_utf8_lossy(&check.stderr));
            let config = config(&service);
            let role = command[0].clone();

            let mounted: BTreeSet<String> = service["secrets"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|secret| {
                    let file =
                        project["secrets"][secret["source"].as_str().unwrap()]["file"].as_str().unwrap().to_owned();
                    let made =
                        file.strip_prefix(&format!("{}/deploy/compose/secrets/", root().display())).unwrap().to_owned();
                    assert!(read("deploy/compose/secrets.sh").contains(&made), "secrets.sh does not make {made}");
                    secret["target"].as_str().unwrap().to_owned()
                })
                .collect();
            let needed: BTreeSet<String> = match role.as_str() {
                "collect" => ["deployment_key_file", "sources", "store"]
                    .iter()
                    .flat_map(|key| secret_paths(&config[*key]))
                    .collect(),
                "process" => {
                    ["deployment_key_file", "store"].iter().flat_map(|key| secret_paths(&config[*key])).collect()
                }
                _ => BTreeSet::new(),
            };
            assert_eq!(mounted, needed, "{name} is given what it needs and no more");

            let listens = |key: &str| config["listen"][key].as_str().unwrap().rsplit_once(':').unwrap().1.to_owned();
            for port in service["ports"].as_array().into_iter().flatten() {
                assert_eq!(port["target"].to_string(), listens("intake"), "{name}: only the intake is published");
            }
            for volume in service["volumes"].as_array().into_iter().flatten() {
                assert_eq!(volume["target"].as_str(), config["data_dir"].as_str());
            }
            for mount in service["configs"].as_array().unwrap() {
                let file = project["configs"][mount["source"].as_str().unwrap()]["file"].as_str().unwrap();
                assert_eq!(Path::new(file), root().join("deploy/compose/tokentrail.toml"));
                assert!(
                    read("Dockerfile").contains(&format!("TOKENTRAIL_CONFIG={}", mount["target"].as_str().unwrap()))
                );
            }
            for broker in config["kafka"]["brokers"].as_array().unwrap() {
                let (host, port) = broker.as_str().unwrap().split_once(':').unwrap();
                let environment = &project["services"][host]["environment"];
                let listens = environment["KAFKA_LISTENERS"].as_str().unwrap_or_else(|| panic!("no broker {host}"));
                assert!(listens.starts_with(&format!("PLAINTEXT://:{port},")));
                assert_eq!(environment["KAFKA_ADVERTISED_LISTENERS"], format!("PLAINTEXT://{host}:{port}"));
            }
            let store = config["store"]["url"].as_str().unwrap();
            let (_, clickhouse) = clickhouse(&project);
            assert!(store == "http://clickhouse:8123", "{store}");
            assert_eq!(config["store"]["user"].as_str(), clickhouse["environment"]["CLICKHOUSE_USER"].as_str());
            if role != "topics" {
                assert_eq!(config["kafka"]["client_id"], toml::Value::from(format!("tokentrail-{role}")));
            }
            if role == "process" {
                let budget = config["correlation"]["memory_mib"].as_integer().unwrap();
                let limit: i64 = service["deploy"]["resources"]["limits"]["memory"].as_str().unwrap().parse().unwrap();
                assert!(limit >> 20 >= budget * 3 / 2 + 300, "{name}: what the correlation may hold does not fit");
                assert!(service["networks"].get("outside").is_some(), "{name} reaches no receiver of alerts");
            }
            assert_eq!(config["kafka"]["allow_loss"].as_bool(), Some(profile == "demo"), "only the demo may lose");
            if service["healthcheck"]["test"].is_array() {
                assert_eq!(texts(&service["healthcheck"]["test"]), ["CMD", "tokentrail", "health"]);
            }
            roles.insert(role);
        }
        assert_eq!(roles.into_iter().collect::<Vec<_>>(), ["collect", "process", "topics"]);
    }
}

/// The service that answers to the name by which everybody asks for ClickHouse.
fn clickhouse(project: &Value) -> (String, Value) {
    let answers = |(name, one): &(String, Value)| {
        name == "clickhouse" || texts(&one["networks"]["inside"]["aliases"]).contains(&"clickhouse".to_owned())
    };
    let mut found = services(project).into_iter().filter(answers);
    let one = found.next().unwrap();
    assert!(found.next().is_none(), "two services are called clickhouse");
    one
}

/// What one profile leaves is no part of the other's: a journal that says "confirmed" of another broker would lose it.
#[test]
fn the_demo_keeps_nothing_that_production_reads() {
    let volumes = |profile| {
        let project = project(profile)?;
        let ours = services(&project).into_iter().filter(|(name, _)| name != "grafana");
        let of = |one: Value| one["volumes"].as_array().cloned().unwrap_or_default();
        let named = ours.flat_map(|(_, one)| of(one)).filter(|volume| volume["type"] == "volume");
        Some(named.map(|volume| volume["source"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>())
    };
    let (Some(production), Some(demo)) = (volumes("production"), volumes("demo")) else { return };
    assert!(!production.is_empty() && demo.len() > 3 && production.is_disjoint(&demo), "{production:?} {demo:?}");
}

#[test]
fn three_brokers_keep_what_they_acknowledge_and_one_says_that_it_does_not() {
    for (profile, count) in [("production", 3), ("demo", 1)] {
        let Some(project) = project(profile) else { return };
        let brokers: Vec<_> = services(&project).into_iter().filter(|(name, _)| name.starts_with("kafka-")).collect();
        assert_eq!(brokers.len(), count);
        let voters: BTreeSet<String> = brokers
            .iter()
            .map(|(name, one)| format!("{}@{name}:9093", one["environment"]["KAFKA_NODE_ID"].as_str().unwrap()))
            .collect();
        assert_eq!(voters.len(), count);
        let mut folders = BTreeSet::new();
        for (name, broker) in &brokers {
            let environment = &broker["environment"];
            let listed = environment["KAFKA_CONTROLLER_QUORUM_VOTERS"].as_str().unwrap();
            assert_eq!(listed.split(',').map(str::to_owned).collect::<BTreeSet<_>>(), voters, "{name}");
            let in_sync = if count == 3 { "2" } else { "1" };
            assert_eq!(environment["KAFKA_MIN_INSYNC_REPLICAS"], in_sync);
            assert_eq!(environment["KAFKA_DEFAULT_REPLICATION_FACTOR"], count.to_string());
            assert_eq!(environment["KAFKA_UNCLEAN_LEADER_ELECTION_ENABLE"], "false");
            assert_eq!(broker["volumes"][0]["target"], environment["KAFKA_LOG_DIRS"]);
            assert!(folders.insert(broker["volumes"][0]["source"].to_string()), "two brokers on one volume");
        }
    }
}

#[test]
fn a_mistake_is_found() {
    let text = read("docker-compose.yml");
    let dir = tempfile::tempdir_in(root().join("target")).unwrap();
    let wrong = |from: &str, to: &str| {
        assert!(text.contains(from));
        let file = dir.path().join("docker-compose.yml");
        std::fs::write(&file, text.replacen(from, to, 1)).unwrap();
        load(&file, "demo")
    };
    let Some(unknown) = wrong("stop_grace_period", "stop_grace") else { return };
    assert!(!unknown.status.success() && String::from_utf8_lossy(&unknown.stderr).contains("stop_grace"));
    let renamed = wrong("TOKENTRAIL__KAFKA__ALLOW_LOSS", "TOKENTRAIL__KAFKA__ALOW_LOSS").unwrap();
    let project: Value = serde_json::from_slice(&renamed.stdout).unwrap();
    let (_, service) = ours(&project).into_iter().find(|(name, _)| name == "collect-demo").unwrap();
    let check = program(&service).args(["config", "check"]).output().unwrap();
    assert_eq!(check.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&check.stderr).contains("did you mean `allow_loss`?"));
}

#[test]
fn the_images_are_built_of_what_the_tests_run() {
    let dockerfile = read("Dockerfile");
    let toolchain: toml::Table = read("rust-toolchain.toml").parse().unwrap();
    let rust = toolchain["toolchain"]["channel"].as_str().unwrap();
    assert!(dockerfile.contains(&format!("FROM rust:{rust}-")), "another compiler than {rust}");
    let user = dockerfile.lines().find_map(|line| line.strip_prefix("USER ")).unwrap();
    assert!(user.split(':').all(|id| id.parse::<u32>().unwrap() > 0), "{user}");
    let config: toml::Table = read("deploy/compose/tokentrail.toml").parse().unwrap();
    let exposed = dockerfile.lines().find_map(|line| line.strip_prefix("EXPOSE ")).unwrap();
    for (key, port) in ["intake", "admin"].iter().zip(exposed.split(' ')) {
        assert_eq!(config["listen"][*key].as_str().unwrap(), format!("0.0.0.0:{port}"));
    }
    assert!(dockerfile.contains(&format!("VOLUME {}", config["data_dir"].as_str().unwrap())));
    let help = Command::new(env!("CARGO_BIN_EXE_tokentrail")).arg("--help").output().unwrap();
    assert!(String::from_utf8_lossy(&help.stdout).contains("TOKENTRAIL_CONFIG"));
    // Every folder that the build takes is let through to it.
    for line in dockerfile.lines().filter_map(|line| line.strip_prefix("COPY ")).filter(|line| !line.starts_with("--"))
    {
        for name in line.split(' ').rev().skip(1) {
            assert!(
                root().join(name).exists() && read(".dockerignore").lines().any(|kept| kept == format!("!{name}")),
                "{name}"
            );
        }
    }
    let keycloak = read("deploy/compose/keycloak.Dockerfile");
    for line in read("services/testbed/keycloak/artifacts.sha256").lines() {
        let (digest, artifact) = line.split_once("  ").unwrap();
        let parts: Vec<&str> = artifact.split(':').collect();
        let (name, version) = (parts[1], parts[2]);
        let pinned = if name == "keycloak-quarkus-dist" {
            keycloak.contains(&format!("FROM keycloak/keycloak:{version}\n"))
        } else {
            keycloak.contains(&format!("{name}:{version}:jar")) && keycloak.contains(digest)
        };
        assert!(pinned, "{name} is not the one of the tests");
    }
    let realm: Value = serde_json::from_str(&read("deploy/compose/demo-realm.json")).unwrap();
    assert!(realm["users"].is_null(), "no user with a known password");
    assert!(texts(&realm["eventsListeners"]).contains(&"ext-event-webhook".to_owned()));
}

#[test]
fn health_tells_a_program_that_is_ready_from_none() {
    let dir = tempfile::tempdir().unwrap();
    let health = |address: &str| {
        support::command(dir.path()).env("TOKENTRAIL__LISTEN__ADMIN", address).arg("health").output().unwrap()
    };
    // Nobody can listen there.
    assert_eq!(health("127.0.0.1:0").status.code(), Some(2));
    let program = support::Program::start(dir.path(), &[]);
    assert_eq!(health("127.0.0.1:0").status.code(), Some(0));
    assert_eq!(program.terminate(), Some(0));
    assert_eq!(health("127.0.0.1:0").status.code(), Some(2));
}
