//! What this process has at one moment: threads, descriptors, memory. And whether it grows.

#![allow(unsafe_code, reason = "an allocator that counts; mallinfo2")]
#![allow(clippy::print_stdout, reason = "figures for whoever reads the log (`--show-output`)")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::{env, fs};

#[derive(Clone, Debug)]
pub(crate) struct Footprint {
    threads: usize,
    files: usize,
    /// Bytes that Rust code holds.
    pub(crate) heap: usize,
    /// Bytes that malloc has handed out, FFmpeg's among them.
    malloc: usize,
    /// The resident set.
    resident: usize,
}

/// From one sample to the next, in bytes: the smallest object left behind would be twice as much. Less is no leak: how malloc
/// cuts its blocks depends on who came first.
const MOST_GROWTH: f64 = 4.0;
/// Bar B9.
const MOST_RESIDENT: usize = 32 << 20;

/// Runs a test in a child of this process, because what is counted is the process's; and so that glibc keeps no caches of free
/// blocks for each thread, which would count as handed out.
pub(crate) fn in_a_process_of_its_own(test: &str, body: impl FnOnce()) {
    const CHILD: &str = "WALLCAST_TEST_CHILD";
    if env::var_os(CHILD).is_some() {
        return body();
    }
    let mut child = Command::new(env::current_exe().expect("the test's program"));
    child.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    child.env(CHILD, "1").env("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0");
    let output = child.output().expect("a child");
    let said =
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    println!("{said}");
    assert!(output.status.success() && said.contains("1 passed"), "{test} failed in its child: {said}");
}

impl Footprint {
    pub(crate) fn now() -> Self {
        let entries = |folder: &str| fs::read_dir(folder).expect("/proc").count();
        let pages = fs::read_to_string("/proc/self/statm").expect("/proc");
        let pages: usize = pages.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
        Self {
            threads: entries("/proc/self/task"),
            files: entries("/proc/self/fd"),
            heap: HELD.load(Relaxed),
            malloc: malloc(),
            resident: pages * 4096,
        }
    }

    /// Threads and descriptors only.
    pub(crate) fn has_no_more_than(&self, level: &Self) -> bool {
        self.threads <= level.threads && self.files <= level.files
    }
}

/// The samples of the second half must be level, and the resident set must stay near the first one's.
pub(crate) fn check(samples: &[Footprint]) {
    let (first, last) = (&samples[0], &samples[samples.len() - 1]);
    let second_half = &samples[samples.len() / 2..];
    let heap = growth(second_half, |footprint| footprint.heap);
    let malloc = growth(second_half, |footprint| footprint.malloc);
    let report = format!(
        "{} samples; in the second half each has {heap:.2} bytes more on the heap and {malloc:.2} in malloc than the one before; \
         first {first:?}, last {last:?}",
        samples.len()
    );
    println!("{report}");
    assert!(last.has_no_more_than(first), "{report}");
    assert!(heap <= MOST_GROWTH && malloc <= MOST_GROWTH, "{report}");
    assert!(last.resident <= first.resident + MOST_RESIDENT, "{report}");
}

/// From one sample to the next: the median of the slopes between any two (Theil–Sen), because a queue that once became
/// longer than ever is no leak.
fn growth(samples: &[Footprint], figure: impl Fn(&Footprint) -> usize) -> f64 {
    let figures: Vec<f64> = samples.iter().map(|sample| figure(sample) as f64).collect();
    let pairs = (0..figures.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
    let mut slopes: Vec<f64> = pairs.map(|(i, j)| (figures[i] - figures[j]) / (i - j) as f64).collect();
    slopes.sort_by(f64::total_cmp);
    slopes[slopes.len() / 2]
}

/// Bytes handed out by [`Counting`] and not given back.
static HELD: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, which counts.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is the system allocator's, with the same arguments; counting touches no memory of the caller's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller's promises are what System asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// In blocks of every arena and in mappings of their own.
fn malloc() -> usize {
    // SAFETY: it takes nothing and returns numbers.
    let info = unsafe { libc::mallinfo2() };
    info.uordblks + info.hblkhd
}
