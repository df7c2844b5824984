//! TLS through the whole program: ClickHouse by URL behind a CA of our own, and certificates that change on disk.
//! The terminator is the test's, in front of the real engine's HTTP.
#![allow(clippy::unwrap_used)] // a test may panic

mod support;

use std::{net::SocketAddr, path::Path, process::Output, time::Duration};
use store::engine::{self, Engine, EngineOptions};
use support::{Program, command, login, sign};
use testbed::{
    authority::{Authority, Issued, Validity},
    until,
};
use trust::{Refused, Trust};

/// Longest wait for a condition, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// Not a test: where the engine's child process begins.
#[test]
fn engine_child() {
    engine::run_if_asked();
}

/// Runs the program's command line on a data folder.
fn run(data: &Path, config: &Path, arguments: &[&str]) -> Output {
    command(data).env("TOKENTRAIL_CONFIG", config).args(arguments).output().unwrap()
}

/// An HTTPS request as a client would make it that trusts `trust`.
fn post(
    runtime: &tokio::runtime::Runtime,
    trust: &Trust,
    url: &str,
    secret: &str,
    id: &str,
) -> Result<u16, Option<Refused>> {
    let http = trust.http(|builder| builder.no_proxy().pool_max_idle_per_host(0).timeout(PATIENCE)).unwrap();
    let body = login(id, 1_795_469_103_342);
    let request = http.post(url).header("x-keycloak-signature", sign(secret, body.as_bytes())).body(body);
    let answer = runtime.block_on(async { request.header("content-type", "application/json").send().await });
    answer.map(|answer| answer.status().as_u16()).map_err(|error| Refused::find(&error))
}

#[test]
fn an_external_clickhouse_behind_a_ca_of_its_own_is_used_and_another_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let library = testbed::engine().unwrap();
    let child = engine::test_command("engine_child").unwrap();
    let options = EngineOptions { library, dir: dir.path().join("engine"), command: child };
    let engine = runtime.block_on(Engine::start(options)).unwrap();
    let behind: SocketAddr = engine.url.trim_start_matches("http://").parse().unwrap();
    let (own, other) = (Authority::new().unwrap(), Authority::new().unwrap());
    let front = |certificate: &Issued| {
        let address = runtime.block_on(certificate.in_front_of(behind)).unwrap();
        format!("https://localhost:{}", address.port())
    };
    let good = front(&own.issue("localhost", Validity::Now).unwrap());
    std::fs::write(dir.path().join("ca.pem"), &own.pem).unwrap();
    std::fs::write(dir.path().join("other.pem"), &other.pem).unwrap();
    std::fs::write(dir.path().join("password"), &engine.password).unwrap();
    let config = |name: &str, url: &str, ca: Option<&str>| {
        let file = |name: &str| dir.path().join(name).display().to_string();
        let ca = ca.map(|ca| format!("ca_file = \"{}\"\n", file(ca))).unwrap_or_default();
        let text = format!(
            "[store]\nurl = \"{url}\"\nuser = \"{}\"\npassword_file = \"{}\"\n{ca}",
            engine.user,
            file("password")
        );
        let path = dir.path().join(format!("{name}.toml"));
        std::fs::write(&path, text).unwrap();
        path
    };

    // Refused in plain words, and nothing is sent there: intake goes on meanwhile.
    let expired = front(&own.issue("localhost", Validity::Over).unwrap());
    let misnamed = front(&own.issue("clickhouse.example.org", Validity::Now).unwrap());
    for (name, url, ca, why) in [
        ("no_ca", &good, None, Refused::Issuer),
        ("wrong_ca", &good, Some("other.pem"), Refused::Issuer),
        ("expired", &expired, Some("ca.pem"), Refused::Expired),
        ("misnamed", &misnamed, Some("ca.pem"), Refused::Name),
    ] {
        let (data, config) = (dir.path().join(name), config(name, url, ca));
        std::fs::create_dir_all(&data).unwrap();
        let log = data.join("log");
        let mut up = command(&data);
        up.env("TOKENTRAIL_CONFIG", &config).arg("up").stdout(std::process::Stdio::null());
        let mut up = up.stderr(std::fs::File::create(&log).unwrap()).spawn().unwrap();
        until(why.as_str(), || std::fs::read_to_string(&log).unwrap().contains(why.as_str()).then_some(()));
        let told = std::fs::read_to_string(data.join("run.json")).unwrap_or_default();
        assert!(!told.contains("store_url"), "{name}: {told}");
        up.kill().unwrap();
        up.wait().unwrap();
    }

    // The whole pipeline through it, and every command that asks the store.
    let (data, config) = (dir.path().join("data"), config("good", &good, Some("ca.pem")));
    let program = Program::start(&data, &[("TOKENTRAIL_CONFIG", config.to_str().unwrap())]);
    let url = format!("{}/v1/keycloak/keycloak", program.intake());
    let secret = program.secret("keycloak.webhook");
    for n in 0..20 {
        assert_eq!(post(&runtime, &Trust::system(), &url, &secret, &format!("id-{n}")), Ok(200));
    }
    let status = program.drained();
    let webhook = status["inputs"].as_array().unwrap().iter().find(|input| input["input"] == "webhook").unwrap();
    assert_eq!(webhook["stored"], 20, "{webhook}");
    assert_eq!(program.store()["store_url"], good.as_str());
    let trace = run(&data, &config, &["trace", "id-7", "--format", "json"]);
    assert!(String::from_utf8_lossy(&trace.stdout).contains("id-7"), "{trace:?}");
    assert!(run(&data, &config, &["replay", "--dry-run"]).status.success());
    assert_eq!(program.terminate(), Some(0));
    assert!(run(&data, &config, &["replay", "--dry-run"]).status.success(), "without a running program too");

    // A file that is none is said so before anything starts.
    std::fs::write(dir.path().join("ca.pem"), "nonsense").unwrap();
    let checked = run(&data, &config, &["config", "check"]);
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(!checked.status.success() && said.contains("store.ca_file") && said.contains("no certificate"), "{said}");
    runtime.block_on(engine.close());
}

