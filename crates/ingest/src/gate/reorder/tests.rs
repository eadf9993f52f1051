#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

const STEP: Duration = Duration::from_millis(4);

fn packet(ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 96];
    packet.extend(sequence.to_be_bytes());
    packet.extend(u32::from(sequence / 10).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0x65; 20]);
    packet
}

fn sequence(packet: &[u8]) -> u16 {
    u16::from_be_bytes([packet[2], packet[3]])
}

/// What comes out when these numbers arrive, one per `step`, with everything released at the end.
fn after(arrivals: impl IntoIterator<Item = u16>, step: Duration) -> (Vec<u16>, Reorder) {
    let (mut reorder, mut now) = (Reorder::default(), Instant::now());
    let mut out = Vec::new();
    for number in arrivals {
        now += step;
        reorder.handle(now, packet(1, number));
        while let Some(packet) = reorder.poll(now) {
            out.push(sequence(&packet));
        }
    }
    while let Some(deadline) = reorder.next_deadline() {
        assert!(deadline > now - step && deadline <= now + LONGEST_WAIT);
        now = now.max(deadline);
        while let Some(packet) = reorder.poll(now) {
            out.push(sequence(&packet));
        }
    }
    (out, reorder)
}

/// Numbers overtaken by up to `by` later ones, which takes up to twice as many steps.
fn displaced(count: u16, by: u64, seed: u64) -> Vec<u16> {
    let mut state = seed;
    let mut keyed: Vec<(u64, u64, u16)> = (0..count)
        .map(|number| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (u64::from(number) + state % (by + 1), state >> 32, number)
        })
        .collect();
    keyed.sort();
    keyed.into_iter().map(|(_, _, number)| number).collect()
}

#[test]
fn packets_in_order_are_passed_on_at_once() {
    let (mut reorder, now) = (Reorder::default(), Instant::now());
    (64_990..65_000).for_each(|number| reorder.handle(now, packet(1, number)));
    assert_eq!(std::iter::from_fn(|| reorder.poll(now)).count(), 10, "the beginning was looked at");
    for number in 65_000..=u16::MAX {
        reorder.handle(now, packet(1, number));
        assert_eq!(reorder.poll(now).map(|packet| sequence(&packet)), Some(number));
        assert_eq!((reorder.poll(now), reorder.next_deadline()), (None, None));
    }
    reorder.handle(now, packet(1, 0));
    assert!(reorder.poll(now).is_some());
}

#[test]
fn chaos_14_udp_reordering_is_undone_and_never_condemned_whatever_the_pace() {
    for (by, steps) in [(1, [50, 4_000, 20_000]), (5, [50, 4_000, 20_000]), (20, [50, 250, 1_000])] {
        for step in steps.map(Duration::from_micros) {
            let arrivals = displaced(30_000, by, 3 + by);
            assert!(arrivals.windows(2).any(|pair| pair[0] > pair[1]));
            let (out, mut reorder) = after(arrivals, step);
            // The very first packet begins the numbering; what it overtook is late.
            let begin = out[0];
            assert!(u64::from(begin) <= by);
            assert!(out.iter().copied().eq(begin..30_000), "by {by} at {step:?}");
            assert!(reorder.reordered() > 1_000);
            let report = reorder.losses(Instant::now() + step * 30_000);
            assert_eq!((report.lost, report.path), (0, Path::Good));
        }
    }
}

#[test]
fn a_first_packet_that_overtook_others_does_not_come_first() {
    let (out, reorder) = after([3, 1, 5, 0, 2, 4, 7, 6, 8, 9], STEP);
    assert!(out.into_iter().eq(0..10));
    assert!(reorder.reordered() > 0);
    let (out, _) = after([7], STEP);
    assert_eq!(out, [7], "and does not wait for ever");
}

#[test]
fn chaos_14_udp_losses_fall_back_within_seconds() {
    for (percent, within) in [(1, 20), (5, 6), (10, 4)] {
        let (mut reorder, begin, mut state) = (Reorder::default(), Instant::now(), 77_u64);
        let fell_back = (0..100_000_u32).find_map(|number| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let now = begin + STEP * 5 * number;
            if state % 100 >= percent {
                reorder.handle(now, packet(1, number as u16));
            }
            while reorder.poll(now).is_some() {}
            (reorder.losses(now).path == Path::FallBack).then_some(now - begin)
        });
        let fell_back = fell_back.expect("falls back");
        assert!(fell_back < Duration::from_secs(within), "{percent} %: {fell_back:?}");
    }
}

