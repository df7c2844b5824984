//! Proof of origin over the raw bytes: HMAC, bearer token, HTTP Basic, JWT or the client's certificate. The only way out of
//! [`Unverified`].
//!
//! Unknown sources, missing and bad proofs all give the same [`Refused`] after the same work: a source that is not there is
//! checked like one that is, against secrets that nobody has, and a signature always against two. Secrets are compared as
//! hashes in constant time. Never looks into a body but to hash it.

pub mod certificate;
pub mod jwks;
mod jwt;

use crate::config::{BackstageAuth, BadSource, Basic, KeycloakAuth, Secret, Source, SourceAuth, check_id};
use axum::http::{HeaderMap, header::AUTHORIZATION, request::Parts};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use certificate::{CertificateName, ClientCertificate};
use events::receipt::SourceKind;
use hmac::{Hmac, KeyInit, Mac};
use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};
use std::{collections::HashMap, sync::Arc};
use subtle::ConstantTimeEq;

/// Something from outside that nobody has checked.
#[derive(Clone, Debug)]
pub struct Unverified<T>(T);

impl<T> Unverified<T> {
    /// Marks a value as unchecked.
    pub fn new(value: T) -> Self {
        Self(value)
    }
}

/// A body whose origin is proven.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The source that sent it.
    pub source: Arc<KnownSource>,
    /// How it was proven.
    pub proof: Proof,
    /// The bytes as they came (not inflated).
    pub body: Bytes,
}

/// How a request was proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// HMAC-SHA-256 over the body.
    Hmac,
    /// JWT of the realm.
    Jwt,
    /// A token of the source.
    Bearer,
    /// HTTP Basic.
    Basic,
    /// A certificate of the client, checked in the TLS handshake.
    Certificate,
}

/// What a request shows beside its body.
#[derive(Clone, Copy, Debug)]
pub struct Presented<'a> {
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// The certificate of its connection.
    pub certificate: Option<&'a ClientCertificate>,
}

impl<'a> Presented<'a> {
    /// All that the head of a request shows.
    pub fn of(head: &'a Parts) -> Self {
        Self { headers: &head.headers, certificate: head.extensions.get() }
    }
}

impl<'a> From<&'a HeaderMap> for Presented<'a> {
    fn from(headers: &'a HeaderMap) -> Self {
        Self { headers, certificate: None }
    }
}

/// Not proven. Says nothing of why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown source or bad proof")]
pub struct Refused;

/// A source as the intake knows it after config was checked.
#[derive(Debug)]
pub struct KnownSource {
    /// Its immutable id.
    pub id: String,
    /// Its product.
    pub kind: SourceKind,
    /// Zone of times that name none.
    pub zone: TimeZone,
    pub(crate) place: usize,
    proofs: Proofs,
}

struct Proofs {
    /// How many of the keys are the source's; the others are nobody's.
    secrets: usize,
    hmac: [Hmac<Sha256>; HMAC_SECRETS],
    bearer: Vec<[u8; 32]>,
    basic: Vec<[u8; 32]>,
    jwt: Option<jwt::Checker>,
    certificates: Vec<CertificateName>,
}

impl Default for Proofs {
    fn default() -> Self {
        let hmac = [(); HMAC_SECRETS].map(|()| mac(&random()));
        Self { secrets: 0, hmac, bearer: Vec::new(), basic: Vec::new(), jwt: None, certificates: Vec::new() }
    }
}

impl std::fmt::Debug for Proofs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Proofs(..)")
    }
}

/// Shortest secret that is taken, bytes.
const SECRET_BYTES: usize = 12;

/// Secrets that a signature is compared with: as many as a source can have.
const HMAC_SECRETS: usize = 2;

/// Header of keycloak-events: lower-case hex of HMAC-SHA-256 over the raw body.
pub const SIGNATURE_HEADER: &str = "x-keycloak-signature";

/// Checks requests against the configured sources.
pub struct Verifier {
    sources: HashMap<String, Arc<KnownSource>>,
    /// Stands in for a source that is not there.
    nobody: Arc<KnownSource>,
}

impl Verifier {
    /// Checks the sources and takes them. `fetch` gets realm keys by URL.
    pub fn new(sources: &[Source], fetch: Arc<dyn jwks::FetchKeys>) -> Result<Self, BadSource> {
        let mut known = HashMap::new();
        for (place, source) in sources.iter().enumerate() {
            let built = KnownSource::new(source, place, &fetch)?;
            if known.insert(source.id.clone(), Arc::new(built)).is_some() {
                return Err(BadSource::Twice(source.id.clone()));
            }
        }
        Ok(Self { sources: known, nobody: Arc::new(KnownSource::nobody()) })
    }

    /// The source, or one that nothing proves, so that the work is the same.
    fn source(&self, id: &str, is: impl Fn(SourceKind) -> bool) -> &Arc<KnownSource> {
        self.sources.get(id).filter(|source| is(source.kind)).unwrap_or(&self.nobody)
    }

