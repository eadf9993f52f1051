//! A session over UDP: the ports, the order of what comes through them, and the reports that cameras want to hear.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::gate::impairment::Impairment;
use crate::gate::reorder::{Path, Reception, Reorder};
use crate::gate::rtp::Header;
use crate::gate::udp::{Channel, REPORT_EVERY, UdpPair};
use crate::record::Record;
use crate::session::watchdog::FIRST_ACCESS_UNIT;

/// RFC 6184, RFC 7798, RFC 2435: the clock of every video.
const CLOCK_RATE: u32 = 90_000;
/// Firewalls and routers that let nothing through say nothing about it. A camera that is slow to start its encoder has
/// begun by then.
pub(super) const DEAD_AFTER: Duration = FIRST_ACCESS_UNIT;
/// Bytes taken at a time, so that a flood does not keep the rest waiting; an empty datagram counts, too.
const BATCH: usize = 256 * 1024;
const PER_DATAGRAM: usize = 256;

/// The stream's datagrams. Calling order: [`Udp::bind`], [`Udp::begin`], [`Udp::play`], and then, whenever there are datagrams or
/// time has passed, [`Udp::receive`] and [`Udp::poll`] until nothing is left.
pub(super) struct Udp {
    pair: UdpPair,
    reorder: Reorder,
    reception: Reception,
    /// RTCP that came, in no need of order.
    reports: VecDeque<Vec<u8>>,
    next_report: Instant,
    is_playing: bool,
    /// When the camera is to have sent something, as long as it has not.
    dead_at: Option<Instant>,
    counted: Figures,
}

/// What is in the record already.
#[derive(Default)]
struct Figures {
    reordered: u64,
    duplicates: u64,
    strangers: u64,
}

impl Udp {
    pub(super) fn bind(local: SocketAddr, now: Instant) -> io::Result<Self> {
        Ok(Self {
            pair: UdpPair::bind(local)?,
            reorder: Reorder::default(),
            reception: Reception::new(CLOCK_RATE, now),
            reports: VecDeque::new(),
            next_report: now + REPORT_EVERY,
            is_playing: false,
            dead_at: None,
            counted: Figures::default(),
        })
    }

    /// Ours, for RTP and RTCP.
    pub(super) fn ports(&self) -> (u16, u16) {
        self.pair.ports()
    }

    /// The camera will send from there.
    pub(super) async fn begin(
        &mut self,
        camera: SocketAddr,
        source: Option<IpAddr>,
        ports: Option<(u16, u16)>,
    ) {
        self.pair.set_peer(camera, source, ports.unwrap_or_default());
        self.pair.punch().await;
    }

    /// The camera says that it plays.
    pub(super) fn play(&mut self, now: Instant) {
        if !std::mem::replace(&mut self.is_playing, true) {
            self.dead_at = Some(now + DEAD_AFTER);
        }
    }

    pub(super) fn next_deadline(&self) -> Instant {
        let others = self.dead_at.into_iter().chain(self.reorder.next_deadline());
        others.fold(self.next_report, Instant::min)
    }

    pub(super) async fn handle_timeout(&mut self, now: Instant) {
        if self.next_report <= now {
            self.next_report = now + REPORT_EVERY;
            self.pair.report(self.reception.report(now)).await;
        }
    }

    /// Takes what waits in the ports.
    pub(super) fn receive(&mut self, now: Instant) -> io::Result<()> {
        let mut bytes = 0;
        while bytes < BATCH {
            match self.pair.try_recv()? {
                Some((Channel::Rtp, packet)) => {
                    bytes += packet.len() + PER_DATAGRAM;
                    if let Some(header) = Header::parse(&packet) {
                        self.reception.handle(now, &header);
                    }
                    self.dead_at = None;
                    self.reorder.handle(now, packet);
                }
                Some((Channel::Rtcp, packet)) => {
                    bytes += packet.len() + PER_DATAGRAM;
                    if let Some(ntp_time) = sender_report(&packet) {
                        self.reception.handle_sender_report(now, ntp_time);
                    }
                    self.reports.push_back(packet);
                }
                None => break,
            }
        }
        Ok(())
    }

    /// Whether nothing has arrived though something should have by now. Said once.
    pub(super) fn is_dead(&mut self, now: Instant) -> bool {
        self.dead_at.take_if(|dead_at| *dead_at <= now).is_some()
    }

    /// Takes and forgets what comes before the stream plays.
    pub(super) fn discard(&mut self) {
        while let Ok(Some(_)) = self.pair.try_recv() {}
    }

    /// The next packet, and whether it is RTP.
    pub(super) fn poll(&mut self, now: Instant) -> Option<(Vec<u8>, bool)> {
        if let Some(report) = self.reports.pop_front() {
            return Some((report, false));
        }
        self.reorder.poll(now).map(|packet| (packet, true))
    }

    /// Brings the record up to date, and says whether UDP is good enough.
    pub(super) fn count(&mut self, record: &Record, now: Instant) -> Path {
        let figures = Figures {
            reordered: self.reorder.reordered(),
            duplicates: self.reorder.duplicates(),
            strangers: self.pair.strangers(),
        };
        record.count(Impairment::ReorderedPackets, figures.reordered - self.counted.reordered);
        record.count(Impairment::DuplicatePackets, figures.duplicates - self.counted.duplicates);
        record.count(Impairment::StrayPackets, figures.strangers - self.counted.strangers);
        self.counted = figures;
        self.reorder.losses(now).path
    }

    pub(super) async fn goodbye(&self) {
        self.pair.goodbye().await;
    }
}

/// The NTP time of a sender report, which begins every compound packet of a sender (RFC 3550 section 6.4.1).
fn sender_report(packet: &[u8]) -> Option<u64> {
    let time = packet.get(8..16)?.try_into().ok()?;
    (packet[1] == 200).then_some(u64::from_be_bytes(time))
}

/// Waits until a port has something.
pub(super) async fn wait_for_datagrams(udp: Option<&Udp>) -> io::Result<()> {
    match udp {
        Some(udp) => udp.pair.readable().await,
        None => std::future::pending().await,
    }
}
