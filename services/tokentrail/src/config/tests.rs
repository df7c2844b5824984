use super::*;

fn load(text: &str, vars: &[(&str, &str)]) -> anyhow::Result<Config> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("t.toml");
    std::fs::write(&file, text).unwrap();
    Config::load(Some(&file), vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
}

#[test]
fn an_empty_file_works_and_has_both_sources() {
    let config = load("", &[]).unwrap();
    assert_eq!(config.sources.keys().collect::<Vec<_>>(), ["backstage", "keycloak"]);
    assert!(config.listen.intake.ip().is_loopback());
}

#[test]
fn unknown_keys_name_the_nearest() {
    let error = format!("{:#}", load("[listen]\nintak = \"127.0.0.1:1\"", &[]).unwrap_err());
    assert!(error.contains("unknown key `intak`; did you mean `intake`?"), "{error}");
    let error = format!("{:#}", load("[sources.kc]\nkind = \"keycloak\"\nwebhook_secret_file = []", &[]).unwrap_err());
    assert!(error.contains("did you mean `webhook_secret_files`?"), "{error}");
}

#[test]
fn a_wrong_value_names_its_key() {
    let error = format!("{:#}", load("", &[("TOKENTRAIL__JOURNAL__SEGMENT_MIB", "abc")]).unwrap_err());
    assert!(error.contains("journal.segment_mib") && error.contains("u64"), "{error}");
    let error = format!("{:#}", load("[listen]\nintake = \"here\"", &[]).unwrap_err());
    assert!(error.contains("listen.intake"), "{error}");
}

#[test]
fn addresses_are_addresses_and_a_ca_belongs_to_tls() {
    let error = |text: &str| format!("{:#}", load(text, &[]).unwrap_err());
    assert!(error("[store]\nurl = \"ftp://x\"").contains("store: its address must begin with"));
    assert!(error("[store]\nurl = \"clickhouse\"").contains("store: its address is no url"));
    assert!(error("[store]\nca_file = \"x\"").contains("store.ca_file belongs to an https"));
    assert!(error("[store]\nurl = \"http://x\"\nca_file = \"x\"").contains("store.ca_file belongs to an https"));
    assert!(load("[store]\nurl = \"https://x:8443\"\nca_file = \"x\"", &[]).is_ok());
    let backstage = "[sources.bs]\nkind = \"backstage\"\ntoken_files = [\"s\"]\n[sources.bs.heartbeat]\n";
    assert!(error(&format!("{backstage}url = \"b:7007\"")).contains("sources.bs.heartbeat: its address"));
    let both = "url = \"http://b\"\ninstances = { a = \"http://a\" }";
    assert!(error(&format!("{backstage}{both}")).contains("not both"));
    let two = load(&format!("{backstage}instances = {{ a = \"http://a\", b = \"http://b\" }}"), &[]).unwrap();
    let addresses: Vec<_> = two.sources["bs"].heartbeat.as_ref().unwrap().addresses().collect();
    assert_eq!(addresses, [("a", "http://a"), ("b", "http://b")]);
}

#[test]
fn the_environment_wins_over_the_file() {
    let config = load(
        "tenant = \"a\"\n[journal]\nsegment_mib = 8",
        &[("TOKENTRAIL__TENANT", "b"), ("TOKENTRAIL__JOURNAL__SEGMENT_MIB", "16")],
    )
    .unwrap();
    assert_eq!((config.tenant.as_str(), config.journal.segment_mib), ("b", 16));
}

#[test]
fn a_source_that_nothing_can_reach_is_refused() {
    let error = format!("{:#}", load("[sources.kc]\nkind = \"keycloak\"", &[]).unwrap_err());
    assert!(error.contains("nothing can reach it"), "{error}");
}

#[test]
fn the_documented_example_is_the_default() {
    let example = include_str!("../../../../docs/tokentrail.example.toml");
    let config = load(example, &[]).unwrap();
    let plain = load("", &[]).unwrap();
    assert_eq!(toml::to_string(&config).unwrap(), toml::to_string(&plain).unwrap());
    let commented: String = example
        .lines()
        .map(|line| {
            line.strip_prefix("# ").filter(|l| l.contains(" = ") || l.starts_with('[')).unwrap_or(line).to_owned()
                + "\n"
        })
        .collect();
    let full = load(&commented, &[]).unwrap();
    assert_eq!(full.sources["keycloak"].pull.as_ref().unwrap().realms, ["acme", "partners"]);
}

#[test]
fn bounds_of_connections_are_at_least_one() {
    let config = load("[listen]\nconnections = 7\nconnections_per_address = 3", &[]).unwrap();
    assert_eq!((config.listen.connections, config.listen.connections_per_address), (7, 3));
    for key in ["connections", "connections_per_address"] {
        let error = format!("{:#}", load(&format!("[listen]\n{key} = 0"), &[]).unwrap_err());
        assert!(error.contains(key) && error.contains("must be 1 to"), "{error}");
    }
}

