//! The configuration: a file (or URLs of a command line) to domain types, once; nothing validates afterwards.
//!
//! [`yaml`] reads the file as written, [`server`], [`cameras`], [`walls`] and [`tiles`] turn it into what the program runs by, and
//! go on after a problem, so that all of them are reported together with line, found and expected; [`urls`] does that
//! for a command line. Rules of sizes,
//! rates, rectangles and URLs are the constructors' of the crates that own those types. No problem, warning or `Debug`
//! shows a secret. Which listener a key belongs to, and what happens with it, is not known here.

mod cameras;
mod env;
mod fields;
mod presentation;
mod problem;
mod scalars;
mod server;
mod syntax;
mod tiles;
mod urls;
mod walls;
mod yaml;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use wallcast_compositor::encoder::EncoderChoice;
use wallcast_compositor::{Bitrate, CanvasSize, Fit, FrameRate, Layout, Preset};
use wallcast_ingest::{Certificate, Hardware, SourceUrl, Transport};

use self::cameras::Cameras;
use self::fields::{Field, Findings};
pub(crate) use self::problem::is_safe_to_show;
use self::problem::shown;
pub use self::problem::{Problem, Problems, Warning};
use crate::auth::Auth;

/// Everything the program runs by.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where HTTP listens.
    pub listen: SocketAddr,
    /// WebRTC.
    pub webrtc: WebRtcConfig,
    /// The RTSP server.
    pub rtsp: RtspConfig,
    /// Who is let in, by HTTP and RTSP.
    pub auth: Auth,
    /// Names, lower case, under which HTTP is reached besides localhost and the address it listens on.
    pub hosts: Vec<String>,
    /// In the order of the file, at least one; names are unique among cameras and walls.
    pub cameras: Vec<CameraEntry>,
    /// In the order of the file, at least one; the first is the default wall.
    pub walls: Vec<WallEntry>,
    /// What works but should be known.
    pub warnings: Vec<Warning>,
}

/// `webrtc:`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebRtcConfig {
    /// Address of the viewers' media. Its port is not used yet: every viewer has a socket of its own.
    pub listen: SocketAddr,
}

/// `rtsp:`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtspConfig {
    /// Where RTSP listens; none for no RTSP server.
    pub listen: Option<SocketAddr>,
}

/// One camera.
#[derive(Clone, Debug)]
pub struct CameraEntry {
    /// Unique among cameras and walls; `[A-Za-z0-9 _.-]{1,64}`.
    pub name: String,
    /// Its main stream.
    pub source: SourceUrl,
    /// A smaller stream of the same picture, for small tiles.
    pub substream: Option<SourceUrl>,
    /// How RTP travels.
    pub transport: Transport,
    /// Which certificate is accepted of a camera behind `rtsps`.
    pub certificate: Certificate,
    /// What decodes it.
    pub hwaccel: Hardware,
    /// Connected only while somebody watches.
    pub on_demand: bool,
}

/// One wall.
#[derive(Clone, Debug)]
pub struct WallEntry {
    /// Unique among cameras and walls; `[A-Za-z0-9 _.-]{1,64}`.
    pub name: String,
    /// Of the picture.
    pub size: CanvasSize,
    /// Ticks a second.
    pub fps: FrameRate,
    /// The encoder's target.
    pub bitrate: Bitrate,
    /// What encodes it. Whether it can be had on this machine is found out when the wall starts.
    pub encoder: EncoderChoice,
    /// How long a tile holds its last frame.
    pub black_after: Duration,
    /// How far the tiles look back to show the same instant; none for the newest frame of each.
    pub align: Option<Duration>,
    /// The tiles' places on a canvas of `size`.
    pub layout: Layout,
    /// The camera of each place, in the same order: each the name of a [`CameraEntry`]. Fewer than places when a
    /// preset has more cells than there are cameras; those cells show the background.
    pub tiles: Vec<String>,
}

/// Flags of a command line that go before the file's keys.
#[derive(Clone, Copy, Debug, Default)]
pub struct Overrides {
    /// `--listen`
    pub listen: Option<SocketAddr>,
    /// `--webrtc-listen`
    pub webrtc_listen: Option<SocketAddr>,
    /// `--rtsp-listen`; `Some(None)` for no RTSP server.
    pub rtsp_listen: Option<Option<SocketAddr>>,
    /// `--auth none`
    pub auth_none: bool,
}

