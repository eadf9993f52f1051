//! Whose a datagram is, when all viewers send to one port.
//!
//! A STUN request names the viewer's session by the ufrag we gave it; everything else is told by the address it comes
//! from, which a viewer has to have authenticated first. Whatever belongs to nobody is not answered.

use std::collections::HashMap;
use std::net::SocketAddr;

use crate::ice::message::addressee;

/// A peer, and the thread it lives on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PeerKey {
    pub(crate) worker: usize,
    pub(crate) number: u64,
}

#[derive(Default)]
pub(crate) struct Demux {
    ufrags: HashMap<String, PeerKey>,
    addresses: HashMap<SocketAddr, PeerKey>,
}

impl Demux {
    /// Requests to this ufrag are the peer's.
    pub(crate) fn expect(&mut self, ufrag: &str, peer: PeerKey) {
        self.ufrags.insert(ufrag.to_owned(), peer);
    }

    /// Whatever comes from this address by UDP is the peer's; an address that was another's is not any more.
    pub(crate) fn bind(&mut self, remote: SocketAddr, peer: PeerKey) {
        self.addresses.insert(remote, peer);
    }

    /// Of the peer's ufrags only these stay: a viewer may restart as often as it likes.
    pub(crate) fn keep(&mut self, peer: PeerKey, ufrags: [&str; 2]) {
        self.ufrags.retain(|ufrag, found| *found != peer || ufrags.contains(&ufrag.as_str()));
    }

    pub(crate) fn forget(&mut self, peer: PeerKey) {
        self.ufrags.retain(|_, found| *found != peer);
        self.addresses.retain(|_, found| *found != peer);
    }

    /// The first word on a connection: a check, or it is a stranger's.
    pub(crate) fn route_check(&self, datagram: &[u8]) -> Option<PeerKey> {
        self.ufrags.get(addressee(datagram)?).copied()
    }

    pub(crate) fn route(&self, remote: SocketAddr, datagram: &[u8]) -> Option<PeerKey> {
        match addressee(datagram) {
            Some(ufrag) => self.ufrags.get(ufrag),
            None => self.addresses.get(&remote),
        }
        .copied()
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
        demux.bind(address, ONE);
        assert_eq!(demux.route(address, &[22, 254, 253]), Some(ONE));
        assert_eq!(demux.route(address, &check("other")), Some(OTHER), "a browser may use a port again");
        demux.bind(address, OTHER);
        assert_eq!(demux.route(address, &[22, 254, 253]), Some(OTHER));
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
        demux.bind("203.0.113.9:4000".parse().unwrap(), ONE);
        demux.forget(ONE);
        assert!(demux.ufrags.is_empty() && demux.addresses.is_empty());
    }
}
