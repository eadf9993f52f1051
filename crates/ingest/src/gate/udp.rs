//! The two ports that a camera sends RTP and RTCP to (RFC 3550 section 11, RFC 2326 section 12.39). What comes is
//! handed on as it is; order and losses are the matter of [`super::reorder`].

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rtc_rtcp::packet::Packet;
use rtc_rtcp::receiver_report::ReceiverReport;
use rtc_rtcp::reception_report::ReceptionReport;
use rtc_rtcp::source_description::{
    SdesType, SourceDescription, SourceDescriptionChunk, SourceDescriptionItem,
};
use socket2::SockRef;
use tokio::net::UdpSocket;

use super::reorder::Block;

/// How often a camera is told how its packets come (RFC 3550 section 6.2). Some stop sending when they hear nothing.
pub(crate) const REPORT_EVERY: Duration = Duration::from_secs(5);
/// Ports are tried until an even one with a free neighbour is found.
const PORT_TRIES: usize = 64;
/// A key frame of a camera with a large picture comes in one burst. The system may give less.
const RECEIVE_BUFFER: usize = 2 << 20;
/// Packets from a port that was not announced, after which what we send goes there.
const PROBATION: u32 = 2;
/// The largest datagram there is.
const LARGEST: usize = 65_535;

/// Which of the two ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channel {
    Rtp,
    Rtcp,
}

/// The pair of one stream: [`UdpPair::bind`], then [`UdpPair::set_peer`] with what SETUP answered, [`UdpPair::punch`]
/// around PLAY, and [`UdpPair::try_recv`] from then on, when [`UdpPair::readable`] says so.
#[derive(Debug)]
pub(crate) struct UdpPair {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    ports: (u16, u16),
    ssrc: u32,
    camera: Option<Camera>,
    buffer: Vec<u8>,
    strangers: u64,
}

#[derive(Debug)]
struct Camera {
    /// With the scope of an IPv6 address that is known on one link only.
    address: SocketAddr,
    /// The address it says that it sends from, if it says so.
    source: Option<IpAddr>,
    rtp: Port,
    rtcp: Port,
}

/// Where to send to. Cameras announce ports that they do not use (<https://github.com/bluenviron/mediamtx/issues/698>),
/// or none (<https://github.com/bluenviron/mediamtx/issues/407>), or change them.
#[derive(Debug, Default)]
struct Port {
    /// 0 as long as it is not known.
    current: u16,
    candidate: Option<(u16, u32)>,
}

