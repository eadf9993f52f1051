use rtc::rtp::Packet;
use rtc::shared::marshal::Unmarshal;
use rtc::srtp::config::SessionKeys;
use rtc::srtp::context::Context;
use rtc::srtp::protection_profile::ProtectionProfile;

use super::*;
use crate::packetise::frames::frame;

const IDS: TrackIds = TrackIds { ssrc: 7, payload_type: 102, rtx: Some((8, 103)) };
const RTT: Duration = Duration::from_millis(30);
const GCM: ProtectionProfile = ProtectionProfile::AeadAes128Gcm;

/// A track and the viewer that opens its packets.
struct Bench {
    track: Track,
    srtp: Srtp,
    viewer: Context,
    now: Instant,
}

fn bench(ids: TrackIds, extensions: Vec<(Extension, u8)>) -> Bench {
    let provider = rtc::crypto::default_provider().unwrap();
    let keys = SessionKeys {
        local_master_key: vec![1; 16],
        local_master_salt: vec![2; 12],
        remote_master_key: vec![3; 16],
        remote_master_salt: vec![4; 12],
    };
    let srtp = Srtp::from_keys(&keys, GCM, &provider).unwrap();
    let viewer = Context::new(&[1; 16], &[2; 12], GCM, None, None, provider.crypto()).unwrap();
    let now = Instant::now();
    Bench { track: Track::new(now, ids, extensions, 4_000_000), srtp, viewer, now }
}

fn both_extensions() -> Vec<(Extension, u8)> {
    vec![(Extension::PlayoutDelay, 5), (Extension::AbsCaptureTime, 9)]
}

impl Bench {
    fn open(&mut self, burst: &Burst) -> Vec<Packet> {
        let viewer = &mut self.viewer;
        burst
            .packets()
            .map(|packet| Packet::unmarshal(&mut viewer.decrypt_rtp(packet).unwrap().freeze()).unwrap())
            .collect()
    }

    fn send(&mut self, frame: &Arc<PacketisedFrame>) -> (Vec<Packet>, Vec<usize>) {
        let mut burst = Burst::default();
        let begun = self.track.begin(self.now, frame);
        self.track.write(self.now, begun, 0..begun.packets, &mut self.srtp, &mut burst).unwrap();
        (self.open(&burst), burst.sizes)
    }

    fn send_again(&mut self, sequence_number: u16) -> Option<Packet> {
        let mut burst = Burst::default();
        let srtp = &mut self.srtp;
        let sent = self.track.write_again(self.now, sequence_number, RTT, srtp, &mut burst).unwrap();
        assert_eq!(sent, !burst.sizes.is_empty());
        self.open(&burst).pop()
    }
}

#[test]
fn sequence_numbers_continue_across_frames_and_a_rollover_and_the_last_packet_is_marked() {
    let mut bench = bench(IDS, vec![]);
    bench.track.next = 0xfffe;
    let (packets, _) = bench.send(&frame(true, 0, 3_000));
    let header = |packet: &Packet| (packet.header.sequence_number, packet.header.marker);
    let headers: Vec<_> = packets.iter().map(header).collect();
    assert_eq!(headers, [(0xfffe, false), (0xffff, false), (0, false), (1, true)]);
    let (next, _) = bench.send(&frame(false, 3600, 100));
    assert_eq!(header(&next[0]), (2, true));
    assert_eq!(next[0].header.timestamp.wrapping_sub(packets[0].header.timestamp), 3600);
}

#[test]
fn a_key_frame_says_play_at_once_and_every_frame_when_it_was_taken() {
    let mut bench = bench(IDS, both_extensions());
    let (key, _) = bench.send(&frame(true, 0, 2_000));
    assert_eq!(key[0].header.get_extension(5).unwrap().as_ref(), [0, 0, 0]);
    assert_eq!(key[0].header.get_extension(9).unwrap().len(), 8);
    assert!(!key[1].header.extension, "only the first packet carries them");
    let (delta, _) = bench.send(&frame(false, 0, 2_000));
    assert!(delta[0].header.get_extension(5).is_none());
    assert_eq!(delta[0].header.get_extension(9).unwrap().len(), 8);
}