impl CameraEntry {
    /// A camera with every default.
    pub(crate) fn new(name: String, source: SourceUrl) -> Self {
        Self {
            name,
            source,
            substream: None,
            transport: Transport::default(),
            certificate: Certificate::default(),
            hwaccel: Hardware::default(),
            on_demand: false,
        }
    }
}

/// Reads the file at `path`; `flags` go before its keys.
///
/// # Errors
/// Everything that is wrong with it, or that it cannot be read.
pub fn load(path: &Path, flags: &Overrides) -> Result<Config, Problems> {
    let origin = shown(&path.display().to_string());
    match read_limited(path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => parse_with(&origin, &text, flags, &|name| std::env::var(name).ok()),
            Err(_) => Err(Problems::whole(&origin, "bytes that are not UTF-8", "a YAML file")),
        },
        Err(error) => Err(Problems::whole(&origin, in_words(&error), "a file that can be read")),
    }
}

/// Reads `text` as [`load`] does a file's; `origin` is its name in messages.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(origin: &str, text: &str, flags: &Overrides) -> Result<Config, Problems> {
    parse_with(origin, text, flags, &|name| std::env::var(name).ok())
}

/// [`parse`] with another environment.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse_with(
    origin: &str,
    text: &str,
    flags: &Overrides,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, Problems> {
    let root = yaml::parse(text).map_err(|problem| Problems::new(origin, vec![problem]))?;
    let mut findings = Findings::new(variable);
    let config = of_file(&Field::root(&root), flags, &mut findings);
    findings.conclude(origin, config)
}

/// An address by the rules of the file, for flags.
pub(crate) fn parse_address(text: &str) -> Result<SocketAddr, String> {
    scalars::address(text).ok_or_else(|| format!("expected {}", scalars::ADDRESS))
}

fn of_file(root: &Field<'_>, flags: &Overrides, findings: &mut Findings<'_>) -> Option<Config> {
    let keys: Vec<&str> = server::KEYS.into_iter().chain(["cameras", "walls"]).collect();
    if root.is_nothing() {
        findings.problem(root, "an empty file", "`cameras:` with at least one camera");
        return None;
    }
    let top = findings.mapping(root, &keys)?;
    let server = server::read(Some(&top), flags, findings);
    let place = top.get("cameras");
    let cameras = match &place {
        Some(field) => cameras::read(field, findings),
        None => {
            findings.problem(root, "no `cameras`", "at least one camera");
            None
        }
    };
    let walls = match (top.get("walls"), &place, &cameras) {
        (Some(field), _, known) => {
            walls::read(&field, known.as_ref().unwrap_or(&Cameras::default()), findings)
        }
        (None, Some(field), Some(known)) => {
            walls::default(Preset::default(), Fit::default(), field, known, findings).map(|wall| vec![wall])
        }
        (None, _, _) => None,
    };
    Some(assemble(server?, cameras?.good, walls?))
}

fn assemble(server: server::Server, cameras: Vec<CameraEntry>, walls: Vec<WallEntry>) -> Config {
    Config {
        listen: server.listen,
        webrtc: WebRtcConfig { listen: server.webrtc },
        rtsp: RtspConfig { listen: server.rtsp },
        auth: server.auth,
        hosts: server.hosts,
        cameras,
        walls,
        warnings: Vec::new(),
    }
}

impl Findings<'_> {
    fn conclude(mut self, origin: &str, config: Option<Config>) -> Result<Config, Problems> {
        match config {
            Some(mut config) if self.problems.is_empty() => {
                self.warnings.sort();
                config.warnings = self.warnings;
                Ok(config)
            }
            _ => Err(Problems::new(origin, self.problems)),
        }
    }
}

/// One byte more than allowed is enough to know that a file is too large (`/dev/zero` has no size to ask for).
fn read_limited(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(yaml::MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn in_words(error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::NotFound => "no such file",
        ErrorKind::PermissionDenied => "a file without permission to read it",
        ErrorKind::IsADirectory => "a directory",
        _ => "an error while reading it",
    }
}
