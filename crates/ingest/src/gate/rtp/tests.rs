#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

const OURS: u32 = 0xcafe_0001;
const OTHER: u32 = 0xdead_0002;
const THIRD: u32 = 0xbeef_0003;

fn packet(ssrc: u32, sequence: u16, timestamp: u32) -> Vec<u8> {
    typed(96, ssrc, sequence, timestamp)
}

fn typed(payload_type: u8, ssrc: u32, sequence: u16, timestamp: u32) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type];
    packet.extend(sequence.to_be_bytes());
    packet.extend(timestamp.to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0x65, 1, 2, 3]);
    packet
}

fn continuity() -> Continuity {
    Continuity::new(96, None)
}

/// The number that the packet was passed on with.
fn pass(continuity: &mut Continuity, mut packet: Vec<u8>) -> Result<u16, Dropped> {
    let before = Header::parse(&packet).unwrap();
    match continuity.handle(&mut packet) {
        Verdict::Drop(dropped) => Err(dropped),
        Verdict::Pass => {
            let after = Header::parse(&packet).unwrap();
            assert_eq!(after, Header { sequence: after.sequence, ssrc: OURS, payload_type: 96, ..before });
            Ok(after.sequence)
        }
    }
}

#[track_caller]
fn check(continuity: &mut Continuity, steps: &[(Vec<u8>, Result<u16, Dropped>)]) {
    for (step, (packet, expected)) in steps.iter().enumerate() {
        assert_eq!(pass(continuity, packet.clone()), *expected, "step {step}");
    }
}

#[test]
fn a_well_behaved_camera_is_passed_on_as_it_is_across_the_wrap() {
    let mut continuity = continuity();
    for number in 0..200_000_u32 {
        let sequence = (65_000 + number) as u16;
        assert_eq!(pass(&mut continuity, packet(OURS, sequence, number.wrapping_mul(3_600))), Ok(sequence));
    }
    assert_eq!((continuity.lost(), continuity.adopted()), (0, 0));
}

#[test]
fn timestamps_may_stand_still_and_run_backwards() {
    let mut continuity = continuity();
    for (sequence, timestamp) in [(1, 900_000), (2, 900_000), (3, 100), (4, u32::MAX), (5, 0), (6, 0)] {
        assert_eq!(pass(&mut continuity, packet(OURS, sequence, timestamp)), Ok(sequence));
    }
}

#[test]
fn losses_stay_gaps_of_their_size() {
    let mut continuity = continuity();
    check(
        &mut continuity,
        &[
            (packet(OURS, 65_534, 1), Ok(65_534)),
            (packet(OURS, 2, 2), Ok(2)),
            (packet(OURS, 2_002, 3), Ok(2_002)),
            (packet(OURS, 2_003, 3), Ok(2_003)),
        ],
    );
    assert_eq!(continuity.lost(), 3 + 1_999);
}

#[test]
fn doubled_and_late_packets_are_dropped_without_an_error() {
    let mut continuity = continuity();
    check(
        &mut continuity,
        &[
            (packet(OURS, 10, 1), Ok(10)),
            (packet(OURS, 10, 1), Err(Dropped::Duplicate)),
            (packet(OURS, 11, 1), Ok(11)),
            (packet(OURS, 13, 1), Ok(13)),
            (packet(OURS, 12, 1), Err(Dropped::Late)),
            (packet(OURS, 11, 1), Err(Dropped::Duplicate)),
            (packet(OURS, 14, 1), Ok(14)),
            // A block sent twice is no new numbering.
            (packet(OURS, 13, 1), Err(Dropped::Duplicate)),
            (packet(OURS, 14, 1), Err(Dropped::Duplicate)),
            (packet(OURS, 15, 2), Ok(15)),
        ],
    );
    assert_eq!(continuity.adopted(), 0);
}

#[test]
fn chaos_07_reboot_a_new_ssrc_is_adopted_after_two_packets_with_a_gap_of_one() {
    let mut continuity = continuity();
    check(
        &mut continuity,
        &[
            (packet(OURS, 500, 1), Ok(500)),
            (packet(OURS, 501, 1), Ok(501)),
            (packet(OTHER, 40_000, 9), Err(Dropped::StraySsrc)),
            (packet(OTHER, 40_001, 9), Ok(503)),
            (packet(OTHER, 40_002, 9), Ok(504)),
            (packet(OTHER, 40_004, 9), Ok(506)),
        ],
    );
    assert_eq!((continuity.lost(), continuity.adopted()), (2, 1));
}

