//! What the process costs, read from `/proc/self`: CPU, memory, threads, descriptors.

use std::fs;

use serde::Serialize;

/// `process` of `/stats`. A figure that cannot be read (no `/proc`) is zero.
#[derive(Debug, Default, Serialize)]
pub struct ProcessStats {
    /// User plus system time of all threads since the start, in seconds.
    pub cpu_seconds: f64,
    /// Resident set, in bytes.
    pub memory_bytes: u64,
    /// Threads alive now.
    pub threads: u64,
    /// File descriptors open now, sockets included.
    pub open_files: u64,
}

impl ProcessStats {
    /// Reads the figures now; four small files, well below a millisecond.
    pub fn read() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let field = |name: &str| -> u64 {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .and_then(|rest| rest.trim_start_matches(':').split_whitespace().next())
                .and_then(|number| number.parse().ok())
                .unwrap_or(0)
        };
        Self {
            cpu_seconds: cpu_seconds(&fs::read_to_string("/proc/self/stat").unwrap_or_default())
                .unwrap_or(0.0),
            memory_bytes: field("VmRSS") * 1024,
            threads: field("Threads"),
            open_files: fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64),
        }
    }
}

/// utime + stime of proc(5) `stat`, fields 14 and 15. They are counted behind the last ')' because the second field,
/// the program's name, may hold spaces. The kernel exports them in USER_HZ, which is 100 on every Linux we build for.
fn cpu_seconds(stat: &str) -> Option<f64> {
    const USER_HZ: f64 = 100.0;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / USER_HZ)
}

/// Lifts the soft limit on descriptors to the hard one: a viewer is a socket, and 1,024 are soon gone.
pub fn raise_descriptor_limit() {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "could not raise the limit on open files; many viewers may be refused");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_spaces_and_brackets_does_not_shift_the_fields() {
        let stat = "42 (wall (cast) x) S 1 1 1 0 -1 4194560 9 0 0 0 250 50 0 0 20 0 14 0 1 1 1";
        assert_eq!(cpu_seconds(stat), Some(3.0));
    }

    #[test]
    fn this_process_has_memory_threads_and_descriptors() {
        let stats = ProcessStats::read();
        assert!(stats.memory_bytes > 100_000 && stats.threads >= 1 && stats.open_files >= 3, "{stats:?}");
    }
}
