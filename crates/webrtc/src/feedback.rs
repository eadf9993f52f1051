//! RTCP, both ways: what a viewer says about our stream (key frames wanted, loss, round trip, packets wanted again),
//! and what we tell it (sender reports). RFC 3550, RFC 4585, RFC 5104.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rtc::rtcp::packet::Packet;
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::reception_report::ReceptionReport;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtcp::source_description::{
    SdesType, SourceDescription, SourceDescriptionChunk, SourceDescriptionItem,
};
use rtc::rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;

use crate::control::Report;
use crate::track::Sent;
use crate::transport_cc;

/// The stream's CNAME: the same word for every viewer tells nobody anything.
pub(crate) const CNAME: &str = "wallcast";
/// Sender reports remembered for the round trip; receivers answer the last one or the one before.
const REPORTS_KEPT: usize = 4;
/// Sequence numbers taken from a compound packet, which could name thousands.
const MAX_NACKED: usize = 512;
/// Packets read of a compound packet; browsers send up to five or so.
const MAX_PACKETS: usize = 32;
/// Of those, reports by transport-wide numbers: one may name 8,191 packets in a few bytes.
const MAX_ARRIVALS: usize = 4;

/// What a viewer wants or says.
#[derive(Debug, PartialEq)]
pub(crate) enum Said {
    KeyFrameNeeded,
    /// Packets wanted again, by sequence number.
    Nack(Vec<u16>),
    Reported(Report),
    /// A report on packets by their transport-wide numbers, as it came.
    Arrivals(Bytes),
}

pub(crate) struct Feedback {
    ssrc: u32,
    /// When each of our last reports left, by the middle 32 bits of its NTP time.
    reports_sent: VecDeque<(u32, Instant)>,
}

impl Feedback {
    pub(crate) fn new(ssrc: u32) -> Self {
        Self { ssrc, reports_sent: VecDeque::new() }
    }

    /// Reads a compound packet. What is about other streams, or of no use to us, is passed over.
    pub(crate) fn read(&self, now: Instant, mut compound: Bytes) -> Vec<Said> {
        let mut said = Vec::new();
        let (mut nacked, mut arrivals) = (MAX_NACKED, MAX_ARRIVALS);
        for _ in 0..MAX_PACKETS {
            let Some(len) = packet_len(&compound) else { break };
            let mut packet = compound.split_to(len);
            // Ten a second from every viewer, and the library makes a list of each.
            if packet[1] == transport_cc::PACKET_TYPE && packet[0] & 0x1f == transport_cc::FORMAT {
                if arrivals > 0 {
                    arrivals -= 1;
                    said.push(Said::Arrivals(packet));
                }
                continue;
            }
            let packets = rtc::rtcp::packet::unmarshal(&mut packet).unwrap_or_default();
            said.extend(
                packets.iter().filter_map(|packet| self.understand(now, packet.as_ref(), &mut nacked)),
            );
        }
        said
    }

    /// A sender report with the source description it must come with (RFC 3550 section 6.1).
    pub(crate) fn report(&mut self, now: Instant, sent: Sent) -> Option<BytesMut> {
        let ssrc = self.ssrc;
        let report = SenderReport {
            ssrc,
            ntp_time: sent.ntp,
            rtp_time: sent.rtp_time,
            packet_count: sent.packets,
            octet_count: sent.octets,
            ..SenderReport::default()
        };
        let name = SourceDescriptionItem { sdes_type: SdesType::SdesCname, text: CNAME.into() };
        let chunk = SourceDescriptionChunk { source: ssrc, items: vec![name] };
        let description = SourceDescription { chunks: vec![chunk] };
        if self.reports_sent.len() == REPORTS_KEPT {
            self.reports_sent.pop_front();
        }
        self.reports_sent.push_back(((sent.ntp >> 16) as u32, now));
        rtc::rtcp::packet::marshal(&[Box::new(report), Box::new(description)]).ok()
    }

