//! Our half of ICE (RFC 8445): always controlled, and never the first to send.
//!
//! A path begins with a viewer's own check, authenticated by our password; nothing is ever sent anywhere else. Written
//! here because the agent of `rtc-ice` answers no check that nominates before its own is through, stays with the first
//! nominated path for good (a viewer that changes networks is lost), and checks every local address against every
//! remote one. Consent (RFC 7675) is asked for on the nominated path.
//!
//! With [`Ice::be_lite`] we only answer (RFC 8445 section 2.5): nothing is known of an address but what the viewer says, and its
//! checks are its consent. Who has a session could then have media sent to an address that is not his, for half a minute.
//!
//! Not here: gathering (our addresses are known), and controlling (a viewer that is ICE-lite sends no checks to be found by).

pub(crate) mod message;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng;
use rtc::crypto::RTCCryptoProvider;
use rtc::stun::message::TransactionId;

use crate::path::{Path, Protocol};
use message::{Kind, Received};

/// Paths of one viewer; what comes over more is not answered.
const MAX_PATHS: usize = 32;
/// A check that is not answered is repeated after this, then twice that, and so on.
const FIRST_REPEAT: Duration = Duration::from_millis(100);
const MAX_CHECKS: u32 = 6;
/// RFC 7675 section 5.1: five seconds, and a fifth more or less.
const CONSENT_INTERVAL: std::ops::Range<u64> = 4_000..6_000;
/// After which it is asked for again while nobody answers.
const CONSENT_REPEAT: Duration = Duration::from_millis(2_500);
/// A viewer repeats a nomination with each of its checks, at least every 2.5 s in browsers. One with less priority may
/// take over after that long, so that a viewer which nominates everything does not make us jump.
const NOMINATION_LASTS: Duration = Duration::from_secs(3);
/// A path over which nothing came for so long gives way to one that answers, nominated or not: a NAT that has forgotten
/// a viewer gives it another address, and not every viewer nominates again.
const DEAD_AFTER: Duration = Duration::from_secs(6);
/// Checks in flight on one path whose answers still count.
const IN_FLIGHT: usize = 4;

/// One side's name and password. The password is a secret: no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) ufrag: String,
    pub(crate) password: String,
}

impl Credentials {
    /// 8 and 24 letters and digits: 47 and 142 bits (RFC 8445 section 5.3 asks for 24 and 128).
    pub(crate) fn random() -> Self {
        let mut rng = rand::rng();
        let mut text =
            |len| (&mut rng).sample_iter(rand::distr::Alphanumeric).take(len).map(char::from).collect();
        Self { ufrag: text(8), password: text(24) }
    }
}

/// What became of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Not for us, not signed, or too much.
    Nothing,
    /// An authenticated message over this path: whatever comes from there is this viewer's.
    Viewer,
}

pub(crate) struct Ice {
    crypto: Arc<dyn RTCCryptoProvider>,
    /// The newest last. After a restart the one before stays valid until the new one has a nominated path.
    generations: Vec<Generation>,
    tie_breaker: u64,
    is_lite: bool,
    paths: Vec<Known>,
    nominated: Option<Path>,
    /// When the viewer last agreed to be sent media (RFC 7675).
    consent: Option<Instant>,
    transmits: VecDeque<(Path, Vec<u8>)>,
}

struct Generation {
    number: u32,
    local: Credentials,
    remote: Credentials,
}

/// A path over which the viewer has sent us a check.
struct Known {
    path: Path,
    generation: u32,
    /// The viewer's, from its last check.
    priority: u32,
    /// It has answered a check of ours: the address is not forged.
    is_valid: bool,
    nominated_at: Option<Instant>,
    heard: Instant,
    in_flight: VecDeque<TransactionId>,
    next_check: Option<Instant>,
    checks: u32,
}

