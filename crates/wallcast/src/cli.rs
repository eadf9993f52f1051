//! The command line. Exit codes: 0 done, 1 failed while running, 2 usage or configuration.
//!
//! URLs on a command line may carry passwords, and people put them in the wrong place; so no message repeats an
//! argument that looks like one. What the values mean for the configuration is in [`crate::config`].

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};

use wallcast_compositor::Preset;

use crate::config::{Overrides, is_safe_to_show, parse_address};

/// Many cameras, one picture, any browser.
#[derive(Parser)]
#[command(
    name = "wallcast",
    bin_name = "wallcast",
    version,
    about,
    after_help = EXAMPLES,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand)]
pub enum Command {
    /// Show cameras: some URLs on one wall, or what a configuration file says
    #[command(after_help = RUN_EXAMPLES)]
    Run(RunArgs),
    /// Four simulated cameras over real RTSP on loopback, and the wall that shows them
    Demo(DemoArgs),
    /// Say everything that is wrong with a configuration file
    ///
    /// The exit code is 0 for a good file and 2 for one with problems. Environment variables that the file names
    /// (`${NAME}`) have to be set, as for `run`.
    Check(CheckArgs),
}

/// `wallcast run`
#[derive(Args)]
#[command(group = ArgGroup::new("cameras").args(["urls", "config"]).required(true))]
pub struct RunArgs {
    /// Cameras: rtsp://[user:password@]host[:port]/path. Named cam1, cam2, … and shown on one wall, `wall`.
    ///
    /// A password on a command line can be read by other users of this computer (`ps`); a configuration file with
    /// `${NAME}` keeps it to itself.
    #[arg(value_name = "URL")]
    pub urls: Vec<String>,
    /// Configuration file; wallcast.example.yaml explains every key
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How RTP travels from the cameras given as URLs
    #[arg(long, value_enum, default_value_t, conflicts_with = "config")]
    pub transport: TransportArg,
    /// How the cameras given as URLs are arranged: grid, 2x2 to 8x8, columns, 1+5, 1+7, 2+8 or pip
    #[arg(long, value_name = "LAYOUT", value_parser = layout, default_value_t, conflicts_with = "config")]
    pub layout: Preset,
    /// How a picture of another shape fills its tile, for cameras given as URLs
    #[arg(long, value_enum, default_value_t, conflicts_with = "config")]
    pub fit: FitArg,
    /// Where to listen.
    #[command(flatten)]
    pub listen: ListenArgs,
}

/// `wallcast demo`
#[derive(Args)]
pub struct DemoArgs {
    /// Where to listen.
    #[command(flatten)]
    pub listen: ListenArgs,
}

/// `wallcast check`
#[derive(Args)]
pub struct CheckArgs {
    /// Configuration file
    pub file: PathBuf,
}

/// Flags that go before the configuration file.
#[derive(Args)]
pub struct ListenArgs {
    /// Address of pages, WHEP and /stats [default: 127.0.0.1:8081]
    ///
    /// Port 0 takes a free one. Another address than loopback needs `auth` in the configuration file, or --auth none.
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = parse_address)]
    pub listen: Option<SocketAddr>,
    /// Address of the viewers' media, one port for all of them, UDP and TCP [default: 0.0.0.0:8082]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = parse_address)]
    pub webrtc_listen: Option<SocketAddr>,
    /// Address of walls as RTSP, or `none` [default: 127.0.0.1:8554]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = rtsp_address)]
    pub rtsp_listen: Option<RtspListen>,
    /// `none` lets whoever reaches the listeners watch and change walls; tokens are set in a configuration file
    #[arg(long, value_enum)]
    pub auth: Option<AuthArg>,
}

/// `--transport`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TransportArg {
    /// Inside the RTSP connection: passes every network that RTSP passes
    #[default]
    Tcp,
    /// Packets of their own: less delay on a good network
    Udp,
}

/// `--fit`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum FitArg {
    /// All of the picture, with bars
    #[default]
    Contain,
    /// All of the tile, with the picture cut off at two sides
    Cover,
    /// All of both, with the picture's shape changed
    Stretch,
}

