//! The end-to-end tests' harness: the built binary, cameras, viewers and a reader of the wall's pixels.
//!
//! Every test owns its processes, on ports the system chose; dropping a handle ends its process, by pid. What a process said is kept
//! in `artifacts/<test>/`, so that a failure can be read afterwards. Nothing here knows how Wallcast works inside.

#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a harness: each test file uses a part of it, and a test may panic"
)]

pub mod camera;
pub mod clocks;
pub mod http;
pub mod mosaic;
pub mod process;
pub mod relay;
pub mod rtsp_stub;
pub mod simulated;
pub mod slowed;
pub mod viewer;
pub mod wallcast;
pub mod watch;

use std::fmt::Display;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A figure for whoever reads the log (`--show-output`).
macro_rules! note {
    ($($text:tt)*) => { crate::common::print(&format!($($text)*)) };
}
pub(crate) use note;

pub fn print(text: &str) {
    println!("{text}");
}

/// The project's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A folder for what a test leaves behind, made if need be.
pub fn artifacts(test: &str) -> PathBuf {
    let all = std::env::var_os("WALLCAST_ARTIFACTS").map_or_else(|| root().join("artifacts"), PathBuf::from);
    let folder = all.join(test);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Asks again and again until `check` answers `Ok`, and fails the test with the last `Err` after `limit`.
pub fn wait_until<T, E: Display>(what: &str, limit: Duration, mut check: impl FnMut() -> Result<T, E>) -> T {
    let started = Instant::now();
    loop {
        match check() {
            Ok(found) => return found,
            Err(found) if started.elapsed() > limit => {
                panic!("waited {limit:?} for {what}; found at last: {found}")
            }
            Err(_) => sleep(Duration::from_millis(20)),
        }
    }
}

/// Says loudly that a test could not run here. In CI, where everything is installed, that is a failure.
pub fn skip(test: &str, why: &str) {
    assert!(std::env::var("CI").is_err(), "{test} cannot run, and CI is set: {why}");
    eprintln!("SKIPPED {test}: {why}");
    if let Some(list) = std::env::var_os("WALLCAST_SKIPPED") {
        let mut list = OpenOptions::new().create(true).append(true).open(list).unwrap();
        writeln!(list, "{test}: {why}").unwrap();
    }
}

/// A file of the real footage, or `None` (said loudly) when it is not on this machine.
pub fn footage(test: &str, name: &str) -> Option<PathBuf> {
    let folder = match std::env::var("WALLCAST_MEDIA") {
        Ok(folder) if !folder.is_empty() => PathBuf::from(folder),
        _ => root().join("../shared/media"),
    };
    let file = folder.join(name);
    if file.is_file() {
        return Some(file);
    }
    // Footage cannot be installed, so that its absence fails nowhere.
    eprintln!("SKIPPED {test}: found no {}", file.display());
    if let Some(list) = std::env::var_os("WALLCAST_SKIPPED") {
        let mut list = OpenOptions::new().create(true).append(true).open(list).unwrap();
        writeln!(list, "{test}: found no {} (set WALLCAST_MEDIA)", file.display()).unwrap();
    }
    None
}

/// Sends a signal (`"INT"`, `"STOP"`, …) to one process.
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args(["-s", name, &pid.to_string()]).status().unwrap();
    assert!(status.success(), "could not send {name} to {pid}");
}

/// CPU seconds (user and system, all threads) a process has used.
pub fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // Fields 14 and 15, counted after the name, which may hold spaces; 100 ticks a second on every Linux.
    let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}
