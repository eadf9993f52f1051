//! One viewer, without sockets and clocks: datagrams and frames in, datagrams out.
//!
//! Whoever runs it calls `handle_*` and then takes everything out of [`Peer::poll_transmit`] and [`Peer::poll_event`],
//! and calls [`Peer::handle_timeout`] when [`Peer::poll_timeout`] has come. Frames go another way, because they are
//! many: [`Peer::begin`] numbers one, [`Peer::write`] seals parts of it for [`Peer::path`].

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng;

use crate::dtls::{Dtls, Identity, Role, Step};
use crate::feedback::{Feedback, Said};
use crate::gate::{Gate, Room, Verdict};
use crate::ice::message::is_stun;
use crate::ice::{Credentials, Heard, Ice};
use crate::packetise::PacketisedFrame;
use crate::path::Path;
use crate::sdp::Offer;
use crate::srtp::Srtp;
use crate::stats::{Counters, PeerState};
use crate::track::{Burst, Track, TrackIds};

/// From the first check to the end of the DTLS handshake, whose lost flights are repeated after 250 ms, 500 ms, 1 s.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);
/// Nothing heard for so long is shown; browsers check every 2.5 s and report every second.
const SILENT_AFTER: Duration = Duration::from_secs(7);
/// RFC 7675 section 5.1.
const CONSENT_EXPIRES: Duration = Duration::from_secs(30);
/// Sender reports; the first comes somewhere within this time, so that those of many viewers do not come together.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// What the runner is to do, or to know.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Datagrams that come this way are this viewer's.
    Path(Path),
    /// Frames may be sent.
    Connected,
    KeyFrameNeeded,
    /// The last event. What is left in [`Peer::poll_transmit`] is the goodbye.
    Ended(&'static str),
}

pub(crate) struct Peer {
    life: Life,
    ice: Ice,
    dtls: Dtls,
    srtp: Option<Box<Srtp>>,
    track: Track,
    feedback: Feedback,
    gate: Gate,
    counters: Arc<Counters>,
    /// Over which an authenticated check came.
    paths: Vec<Path>,
    /// Over which the viewer's last DTLS message came: answers take it as long as no path is nominated.
    dtls_path: Option<Path>,
    heard: Instant,
    next_report: Option<Instant>,
    transmits: VecDeque<(Path, Vec<u8>)>,
    events: VecDeque<Event>,
    again: Burst,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// No check has come yet.
    Waiting {
        until: Instant,
    },
    /// DTLS shakes hands, or no path is nominated.
    Securing {
        until: Instant,
    },
    Connected,
    Ended,
}

/// What a peer is made of.
pub(crate) struct Setup<'a> {
    pub(crate) now: Instant,
    pub(crate) offer: &'a Offer,
    pub(crate) identity: Arc<Identity>,
    pub(crate) credentials: Credentials,
    pub(crate) role: Role,
    pub(crate) ids: TrackIds,
    pub(crate) ice_timeout: Duration,
    pub(crate) counters: Arc<Counters>,
}

impl Peer {
    pub(crate) fn new(setup: Setup<'_>) -> Self {
        let Setup { now, offer, identity, credentials, role, ids, ice_timeout, counters } = setup;
        Self {
            life: Life::Waiting { until: now + ice_timeout },
            ice: Ice::new(Arc::clone(&identity.crypto), credentials, offer.credentials()),
            dtls: Dtls::new(identity, offer.fingerprint().to_owned(), role),
            srtp: None,
            track: Track::new(ids, offer.extensions().to_vec()),
            feedback: Feedback::new(ids.ssrc),
            gate: Gate::Joining,
            counters,
            paths: Vec::new(),
            dtls_path: None,
            heard: now,
            next_report: None,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            again: Burst::default(),
        }
    }

    /// Checks of connectivity are answered only.
    pub(crate) fn be_ice_lite(&mut self) {
        self.ice.be_lite();
    }

    pub(crate) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Where frames go; `None` while they cannot.
    pub(crate) fn path(&self) -> Option<Path> {
        self.ice.nominated().filter(|_| self.life == Life::Connected)
    }