    fn known(&self, source: &Arc<KnownSource>) -> Result<Arc<KnownSource>, Refused> {
        if Arc::ptr_eq(source, &self.nobody) { Err(Refused) } else { Ok(source.clone()) }
    }

    /// All sources, in no order.
    pub fn sources(&self) -> impl Iterator<Item = &Arc<KnownSource>> {
        self.sources.values()
    }

    /// Proves a whole request: by what it says of itself, else by the certificate of its connection. A wrong word is
    /// refused even with a good certificate.
    pub async fn verify<'a>(
        &self,
        (kind, id): (SourceKind, &str),
        presented: impl Into<Presented<'a>>,
        body: Unverified<Bytes>,
    ) -> Result<Verified, Refused> {
        let presented = presented.into();
        let headers = presented.headers;
        let source = self.source(id, |known| known == kind);
        if let Some(signature) = headers.get(SIGNATURE_HEADER) {
            source.check_hmac(signature.as_bytes(), &body.0)?;
            return Ok(Verified { source: self.known(source)?, proof: Proof::Hmac, body: body.0 });
        }
        let proof = match source.check_head(presented) {
            Ok(proof) => proof,
            Err(Refused) => {
                let jwt = source.proofs.jwt.as_ref().ok_or(Refused)?;
                let token = authorization(headers, "bearer").ok_or(Refused)?;
                jwt.check(token, &body.0).await?;
                Proof::Jwt
            }
        };
        Ok(Verified { source: self.known(source)?, proof, body: body.0 })
    }

    /// Proves a request by its head alone (bearer token, Basic or certificate), so that a large body is only read when it
    /// is welcome.
    pub fn verify_head<'a>(
        &self,
        (kind, id): (SourceKind, &str),
        presented: impl Into<Presented<'a>>,
    ) -> Result<Admitted, Refused> {
        let source = self.source(id, |known| known == kind);
        let proof = source.check_head(presented.into())?;
        Ok(Admitted { source: self.known(source)?, proof })
    }

    /// Finds a source of any product and proves a request of its operator: bearer token only.
    pub fn verify_operator(&self, id: &str, headers: &HeaderMap) -> Result<Admitted, Refused> {
        let source = self.source(id, |_| true);
        match source.check_authorization(headers)? {
            Proof::Bearer => Ok(Admitted { source: self.known(source)?, proof: Proof::Bearer }),
            _ => Err(Refused),
        }
    }
}

/// A request whose head is proven; its body belongs to the same sender.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// The source that sent it.
    pub source: Arc<KnownSource>,
    /// How it was proven.
    pub proof: Proof,
}

impl Admitted {
    /// Joins the body that came after the proven head.
    pub fn with_body(self, body: Unverified<Bytes>) -> Verified {
        Verified { source: self.source, proof: self.proof, body: body.0 }
    }
}

impl KnownSource {
    fn new(source: &Source, place: usize, fetch: &Arc<dyn jwks::FetchKeys>) -> Result<Self, BadSource> {
        check_id(&source.id)?;
        let zone = TimeZone::get(&source.zone).map_err(|_| BadSource::Zone(source.id.clone()))?;
        let (kind, proofs) = match &source.kind {
            SourceAuth::Keycloak(auth) => (SourceKind::Keycloak, Proofs::keycloak(auth, &source.id, fetch)?),
            SourceAuth::Backstage(auth) => (SourceKind::Backstage, Proofs::backstage(auth, &source.id)?),
        };
        let words = proofs.secrets + proofs.bearer.len() + proofs.basic.len();
        if words == 0 && proofs.jwt.is_none() && proofs.certificates.is_empty() {
            return Err(BadSource::NoProof(source.id.clone()));
        }
        Ok(Self { id: source.id.clone(), kind, zone, place, proofs })
    }

    /// Who can prove nothing.
    fn nobody() -> Self {
        Self::of_topic("", SourceKind::Keycloak)
    }

    /// A source whose records the brokers prove; no request is ever one of it.
    pub(crate) fn of_topic(id: &str, kind: SourceKind) -> Self {
        Self { id: id.to_owned(), kind, zone: TimeZone::UTC, place: usize::MAX, proofs: Proofs::default() }
    }

    fn check_hmac(&self, signature: &[u8], body: &[u8]) -> Result<(), Refused> {
        check(&self.proofs.hmac[..], self.proofs.secrets, (signature, body))
    }

    /// An `Authorization` header, or a certificate where there is none.
    fn check_head(&self, presented: Presented<'_>) -> Result<Proof, Refused> {
        if presented.headers.contains_key(AUTHORIZATION) {
            return self.check_authorization(presented.headers);
        }
        let known = presented.certificate.is_some_and(|one| one.is_one_of(&self.proofs.certificates));
        known.then_some(Proof::Certificate).ok_or(Refused)
    }

