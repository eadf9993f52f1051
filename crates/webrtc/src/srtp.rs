//! SRTP (RFC 3711) with the keys of one viewer's handshake.
//!
//! RTP by AES-128-GCM (RFC 7714) is sealed here, in the buffer that is sent: `rtc-srtp` copies each packet into a new
//! buffer and looks up its SSRC twice, which costs as much again as the cipher. Everything else is `rtc-srtp`'s: RTCP,
//! and RTP for viewers that have no GCM.

use std::sync::Arc;

use rtc::crypto::{AeadAlgorithm, AeadCipher, BlockCipherAlgorithm, RTCCrypto, RTCCryptoProvider};
use rtc::dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc::dtls::state::State;
use rtc::shared::error::Error;
use rtc::shared::marshal::Unmarshal;
use rtc::srtp::config::{Config, LABEL_EXTRACTOR_DTLS_SRTP, SessionKeys};
use rtc::srtp::context::Context;
use rtc::srtp::option::srtcp_replay_protection;
use rtc::srtp::protection_profile::ProtectionProfile;

const GCM_TAG: usize = 16;
/// Of SRTCP with HMAC-SHA1-80.
const HMAC_TAG: usize = 10;
/// Of SRTCP.
const INDEX: usize = 4;
const REPLAY_WINDOW: usize = 64;
/// Sources of the viewer's RTCP: browsers have one, or two.
const MAX_SOURCES: usize = 8;
/// Packets of unknown sources that are tried with one context.
const MAX_TRIES: usize = 64;
/// Labels of RFC 3711 section 4.3.2.
const LABEL_RTP_KEY: u8 = 0;
const LABEL_RTP_SALT: u8 = 2;

pub(crate) struct Srtp {
    rtp: Rtp,
    /// Our RTCP, and our RTP where it is not GCM.
    outbound: Context,
    /// The viewer's RTCP, of the sources that have been authenticated.
    inbound: Context,
    sources: Vec<u32>,
    unknown: Unknown,
}

/// Opens the first packets of sources. The library begins to remember a source before it knows whether the packet is the
/// viewer's; so whoever knows the viewer's address could fill the memory, were this one not made anew time and again.
struct Unknown {
    keys: Keys,
    context: Context,
    tries: usize,
}

struct Keys {
    master_key: Vec<u8>,
    master_salt: Vec<u8>,
    profile: ProtectionProfile,
    crypto: Arc<dyn RTCCryptoProvider>,
}

impl Keys {
    fn context(&self) -> Result<Context, Error> {
        let replays = Some(srtcp_replay_protection(REPLAY_WINDOW));
        let Self { master_key, master_salt, profile, crypto } = self;
        Context::new(master_key, master_salt, *profile, None, replays, crypto.crypto())
    }
}

impl Unknown {
    fn new(keys: Keys) -> Result<Self, Error> {
        Ok(Self { context: keys.context()?, keys, tries: 0 })
    }

    fn is_the_viewers(&mut self, packet: &[u8]) -> Result<(), Error> {
        if self.tries == MAX_TRIES {
            (self.context, self.tries) = (self.keys.context()?, 0);
        }
        self.tries += 1;
        self.context.decrypt_rtcp(packet).map(|_| ())
    }
}

enum Rtp {
    Gcm { cipher: Box<dyn AeadCipher>, salt: [u8; 12] },
    ByContext,
}

/// What numbers a packet for the cipher.
#[derive(Clone, Copy)]
pub(crate) struct PacketId {
    pub(crate) ssrc: u32,
    /// Sequence number with its rollovers: 48 bits (RFC 3711 section 3.3.1).
    pub(crate) index: u64,
}

impl Srtp {
    pub(crate) fn new(handshake: &State, crypto: &Arc<dyn RTCCryptoProvider>) -> Result<Self, Error> {
        let profile = match handshake.srtp_protection_profile() {
            SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm => ProtectionProfile::AeadAes128Gcm,
            SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
            _ => return Err(Error::ErrNoSuchSrtpProfile),
        };
        let mut config = Config { profile, ..Config::default() };
        let len = config.keying_material_len();
        let material = handshake.export_keying_material(LABEL_EXTRACTOR_DTLS_SRTP, &[], len)?;
        config.set_session_keys_from_keying_material(material.as_ref(), handshake.is_client())?;
        Self::from_keys(&config.keys, profile, crypto)
    }

