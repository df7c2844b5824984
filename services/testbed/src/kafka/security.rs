//! Certificates and users of a broker with TLS: made for one run, worth nothing elsewhere.

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use std::{fs, path::Path};

/// User of every SASL mechanism.
pub const USER: &str = "tokentrail";
/// Another one.
pub const OTHER_USER: &str = "tokentrail-other";
/// The password of both.
pub const PASSWORD: &str = "broker-of-a-test";

/// Makes a CA (`ca.pem`), the broker's key and certificate (`broker.pem`) and those of a client (`client.key`, `client.pem`) in a folder.
pub(super) fn certificates(dir: &Path) -> Result<()> {
    let ca_key = KeyPair::generate()?;
    let mut ca = CertificateParams::new(Vec::new())?;
    // Names of their own: a certificate with the name of its issuer passes for one that signed itself.
    ca.distinguished_name.push(DnType::CommonName, "ca of a test");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca_certificate = ca.self_signed(&ca_key)?;
    let key = KeyPair::generate()?;
    let mut own = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()])?;
    own.distinguished_name.push(DnType::CommonName, "broker of a test");
    let issuer = Issuer::new(ca, ca_key);
    let own = own.signed_by(&key, &issuer)?;
    let client_key = KeyPair::generate()?;
    let mut client = CertificateParams::new(Vec::new())?;
    client.distinguished_name.push(DnType::CommonName, "client of a test");
    let client = client.signed_by(&client_key, &issuer)?;
    fs::write(dir.join("client.pem"), client.pem()).context("cannot write the client's certificate")?;
    fs::write(dir.join("client.key"), client_key.serialize_pem()).context("cannot write the client's key")?;
    fs::write(dir.join("ca.pem"), ca_certificate.pem()).context("cannot write the CA")?;
    fs::write(dir.join("broker.pem"), key.serialize_pem() + &own.pem()).context("cannot write the broker's key")
}

/// Lines of server.properties by which brokers prove themselves.
fn proof(dir: &Path) -> String {
    format!("ssl.keystore.type=PEM\nssl.keystore.location={}\n", dir.join("broker.pem").display())
}

/// Lines of server.properties for a listener named `CLIENT` that speaks TLS with whoever has a certificate of our CA.
pub(super) fn clients_by_certificate(dir: &Path) -> String {
    let trusted = dir.join("ca.pem");
    format!(
        "{}ssl.truststore.type=PEM\nssl.truststore.location={}\nlistener.name.client.ssl.client.auth=required\n",
        proof(dir),
        trusted.display()
    )
}

/// Lines of server.properties for a listener named `CLIENT` that speaks SASL over TLS.
pub(super) fn passwords(dir: &Path) -> String {
    let module = "org.apache.kafka.common.security";
    format!(
        "{}sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER\n\
         listener.name.client.plain.sasl.jaas.config={module}.plain.PlainLoginModule required \
         user_{USER}=\"{PASSWORD}\" user_{OTHER_USER}=\"{PASSWORD}\";\n\
         listener.name.client.scram-sha-256.sasl.jaas.config={module}.scram.ScramLoginModule required;\n\
         listener.name.client.scram-sha-512.sasl.jaas.config={module}.scram.ScramLoginModule required;\n\
         listener.name.client.oauthbearer.sasl.jaas.config={module}.oauthbearer.OAuthBearerLoginModule required \
         unsecuredLoginStringClaim_sub=\"broker\";\n",
        proof(dir)
    )
}

/// Lines of server.properties by which users may do only what they were given. Brokers, controllers and tools come by the
/// listeners that ask nobody who he is, and may do everything.
pub(super) const GUARDED: &str = "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
    super.users=User:ANONYMOUS\n";

/// What the format of the storage is told, so that the SCRAM users exist from the start.
pub(super) fn scram() -> Vec<String> {
    let user = |name| {
        let of = move |mechanism| ["--add-scram".to_owned(), format!("{mechanism}=[name={name},password={PASSWORD}]")];
        ["SCRAM-SHA-256", "SCRAM-SHA-512"].into_iter().flat_map(of)
    };
    [USER, OTHER_USER].into_iter().flat_map(user).collect()
}
