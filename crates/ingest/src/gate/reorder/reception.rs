//! What a receiver report says (RFC 3550 section 6.4.2, appendices A.3 and A.8). Nothing is decided by it; cameras
//! that get none for a while stop sending.

use std::time::Instant;

use super::super::rtp::{Header, MAX_DROPOUT};

/// The jitter's running sum is at most sixteen times this.
const LARGEST_DIFFERENCE: u32 = 1 << 26;

/// Reception of one source, as the reports have it. Hand in every RTP packet of the source on arrival, before
/// anything is reordered.
#[derive(Debug)]
pub(crate) struct Reception {
    clock_rate: u32,
    source: Option<Heard>,
    begin: Instant,
    /// Middle 32 bits of the NTP time in the newest sender report, and when it came.
    sender_report: Option<(u32, Instant)>,
}

#[derive(Debug)]
struct Heard {
    ssrc: u32,
    first: u32,
    /// Wraps counted in the upper half.
    highest: u32,
    received: u32,
    expected_before: u32,
    received_before: u32,
    transit: u32,
    /// In units of the RTP clock, times 16 (A.8).
    jitter: u32,
}

/// The fields of a report block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) ssrc: u32,
    pub(crate) fraction_lost: u8,
    /// 24 bits, signed.
    pub(crate) total_lost: i32,
    pub(crate) highest: u32,
    pub(crate) jitter: u32,
    pub(crate) last_sender_report: u32,
    /// In 65536ths of a second.
    pub(crate) delay: u32,
}

impl Reception {
    pub(crate) fn new(clock_rate: u32, now: Instant) -> Self {
        Self { clock_rate, source: None, begin: now, sender_report: None }
    }

    pub(crate) fn handle(&mut self, now: Instant, header: &Header) {
        let arrival = self.in_rtp_units(now);
        let transit = arrival.wrapping_sub(header.timestamp);
        let heard = match &mut self.source {
            Some(heard) if heard.ssrc == header.ssrc => heard,
            source => {
                let first = u32::from(header.sequence);
                let heard = Heard {
                    ssrc: header.ssrc,
                    first,
                    highest: first,
                    received: 1,
                    expected_before: 0,
                    received_before: 0,
                    transit,
                    jitter: 0,
                };
                *source = Some(heard);
                return;
            }
        };
        let ahead = header.sequence.wrapping_sub(heard.highest as u16);
        if ahead <= MAX_DROPOUT {
            heard.highest = heard.highest.wrapping_add(ahead.into());
        }
        heard.received = heard.received.wrapping_add(1);
        // Limited, so that a clock that jumps to and fro makes no sum overflow.
        let difference = (transit.wrapping_sub(heard.transit) as i32).unsigned_abs().min(LARGEST_DIFFERENCE);
        heard.transit = transit;
        heard.jitter = (heard.jitter + difference).saturating_sub((heard.jitter + 8) >> 4);
    }

    pub(crate) fn handle_sender_report(&mut self, now: Instant, ntp_time: u64) {
        self.sender_report = Some(((ntp_time >> 16) as u32, now));
    }

    /// `None` as long as nothing has been heard. Begins the next interval.
    pub(crate) fn report(&mut self, now: Instant) -> Option<Block> {
        let heard = self.source.as_mut()?;
        let expected = heard.highest.wrapping_sub(heard.first).wrapping_add(1);
        let lost = i64::from(expected) - i64::from(heard.received);
        let expected_now = expected.wrapping_sub(heard.expected_before);
        let received_now = heard.received.wrapping_sub(heard.received_before);
        heard.expected_before = expected;
        heard.received_before = heard.received;
        let lost_now = u64::from(expected_now.saturating_sub(received_now));
        let fraction = (lost_now << 8).checked_div(expected_now.into()).unwrap_or(0);
        let (last_sender_report, delay) = match self.sender_report {
            Some((ntp, came)) => {
                let delay = now.saturating_duration_since(came).as_nanos() * 65_536 / 1_000_000_000;
                (ntp, u32::try_from(delay).unwrap_or(u32::MAX))
            }
            None => (0, 0),
        };
        Some(Block {
            ssrc: heard.ssrc,
            fraction_lost: fraction.min(255) as u8,
            total_lost: lost.clamp(-0x80_0000, 0x7f_ffff) as i32,
            highest: heard.highest,
            jitter: heard.jitter >> 4,
            last_sender_report,
            delay,
        })
    }

