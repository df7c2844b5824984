//! Why a server's certificate is refused, found in whatever error a client wraps it in.

use rustls::{CertificateError, Error as Tls};
use std::{error::Error, fmt, io};

/// Most errors within each other that are looked at.
const DEPTH: usize = 16;

/// Why. Nobody mends it by trying again alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Of a CA that is not trusted.
    Issuer,
    /// Its time is over.
    Expired,
    /// Its time has not begun.
    NotYetValid,
    /// For another name.
    Name,
    /// Taken back by its CA.
    Revoked,
    /// Something else is wrong with it.
    Unusable,
    /// The server speaks no TLS there.
    NoTls,
}

impl Refused {
    /// Looks through an error and what it wraps; none if it is of another kind.
    pub fn find(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut at = Some(error);
        for _ in 0..DEPTH {
            let error = at?;
            if let Some(tls) = error.downcast_ref::<Tls>() {
                return Self::of(tls);
            }
            // An io error's source is that of what it holds, not what it holds.
            let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            at = held.map_or_else(|| error.source(), |held| Some(held as &(dyn Error + 'static)));
        }
        None
    }

    fn of(error: &Tls) -> Option<Self> {
        let certificate = match error {
            Tls::InvalidCertificate(certificate) => certificate,
            Tls::InvalidMessage(_) => return Some(Self::NoTls),
            _ => return None,
        };
        Some(match certificate {
            // The second: a CA that was made anew under its old name.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::Issuer,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::Name,
            CertificateError::Revoked => Self::Revoked,
            _ => Self::Unusable,
        })
    }

    /// A whole clause about "the server", for messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Issuer => "its certificate is of a CA that is not trusted: name the CA's PEM file in ca_file",
            Self::Expired => "its certificate has expired",
            Self::NotYetValid => "its certificate is not valid yet: compare the clocks",
            Self::Name => "its certificate is for another name than that of the address",
            Self::Revoked => "its certificate was revoked",
            Self::Unusable => "its certificate cannot be used",
            Self::NoTls => "it speaks no TLS at this address",
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
