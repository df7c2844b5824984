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
