//! Our half of ICE (RFC 8445): always controlled, and never the first to send.
//!
//! A path begins with a viewer's own check, authenticated by our password; nothing is ever sent anywhere else. Written
//! here because the agent of `rtc-ice` answers no check that nominates before its own is through, stays with the first
//! nominated path for good (a viewer that changes networks is lost), and checks every local address against every
//! remote one. Consent (RFC 7675) is asked for on the nominated path.
//!
//! With [`Ice::be_lite`] we only answer (RFC 8445 section 2.5): nothing is known of the first address but what the viewer says,
//! and its checks are its consent. DTLS proves that one, because who cannot read our half of the handshake never finishes it.
//! Nothing would prove another; so that nobody has media sent to an address that is not his, a viewer that moves is checked
//! all the same, and stays where it is until it answers. Every full agent does.
//!
//! Not here: gathering (our addresses are known), and controlling (a viewer that is ICE-lite sends no checks to be found by).

pub(crate) mod message;

use std::cmp::Ordering;
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
/// When all paths are taken, one over which nothing came for so long makes room.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30);
/// Checks in flight on one path whose answers still count.
const IN_FLIGHT: usize = 4;

/// One side's name and password. The password is a secret: no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) ufrag: String,
    pub(crate) password: String,
}

impl Credentials {
    /// RFC 8839 section 5.4: each at most this long.
    pub(crate) const MAX_LEN: usize = 256;

    pub(crate) fn are_short_enough(&self) -> bool {
        self.ufrag.len().max(self.password.len()) <= Self::MAX_LEN
    }

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
    /// A check by the viewer. It may have been sent in the name of an address that is not the viewer's.
    Check,
    /// The answer to a check of ours: the viewer is where it says.
    Answer,
}

pub(crate) struct Ice {
    crypto: Arc<dyn RTCCryptoProvider>,
    /// The newest last. After a restart the one before stays valid until the new one has a nominated path.
    generations: Vec<Generation>,
    tie_breaker: u64,
    is_lite: bool,
    /// What our transactions begin with, a secret: answers find their way by it, whatever address they come from.
    mark: u64,
    paths: Vec<Known>,
    /// Paths that are known no more, and from whose far end no other comes.
    left: Vec<Path>,
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
    has_answered: bool,
    nominated_at: Option<Instant>,
    heard: Instant,
    in_flight: VecDeque<TransactionId>,
    next_check: Option<Instant>,
    checks: u32,
    /// The checks have been begun with once more.
    is_second_try: bool,
}

impl Ice {
    pub(crate) fn new(crypto: Arc<dyn RTCCryptoProvider>, local: Credentials, remote: Credentials) -> Self {
        Self {
            crypto,
            generations: vec![Generation { number: 0, local, remote }],
            tie_breaker: rand::rng().random(),
            is_lite: false,
            mark: rand::rng().random(),
            paths: Vec::new(),
            left: Vec::new(),
            nominated: None,
            consent: None,
            transmits: VecDeque::new(),
        }
    }

    /// From now on no checks are sent, but to a viewer that moves.
    pub(crate) fn be_lite(&mut self) {
        self.is_lite = true;
    }

    /// New credentials on both sides (RFC 8445 section 9). The path in use stays until the viewer nominates one with
    /// them.
    pub(crate) fn restart(&mut self, local: Credentials, remote: Credentials) {
        let number = self.generations.last().map_or(0, |newest| newest.number + 1);
        // A viewer that restarts again before the last restart is through has given that up.
        let in_use =
            self.generation_of(self.nominated).or(self.generations.first().map(|oldest| oldest.number));
        self.generations.retain(|generation| Some(generation.number) == in_use);
        self.generations.push(Generation { number, local, remote });
    }

    /// See [`message::answered`].
    pub(crate) fn mark(&self) -> u64 {
        self.mark
    }

    pub(crate) fn is_lite(&self) -> bool {
        self.is_lite
    }

    /// An authenticated check came this way.
    pub(crate) fn knows(&self, path: Path) -> bool {
        self.paths.iter().any(|known| known.path == path)
    }

    /// The address may be sent more than an answer to its check.
    pub(crate) fn is_proven(&self, path: Path) -> bool {
        let is_valid = |known: &Known| known.path == path && (known.has_answered || self.is_lite);
        self.nominated == Some(path) || self.paths.iter().any(is_valid)
    }

