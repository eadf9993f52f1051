//! What a process costs, read from `/proc`, and where it may run.

use std::fs;
use std::process::{Command, Stdio};

/// Where a process's CPU time went, in seconds since its start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    /// `decode-…`: a camera's pictures.
    pub decoding: f64,
    /// `tokio…`: sessions of cameras and of viewers.
    pub sessions: f64,
    /// `wall-…` and `encode-…`: composing and encoding.
    pub walls: f64,
    /// Threads of any other name.
    pub others: f64,
}

impl Cpu {
    /// Adds up the threads that live now, to the nanosecond (`schedstat`); user and system.
    pub fn of(pid: u32) -> Self {
        let mut cpu = Self::default();
        for thread in fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten() {
            let read = |name| fs::read_to_string(thread.path().join(name));
            // A thread may end between two lines of this.
            let (Ok(name), Ok(times)) = (read("comm"), read("schedstat")) else { continue };
            let nanoseconds: f64 = times.split(' ').next().and_then(|first| first.parse().ok()).unwrap();
            *cpu.kind(&name) += nanoseconds / 1e9;
        }
        cpu
    }

    pub fn total(&self) -> f64 {
        self.decoding + self.sessions + self.walls + self.others
    }

    /// What was used since `before`, a second.
    pub fn rate_since(&self, before: &Self, seconds: f64) -> Self {
        let rate = |now: f64, before: f64| (now - before) / seconds;
        Self {
            decoding: rate(self.decoding, before.decoding),
            sessions: rate(self.sessions, before.sessions),
            walls: rate(self.walls, before.walls),
            others: rate(self.others, before.others),
        }
    }

    fn kind(&mut self, name: &str) -> &mut f64 {
        match name {
            name if name.starts_with("decode-") => &mut self.decoding,
            name if name.starts_with("tokio") => &mut self.sessions,
            name if name.starts_with("wall-") || name.starts_with("encode-") => &mut self.walls,
            _ => &mut self.others,
        }
    }
}

/// Resident memory, in bytes.
pub fn memory(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a resident set");
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1024.0
}

/// Names of the threads that live now, as the kernel keeps them (15 bytes).
pub fn threads(pid: u32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.map(|name| name.trim_end().to_owned()).collect()
}

/// Keeps a process, all its threads and those to come on these cores (`taskset`'s list).
pub fn pin(pid: u32, cores: &str) {
    let taskset = Command::new("taskset")
        .args(["--all-tasks", "--cpu-list", "--pid", cores, &pid.to_string()])
        .stdout(Stdio::null())
        .status()
        .expect("taskset, of util-linux");
    assert!(taskset.success(), "could not keep {pid} on the cores {cores}");
}
