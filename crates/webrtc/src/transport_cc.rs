//! Transport-wide congestion control (draft-holmer-rmcat-transport-wide-cc-extensions-01): one number for each packet to a
//! viewer, media and retransmissions alike, when it left, and the viewer's reports of when it came.
//!
//! What follows from the figures is decided in `congestion`.

use std::time::{Duration, Instant};

/// `a=rtcp-fb`.
pub(crate) const FEEDBACK: &str = "transport-cc";
/// RTCP's payload type and format of the reports (section 3.1 of the draft).
pub(crate) const PACKET_TYPE: u8 = 205;
pub(crate) const FORMAT: u8 = 15;

/// Common header, two SSRCs, base, count, reference time, number of the report.
const HEADER: usize = 20;
const REFERENCE_US: i64 = 64_000;
const DELTA_US: i64 = 250;
/// Packets are kept track of for about this long at the stream's bitrate.
const KEPT: Duration = Duration::from_secs(2);
const USUAL_PACKET: u64 = 1000;

/// The packets sent last.
pub(crate) struct SentLog {
    start: Instant,
    /// A power of two of them; a packet's place is its number modulo their count.
    packets: Box<[Packet]>,
    next: u64,
    /// The last reference time, and what it is without wrapping.
    reference: Option<(u32, i64)>,
    train: Option<Train>,
}

#[derive(Clone, Copy, Default)]
struct Packet {
    /// Wraps after 71 minutes.
    sent_us: u32,
    size: u16,
    fate: Fate,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Fate {
    #[default]
    Unknown,
    Missing,
    Arrived,
}

/// What one report says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arrivals {
    pub(crate) packets: u32,
    pub(crate) bytes: u64,
    /// Not there when the report was written; negative when late ones turned up that had been reported missing.
    pub(crate) missing: i32,
    /// When the last of them came, by the viewer's clock.
    pub(crate) last_us: i64,
    /// The shortest time a packet took, by two clocks that have nothing in common: only differences mean anything.
    pub(crate) transit_us: i64,
    /// How fast a train came through, once all of it has been reported on.
    pub(crate) train_bps: Option<u64>,
}

/// Packets sent at once to see how fast they come through: what is between the first and the last of them on arrival is
/// what the narrowest place on the way needs for them.
#[derive(Clone, Copy)]
struct Train {
    first: u64,
    end: u64,
    arrived: u32,
    bytes: u64,
    first_us: i64,
    last_us: i64,
}

impl SentLog {
    /// For a stream of about `bitrate_bps`.
    pub(crate) fn new(start: Instant, bitrate_bps: u64) -> Self {
        let kept = bitrate_bps / 8 * KEPT.as_secs() / USUAL_PACKET;
        let len = kept.clamp(512, 8192).next_power_of_two() as usize;
        // The draft lets numbers begin anywhere.
        let packets = vec![Packet::default(); len].into();
        Self { start, packets, next: len as u64, reference: None, train: None }
    }

    /// The number of the packet that is sent next.
    pub(crate) fn number(&self) -> u16 {
        self.next as u16
    }

    pub(crate) fn sent(&mut self, now: Instant, size: usize) {
        let place = self.place(self.next);
        self.packets[place] =
            Packet { sent_us: self.since_start(now) as u32, size: size as u16, fate: Fate::Unknown };
        self.next += 1;
    }

    /// The next `count` packets are a train.
    pub(crate) fn expect_train(&mut self, count: usize) {
        let (first, end) = (self.next, self.next + count as u64);
        self.train = Some(Train { first, end, arrived: 0, bytes: 0, first_us: i64::MAX, last_us: i64::MIN });
    }