    /// What is no message of this viewer's is passed over.
    pub(crate) fn handle_datagram(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        if self.life == Life::Ended {
            return;
        }
        // RFC 7983 section 7, RFC 5761 section 4.
        match *datagram {
            _ if is_stun(datagram) => self.handle_stun(now, path, datagram),
            _ if !self.paths.contains(&path) => {}
            [20..=63, ..] => self.handle_dtls(now, path, datagram),
            [128..=191, 192..=223, ..] => self.handle_rtcp(now, datagram),
            _ => {}
        }
        self.advance(now);
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        match self.life {
            Life::Waiting { until } if until <= now => return self.end(now, "ICE never started"),
            Life::Securing { until } if until <= now => {
                return self.end(now, "the DTLS handshake was not finished in time");
            }
            Life::Connected if self.consent_expires().is_none_or(|expires| expires <= now) => {
                return self.end(now, "the viewer fell silent");
            }
            Life::Ended => return,
            _ => {}
        }
        self.ice.handle_timeout(now);
        self.dtls.handle_timeout(now);
        if self.next_report.is_some_and(|due| due <= now) {
            self.report(now);
        }
        self.advance(now);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let life = match self.life {
            Life::Waiting { until } | Life::Securing { until } => Some(until),
            Life::Connected => {
                let silent = Some(self.heard + SILENT_AFTER).filter(|_| !self.is_silent());
                self.consent_expires().into_iter().chain(silent).min()
            }
            Life::Ended => return None,
        };
        [life, self.ice.poll_timeout(), self.dtls.poll_timeout(), self.next_report]
            .into_iter()
            .flatten()
            .min()
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<(Path, Vec<u8>)> {
        self.transmits.pop_front()
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Numbers the packets of a frame; how many there are to be written. None for a viewer that waits for a key frame,
    /// or that has no `room` on its way.
    pub(crate) fn begin(&mut self, now: Instant, frame: &Arc<PacketisedFrame>, room: Room) -> usize {
        if self.path().is_none() {
            return 0;
        }
        match self.gate.offer(frame.key, room) {
            Verdict::Pass => {
                self.counters.frame_sent(now, frame.len());
                self.next_report
                    .get_or_insert_with(|| now + REPORT_INTERVAL.mul_f64(rand::rng().random_range(0.0..1.0)));
                return self.track.begin(now, frame);
            }
            Verdict::NotYet => {}
            verdict @ (Verdict::Dropped | Verdict::DroppedAsk) => {
                self.counters.frames_dropped(1);
                if verdict == Verdict::DroppedAsk {
                    self.events.push_back(Event::KeyFrameNeeded);
                }
            }
        }
        0
    }

    /// Seals a part of the frame that was begun last.
    pub(crate) fn write(&mut self, now: Instant, range: Range<usize>, burst: &mut Burst) {
        let Some(srtp) = &mut self.srtp else { return };
        if self.track.write(range, srtp, burst).is_err() {
            self.end(now, "its packets could not be encrypted");
        }
    }

    /// New credentials on both sides; media goes on meanwhile.
    pub(crate) fn restart_ice(&mut self, local: Credentials, remote: Credentials) {
        self.ice.restart(local, remote);
    }

    /// Says goodbye.
    pub(crate) fn close(&mut self, now: Instant, why: &'static str) {
        self.end(now, why);
    }

    fn handle_stun(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        if self.ice.handle_message(now, path, datagram) == Heard::Nothing {
            return;
        }
        self.heard = now;
        if !self.paths.contains(&path) {
            self.paths.push(path);
            self.events.push_back(Event::Path(path));
        }
        if matches!(self.life, Life::Waiting { .. }) {
            self.life = Life::Securing { until: now + HANDSHAKE_TIMEOUT };
        }
    }

    fn handle_dtls(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        self.dtls_path = Some(path);
        // A broken datagram may be anybody's; a handshake that cannot succeed runs into its time-out.
        let steps = self.dtls.handle_datagram(now, datagram).unwrap_or_default();
        for step in steps {
            match step {
                Step::Keys(srtp) => self.srtp = Some(srtp),
                Step::Closed => self.end(now, "the viewer left"),
            }
        }
    }

    fn handle_rtcp(&mut self, now: Instant, datagram: &[u8]) {
        let Some(srtp) = &mut self.srtp else { return };
        let Ok(compound) = srtp.open_rtcp(datagram) else { return };
        self.heard = now;
        for said in self.feedback.read(now, compound) {
            match said {
                Said::KeyFrameNeeded => self.events.push_back(Event::KeyFrameNeeded),
                Said::Nack(lost) => self.send_again(now, &lost),
                Said::Lost(packets, rtt) => {
                    self.counters.set_packets_lost(packets);
                    if let Some(rtt) = rtt {
                        self.counters.set_rtt(rtt);
                    }
                }
            }
        }
    }

    fn send_again(&mut self, now: Instant, lost: &[u16]) {
        let (Some(path), Some(srtp)) = (self.ice.nominated(), &mut self.srtp) else { return };
        self.again.clear();
        for &sequence_number in lost {
            if self.track.write_again(now, sequence_number, srtp, &mut self.again).is_ok_and(|sent| sent) {
                self.counters.retransmitted();
            }
        }
        self.transmits.extend(self.again.packets().map(|packet| (path, packet.to_vec())));
    }

    fn report(&mut self, now: Instant) {
        self.next_report = Some(now + REPORT_INTERVAL);
        let (Some(path), Some(srtp), Some(sent)) = (self.path(), &mut self.srtp, self.track.sent(now)) else {
            return;
        };
        let report = self.feedback.report(now, sent).and_then(|report| srtp.seal_rtcp(&report).ok());
        self.transmits.extend(report.map(|report| (path, report)));
    }

    /// Whatever follows from what was heard, or from time.
    fn advance(&mut self, now: Instant) {
        if self.ice.nominated().is_some() {
            let begun = self.dtls.start(now);
            if begun.is_err() {
                self.end(now, "the DTLS handshake could not begin");
            }
        }
        if matches!(self.life, Life::Securing { .. }) && self.srtp.is_some() && self.ice.nominated().is_some()
        {
            self.life = Life::Connected;
            self.events.push_back(Event::Connected);
        }
        if self.life == Life::Connected {
            self.counters.set_state(if self.heard + SILENT_AFTER <= now {
                PeerState::Disconnected
            } else {
                PeerState::Connected
            });
        }
        self.collect();
    }

    /// Takes over what ICE and DTLS want sent.
    fn collect(&mut self) {
        self.transmits.extend(std::iter::from_fn(|| self.ice.poll_transmit()));
        let path = self.ice.nominated().or(self.dtls_path);
        while let (Some(path), Some(datagram)) = (path, self.dtls.poll_transmit()) {
            self.transmits.push_back((path, datagram.into()));
        }
    }

    fn end(&mut self, now: Instant, why: &'static str) {
        if self.life == Life::Ended {
            return;
        }
        self.dtls.close(now);
        self.collect();
        self.life = Life::Ended;
        self.events.push_back(Event::Ended(why));
    }

    fn is_silent(&self) -> bool {
        self.counters.state() == PeerState::Disconnected
    }

    fn consent_expires(&self) -> Option<Instant> {
        self.ice.consent().map(|consent| consent + CONSENT_EXPIRES)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
#[path = "peer/tests.rs"]
mod tests;
