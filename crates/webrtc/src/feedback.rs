//! What a peer says about our stream (RTCP): key frames wanted, loss, round trip, retransmissions.
//!
//! An interceptor of the sans-I/O core that only looks. It stands closest to the wire but for pacing and numbering, so
//! that it sees every report that comes and every packet that goes, those the NACK responder sends again included.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rtc::interceptor::{Attribute, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::sender_report::SenderReport;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;

use crate::source::Source;
use crate::stats::Counters;

/// Between the pacer (3,000) and the NACK responder (4,000), see [`rtc::interceptor::Slot`].
pub(crate) const SLOT: usize = 3_500;

/// Sender reports remembered for the round trip; receivers answer the last one or the one before.
const REPORTS_KEPT: usize = 4;

pub(crate) struct Feedback {
    ssrc: u32,
    source: Arc<Source>,
    counters: Arc<Counters>,
    /// When each of our last reports left, by the middle 32 bits of its NTP time.
    reports_sent: VecDeque<(u32, Instant)>,
    reads: VecDeque<TaggedPacket>,
    writes: VecDeque<TaggedPacket>,
}

impl Feedback {
    pub(crate) fn new(ssrc: u32, source: Arc<Source>, counters: Arc<Counters>) -> Self {
        let (reports_sent, reads, writes) = Default::default();
        Self { ssrc, source, counters, reports_sent, reads, writes }
    }

    fn received(&self, now: Instant, packet: &dyn rtc::rtcp::Packet) {
        let any = packet.as_any();
        if let Some(pli) = any.downcast_ref::<PictureLossIndication>() {
            if pli.media_ssrc == self.ssrc {
                self.source.key_frame_needed();
            }
        } else if let Some(fir) = any.downcast_ref::<FullIntraRequest>() {
            if fir.fir.iter().any(|entry| entry.ssrc == self.ssrc) {
                self.source.key_frame_needed();
            }
        } else if let Some(report) = any.downcast_ref::<ReceiverReport>() {
            for about_us in report.reports.iter().filter(|report| report.ssrc == self.ssrc) {
                self.reported(now, about_us);
            }
        } else if let Some(report) = any.downcast_ref::<SenderReport>() {
            for about_us in report.reports.iter().filter(|report| report.ssrc == self.ssrc) {
                self.reported(now, about_us);
            }
        }
    }

    /// RFC 3550 section 6.4.1: the round trip is the time since our report left, less the time the receiver held it.
    fn reported(&self, now: Instant, report: &rtc::rtcp::reception_report::ReceptionReport) {
        // A 24-bit signed number: duplicates make it negative.
        let lost = ((report.total_lost << 8) as i32) >> 8;
        self.counters.set_packets_lost(u64::try_from(lost).unwrap_or(0));
        let sent = self.reports_sent.iter().find(|(ntp, _)| *ntp == report.last_sender_report);
        if let Some((_, sent)) = sent {
            let held = Duration::from_secs_f64(f64::from(report.delay) / 65536.0);
            self.counters.set_rtt(now.saturating_duration_since(*sent).saturating_sub(held));
        }
    }

    fn sent(&mut self, now: Instant, packet: &dyn rtc::rtcp::Packet) {
        if let Some(report) = packet.as_any().downcast_ref::<SenderReport>() {
            if self.reports_sent.len() == REPORTS_KEPT {
                self.reports_sent.pop_front();
            }
            self.reports_sent.push_back(((report.ntp_time >> 16) as u32, now));
        }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Feedback {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, message: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtcp(packets) = &message.message.packet {
            packets.iter().for_each(|packet| self.received(message.now, packet.as_ref()));
        }
        self.reads.push_back(message);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.reads.pop_front()
    }

    fn handle_write(&mut self, message: TaggedPacket) -> Result<(), Error> {
        match &message.message.packet {
            Packet::Rtcp(packets) => {
                packets.iter().for_each(|packet| self.sent(message.now, packet.as_ref()))
            }
            Packet::Rtp(_)
                if message.message.attributes.iter().any(|a| matches!(a, Attribute::Retransmission)) =>
            {
                self.counters.retransmitted();
            }
            _ => {}
        }
        self.writes.push_back(message);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.writes.pop_front()
    }
}

impl Interceptor for Feedback {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::SystemTime;

