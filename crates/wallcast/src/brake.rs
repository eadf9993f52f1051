//! A brake on what an address may do only so often, such as guess tokens: a burst of it is free, then one is let through
//! per pause.
//!
//! Bounded: at most [`MOST`] addresses are remembered; when full, the one that was counted longest ago is forgotten.
//! Loopback is never slowed: behind a reverse proxy everybody comes from there, and one client would lock out all.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::client::network;

const MOST: usize = 1024;

/// Remembers for each address the time until which what it did counts: each time adds a pause.
#[derive(Debug)]
pub(crate) struct Brake {
    burst: u32,
    pause: Duration,
    debts: HashMap<IpAddr, Instant>,
}

impl Brake {
    /// `burst` at once, at least one; then one every `pause`.
    pub(crate) fn new(burst: u32, pause: Duration) -> Self {
        Self { burst: burst.max(1), pause, debts: HashMap::new() }
    }

    /// How long `from` has to wait at `now` before it is heard; whole seconds, at least one.
    pub(crate) fn wait(&self, from: IpAddr, now: Instant) -> Option<Duration> {
        let debt = self.debts.get(&network(from))?.saturating_duration_since(now);
        let over = debt.saturating_sub(self.pause * (self.burst - 1));
        (!over.is_zero()).then(|| Duration::from_secs(over.as_millis().div_ceil(1000) as u64))
    }

    pub(crate) fn count(&mut self, from: IpAddr, now: Instant) {
        if from.to_canonical().is_loopback() {
            return;
        }
        let key = network(from);
        if self.debts.len() >= MOST && !self.debts.contains_key(&key) {
            self.debts.retain(|_, until| *until > now);
            if self.debts.len() >= MOST
                && let Some(oldest) = self.debts.iter().min_by_key(|(_, until)| **until).map(|(key, _)| *key)
            {
                self.debts.remove(&oldest);
            }
        }
        let until = self.debts.entry(key).or_insert(now);
        *until = (*until).max(now) + self.pause;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const BURST: u32 = 10;
    const PAUSE: Duration = Duration::from_secs(2);

    fn brake() -> Brake {
        Brake::new(BURST, PAUSE)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_burst_is_free_and_then_one_per_pause() {
        let (mut brake, start) = (brake(), Instant::now());
        for _ in 0..BURST {
            assert_eq!(brake.wait(ip("10.0.0.1"), start), None);
            brake.count(ip("10.0.0.1"), start);
        }
        assert_eq!(brake.wait(ip("10.0.0.1"), start), Some(PAUSE));
        assert_eq!(brake.wait(ip("10.0.0.2"), start), None, "others are not slowed");
        let later = start + PAUSE;
        assert_eq!(brake.wait(ip("10.0.0.1"), later), None);
        brake.count(ip("10.0.0.1"), later);
        assert_eq!(brake.wait(ip("10.0.0.1"), later), Some(PAUSE));
        assert_eq!(brake.wait(ip("10.0.0.1"), later + Duration::from_secs(60)), None);
    }

    #[test]
    fn a_reverse_proxy_on_loopback_is_never_slowed() {
        let (mut brake, now) = (brake(), Instant::now());
        for from in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            (0..100).for_each(|_| brake.count(ip(from), now));
            assert_eq!(brake.wait(ip(from), now), None);
        }
    }

    #[test]
    fn a_whole_ipv6_network_counts_as_one_address() {
        let (mut brake, now) = (brake(), Instant::now());
        (0..BURST + 1).for_each(|i| brake.count(ip(&format!("2001:db8::{i:x}")), now));
        assert!(brake.wait(ip("2001:db8::ffff"), now).is_some());
        assert_eq!(brake.wait(ip("2001:db8:0:1::1"), now), None);
    }

    #[test]
    fn memory_is_bounded_however_many_addresses_there_are() {
        let (mut brake, now) = (brake(), Instant::now());
        for i in 0..5000_u32 {
            brake.count(
                IpAddr::from(i.wrapping_add(1 << 30).to_be_bytes()),
                now + Duration::from_micros(u64::from(i)),
            );
        }
        assert_eq!(brake.debts.len(), MOST);
    }
}
