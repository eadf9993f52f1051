//! `udp_relay`: a network in the way, between UDP clients and servers on this machine, for tests without `tc netem`.
//!
//! One process has many doors, each with a port and a network of its own. Lines of JSON on standard input:
//!
//! ```json
//! {"open": "one", "to": "127.0.0.1:8082", "seed": 1, "down": {"delay_ms": 25, "loss": 0.01}, "up": {"delay_ms": 25}}
//! {"change": "one", "down": {"delay_ms": 25, "rate": {"bits_per_second": 1500000, "queue_ms": 1000}}, "up": {}}
//! {"cut": "one", "ms": 5000}
//! {"tell": "one"}
//! ```
//!
//! Each is answered by one line: the door's address, or what became of the datagrams so far. `down` is from the server.
//! To the server every client comes from a port of its own, as through a NAT. Ends with its standard input.

mod door;
mod path;

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec};
use serde::Deserialize;
use serde_json::json;

use door::Door;
use path::Conditions;

#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Command {
    Open { open: String, to: SocketAddr, seed: u64, down: Conditions, up: Conditions },
    Change { change: String, down: Conditions, up: Conditions },
    Cut { cut: String, ms: u64 },
    Tell { tell: String },
}

#[derive(Default)]
struct Relay {
    doors: HashMap<String, Door>,
    /// What has come of a line.
    input: Vec<u8>,
}

fn main() -> ExitCode {
    match Relay::default().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "udp_relay: {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl Relay {
    fn run(&mut self) -> Result<()> {
        loop {
            let due = self.doors.values().filter_map(Door::due).min();
            if self.wait(due)? && !self.read_commands()? {
                return Ok(());
            }
            for door in self.doors.values_mut() {
                door.pass_on();
            }
        }
    }

    /// Until a datagram comes or is due, or a command comes: `true`.
    fn wait(&self, due: Option<Instant>) -> Result<bool> {
        let timeout = due.map(|due| timespec(due.saturating_duration_since(Instant::now())));
        let input = io::stdin();
        let mut waiting = vec![PollFd::new(&input, PollFlags::IN)];
        let sockets = self.doors.values().flat_map(Door::sockets);
        waiting.extend(sockets.map(|socket| PollFd::new(socket, PollFlags::IN)));
        match rustix::event::poll(&mut waiting, timeout.as_ref()) {
            Ok(_) => Ok(!waiting[0].revents().is_empty()),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error).context("cannot wait for sockets"),
        }
    }

    /// `false` when there will be no more.
    fn read_commands(&mut self) -> Result<bool> {
        // As large as this, it goes past the buffer of std, which `poll` would not see.
        let mut buffer = [0; 64 * 1024];
        let count = io::stdin().lock().read(&mut buffer).context("cannot read the commands")?;
        self.input.extend_from_slice(&buffer[..count]);
        while let Some(end) = self.input.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.input.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let answer = self.obey(line.trim()).with_context(|| format!("at the command {}", line.trim()))?;
            let mut output = io::stdout().lock();
            writeln!(output, "{answer}").and_then(|()| output.flush()).context("nobody reads the answers")?;
        }
        Ok(count > 0)
    }

    fn obey(&mut self, line: &str) -> Result<serde_json::Value> {
        match serde_json::from_str(line).context("found no command, expected open, change, cut or tell")? {
            Command::Open { open, to, seed, down, up } => {
                if self.doors.contains_key(&open) {
                    bail!("found a second door {open:?}, expected another name");
                }
                let door = Door::open(to, seed, down, up).with_context(|| format!("cannot open {open:?}"))?;
                let address = door.address();
                self.doors.insert(open, door);
                Ok(json!({ "address": address }))
            }
            Command::Change { change, down, up } => {
                self.door(&change)?.change(down, up);
                Ok(json!({}))
            }
            Command::Cut { cut, ms } => {
                self.door(&cut)?.cut(Instant::now() + Duration::from_millis(ms));
                Ok(json!({}))
            }
            Command::Tell { tell } => {
                let (down, up) = self.door(&tell)?.tell();
                Ok(json!({ "down": down, "up": up }))
            }
        }
    }

    fn door(&mut self, name: &str) -> Result<&mut Door> {
        self.doors.get_mut(name).with_context(|| format!("found no door {name:?}"))
    }
}

fn timespec(time: Duration) -> Timespec {
    Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() }
}
