//! A thousand joins and leaves, a tenth of them rude (failures.md B9, W1, W2). Alone in its process, because it counts what
//! the process holds: the allocator counts its heap, `/proc` its descriptors, threads and resident set.
//!
//! The rude come in the first half, so that it takes one wait for all of them to be given up, and the second half shows
//! what a join costs for good: nothing.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::runtime::Runtime;
use wallcast_benches::fan_out::viewers::{Admission, Door, Fleet, Introduction, Terms};
use wallcast_webrtc::{Peers, PeersConfig, ProfileLevelId, Rendition, SessionId, Source, SourceFrame};

/// The binary's allocator, and how much of it is in use.
#[allow(unsafe_code, reason = "an allocator")]
mod heap {
    use std::alloc::{GlobalAlloc, Layout};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use mimalloc::MiMalloc;

    pub(super) static IN_USE: AtomicUsize = AtomicUsize::new(0);

    pub(super) struct Counting;

    // SAFETY: it is mimalloc's, called with what this was called with; counting touches no memory of it.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            IN_USE.fetch_add(layout.size(), Ordering::Relaxed);
            // SAFETY: as this was called.
            unsafe { MiMalloc.alloc(layout) }
        }

        unsafe fn dealloc(&self, allocated: *mut u8, layout: Layout) {
            IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
            // SAFETY: as this was called.
            unsafe { MiMalloc.dealloc(allocated, layout) }
        }

        unsafe fn realloc(&self, allocated: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            IN_USE.fetch_add(size, Ordering::Relaxed);
            IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
            // SAFETY: as this was called.
            unsafe { MiMalloc.realloc(allocated, layout, size) }
        }
    }
}

#[global_allocator]
static ALLOCATOR: heap::Counting = heap::Counting;

const JOINS: usize = 1000;
const BATCH: usize = 50;
/// Of the batches of the first half: 100 altogether.
const RUDE: usize = 10;
/// Consent expires after 30 s (RFC 7675).
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(35);
const RESIDENT_MORE: usize = 32 << 20;
/// Bytes a join may leave behind by the slope: tables that grow once are as many.
const SLOPE: f64 = 64.0;

#[derive(Clone, Copy, Debug)]
struct Held {
    heap: usize,
    resident: usize,
    descriptors: usize,
    threads: usize,
    tasks: usize,
}

impl Held {
    fn now(runtime: &Runtime) -> Self {
        let count = |folder| std::fs::read_dir(folder).unwrap().count();
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
        Self {
            heap: heap::IN_USE.load(Ordering::Relaxed),
            resident: pages * 4096,
            descriptors: count("/proc/self/fd"),
            threads: count("/proc/self/task"),
            tasks: runtime.metrics().num_alive_tasks(),
        }
    }
}

struct InProcess<'a> {
    runtime: &'a Runtime,
    peers: &'a Peers,
    source: &'a Arc<Source>,
    sessions: Vec<SessionId>,
}

impl Door for InProcess<'_> {
    fn enter(&mut self, viewer: &Introduction) -> anyhow::Result<Admission> {
        let client = Ipv4Addr::LOCALHOST.into();
        let answer = self.runtime.block_on(self.peers.answer(self.source, &viewer.offer(), client))?;
        self.sessions.push(answer.id);
        Ok(Admission::WebRtc(Terms::read(&answer.sdp, true)?))
    }
}

/// 25 frames a second until told to stop; a key frame twice a second.
fn feed(source: &Source, stop: &AtomicBool) {
    for number in (0u32..).take_while(|_| !stop.load(Ordering::Relaxed)) {
        let key = number % 12 == 0;
        let mut data =
            if key { vec![0, 0, 0, 1, 0x67, 0x42, 0xe0, 0x28, 0, 0, 0, 1, 0x68, 0xce] } else { vec![] };
        data.extend([0, 0, 0, 1, if key { 0x65 } else { 0x41 }]);
        data.extend((0..20_000).map(|i| (i % 251) as u8 | 1));
        let (data, captured) = (Bytes::from(data), Instant::now());
        source.push(0, &SourceFrame { data, key, rtp_time: number.wrapping_mul(3600), captured });
        std::thread::sleep(Duration::from_millis(40));
    }
}