    fn understand(&self, now: Instant, packet: &dyn Packet, nacked: &mut usize) -> Option<Said> {
        let any = packet.as_any();
        let about_us =
            |reports: &[ReceptionReport]| reports.iter().find(|report| report.ssrc == self.ssrc).cloned();
        if let Some(pli) = any.downcast_ref::<PictureLossIndication>() {
            (pli.media_ssrc == self.ssrc).then_some(Said::KeyFrameNeeded)
        } else if let Some(fir) = any.downcast_ref::<FullIntraRequest>() {
            fir.fir.iter().any(|entry| entry.ssrc == self.ssrc).then_some(Said::KeyFrameNeeded)
        } else if let Some(nack) = any.downcast_ref::<TransportLayerNack>() {
            let numbers = nack.nacks.iter().flat_map(|pair| pair.packet_list());
            (nack.media_ssrc == self.ssrc && *nacked > 0).then(|| {
                let numbers: Vec<_> = numbers.take(*nacked).collect();
                *nacked -= numbers.len();
                Said::Nack(numbers)
            })
        } else if let Some(report) = any.downcast_ref::<ReceiverReport>() {
            about_us(&report.reports).map(|report| self.reported(now, &report))
        } else if let Some(report) = any.downcast_ref::<SenderReport>() {
            about_us(&report.reports).map(|report| self.reported(now, &report))
        } else {
            None
        }
    }

    /// RFC 3550 section 6.4.1: the round trip is the time since our report left, less the time the receiver held it.
    fn reported(&self, now: Instant, report: &ReceptionReport) -> Said {
        // A 24-bit signed number: duplicates make it negative.
        let lost = ((report.total_lost << 8) as i32) >> 8;
        let sent = self.reports_sent.iter().find(|(ntp, _)| *ntp == report.last_sender_report);
        let held = Duration::from_secs_f64(f64::from(report.delay) / 65536.0);
        let rtt = sent.map(|(_, sent)| now.saturating_duration_since(*sent).saturating_sub(held));
        Said::Reported(Report { lost: i64::from(lost), highest: report.last_sequence_number, rtt })
    }
}