#[test]
fn heartbeats_that_cannot_be_sent_are_refused() {
    let keycloak = "[sources.kc]\nkind = \"keycloak\"\nwebhook_secret_files = [\"s\"]\n[sources.kc.heartbeat]\n";
    let backstage = "[sources.bs]\nkind = \"backstage\"\ntoken_files = [\"s\"]\n[sources.bs.heartbeat]\n";
    let error = |text: String| format!("{:#}", load(&text, &[]).unwrap_err());
    assert!(error(format!("{keycloak}interval_seconds = 5")).contains("needs url, realms, client_id"));
    assert!(error(backstage.into()).contains("url is missing"));
    assert!(error(format!("{backstage}url = \"http://b\"\nrealms = [\"x\"]")).contains("needs only url"));
    assert!(error(format!("{backstage}url = \"http://b\"\ninterval_seconds = 0")).contains("must be 1 to"));
    let account = "url = \"http://k\"\nrealms = [\"acme\"]\nclient_id = \"t\"\nclient_secret_file = \"c\"";
    let config = load(&format!("{keycloak}{account}"), &[]).unwrap();
    let login = config.sources["kc"].login().unwrap();
    assert_eq!((login.realms, config.sources["kc"].heartbeat_seconds()), (vec!["acme".to_owned()], 60));
}

#[test]
fn a_source_id_that_breaks_an_address_is_refused() {
    let named = |id: &str| load(&format!("[sources.\"{id}\"]\nkind = \"keycloak\"\ntoken_files = [\"t\"]"), &[]);
    assert!(named("Portal").is_err() && named("kc-prod.1").is_ok(), "as the intake takes them");
    let zone = "[sources.bs]\nkind = \"backstage\"\ntoken_files = [\"t\"]\nzone = \"Mars\"";
    assert!(format!("{:#}", load(zone, &[]).unwrap_err()).contains("sources.bs.zone: Mars is no IANA time zone"));
    assert!(load("[journal]\nmax_mib = 18446744073709551615", &[]).is_err());
    let error = load("[sources.\"a/b\"]\nkind = \"keycloak\"\ntoken_files = [\"t\"]", &[]).unwrap_err();
    assert!(format!("{error:#}").contains("source id"));
}

#[test]
fn snapshots_that_could_read_nothing_are_refused() {
    let keycloak = "[sources.kc]\nkind = \"keycloak\"\nwebhook_secret_files = [\"s\"]\n[sources.kc.snapshot]\n";
    let backstage = "[sources.bs]\nkind = \"backstage\"\ntoken_files = [\"s\"]\n[sources.bs.snapshot]\n";
    let error = |text: String| format!("{:#}", load(&text, &[]).unwrap_err());
    assert!(error(format!("{keycloak}interval_hours = 1")).contains("needs url, realms, client_id"));
    assert!(error(format!("{backstage}url = \"http://b\"")).contains("token_file"));
    assert!(
        error(format!("{backstage}url = \"http://b\"\ntoken_file = \"t\"\npage = 1")).contains("page must be 2 to")
    );
    let good = load(&format!("{backstage}url = \"http://b\"\ntoken_file = \"t\""), &[]).unwrap();
    assert_eq!(good.sources["bs"].snapshot.as_ref().unwrap().interval_hours, 24);
}

#[test]
fn the_memory_of_the_correlation_is_a_gibibyte_and_at_least_some() {
    let budget =
        |mib: &str| load("", &[("TOKENTRAIL__CORRELATION__MEMORY_MIB", mib)]).map(|c| c.correlation.memory().budget);
    assert_eq!(load("", &[]).unwrap().correlation.memory().budget, 1 << 30);
    assert_eq!(budget("16").unwrap(), 16 << 20);
    for wrong in ["15", "0", "1073741825"] {
        let error = format!("{:#}", budget(wrong).unwrap_err());
        assert!(error.contains("correlation.memory_mib must be 16 to"), "{error}");
    }
}

