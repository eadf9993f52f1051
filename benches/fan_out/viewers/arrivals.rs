//! Reports of when each packet came (draft-holmer-rmcat-transport-wide-cc-extensions-01), ten a second as Chromium sends them:
//! they cost the server something, and it is to be measured with them.

use std::time::{Duration, Instant};

/// The header extension's id in our offer.
pub(super) const ID: u8 = 4;
const INTERVAL: Duration = Duration::from_millis(100);
/// A step of time is 250 µs, and a reference time counts 256 of them.
const STEP_US: u128 = 250;
const REFERENCE: u32 = 256;
/// A number further ahead is none.
const FARTHEST: u16 = 2048;

pub(super) struct Arrivals {
    start: Instant,
    pub(super) due: Instant,
    /// The number of the first packet that is to be reported on, once there is one.
    base: Option<u16>,
    /// From there on, in steps since the start.
    came: Vec<Option<u32>>,
    reports: u8,
}

impl Arrivals {
    pub(super) fn new(start: Instant, due: Instant) -> Self {
        Self { start, due, base: None, came: Vec::new(), reports: 0 }
    }

    pub(super) fn packet(&mut self, packet: &[u8], now: Instant) {
        let Some(number) = number(packet) else { return };
        let ahead = number.wrapping_sub(*self.base.get_or_insert(number));
        if ahead < FARTHEST {
            let position = usize::from(ahead);
            self.came.resize(self.came.len().max(position + 1), None);
            self.came[position] = Some((now.duration_since(self.start).as_micros() / STEP_US) as u32);
        }
    }

    /// On what came since the last one; `None` when nothing did.
    pub(super) fn report(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.due = now + INTERVAL;
        let (base, first) = (self.base?, self.came.iter().flatten().next()?);
        let reference = first / REFERENCE;
        let mut report = vec![0x8f, 205, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];
        report.extend(base.to_be_bytes());
        report.extend((self.came.len() as u16).to_be_bytes());
        report.extend(&reference.to_be_bytes()[1..]);
        report.push(self.reports);
        let (mut last, mut deltas) = (reference * REFERENCE, Vec::new());
        for seven in self.came.chunks(7) {
            let mut chunk = 0xc000_u16;
            for (position, came) in seven.iter().enumerate() {
                let Some(came) = *came else { continue };
                let delta = i64::from(came) - i64::from(last);
                last = came;
                let symbol = match u8::try_from(delta) {
                    Ok(small) => {
                        deltas.push(small);
                        1
                    }
                    Err(_) => {
                        deltas.extend((delta as i16).to_be_bytes());
                        2
                    }
                };
                chunk |= symbol << (12 - 2 * position);
            }
            report.extend(chunk.to_be_bytes());
        }
        report.extend(deltas);
        let padding = report.len().next_multiple_of(4) - report.len();
        if padding > 0 {
            report[0] |= 0x20;
            report.resize(report.len() + padding - 1, 0);
            report.push(padding as u8);
        }
        let words = (report.len() / 4 - 1) as u16;
        report[2..4].copy_from_slice(&words.to_be_bytes());
        self.base = Some(base.wrapping_add(self.came.len() as u16));
        self.came.clear();
        self.reports = self.reports.wrapping_add(1);
        Some(report)
    }
}

/// A packet's number, of the one-byte elements of its header (RFC 8285 section 4.2).
fn number(packet: &[u8]) -> Option<u16> {
    if packet.first()? & 0x10 == 0 || packet.get(12..14)? != [0xbe, 0xde] {
        return None;
    }
    let len = usize::from(u16::from_be_bytes([packet[14], *packet.get(15)?])) * 4;
    let mut elements = packet.get(16..16 + len)?;
    while let [header, rest @ ..] = elements {
        let len = usize::from(header & 0x0f) + 1;
        match header >> 4 {
            0 => elements = rest,
            ID => return Some(u16::from_be_bytes([*rest.first()?, *rest.get(1)?])),
            _ => elements = rest.get(len..)?,
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use rtc::rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc;
    use rtc::shared::marshal::Unmarshal;

    use super::*;

    #[test]
    fn a_report_says_when_what_came() {
        let start = Instant::now();
        let mut arrivals = Arrivals::new(start, start);
        for (number, ms) in [(65_535_u16, 100), (0, 101), (2, 300), (3, 299)] {
            let mut packet = [0; 24];
            packet[0] = 0x90;
            packet[12..16].copy_from_slice(&[0xbe, 0xde, 0, 2]);
            packet[16..20].copy_from_slice(&[0x52, 0, 0, 0]);
            packet[20] = ID << 4 | 1;
            packet[21..23].copy_from_slice(&number.to_be_bytes());
            arrivals.packet(&packet, start + Duration::from_millis(ms));
        }
        let report = arrivals.report(start).unwrap();
        let read = TransportLayerCc::unmarshal(&mut report.as_slice()).unwrap();
        assert_eq!(
            (read.base_sequence_number, read.packet_status_count, read.reference_time),
            (65_535, 5, 1)
        );
        let deltas: Vec<_> = read.recv_deltas.iter().map(|delta| delta.delta).collect();
        assert_eq!(deltas, [36_000, 1_000, 199_000, -1_000]);
        assert_eq!(arrivals.report(start), None, "nothing new");
    }
}
