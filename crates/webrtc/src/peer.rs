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

use crate::control::{Control, Padding, Report};
use crate::demux::Claim;
use crate::dtls::{Dtls, Identity, Role, Step};
use crate::feedback::{Feedback, Said};
use crate::gate::{Room, Verdict};
use crate::ice::message::is_stun;
use crate::ice::{Credentials, Heard, Ice};
use crate::ladder::Level;
use crate::packetise::{PacketisedFrame, Rates};
use crate::path::Path;
use crate::sdp::Offer;
use crate::selection::{Renditions, Selection};
use crate::srtp::Srtp;
use crate::stats::{Counters, FrameShare, PeerState, Share};
use crate::track::{Begun, Burst, Track, TrackIds};

/// From the first check to the end of the DTLS handshake, whose lost flights are repeated after 250 ms, 500 ms, 1 s.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);
/// Nothing heard for so long is shown; browsers check every 2.5 s and report every second.
const SILENT_AFTER: Duration = Duration::from_secs(7);
/// RFC 7675 section 5.1.
const CONSENT_EXPIRES: Duration = Duration::from_secs(30);
/// Sender reports; the first comes somewhere within this time, so that those of many viewers do not come together.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Key frames that a viewer may ask for at once, and how long one more takes: each costs every viewer of the rendition.
const KEY_FRAMES: u32 = 3;
const KEY_FRAME_EARNED: Duration = Duration::from_secs(3);
/// The round trip before anything is known of it, and what is believed of it at most.
const USUAL_RTT: Duration = Duration::from_millis(50);
const MAX_RTT: Duration = Duration::from_millis(500);
/// DTLS datagrams that are read before the viewer has answered from where they come: a ClientHello in pieces, and again. What
/// we say to it waits, so that nobody is sent a handshake that he did not ask for.
const MAX_UNPROVEN: u32 = 8;

/// What the runner is to do, or to know.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Datagrams that come this way are this viewer's, if nobody has a better claim. Again with each proof.
    Path(Path, Claim),
    /// And from there no more.
    PathLeft(Path),
    /// Frames may be sent.
    Connected,
    KeyFrameNeeded(usize),
    /// It gets less, or more, from now on.
    Share(Share),
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
    control: Control,
    selection: Selection,
    /// What the selection was told last, and what it has done of that.
    aimed: Level,
    in_effect: Level,
    /// Of what was sent last.
    rates: Rates,
    asked: Asked,
    rtt: Duration,
    counters: Arc<Counters>,
    /// Over which the viewer's last DTLS message came: answers take it as long as no path is nominated, once it is proven.
    dtls_path: Option<Path>,
    /// See [`MAX_UNPROVEN`].
    unproven: u32,
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
    /// What the encoders of the source's renditions aim at, best first.
    pub(crate) bitrates: Box<[u64]>,
}

/// How many key frames the viewer may yet ask for.
struct Asked {
    left: u32,
    since: Instant,
}