    /// A path from whose far end nothing is known any more.
    pub(crate) fn poll_left(&mut self) -> Option<Path> {
        self.left.pop()
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
            return Heard::Nothing;
        }
        let answer = received.success(path.remote, &local.password, crypto.crypto());
        let Some(index) = self.index_of(now, path, number) else { return Heard::Nothing };
        self.transmits.extend(answer.map(|answer| (path, answer)));
        let known = &mut self.paths[index];
        known.heard = now;
        match number.cmp(&known.generation) {
            // On its way when the viewer restarted.
            Ordering::Less => return Heard::Check,
            Ordering::Equal => {}
            Ordering::Greater => *known = Known::new(now, path, number),
        }
        known.priority = received.priority();
        if received.nominates() {
            known.nominated_at = Some(now);
        }
        if known.has_answered || self.is_lite {
            self.elect(now, index);
            if self.is_lite && self.nominated == Some(path) {
                self.consent = Some(now);
            }
        } else {
            self.ask(now, index);
        }
        Heard::Check
    }

    /// Where the path is among those known, if need be from now on.
    fn index_of(&mut self, now: Instant, path: Path, generation: u32) -> Option<usize> {
        let found = self.paths.iter().position(|known| known.path == path);
        if found.is_some() {
            return found;
        }
        if self.paths.len() == MAX_PATHS {
            let others = self.paths.iter().filter(|known| Some(known.path) != self.nominated);
            let oldest = others.min_by_key(|known| known.heard)?;
            if oldest.heard + FORGOTTEN_AFTER > now {
                return None;
            }
            let oldest = oldest.path;
            self.retain(|known| known.path != oldest);
        }
        self.left.retain(|left| !is_of_same_remote(*left, path));
        self.paths.push(Known::new(now, path, generation));
        Some(self.paths.len() - 1)
    }

    fn retain(&mut self, stays: impl Fn(&Known) -> bool) {
        let gone: Vec<_> = self.paths.extract_if(.., |known| !stays(known)).map(|known| known.path).collect();
        let is_left = |path: &Path| !self.paths.iter().any(|known| is_of_same_remote(known.path, *path));
        self.left.extend(gone.into_iter().filter(is_left));
    }

    /// The generation of a path that is known.
    fn generation_of(&self, path: Option<Path>) -> Option<u32> {
        self.paths.iter().find(|known| Some(known.path) == path).map(|known| known.generation)
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
        known.has_answered = true;
        known.next_check = None;
        if self.nominated == Some(path) {
            self.consented(now, index);
        }
        self.elect(now, index);
        Heard::Answer
    }

    /// Makes the path the one to send over if the viewer wants it so.
    fn elect(&mut self, now: Instant, index: usize) {
        let candidate = &self.paths[index];
        if self.nominated == Some(candidate.path) {
            // A restart over the same path is through.
            if candidate.nominated_at.is_some() {
                self.prune(candidate.generation);
            }
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
        if takes_over && self.is_lite && current.is_some() && !candidate.has_answered {
            self.ask(now, index);
        } else if takes_over {
            if let Some(left) = self.paths.iter_mut().find(|known| Some(known.path) == self.nominated) {
                left.next_check = None;
            }
            self.nominated = Some(self.paths[index].path);
            self.prune(self.paths[index].generation);
            let index = self.paths.iter().position(|known| Some(known.path) == self.nominated);
            self.consented(now, index.unwrap_or_default());
        }
    }

    /// Forgets what was before the generation in use.
    fn prune(&mut self, newest: u32) {
        self.generations.retain(|generation| generation.number >= newest);
        self.retain(|known| known.generation >= newest);
    }

    fn consented(&mut self, now: Instant, index: usize) {
        self.consent = Some(now);
        if self.is_lite {
            return;
        }
        let interval = Duration::from_millis(rand::rng().random_range(CONSENT_INTERVAL));
        self.paths[index].next_check = Some(now + interval);
    }

    /// Triggered check (RFC 8445 section 7.3.1.4). A round of checks that nobody answers is repeated once: whoever forges the
    /// viewer's checks could have us send to somebody else for ever.
    fn ask(&mut self, now: Instant, index: usize) {
        let known = &mut self.paths[index];
        if known.checks >= MAX_CHECKS && known.next_check.is_none() && !known.is_second_try {
            (known.checks, known.is_second_try) = (0, true);
        }
        if known.checks == 0 {
            self.check(now, index);
        }
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
        let transaction = message::transaction(self.mark);
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
        Self {
            path,
            generation,
            priority: 0,
            has_answered: false,
            nominated_at: None,
            heard: now,
            in_flight: VecDeque::new(),
            next_check: None,
            checks: 0,
            is_second_try: false,
        }
    }
}

fn is_of_same_remote(one: Path, other: Path) -> bool {
    (one.protocol, one.remote) == (other.protocol, other.remote)
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