    /// Reads a report, the packet of RTCP with its header. `None` when it is none, or tells nothing new.
    pub(crate) fn read(&mut self, now: Instant, report: &[u8]) -> Option<Arrivals> {
        let field = |at: usize| Some(u16::from_be_bytes([*report.get(at)?, *report.get(at + 1)?]));
        let (base, count) = (field(12)?, field(14)?);
        // More than is kept track of was never sent; a viewer that says so is not to cost us anything.
        if count == 0 || usize::from(count) > self.packets.len() {
            return None;
        }
        let reference = u32::from_be_bytes([0, *report.get(16)?, *report.get(17)?, *report.get(18)?]);
        let (mut deltas_at, mut covered) = (HEADER, 0);
        while covered < usize::from(count) {
            covered += symbols_in(field(deltas_at)?);
            deltas_at += 2;
        }
        let (mut chunk_at, mut chunk, mut position, mut left) = (HEADER, 0, 0, 0);
        let mut at_us = self.unwrapped(reference) * REFERENCE_US;
        let now_us = self.since_start(now);
        let mut arrivals = Arrivals { last_us: i64::MIN, transit_us: i64::MAX, ..Arrivals::default() };
        let mut newest = 0;
        for offset in 0..count {
            if left == 0 {
                chunk = field(chunk_at)?;
                (left, position, chunk_at) = (symbols_in(chunk), 0, chunk_at + 2);
            }
            let symbol = symbol(chunk, position);
            (position, left) = (position + 1, left - 1);
            match symbol {
                Symbol::Missing => {}
                Symbol::SmallDelta => {
                    at_us += i64::from(*report.get(deltas_at)?) * DELTA_US;
                    deltas_at += 1;
                }
                Symbol::LargeDelta => {
                    at_us += i64::from(field(deltas_at)?.cast_signed()) * DELTA_US;
                    deltas_at += 2;
                }
                Symbol::Reserved => return None,
            }
            let behind = (self.next as u16).wrapping_sub(base.wrapping_add(offset));
            if behind == 0 || usize::from(behind) > self.packets.len() {
                continue;
            }
            let index = self.next - u64::from(behind);
            newest = newest.max(index);
            let place = self.place(index);
            let packet = &mut self.packets[place];
            match (symbol, packet.fate) {
                (Symbol::Missing, Fate::Unknown) => {
                    packet.fate = Fate::Missing;
                    arrivals.missing += 1;
                }
                (Symbol::Missing, _) | (_, Fate::Arrived) => {}
                (_, before) => {
                    packet.fate = Fate::Arrived;
                    arrivals.missing -= i32::from(before == Fate::Missing);
                    arrivals.packets += 1;
                    arrivals.bytes += u64::from(packet.size);
                    arrivals.last_us = arrivals.last_us.max(at_us);
                    let age_us = (now_us as u32).wrapping_sub(packet.sent_us);
                    let transit_us = at_us - (now_us - i64::from(age_us));
                    arrivals.transit_us = arrivals.transit_us.min(transit_us);
                    if let Some(train) = &mut self.train {
                        train.arrived(index, packet.size, at_us);
                    }
                }
            }
        }
        if let Some(train) = self.train.filter(|train| newest + 1 >= train.end) {
            self.train = None;
            arrivals.train_bps = Some(train.bps());
        }
        (arrivals.packets > 0 || arrivals.missing != 0).then_some(arrivals)
    }

    fn place(&self, index: u64) -> usize {
        index as usize & (self.packets.len() - 1)
    }

    fn since_start(&self, now: Instant) -> i64 {
        now.saturating_duration_since(self.start).as_micros() as i64
    }

    /// 24 bits that wrap after twelve days.
    fn unwrapped(&mut self, reference: u32) -> i64 {
        let unwrapped = match self.reference {
            Some((last, unwrapped)) => {
                let step = (reference.wrapping_sub(last) << 8).cast_signed() >> 8;
                unwrapped.wrapping_add(i64::from(step))
            }
            None => i64::from(reference),
        };
        self.reference = Some((reference, unwrapped));
        unwrapped
    }
}

impl Train {
    fn arrived(&mut self, index: u64, size: u16, at_us: i64) {
        if (self.first..self.end).contains(&index) {
            self.arrived += 1;
            self.bytes += u64::from(size);
            self.first_us = self.first_us.min(at_us);
            self.last_us = self.last_us.max(at_us);
        }
    }

    /// 0 when a third of it or more was lost: then it says nothing good.
    fn bps(&self) -> u64 {
        let sent = self.end - self.first;
        if self.arrived < 2 || u64::from(self.arrived) * 3 < sent * 2 {
            return 0;
        }
        // The first opens the interval; what was lost took its time, too, or none: it does not count.
        let bytes = self.bytes * u64::from(self.arrived - 1) / u64::from(self.arrived);
        bytes * 8_000_000 / (self.last_us - self.first_us).max(1000) as u64
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Symbol {
    Missing,
    SmallDelta,
    LargeDelta,
    Reserved,
}

/// Sections 3.1.3 and 3.1.4: a run of one symbol, or a vector of 14 of one bit, or of 7 of two. A run of nothing counts
/// for one, so that reading ends.
fn symbols_in(chunk: u16) -> usize {
    match chunk >> 14 {
        0 | 1 => usize::from(chunk & 0x1fff).max(1),
        2 => 14,
        _ => 7,
    }
}

fn symbol(chunk: u16, position: usize) -> Symbol {
    let bits = match chunk >> 14 {
        0 | 1 => chunk >> 13,
        2 => chunk >> (13 - position) & 1,
        _ => chunk >> (12 - 2 * position),
    };
    match bits & 3 {
        0 => Symbol::Missing,
        1 => Symbol::SmallDelta,
        2 => Symbol::LargeDelta,
        _ => Symbol::Reserved,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
#[path = "transport_cc/tests.rs"]
mod tests;
