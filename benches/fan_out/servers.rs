//! The servers that are compared, each a process of its own which plays the same film.
//!
//! Those that are ours to write run in a child that executes the benchmark itself once more ([`serve_if_asked`]).

mod aiortc;
mod bare;
mod janus;
mod ours;
mod plain;
mod whep;

use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

pub use whep::Whep;

use super::film::Film;
use super::viewers::Door;
use crate::cpu;

/// Servers have this core for themselves, everything else has the other.
pub const SERVERS_CORE: usize = 0;
/// Of the viewers.
pub const VIEWERS_CORE: usize = 1;

/// The argument that makes a benchmark a server.
const SERVE: &str = "--serve";

/// A way to serve many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `wallcast-webrtc`.
    Ours,
    /// The crate `webrtc` as it comes: a driver, a task and a socket for each viewer.
    Plain,
    /// What nobody can do without: seal each packet, send each frame.
    Bare,
    /// Janus with its streaming plugin, of Debian.
    Janus,
    /// aiortc, of PyPI.
    Aiortc,
}

impl Kind {
    /// In the order of tables.
    pub const ALL: [Self; 5] = [Self::Ours, Self::Plain, Self::Bare, Self::Janus, Self::Aiortc];

    /// As the command line names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Plain => "plain",
            Self::Bare => "bare",
            Self::Janus => "janus",
            Self::Aiortc => "aiortc",
        }
    }

    /// For whom does not know the benchmark.
    pub fn title(self) -> &'static str {
        match self {
            Self::Ours => "Wallcast",
            Self::Plain => "plain webrtc 0.21.1",
            Self::Bare => "bare GCM + GSO loop",
            Self::Janus => "Janus, streaming plugin",
            Self::Aiortc => "aiortc, encoded once",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A server that runs; ended when dropped.
pub struct Server {
    child: Child,
    door: Box<dyn Door>,
    /// Hands in the film where the server cannot.
    _player: Option<janus::Player>,
}

impl Server {
    /// Starts one, which holds each frame for so long after its stamp; or says why that cannot be had here.
    pub fn start(kind: Kind, film: &Path, hold: Duration) -> anyhow::Result<Self> {
        let started = match kind {
            Kind::Ours | Kind::Plain | Kind::Bare => Self::ourselves(kind, film, hold),
            Kind::Janus => janus::start(film, hold),
            Kind::Aiortc => aiortc::start(film, hold),
        };
        started.with_context(|| format!("{kind} does not start"))
    }

    /// Of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where viewers come in.
    pub fn door(&mut self) -> &mut dyn Door {
        &mut *self.door
    }

    fn ourselves(kind: Kind, film: &Path, hold: Duration) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([SERVE, kind.name()]).arg(film).arg(hold.as_millis().to_string());
        let (child, said) = spawn(&mut command)?;
        let door: Box<dyn Door> = match kind {
            Kind::Bare => Box::new(bare::Keeper::new(&said)?),
            _ => Box::new(whep::Whep::new(&said)),
        };
        Ok(Self { child, door, _player: None })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It holds nothing that has to be put away.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The way in to any WHEP server, by its endpoint.
pub fn whep(url: &str) -> impl Door + use<> {
    whep::Whep::new(url)
}

/// Serves for good when the arguments say so; to be called first by each benchmark that starts servers.
pub fn serve_if_asked() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, asked, kind, film, hold, ..] = &arguments[..] else { return Ok(()) };
    if asked != SERVE {
        return Ok(());
    }
    // Before there is a thread: runtimes count the cores that they may use.
    if ours::threads() == 1 {
        cpu::pin(SERVERS_CORE)?;
    } else {
        cpu::unpin()?;
    }
    std::thread::spawn(|| {
        // Ends with whoever holds the other end, even where that is killed.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    let (film, hold) = (Film::read(Path::new(film))?, Duration::from_millis(hold.parse()?));
    match Kind::ALL.into_iter().find(|known| known.name() == kind) {
        Some(Kind::Ours) => ours::serve(film, hold),
        Some(Kind::Plain) => plain::serve(film, hold),
        Some(Kind::Bare) => bare::serve(film, hold),
        _ => bail!("{kind} is no server of ours"),
    }
}

/// Starts a process on the servers' core and waits for the first line it says.
fn spawn(command: &mut Command) -> anyhow::Result<(Child, String)> {
    let mut child = on_the_servers_core(|| command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn())?
        .with_context(|| format!("{command:?}"))?;
    let mut said = String::new();
    let output = child.stdout.take().context("it is piped")?;
    BufReader::new(output).read_line(&mut said)?;
    if said.is_empty() {
        let status = child.wait()?;
        bail!("{command:?} ended without a word: {status}");
    }
    Ok((child, said.trim().to_owned()))
}

/// Children inherit the core of the thread that starts them.
fn on_the_servers_core<T>(start: impl FnOnce() -> T) -> anyhow::Result<T> {
    cpu::pin(SERVERS_CORE)?;
    let started = start();
    cpu::pin(VIEWERS_CORE)?;
    Ok(started)
}

/// Largest RTP payload, as Wallcast's own.
const MAX_PAYLOAD: usize = 1180;

/// To whoever started this process.
fn say(line: &str) -> anyhow::Result<()> {
    use std::io::Write;
    let mut output = std::io::stdout();
    writeln!(output, "{line}")?;
    Ok(output.flush()?)
}
