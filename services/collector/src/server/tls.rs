//! TLS of the intake's listener, with certificates that are changed while it runs. Takes PEM bytes, reads no file.

use super::client::ClientAuthority;
use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::{fmt, sync::Arc};

/// A certificate that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No certificate in the PEM text.
    #[error("no certificate found in the pem text")]
    NoCertificate,
    /// No list of revoked certificates in the PEM text, or one that cannot be read.
    #[error("no usable list of revoked certificates found in the pem text")]
    NoRevocationList,
    /// No private key in the PEM text.
    #[error("no usable private key found in the pem text")]
    NoKey,
    /// They do not belong together, or are not supported.
    #[error("the certificate and the key cannot be used")]
    Unusable(#[source] rustls::Error),
}

/// The certificate in use; connections made after [`Certificate::reload`] get the new one.
pub struct Certificate(ArcSwap<CertifiedKey>);

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificate(..)")
    }
}

impl Certificate {
    /// Reads a chain and its key.
    pub fn new(chain_pem: &[u8], key_pem: &[u8]) -> Result<Arc<Self>, TlsError> {
        Ok(Arc::new(Self(ArcSwap::from_pointee(read(chain_pem, key_pem)?))))
    }

    /// Takes a new chain and key; keeps the old ones when these cannot be used.
    pub fn reload(&self, chain_pem: &[u8], key_pem: &[u8]) -> Result<(), TlsError> {
        self.0.store(Arc::new(read(chain_pem, key_pem)?));
        Ok(())
    }

    /// The server side of TLS 1.3 and 1.2 with this certificate.
    pub fn server_config(self: &Arc<Self>) -> Result<Arc<ServerConfig>, TlsError> {
        self.server_config_with(None)
    }

    /// The same; with an authority, clients may prove themselves by certificate.
    pub fn server_config_with(
        self: &Arc<Self>,
        clients: Option<Arc<ClientAuthority>>,
    ) -> Result<Arc<ServerConfig>, TlsError> {
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Unusable)?;
        let proven = clients.is_some();
        let builder = match clients {
            Some(authority) => builder.with_client_cert_verifier(authority),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(self.clone());
        if proven {
            // A session that is resumed would bring its certificate along unchecked.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

fn read(chain_pem: &[u8], key_pem: &[u8]) -> Result<CertifiedKey, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain_pem).collect();
    let chain = chain.map_err(|_| TlsError::NoCertificate)?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate);
    }
    let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(|_| TlsError::NoKey)?;
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(TlsError::Unusable)
}