impl Ice {
    pub(crate) fn new(crypto: Arc<dyn RTCCryptoProvider>, local: Credentials, remote: Credentials) -> Self {
        Self {
            crypto,
            generations: vec![Generation { number: 0, local, remote }],
            tie_breaker: rand::rng().random(),
            is_lite: false,
            paths: Vec::new(),
            nominated: None,
            consent: None,
            transmits: VecDeque::new(),
        }
    }

    /// From now on no checks are sent.
    pub(crate) fn be_lite(&mut self) {
        self.is_lite = true;
    }

    /// New credentials on both sides (RFC 8445 section 9). The path in use stays until the viewer nominates one with
    /// them.
    pub(crate) fn restart(&mut self, local: Credentials, remote: Credentials) {
        let number = self.generations.last().map_or(0, |newest| newest.number + 1);
        // A viewer that restarts again before the last restart is through has given that up.
        self.generations.truncate(1);
        self.generations.push(Generation { number, local, remote });
    }

    /// Where to send; `None` until the viewer has nominated a path that answers.
    pub(crate) fn nominated(&self) -> Option<Path> {
        self.nominated
    }

    /// When the viewer last proved that it listens.
    pub(crate) fn consent(&self) -> Option<Instant> {
        self.consent
    }

    pub(crate) fn handle_message(&mut self, now: Instant, path: Path, datagram: &[u8]) -> Heard {
        let Some(mut received) = Received::decode(datagram) else { return Heard::Nothing };
        match received.kind() {
            Kind::Request => self.handle_request(now, path, &mut received),
            Kind::Success => self.handle_success(now, path, &mut received),
            Kind::Other => Heard::Nothing,
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        for index in 0..self.paths.len() {
            if self.paths[index].next_check.is_some_and(|due| due <= now) {
                self.check(now, index);
            }
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.paths.iter().filter_map(|known| known.next_check).min()
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<(Path, Vec<u8>)> {
        self.transmits.pop_front()
    }

    fn handle_request(&mut self, now: Instant, path: Path, received: &mut Received) -> Heard {
        let crypto = Arc::clone(&self.crypto);
        let Some(username) = received.username() else { return Heard::Nothing };
        let addressed = self.generations.iter().find(|generation| {
            username.split_once(':') == Some((&generation.local.ufrag, &generation.remote.ufrag))
        });
        let Some(Generation { number, local, .. }) = addressed else { return Heard::Nothing };
        let number = *number;
        if !received.is_signed_with(&local.password, crypto.crypto()) {
            return Heard::Nothing;
        }
        if received.claims_to_be_controlled() {
            let conflict = received.role_conflict(&local.password, crypto.crypto());
            self.transmits.extend(conflict.map(|answer| (path, answer)));
            return Heard::Viewer;
        }
        let answer = received.success(path.remote, &local.password, crypto.crypto());
        let index = match self.paths.iter().position(|known| known.path == path) {
            Some(index) => index,
            None if self.paths.len() < MAX_PATHS => {
                self.paths.push(Known::new(now, path, number));
                self.paths.len() - 1
            }
            None => return Heard::Nothing,
        };
        self.transmits.extend(answer.map(|answer| (path, answer)));
        let known = &mut self.paths[index];
        if known.generation != number {
            *known = Known::new(now, path, number);
        }
        known.heard = now;
        known.priority = received.priority();
        if received.nominates() {
            known.nominated_at = Some(now);
        }
        known.is_valid |= self.is_lite;
        if known.is_valid {
            self.elect(now, index);
            if self.is_lite && self.nominated == Some(path) {
                self.consent = Some(now);
            }
        } else if known.in_flight.is_empty() || known.checks >= MAX_CHECKS {
            // Triggered check (RFC 8445 section 7.3.1.4).
            known.checks = 0;
            self.check(now, index);
        }
        Heard::Viewer
    }

    fn handle_success(&mut self, now: Instant, path: Path, received: &mut Received) -> Heard {
        let Some(index) = self.paths.iter().position(|known| known.path == path) else {
            return Heard::Nothing;
        };
        let known = &mut self.paths[index];
        let generation = self.generations.iter().find(|generation| generation.number == known.generation);
        let is_ours = known.in_flight.contains(&received.transaction());
        let Some(generation) = generation.filter(|_| is_ours) else { return Heard::Nothing };
        if !received.is_signed_with(&generation.remote.password, self.crypto.crypto()) {
            return Heard::Nothing;
        }
        known.in_flight.clear();
        known.checks = 0;
        known.heard = now;
        known.is_valid = true;
        known.next_check = None;
        if self.nominated == Some(path) {
            self.consented(now, index);
        } else {
            self.elect(now, index);
        }
        Heard::Viewer
    }

    /// Makes the path the one to send over if the viewer wants it so.
    fn elect(&mut self, now: Instant, index: usize) {
        let candidate = &self.paths[index];
        if self.nominated == Some(candidate.path) {
            return;
        }
        let current = self.paths.iter().find(|known| Some(known.path) == self.nominated);
        let takes_over = match current {
            None => candidate.nominated_at.is_some(),
            Some(current) if candidate.nominated_at.is_none() => current.heard + DEAD_AFTER < now,
            Some(current) => {
                let lasts = current.nominated_at.is_some_and(|at| at + NOMINATION_LASTS > now);
                !lasts || current.generation < candidate.generation || current.priority < candidate.priority
            }
        };
        if takes_over {
            if let Some(left) = self.paths.iter_mut().find(|known| Some(known.path) == self.nominated) {
                left.next_check = None;
            }
            self.nominated = Some(self.paths[index].path);
            let newest = self.paths[index].generation;
            self.generations.retain(|generation| generation.number >= newest);
            self.paths.retain(|known| known.generation >= newest);
            let index = self.paths.iter().position(|known| Some(known.path) == self.nominated);
            self.consented(now, index.unwrap_or_default());
        }
    }

    fn consented(&mut self, now: Instant, index: usize) {
        self.consent = Some(now);
        if self.is_lite {
            return;
        }
        let interval = Duration::from_millis(rand::rng().random_range(CONSENT_INTERVAL));
        self.paths[index].next_check = Some(now + interval);
    }

    fn check(&mut self, now: Instant, index: usize) {
        let known = &mut self.paths[index];
        let is_consent = self.nominated == Some(known.path);
        if known.checks >= MAX_CHECKS && !is_consent {
            known.next_check = None;
            return;
        }
        let Some(generation) = self.generations.iter().find(|found| found.number == known.generation) else {
            known.next_check = None;
            return;
        };
        let transaction = TransactionId::new();
        if known.in_flight.len() == IN_FLIGHT {
            known.in_flight.pop_front();
        }
        known.in_flight.push_back(transaction);
        let wait = if is_consent { CONSENT_REPEAT } else { FIRST_REPEAT * (1 << known.checks) };
        known.checks = known.checks.saturating_add(1);
        known.next_check = Some(now + wait);
        let username = format!("{}:{}", generation.remote.ufrag, generation.local.ufrag);
        let request = message::request(
            transaction,
            &username,
            reflexive_priority(known.path.protocol),
            self.tie_breaker,
            &generation.remote.password,
            self.crypto.crypto(),
        );
        self.transmits.extend(request.map(|request| (known.path, request)));
    }
}

impl Known {
    fn new(now: Instant, path: Path, generation: u32) -> Self {
        let (priority, is_valid, nominated_at, next_check, checks) = Default::default();
        let (heard, in_flight) = (now, VecDeque::new());
        Self { path, generation, priority, is_valid, nominated_at, heard, in_flight, next_check, checks }
    }
}

/// What a candidate would have that the viewer learnt from our check (RFC 8445 section 7.1.1).
const fn reflexive_priority(protocol: Protocol) -> u32 {
    let local_preference = match protocol {
        Protocol::Udp => 65_535,
        Protocol::Tcp => 32_767,
    };
    (110 << 24) | (local_preference << 8) | 255
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
#[path = "ice/tests.rs"]
mod tests;
