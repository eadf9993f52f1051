//! The handshake (DTLS 1.2, RFC 6347) that gives the SRTP keys (RFC 5764), and the goodbye.

mod admission;
mod client_hello;

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rtc::crypto::{HashAlgorithm, RTCCryptoProvider};
use rtc::dtls::config::{ClientAuthType, ConfigBuilder, ExtendedMasterSecretType, HandshakeConfig};
use rtc::dtls::crypto::Certificate;
use rtc::dtls::endpoint::{Endpoint, EndpointEvent};
use rtc::dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc::shared::TransportProtocol;
use rtc::shared::error::Error;

use crate::srtp::Srtp;
use admission::Admission;
use client_hello::ClientHello;

/// Best first. GCM costs half of what AES-CM with HMAC-SHA1 does; every client has the latter.
const PROFILES: [SrtpProtectionProfile; 2] =
    [SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm, SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80];
/// Datagrams kept until the ClientHello is whole.
const MAX_EARLY: usize = 8;
/// A flight that is not answered is said again after this, then after twice that, and so on: browsers begin with 50 ms.
const FIRST_REPEAT: Duration = Duration::from_millis(250);
const LAST_REPEAT: Duration = Duration::from_secs(4);
/// The library tells connections apart by address; ours has one, whatever path it takes.
const VIEWER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// Who we are to every viewer: one certificate for the life of the process.
pub(crate) struct Identity {
    pub(crate) crypto: Arc<dyn RTCCryptoProvider>,
    certificate: Certificate,
    /// SHA-256, as SDP writes it.
    fingerprint: String,
}

impl Identity {
    pub(crate) fn generate() -> Result<Self, Error> {
        let crypto = rtc::crypto::default_provider().map_err(|error| Error::Other(error.to_string()))?;
        let certificate = Certificate::generate_self_signed(vec!["wallcast".to_owned()], crypto.crypto())?;
        let der = certificate.certificate.first().ok_or(Error::ErrNonCertificate)?;
        let fingerprint = fingerprint(&crypto, der)?;
        Ok(Self { crypto, certificate, fingerprint })
    }

    /// The value of `a=fingerprint`.
    pub(crate) fn fingerprint(&self) -> String {
        format!("sha-256 {}", self.fingerprint)
    }
}

/// Lower-case hex with colons would do for browsers; RFC 8122 section 5 wants upper case.
fn fingerprint(crypto: &Arc<dyn RTCCryptoProvider>, der: &[u8]) -> Result<String, Error> {
    let hash =
        crypto.crypto().hash(HashAlgorithm::Sha256, der).map_err(|error| Error::Other(error.to_string()))?;
    Ok(hash.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":"))
}

/// Who begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The viewer begins, as browsers do.
    Server,
    Client,
}

/// What a datagram led to.
pub(crate) enum Step {
    /// The handshake is through.
    Keys(Box<Srtp>),
    /// The viewer said goodbye (`close_notify`).
    Closed,
}

pub(crate) struct Dtls {
    identity: Arc<Identity>,
    /// Of the viewer's certificate, from its offer.
    expected: String,
    role: Role,
    state: State,
    admission: Admission,
    transmits: VecDeque<Bytes>,
    /// Of a handshake that is not through.
    flight: Option<Flight>,
    is_through: bool,
}

/// What we said last, until it is answered (RFC 6347 section 4.2.4).
///
/// The library would say it again itself, after a second; but no more once anything has come of the other side's flight: a
/// part of it, or, because ours was lost, the flight before. And it would say it in new records, by which a viewer made of
/// the same library is kept from repeating itself in turn. Said again to the letter it is passed over by whoever has it.
struct Flight {
    datagrams: Vec<Bytes>,
    wait: Duration,
    due: Instant,
}

enum State {
    /// Nobody has begun. A server waits for a whole ClientHello.
    Waiting {
        hello: ClientHello,
        early: Vec<BytesMut>,
    },
    Open(Box<Endpoint>),
    Closed,
}

impl Dtls {
    /// `expected` is the SHA-256 fingerprint that the viewer's offer states.
    pub(crate) fn new(identity: Arc<Identity>, expected: String, role: Role) -> Self {
        let state = State::Waiting { hello: ClientHello::default(), early: Vec::new() };
        let (transmits, flight, is_through) = Default::default();
        let admission = Admission::new();
        Self { identity, expected, role, state, admission, transmits, flight, is_through }
    }

    /// There is a path: a client begins.
    pub(crate) fn start(&mut self, now: Instant) -> Result<(), Error> {
        if self.role == Role::Client && matches!(self.state, State::Waiting { .. }) {
            let config = self.config(&PROFILES)?;
            let mut endpoint = endpoint(None);
            endpoint.connect(now, VIEWER, config, None)?;
            self.state = State::Open(Box::new(endpoint));
            self.collect(now);
        }
        Ok(())
    }