    use rtc::interceptor::AttributedPacket;
    use rtc::rtcp::payload_feedbacks::full_intra_request::FirEntry;
    use rtc::rtcp::reception_report::ReceptionReport;
    use rtc::shared::TransportContext;

    use super::*;
    use crate::profile::ProfileLevelId;

    const OURS: u32 = 7;

    struct Bench {
        feedback: Feedback,
        counters: Arc<Counters>,
        asked: Arc<AtomicUsize>,
        start: Instant,
    }

    fn bench() -> Bench {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let on_needed = Box::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        let source = Source::new("wall", ProfileLevelId::constrained_baseline(40), on_needed);
        let start = Instant::now();
        let counters = Arc::new(Counters::new(start, SystemTime::now()));
        Bench { feedback: Feedback::new(OURS, source, Arc::clone(&counters)), counters, asked, start }
    }

    fn rtcp(now: Instant, packet: impl rtc::rtcp::Packet + 'static) -> TaggedPacket {
        let message = AttributedPacket::new(Packet::Rtcp(vec![Box::new(packet)]));
        TaggedPacket { now, transport: TransportContext::default(), message }
    }

    #[test]
    fn pli_and_fir_for_our_stream_ask_for_a_key_frame_and_those_for_others_do_not() {
        let mut bench = bench();
        for media_ssrc in [OURS, 99] {
            let pli = PictureLossIndication { sender_ssrc: 1, media_ssrc };
            bench.feedback.handle_read(rtcp(bench.start, pli)).unwrap();
            let fir = vec![FirEntry { ssrc: media_ssrc, sequence_number: 0 }];
            let fir = FullIntraRequest { sender_ssrc: 1, media_ssrc: 0, fir };
            bench.feedback.handle_read(rtcp(bench.start, fir)).unwrap();
        }
        assert_eq!(bench.asked.load(Ordering::Relaxed), 2);
        assert_eq!(std::iter::from_fn(|| bench.feedback.poll_read()).count(), 4, "every packet goes on");
    }

    #[test]
    fn receiver_reports_tell_loss_and_round_trip() {
        let mut bench = bench();
        let sent = SenderReport { ssrc: OURS, ntp_time: 0x1111_2222_3333_4444, ..SenderReport::default() };
        bench.feedback.handle_write(rtcp(bench.start, sent)).unwrap();
        let held = 65536 / 2;
        let about_us = ReceptionReport {
            ssrc: OURS,
            total_lost: 12,
            last_sender_report: 0x2222_3333,
            delay: held,
            ..ReceptionReport::default()
        };
        let report = ReceiverReport { reports: vec![about_us], ..ReceiverReport::default() };
        bench.feedback.handle_read(rtcp(bench.start + Duration::from_millis(540), report)).unwrap();
        let stats = bench.counters.snapshot(bench.start, String::new(), "wall");
        assert_eq!((stats.packets_lost, stats.rtt_ms), (12, Some(40.0)));
    }

    #[test]
    fn duplicates_are_not_a_loss_of_sixteen_million() {
        let mut bench = bench();
        let about_us = ReceptionReport { ssrc: OURS, total_lost: 0x00ff_fffe, ..ReceptionReport::default() };
        let report = ReceiverReport { reports: vec![about_us], ..ReceiverReport::default() };
        bench.feedback.handle_read(rtcp(bench.start, report)).unwrap();
        assert_eq!(bench.counters.snapshot(bench.start, String::new(), "wall").packets_lost, 0);
    }

    #[test]
    fn retransmissions_are_counted_and_first_transmissions_are_not() {
        let mut bench = bench();
        for attributes in [vec![], vec![Attribute::Retransmission]] {
            let mut message = AttributedPacket::new(Packet::Rtp(rtc::rtp::Packet::default()));
            message.attributes = attributes;
            let packet = TaggedPacket { now: bench.start, transport: TransportContext::default(), message };
            bench.feedback.handle_write(packet).unwrap();
        }
        assert_eq!(bench.counters.snapshot(bench.start, String::new(), "wall").retransmitted, 1);
        assert_eq!(std::iter::from_fn(|| bench.feedback.poll_write()).count(), 2);
    }
}
