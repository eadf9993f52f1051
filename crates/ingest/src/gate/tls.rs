//! `rtsps://`: RTSP inside TLS (RFC 2326 has none; port 322 is that of RFC 7826 section 4.2), and which certificates
//! are accepted.

mod verifier;

use std::collections::HashSet;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, OnceLock};

use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{
    AlertDescription, CertificateError as Reason, ClientConfig, Error, RootCertStore,
};

use self::verifier::Verifier;
use crate::session::failure::Failure;
use crate::source::shown_host;

/// Fingerprints that are remembered as shown.
const SHOWN: usize = 1024;

/// Which certificate a camera must show (`rtsps://`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Certificate {
    /// Any: nearly all cameras have made their own. Protects from listeners, not from impostors; FFmpeg and VLC do
    /// the same. The fingerprint is logged once, so that it can be pinned.
    #[default]
    Any,
    /// One that an authority known to this machine has issued for the host name.
    Verify,
    /// The one with this SHA-256 fingerprint.
    Fingerprint([u8; 32]),
}

/// A text that names no certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("found {found:?}, expected any, verify or a SHA-256 fingerprint of 64 hexadecimal digits")]
pub struct UnknownCertificate {
    /// The text.
    found: String,
}

impl std::str::FromStr for Certificate {
    type Err = UnknownCertificate;

    /// `any`, `verify`, or a fingerprint as `openssl x509 -fingerprint -sha256` prints it, with or without colons.
    fn from_str(text: &str) -> Result<Self, UnknownCertificate> {
        match text {
            "any" => return Ok(Self::Any),
            "verify" => return Ok(Self::Verify),
            _ => {}
        }
        let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
        let mut fingerprint = [0; 32];
        let is_hex = digits.len() == 64 && digits.iter().all(u8::is_ascii_hexdigit);
        if is_hex {
            for (byte, pair) in fingerprint.iter_mut().zip(digits.chunks(2)) {
                let value = |digit: u8| char::from(digit).to_digit(16).unwrap_or_default() as u8;
                *byte = value(pair[0]) << 4 | value(pair[1]);
            }
            Ok(Self::Fingerprint(fingerprint))
        } else {
            Err(UnknownCertificate { found: text.to_owned() })
        }
    }
}

/// Makes the connection to `host` a secret one.
pub(super) async fn handshake(
    stream: TcpStream,
    peer: SocketAddr,
    host: &str,
    certificate: Certificate,
) -> Result<TlsStream<TcpStream>, Failure> {
    let address = || peer.to_string();
    let broken = || Failure::TlsFailed { address: address() };
    let provider = Arc::new(ring::default_provider());
    let roots = match certificate {
        Certificate::Verify => Some(system_roots().await.ok_or(Failure::NoAuthorities)?),
        Certificate::Any | Certificate::Fingerprint(_) => None,
    };
    let verifier = Arc::new(Verifier::new(certificate, roots, &provider).ok_or_else(broken)?);
    let config = client_config(provider, verifier.clone()).map_err(|_| broken())?;
    // Names that TLS does not know are no obstacle to a camera whose certificate is not compared with its name.
    let name = ServerName::try_from(host.to_owned()).unwrap_or_else(|_| ServerName::from(peer.ip()));

    match TlsConnector::from(Arc::new(config)).connect(name, stream).await {
        Ok(stream) => {
            if let (Certificate::Any, Some(found)) = (certificate, verifier.found()) {
                show_once(&format!("{}:{}", shown_host(host), peer.port()), found, verifier.is_unproven());
            }
            Ok(stream)
        }
        Err(error) => Err(match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(error) => failure(error, verifier.found(), address()),
            None => Failure::TlsFailed { address: address() },
        }),
    }
}

/// TLS 1.2 is old, and most cameras know nothing newer.
fn client_config(
    provider: Arc<CryptoProvider>,
    verifier: Arc<Verifier>,
) -> Result<ClientConfig, tokio_rustls::rustls::Error> {
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth())
}

fn failure(error: &Error, found: Option<[u8; 32]>, address: String) -> Failure {
    match (error, found) {
        (Error::InvalidCertificate(reason), Some(found)) => {
            Failure::CertificateRefused { problem: problem(reason), found: hex(&found) }
        }
        (Error::InvalidMessage(_), _) => Failure::NotTls { address },
        (
            Error::PeerIncompatible(_)
            | Error::AlertReceived(
                AlertDescription::HandshakeFailure
                | AlertDescription::ProtocolVersion
                | AlertDescription::InsufficientSecurity,
            ),
            _,
        ) => Failure::TlsTooOld { address },
        _ => Failure::TlsFailed { address },
    }
}

fn problem(reason: &Reason) -> &'static str {
    match reason {
        Reason::ApplicationVerificationFailure => "it is not the pinned one",
        Reason::Expired | Reason::ExpiredContext { .. } => "it has expired",
        Reason::NotValidYet | Reason::NotValidYetContext { .. } => "it is not valid yet",
        Reason::NotValidForName | Reason::NotValidForNameContext { .. } => "it is not for this host name",
        Reason::UnknownIssuer => "no authority that this machine knows has issued it",
        Reason::Revoked => "it has been revoked",
        Reason::BadSignature => "its owner has not signed the handshake",
        _ => "it is of a kind that cannot be verified",
    }
}

/// Once per camera and certificate, not at every reconnection.
fn show_once(camera: &str, found: [u8; 32], unproven: bool) {
    static ALREADY: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);
    let fingerprint = hex(&found);
    let mut already = ALREADY.lock();
    if already.len() >= SHOWN || !already.insert(format!("{camera} {fingerprint}")) {
        return;
    }
    if unproven {
        tracing::info!(
            "the camera at {camera} has a certificate too old to be checked or pinned ({fingerprint})"
        );
    } else {
        tracing::info!(
            "the camera at {camera} has a certificate that is not checked; `certificate: {fingerprint}` would accept no other"
        );
    }
}

pub(super) fn fingerprint(certificate: &[u8]) -> [u8; 32] {
    Sha256::digest(certificate).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// The authorities of the operating system, read once. `None` if there are none, which may be so later no more.
async fn system_roots() -> Option<Arc<RootCertStore>> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    if let Some(roots) = ROOTS.get() {
        return Some(roots.clone());
    }
    let roots = tokio::task::spawn_blocking(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots
    });
    let roots = roots.await.ok().filter(|roots| !roots.is_empty())?;
    Some(ROOTS.get_or_init(|| Arc::new(roots)).clone())
}

#[cfg(test)]
mod tests;
