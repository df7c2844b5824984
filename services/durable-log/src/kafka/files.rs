//! Files of TLS that change on disk: certificates are renewed, CAs exchanged. librdkafka reads them when a client is made, so whoever
//! has a client asks here whether to make another one. What is of no use (half written, none of ours) changes nothing.

use super::settings::Connection;
use rdkafka::consumer::BaseConsumer;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(2);

/// The files as a client read them.
pub(super) struct Files {
    connection: Connection,
    used: u64,
    /// Of no use when it was tried.
    useless: Option<u64>,
    looked: Instant,
}

impl Files {
    pub(super) fn of(connection: &Connection) -> Self {
        let used = content(connection);
        Self { connection: connection.clone(), used, useless: None, looked: Instant::now() }
    }

    /// True once after each change to something of use: clients that were made before are to be made anew.
    pub(super) fn changed(&mut self) -> bool {
        if self.connection.tls.is_none() || self.looked.elapsed() < LOOK {
            return false;
        }
        self.looked = Instant::now();
        self.look()
    }

    fn look(&mut self) -> bool {
        let found = content(&self.connection);
        if found == self.used || self.useless == Some(found) {
            return false;
        }
        // A client that is made of them at all can read them, and its key is that of its certificate.
        let tried = self.connection.client_config().create::<BaseConsumer>();
        if let Err(error) = tried {
            tracing::warn!(%error, "Files of kafka.tls have changed and cannot be used: what they held before stays in use.");
            self.useless = Some(found);
            return false;
        }
        tracing::info!("Files of kafka.tls have changed: connections to the brokers are made anew.");
        (self.used, self.useless) = (found, None);
        true
    }
}

fn content(connection: &Connection) -> u64 {
    let mut hasher = DefaultHasher::new();
    if let Some(tls) = &connection.tls {
        for file in [&tls.ca_file, &tls.certificate_file, &tls.key_file].into_iter().flatten() {
            std::fs::read(file).ok().hash(&mut hasher);
        }
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::super::settings::Tls;
    use super::*;
    use std::collections::BTreeMap;

    fn certificate(key: &rcgen::KeyPair) -> String {
        rcgen::CertificateParams::new(vec!["client".into()]).unwrap().self_signed(key).unwrap().pem()
    }

    #[test]
    fn a_change_counts_once_and_only_if_it_is_of_use() {
        let dir = tempfile::tempdir().unwrap();
        let [ca, own, key_file] = ["ca.pem", "own.pem", "key.pem"].map(|name| dir.path().join(name));
        let [old, new] = [(), ()].map(|()| rcgen::KeyPair::generate().unwrap());
        for (file, text) in [(&ca, certificate(&old)), (&own, certificate(&old)), (&key_file, old.serialize_pem())] {
            std::fs::write(file, text).unwrap();
        }
        let tls =
            Tls { ca_file: Some(ca.clone()), certificate_file: Some(own.clone()), key_file: Some(key_file.clone()) };
        let connection = Connection {
            brokers: "127.0.0.1:1".into(),
            client_id: "test".into(),
            rack: String::new(),
            tls: Some(tls),
            sasl: None,
            producer: BTreeMap::new(),
            consumer: BTreeMap::new(),
        };
        let mut files = Files::of(&connection);
        assert!(!files.look());
        for useless in ["", "-----BEGIN CERTIFICATE-----\nhalf"] {
            std::fs::write(&ca, useless).unwrap();
            assert!(!files.look() && !files.look(), "{useless}");
        }
        std::fs::write(&ca, certificate(&new)).unwrap();
        assert!(files.look() && !files.look());
        // Of a certificate and its key the first to be exchanged does not fit the other.
        std::fs::write(&own, certificate(&new)).unwrap();
        assert!(!files.look());
        std::fs::write(&key_file, new.serialize_pem()).unwrap();
        assert!(files.look() && !files.look());
    }
}