#[test]
fn certificates_cas_and_lists_that_change_on_disk_are_used_without_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (first, second) = (Authority::new().unwrap(), Authority::new().unwrap());
    let place = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    let serve = |authority: &Authority| {
        let issued = authority.issue("localhost", Validity::Now).unwrap();
        place("tls.pem", &issued.pem);
        place("tls.key", &issued.key_pem);
    };
    serve(&first);
    let (clients, shipper) = (Authority::new().unwrap(), "shipper.example.org");
    let (good, lost) = (clients.issue(shipper, Validity::Now).unwrap(), clients.issue(shipper, Validity::Now).unwrap());
    place("clients.pem", &clients.pem);
    place("clients.crl", &clients.revokes(&[]).unwrap());
    let file = |name: &str| dir.path().join(name).display().to_string();
    let config = dir.path().join("tokentrail.toml");
    let text = format!(
        "[listen]\ntls_certificate = \"{}\"\ntls_key = \"{}\"\ntls_client_ca = \"{}\"\ntls_client_crl = \"{}\"\n\
         [sources.keycloak]\nkind = \"keycloak\"\nwebhook_secret_files = [\"secrets/keycloak.webhook\"]\n\
         [sources.portal]\nkind = \"backstage\"\ntoken_files = [\"secrets/portal.token\"]\nclient_certificates = [\"dns:{shipper}\"]\n",
        file("tls.pem"),
        file("tls.key"),
        file("clients.pem"),
        file("clients.crl")
    );
    std::fs::write(&config, text).unwrap();
    let data = dir.path().join("data");
    let program = Program::start(&data, &[("TOKENTRAIL_CONFIG", config.to_str().unwrap())]);
    let address: SocketAddr = program.run["intake"].as_str().unwrap().parse().unwrap();
    let base = format!("https://localhost:{}", address.port());
    let (url, secret) = (format!("{base}/v1/keycloak/keycloak"), program.secret("keycloak.webhook"));
    let trust = |authority: &Authority| Trust::with_own(authority.pem.as_bytes()).unwrap();
    let ask = |authority: &Authority, id: &str| post(&runtime, &trust(authority), &url, &secret, id);

    // `send` by https: with the CA it ships, without it, or with another one, it says why and ends.
    place("first.pem", &first.pem);
    place("second.pem", &second.pem);
    place("lines.log", "{\"level\":\"info\",\"message\":\"x\",\"service\":\"catalog\"}\n");
    let send = |ca: &[&str], lines: &str| {
        let arguments = [&["send", "--source", "portal", "--url", &base], ca, &[lines]].concat();
        let output = run(&data, &config, &arguments);
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (lines, ca, wrong) = (file("lines.log"), file("first.pem"), file("second.pem"));
    for none in [&[][..], &["--ca-file", &wrong]] {
        let (good, said) = send(none, &lines);
        assert!(!good && said.contains(Refused::Issuer.as_str()), "{said}");
    }
    let (good_ca, said) = send(&["--ca-file", &ca], &lines);
    assert!(good_ca && said.contains("1 lines acknowledged"), "{said}");
    // Without --url the address of the config is meant, which is an https one; its certificate is for a name.
    place("lines.log", &"{\"level\":\"info\",\"message\":\"x\",\"service\":\"catalog\"}\n".repeat(2));
    let output = run(&data, &config, &["send", "--source", "portal", "--ca-file", &ca, &lines]);
    assert!(String::from_utf8_lossy(&output.stderr).contains(Refused::Name.as_str()), "{output:?}");

    // A renewed certificate, of another CA.
    assert_eq!((ask(&first, "a-1"), ask(&second, "a-2")), (Ok(200), Err(Some(Refused::Issuer))));
    serve(&second);
    until("the new certificate", || (ask(&second, "a-3") == Ok(200)).then_some(()));
    assert_eq!(ask(&first, "a-4"), Err(Some(Refused::Issuer)));
    // Half a pair changes nothing.
    place("tls.pem", "nonsense");
    until("a word on it", || program.log().contains("the old ones stay").then_some(()));
    assert_eq!(ask(&second, "a-5"), Ok(200));

    // Clients: revoked, then of a CA that is no more. The broken pair keeps neither out.
    let ship = |identity: &Issued| {
        let mut tls = trust(&second).client_config().unwrap();
        identity.identify(&mut tls).unwrap();
        let http =
            reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().timeout(PATIENCE).build().unwrap();
        let request = http.post(format!("{base}/v1/backstage/portal")).body("{}");
        runtime.block_on(async { request.send().await }).ok().map(|answer| answer.status().as_u16())
    };
    assert_eq!((ship(&good), ship(&lost)), (Some(200), Some(200)));
    place("clients.crl", &clients.revokes(&[&lost]).unwrap());
    until("the list", || ship(&lost).is_none().then_some(()));
    assert_eq!(ship(&good), Some(200));
    let next = Authority::new().unwrap();
    place("clients.pem", &next.pem);
    place("clients.crl", &next.revokes(&[]).unwrap());
    until("the next CA", || ship(&good).is_none().then_some(()));
    assert_eq!(ship(&next.issue(shipper, Validity::Now).unwrap()), Some(200));
    assert_eq!(program.terminate(), Some(0));
}