impl UdpPair {
    /// Binds an even port and the next one on the address that the camera is connected to from.
    ///
    /// # Errors
    /// If there is no such pair.
    pub(crate) fn bind(local: SocketAddr) -> io::Result<Self> {
        let mut refused = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..PORT_TRIES {
            let rtp = socket(local, 0)?;
            let port = rtp.local_addr()?.port();
            if !port.is_multiple_of(2) {
                continue;
            }
            match socket(local, port + 1) {
                Ok(rtcp) => {
                    return Ok(Self {
                        rtp,
                        rtcp,
                        ports: (port, port + 1),
                        ssrc: rand::random(),
                        camera: None,
                        buffer: vec![0; LARGEST],
                        strangers: 0,
                    });
                }
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// Ours, for the `Transport` header.
    pub(crate) fn ports(&self) -> (u16, u16) {
        self.ports
    }

    /// Whom packets are accepted from, and the ports that it announced; 0 for one that it did not. A `source` of its own is
    /// believed as far as listening goes: behind NAT and in containers cameras name an address that is theirs only inside,
    /// and none shall have us send to whom it likes.
    pub(crate) fn set_peer(&mut self, camera: SocketAddr, source: Option<IpAddr>, (rtp, rtcp): (u16, u16)) {
        let port = |current| Port { current, candidate: None };
        let source = source.map(|source| source.to_canonical());
        self.camera = Some(Camera { address: camera, source, rtp: port(rtp), rtcp: port(rtcp) });
    }

    /// Waits until there may be a datagram. Cancel safe.
    ///
    /// # Errors
    /// If a socket is broken.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        tokio::select! {
            readable = self.rtp.readable() => readable,
            readable = self.rtcp.readable() => readable,
        }
    }

    /// A datagram of the camera that is already there, so that all of them can be handed in before time is let pass.
    /// Those of anybody else are counted and dropped: whoever can send to this port must not put a picture on the wall.
    /// Which of its ports the camera sends from is its own affair; whose stream the packets are of is told by their
    /// SSRC.
    ///
    /// # Errors
    /// If a socket is broken.
    pub(crate) fn try_recv(&mut self) -> io::Result<Option<(Channel, Vec<u8>)>> {
        // The rare ones first, so that a burst of pictures does not keep them waiting.
        for channel in [Channel::Rtcp, Channel::Rtp] {
            loop {
                let socket = if channel == Channel::Rtp { &self.rtp } else { &self.rtcp };
                let (length, from) = match socket.try_recv_from(&mut self.buffer) {
                    Ok(received) => received,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                };
                let Some(camera) = self.camera.as_mut().filter(|known| known.sends_from(from)) else {
                    self.strangers += 1;
                    continue;
                };
                let port = if channel == Channel::Rtp { &mut camera.rtp } else { &mut camera.rtcp };
                port.heard_from(from.port());
                return Ok(Some((channel, self.buffer[..length].to_vec())));
            }
        }
        Ok(None)
    }

    /// Datagrams of others.
    pub(crate) fn strangers(&self) -> u64 {
        self.strangers
    }

    /// Sends to both ports of the camera, so that a firewall between us expects its packets: an RTP packet without
    /// payload, and a report about nothing.
    pub(crate) async fn punch(&self) {
        let mut rtp = [0; 12];
        rtp[0] = 0x80;
        rtp[8..].copy_from_slice(&self.ssrc.to_be_bytes());
        if let Some(to) = self.camera.as_ref().and_then(Camera::rtp) {
            // A camera that is unreachable now is noticed by its silence.
            let _ = self.rtp.send_to(&rtp, to).await;
        }
        self.report(None).await;
    }

    /// Tells the camera how its packets come.
    pub(crate) async fn report(&self, block: Option<Block>) {
        if let Some(report) = receiver_report(self.ssrc, block) {
            self.send_rtcp(&report).await;
        }
    }

    /// Tells the camera that nobody listens any more.
    pub(crate) async fn goodbye(&self) {
        let goodbye = rtc_rtcp::goodbye::Goodbye { sources: vec![self.ssrc], ..Default::default() };
        if let Ok(bytes) = rtc_rtcp::packet::marshal(&[empty_report(self.ssrc), Box::new(goodbye)]) {
            self.send_rtcp(&bytes).await;
        }
    }

    async fn send_rtcp(&self, bytes: &[u8]) {
        if let Some(to) = self.camera.as_ref().and_then(Camera::rtcp) {
            let _ = self.rtcp.send_to(bytes, to).await;
        }
    }
}

impl Camera {
    fn sends_from(&self, from: SocketAddr) -> bool {
        let address = from.ip().to_canonical();
        let is_itself = self.address.ip().to_canonical() == address && scope(self.address) == scope(from);
        is_itself || self.source == Some(address)
    }

    fn rtp(&self) -> Option<SocketAddr> {
        (self.rtp.current != 0).then(|| at_port(self.address, self.rtp.current))
    }

    fn rtcp(&self) -> Option<SocketAddr> {
        (self.rtcp.current != 0).then(|| at_port(self.address, self.rtcp.current))
    }
}

impl Port {
    fn heard_from(&mut self, port: u16) {
        if port == self.current {
            self.candidate = None;
            return;
        }
        let heard = match self.candidate {
            Some((known, heard)) if known == port => heard + 1,
            _ => 1,
        };
        if heard >= PROBATION || self.current == 0 {
            *self = Self { current: port, candidate: None };
        } else {
            self.candidate = Some((port, heard));
        }
    }
}

/// Another port of the same address on the same link.
fn at_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}

/// The link that an address is known on (RFC 4007); 0 for those known everywhere.
fn scope(address: SocketAddr) -> u32 {
    match address {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(address) => address.scope_id(),
    }
}

fn socket(local: SocketAddr, port: u16) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind(at_port(local, port))?;
    socket.set_nonblocking(true)?;
    let _ = SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER);
    UdpSocket::from_std(socket)
}

fn empty_report(ssrc: u32) -> Box<dyn Packet> {
    Box::new(ReceiverReport { ssrc, ..Default::default() })
}

/// A report with the name that every compound packet must have (RFC 3550 section 6.1).
fn receiver_report(ssrc: u32, block: Option<Block>) -> Option<Vec<u8>> {
    let reports = block.map(|block| ReceptionReport {
        ssrc: block.ssrc,
        fraction_lost: block.fraction_lost,
        total_lost: block.total_lost as u32 & 0xff_ffff,
        last_sequence_number: block.highest,
        jitter: block.jitter,
        last_sender_report: block.last_sender_report,
        delay: block.delay,
    });
    let report = ReceiverReport { ssrc, reports: reports.into_iter().collect(), ..Default::default() };
    let name = SourceDescriptionItem { sdes_type: SdesType::SdesCname, text: "wallcast".into() };
    let names =
        SourceDescription { chunks: vec![SourceDescriptionChunk { source: ssrc, items: vec![name] }] };
    rtc_rtcp::packet::marshal(&[Box::new(report), Box::new(names)]).ok().map(Vec::from)
}

#[cfg(test)]
mod tests;