impl Peer {
    pub(crate) fn new(setup: Setup<'_>) -> Self {
        let Setup { now, offer, identity, credentials, role, ids, ice_timeout, counters, bitrates } = setup;
        let track = Track::new(now, ids, offer.extensions().to_vec(), bitrates[0]);
        let can_measure = track.is_numbered() && ids.rtx.is_some();
        Self {
            life: Life::Waiting { until: now + ice_timeout },
            ice: Ice::new(Arc::clone(&identity.crypto), credentials, offer.credentials()),
            dtls: Dtls::new(identity, offer.fingerprint().to_owned(), role),
            srtp: None,
            track,
            feedback: Feedback::new(ids.ssrc),
            control: Control::new(now, can_measure, bitrates),
            selection: Selection::new(),
            aimed: Level::BEST,
            in_effect: Level::BEST,
            rates: Rates::default(),
            asked: Asked { left: KEY_FRAMES, since: now },
            rtt: USUAL_RTT,
            counters,
            dtls_path: None,
            unproven: 0,
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

    /// What answers to this peer's checks are known by, from wherever they come.
    pub(crate) fn mark(&self) -> u64 {
        self.ice.mark()
    }

    pub(crate) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Where frames go; `None` while they cannot.
    pub(crate) fn path(&self) -> Option<Path> {
        self.ice.nominated().filter(|_| self.life == Life::Connected)
    }

    /// Those whose frames it is to be offered. A key frame is to be asked for of each that is new among them.
    pub(crate) fn renditions(&self) -> Renditions {
        if self.life == Life::Connected { self.selection.renditions() } else { Renditions::default() }
    }

    /// Somebody with the session's password has checked it.
    pub(crate) fn has_authenticated(&self, path: Path) -> bool {
        self.ice.knows(path)
    }

    /// What is no message of this viewer's is passed over.
    pub(crate) fn handle_datagram(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        if self.life == Life::Ended {
            return;
        }
        // RFC 7983 section 7, RFC 5761 section 4.
        match *datagram {
            _ if is_stun(datagram) => self.handle_stun(now, path, datagram),
            _ if !self.ice.knows(path) => {}
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
        if self.life == Life::Connected {
            self.try_for_more(now);
        }
        self.advance(now);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let mut steering = None;
        let life = match self.life {
            Life::Waiting { until } | Life::Securing { until } => Some(until),
            Life::Connected => {
                steering = self.control.poll_timeout().into_iter().chain(self.selection.poll_timeout()).min();
                let silent = Some(self.heard + SILENT_AFTER).filter(|_| !self.is_silent());
                self.consent_expires().into_iter().chain(silent).min()
            }
            Life::Ended => return None,
        };
        [life, steering, self.ice.poll_timeout(), self.dtls.poll_timeout(), self.next_report]
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

    /// Numbers the packets of a frame, to be written. None for a viewer that does not get this rendition or not this
    /// frame, that waits for a key frame, or that has no `room` on its way.
    pub(crate) fn begin(
        &mut self,
        now: Instant,
        rendition: usize,
        frame: &Arc<PacketisedFrame>,
        mut room: Room,
    ) -> Option<Begun> {
        self.path()?;
        if self.control.is_silent(now) {
            self.control.handle_withheld(now);
            room = Room::None;
        }
        // The less of the two.
        room = room.max(self.control.room(now));
        let was_open = self.selection.is_open();
        match self.selection.offer(rendition, frame, room) {
            Verdict::Pass => {
                if !was_open || self.selection.sent().rendition != self.in_effect.rendition {
                    self.track.leave_behind();
                }
                self.rates = frame.rates;
                self.takes_effect(now);
                self.control.handle_sent(now, rendition, frame);
                self.counters.frame_sent(now, frame.len());
                self.next_report
                    .get_or_insert_with(|| now + REPORT_INTERVAL.mul_f64(rand::rng().random_range(0.0..1.0)));
                return Some(self.track.begin(now, frame));
            }
            Verdict::NotYet => {}
            Verdict::Dropped | Verdict::LeftOut => self.counters.frames_dropped(1),
            Verdict::DroppedAsk => {
                self.counters.frames_dropped(1);
                self.ask_for_key_frame(now);
            }
        }
        None
    }

    /// Frames that it needs went by without it.
    pub(crate) fn handle_gap(&mut self) {
        self.selection.handle_gap();
    }

    /// Seals a part of a frame that was begun.
    pub(crate) fn write(&mut self, now: Instant, begun: Begun, range: Range<usize>, burst: &mut Burst) {
        let Some(srtp) = &mut self.srtp else { return };
        if self.track.write(now, begun, range, srtp, burst).is_err() {
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
        let is_new = !self.ice.knows(path);
        let claim = match self.ice.handle_message(now, path, datagram) {
            Heard::Nothing => return,
            Heard::Answer => Some(Claim::Answer),
            Heard::Check if self.ice.is_lite() => Some(Claim::LiteCheck),
            Heard::Check => Some(Claim::Check).filter(|_| is_new),
        };
        self.heard = now;
        let left = std::iter::from_fn(|| self.ice.poll_left()).map(Event::PathLeft);
        self.events.extend(left.chain(claim.map(|claim| Event::Path(path, claim))));
        if matches!(self.life, Life::Waiting { .. }) {
            self.life = Life::Securing { until: now + HANDSHAKE_TIMEOUT };
        }
    }

    fn handle_dtls(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        if self.ice.is_proven(path) {
            self.unproven = 0;
        } else if self.unproven == MAX_UNPROVEN {
            return;
        } else {
            self.unproven += 1;
        }
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
                // The one that is waited for is on its way; and whoever gets nothing else waits for the next.
                Said::KeyFrameNeeded if self.selection.is_changing() || self.gets_key_frames_alone() => {}
                Said::KeyFrameNeeded => self.ask_for_key_frame(now),
                Said::Nack(lost) => self.send_again(now, &lost),
                Said::Reported(report) => self.reported(now, report),
                Said::Arrivals(report) => {
                    if let Some(arrivals) = self.track.read_report(now, &report) {
                        self.control.handle_arrivals(now, arrivals);
                    }
                }
            }
        }
        self.steer(now);
    }

    fn gets_key_frames_alone(&self) -> bool {
        self.in_effect.share == FrameShare::KeyOnly
    }

    fn reported(&mut self, now: Instant, report: Report) {
        self.counters.set_packets_lost(u64::try_from(report.lost).unwrap_or(0));
        if let Some(rtt) = report.rtt {
            self.rtt = rtt.min(MAX_RTT);
            self.counters.set_rtt(rtt);
        }
        self.control.handle_report(now, report, self.track.usual_packet());
    }

    /// Carries out what the control has decided.
    fn steer(&mut self, now: Instant) {
        self.control.estimate_bps().inspect(|&bps| self.counters.set_estimate(bps));
        let level = self.control.level();
        if level != self.aimed {
            self.aimed = level;
            let holds = self.control.is_far_too_much(self.rates);
            self.selection.aim(now, level, holds);
            self.takes_effect(now);
        }
    }

    /// What is sent may be something else from now on.
    fn takes_effect(&mut self, now: Instant) {
        let level = self.selection.sent();
        if level != self.in_effect {
            self.in_effect = level;
            if level == self.aimed {
                self.control.handle_in_effect(now);
            }
            let share = Share { level, limited_by: self.control.limited_by() };
            self.counters.set_share(share);
            self.events.push_back(Event::Share(share));
        }
    }

    fn try_for_more(&mut self, now: Instant) {
        if self.selection.is_no_show(now) {
            self.control.handle_no_show(now, self.selection.sent().rendition);
        } else if let Some(padding) = self.control.handle_timeout(now, self.selection.is_changing()) {
            self.pad(now, padding);
        }
        self.steer(now);
    }

    fn pad(&mut self, now: Instant, padding: Padding) {
        let (Some(path), Some(srtp)) = (self.ice.nominated(), &mut self.srtp) else { return };
        self.again.clear();
        if self.track.write_padding(now, padding.bytes, srtp, &mut self.again).is_ok() {
            self.transmits.extend(self.again.packets().map(|packet| (path, packet.to_vec())));
        }
    }

    /// Whoever asks all the time has to do with the key frames that others get.
    fn ask_for_key_frame(&mut self, now: Instant) {
        let earned = (now.saturating_duration_since(self.asked.since).as_millis()
            / KEY_FRAME_EARNED.as_millis()) as u32;
        if earned > 0 {
            self.asked.left = self.asked.left.saturating_add(earned).min(KEY_FRAMES);
            self.asked.since = now;
        }
        if self.asked.left > 0 {
            self.asked.left -= 1;
            self.events.push_back(Event::KeyFrameNeeded(self.selection.sent().rendition));
        }
    }

    fn send_again(&mut self, now: Instant, lost: &[u16]) {
        let (Some(path), Some(srtp)) = (self.ice.nominated(), &mut self.srtp) else { return };
        self.again.clear();
        // A little less: a viewer that asks again does so the moment the copy is overdue.
        let rtt = self.rtt * 9 / 10;
        for &sequence_number in lost {
            let sent = self.track.write_again(now, sequence_number, rtt, srtp, &mut self.again);
            if sent.is_ok_and(|sent| sent) {
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
        let path = self.ice.nominated().or(self.dtls_path.filter(|&path| self.ice.is_proven(path)));
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
