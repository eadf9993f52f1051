#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::queue::queue;
use futures::FutureExt;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

const KEY_FRAME: &[u8] = include_bytes!("../../../tests/fixtures/small.h264");

fn unit(session: u64) -> AccessUnit {
    AccessUnit { session, codec: Codec::H264, data: KEY_FRAME.to_vec(), key: true, captured: Instant::now() }
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
