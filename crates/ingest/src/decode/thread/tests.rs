#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::coded::nal::Splitter;
use crate::queue::queue;
use futures::FutureExt;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

const KEY_FRAME: &[u8] = include_bytes!("../../../tests/fixtures/small.h264");

fn unit(session: u64) -> AccessUnit {
    AccessUnit {
        session,
        codec: Codec::H264,
        data: KEY_FRAME.to_vec(),
        key: true,
        rtp_time: 0,
        captured: Instant::now(),
    }
}

#[track_caller]
fn wait_until(what: &str, done: impl Fn() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < give_up, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn panic_once(codec: Codec) -> Result<Decoder, OpenError> {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    assert!(CALLS.fetch_add(1, SeqCst) > 0, "on purpose");
    Decoder::open(codec, Hardware::None)
}

#[test]
fn a_panic_ends_the_session_and_the_next_one_is_decoded_by_the_same_thread() {
    let record = Record::for_tests();
    let (mut feeder, units) = queue(record.clone());
    let thread = DecodeThread::spawn_with(Box::new(panic_once), units, record.clone()).unwrap();
    let stats = || record.stats(Instant::now(), Duration::from_secs(10));
    feeder.feed(unit(1));
    wait_until("the panic is counted", || stats().panics == 1);
    wait_until("the session is told", || record.decoder_failed.notified().now_or_never().is_some());
    feeder.feed(unit(1));
    feeder.feed(unit(2));
    wait_until("a picture", || stats().frames_decoded > 0);
    assert_eq!(stats().panics, 1);
    drop(thread);
}

#[test]
fn dropping_the_owner_joins_the_thread_though_the_session_still_holds_its_end() {
    let record = Record::for_tests();
    let (mut feeder, units) = queue(record.clone());
    let thread = DecodeThread::spawn(Hardware::None, units, record.clone()).unwrap();
    feeder.feed(unit(1));
    drop(thread);
    assert_eq!(Arc::strong_count(&record), 2, "the thread's own reference is gone");
    feeder.feed(unit(1));
}

/// A second of video: 25 access units of one group of pictures.
fn second(session: u64) -> Vec<AccessUnit> {
    let stream = include_bytes!("../../../tests/fixtures/baseline.h264");
    let mut splitter = Splitter::new(Codec::H264);
    splitter.handle(stream);
    let data: Vec<Vec<u8>> = std::iter::from_fn(|| splitter.poll()).take(25).collect();
    let key = |number| number == 0;
    data.into_iter()
        .enumerate()
        .map(|(number, data)| AccessUnit { data, key: key(number), ..unit(session) })
        .collect()
}

#[test]
fn row_24_of_a_burst_the_newest_picture_is_shown_and_not_all_of_them_one_after_the_other() {
    let record = Record::for_tests();
    record.session_began(1, false);
    let look = || record.look(TileSize::new(1920, 1080)).frame.map(|frame| frame.sequence());
    look();
    let (mut feeder, units) = queue(record.clone());
    // Decoding takes long enough for whoever looks to see every picture there is.
    let open = |codec| {
        std::thread::sleep(Duration::from_millis(100));
        Decoder::open(codec, Hardware::None)
    };
    let thread = DecodeThread::spawn_with(Box::new(open), units, record.clone()).unwrap();
    // The first one opens the decoder; what comes in the meantime waits.
    let mut burst: Vec<AccessUnit> = (0..8).flat_map(|_| second(1)).collect();
    burst.drain(..).for_each(|unit| feeder.feed(unit));
    let mut seen = Vec::new();
    wait_until("the newest picture", || look() == Some(199));
    for _ in 0..10 {
        seen.push(look());
    }
    assert!(seen.iter().all(|sequence| *sequence == Some(199)), "{seen:?}");
    let stats = record.stats(Instant::now(), Duration::from_secs(10));
    assert_eq!((stats.frames_decoded, stats.access_units_dropped, stats.decode_errors), (200, 0, 0));
    // Two were published: the first, before anything waited, and the newest. The second look in a row missed none.
    assert!(stats.frames_overwritten <= 1, "{stats:?}");
    drop(thread);
}

#[test]
fn a_decoder_that_reorders_goes_on_giving_pictures_when_it_gets_key_frames_alone() {
    let streams: [(&[u8], Codec); 2] = [
        (include_bytes!("../../../tests/fixtures/bframes.h264"), Codec::H264),
        (include_bytes!("../../../tests/fixtures/bframes.h265"), Codec::H265),
    ];
    for (stream, codec) in streams {
        let mut splitter = Splitter::new(codec);
        splitter.handle(stream);
        let units: Vec<Vec<u8>> = std::iter::from_fn(|| splitter.poll()).collect();
        let is_key = |unit: &&Vec<u8>| crate::coded::headers(codec, unit).key;
        let (mut decoder, mut next) = (Decoder::open(codec, Hardware::None).unwrap(), 0);
        units[..10].iter().for_each(|unit| drop(decoder.decode(unit, Instant::now(), &mut next)));
        let keys: Vec<&Vec<u8>> = units.iter().filter(is_key).collect();
        let mut fed_for_nothing = 0;
        for key in keys.iter().cycle().take(20) {
            let decoded = decoder.decode(key, Instant::now(), &mut next);
            assert_eq!(decoded.errors, 0);
            fed_for_nothing = if decoded.frames.is_empty() { fed_for_nothing + 1 } else { 0 };
            assert!(fed_for_nothing <= 4, "{codec:?}");
        }
    }
}

#[test]
fn row_23_a_panic_in_the_decoding_of_one_camera_is_nothing_to_another() {
    let panicking = Record::for_tests();
    let (mut feeder, units) = queue(panicking.clone());
    let always = |_| panic!("on purpose");
    let one = DecodeThread::spawn_with(Box::new(always), units, panicking.clone()).unwrap();
    let healthy = Record::for_tests();
    let (mut other_feeder, units) = queue(healthy.clone());
    let other = DecodeThread::spawn(Hardware::None, units, healthy.clone()).unwrap();
    let stats = |record: &Record| record.stats(Instant::now(), Duration::from_secs(10));
    healthy.session_began(1, false);
    healthy.look(TileSize::new(1920, 1080));
    for (number, picture) in (1..=5).zip(second(1)) {
        feeder.feed(unit(number));
        other_feeder.feed(picture);
        wait_until("the panic is counted", || stats(&panicking).panics == number);
        wait_until("the other one's picture", || stats(&healthy).frames_decoded == number);
    }
    assert_eq!((stats(&panicking).frames_decoded, stats(&healthy).panics), (0, 0));
    drop((one, other));
}
