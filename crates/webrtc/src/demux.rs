//! Whose a datagram is, when all viewers send to one port.
//!
//! A STUN request names the viewer's session by the ufrag we gave it; everything else is told by the address it comes
//! from, which a viewer has to have authenticated first. Whatever belongs to nobody is not answered.
//!
//! A check can be sent in the name of any address, so by checks alone a viewer gets only an address that is free. Whoever
//! answers us from an address has it, whoever had it before: the answer is told by its transaction, not by the address.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::ice::message::{addressee, answered};

/// With ICE-lite, where viewers are not asked: an address whose owner has sent no check for so long is free. Browsers check
/// every 2.5 s, others every 6 s (RFC 7675).
const ABANDONED_AFTER: Duration = Duration::from_secs(10);

/// A peer, and the thread it lives on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PeerKey {
    pub(crate) worker: usize,
    pub(crate) number: u64,
}

/// By what right a peer has an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// A check of its viewer's came from there.
    Check,
    /// The same, and nobody asks back (ICE-lite).
    LiteCheck,
    /// Its viewer has answered from there.
    Answer,
}

#[derive(Default)]
pub(crate) struct Demux {
    ufrags: HashMap<String, PeerKey>,
    /// What the transactions of a peer begin with.
    marks: HashMap<u64, PeerKey>,
    addresses: HashMap<SocketAddr, Owner>,
}

struct Owner {
    peer: PeerKey,
    claimed: Instant,
}

impl Demux {
    /// Requests to this ufrag are the peer's.
    pub(crate) fn expect(&mut self, ufrag: &str, peer: PeerKey) {
        self.ufrags.insert(ufrag.to_owned(), peer);
    }

    /// Answers in transactions of this mark are the peer's.
    pub(crate) fn expect_answers(&mut self, mark: u64, peer: PeerKey) {
        self.marks.insert(mark, peer);
    }

    /// Whatever comes from this address by UDP is the peer's, unless it is another's and the claim is not good enough.
    pub(crate) fn bind(&mut self, now: Instant, remote: SocketAddr, peer: PeerKey, claim: Claim) {
        let owner = self.addresses.entry(remote).or_insert(Owner { peer, claimed: now });
        let is_given = match claim {
            Claim::Check => owner.peer == peer,
            Claim::LiteCheck => owner.peer == peer || owner.claimed + ABANDONED_AFTER < now,
            Claim::Answer => true,
        };
        if is_given {
            *owner = Owner { peer, claimed: now };
        }
    }

    /// The peer gives the address back.
    pub(crate) fn unbind(&mut self, remote: SocketAddr, peer: PeerKey) {
        if self.addresses.get(&remote).is_some_and(|owner| owner.peer == peer) {
            self.addresses.remove(&remote);
        }
    }

    /// Of the peer's ufrags only these stay: a viewer may restart as often as it likes.
    pub(crate) fn keep(&mut self, peer: PeerKey, ufrags: [&str; 2]) {
        self.ufrags.retain(|ufrag, found| *found != peer || ufrags.contains(&ufrag.as_str()));
    }

    pub(crate) fn forget(&mut self, peer: PeerKey) {
        self.ufrags.retain(|_, found| *found != peer);
        self.marks.retain(|_, found| *found != peer);
        self.addresses.retain(|_, owner| owner.peer != peer);
    }

    /// The first word on a connection: a check, or it is a stranger's.
    pub(crate) fn route_check(&self, datagram: &[u8]) -> Option<PeerKey> {
        self.ufrags.get(addressee(datagram)?).copied()
    }

