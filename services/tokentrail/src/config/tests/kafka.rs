//! Settings of Kafka that would show a secret, read our own topics as a source, or take records away from each other.

use super::load;

const BROKERS: &str = "[kafka]\nbrokers = [\"b:9093\"]\n";

fn error(text: &str) -> String {
    format!("{:#}", load(text, &[]).map(|_| ()).expect_err(text))
}

fn sasl(tls: &str, settings: &str) -> String {
    format!("{BROKERS}{tls}[kafka.sasl]\nuser = \"u\"\npassword_file = \"p\"\n{settings}")
}

#[test]
fn what_would_show_a_password_or_a_token_to_the_wire_is_refused() {
    let tls = "[kafka.tls]\nca_file = \"ca.pem\"\n";
    let bearer = "mechanism = \"OAUTHBEARER\"\ntoken_url = ";
    for (mechanism, said) in [("mechanism = \"PLAIN\"", "the password as it is"), (bearer, "the token as it is")] {
        let settings = mechanism.replace("token_url = ", "token_url = \"https://sso\"");
        let error = error(&sasl("", &settings));
        assert!(error.contains(said) && error.contains("[kafka.tls]"), "{error}");
        load(&sasl(tls, &settings), &[]).unwrap();
    }
    for good in ["https://sso/token", "http://127.0.0.1:8080/token", "http://[::1]/token", "http://localhost/token"] {
        load(&sasl(tls, &format!("{bearer}\"{good}\"")), &[]).unwrap();
    }
    for (bad, said) in [
        ("\"http://sso.example.org/token\"", "must begin with https://"),
        ("\"http://127.0.0.1.example.org/token\"", "must begin with https://"),
        ("\"ftp://sso/token\"", "must begin with http:// or https://"),
        ("\"sso/token\"", "is no url"),
        ("\"http://127.0.0.1/token\"\nca_file = \"ca.pem\"", "ca_file belongs to an https"),
    ] {
        let error = error(&sasl(tls, &format!("{bearer}{bad}")));
        assert!(error.contains("kafka: sasl") && error.contains(said), "{bad}: {error}");
    }
    assert!(error(&sasl(tls, "mechanism = \"OAUTHBEARER\"")).contains("needs sasl.token_url"));
}

#[test]
fn what_belongs_to_tokens_is_refused_with_a_password() {
    for (key, value) in [("token_url", "https://sso"), ("scope", "kafka"), ("ca_file", "ca.pem")] {
        let settings = format!("mechanism = \"SCRAM-SHA-512\"\n{key} = \"{value}\"");
        let error = error(&sasl("", &settings));
        assert!(error.contains(&format!("sasl.{key} belongs to the mechanism OAUTHBEARER")), "{error}");
    }
}

/// A source that reads a topic; `settings` are its group, brokers and so on.
fn source(id: &str, topic: &str, settings: &str) -> String {
    format!("[sources.{id}]\nkind = \"keycloak\"\n[sources.{id}.kafka]\ntopics = [\"{topic}\"]\n{settings}\n")
}

#[test]
fn no_topic_and_no_group_of_our_own_is_a_source() {
    for own in ["tokentrail.receipts.v1", "tokentrail.deadletters.v1", "tokentrail.events.v1"] {
        let error = error(&format!("{BROKERS}{}", source("kc", own, "")));
        assert!(error.contains("a topic of Tokentrail's own"), "{own}: {error}");
    }
    for own in ["tokentrail", "tokentrail.correlation", ""] {
        let error = error(&format!("{BROKERS}{}", source("kc", "t", &format!("group = \"{own}\""))));
        assert!(error.contains("group must be one of its own"), "{own}: {error}");
    }
    let named = format!("{BROKERS}group = \"tokentrail-kc\"\n{}", source("kc", "t", ""));
    assert!(error(&named).contains("group must be one of its own"), "also where it is not named");
}

#[test]
fn two_sources_that_would_share_a_topic_are_refused() {
    let two = |one: &str, other: &str| format!("{BROKERS}{}{}", source("a", "t", one), source("b", "t", other));
    let group = "group = \"g\"";
    let error = error(&two(group, group));
    assert!(error.contains("sources.b.kafka: sources.a.kafka reads the same topic in the same group"), "{error}");
    for (one, other) in [("", ""), (group, ""), (group, "group = \"g\"\nbrokers = [\"c:9092\"]")] {
        load(&two(one, other), &[]).unwrap();
    }
    let others = format!("{BROKERS}{}{}", source("a", "t", group), source("b", "u", group));
    load(&others, &[]).unwrap();
}