#[test]
fn chaos_07_reboot_a_rewind_is_adopted_after_two_packets_with_a_gap_of_one() {
    for (newest, rewound) in [(30_000, 0), (30_000, 5_000), (30_000, 60_000), (30_000, 29_950)] {
        let mut continuity = continuity();
        for sequence in newest - 200..=newest {
            assert_eq!(pass(&mut continuity, packet(OURS, sequence, u32::from(sequence))), Ok(sequence));
        }
        check(
            &mut continuity,
            &[
                (packet(OURS, rewound, 7), Err(Dropped::StrayNumber)),
                (packet(OURS, rewound + 1, 7), Ok(newest + 2)),
                (packet(OURS, rewound + 2, 7), Ok(newest + 3)),
            ],
        );
    }
}

#[test]
fn single_wild_numbers_change_nothing() {
    let mut continuity = continuity();
    for number in 0..1_000_u16 {
        assert_eq!(pass(&mut continuity, packet(OURS, number, 1)), Ok(number));
        assert_eq!(
            pass(&mut continuity, packet(OURS, number.wrapping_add(20_000), 1)),
            Err(Dropped::StrayNumber)
        );
    }
    assert_eq!((continuity.lost(), continuity.adopted()), (0, 0));
}

#[test]
fn chaos_18_strays_of_a_stale_session_are_never_adopted_while_ours_goes_on() {
    let mut continuity = continuity();
    for number in 0..1_000_u16 {
        assert_eq!(pass(&mut continuity, packet(OURS, number, u32::from(number))), Ok(number));
        for burst in 0..if number == 0 { 1 } else { number % 7 } {
            let stray = packet(OTHER, number.wrapping_mul(7).wrapping_add(burst), u32::from(number));
            assert_eq!(pass(&mut continuity, stray), Err(Dropped::StraySsrc), "after {number}");
        }
    }
    assert!(continuity.is_stray(OTHER) && !continuity.is_stray(OURS));
    assert_eq!((continuity.lost(), continuity.adopted()), (0, 0));
}

#[test]
fn a_stray_that_was_adopted_by_mistake_costs_one_picture_and_is_known_from_then_on() {
    let mut continuity = continuity();
    check(
        &mut continuity,
        &[
            (packet(OURS, 10, 1), Ok(10)),
            (packet(OTHER, 700, 1), Err(Dropped::StraySsrc)),
            (packet(OTHER, 701, 1), Ok(12)),
            (packet(OURS, 11, 2), Err(Dropped::StraySsrc)),
            (packet(OURS, 12, 2), Ok(14)),
            (packet(OTHER, 702, 2), Err(Dropped::StraySsrc)),
            (packet(OTHER, 703, 2), Err(Dropped::StraySsrc)),
            (packet(OTHER, 704, 2), Err(Dropped::StraySsrc)),
            (packet(OURS, 13, 3), Ok(15)),
        ],
    );
    assert!(continuity.is_stray(OTHER));
}

#[test]
fn a_stray_becomes_ours_when_ours_has_gone() {
    let mut continuity = continuity();
    check(
        &mut continuity,
        &[
            (packet(OURS, 10, 1), Ok(10)),
            (packet(OTHER, 700, 1), Err(Dropped::StraySsrc)),
            (packet(OURS, 11, 2), Ok(11)),
            (packet(OTHER, 701, 2), Err(Dropped::StraySsrc)),
            (packet(OTHER, 702, 3), Err(Dropped::StraySsrc)),
            (packet(OTHER, 703, 4), Err(Dropped::StraySsrc)),
            (packet(OTHER, 704, 5), Ok(13)),
            (packet(OTHER, 705, 5), Ok(14)),
        ],
    );
    assert!(!continuity.is_stray(OTHER));
}

#[test]
fn the_announced_source_needs_no_probation_but_is_not_required() {
    let mut continuity = Continuity::new(96, Some(OTHER));
    check(
        &mut continuity,
        &[
            (packet(OURS, 10, 1), Ok(10)),
            (packet(OTHER, 700, 1), Ok(12)),
            (packet(OURS, 11, 1), Err(Dropped::StraySsrc)),
            (packet(OURS, 12, 1), Err(Dropped::StraySsrc)),
            (packet(OTHER, 701, 1), Ok(13)),
        ],
    );
}

#[test]
fn many_strays_are_remembered_within_bounds() {
    let mut continuity = continuity();
    for number in 0..1_000_u16 {
        assert_eq!(pass(&mut continuity, packet(OURS, number, 1)), Ok(number));
        assert_eq!(pass(&mut continuity, packet(THIRD + u32::from(number), 5, 1)), Err(Dropped::StraySsrc));
    }
    assert_eq!(continuity.lost(), 0);
}

