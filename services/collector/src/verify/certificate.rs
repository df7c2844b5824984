//! The name of a client certificate as a proof of a source.
//!
//! Knows names only: that a certificate is valid, and that its key is the client's, was checked by the TLS handshake
//! ([`crate::server::client`]), the only place that makes a [`ClientCertificate`].

use std::{fmt, str::FromStr, sync::Arc};

/// Longest name, bytes.
const NAME_BYTES: usize = 512;

/// A name that a certificate must have: `dns:NAME` or `uri:URI`, of its subject alternative names, compared exactly. The
/// subject's distinguished name says nothing here (RFC 9525, 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateName(String);

/// Not a name of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a certificate is named by dns:NAME, without wildcard, or uri:URI")]
pub struct BadName;

impl FromStr for CertificateName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let good = text.len() <= NAME_BYTES
            && match text.split_once(':') {
                Some(("dns", name)) => {
                    let label = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
                    name.split('.').all(|part| !part.is_empty() && part.bytes().all(label))
                }
                Some(("uri", uri)) => uri.contains(':') && uri.bytes().all(|b| b.is_ascii_graphic()),
                _ => false,
            };
        // Names of hosts have no case; URIs do.
        let lower = || if text.starts_with("dns:") { text.to_ascii_lowercase() } else { text.to_owned() };
        if good { Ok(Self(lower())) } else { Err(BadName) }
    }
}

/// The names of the certificate with which a client has proven itself.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    names: Arc<[CertificateName]>,
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCertificate(..)")
    }
}

impl ClientCertificate {
    /// Names as `dns:NAME` and `uri:URI`; those that no source could name are left out.
    pub(crate) fn new<'a>(dns: impl Iterator<Item = &'a str>, uri: impl Iterator<Item = &'a str>) -> Self {
        let names = dns.map(|name| format!("dns:{name}")).chain(uri.map(|uri| format!("uri:{uri}")));
        Self { names: names.filter_map(|name| name.parse().ok()).collect() }
    }

    /// Whether it has one of these names.
    pub(crate) fn is_one_of(&self, wanted: &[CertificateName]) -> bool {
        wanted.iter().any(|name| self.names.contains(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_exact_and_of_a_known_kind() {
        for good in ["dns:shipper.example.org", "dns:localhost", "uri:spiffe://example.org/ns/portal"] {
            assert!(good.parse::<CertificateName>().is_ok(), "{good}");
        }
        for bad in ["", "shipper.example.org", "dns:", "dns:*.example.org", "dns:a..b", "uri:x", "uri:a: b", "cn:x"] {
            assert_eq!(bad.parse::<CertificateName>(), Err(BadName), "{bad}");
        }
        let of = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<Vec<CertificateName>>();
        let shown = ClientCertificate::new(["Shipper.example.org", "*.example.org"].into_iter(), ["uri:X"].into_iter());
        assert!(shown.is_one_of(&of(&["dns:other", "dns:shipper.EXAMPLE.org"])));
        assert!(!shown.is_one_of(&of(&["dns:example.org", "dns:a.example.org", "uri:uri:x"])));
        assert!(!shown.is_one_of(&[]));
    }
}