    pub(crate) fn route(&self, remote: SocketAddr, datagram: &[u8]) -> Option<PeerKey> {
        if let Some(ufrag) = addressee(datagram) {
            return self.ufrags.get(ufrag).copied();
        }
        match answered(datagram) {
            Some(mark) => self.marks.get(&mark).copied(),
            None => self.addresses.get(&remote).map(|owner| owner.peer),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::ice::message::viewer;

    const ONE: PeerKey = PeerKey { worker: 0, number: 1 };
    const OTHER: PeerKey = PeerKey { worker: 1, number: 2 };

    fn check(ufrag: &str) -> Vec<u8> {
        let crypto = rtc::crypto::default_provider().unwrap();
        viewer::check(&format!("{ufrag}:theirs"), "whatever", false, crypto.crypto())
    }

    #[test]
    fn a_check_finds_its_session_from_anywhere_and_the_rest_by_address() {
        let mut demux = Demux::default();
        demux.expect("one", ONE);
        demux.expect("other", OTHER);
        let address = "203.0.113.9:4000".parse().unwrap();
        assert_eq!(demux.route(address, &check("one")), Some(ONE));
        assert_eq!(demux.route(address, &check("nobody")), None);
        assert_eq!(demux.route(address, &[22, 254, 253]), None, "not before it has authenticated");
        let now = Instant::now();
        demux.bind(now, address, ONE, Claim::Check);
        assert_eq!(demux.route(address, &[22, 254, 253]), Some(ONE));
        assert_eq!(demux.route(address, &check("other")), Some(OTHER), "a browser may use a port again");
        demux.bind(now, address, OTHER, Claim::Answer);
        assert_eq!(demux.route(address, &[22, 254, 253]), Some(OTHER));
    }

    #[test]
    fn an_address_is_not_taken_from_another_without_an_answer_from_there() {
        let (mut demux, start) = (Demux::default(), Instant::now());
        let address = "203.0.113.9:4000".parse().unwrap();
        let owner = |demux: &Demux| demux.route(address, &[128, 201]);
        demux.bind(start, address, ONE, Claim::Check);
        demux.bind(start + Duration::from_secs(60), address, OTHER, Claim::Check);
        assert_eq!(owner(&demux), Some(ONE));
        demux.unbind(address, OTHER);
        assert_eq!(owner(&demux), Some(ONE), "nor given back");
        demux.bind(start, address, OTHER, Claim::Answer);
        assert_eq!(owner(&demux), Some(OTHER));
        demux.bind(start, address, ONE, Claim::Answer);
        assert_eq!(owner(&demux), Some(ONE), "who answered last is there now");
        demux.unbind(address, ONE);
        assert_eq!(owner(&demux), None);
    }

    #[test]
    fn with_ice_lite_an_address_is_free_when_its_owner_has_been_silent_for_long() {
        let (mut demux, start) = (Demux::default(), Instant::now());
        let address = "203.0.113.9:4000".parse().unwrap();
        for seconds in (0..60).step_by(6) {
            let now = start + Duration::from_secs(seconds);
            demux.bind(now, address, ONE, Claim::LiteCheck);
            demux.bind(now + Duration::from_secs(5), address, OTHER, Claim::LiteCheck);
            assert_eq!(demux.route(address, &[128, 201]), Some(ONE));
        }
        demux.bind(start + Duration::from_secs(70), address, OTHER, Claim::LiteCheck);
        assert_eq!(demux.route(address, &[128, 201]), Some(OTHER));
    }

    #[test]
    fn an_answer_is_told_by_its_transaction_and_not_by_its_address() {
        let mut demux = Demux::default();
        let address = "203.0.113.9:4000".parse().unwrap();
        demux.bind(Instant::now(), address, ONE, Claim::Answer);
        demux.expect_answers(0x0102_0304_0506_0708, OTHER);
        let mut answer = [1, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 99, 99, 99, 99];
        assert_eq!(demux.route(address, &answer), Some(OTHER));
        assert_eq!(demux.route("198.51.100.1:9".parse().unwrap(), &answer), Some(OTHER));
        answer[15] = 9;
        assert_eq!(demux.route(address, &answer), None, "nobody's");
        for cut in 0..answer.len() {
            demux.route(address, &answer[..cut]);
        }
    }

    #[test]
    fn of_restarts_the_last_two_names_stay() {
        let mut demux = Demux::default();
        demux.expect("other", OTHER);
        ["a", "b", "c"].into_iter().for_each(|ufrag| demux.expect(ufrag, ONE));
        demux.keep(ONE, ["b", "c"]);
        let mut left: Vec<_> = demux.ufrags.keys().map(String::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["b", "c", "other"]);
    }

    #[test]
    fn of_a_peer_that_left_nothing_stays() {
        let mut demux = Demux::default();
        demux.expect("one", ONE);
        demux.expect_answers(1, ONE);
        demux.bind(Instant::now(), "203.0.113.9:4000".parse().unwrap(), ONE, Claim::Check);
        demux.forget(ONE);
        assert!(demux.ufrags.is_empty() && demux.addresses.is_empty() && demux.marks.is_empty());
    }
}