    fn in_rtp_units(&self, now: Instant) -> u32 {
        let units = now.saturating_duration_since(self.begin).as_nanos() * u128::from(self.clock_rate);
        (units / 1_000_000_000) as u32
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::time::Duration;

    fn header(sequence: u16, timestamp: u32) -> Header {
        Header { payload_type: 96, marker: false, sequence, timestamp, ssrc: 7, payload_len: 100 }
    }

    #[test]
    fn losses_are_counted_by_interval_and_in_all_across_the_wrap() {
        let begin = Instant::now();
        let mut reception = Reception::new(90_000, begin);
        assert_eq!(reception.report(begin), None);
        for number in (65_500_u32..65_700).filter(|number| number % 4 != 0) {
            reception.handle(begin, &header(number as u16, 0));
        }
        let block = reception.report(begin).unwrap();
        assert_eq!((block.ssrc, block.highest, block.total_lost), (7, 65_699, 49));
        assert_eq!(u32::from(block.fraction_lost), 49 * 256 / 199);
        for number in 65_700_u32..65_800 {
            reception.handle(begin, &header(number as u16, 0));
        }
        let block = reception.report(begin).unwrap();
        assert_eq!((block.fraction_lost, block.total_lost, block.highest), (0, 49, 65_799));
        // Nothing came in between.
        assert_eq!(reception.report(begin).unwrap().fraction_lost, 0);
    }

    #[test]
    fn copies_make_the_total_negative_but_never_the_fraction() {
        let begin = Instant::now();
        let mut reception = Reception::new(90_000, begin);
        (0..10).for_each(|number| (0..2).for_each(|_| reception.handle(begin, &header(number, 0))));
        let block = reception.report(begin).unwrap();
        assert_eq!((block.total_lost, block.fraction_lost), (-10, 0));
    }

    #[test]
    fn jitter_is_that_of_appendix_a_8() {
        let begin = Instant::now();
        let mut reception = Reception::new(90_000, begin);
        // Every other packet is 10 ms late: differences of 900 units throughout.
        for number in 0..500_u16 {
            let late = Duration::from_millis(if number % 2 == 0 { 0 } else { 10 });
            let sent = Duration::from_millis(40) * u32::from(number);
            reception.handle(begin + sent + late, &header(number, u32::from(number) * 3_600));
        }
        let jitter = reception.report(begin).unwrap().jitter;
        assert!((890..=900).contains(&jitter), "{jitter}");
    }

    #[test]
    fn timestamps_that_jump_overflow_nothing() {
        let begin = Instant::now();
        let mut reception = Reception::new(u32::MAX, begin);
        for number in 0..10_000_u16 {
            let timestamp = if number % 2 == 0 { 0 } else { 0x8000_0000 };
            reception.handle(begin + Duration::from_secs(u64::from(number)), &header(number, timestamp));
        }
        assert!(reception.report(begin).is_some());
    }

    #[test]
    fn the_newest_sender_report_is_referred_to() {
        let begin = Instant::now();
        let mut reception = Reception::new(90_000, begin);
        reception.handle(begin, &header(1, 0));
        reception.handle_sender_report(begin, 0x1122_3344_5566_7788);
        let block = reception.report(begin + Duration::from_millis(1_500)).unwrap();
        assert_eq!((block.last_sender_report, block.delay), (0x3344_5566, 98_304));
    }
}
