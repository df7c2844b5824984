//! Client certificates: checked in the TLS handshake against CAs that can be changed while it runs, and again while the
//! connection lasts, so that neither an old connection nor a resumed session outlives its certificate or its CA.
//!
//! A client without a certificate is served too and has to prove itself otherwise; one with a bad certificate gets no
//! connection at all.

use super::tls::TlsError;
use crate::verify::certificate::ClientCertificate;
use arc_swap::ArcSwap;
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::ring,
    pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime, pem::PemObject},
    server::{
        VerifierBuilderError, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// A certificate of an open connection is checked again after this time.
const RECHECK: Duration = Duration::from_secs(60);

/// Who signs the certificates of clients, and what was taken back.
#[derive(Clone, Copy, Debug)]
pub struct ClientTrust<'a> {
    /// Certificates of the CAs, PEM.
    pub ca_pem: &'a [u8],
    /// Their lists of revoked certificates, PEM; none: nothing is looked up. With lists, a certificate of a CA without one, or
    /// with one whose time is over, is refused too.
    pub revoked_pem: Option<&'a [u8]>,
}

/// The CAs in use; handshakes after [`ClientAuthority::reload`] and requests on open connections are held to the new ones.
pub struct ClientAuthority(ArcSwap<Arc<dyn ClientCertVerifier>>);

impl fmt::Debug for ClientAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientAuthority(..)")
    }
}

impl ClientAuthority {
    /// Reads the certificates of the CAs and their lists.
    pub fn new(trust: ClientTrust<'_>) -> Result<Arc<Self>, TlsError> {
        Ok(Arc::new(Self(ArcSwap::from_pointee(read(trust)?))))
    }

    /// Takes other CAs and lists; keeps the old ones when these cannot be used.
    pub fn reload(&self, trust: ClientTrust<'_>) -> Result<(), TlsError> {
        self.0.store(Arc::new(read(trust)?));
        Ok(())
    }

    /// What a connection has proven itself with, if it has.
    pub(super) fn peer(self: &Arc<Self>, chain: Option<&[CertificateDer<'_>]>) -> Option<Peer> {
        let chain: Vec<_> = chain?.iter().map(|one| one.clone().into_owned()).collect();
        let names = {
            let leaf = webpki::EndEntityCert::try_from(chain.first()?).ok()?;
            ClientCertificate::new(leaf.valid_dns_names(), leaf.valid_uri_names())
        };
        Some(Peer { chain, names, authority: self.clone(), checked: Mutex::default() })
    }
}

/// The client of one connection.
pub(super) struct Peer {
    chain: Vec<CertificateDer<'static>>,
    names: ClientCertificate,
    authority: Arc<ClientAuthority>,
    checked: Mutex<Option<Checked>>,
}

/// When and by which CAs a certificate was last found good.
type Checked = (Instant, Arc<Arc<dyn ClientCertVerifier>>);

impl Peer {
    /// Its certificate, if it is good now.
    pub fn certificate(&self) -> Option<ClientCertificate> {
        let verifier = self.authority.0.load_full();
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        let good = |(at, by): &Checked| Arc::ptr_eq(by, &verifier) && at.elapsed() < RECHECK;
        if !checked.as_ref().is_some_and(good) {
            let (leaf, between) = self.chain.split_first()?;
            verifier.verify_client_cert(leaf, between, UnixTime::now()).ok()?;
            *checked = Some((Instant::now(), verifier));
        }
        Some(self.names.clone())
    }
}

fn read(trust: ClientTrust<'_>) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(trust.ca_pem) {
        roots.add(certificate.map_err(|_| TlsError::NoCertificate)?).map_err(TlsError::Unusable)?;
    }
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(ring::default_provider()));
    if let Some(pem) = trust.revoked_pem {
        let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(pem).collect();
        let lists = lists.ok().filter(|lists| !lists.is_empty()).ok_or(TlsError::NoRevocationList)?;
        builder = builder.with_crls(lists).enforce_revocation_expiration();
    }
    builder.build().map_err(|error| match error {
        VerifierBuilderError::InvalidCrl(_) => TlsError::NoRevocationList,
        _ => TlsError::NoCertificate,
    })
}

impl ClientCertVerifier for ClientAuthority {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// None: clients take an empty list for "any", and the list could not change with the CAs.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.0.load().verify_client_cert(leaf, between, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.load().verify_tls12_signature(message, leaf, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.load().verify_tls13_signature(message, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.load().supported_verify_schemes()
    }
}