fn until(what: &str, limit: Duration, fleet: &mut Fleet, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !done() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        fleet.run(Duration::from_millis(10));
    }
}

/// A batch watches and leaves: so many without a word, of the others every second by our side, every second by its own.
fn batch(fleet: &mut Fleet, door: &mut InProcess<'_>, rude: usize) {
    door.sessions.clear();
    fleet.grow(BATCH, door).unwrap();
    let ended = door.sessions.drain(..BATCH / 2).collect::<Vec<_>>();
    fleet.leave(rude, true);
    fleet.leave(BATCH / 2 - rude, false);
    for id in ended {
        assert!(door.runtime.block_on(door.peers.close(&id)));
    }
    fleet.leave(BATCH, true);
}

fn slope(points: &[(f64, f64)]) -> f64 {
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / points.len() as f64;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let over: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    over / points.iter().map(|point| (point.0 - x).powi(2)).sum::<f64>()
}

#[test]
fn a_thousand_joins_and_leaves_a_tenth_of_them_rude_leave_nothing_behind() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let rendition = Rendition {
        name: "1080p".to_owned(),
        profile: ProfileLevelId::constrained_baseline(40),
        bitrate_bps: 4_000_000,
        on_key_frame_needed: Box::new(|| ()),
    };
    let source = Source::new("wall", vec![rendition]);
    let config = PeersConfig { bind: vec![Ipv4Addr::LOCALHOST.into()], threads: 2, ..PeersConfig::default() };
    let peers = Peers::new(config).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| feed(&source, &stop));
        let mut fleet = Fleet::counting().unwrap();
        let mut door = InProcess { runtime: &runtime, peers: &peers, source: &source, sessions: Vec::new() };
        let soon = Duration::from_secs(5);

        // Whatever is opened and grown once for good is so after the first.
        batch(&mut fleet, &mut door, 0);
        until("the first batch is gone", soon, &mut fleet, || peers.stats().is_empty());
        let start = Held::now(&runtime);

        let began = Instant::now();
        for _ in (BATCH..JOINS / 2).step_by(BATCH) {
            batch(&mut fleet, &mut door, RUDE);
        }
        batch(&mut fleet, &mut door, RUDE);
        let rude = peers.stats().len();
        let rude_since = Instant::now();
        until("the rude are given up", GIVEN_UP_WITHIN, &mut fleet, || peers.stats().is_empty());
        let waited = rude_since.elapsed();

        let half = Held::now(&runtime);
        let mut points = vec![(0.0, half.heap as f64)];
        for joins in (BATCH..=JOINS / 2).step_by(BATCH) {
            batch(&mut fleet, &mut door, 0);
            until("a batch is gone", soon, &mut fleet, || peers.stats().is_empty());
            points.push((joins as f64, heap::IN_USE.load(Ordering::Relaxed) as f64));
        }
        stop.store(true, Ordering::Relaxed);
        until("descriptors, threads and tasks are where they were", soon, &mut fleet, || {
            let end = Held::now(&runtime);
            (end.descriptors, end.threads + 1, end.tasks) == (start.descriptors, start.threads, start.tasks)
        });
        let (end, slope) = (Held::now(&runtime), slope(&points));
        println!(
            "start {start:?}\nhalf  {half:?}\nend   {end:?}\n{rude} rude ones given up {:.1} s after the last; heap {slope:.1} \
             bytes a join over the second half; {:.1} s",
            waited.as_secs_f64(),
            began.elapsed().as_secs_f64()
        );
        assert!(rude >= JOINS / 20, "the rude were noticed before they could be: {rude}");
        assert!(slope.abs() <= SLOPE, "{slope} bytes a join: {points:?}");
        assert!(end.resident <= start.resident + RESIDENT_MORE, "{start:?} {end:?}");
        assert!(!source.is_watched());
        drop(fleet);
    });
    let weak = Arc::downgrade(&source);
    drop((peers, source));
    assert!(weak.upgrade().is_none(), "somebody holds the source");
}
