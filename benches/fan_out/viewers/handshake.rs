//! A viewer's half of DTLS-SRTP (RFC 5764): it begins, as browsers do, and checks the server's fingerprint.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use bytes::BytesMut;
use rtc::crypto::{HashAlgorithm, RTCCrypto, RTCCryptoProvider};
use rtc::dtls::config::{ConfigBuilder, ExtendedMasterSecretType};
use rtc::dtls::crypto::Certificate;
use rtc::dtls::endpoint::{Endpoint, EndpointEvent};
use rtc::dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc::shared::TransportProtocol;
use rtc::shared::error::Error;
use rtc::srtp::config::{Config, LABEL_EXTRACTOR_DTLS_SRTP};
use rtc::srtp::context::Context;
use rtc::srtp::protection_profile::ProtectionProfile;

const FAR: Duration = Duration::from_secs(3600);

/// One certificate for all viewers.
pub(super) struct Identity {
    provider: Arc<dyn RTCCryptoProvider>,
    certificate: Certificate,
    pub(super) fingerprint: String,
}

/// For reports, and for the stream.
pub(super) struct Keys {
    pub(super) outbound: Context,
    pub(super) inbound: Context,
}

pub(super) struct Handshake {
    identity: Arc<Identity>,
    /// What the server's description says.
    expected: String,
    server: SocketAddr,
    endpoint: Option<Endpoint>,
    transmits: VecDeque<BytesMut>,
    keys: Option<Keys>,
}

impl Identity {
    pub(super) fn generate() -> anyhow::Result<Self> {
        let provider = rtc::crypto::default_provider().map_err(|error| anyhow!("{error}"))?;
        let certificate = Certificate::generate_self_signed(vec!["viewer".to_owned()], provider.crypto())?;
        let der = certificate.certificate.first().context("no certificate")?;
        let fingerprint = fingerprint(provider.crypto(), der)?;
        Ok(Self { provider, certificate, fingerprint })
    }

    pub(super) fn crypto(&self) -> &dyn RTCCrypto {
        self.provider.crypto()
    }

    pub(super) fn context(
        &self,
        key: &[u8],
        salt: &[u8],
        profile: ProtectionProfile,
    ) -> anyhow::Result<Context> {
        Ok(Context::new(key, salt, profile, None, None, self.crypto())?)
    }
}

impl Handshake {
    pub(super) fn new(identity: Arc<Identity>, expected: String, server: SocketAddr) -> Self {
        Self { identity, expected, server, endpoint: None, transmits: VecDeque::new(), keys: None }
    }

    pub(super) fn start(&mut self, now: Instant) -> anyhow::Result<()> {
        if self.endpoint.is_some() {
            return Ok(());
        }
        let (provider, expected) = (Arc::clone(&self.identity.provider), self.expected.clone());
        let verify = move |chain: &[Vec<u8>], _: &[_]| match chain.first() {
            Some(der) if fingerprint(provider.crypto(), der)?.eq_ignore_ascii_case(&expected) => Ok(()),
            Some(_) => Err(Error::ErrNoMatchingCertificateFingerprint),
            None => Err(Error::ErrNonCertificate),
        };
        // GCM alone: the same cipher for every server that is compared.
        let config = ConfigBuilder::default()
            .with_crypto_provider(Arc::clone(&self.identity.provider))
            .with_certificates(vec![self.identity.certificate.clone()])
            .with_srtp_protection_profiles(vec![SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm])
            .with_insecure_skip_verify(true)
            .with_verify_peer_certificate(Some(Arc::new(verify)))
            .with_extended_master_secret(ExtendedMasterSecretType::Require)
            .build(true, None)?;
        let mut endpoint = Endpoint::new(self.server, TransportProtocol::UDP, None);
        endpoint.connect(now, self.server, Arc::new(config), None)?;
        self.endpoint = Some(endpoint);
        self.collect();
        Ok(())
    }

    pub(super) fn handle(&mut self, now: Instant, datagram: &[u8]) -> anyhow::Result<()> {
        let Some(endpoint) = &mut self.endpoint else { return Ok(()) };
        let events = endpoint.read(now, self.server, None, BytesMut::from(datagram));
        let is_complete = events?.into_iter().any(|event| matches!(event, EndpointEvent::HandshakeComplete));
        self.collect();
        if is_complete {
            self.keys = Some(self.derive()?);
        }
        Ok(())
    }

    pub(super) fn timeout(&mut self, now: Instant) -> anyhow::Result<()> {
        if let Some(endpoint) = &mut self.endpoint {
            endpoint.handle_timeout(self.server, now)?;
            self.collect();
        }
        Ok(())
    }

    /// Says goodbye.
    pub(super) fn close(&mut self, now: Instant) {
        if let Some(endpoint) = &mut self.endpoint {
            // Fails only where there is nobody to say it to.
            let _ = endpoint.close(now);
            self.collect();
        }
    }

    pub(super) fn due(&self) -> Instant {
        let due = self.endpoint.as_ref().and_then(|endpoint| endpoint.poll_timeout(&self.server));
        due.unwrap_or_else(|| Instant::now() + FAR)
    }

    pub(super) fn poll_transmit(&mut self) -> Option<BytesMut> {
        self.transmits.pop_front()
    }

    pub(super) fn take_keys(&mut self) -> Option<Keys> {
        self.keys.take()
    }

    fn collect(&mut self) {
        let Some(endpoint) = &mut self.endpoint else { return };
        self.transmits
            .extend(std::iter::from_fn(|| endpoint.poll_transmit()).map(|transmit| transmit.message));
    }

    fn derive(&self) -> anyhow::Result<Keys> {
        let endpoint = self.endpoint.as_ref().context("no handshake")?;
        let state = endpoint.get_connection_state(self.server).context("no connection")?;
        let profile = match state.srtp_protection_profile() {
            SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm => ProtectionProfile::AeadAes128Gcm,
            other => bail!("the server chose {other:?}, which was not offered"),
        };
        let mut config = Config { profile, ..Config::default() };
        let len = config.keying_material_len();
        let material = state.export_keying_material(LABEL_EXTRACTOR_DTLS_SRTP, &[], len)?;
        config.set_session_keys_from_keying_material(material.as_ref(), true)?;
        let keys = &config.keys;
        Ok(Keys {
            outbound: self.identity.context(&keys.local_master_key, &keys.local_master_salt, profile)?,
            inbound: self.identity.context(&keys.remote_master_key, &keys.remote_master_salt, profile)?,
        })
    }
}

/// SHA-256 as SDP writes it (RFC 8122 section 5).
fn fingerprint(crypto: &dyn RTCCrypto, der: &[u8]) -> Result<String, Error> {
    let hash = crypto.hash(HashAlgorithm::Sha256, der).map_err(|error| Error::Other(error.to_string()))?;
    Ok(hash.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":"))
}