#[test]
fn only_the_agreed_payload_type_passes_and_what_is_left_out_leaves_no_gap() {
    let mut continuity = continuity();
    check(
        &mut continuity,
        &[
            (packet(OURS, 10, 1), Ok(10)),
            (typed(98, OURS, 11, 1), Err(Dropped::PayloadType)),
            (typed(0, OURS, 12, 1), Err(Dropped::PayloadType)),
            (packet(OURS, 13, 1), Ok(11)),
            (packet(OURS, 14, 1)[..12].to_vec(), Err(Dropped::Empty)),
            (packet(OURS, 15, 1), Ok(12)),
        ],
    );
    assert_eq!(continuity.lost(), 0);
}

#[test]
fn geovision_packets_with_the_number_of_a_video_packet_hide_no_loss() {
    let mut continuity = continuity();
    check(
        &mut continuity,
        &[
            (packet(OURS, 10, 1), Ok(10)),
            (typed(50, OURS, 10, 1), Err(Dropped::PayloadType)),
            // The video packet 11 was lost, its shadow was not.
            (typed(50, OURS, 11, 2), Err(Dropped::PayloadType)),
            (packet(OURS, 12, 2), Ok(12)),
        ],
    );
    assert_eq!(continuity.lost(), 1);
}

#[test]
fn a_camera_with_another_dynamic_type_than_it_said_is_understood() {
    let mut continuity = continuity();
    check(
        &mut continuity,
        &[
            (typed(105, OURS, 10, 1), Ok(10)),
            (typed(105, OURS, 11, 1), Ok(11)),
            (packet(OURS, 12, 1), Ok(12)),
        ],
    );
    assert_eq!(pass(&mut continuity, typed(105, OURS, 13, 1)), Err(Dropped::PayloadType));
}

#[test]
fn rtcp_in_the_place_of_rtp_is_told_apart() {
    let mut receiver_report = vec![0x80, 201, 0, 1];
    receiver_report.extend([0; 12]);
    assert_eq!(continuity().handle(&mut receiver_report), Verdict::Drop(Dropped::Rtcp));
}

#[test]
fn headers_are_read_with_csrcs_extension_and_padding() {
    let mut bytes = vec![0x80 | 0x20 | 0x10 | 2, 0x80 | 96, 0, 7, 0, 0, 0, 9, 0, 0, 0, 1];
    bytes.extend([0xc1; 8]);
    bytes.extend([0xbe, 0xde, 0, 1, 1, 2, 3, 4]);
    bytes.extend([5, 6, 7, 0, 0, 3]);
    let header = Header::parse(&bytes).unwrap();
    assert_eq!(
        header,
        Header { payload_type: 96, marker: true, sequence: 7, timestamp: 9, ssrc: 1, payload_len: 3 }
    );
}

#[test]
fn no_bytes_make_the_reader_panic_and_lengths_never_exceed_the_packet() {
    let mut random = fastrand(7);
    for length in (0..64).cycle().take(200_000) {
        let mut bytes: Vec<u8> = (0..length).map(|_| random() as u8).collect();
        if let Some(first) = bytes.first_mut() {
            *first = *first & 0x3f | 0x80;
        }
        if let Some(header) = Header::parse(&bytes) {
            assert!(header.payload_len + 12 <= bytes.len());
        }
    }
    for broken in [
        &[][..],
        &[0x80; 11],
        &[0x40; 16],
        &[0x8f, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        &[0x90, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xbe, 0xde, 0xff, 0xff],
        &[0xa0, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0xa0, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2],
    ] {
        assert_eq!(Header::parse(broken), None, "{broken:?}");
    }
}

/// Xorshift; the same numbers for the same seed.
fn fastrand(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

#[test]
fn whatever_comes_numbers_only_ever_grow() {
    let mut random = fastrand(11);
    let mut continuity = continuity();
    let mut last: Option<u16> = None;
    for _ in 0..300_000 {
        let (a, b) = (random(), random());
        let ssrc = [OURS, OURS, OTHER, THIRD][(a >> 8) as usize % 4];
        let sequence = if a % 3 == 0 { b as u16 } else { (b % 8) as u16 + last.unwrap_or_default() % 50 };
        let mut bytes = packet(ssrc, sequence, (b >> 32) as u32 % 5);
        if continuity.handle(&mut bytes) == Verdict::Pass {
            let now = Header::parse(&bytes).unwrap().sequence;
            if let Some(last) = last {
                assert!((1..=MAX_DROPOUT).contains(&now.wrapping_sub(last)), "{last} {now}");
            }
            last = Some(now);
        }
    }
    assert!(last.is_some());
}