/// `--auth`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AuthArg {
    /// Nobody is asked for a token
    None,
}

/// `--rtsp-listen`: an address, or none for no RTSP server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtspListen(pub Option<SocketAddr>);

const EXAMPLES: &str = "\
Examples:
  wallcast demo
  wallcast run rtsp://192.168.8.101/live rtsp://192.168.8.102/live
  wallcast run --config wall.yaml
  wallcast check wall.yaml";

const RUN_EXAMPLES: &str = "\
Examples:
  wallcast run rtsp://192.168.8.101/live 'rtsp://user:password@192.168.8.102/live?channel=1'
  wallcast run --transport udp rtsp://192.168.8.101/live
  wallcast run --layout columns --fit cover rtsp://192.168.8.101/live rtsp://192.168.8.102/live
  wallcast run --listen 0.0.0.0:8081 --auth none rtsp://192.168.8.101/live
  wallcast run --config wall.yaml --rtsp-listen none";

/// What to print instead of running, and the exit code: an error of usage (2, to stderr), or help and version
/// (0, to stdout).
#[derive(Debug)]
pub struct Usage {
    /// Whole lines, without secrets.
    pub text: String,
    /// 0 or 2.
    pub exit_code: u8,
}

impl Cli {
    /// Reads a command line, the program's name first.
    ///
    /// # Errors
    /// What to print instead of running.
    pub fn read<I, A>(arguments: I) -> Result<Cli, Usage>
    where
        I: IntoIterator<Item = A>,
        A: Into<OsString>,
    {
        let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
        Cli::try_parse_from(&arguments).map_err(|error| {
            let mut text = without_secrets(error.render().to_string(), &arguments);
            if error.kind() == ErrorKind::InvalidSubcommand {
                text.push_str("To show your cameras: wallcast run URL…\n");
            }
            Usage { text, exit_code: if error.use_stderr() { 2 } else { 0 } }
        })
    }
}

impl ListenArgs {
    /// As the configuration takes them.
    pub fn overrides(&self) -> Overrides {
        Overrides {
            listen: self.listen,
            webrtc_listen: self.webrtc_listen,
            rtsp_listen: self.rtsp_listen.map(|RtspListen(address)| address),
            auth_none: self.auth == Some(AuthArg::None),
        }
    }
}

impl From<TransportArg> for wallcast_ingest::Transport {
    fn from(transport: TransportArg) -> Self {
        match transport {
            TransportArg::Tcp => wallcast_ingest::Transport::Tcp,
            TransportArg::Udp => wallcast_ingest::Transport::Udp,
        }
    }
}

impl From<FitArg> for wallcast_compositor::Fit {
    fn from(fit: FitArg) -> Self {
        match fit {
            FitArg::Contain => wallcast_compositor::Fit::Contain,
            FitArg::Cover => wallcast_compositor::Fit::Cover,
            FitArg::Stretch => wallcast_compositor::Fit::Stretch,
        }
    }
}

fn layout(text: &str) -> Result<Preset, String> {
    let names = Preset::NAMES.join(", ");
    text.parse().map_err(|_| format!("expected one of {names}"))
}

fn rtsp_address(text: &str) -> Result<RtspListen, String> {
    match text {
        "none" => Ok(RtspListen(None)),
        _ => parse_address(text)
            .map(|address| RtspListen(Some(address)))
            .map_err(|error| format!("{error}, or none")),
    }
}

/// clap quotes the argument it stumbles over; that may be a URL in the wrong place.
fn without_secrets(mut message: String, arguments: &[OsString]) -> String {
    let texts = arguments.iter().skip(1).map(|argument| argument.to_string_lossy());
    let mut risky: Vec<String> = texts
        .flat_map(|text| {
            let value = text.split_once('=').map(|(_, value)| value.to_owned());
            [Some(text.into_owned()), value]
        })
        .flatten()
        .filter(|text| !is_safe_to_show(text))
        .collect();
    // The longest first: one argument may be a part of another.
    risky.sort_by_key(|text| std::cmp::Reverse(text.len()));
    for text in risky {
        message = message.replace(&text, "(not shown: it may carry a password)");
    }
    message
}

#[cfg(test)]
mod tests;