    fn check_authorization(&self, headers: &HeaderMap) -> Result<Proof, Refused> {
        if let Some(token) = authorization(headers, "bearer") {
            return any_equal(&self.proofs.bearer, &digest(token.as_bytes())).then_some(Proof::Bearer).ok_or(Refused);
        }
        let pair = authorization(headers, "basic").ok_or(Refused)?;
        let pair = STANDARD.decode(pair).map_err(|_| Refused)?;
        any_equal(&self.proofs.basic, &digest(&pair)).then_some(Proof::Basic).ok_or(Refused)
    }
}

impl Proofs {
    fn keycloak(auth: &KeycloakAuth, id: &str, fetch: &Arc<dyn jwks::FetchKeys>) -> Result<Self, BadSource> {
        if auth.hmac.len() > HMAC_SECRETS {
            return Err(BadSource::TooManyHmac(id.to_owned()));
        }
        strong(id, &auth.hmac)?;
        let mut proofs = Self::tokens(&auth.bearer, &auth.basic, id)?;
        proofs.certificates = certificates(id, &auth.certificates)?;
        proofs.secrets = auth.hmac.len();
        for (key, secret) in proofs.hmac.iter_mut().zip(&auth.hmac) {
            *key = mac(secret.expose().as_bytes());
        }
        let jwt = auth.jwt.as_ref().map(|jwt| jwt::Checker::new(jwt, fetch.clone()));
        proofs.jwt = jwt.transpose().map_err(|_| BadSource::Keys(id.to_owned()))?;
        Ok(proofs)
    }

    fn backstage(auth: &BackstageAuth, id: &str) -> Result<Self, BadSource> {
        let certificates = certificates(id, &auth.certificates)?;
        Ok(Self { certificates, ..Self::tokens(&auth.bearer, &auth.basic, id)? })
    }

    fn tokens(bearer: &[Secret], basic: &[Basic], id: &str) -> Result<Self, BadSource> {
        strong(id, bearer)?;
        for user in basic {
            strong(id, std::slice::from_ref(&user.password))?;
        }
        let pair = |user: &Basic| digest(format!("{}:{}", user.user, user.password.expose()).as_bytes());
        Ok(Self {
            bearer: bearer.iter().map(|token| digest(token.expose().as_bytes())).collect(),
            basic: basic.iter().map(pair).collect(),
            ..Self::default()
        })
    }
}

fn certificates(id: &str, names: &[String]) -> Result<Vec<CertificateName>, BadSource> {
    names.iter().map(|name| name.parse().map_err(|_| BadSource::Certificate(id.to_owned()))).collect()
}

fn strong(id: &str, secrets: &[Secret]) -> Result<(), BadSource> {
    let weak = secrets.iter().any(|secret| secret.expose().len() < SECRET_BYTES);
    if weak { Err(BadSource::WeakSecret(id.to_owned())) } else { Ok(()) }
}

fn mac(secret: &[u8]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length")
}

/// A key that nobody has. Without randomness it could be guessed, but nothing is ever accepted by it.
fn random() -> [u8; 32] {
    let mut key = [0; 32];
    let _ = getrandom::fill(&mut key);
    key
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    #[cfg(test)]
    work::DIGESTS.with(|done| done.set(done.get() + 1));
    Sha256::digest(bytes).into()
}

/// Compares with each, never stopping early.
fn any_equal(known: &[[u8; 32]], given: &[u8; 32]) -> bool {
    let hits = known.iter().fold(subtle::Choice::from(0), |hits, one| hits | one.ct_eq(given));
    hits.into()
}

/// Checks a hex signature with each prepared key; only the first `secrets` are the source's.
fn check(keys: &[Hmac<Sha256>], secrets: usize, (signature, body): (&[u8], &[u8])) -> Result<(), Refused> {
    let mut given = [0; 32];
    // A signature that is no hex is compared as zeros: the same work as for a wrong one.
    let decoded = hex::decode_to_slice(signature, &mut given).is_ok() && !signature.iter().any(u8::is_ascii_uppercase);
    for (index, key) in keys.iter().enumerate() {
        let mut mac = key.clone();
        mac.update(body);
        let full: [u8; 32] = mac.finalize().into_bytes().into();
        #[cfg(test)]
        work::MACS.with(|done| done.set(done.get() + 1));
        // Which of the secrets was right is no secret; what is wrong is compared with all of them.
        if bool::from(full.ct_eq(&given)) && decoded && index < secrets {
            return Ok(());
        }
    }
    Err(Refused)
}

/// The credentials of an `Authorization` header of this scheme.
fn authorization<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (given, credentials) = value.to_str().ok()?.split_once(' ')?;
    given.eq_ignore_ascii_case(scheme).then(|| credentials.trim())
}

/// What was done in this thread, for the test that refusals cost the same.
#[cfg(test)]
mod work {
    use std::cell::Cell;
    thread_local! {
        pub static MACS: Cell<u32> = const { Cell::new(0) };
        pub static DIGESTS: Cell<u32> = const { Cell::new(0) };
    }
}

#[cfg(test)]
#[path = "verify/tests.rs"]
mod tests;
