//! CPU seconds, not wall time: user and system, of this process or of a command and its threads.

use anyhow::{Context, bail};
use std::process::{Command, Stdio};
use std::time::Duration;

/// What this process has used up to now, all its threads together.
pub fn ours() -> Duration {
    used(libc::RUSAGE_SELF)
}

/// Runs a command to its end and says what it used.
pub fn of(command: &mut Command) -> anyhow::Result<Duration> {
    let before = used(libc::RUSAGE_CHILDREN);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(used(libc::RUSAGE_CHILDREN) - before)
}

/// What another process has used up to now: its threads that live now, to the nanosecond.
pub fn of_process(pid: u32) -> anyhow::Result<Duration> {
    let mut total = Duration::ZERO;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end between two lines of this.
        let Ok(times) = std::fs::read_to_string(thread?.path().join("schedstat")) else { continue };
        let nanoseconds = times.split(' ').next().and_then(|first| first.parse().ok());
        total += Duration::from_nanos(nanoseconds.context("a schedstat without times")?);
    }
    Ok(total)
}

/// What another process holds in memory, in bytes.
pub fn resident(pid: u32) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no resident set")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? * 1024.0)
}

/// Keeps this thread, and those and the processes it starts from now on, on one core.
pub fn pin(core: usize) -> anyhow::Result<()> {
    let mut only = rustix::thread::CpuSet::new();
    only.set(core);
    rustix::thread::sched_setaffinity(None, &only).with_context(|| format!("no core {core} to run on"))
}

/// Lets this thread, and what it starts from now on, run everywhere again.
pub fn unpin() -> anyhow::Result<()> {
    let mut every = rustix::thread::CpuSet::new();
    (0..rustix::thread::CpuSet::MAX_CPU).for_each(|core| every.set(core));
    rustix::thread::sched_setaffinity(None, &every).context("no cores to run on")
}

/// The median; of an even number the lower one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

fn used(who: libc::c_int) -> Duration {
    // SAFETY: all zeros are a valid rusage, and getrusage writes one through a valid pointer.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(who, &raw mut usage);
        usage
    };
    let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1_000);
    time(usage.ru_utime) + time(usage.ru_stime)
}