/// The length of the first packet of a compound, when all of it is there.
fn packet_len(compound: &[u8]) -> Option<usize> {
    let words = u16::from_be_bytes([*compound.get(2)?, *compound.get(3)?]);
    let len = (usize::from(words) + 1) * 4;
    (len <= compound.len()).then_some(len)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use rtc::rtcp::payload_feedbacks::full_intra_request::FirEntry;
    use rtc::rtcp::transport_feedbacks::transport_layer_nack::nack_pairs_from_sequence_numbers;

    use super::*;

    const OURS: u32 = 7;

    fn said(feedback: &Feedback, now: Instant, packet: impl Packet + 'static) -> Vec<Said> {
        feedback.read(now, rtc::rtcp::packet::marshal(&[Box::new(packet)]).unwrap().freeze())
    }

    #[test]
    fn pli_and_fir_for_our_stream_ask_for_a_key_frame_and_those_for_others_do_not() {
        let (feedback, now) = (Feedback::new(OURS), Instant::now());
        for (media_ssrc, expected) in [(OURS, vec![Said::KeyFrameNeeded]), (99, vec![])] {
            let pli = PictureLossIndication { sender_ssrc: 1, media_ssrc };
            assert_eq!(said(&feedback, now, pli), expected);
            let fir = vec![FirEntry { ssrc: media_ssrc, sequence_number: 0 }];
            assert_eq!(
                said(&feedback, now, FullIntraRequest { sender_ssrc: 1, media_ssrc: 0, fir }),
                expected
            );
        }
    }

    #[test]
    fn a_nack_names_the_packets_wanted_and_not_without_end() {
        let (feedback, now) = (Feedback::new(OURS), Instant::now());
        let nack = |numbers: &[u16]| TransportLayerNack {
            sender_ssrc: 1,
            media_ssrc: OURS,
            nacks: nack_pairs_from_sequence_numbers(numbers),
        };
        assert_eq!(said(&feedback, now, nack(&[65535, 0, 3])), [Said::Nack(vec![65535, 0, 3])]);
        let many: Vec<u16> = (0..4_000).collect();
        let Said::Nack(taken) = said(&feedback, now, nack(&many)).remove(0) else { panic!() };
        assert_eq!(taken, many[..MAX_NACKED]);
    }

    #[test]
    fn a_compound_packet_has_a_budget_for_everything_that_costs_something() {
        let feedback = Feedback::new(OURS);
        let read = |packet: &[u8]| feedback.read(Instant::now(), packet.repeat(1000).into());
        let numbers: Vec<u16> = (0..100).collect();
        let nacks = nack_pairs_from_sequence_numbers(&numbers);
        let nack = TransportLayerNack { sender_ssrc: 1, media_ssrc: OURS, nacks };
        let nack = rtc::rtcp::packet::marshal(&[Box::new(nack)]).unwrap();
        let taken = |said: &Said| if let Said::Nack(numbers) = said { numbers.len() } else { 0 };
        assert_eq!(read(&nack).iter().map(taken).collect::<Vec<_>>(), [100, 100, 100, 100, 100, 12]);
        let report = [0x8f, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 7, 0, 1, 0, 1, 0, 0, 1, 0, 0x20, 1, 4, 0];
        assert_eq!(read(&report).len(), MAX_ARRIVALS);
        let pli = PictureLossIndication { sender_ssrc: 1, media_ssrc: OURS };
        assert_eq!(read(&rtc::rtcp::packet::marshal(&[Box::new(pli)]).unwrap()).len(), MAX_PACKETS);
    }

    #[test]
    fn receiver_reports_tell_loss_and_round_trip() {
        let (mut feedback, start) = (Feedback::new(OURS), Instant::now());
        let sent = Sent { ntp: 0x1111_2222_3333_4444, rtp_time: 0, packets: 1, octets: 1 };
        let mut report = feedback.report(start, sent).unwrap().freeze();
        assert_eq!(rtc::rtcp::packet::unmarshal(&mut report).unwrap().len(), 2, "report and name");
        let about_us = ReceptionReport {
            ssrc: OURS,
            total_lost: 12,
            last_sequence_number: 0x1_0007,
            last_sender_report: 0x2222_3333,
            delay: 65536 / 2,
            ..ReceptionReport::default()
        };
        let report = ReceiverReport { reports: vec![about_us], ..ReceiverReport::default() };
        let later = start + Duration::from_millis(540);
        let expected = Report { lost: 12, highest: 0x1_0007, rtt: Some(Duration::from_millis(40)) };
        assert_eq!(said(&feedback, later, report), [Said::Reported(expected)]);
    }

    #[test]
    fn duplicates_are_not_a_loss_of_sixteen_million() {
        let feedback = Feedback::new(OURS);
        let about_us = ReceptionReport { ssrc: OURS, total_lost: 0x00ff_fffe, ..ReceptionReport::default() };
        let report = ReceiverReport { reports: vec![about_us], ..ReceiverReport::default() };
        let expected = Report { lost: -2, highest: 0, rtt: None };
        assert_eq!(said(&feedback, Instant::now(), report), [Said::Reported(expected)]);
    }

    #[test]
    fn a_report_by_transport_wide_numbers_is_passed_on_as_it_is_whatever_it_stands_beside() {
        let feedback = Feedback::new(OURS);
        let pli = PictureLossIndication { sender_ssrc: 1, media_ssrc: OURS };
        let pli = rtc::rtcp::packet::marshal(&[Box::new(pli)]).unwrap();
        let report = [0x8f, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 7, 0, 1, 0, 1, 0, 0, 1, 0, 0x20, 1, 4, 0];
        let compound = [&pli[..], &report, &pli].concat();
        let expected =
            [Said::KeyFrameNeeded, Said::Arrivals(Bytes::copy_from_slice(&report)), Said::KeyFrameNeeded];
        assert_eq!(feedback.read(Instant::now(), compound.into()), expected);
    }

    #[test]
    fn rubbish_says_nothing() {
        let feedback = Feedback::new(OURS);
        for bytes in [&[][..], &[0x81, 201, 0, 200], &[0x81, 205, 0xff, 0xff, 0, 0, 0, 0]] {
            assert_eq!(feedback.read(Instant::now(), Bytes::copy_from_slice(bytes)), []);
        }
    }
}
