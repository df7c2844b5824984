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
        assert!(error.contains(key) && error.contains("at least 1"), "{error}");
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
    assert!(error(format!("{backstage}url = \"http://b\"\ninterval_seconds = 0")).contains("at least 1"));
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
    assert!(error(format!("{backstage}url = \"http://b\"\ntoken_file = \"t\"\npage = 1")).contains("at least 2"));
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
