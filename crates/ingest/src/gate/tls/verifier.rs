//! Whether a camera's certificate is the right one, as `rustls` asks. That the camera holds the certificate's key is
//! checked whatever certificates are accepted.

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
    found: OnceLock<[u8; 32]>,
}

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
        Some(Self { wanted, authorities, algorithms, found: OnceLock::new() })
    }

    /// The fingerprint of the certificate that was shown.
    pub(super) fn found(&self) -> Option<[u8; 32]> {
        self.found.get().copied()
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
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
