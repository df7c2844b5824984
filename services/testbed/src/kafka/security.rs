//! Certificates and users of a broker with TLS and SASL: made for one run, worth nothing elsewhere.

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use std::{fs, path::Path};

/// User of every SASL mechanism.
pub const USER: &str = "tokentrail";
/// Another one.
pub const OTHER_USER: &str = "tokentrail-other";
/// The password of both.
pub const PASSWORD: &str = "broker-of-a-test";

/// Makes a CA (`ca.pem`) and the broker's key and certificate (`broker.pem`) in a folder.
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
    let own = own.signed_by(&key, &Issuer::new(ca, ca_key))?;
    fs::write(dir.join("ca.pem"), ca_certificate.pem()).context("cannot write the CA")?;
    fs::write(dir.join("broker.pem"), key.serialize_pem() + &own.pem()).context("cannot write the broker's key")
}

/// Lines of server.properties for a listener named `CLIENT` that speaks SASL over TLS.
pub(super) fn properties(dir: &Path) -> String {
    let store = dir.join("broker.pem");
    let module = "org.apache.kafka.common.security";
    format!(
        "ssl.keystore.type=PEM\nssl.keystore.location={}\nsasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER\n\
         listener.name.client.plain.sasl.jaas.config={module}.plain.PlainLoginModule required \
         user_{USER}=\"{PASSWORD}\" user_{OTHER_USER}=\"{PASSWORD}\";\n\
         listener.name.client.scram-sha-256.sasl.jaas.config={module}.scram.ScramLoginModule required;\n\
         listener.name.client.scram-sha-512.sasl.jaas.config={module}.scram.ScramLoginModule required;\n\
         listener.name.client.oauthbearer.sasl.jaas.config={module}.oauthbearer.OAuthBearerLoginModule required \
         unsecuredLoginStringClaim_sub=\"broker\";\n",
        store.display()
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