#[test]
fn a_viewer_whose_losses_are_repaired_late_is_told_with_the_next_frame_to_hold_frames_back() {
    let mut bench = bench(IDS, both_extensions());
    let told = |packet: &Packet| packet.header.get_extension(5).map(|value| value.to_vec());
    let (packets, _) = bench.send(&frame(true, 0, 5_000));
    bench.now += Duration::from_millis(60);
    bench.send_again(packets[1].header.sequence_number).unwrap();
    assert_eq!(told(&bench.send(&frame(false, 3600, 5_000)).0[0]), None, "60 ms are no matter");
    bench.now += Duration::from_millis(120);
    bench.send_again(packets[1].header.sequence_number).unwrap();
    let (next, _) = bench.send(&frame(false, 7200, 5_000));
    assert_eq!(
        told(&next[0]),
        Some(vec![0, 0xa0, 50]),
        "at least 100 ms, for a packet that came 180 ms too late"
    );
    let again = bench.send_again(next[0].header.sequence_number).unwrap();
    assert_eq!(told(&again), Some(vec![0, 0xa0, 50]), "the frame that says so may be lost, too");
    assert_eq!(told(&bench.send(&frame(false, 10_800, 5_000)).0[0]), None, "said once");
    bench.now += Duration::from_secs(31);
    assert_eq!(
        told(&bench.send(&frame(false, 14_400, 5_000)).0[0]),
        Some(vec![0, 0, 0]),
        "all is well again"
    );
}

#[test]
fn without_negotiated_extensions_headers_have_none() {
    let mut bench = bench(IDS, vec![]);
    assert!(!bench.send(&frame(true, 0, 100)).0[0].header.extension);
}

#[test]
fn the_packets_of_a_frame_are_of_one_size_whatever_was_negotiated() {
    let number = vec![(Extension::TransportCc, 4)];
    let all = [both_extensions(), number.clone()].concat();
    for extensions in [vec![], both_extensions(), both_extensions()[..1].to_vec(), number, all] {
        let (_, sizes) = bench(IDS, extensions).send(&frame(false, 0, 20_000));
        let (last, others) = sizes.split_last().unwrap();
        assert!(others.iter().all(|size| size == &others[0] && last <= size), "{sizes:?}");
        assert!(others[0] + 48 <= 1280, "an IPv6 path carries it: {sizes:?}");
    }
}

#[test]
fn a_lost_packet_comes_again_as_rfc_4588_has_it() {
    let mut bench = bench(IDS, both_extensions());
    let (packets, _) = bench.send(&frame(true, 0, 5_000));
    bench.send(&frame(false, 0, 5_000));
    for lost in &packets {
        let again = bench.send_again(lost.header.sequence_number).unwrap();
        assert_eq!((again.header.ssrc, again.header.payload_type), (8, 103));
        assert_eq!(again.payload[..2], lost.header.sequence_number.to_be_bytes());
        assert_eq!(again.payload[2..], lost.payload);
        assert_eq!(
            (again.header.timestamp, again.header.marker),
            (lost.header.timestamp, lost.header.marker)
        );
        assert_eq!(again.header.extensions, lost.header.extensions);
    }
}

#[test]
fn a_viewer_without_rtx_gets_the_same_packet_again() {
    let mut bench = bench(TrackIds { rtx: None, ..IDS }, vec![]);
    let (packets, _) = bench.send(&frame(true, 0, 5_000));
    assert_eq!(bench.send_again(packets[1].header.sequence_number).unwrap(), packets[1]);
}

