//! Whether a camera's certificate is the right one, as `rustls` asks. That the camera holds the certificate's key is
//! checked whatever certificates are accepted, but for those that nothing can be checked with: X.509 of version 1, which
//! `openssl x509 -req` makes, and RSA keys of 1024 bits. Old cameras have nothing else.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::{Certificate, fingerprint};

/// For one handshake.
#[derive(Debug)]
pub(super) struct Verifier {
    wanted: Certificate,
    authorities: Option<Arc<WebPkiServerVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
    found: OnceLock<Found>,
    unproven: AtomicBool,
}

type Found = [u8; 32];

impl Verifier {
    /// `None` if there is nobody to verify with. `roots` are needed by [`Certificate::Verify`] only.
    pub(super) fn new(
        wanted: Certificate,
        roots: Option<Arc<RootCertStore>>,
        provider: &Arc<CryptoProvider>,
    ) -> Option<Self> {
        let authorities = match roots {
            Some(roots) => {
                Some(WebPkiServerVerifier::builder_with_provider(roots, provider.clone()).build().ok()?)
            }
            None => None,
        };
        let algorithms = provider.signature_verification_algorithms;
        Some(Self {
            wanted,
            authorities,
            algorithms,
            found: OnceLock::new(),
            unproven: AtomicBool::new(false),
        })
    }

    /// The fingerprint of the certificate that was shown.
    pub(super) fn found(&self) -> Option<Found> {
        self.found.get().copied()
    }

    /// Whether it had to be accepted without a proof that the camera holds its key. Whoever asks for this very
    /// certificate is not content with that.
    pub(super) fn is_unproven(&self) -> bool {
        self.unproven.load(Ordering::Relaxed)
    }

    fn signed(
        &self,
        certificate: &CertificateDer<'_>,
        checked: Result<HandshakeSignatureValid, Error>,
    ) -> Result<HandshakeSignatureValid, Error> {
        let Err(Error::InvalidCertificate(reason)) = &checked else { return checked };
        if *reason == CertificateError::BadSignature && !has_short_rsa_key(certificate) {
            return checked;
        }
        if self.wanted != Certificate::Any {
            return Err(Error::InvalidCertificate(CertificateError::BadEncoding));
        }
        self.unproven.store(true, Ordering::Relaxed);
        Ok(HandshakeSignatureValid::assertion())
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let found = *self.found.get_or_init(|| fingerprint(end_entity));
        match (self.wanted, &self.authorities) {
            (Certificate::Any, _) => Ok(ServerCertVerified::assertion()),
            (Certificate::Fingerprint(wanted), _) if wanted == found => Ok(ServerCertVerified::assertion()),
            (Certificate::Fingerprint(_), _) => {
                Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
            }
            (Certificate::Verify, Some(authorities)) => {
                authorities.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
            (Certificate::Verify, None) => Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed(cert, verify_tls12_signature(message, cert, dss, &self.algorithms))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed(cert, verify_tls13_signature(message, cert, dss, &self.algorithms))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Whether the key is one of RSA with less than the 2048 bits that `ring` verifies with: its algorithm and numbers
/// take 294 bytes then.
fn has_short_rsa_key(certificate: &[u8]) -> bool {
    const RSA: [u8; 11] = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    public_key(certificate)
        .is_some_and(|key| key.len() < 256 && key.windows(RSA.len()).any(|window| window == RSA))
}

/// `subjectPublicKeyInfo`, found by counting the fields before it (RFC 5280 section 4.1).
fn public_key(certificate: &[u8]) -> Option<&[u8]> {
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xa0;
    let (_, certificate, _) = element(certificate)?;
    let (_, mut fields, _) = element(certificate)?;
    if fields.first() == Some(&VERSION) {
        fields = element(fields)?.2;
    }
    // Serial number, signature, issuer, validity, subject.
    for _ in 0..5 {
        fields = element(fields)?.2;
    }
    element(fields).filter(|(tag, ..)| *tag == SEQUENCE).map(|(_, key, _)| key)
}

/// The first DER element: its tag, what is in it, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, length], rest) = bytes.split_first_chunk::<2>()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81 => rest.split_first().map(|(&length, rest)| (usize::from(length), rest))?,
        0x82 => rest.split_first_chunk::<2>().map(|(l, rest)| (u16::from_be_bytes(*l).into(), rest))?,
        _ => return None,
    };
    rest.split_at_checked(length).map(|(inside, behind)| (tag, inside, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RSA_1024: &[u8] = include_bytes!("../../../tests/fixtures/tls/rsa1024.der");
    const RSA_2048: &[u8] = include_bytes!("../../../tests/fixtures/tls/rsa2048.der");
    const VERSION_1: &[u8] = include_bytes!("../../../tests/fixtures/tls/version1.der");

    #[test]
    fn short_keys_are_told_from_others() {
        assert!(has_short_rsa_key(RSA_1024));
        assert!(!has_short_rsa_key(RSA_2048) && !has_short_rsa_key(VERSION_1));
        assert_eq!(public_key(RSA_2048).map(<[u8]>::len), Some(290));
        assert_eq!(public_key(VERSION_1).map(<[u8]>::len), Some(89));
    }

    #[test]
    fn no_bytes_make_the_reader_panic() {
        for length in 0..RSA_1024.len() {
            assert!(!has_short_rsa_key(&RSA_1024[..length]));
            let mut changed = RSA_1024.to_vec();
            for value in [0, 0x7f, 0x80, 0x81, 0x82, 0x83, 0xff] {
                changed[length] = value;
                has_short_rsa_key(&changed);
            }
        }
    }
}
