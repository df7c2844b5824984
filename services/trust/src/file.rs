//! CAs in a file that may be exchanged while the program runs.

use crate::{TrustError, certificates, with};
use rustls::{
    DigitallySignedStruct, Error as Tls, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::ring,
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use std::{
    fmt,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

/// Judges a server by the CAs that the file holds at that moment.
pub(crate) struct CaFile {
    path: PathBuf,
    held: Mutex<Held>,
}

struct Held {
    /// Of the content that was looked at last, whether of use or not.
    stamp: Option<Stamp>,
    judge: Arc<WebPkiServerVerifier>,
}

/// What tells that a file was written again, or another put in its place.
type Stamp = (SystemTime, u64, u64);

impl CaFile {
    pub(crate) fn open(path: &Path) -> Result<Self, TrustError> {
        let (stamp, judge) = (stamp(path), read(path)?);
        Ok(Self { path: path.to_owned(), held: Mutex::new(Held { stamp, judge }) })
    }

    fn judge(&self) -> Arc<WebPkiServerVerifier> {
        // Guards nothing that a panic could have left half-done.
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        // Before its content is read: what is written meanwhile is looked at the next time.
        let stamp = stamp(&self.path);
        if stamp != held.stamp {
            held.stamp = stamp;
            match read(&self.path) {
                Ok(judge) => {
                    held.judge = judge;
                    tracing::info!(file = %self.path.display(), "The CAs of this file were exchanged.");
                }
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(file = %self.path.display(), error, "This file of CAs holds nothing of use; those before are still trusted.");
                }
            }
        }
        held.judge.clone()
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let of = std::fs::metadata(path).ok()?;
    Some((of.modified().ok()?, of.len(), of.ino()))
}

fn read(path: &Path) -> Result<Arc<WebPkiServerVerifier>, TrustError> {
    let pem = std::fs::read(path).map_err(TrustError::Unreadable)?;
    let roots = Arc::new(with(&certificates(&pem)?)?);
    let judge = WebPkiServerVerifier::builder_with_provider(roots, Arc::new(ring::default_provider())).build();
    // Nothing but a lack of roots is left to fail, and there is at least one.
    judge.map_err(|_| TrustError::Empty)
}

impl fmt::Debug for CaFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CaFile").field(&self.path).finish()
    }
}

impl ServerCertVerifier for CaFile {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Tls> {
        self.judge().verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Tls> {
        self.judge().verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Tls> {
        self.judge().verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge().supported_verify_schemes()
    }
}
