#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, SupportedProtocolVersion, sign, version};

/// A camera that has made its own certificate, as nearly all do.
struct SelfSigned {
    certificate: CertificateDer<'static>,
    key: rcgen::KeyPair,
}

impl SelfSigned {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["camera".to_owned()]).unwrap();
        Self { certificate: made.cert.der().clone(), key: made.signing_key }
    }

    fn fingerprint(&self) -> [u8; 32] {
        fingerprint(&self.certificate)
    }

    /// Accepts connections with these versions of TLS.
    async fn serve(&self, versions: &[&'static SupportedProtocolVersion]) -> SocketAddr {
        let key = PrivateKeyDer::Pkcs8(self.key.serialize_der().into());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], key)
            .unwrap();
        serve(config).await
    }
}

/// Accepts connections and says back what it is told.
async fn serve(config: ServerConfig) -> SocketAddr {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut said = [0; 5];
                stream.read_exact(&mut said).await.unwrap();
                stream.write_all(&said).await.unwrap();
                stream.flush().await.unwrap();
            });
        }
    });
    address
}

async fn shake(address: SocketAddr, certificate: Certificate) -> Result<(), String> {
    let stream = TcpStream::connect(address).await.unwrap();
    let shaken = handshake(stream, address, "camera", certificate).await;
    let mut stream = shaken.map_err(|failure| failure.to_string())?;
    stream.write_all(b"hello").await.unwrap();
    let mut said = [0; 5];
    stream.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"hello");
    Ok(())
}

#[tokio::test]
async fn a_camera_that_made_its_own_certificate_is_accepted_with_tls_1_2_and_1_3() {
    let camera = SelfSigned::new();
    for versions in [&[&version::TLS12][..], &[&version::TLS13]] {
        let address = camera.serve(versions).await;
        for wanted in [Certificate::Any, Certificate::Fingerprint(camera.fingerprint())] {
            assert_eq!(shake(address, wanted).await, Ok(()));
        }
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_the_wanted_one_is_refused_with_its_fingerprint() {
    let (camera, other) = (SelfSigned::new(), SelfSigned::new());
    let address = camera.serve(&[&version::TLS12, &version::TLS13]).await;
    let found = hex(&camera.fingerprint());
    let refused = |problem: &str| {
        let because = format!("the camera's certificate is refused because {problem}");
        Err(format!("{because}; its SHA-256 fingerprint is {found}"))
    };
    let pinned = Certificate::Fingerprint(other.fingerprint());
    assert_eq!(shake(address, pinned).await, refused("it is not the pinned one"));
    // A machine without authorities has other words.
    if system_roots().await.is_some() {
        let unknown = refused("no authority that this machine knows has issued it");
        assert_eq!(shake(address, Certificate::Verify).await, unknown);
    }
}

#[tokio::test]
async fn verified_are_the_authority_and_the_name() {
    let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = rcgen::CertifiedIssuer::self_signed(ca, rcgen::KeyPair::generate().unwrap()).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let issued =
        rcgen::CertificateParams::new(vec!["camera".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(ca.der().clone()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let address = SelfSigned { certificate: issued.der().clone(), key }.serve(&[&version::TLS13]).await;
    for (name, expected) in [("camera", None), ("other", Some("it is not for this host name"))] {
        let verifier =
            Arc::new(Verifier::new(Certificate::Verify, Some(Arc::new(roots.clone())), &provider).unwrap());
        let config = client_config(provider.clone(), verifier.clone()).unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from(name).unwrap();
        let refused = TlsConnector::from(Arc::new(config)).connect(name, stream).await.err();
        let refused = refused.map(|error| {
            let error = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()).cloned().unwrap();
            failure(&error, verifier.found(), address.to_string())
        });
        let found = hex(&fingerprint(issued.der()));
        assert_eq!(refused, expected.map(|problem| Failure::CertificateRefused { problem, found }));
    }
}

#[tokio::test]
async fn a_certificate_whose_key_the_camera_does_not_hold_is_refused_even_if_any_would_do() {
    let (owner, thief) = (SelfSigned::new(), SelfSigned::new());
    for wanted in [Certificate::Any, Certificate::Fingerprint(owner.fingerprint())] {
        let address = serve_unchecked(owner.certificate.clone(), thief.key.serialize_der()).await;
        let refused = shake(address, wanted).await.unwrap_err();
        assert!(refused.contains("its owner has not signed the handshake"), "{refused}");
    }
}

#[tokio::test]
async fn a_certificate_too_old_to_check_is_accepted_unless_one_is_asked_for() {
    let certificate = &include_bytes!("../../../tests/fixtures/tls/version1.der")[..];
    let key = include_bytes!("../../../tests/fixtures/tls/version1.key.der");
    let address = serve_unchecked(certificate.into(), key.to_vec()).await;
    assert_eq!(shake(address, Certificate::Any).await, Ok(()));
    let pinned = Certificate::Fingerprint(fingerprint(certificate));
    let refused = shake(address, pinned).await.unwrap_err();
    assert!(refused.contains("because it is of a kind that cannot be verified"), "{refused}");
}

/// Serves also what a server of `rustls` refuses to be configured with.
async fn serve_unchecked(certificate: CertificateDer<'static>, key: Vec<u8>) -> SocketAddr {
    let provider = ring::default_provider();
    let key = provider.key_provider.load_private_key(PrivateKeyDer::Pkcs8(key.into())).unwrap();
    let certified = sign::CertifiedKey::new(vec![certificate], key);
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(sign::SingleCertAndKey::from(certified)));
    serve(config).await
}

/// Answers the first bytes with these.
async fn answering(bytes: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 1_024]).await;
        let _ = stream.write_all(bytes).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
    });
    address
}

#[tokio::test]
async fn what_is_no_usable_tls_is_said_in_words() {
    let check = async |bytes: &'static [u8], expected: &dyn Fn(SocketAddr) -> String| {
        let address = answering(bytes).await;
        assert_eq!(shake(address, Certificate::Any).await, Err(expected(address)));
    };
    check(b"RTSP/1.0 400 Bad Request\r\n\r\n", &|a| format!("{a} does not speak TLS (rtsps)")).await;
    // An alert of level fatal: handshake_failure, then protocol_version (RFC 5246 section 7.2).
    let too_old = |a| format!("{a} knows no TLS that is still used: version 1.2 or 1.3 with a modern cipher");
    check(&[21, 3, 1, 0, 2, 2, 40], &too_old).await;
    check(&[21, 3, 1, 0, 2, 2, 70], &too_old).await;
    check(&[21, 3, 1, 0, 2, 2, 80], &|a| format!("the TLS handshake with {a} failed")).await;
}

#[test]
fn certificates_are_named_as_openssl_prints_them() {
    let colons = (0..32).map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":");
    let bytes: [u8; 32] = std::array::from_fn(|index| index as u8);
    assert_eq!(colons.parse(), Ok(Certificate::Fingerprint(bytes)));
    assert_eq!(hex(&bytes).parse(), Ok(Certificate::Fingerprint(bytes)));
    assert_eq!("any".parse(), Ok(Certificate::Any));
    assert_eq!("verify".parse(), Ok(Certificate::Verify));
    for wrong in ["", "Any", "none", &colons[1..], &format!("{colons}00"), &"ä".repeat(32), &"+1".repeat(32)]
    {
        let error = wrong.parse::<Certificate>().unwrap_err();
        assert!(error.to_string().starts_with("found "), "{error}");
    }
}