    pub(crate) fn from_keys(
        keys: &SessionKeys,
        profile: ProtectionProfile,
        provider: &Arc<dyn RTCCryptoProvider>,
    ) -> Result<Self, Error> {
        let crypto = provider.crypto();
        let (key, salt) = (&keys.local_master_key, &keys.local_master_salt);
        let rtp = match profile {
            ProtectionProfile::AeadAes128Gcm => {
                let session_key: [u8; 16] = derive(crypto, key, salt, LABEL_RTP_KEY)?;
                let cipher = crypto
                    .new_aead(AeadAlgorithm::Aes128Gcm, &session_key)
                    .map_err(|error| Error::Other(error.to_string()))?;
                Rtp::Gcm { cipher, salt: derive(crypto, key, salt, LABEL_RTP_SALT)? }
            }
            _ => Rtp::ByContext,
        };
        let outbound = Context::new(key, salt, profile, None, None, crypto)?;
        let theirs = Keys {
            master_key: keys.remote_master_key.clone(),
            master_salt: keys.remote_master_salt.clone(),
            profile,
            crypto: Arc::clone(provider),
        };
        let (inbound, sources) = (theirs.context()?, Vec::new());
        Ok(Self { rtp, outbound, inbound, sources, unknown: Unknown::new(theirs)? })
    }

    /// Seals the packet that stands in `buffer` from `start` on, with a header of `header` bytes.
    pub(crate) fn seal(
        &mut self,
        buffer: &mut Vec<u8>,
        start: usize,
        header: usize,
        id: PacketId,
    ) -> Result<(), Error> {
        match &mut self.rtp {
            Rtp::Gcm { cipher, salt } => {
                let (associated, payload) = buffer[start..].split_at_mut(header);
                let mut tag = [0; GCM_TAG];
                cipher
                    .seal_in_place(&nonce(salt, id), associated, payload, &mut tag)
                    .map_err(|error| Error::Other(error.to_string()))?;
                buffer.extend_from_slice(&tag);
            }
            Rtp::ByContext => {
                let parsed = rtc::rtp::Header::unmarshal(&mut &buffer[start..])?;
                let sealed = self.outbound.encrypt_rtp_with_header(&buffer[start..], &parsed)?;
                buffer.truncate(start);
                buffer.extend_from_slice(&sealed);
            }
        }
        Ok(())
    }

    pub(crate) fn seal_rtcp(&mut self, packet: &[u8]) -> Result<Vec<u8>, Error> {
        self.outbound.encrypt_rtcp(packet).map(Into::into)
    }

    pub(crate) fn open_rtcp(&mut self, packet: &[u8]) -> Result<bytes::Bytes, Error> {
        let source = packet.get(4..8).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
        let source = source.ok_or(Error::ErrTooShortRtcp)?;
        // The flag of encryption stands in the index, which the tag follows, but not that of GCM. Without it rtc-srtp 0.21
        // takes a packet of AES-CM for the viewer's and looks at no tag; WebRTC has no RTCP in the clear (RFC 8827).
        let index = INDEX + if matches!(self.rtp, Rtp::Gcm { .. }) { 0 } else { HMAC_TAG };
        let flags = packet.len().checked_sub(index).map_or(0, |at| packet[at]);
        if flags & 0x80 == 0 {
            return Err(Error::ErrFailedToVerifyAuthTag);
        }
        if !self.sources.contains(&source) {
            if self.sources.len() == MAX_SOURCES {
                return Err(Error::ErrFailedToVerifyAuthTag);
            }
            self.unknown.is_the_viewers(packet)?;
            self.sources.push(source);
        }
        self.inbound.decrypt_rtcp(packet).map(bytes::BytesMut::freeze)
    }
}

/// RFC 7714 section 8.1: two zero octets, SSRC, rollover counter and sequence number, over the salt.
fn nonce(salt: &[u8; 12], id: PacketId) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[2..6].copy_from_slice(&id.ssrc.to_be_bytes());
    nonce[6..].copy_from_slice(&id.index.to_be_bytes()[2..]);
    nonce.iter_mut().zip(salt).for_each(|(byte, salt)| *byte ^= salt);
    nonce
}

