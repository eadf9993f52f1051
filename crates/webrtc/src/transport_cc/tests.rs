use super::*;

/// A report of packets from `base` on: how many steps of 250 µs each came after the one before, or that it is missing.
fn report(base: u16, reference: u32, arrivals: &[Option<i16>]) -> Vec<u8> {
    let mut report = vec![0x8f, PACKET_TYPE, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2];
    report.extend(base.to_be_bytes());
    report.extend((arrivals.len() as u16).to_be_bytes());
    report.extend(&reference.to_be_bytes()[1..]);
    report.push(0);
    for seven in arrivals.chunks(7) {
        let symbols = seven.iter().enumerate().map(|(position, arrival)| {
            let symbol = match arrival {
                None => 0,
                Some(0..=255) => 1,
                Some(_) => 2,
            };
            symbol << (12 - 2 * position)
        });
        report.extend((0xc000_u16 | symbols.sum::<u16>()).to_be_bytes());
    }
    for &delta in arrivals.iter().flatten() {
        match u8::try_from(delta) {
            Ok(delta) => report.push(delta),
            Err(_) => report.extend(delta.to_be_bytes()),
        }
    }
    report.resize(report.len().next_multiple_of(4), 0);
    report
}

fn log(start: Instant, packets: usize) -> (SentLog, u16) {
    let mut log = SentLog::new(start, 4_000_000);
    let first = log.number();
    for number in 0..packets {
        log.sent(start + Duration::from_millis(number as u64), 1000);
    }
    (log, first)
}

#[test]
fn a_report_tells_what_came_when_and_what_did_not() {
    let start = Instant::now();
    let (mut log, first) = log(start, 10);
    // Left a millisecond apart, the first took 0, the third 2 ms more.
    let arrived = [Some(0), None, Some(16), Some(4), Some(300), Some(-280)];
    let said = log.read(start, &report(first, 1000, &arrived)).unwrap();
    assert_eq!((said.packets, said.bytes, said.missing), (5, 5000, 1));
    assert_eq!(said.last_us, 64_000_000 + 320 * 250);
    assert_eq!(said.transit_us, 64_000_000);
    assert_eq!(log.read(start, &report(first, 1000, &arrived)), None, "the same report again");
    let late = log.read(start, &report(first + 1, 1001, &[Some(0)])).unwrap();
    assert_eq!((late.packets, late.missing), (1, -1), "it was late, not lost");
}

#[test]
fn runs_and_vectors_of_one_bit_are_read() {
    let start = Instant::now();
    let (mut log, first) = log(start, 300);
    let mut report = report(first, 7, &[]);
    report[14..16].copy_from_slice(&234_u16.to_be_bytes());
    report.truncate(HEADER);
    // 200 missing, 20 that came, and 14 of which every second came.
    for chunk in [200, 0x2000 | 20, 0x8000 | 0x1555_u16] {
        report.extend(chunk.to_be_bytes());
    }
    report.extend([4; 27]);
    let said = log.read(start, &report).unwrap();
    assert_eq!((said.packets, said.missing), (27, 207));
    assert_eq!(said.last_us, 7 * 64_000 + 27 * 1000);
}

#[test]
fn numbers_and_reference_times_wrap() {
    let start = Instant::now();
    let mut log = SentLog::new(start, 4_000_000);
    for _ in 0..70_000 {
        log.sent(start, 500);
    }
    let first = log.number().wrapping_sub(10);
    let before = log.read(start, &report(first, 0x00ff_ffff, &[Some(0)])).unwrap();
    let after = log.read(start, &report(first + 1, 0, &[Some(0)])).unwrap();
    assert_eq!(after.last_us - before.last_us, REFERENCE_US);
}

#[test]
fn a_train_is_measured_by_how_far_apart_it_arrives() {
    let start = Instant::now();
    let (mut log, first) = log(start, 5);
    log.expect_train(20);
    for _ in 0..25 {
        log.sent(start, 1000);
    }
    // A packet of 1000 bytes each 2 ms: 4 Mb/s.
    let arrivals = vec![Some(8); 20];
    assert_eq!(log.read(start, &report(first, 0, &arrivals)).unwrap().train_bps, None, "not all of it");
    let rest = log.read(start, &report(first + 20, 0, &[Some(21 * 8), Some(8), Some(8), Some(8), Some(8)]));
    let bps = rest.unwrap().train_bps.unwrap();
    assert!((3_900_000..4_100_000).contains(&bps), "{bps}");
    log.expect_train(9);
    let first = log.number();
    (0..9).for_each(|_| log.sent(start, 1000));
    let lossy: Vec<_> = (0..9).map(|number| (number % 2 == 0).then_some(1)).collect();
    assert_eq!(log.read(start, &report(first, 0, &lossy)).unwrap().train_bps, Some(0));
}

#[test]
fn hostile_reports_change_nothing_and_cost_little() {
    let start = Instant::now();
    let (mut log, first) = log(start, 100);
    let whole = report(first, 1, &[Some(1), Some(2), None, Some(-4), Some(600)]);
    for len in 0..whole.len() - 4 {
        let _ = log.read(start, &whole[..len]);
    }
    let mut endless = report(first, 1, &[]);
    endless[14..16].copy_from_slice(&u16::MAX.to_be_bytes());
    endless.truncate(HEADER);
    endless.extend([0x1f, 0xff].repeat(9));
    assert_eq!(log.read(start, &endless), None);
    let mut empty_runs = report(first, 1, &[]);
    empty_runs[14..16].copy_from_slice(&500_u16.to_be_bytes());
    empty_runs.truncate(HEADER);
    empty_runs.extend([0; 40]);
    assert_eq!(log.read(start, &empty_runs), None);
    let mut seed = 3_u32;
    for _ in 0..20_000 {
        let mut rubbish = report(first, 1, &[Some(1); 30]);
        for byte in &mut rubbish[12..] {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = (seed >> 24) as u8;
        }
        let _ = log.read(start, &rubbish);
    }
    assert_eq!(log.read(start, &report(log.number(), 1, &[Some(1)])), None, "never sent");
}
