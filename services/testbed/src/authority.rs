//! A CA of the test's own, certificates by it, and a TLS terminator in front of a plain server.

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, IsCa, Issuer, KeyIdMethod, KeyPair,
    RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::{
    ClientConfig, ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    sign::{CertifiedKey, SingleCertAndKey},
};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

/// A CA.
pub struct Authority {
    /// Its certificate, PEM.
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
    issued: AtomicU64,
}

/// A certificate and its key.
#[derive(Clone)]
pub struct Issued {
    /// The certificate, PEM.
    pub pem: String,
    /// The key, PEM.
    pub key_pem: String,
    serial: u64,
    der: Vec<u8>,
    key_der: Vec<u8>,
}

/// Whether a certificate's time is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// It is.
    Now,
    /// It is over.
    Over,
}

impl Authority {
    /// Makes one.
    pub fn new() -> Result<Self> {
        let key = KeyPair::generate().context("no key")?;
        let mut params = CertificateParams::new(Vec::new()).context("no parameters")?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).context("not signed")?.pem();
        Ok(Self { pem, issuer: Issuer::new(params, key), issued: AtomicU64::new(1) })
    }

    /// A certificate for `name`, a host name or an address, good for servers and clients.
    pub fn issue(&self, name: &str, validity: Validity) -> Result<Issued> {
        let key = KeyPair::generate().context("no key")?;
        let mut params = CertificateParams::new(vec![name.to_owned()]).context("no name of a server")?;
        if validity == Validity::Over {
            (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        }
        let serial = self.issued.fetch_add(1, Ordering::Relaxed);
        params.serial_number = Some(SerialNumber::from(serial));
        let certificate = params.signed_by(&key, &self.issuer).context("not signed")?;
        Ok(Issued {
            pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            serial,
            der: certificate.der().to_vec(),
            key_der: key.serialize_der(),
        })
    }
}

impl Authority {
    /// Its list of revoked certificates, PEM.
    pub fn revokes(&self, revoked: &[&Issued]) -> Result<String> {
        let (this_update, next_update) = (date_time_ymd(2020, 1, 1), date_time_ymd(2999, 1, 1));
        let one = |issued: &&Issued| RevokedCertParams {
            serial_number: SerialNumber::from(issued.serial),
            revocation_time: this_update,
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update,
            next_update,
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(one).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(list.signed_by(&self.issuer).context("not signed")?.pem()?)
    }
}

impl Issued {
    /// Makes it the certificate by which a client proves itself.
    pub fn identify(&self, client: &mut ClientConfig) -> Result<()> {
        let key = CertifiedKey::from_der(vec![self.der.clone().into()], self.key(), &ring::default_provider())?;
        client.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(key));
        Ok(())
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key_der.clone()))
    }

    /// TLS of a server with it.
    pub fn server_config(&self) -> Result<Arc<ServerConfig>> {
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth();
        Ok(Arc::new(builder.with_single_cert(vec![self.der.clone().into()], self.key())?))
    }

    /// Ends TLS on a free port of loopback and passes everything on to `to`, for as long as the runtime lives.
    pub async fn in_front_of(&self, to: SocketAddr) -> Result<SocketAddr> {
        let acceptor = TlsAcceptor::from(self.server_config()?);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // What fails here, the client hears of.
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let Ok(mut server) = TcpStream::connect(to).await else { return };
                    let _ = copy_bidirectional(&mut stream, &mut server).await;
                });
            }
        });
        Ok(address)
    }
}
