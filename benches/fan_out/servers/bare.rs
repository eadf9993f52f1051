//! The floor: for each receiver a copy, AES-128-GCM, and one segmented send (UDP GSO) a frame. No ICE, no DTLS, no
//! reports, no retransmission; keys are made of the receiver's port.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, anyhow};
use rtc::crypto::{AeadAlgorithm, AeadCipher, BlockCipherAlgorithm, RTCCrypto};

use super::MAX_PAYLOAD;
use crate::fan_out::film::{Film, nal_units};
use crate::fan_out::sockets::send_segmented;
use crate::fan_out::viewers::{Admission, Door, H264, Introduction};

const TAG: usize = 16;
const HEADER: usize = 12;
/// Labels of RFC 3711 section 4.3.2.
const LABEL_KEY: u8 = 0;
const LABEL_SALT: u8 = 2;
/// The kernel sends no more at once: 64 KiB, and so many segments.
const MAX_BYTES: usize = 65_000;
const MAX_SEGMENTS: usize = 64;

pub(super) fn serve(film: Film, hold: Duration) -> anyhow::Result<()> {
    let provider = rtc::crypto::default_provider().map_err(|error| anyhow!("{error}"))?;
    let arrivals = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    super::say(&format!("{} {}", arrivals.local_addr()?, socket.local_addr()?))?;
    let (newcomers, doorstep) = std::sync::mpsc::channel();
    std::thread::Builder::new().name("arrivals".to_owned()).spawn(move || {
        let mut port = [0; 2];
        while arrivals.recv(&mut port).is_ok() {
            let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, u16::from_be_bytes(port));
            let _ = newcomers.send(address);
        }
    })?;
    let mut receivers: Vec<Receiver> = Vec::new();
    let (mut buffer, wanted) = (Vec::with_capacity(1 << 16), AtomicBool::new(false));
    film.play(hold, &wanted, |frame| {
        receivers.extend(doorstep.try_iter().filter_map(|address| Receiver::new(address, provider.crypto())));
        let payloads = packetise(&frame.annex_b);
        for receiver in &mut receivers {
            if frame.key || receiver.has_begun {
                receiver.has_begun = true;
                receiver.send(&socket, &payloads, frame.rtp_time, &mut buffer);
            }
        }
    });
    Ok(())
}

struct Receiver {
    address: SocketAddrV4,
    cipher: Box<dyn AeadCipher>,
    salt: [u8; 12],
    index: u64,
    has_begun: bool,
}

struct Payload<'a> {
    /// Of a fragment (FU-A).
    prefix: Option<[u8; 2]>,
    data: &'a [u8],
}

impl Receiver {
    fn new(address: SocketAddrV4, crypto: &dyn RTCCrypto) -> Option<Self> {
        let (key, salt) = master(address.port());
        let key: [u8; 16] = derive(crypto, &key, &salt, LABEL_KEY)?;
        let cipher = crypto.new_aead(AeadAlgorithm::Aes128Gcm, &key).ok()?;
        let salt = derive(crypto, &master(address.port()).0, &salt, LABEL_SALT)?;
        Some(Self { address, cipher, salt, index: 0, has_begun: false })
    }