    pub(crate) fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) -> Result<Vec<Step>, Error> {
        let datagrams = match &mut self.state {
            State::Closed => return Ok(Vec::new()),
            State::Open(_) => vec![BytesMut::from(datagram)],
            State::Waiting { .. } if self.role == Role::Client => return Ok(Vec::new()),
            State::Waiting { hello, early } => {
                let offered = hello.add(datagram);
                if early.len() == MAX_EARLY {
                    // Not one of the fragments of a hello: the viewer repeats those.
                    early.clear();
                }
                early.push(BytesMut::from(datagram));
                let Some(offered) = offered else { return Ok(Vec::new()) };
                let early = std::mem::take(early);
                let best = PROFILES.iter().position(|&profile| offered.contains(&(profile as u16)));
                let config = self.config(&PROFILES[best.unwrap_or(0)..][..1])?;
                self.state = State::Open(Box::new(endpoint(Some(config))));
                early
            }
        };
        let mut steps = Vec::new();
        for datagram in datagrams {
            let State::Open(endpoint) = &mut self.state else { return Ok(steps) };
            let datagram = self.admission.admit(&datagram);
            if datagram.is_empty() {
                continue;
            }
            let events = endpoint.read(now, VIEWER, None, datagram);
            self.collect(now);
            for event in events? {
                let State::Open(endpoint) = &mut self.state else { return Ok(steps) };
                match event {
                    EndpointEvent::HandshakeComplete => {
                        (self.flight, self.is_through) = (None, true);
                        self.admission.handshake_is_through();
                        let state =
                            endpoint.get_connection_state(VIEWER).ok_or(Error::HandshakeInProgress)?;
                        steps.push(Step::Keys(Box::new(Srtp::new(state, &self.identity.crypto)?)));
                    }
                    EndpointEvent::PeerClosed => {
                        (self.state, self.flight) = (State::Closed, None);
                        steps.push(Step::Closed);
                        return Ok(steps);
                    }
                    _ => {}
                }
            }
        }
        Ok(steps)
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if let Some(flight) = self.flight.as_mut().filter(|flight| flight.due <= now) {
            self.transmits.extend(flight.datagrams.iter().cloned());
            flight.wait = (2 * flight.wait).min(LAST_REPEAT);
            flight.due = now + flight.wait;
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.flight.as_ref().map(|flight| flight.due)
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Bytes> {
        self.transmits.pop_front()
    }

    /// Says goodbye.
    pub(crate) fn close(&mut self, now: Instant) {
        if let State::Open(endpoint) = &mut self.state {
            // Fails only where there is nobody to say it to.
            let _ = endpoint.close(now);
            self.collect(now);
        }
        (self.state, self.flight) = (State::Closed, None);
    }

    /// Takes over what is to be sent, and to be repeated unless the handshake is through.
    fn collect(&mut self, now: Instant) {
        let State::Open(endpoint) = &mut self.state else { return };
        let transmits = std::iter::from_fn(|| endpoint.poll_transmit());
        let datagrams: Vec<_> = transmits.map(|transmit| transmit.message.freeze()).collect();
        self.transmits.extend(datagrams.iter().cloned());
        if !datagrams.is_empty() && !self.is_through {
            self.flight = Some(Flight { datagrams, wait: FIRST_REPEAT, due: now + FIRST_REPEAT });
        }
    }

    fn config(&self, profiles: &[SrtpProtectionProfile]) -> Result<Arc<HandshakeConfig>, Error> {
        let (crypto, expected) = (Arc::clone(&self.identity.crypto), self.expected.clone());
        // The certificates of browsers are self-signed: what counts is that the offer named this one (RFC 8827).
        let verify = move |chain: &[Vec<u8>], _: &[_]| match chain.first() {
            Some(der) if fingerprint(&crypto, der)?.eq_ignore_ascii_case(&expected) => Ok(()),
            Some(_) => Err(Error::ErrNoMatchingCertificateFingerprint),
            None => Err(Error::ErrNonCertificate),
        };
        let config = ConfigBuilder::default()
            .with_crypto_provider(Arc::clone(&self.identity.crypto))
            .with_certificates(vec![self.identity.certificate.clone()])
            .with_srtp_protection_profiles(profiles.to_vec())
            .with_client_auth(ClientAuthType::RequireAnyClientCert)
            .with_insecure_skip_verify(true)
            .with_verify_peer_certificate(Some(Arc::new(verify)))
            .with_extended_master_secret(ExtendedMasterSecretType::Require)
            .build(self.role == Role::Client, None)?;
        Ok(Arc::new(config))
    }
}

fn endpoint(server: Option<Arc<HandshakeConfig>>) -> Endpoint {
    Endpoint::new(VIEWER, TransportProtocol::UDP, server)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
#[path = "dtls/tests.rs"]
mod tests;