/// RFC 3711 section 4.3.3 with a key derivation rate of zero; the shorter salt of GCM stands left (RFC 7714 section 11).
fn derive<const LEN: usize>(
    crypto: &dyn RTCCrypto,
    master_key: &[u8],
    master_salt: &[u8],
    label: u8,
) -> Result<[u8; LEN], Error> {
    let mut block = [0; 16];
    block[..master_salt.len()].copy_from_slice(master_salt);
    block[7] ^= label;
    crypto
        .block_encrypt(BlockCipherAlgorithm::Aes128, master_key, &mut block)
        .map_err(|error| Error::Other(error.to_string()))?;
    let mut derived = [0; LEN];
    derived.copy_from_slice(&block[..LEN]);
    Ok(derived)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn keys(profile: ProtectionProfile) -> SessionKeys {
        let bytes = |len: usize, seed: u8| (0..len).map(|i| seed.wrapping_add(i as u8 * 7)).collect();
        SessionKeys {
            local_master_key: bytes(profile.key_len(), 3),
            local_master_salt: bytes(profile.salt_len(), 101),
            remote_master_key: bytes(profile.key_len(), 55),
            remote_master_salt: bytes(profile.salt_len(), 201),
        }
    }

    /// Our packets as the library's own receiver opens them, over a rollover of the sequence number.
    fn check(profile: ProtectionProfile) {
        let provider = rtc::crypto::default_provider().unwrap();
        let keys = keys(profile);
        let mut ours = Srtp::from_keys(&keys, profile, &provider).unwrap();
        let (key, salt) = (&keys.local_master_key, &keys.local_master_salt);
        let mut theirs = Context::new(key, salt, profile, None, None, provider.crypto()).unwrap();
        for index in 0xfff0_u64..0x1_0010 {
            let mut packet = vec![0xff; 3];
            packet.extend([0x80, 0x60]);
            packet.extend((index as u16).to_be_bytes());
            packet.extend([0, 0, 1, 0, 0xaa, 0xbb, 0xcc, 0xdd]);
            packet.extend((0..1000).map(|i| (i + index) as u8));
            let plain = packet[3..].to_vec();
            ours.seal(&mut packet, 3, 12, PacketId { ssrc: 0xaabb_ccdd, index }).unwrap();
            assert_eq!(packet[3..15], plain[..12], "the header is in the clear");
            assert_eq!(theirs.decrypt_rtp(&packet[3..]).unwrap()[..], plain, "{index:#x}");
        }
    }

    #[test]
    fn what_is_sealed_by_gcm_opens_on_the_other_side() {
        check(ProtectionProfile::AeadAes128Gcm);
    }

    #[test]
    fn what_is_sealed_by_cm_opens_on_the_other_side() {
        check(ProtectionProfile::Aes128CmHmacSha1_80);
    }

    /// A receiver report as the viewer seals it.
    fn report(viewer: &mut Context, source: u32) -> Vec<u8> {
        viewer.encrypt_rtcp(&[&[0x80, 201, 0, 1][..], &source.to_be_bytes()].concat()).unwrap().to_vec()
    }

    fn check_sources(profile: ProtectionProfile) {
        let provider = rtc::crypto::default_provider().unwrap();
        let keys = keys(profile);
        let mut ours = Srtp::from_keys(&keys, profile, &provider).unwrap();
        let (key, salt) = (&keys.remote_master_key, &keys.remote_master_salt);
        let mut viewer = Context::new(key, salt, profile, None, None, provider.crypto()).unwrap();
        let made_up =
            |source: u32, byte: u8| [&[0x80, 201, 0, 1][..], &source.to_be_bytes(), &[byte; 40]].concat();
        for source in 0..1000 {
            assert!(ours.open_rtcp(&made_up(source, 7)).is_err(), "it says that it is in the clear");
            assert!(ours.open_rtcp(&made_up(source, 0x87)).is_err());
            assert!(ours.unknown.tries <= MAX_TRIES);
        }
        assert!(ours.sources.is_empty(), "nothing is remembered of whoever has no keys");
        let first = report(&mut viewer, 500);
        assert!(ours.open_rtcp(&first).is_ok());
        assert!(ours.open_rtcp(&first).is_err(), "a replay of a first packet is one");
        for source in 0..100 {
            assert_eq!(ours.open_rtcp(&report(&mut viewer, source)).is_ok(), source < 7, "{source}");
        }
        assert_eq!(ours.sources.len(), MAX_SOURCES);
        (0..200).for_each(|_| assert!(ours.open_rtcp(&report(&mut viewer, 500)).is_ok()));
    }

    #[test]
    fn sources_are_remembered_once_they_are_authenticated_and_only_a_few() {
        check_sources(ProtectionProfile::AeadAes128Gcm);
        check_sources(ProtectionProfile::Aes128CmHmacSha1_80);
    }

    #[test]
    fn a_packet_sealed_again_is_the_same_packet() {
        let provider = rtc::crypto::default_provider().unwrap();
        let profile = ProtectionProfile::AeadAes128Gcm;
        let mut srtp = Srtp::from_keys(&keys(profile), profile, &provider).unwrap();
        let sealed = [0, 1].map(|_| {
            let mut packet = vec![0x80, 0x60, 0, 7, 0, 0, 0, 1, 0, 0, 0, 2, 42];
            srtp.seal(&mut packet, 0, 12, PacketId { ssrc: 2, index: 7 }).unwrap();
            packet
        });
        assert_eq!(sealed[0], sealed[1]);
    }
}