#[test]
fn without_rtx_a_copy_is_the_same_to_the_byte_whatever_was_negotiated_and_happened_since() {
    let extensions = [both_extensions(), vec![(Extension::TransportCc, 4)]].concat();
    let mut bench = bench(TrackIds { rtx: None, ..IDS }, extensions);
    assert!(!bench.track.is_numbered());
    let (frame, mut burst) = (frame(true, 0, 5_000), Burst::default());
    let begun = bench.track.begin(bench.now, &frame);
    bench.track.write(bench.now, begun, 0..begun.packets, &mut bench.srtp, &mut burst).unwrap();
    // Losses that are repaired late change what viewers are told.
    bench.now += Duration::from_millis(400);
    for _ in 0..2 {
        for (position, original) in burst.packets().enumerate() {
            let (mut copy, number) = (Burst::default(), begun.first as u16 + position as u16);
            assert!(bench.track.write_again(bench.now, number, RTT, &mut bench.srtp, &mut copy).unwrap());
            assert_eq!(copy.bytes, original, "packet {position}");
        }
        assert!(bench.track.playout.handle_frame(bench.now) || bench.track.playout.value() != [0; 3]);
        bench.now += RTT;
    }
}

#[test]
fn what_was_not_sent_or_is_a_second_old_is_not_sent_again() {
    let mut bench = bench(IDS, vec![]);
    assert_eq!(bench.send_again(0), None, "before anything was sent");
    let (packets, _) = bench.send(&frame(true, 0, 5_000));
    let sequence_number = packets[0].header.sequence_number;
    assert!(bench.send_again(sequence_number).is_some());
    assert_eq!(bench.send_again(sequence_number), None, "the copy cannot have come yet");
    bench.now += RTT;
    assert!(bench.send_again(sequence_number).is_some());
    bench.now += RTT;
    assert!(bench.send_again(sequence_number).is_some(), "Chromium asks once a round trip");
    bench.now += RTT;
    assert_eq!(bench.send_again(sequence_number), None, "and then the time doubles");
    bench.now += RTT;
    assert!(bench.send_again(sequence_number).is_some());
    for never in [sequence_number.wrapping_sub(1), sequence_number.wrapping_add(packets.len() as u16)] {
        assert_eq!(bench.send_again(never), None);
    }
    bench.now += Duration::from_millis(1100);
    assert_eq!(bench.send_again(sequence_number), None);
}

#[test]
fn a_viewer_that_goes_on_asking_for_what_it_has_gets_four_copies() {
    let mut bench = bench(IDS, vec![]);
    let (packets, _) = bench.send(&frame(true, 0, 5_000));
    let mut copies = 0;
    for _ in 0..90 {
        bench.now += Duration::from_millis(10);
        copies += usize::from(bench.send_again(packets[1].header.sequence_number).is_some());
    }
    assert_eq!(copies, usize::from(MAX_COPIES));
}

#[test]
fn nothing_from_before_a_fresh_start_is_sent_again() {
    let mut bench = bench(IDS, vec![]);
    let (before, _) = bench.send(&frame(true, 0, 5_000));
    bench.track.leave_behind();
    let (after, _) = bench.send(&frame(true, 3600, 5_000));
    assert_eq!(bench.send_again(before[2].header.sequence_number), None);
    assert!(bench.send_again(after[0].header.sequence_number).is_some());
}

#[test]
fn every_packet_has_a_number_of_its_own_for_the_viewers_reports_and_copies_too() {
    let mut bench = bench(IDS, [both_extensions(), vec![(Extension::TransportCc, 4)]].concat());
    let number = |packet: &Packet| {
        let value = packet.header.get_extension(4).unwrap();
        u16::from_be_bytes([value[0], value[1]])
    };
    let (key, _) = bench.send(&frame(true, 0, 5_000));
    let first = number(&key[0]);
    let copy = bench.send_again(key[1].header.sequence_number).unwrap();
    let (delta, _) = bench.send(&frame(false, 3600, 5_000));
    let numbers: Vec<_> = key.iter().chain([&copy]).chain(&delta).map(number).collect();
    assert_eq!(numbers, (first..).take(numbers.len()).collect::<Vec<_>>());
    assert_eq!(delta[0].header.get_extension(9).unwrap().len(), 8, "beside the others");
}

