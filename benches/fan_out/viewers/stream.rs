//! What one viewer receives: packets counted by their headers, and for one in fifty opened and compared with the film.

use std::sync::Arc;
use std::time::Duration;

use rtc::shared::marshal::Unmarshal;
use rtc::srtp::context::Context;
use rtc_rtp::codec::h264::H264Packet;
use rtc_rtp::packetizer::Depacketizer;

use crate::fan_out::film::Recogniser;

const OURS: u32 = 1;

/// Counts.
pub(super) struct Stream {
    pub(super) payload_type: u8,
    ssrc: u32,
    /// With rollovers.
    first: u64,
    highest: u64,
    pub(super) packets: u64,
    pub(super) frames: u64,
    pub(super) checker: Option<Box<Checker>>,
}

/// Looks into packets.
pub(super) struct Checker {
    /// None where every frame is kept for somebody else to look at.
    recogniser: Option<Arc<Recogniser>>,
    context: Option<Box<Context>>,
    depacketiser: H264Packet,
    next: Option<u16>,
    unit: Vec<u8>,
    /// A packet of the unit is missing or does not open.
    is_spoilt: bool,
    /// The frame before.
    last: Option<usize>,
    pub(super) whole: u64,
    pub(super) broken: u64,
    pub(super) delays: Vec<Duration>,
    /// When each frame's last packet arrived, and the frame.
    pub(super) kept: Vec<(Duration, Vec<u8>)>,
}

impl Stream {
    pub(super) fn new(payload_type: u8, checker: Option<Box<Checker>>) -> Self {
        Self { payload_type, ssrc: 0, first: 0, highest: 0, packets: 0, frames: 0, checker }
    }

    pub(super) fn decrypt_with(&mut self, context: Context) {
        if let Some(checker) = &mut self.checker {
            checker.context = Some(Box::new(context));
        }
    }

    pub(super) fn packet(&mut self, packet: &[u8], arrived: Duration) {
        let Some((header, _)) = packet.split_first_chunk::<12>() else { return };
        if header[1] & 0x7f != self.payload_type {
            return;
        }
        let sequence_number = u16::from_be_bytes([header[2], header[3]]);
        if self.packets == 0 {
            self.ssrc = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
            self.first = u64::from(sequence_number);
            self.highest = self.first;
        }
        let ahead = sequence_number.wrapping_sub(self.highest as u16);
        if ahead < 1 << 15 {
            self.highest += u64::from(ahead);
        }
        self.packets += 1;
        self.frames += u64::from(header[1] >> 7);
        if let Some(checker) = &mut self.checker {
            checker.packet(packet, sequence_number, header[1] >> 7 == 1, arrived);
        }
    }

    pub(super) fn lost(&self) -> u64 {
        match self.packets {
            0 => 0,
            packets => (self.highest - self.first + 1).saturating_sub(packets),
        }
    }

    /// A receiver report of one block (RFC 3550 section 6.4.2).
    pub(super) fn report(&self) -> Option<[u8; 32]> {
        (self.packets > 0).then(|| {
            let mut report = [0; 32];
            report[..4].copy_from_slice(&[0x81, 201, 0, 7]);
            report[4..8].copy_from_slice(&OURS.to_be_bytes());
            report[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
            report[13..16].copy_from_slice(&(self.lost() as u32).to_be_bytes()[1..]);
            report[16..20].copy_from_slice(&(self.highest as u32).to_be_bytes());
            report
        })
    }
}

impl Checker {
    pub(super) fn new(recogniser: Option<Arc<Recogniser>>) -> Self {
        Self {
            recogniser,
            context: None,
            depacketiser: H264Packet::default(),
            next: None,
            unit: Vec::new(),
            is_spoilt: true,
            last: None,
            whole: 0,
            broken: 0,
            delays: Vec::new(),
            kept: Vec::new(),
        }
    }

    fn packet(&mut self, packet: &[u8], sequence_number: u16, marker: bool, arrived: Duration) {
        // The last packets may come a moment before the keys are there.
        let Some(context) = &mut self.context else { return };
        let is_next = self.next.is_none_or(|next| next == sequence_number);
        self.next = Some(sequence_number.wrapping_add(1));
        let opened = context.decrypt_rtp(packet).ok().and_then(|packet| {
            let mut packet = packet.freeze();
            let parsed = rtc_rtp::Packet::unmarshal(&mut packet).ok()?;
            self.depacketiser.depacketize(&parsed.payload).ok()
        });
        match opened.filter(|_| is_next) {
            Some(part) => self.unit.extend_from_slice(&part),
            None => self.is_spoilt = true,
        }
        if marker {
            self.unit_ends(arrived);
        }
    }

    fn unit_ends(&mut self, arrived: Duration) {
        let is_spoilt = std::mem::take(&mut self.is_spoilt);
        let Some(recogniser) = &self.recogniser else {
            let unit = std::mem::take(&mut self.unit);
            match is_spoilt {
                true => self.broken += 1,
                false => self.kept.push((arrived, unit)),
            }
            return;
        };
        let known = recogniser.recognise(&self.unit).filter(|_| !is_spoilt);
        self.unit.clear();
        let follows = |last: Option<usize>, next| last.is_none_or(|last| recogniser.follows(last, next));
        match known {
            Some((number, stamped)) if follows(self.last, number) => {
                self.whole += 1;
                self.delays.push(arrived.saturating_sub(stamped));
                self.last = Some(number);
            }
            // Nobody has to be there from a frame's first packet on.
            None if self.last.is_none() => {}
            _ => {
                self.broken += 1;
                self.last = known.map(|(number, _)| number).or(self.last);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_counted_over_a_rollover_and_what_comes_late_is_not_lost() {
        let mut stream = Stream::new(102, None);
        let mut send = |number: u16, marker: u8, payload_type: u8| {
            let mut packet = [0x80, marker << 7 | payload_type, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
            packet[2..4].copy_from_slice(&number.to_be_bytes());
            stream.packet(&packet, Duration::ZERO);
        };
        // Of 0xfffe to 3 one comes late, one never, and another payload type is none of ours.
        for (number, marker) in [(0xfffe, 0), (0xffff, 1), (1, 0), (0, 0), (3, 1)] {
            send(number, marker, 102);
        }
        send(9, 1, 103);
        assert_eq!((stream.packets, stream.frames, stream.lost()), (5, 2, 1));
        let report = stream.report().unwrap_or_default();
        assert_eq!((report[11], report[15]), (7, 1), "whose, and how many");
        assert_eq!(report[16..20], 0x1_0003_u32.to_be_bytes());
    }
}