/// Numbers that no installation can mean: zero where nothing would happen or all at once, and what would overflow a clock, a size or a
/// counter. Each is told with its key and what it may be.
#[test]
fn numbers_that_nobody_can_mean_are_refused_by_their_key() {
    let account = "url = \"http://k\"\nrealms = [\"acme\"]\nclient_id = \"t\"\nclient_secret_file = \"c\"\n";
    let keycloak = "[sources.kc]\nkind = \"keycloak\"\nwebhook_secret_files = [\"s\"]\n";
    let backstage = "[sources.bs]\nkind = \"backstage\"\ntoken_files = [\"s\"]\n";
    let sign_in = format!("{keycloak}{backstage}[sources.bs.sign_in]\nkeycloak = \"kc\"\n");
    let tables: [(&str, &str, &[&str], &[&str]); 11] = [
        ("", "", &["lateness_seconds"], &["0", "604801", "4294967295"]),
        (
            "listen.",
            "[listen]\n",
            &["connections", "connections_per_address"],
            &["0", "1000001", "9223372036854775807"],
        ),
        ("journal.", "[journal]\n", &["segment_mib", "max_mib"], &["0", "1073741825", "9223372036854775807"]),
        (
            "journal.",
            "[journal]\n",
            &["keep_hours", "scrub_hours", "quarantine_mib"],
            &["1073741825", "9223372036854775807"],
        ),
        ("journal.", "[journal]\n", &["keep_hours"], &["721"]),
        ("topics.", "[kafka]\nbrokers = [\"b:9092\"]\n", &["topics.retention_hours"], &["721"]),
        ("correlation.", "[correlation]\n", &["skew_ms", "checkpoint_seconds"], &["3600001", "4294967295"]),
        (
            "pull.",
            &format!("{keycloak}[sources.kc.pull]\n{account}"),
            &["interval_seconds"],
            &["0", "86401", "9223372036854775807"],
        ),
        (
            "",
            &format!("{keycloak}[sources.kc.snapshot]\n{account}"),
            &["page", "requests_per_second", "interval_hours", "full_days"],
            &["10001", "4294967295"],
        ),
        ("", &sign_in, &["token_life_seconds", "tie_seconds", "budgets.catalog_seconds"], &["31536001"]),
        (
            "topics.",
            "[kafka]\nbrokers = [\"b:9092\"]\n",
            &["topics.partitions", "topics.replication", "topics.retention_hours"],
            &["0", "65535000"],
        ),
    ];
    for (prefix, before, keys, values) in tables {
        for key in keys {
            for value in values {
                let told = load(&format!("{before}{key} = {value}"), &[]).map(|_| ());
                let error = format!("{:#}", told.expect_err(&format!("{prefix}{key} = {value} is taken")));
                let named = error.contains(key.trim_start_matches("topics."));
                // A number that its type cannot hold is told by the type.
                let said = error.contains(" must be ") || error.contains("expected u");
                assert!(named && said, "{prefix}{key} = {value}: {error}");
            }
        }
    }
}

/// What is allowed at most is taken, and made into times and sizes without an overflow.
#[test]
fn the_greatest_numbers_are_taken_whole() {
    let config =
        load("[journal]\nkeep_hours = 720\nscrub_hours = 8760\nmax_mib = 1073741824\nsegment_mib = 16384", &[]);
    let journal = config.unwrap().journal;
    assert_eq!(journal.keep_hours.checked_mul(3600), Some(2_592_000));
    assert_eq!(journal.max_mib.checked_shl(20), Some(1 << 50));
    let account = "url = \"http://k\"\nclient_id = \"t\"\nclient_secret_file = \"c\"\n";
    let pull = format!("[sources.kc]\nkind = \"keycloak\"\n[sources.kc.pull]\n{account}");
    assert!(format!("{:#}", load(&format!("{pull}realms = []"), &[]).unwrap_err()).contains("names no realm"));
    assert!(load(&format!("{pull}realms = [\"acme\"]\ninterval_seconds = 86400"), &[]).is_ok());
}

/// The schema that `config schema` prints is the program's: it knows every key of the documented example, and no others.
#[test]
fn the_schema_knows_every_key_and_refuses_others() {
    let schema = serde_json::to_value(schemars::schema_for!(Config)).unwrap();
    let example = include_str!("../../../../docs/tokentrail.example.toml");
    let told: toml::Table = toml::from_str(&toml::to_string(&load(example, &[]).unwrap()).unwrap()).unwrap();
    let known = |told: &toml::Table| schema["properties"].as_object().unwrap().keys().all(|key| told.contains_key(key));
    assert!(told.keys().all(|key| schema["properties"].get(key).is_some()) && known(&told), "{told}");
    assert_eq!(schema["additionalProperties"], false, "an unknown key is refused");
    let closed = schema["$defs"].as_object().unwrap().iter().filter(|(_, one)| one["type"] == "object");
    let open: Vec<_> = closed.filter(|(_, one)| one["additionalProperties"] != false).map(|(name, _)| name).collect();
    assert!(open.is_empty(), "{open:?} would take unknown keys");
    for part in ["journal", "listen", "alerts"] {
        let of = schema["properties"][part]["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
        let keys = schema["$defs"][of]["properties"].as_object().unwrap();
        assert!(told[part].as_table().unwrap().keys().all(|key| keys.contains_key(key)), "{part}: {keys:?}");
    }
}

/// What `config print` prints is a config, and the same one.
#[test]
fn what_is_printed_loads_again_to_the_same() {
    let config = load(include_str!("../../../../docs/tokentrail.example.toml"), &[]).unwrap();
    let printed = toml::to_string_pretty(&config).unwrap();
    assert_eq!(toml::to_string_pretty(&load(&printed, &[]).unwrap()).unwrap(), printed);
}

#[cfg(feature = "kafka")]
mod kafka;