    fn send(&mut self, socket: &UdpSocket, payloads: &[Payload<'_>], rtp_time: u32, buffer: &mut Vec<u8>) {
        let (mut segment, mut segments) = (0, 0);
        buffer.clear();
        for (number, payload) in payloads.iter().enumerate() {
            let length = HEADER + payload.len() + TAG;
            let is_full = segments == MAX_SEGMENTS || buffer.len() + length > MAX_BYTES;
            // All segments of a send are of one size, but the last may be shorter.
            if segments > 0 && (is_full || length > segment || buffer.len() != segments * segment) {
                self.flush(socket, buffer, segment);
                segments = 0;
            }
            if segments == 0 {
                segment = length;
            }
            self.seal(payload, number + 1 == payloads.len(), rtp_time, buffer);
            segments += 1;
        }
        self.flush(socket, buffer, segment);
    }

    fn seal(&mut self, payload: &Payload<'_>, marker: bool, rtp_time: u32, buffer: &mut Vec<u8>) {
        let ssrc = u32::from(self.address.port());
        let mut header = [0x80, u8::from(marker) << 7 | H264, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        header[2..4].copy_from_slice(&(self.index as u16).to_be_bytes());
        header[4..8].copy_from_slice(&rtp_time.to_be_bytes());
        header[8..].copy_from_slice(&ssrc.to_be_bytes());
        let start = buffer.len();
        buffer.extend_from_slice(&header);
        buffer.extend_from_slice(payload.prefix.as_ref().map_or(&[], |prefix| &prefix[..]));
        buffer.extend_from_slice(payload.data);
        // RFC 7714 section 8.1.
        let mut nonce = [0; 12];
        nonce[2..6].copy_from_slice(&ssrc.to_be_bytes());
        nonce[6..].copy_from_slice(&self.index.to_be_bytes()[2..]);
        nonce.iter_mut().zip(&self.salt).for_each(|(byte, salt)| *byte ^= salt);
        let mut tag = [0; TAG];
        let (associated, plain) = buffer[start..].split_at_mut(HEADER);
        if self.cipher.seal_in_place(&nonce, associated, plain, &mut tag).is_ok() {
            buffer.extend_from_slice(&tag);
        }
        self.index += 1;
    }

    fn flush(&self, socket: &UdpSocket, buffer: &mut Vec<u8>, segment: usize) {
        // A receiver that is gone is noticed by whoever counts.
        let _ = send_segmented(socket, self.address, buffer, segment as u16);
        buffer.clear();
    }
}

impl Payload<'_> {
    fn len(&self) -> usize {
        self.prefix.map_or(0, |prefix| prefix.len()) + self.data.len()
    }
}

/// RFC 6184: fragments of equal size.
fn packetise(annex_b: &[u8]) -> Vec<Payload<'_>> {
    const DELIMITER: u8 = 9;
    let mut payloads = Vec::new();
    for nal in nal_units(annex_b)
        .map(|nal| &annex_b[nal])
        .filter(|nal| nal.first().is_some_and(|header| header & 0x1f != DELIMITER))
    {
        let Some((&header, body)) = nal.split_first().filter(|_| nal.len() > MAX_PAYLOAD) else {
            payloads.push(Payload { prefix: None, data: nal });
            continue;
        };
        let size = body.len().div_ceil(body.len().div_ceil(MAX_PAYLOAD - 2));
        let last = body.chunks(size).count() - 1;
        payloads.extend(body.chunks(size).enumerate().map(|(number, data)| {
            let ends = u8::from(number == 0) << 7 | u8::from(number == last) << 6;
            Payload { prefix: Some([header & 0x60 | 28, ends | header & 0x1f]), data }
        }));
    }
    payloads
}

/// Key and salt of whoever receives at this port.
fn master(port: u16) -> (Vec<u8>, Vec<u8>) {
    let bytes = |len: usize, seed: u8| {
        (0..len).map(|i| port.to_be_bytes()[i % 2] ^ seed.wrapping_mul(i as u8)).collect()
    };
    (bytes(16, 29), bytes(12, 71))
}

/// RFC 3711 section 4.3.3 with a key derivation rate of zero (RFC 7714 section 11).
fn derive<const LEN: usize>(crypto: &dyn RTCCrypto, key: &[u8], salt: &[u8], label: u8) -> Option<[u8; LEN]> {
    let mut block = [0; 16];
    block[..salt.len()].copy_from_slice(salt);
    block[7] ^= label;
    crypto.block_encrypt(BlockCipherAlgorithm::Aes128, key, &mut block).ok()?;
    block[..LEN].try_into().ok()
}

/// The door.
pub(super) struct Keeper {
    socket: UdpSocket,
    /// Takes the ports of those who are to receive.
    arrivals: SocketAddr,
    server: SocketAddr,
}

impl Keeper {
    pub(super) fn new(said: &str) -> anyhow::Result<Self> {
        let (arrivals, server) = said.split_once(' ').context("no two addresses")?;
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        Ok(Self { socket, arrivals: arrivals.parse()?, server: server.parse()? })
    }
}

impl Door for Keeper {
    fn enter(&mut self, viewer: &Introduction) -> anyhow::Result<Admission> {
        self.socket.send_to(&viewer.address.port().to_be_bytes(), self.arrivals)?;
        let (key, salt) = master(viewer.address.port());
        Ok(Admission::Keys { server: self.server, key, salt })
    }
}
