//! The built binary, run as a user runs it.

use super::http::{Reply, request};
use super::{artifacts, signal, wait_until};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A running Wallcast; killed when dropped.
pub struct Wallcast {
    child: Child,
    output: Output,
    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub http: String,
    /// `rtsp://127.0.0.1:PORT`, without a slash at the end.
    pub rtsp: String,
}

/// How a Wallcast ended that was expected to end.
pub struct Ended {
    pub code: Option<i32>,
    pub output: String,
    pub after: Duration,
}

/// Standard output and standard error, line by line as they came, also written to a file.
struct Output {
    lines: Arc<Mutex<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
}

impl Wallcast {
    /// Starts `wallcast` with these arguments and, unless they name some, ports the system chooses; waits until it says that it is ready.
    pub fn start(test: &str, arguments: &[&str]) -> Self {
        Self::start_with(test, arguments, &[])
    }

    /// The same, with environment variables.
    pub fn start_with(test: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = command(arguments, environment).spawn().unwrap();
        let output = Output::of(&mut child, &artifacts(test).join("wallcast.log"));
        let started = Instant::now();
        loop {
            if let Some((http, rtsp)) = output.addresses() {
                return Self { child, output, http, rtsp };
            }
            if let Some(status) = child.try_wait().unwrap() {
                panic!("wallcast {arguments:?} ended ({status}) before it was ready:\n{}", output.finish());
            }
            if started.elapsed() > Duration::from_secs(20) {
                let _ = child.kill();
                panic!("wallcast {arguments:?} was not ready after 20 s:\n{}", output.finish());
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Starts it with a configuration file of this text.
    pub fn with_config(test: &str, yaml: &str) -> Self {
        let file = config_file(test, yaml);
        Self::start(test, &["run", "--config", file.to_str().unwrap()])
    }

    /// Runs it to its end, which must come within 20 s.
    pub fn run_to_end(test: &str, arguments: &[&str]) -> Ended {
        Self::run_to_end_with(test, arguments, &[])
    }

    /// The same, with environment variables.
    pub fn run_to_end_with(test: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Ended {
        let mut child = command(arguments, environment).spawn().unwrap();
        let output = Output::of(&mut child, &artifacts(test).join("wallcast.log"));
        let started = Instant::now();
        let status = wait_for(&mut child, Duration::from_secs(20));
        let after = started.elapsed();
        let _ = child.kill();
        let output = output.finish();
        let status = status.unwrap_or_else(|| panic!("wallcast {arguments:?} did not end:\n{output}"));
        Ended { code: status.code(), output, after }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has said until now.
    pub fn output(&self) -> String {
        self.output.text()
    }

    pub fn get(&self, path: &str) -> Reply {
        request("GET", &format!("{}{path}", self.http), &[], "")
    }

    pub fn stats(&self) -> Value {
        let reply = self.get("/stats");
        assert_eq!(reply.status, 200, "{}", reply.body);
        serde_json::from_str(&reply.body).unwrap_or_else(|error| panic!("/stats: {error}: {}", reply.body))
    }

    /// What `/stats` says at a JSON pointer, such as `/walls/wall/fps`. Panics when there is nothing.
    pub fn stat(&self, pointer: &str) -> Value {
        let stats = self.stats();
        stats.pointer(pointer).unwrap_or_else(|| panic!("found no {pointer} in /stats: {stats}")).clone()
    }

    pub fn number(&self, pointer: &str) -> f64 {
        let found = self.stat(pointer);
        found.as_f64().unwrap_or_else(|| panic!("{pointer} in /stats: found {found}, expected a number"))
    }

    /// Waits until a camera is in a state.
    pub fn wait_for_state(&self, camera: &str, state: &str, limit: Duration) {
        wait_until(&format!("camera {camera} to be {state}"), limit, || {
            let found = self.stat(&format!("/cameras/{camera}"));
            if found["state"] == state { Ok(()) } else { Err(found) }
        });
    }

    /// Sends SIGINT, as Ctrl-C does.
    pub fn interrupt(&self) {
        signal(self.pid(), "INT");
    }

    /// Waits for its end. `None` when it is still running after `limit`.
    pub fn end(&mut self, limit: Duration) -> Option<ExitStatus> {
        wait_for(&mut self.child, limit)
    }
}

impl Drop for Wallcast {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let output = self.output.finish_by_ref();
        if thread::panicking() {
            let lines: Vec<&str> = output.lines().collect();
            eprintln!(
                "--- the last lines of wallcast ---\n{}",
                lines[lines.len().saturating_sub(40)..].join("\n")
            );
        }
    }
}

/// Writes a configuration file into the test's folder.
pub fn config_file(test: &str, yaml: &str) -> PathBuf {
    let file = artifacts(test).join("wall.yaml");
    fs::write(&file, yaml).unwrap();
    file
}

fn command(arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wallcast"));
    command.args(arguments);
    if matches!(arguments.first(), Some(&("run" | "demo"))) {
        // Every interface for viewers, as it comes: theirs is a browser's way.
        for (option, address) in
            [("--listen", "127.0.0.1:0"), ("--rtsp-listen", "127.0.0.1:0"), ("--webrtc-listen", "0.0.0.0:0")]
        {
            if !arguments.contains(&option) {
                command.args([option, address]);
            }
        }
    }
    command.env_remove("WALLCAST_LOG").envs(environment.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn wait_for(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        if started.elapsed() > limit {
            return None;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

impl Output {
    fn of(child: &mut Child, log: &Path) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::new(Mutex::new(File::create(log).unwrap()));
        let pipes: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        let readers = pipes
            .into_iter()
            .map(|pipe| {
                let (lines, log) = (Arc::clone(&lines), Arc::clone(&log));
                thread::spawn(move || {
                    // By bytes: whatever it prints must be kept, valid UTF-8 or not.
                    for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                        let line = String::from_utf8_lossy(&line).into_owned();
                        writeln!(log.lock().unwrap(), "{line}").unwrap();
                        lines.lock().unwrap().push(line);
                    }
                })
            })
            .collect();
        Self { lines, readers }
    }

    fn text(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    /// Everything, once the process has ended.
    fn finish(mut self) -> String {
        self.finish_by_ref()
    }

    fn finish_by_ref(&mut self) -> String {
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        self.text()
    }

    /// The addresses of the ready line: `wallcast is ready: http://…/ … rtsp://…/`.
    fn addresses(&self) -> Option<(String, String)> {
        let lines = self.lines.lock().unwrap();
        let line = lines.iter().find(|line| line.contains("wallcast is ready"))?;
        let find = |scheme: &str| {
            let start = line.find(scheme)?;
            let rest = &line[start + scheme.len()..];
            let host = rest.split(|c: char| c == '/' || c.is_whitespace() || c == ',' || c == ')').next()?;
            Some(format!("{scheme}{host}"))
        };
        Some((find("http://")?, find("rtsp://").unwrap_or_default()))
    }
}