#[test]
fn one_burst_of_losses_is_put_up_with_and_forgotten() {
    let (mut reorder, begin) = (Reorder::default(), Instant::now());
    for number in 0..10_000_u32 {
        let now = begin + STEP * number;
        if !(3_000..3_150).contains(&number) {
            reorder.handle(now, packet(1, number as u16));
        }
        while reorder.poll(now).is_some() {}
        let report = reorder.losses(now);
        assert_eq!(report.path, Path::Good, "{report:?}");
        if number == 3_300 {
            assert_eq!((report.lost, report.spoilt_seconds), (150, 1));
        }
    }
    assert_eq!(reorder.losses(begin + STEP * 10_000).lost, 0);
}

#[test]
fn a_lost_packet_is_waited_for_and_then_passed_over() {
    let (mut reorder, now) = (Reorder::default(), Instant::now());
    for number in (0..20).filter(|number| *number != 5) {
        reorder.handle(now, packet(1, number));
    }
    let mut before: Vec<u16> = Vec::new();
    while let Some(packet) = reorder.poll(now) {
        before.push(sequence(&packet));
    }
    assert_eq!(before, [0, 1, 2, 3, 4]);
    assert_eq!(reorder.next_deadline(), Some(now + WAIT));
    assert_eq!(reorder.poll(now + WAIT - Duration::from_micros(1)), None);
    assert_eq!(reorder.poll(now + WAIT).map(|packet| sequence(&packet)), Some(6));
    assert_eq!(reorder.losses(now + WAIT).lost, 1);
    // It comes after all: too late, but not lost.
    reorder.handle(now + WAIT, packet(1, 5));
    assert_eq!(reorder.losses(now + WAIT).lost, 0);
    let rest: Vec<u16> = std::iter::from_fn(|| reorder.poll(now + WAIT)).map(|p| sequence(&p)).collect();
    assert!(rest.into_iter().eq(7..20));
}

#[test]
fn no_more_than_the_depth_is_held_whatever_comes() {
    let (mut reorder, now) = (Reorder::default(), Instant::now());
    reorder.handle(now, packet(1, 0));
    for number in 0..20_000_u16 {
        reorder.handle(now, packet(1, number.wrapping_mul(2)));
        assert!(reorder.held.len() <= DEPTH);
        while reorder.poll(now).is_some() {}
        assert!(reorder.ready.is_empty());
    }
}

#[test]
fn copies_are_dropped_wherever_their_originals_are() {
    let arrivals = [0, 0, 1, 3, 3, 2, 2, 1, 4, 3];
    let (out, reorder) = after(arrivals, STEP);
    assert_eq!(out, [0, 1, 2, 3, 4]);
    assert_eq!(reorder.duplicates(), 5);
}

#[test]
fn chaos_07_reboot_a_new_source_or_numbering_is_followed_and_held_packets_come_first() {
    for (ssrc, start) in [(2, 500), (1, 40_000), (1, 0)] {
        let (mut reorder, now) = (Reorder::default(), Instant::now());
        let mut out = Vec::new();
        let numbers = (20_000..20_150).map(|number| (1, number)).chain([(1, 20_151)]);
        let after = (start..start + 4).chain([start + 5, start + 4, start + 6]).map(|number| (ssrc, number));
        for (ssrc, number) in numbers.chain(after) {
            reorder.handle(now, packet(ssrc, number));
            out.extend(std::iter::from_fn(|| reorder.poll(now)).map(|packet| sequence(&packet)));
        }
        // The first of the new ones is not yet believed and overtakes what is held.
        let expected = (20_000..20_150).chain([start, 20_151]).chain(start + 1..start + 7);
        assert!(out.iter().copied().eq(expected), "{out:?}");
        assert_eq!(reorder.losses(now).path, Path::Good);
    }
}

#[test]
fn a_numbering_that_begins_anew_a_little_way_back_is_followed() {
    let (mut reorder, now) = (Reorder::default(), Instant::now());
    let mut rewound = packet(1, 0);
    let mut out = 0;
    for number in 0..50 {
        reorder.handle(now, packet(1, number));
    }
    for number in 0..50_u16 {
        rewound[2..4].copy_from_slice(&number.to_be_bytes());
        rewound[4..8].copy_from_slice(&9_999_u32.to_be_bytes());
        reorder.handle(now, rewound.clone());
    }
    while reorder.poll(now).is_some() {
        out += 1;
    }
    assert_eq!(out, 100);
}

#[test]
fn a_long_silence_is_no_loss() {
    let (mut reorder, now) = (Reorder::default(), Instant::now());
    reorder.handle(now, packet(1, 1));
    let later = now + Duration::from_secs(100_000_000);
    reorder.handle(later, packet(1, 2));
    assert_eq!(
        reorder.losses(later),
        LossReport { received: 1, lost: 0, spoilt_seconds: 0, path: Path::Good }
    );
}