#[test]
fn padding_is_copies_of_large_packets_and_none_without_a_stream_for_them() {
    let mut bench = bench(IDS, vec![(Extension::TransportCc, 4)]);
    bench.send(&frame(true, 0, 20_000));
    bench.send(&frame(false, 3600, 200));
    bench.now += Duration::from_secs(3);
    let mut burst = Burst::default();
    bench.track.write_padding(bench.now, 30_000, &mut bench.srtp, &mut burst).unwrap();
    assert!((28_000..34_000).contains(&burst.bytes.len()), "{}", burst.bytes.len());
    assert!(bench.open(&burst).iter().all(|packet| packet.header.ssrc == 8));
    let mut bench = self::bench(TrackIds { rtx: None, ..IDS }, vec![]);
    bench.send(&frame(true, 0, 20_000));
    burst.clear();
    bench.track.write_padding(bench.now, 30_000, &mut bench.srtp, &mut burst).unwrap();
    assert!(burst.sizes.is_empty());
}

#[test]
fn time_goes_on_where_another_rendition_lags_behind() {
    let mut bench = bench(IDS, vec![]);
    let times = [3600, 7200, 3600, 7200, 10_800, 14_400].map(|time| {
        let (packets, _) = bench.send(&frame(false, time, 100));
        packets[0].header.timestamp.wrapping_sub(bench.track.time_offset)
    });
    assert_eq!(times, [3600, 7200, 7290, 7380, 10_800, 14_400]);
}

#[test]
fn two_frames_may_be_on_their_way_at_once() {
    let mut bench = bench(IDS, vec![]);
    let mut burst = Burst::default();
    let [first, second] =
        [frame(true, 0, 5_000), frame(true, 3600, 3_000)].map(|frame| bench.track.begin(bench.now, &frame));
    for (begun, range) in [(first, 0..2), (second, 0..second.packets), (first, 2..first.packets)] {
        bench.track.write(bench.now, begun, range, &mut bench.srtp, &mut burst).unwrap();
    }
    let mut numbers: Vec<_> = bench.open(&burst).iter().map(|packet| packet.header.sequence_number).collect();
    assert!(!numbers.is_sorted());
    numbers.sort_unstable();
    assert_eq!(numbers.len(), first.packets + second.packets);
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{numbers:?}");
}

#[test]
fn a_viewer_that_asks_for_everything_again_and_again_gets_half_as_much_as_was_sent() {
    let mut bench = bench(IDS, vec![]);
    let (mut sent, mut again) = (0, 0);
    for number in 0..1_000 {
        let (packets, _) = bench.send(&frame(number == 0, 0, 20_000));
        sent += packets.len();
        for packet in packets.iter().chain(&packets) {
            again += usize::from(bench.send_again(packet.header.sequence_number).is_some());
        }
        bench.now += Duration::from_millis(40);
    }
    assert!(again < sent * 6 / 10 && again > sent / 3, "{again} of {sent}");
}

#[test]
fn memory_is_bounded_by_time_and_number() {
    let mut bench = bench(IDS, vec![]);
    for number in 0..1_000 {
        bench.send(&frame(number == 0, 0, 100));
        bench.now += Duration::from_millis(if number < 500 { 1 } else { 40 });
    }
    assert!(bench.track.history.len() <= 27, "{}", bench.track.history.len());
}

#[test]
fn a_sender_report_ties_the_stream_to_the_wall_clock() {
    let mut bench = bench(IDS, vec![]);
    assert_eq!(bench.track.sent(bench.now), None);
    let frame = frame(true, 9_000, 3_000);
    let (packets, _) = bench.send(&frame);
    let sent = bench.track.sent(frame.captured + Duration::from_millis(500)).unwrap();
    assert_eq!(sent.rtp_time.wrapping_sub(packets[0].header.timestamp), 45_000);
    assert_eq!(sent.ntp.wrapping_sub(frame.captured_ntp), 1 << 31);
    assert_eq!(sent.packets as usize, packets.len());
}
