//! One reader's RTP stream (RFC 3550): its own SSRC and sequence numbers over shared payloads, and the
//! RTCP that goes with it.

use std::{
    collections::VecDeque,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rtc_rtcp::{
    goodbye::Goodbye,
    packet::Packet,
    receiver_report::ReceiverReport,
    sender_report::SenderReport,
    source_description::{SdesType, SourceDescription, SourceDescriptionChunk, SourceDescriptionItem},
};

use super::packets::Packets;

/// The dynamic payload type that SDP ties to H.264.
pub(super) const PAYLOAD_TYPE: u8 = 96;
/// Ticks of an RTP time per second, for every video payload format.
pub(super) const CLOCK_RATE: u32 = 90_000;
/// The length of an RTP header without CSRCs and extensions.
pub(super) const HEADER_LEN: usize = 12;
const REPORT_EVERY: Duration = Duration::from_secs(5);
/// Sender reports remembered for the round trip; readers answer the last one or the one before.
const REPORTS_KEPT: usize = 4;
/// Seconds between 1900, where NTP begins, and 1970.
const NTP_UNIX_OFFSET: u64 = 2_208_988_800;

/// The sending side of one RTP session.
#[derive(Debug)]
pub(super) struct RtpStream {
    ssrc: u32,
    sequence: u16,
    packets: u32,
    octets: u32,
    /// When each of the last sender reports left, by the middle 32 bits of its NTP time.
    reports_sent: VecDeque<(u32, Instant)>,
    cname: String,
}

impl RtpStream {
    /// A stream with a random SSRC and first sequence number.
    pub(super) fn new() -> Self {
        Self {
            ssrc: rand::random(),
            sequence: rand::random(),
            packets: 0,
            octets: 0,
            reports_sent: VecDeque::with_capacity(REPORTS_KEPT),
            // Random, as RFC 7022 has it, and of a length after which `rtc-rtcp` need not pad: it ends the
            // padding of a source description with a count, where RFC 3550 section 6.5 demands zeros.
            cname: format!("{:017x}", rand::random::<u128>() >> 60),
        }
    }

    pub(super) fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// The sequence number of the next packet.
    pub(super) fn sequence(&self) -> u16 {
        self.sequence
    }

    /// Calls `send` with the header and the payload of every packet of an access unit.
    pub(super) fn headers<'p>(
        &mut self,
        unit: &'p Packets,
    ) -> impl Iterator<Item = ([u8; HEADER_LEN], &'p [u8])> {
        let last = unit.payloads.len() - 1;
        unit.payloads.iter().enumerate().map(move |(index, payload)| {
            let mut header = [0; HEADER_LEN];
            header[0] = 2 << 6;
            header[1] = PAYLOAD_TYPE | if index == last { 0x80 } else { 0 };
            header[2..4].copy_from_slice(&self.sequence.to_be_bytes());
            header[4..8].copy_from_slice(&unit.rtp_time.to_be_bytes());
            header[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
            self.sequence = self.sequence.wrapping_add(1);
            self.packets = self.packets.wrapping_add(1);
            self.octets = self.octets.wrapping_add(payload.len() as u32);
            (header, payload.as_ref())
        })
    }

    /// A sender report with a source description, when one is due: with the first access unit, so that
    /// readers know the time at once, and then every five seconds.
    pub(super) fn report(&mut self, unit: &Packets, now: Instant, wall_clock: SystemTime) -> Option<Vec<u8>> {
        let last = self.reports_sent.back();
        if last.is_some_and(|(_, sent)| now.saturating_duration_since(*sent) < REPORT_EVERY) {
            return None;
        }
        if self.reports_sent.len() == REPORTS_KEPT {
            self.reports_sent.pop_front();
        }
        let ntp_time = ntp_time(wall_clock);
        self.reports_sent.push_back((middle(ntp_time), now));
        let since_pushed = now.saturating_duration_since(unit.pushed).as_secs_f64() * f64::from(CLOCK_RATE);
        let report = SenderReport {
            ssrc: self.ssrc,
            ntp_time,
            rtp_time: unit.rtp_time.wrapping_add(since_pushed as u32),
            packet_count: self.packets,
            octet_count: self.octets,
            ..SenderReport::default()
        };
        marshal(&[Box::new(report), Box::new(self.description())])
    }

    /// Tells the reader that the stream has ended.
    pub(super) fn goodbye(&self) -> Option<Vec<u8>> {
        let nothing_received = ReceiverReport { ssrc: self.ssrc, ..ReceiverReport::default() };
        let goodbye = Goodbye { sources: vec![self.ssrc], ..Goodbye::default() };
        marshal(&[Box::new(nothing_received), Box::new(self.description()), Box::new(goodbye)])
    }

    /// What a compound RTCP packet of the reader says about this stream at `now`: packets lost since the beginning,
    /// and the round-trip time (RFC 3550 section 6.4.1). `None` when it is not about this stream, or rubbish.
    pub(super) fn feedback(&self, rtcp: &[u8], now: Instant) -> Option<(u64, Option<Duration>)> {
        let packets = rtc_rtcp::packet::unmarshal(&mut &rtcp[..]).ok()?;
        let reports = packets.iter().filter_map(|packet| packet.as_any().downcast_ref::<ReceiverReport>());
        let block = reports.flat_map(|report| &report.reports).find(|block| block.ssrc == self.ssrc)?;
        // Cumulative loss is a signed 24-bit number: duplicates make it negative.
        let lost = if block.total_lost >= 1 << 23 { 0 } else { u64::from(block.total_lost) };
        // By our own monotonic clock: the report's time only says which report is meant, and one that was never
        // sent means nothing.
        let sent = self.reports_sent.iter().rev().find(|(middle, _)| *middle == block.last_sender_report);
        let rtt = sent.map(|(_, sent)| {
            let held = Duration::from_secs_f64(f64::from(block.delay) / 65536.0);
            now.saturating_duration_since(*sent).saturating_sub(held)
        });
        Some((lost, rtt))
    }

    fn description(&self) -> SourceDescription {
        let cname = SourceDescriptionItem {
            sdes_type: SdesType::SdesCname,
            text: bytes::Bytes::copy_from_slice(self.cname.as_bytes()),
        };
        SourceDescription { chunks: vec![SourceDescriptionChunk { source: self.ssrc, items: vec![cname] }] }
    }
}

fn marshal(packets: &[Box<dyn Packet>]) -> Option<Vec<u8>> {
    rtc_rtcp::packet::marshal(packets).ok().map(Vec::from)
}

/// The 32 bits of an NTP time by which receiver reports name a sender report.
fn middle(ntp_time: u64) -> u32 {
    (ntp_time >> 16) as u32
}

/// 32 bits of seconds since 1900 and 32 bits of their fraction.
fn ntp_time(wall_clock: SystemTime) -> u64 {
    let since_1970 = wall_clock.duration_since(UNIX_EPOCH).unwrap_or_default();
    let fraction = (u64::from(since_1970.subsec_nanos()) << 32) / 1_000_000_000;
    (since_1970.as_secs().wrapping_add(NTP_UNIX_OFFSET) << 32) | fraction
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use rtc_rtcp::reception_report::ReceptionReport;

    fn unit(payloads: &[&'static [u8]]) -> Packets {
        let payloads: Vec<_> = payloads.iter().map(|payload| bytes::Bytes::from_static(payload)).collect();
        Packets {
            bytes: payloads.iter().map(|p| p.len()).sum(),
            payloads,
            key: true,
            rtp_time: 0x0102_0304,
            pushed: Instant::now(),
        }
    }

    #[test]
    fn sequence_numbers_run_on_over_access_units_and_the_marker_ends_each() {
        let mut stream = RtpStream::new();
        stream.sequence = u16::MAX;
        let first: Vec<_> = stream.headers(&unit(&[b"a", b"bc"])).map(|(header, _)| header).collect();
        let second: Vec<_> = stream.headers(&unit(&[b"d"])).map(|(header, _)| header).collect();
        let ssrc = stream.ssrc().to_be_bytes();
        let header = |marker: u8, sequence: [u8; 2]| {
            let mut header = [0x80, 96 | marker, sequence[0], sequence[1], 1, 2, 3, 4, 0, 0, 0, 0];
            header[8..].copy_from_slice(&ssrc);
            header
        };
        assert_eq!(first, [header(0, [0xff, 0xff]), header(0x80, [0, 0])]);
        assert_eq!(second, [header(0x80, [0, 1])]);
    }

    #[test]
    fn a_sender_report_comes_with_the_first_access_unit_and_every_five_seconds() {
        let mut stream = RtpStream::new();
        let unit = unit(&[b"abc"]);
        let _ = stream.headers(&unit).count();
        let start = unit.pushed;
        let wall_clock = UNIX_EPOCH + Duration::from_millis(1_500);
        let report = stream.report(&unit, start + Duration::from_millis(10), wall_clock).unwrap();
        assert!(stream.report(&unit, start + Duration::from_secs(5), wall_clock).is_none());
        assert!(stream.report(&unit, start + Duration::from_millis(5_011), wall_clock).is_some());

        let packets = rtc_rtcp::packet::unmarshal(&mut &report[..]).unwrap();
        let report = packets[0].as_any().downcast_ref::<SenderReport>().unwrap();
        assert_eq!(report.ntp_time, ((NTP_UNIX_OFFSET + 1) << 32) | (1 << 31));
        assert_eq!(report.rtp_time, 0x0102_0304 + 900);
        assert_eq!((report.packet_count, report.octet_count), (1, 3));
        assert!(packets[1].as_any().downcast_ref::<SourceDescription>().is_some());
    }

    /// What a reader reports that has lost 7 packets and held the sender report `echoed` for a second.
    fn receiver_report(stream: &RtpStream, echoed: u32) -> Vec<u8> {
        let block = ReceptionReport {
            ssrc: stream.ssrc,
            total_lost: 7,
            last_sender_report: echoed,
            delay: 1 << 16,
            ..ReceptionReport::default()
        };
        let report = ReceiverReport { ssrc: 1, reports: vec![block], ..ReceiverReport::default() };
        marshal(&[Box::new(report)]).unwrap()
    }

    #[test]
    fn loss_and_round_trip_are_read_from_the_readers_report_by_the_monotonic_clock() {
        let mut stream = RtpStream::new();
        let unit = unit(&[b"abc"]);
        let start = unit.pushed;
        let wall_clock = UNIX_EPOCH + Duration::from_secs(100);
        // The wall clock is set back between two reports.
        for (after, wall_clock) in [(0, wall_clock), (5, wall_clock - Duration::from_secs(50))] {
            let sent = start + Duration::from_secs(after);
            stream.report(&unit, sent, wall_clock).unwrap();
            let report = receiver_report(&stream, middle(ntp_time(wall_clock)));
            let (lost, rtt) = stream.feedback(&report, sent + Duration::from_millis(1_500)).unwrap();
            assert_eq!((lost, rtt), (7, Some(Duration::from_millis(500))));
        }
        assert_eq!(stream.feedback(b"rubbish", start), None);
    }

    #[test]
    fn a_sender_report_that_was_never_sent_or_long_ago_tells_no_round_trip() {
        let mut stream = RtpStream::new();
        let unit = unit(&[b"abc"]);
        let wall_clock = SystemTime::now();
        let first = middle(ntp_time(wall_clock));
        let answer = |stream: &RtpStream, echoed| {
            stream.feedback(&receiver_report(stream, echoed), unit.pushed + Duration::from_secs(30)).unwrap()
        };
        // A time that could have been in a report, but was not.
        for echoed in [0, first, first.wrapping_add(1 << 16)] {
            assert_eq!(answer(&stream, echoed), (7, None));
        }
        for report in 0..=REPORTS_KEPT as u64 {
            let passed = REPORT_EVERY * report as u32;
            stream.report(&unit, unit.pushed + passed, wall_clock + passed).unwrap();
        }
        assert_eq!(answer(&stream, first), (7, None), "forgotten");
        assert_eq!(stream.reports_sent.len(), REPORTS_KEPT);
    }

    #[test]
    fn a_goodbye_names_the_source() {
        let stream = RtpStream::new();
        let goodbye = stream.goodbye().unwrap();
        let description = 8;
        assert_eq!(goodbye[description + 8..][..2], [1, 17], "a CNAME");
        assert_eq!(
            goodbye[description + 8 + 2 + 17..][..2],
            [0, 0x80 | 0x20 | 1],
            "its end, and the goodbye"
        );
        let packets = rtc_rtcp::packet::unmarshal(&mut &goodbye[..]).unwrap();
        let goodbye = packets.last().unwrap().as_any().downcast_ref::<Goodbye>().unwrap();
        assert_eq!(goodbye.sources, [stream.ssrc]);
    }
}
