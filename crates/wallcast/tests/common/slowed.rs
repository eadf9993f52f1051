//! A process that gets less CPU than it wants, on any machine and by anybody: stopped whenever it has used more than its
//! share, and continued when that has grown again. It is what a container's CPU limit does, in finer steps, and needs no
//! rights. Pinning it to a core with busy threads beside it would not do: how much is left then depends on how many of its
//! threads want to run, and on whatever else the machine does.

use super::process::Cpu;
use rustix::process::{Pid, Signal, kill_process};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often its use is looked at.
const EVERY: Duration = Duration::from_millis(2);
/// So much of an unused share is kept, in seconds of CPU.
const SAVED: f64 = 0.005;

/// Slows a process for as long as it lives.
pub struct Slowed {
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<f64>>,
}

impl Slowed {
    /// From now on the process gets `share` CPU seconds a second, all its threads together.
    pub fn to(pid: u32, share: f64) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&done);
        let thread = thread::Builder::new().name("slows".into()).spawn(move || slow(pid, share, &ends));
        Self { done, thread: Some(thread.unwrap()) }
    }

    /// Lets it go. Returns the part of the time in which it stood still.
    pub fn release(mut self) -> f64 {
        self.end()
    }

    fn end(&mut self) -> f64 {
        self.done.store(true, Ordering::Relaxed);
        self.thread.take().map_or(0.0, |thread| thread.join().unwrap_or_default())
    }
}

impl Drop for Slowed {
    fn drop(&mut self) {
        self.end();
    }
}

fn slow(pid: u32, share: f64, done: &AtomicBool) -> f64 {
    let process = Pid::from_raw(pid as i32).unwrap();
    let (begun, mut last, mut stopped_for) = (Instant::now(), Instant::now(), Duration::ZERO);
    let (mut used, mut left, mut stopped) = (Cpu::of(pid).total(), 0.0, false);
    while !done.load(Ordering::Relaxed) {
        thread::sleep(EVERY);
        let (now, total) = (Instant::now(), Cpu::of(pid).total());
        left = (left + share * (now - last).as_secs_f64() - (total - used)).min(SAVED);
        stopped_for += if stopped { now - last } else { Duration::ZERO };
        (last, used) = (now, total);
        if stopped != (left < 0.0) {
            stopped = !stopped;
            kill_process(process, if stopped { Signal::STOP } else { Signal::CONT }).unwrap();
        }
    }
    kill_process(process, Signal::CONT).unwrap();
    stopped_for.as_secs_f64() / begun.elapsed().as_secs_f64()
}
