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
mod json;
mod layouts;
mod presentation;
mod problem;
mod renditions;
mod scalars;
mod server;
mod syntax;
mod tiles;
mod urls;
mod walls;
mod webrtc;
mod written;
mod yaml;

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use wallcast_compositor::encoder::EncoderChoice;
use wallcast_compositor::{Bitrate, CanvasSize, Fit, FrameRate, Preset, RenditionConfig};
use wallcast_ingest::{Certificate, Hardware, SourceUrl, Transport};

use self::cameras::Cameras;
use self::fields::{Field, Findings};
pub use self::layouts::{LayoutRules, Unusable};
pub(crate) use self::problem::is_safe_to_show;
use self::problem::shown;
pub use self::problem::{Problem, Problems, Warning};
pub(crate) use self::scalars::bitrate as bits_a_second;
use crate::arrangement::Arrangement;
use crate::auth::Auth;
pub use crate::ice_servers::{IceLogin, IceServer};
pub use crate::public_addresses::{PublicAddress, PublicHost};

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
    /// Pages elsewhere that may watch, each as a browser's `Origin` says it.
    pub origins: Vec<String>,
    /// Where arrangements that are made while running are saved.
    pub state: StateSetting,
    /// In the order of the file, at least one; names are unique among cameras and walls.
    pub cameras: Vec<CameraEntry>,
    /// In the order of the file, at least one; the first is the default wall.
    pub walls: Vec<WallEntry>,
    /// What works but should be known.
    pub warnings: Vec<Warning>,
}

/// `state:`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StateSetting {
    /// The key is not there: nowhere, where there is no file either. [`load`] knows the file, and leaves none of this.
    #[default]
    Default,
    /// Nowhere.
    None,
    /// In this file.
    At(PathBuf),
}

/// `webrtc:`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebRtcConfig {
    /// Address and port of the viewers' media, UDP and TCP. `[::]` is every interface, of IPv4 too.
    pub listen: SocketAddr,
    /// Further addresses under which viewers reach it.
    pub public_addresses: Vec<PublicAddress>,
    /// STUN and TURN servers that viewers are told of.
    pub ice_servers: Vec<IceServer>,
    /// Checks of connectivity are answered only, never sent (RFC 8445 section 2.5).
    pub ice_lite: bool,
    /// At a time, at least one.
    pub max_viewers: usize,
    /// The same from one address (a /64 of IPv6), loopback excepted.
    pub max_viewers_per_address: usize,
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
    /// Smaller encodings besides, best first.
    pub renditions: Vec<RenditionConfig>,
    /// What encodes it. Whether it can be had on this machine is found out when the wall starts.
    pub encoder: EncoderChoice,
    /// How long a tile holds its last frame.
    pub black_after: Duration,
    /// How far the tiles look back to show the same instant; none for the newest frame of each.
    pub align: Option<Duration>,
    /// The tiles' places on a canvas of `size`, and their cameras: each the name of a [`CameraEntry`].
    pub arrangement: Arrangement,
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

impl WallEntry {
    /// What the rendition of the wall's own size is called.
    pub fn own_rendition(&self) -> String {
        format!("{}p", self.size.height())
    }
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

impl StateSetting {
    /// What it means in the file at `config`. `service`: the directories that a service manager gives for state
    /// (systemd's `StateDirectory=`), separated by colons.
    fn beside(self, config: &Path, service: Option<&OsStr>) -> StateSetting {
        let directory = config.parent().unwrap_or(Path::new(""));
        match self {
            StateSetting::None => StateSetting::None,
            StateSetting::At(path) => StateSetting::At(directory.join(path)),
            StateSetting::Default => {
                // Its own for each configuration: two may lie in one directory.
                let mut name = config.file_stem().unwrap_or(OsStr::new("wallcast")).to_owned();
                name.push(".state.json");
                let given = service.and_then(|directories| std::env::split_paths(directories).next());
                StateSetting::At(given.as_deref().unwrap_or(directory).join(name))
            }
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
            Ok(text) => {
                let mut config = parse_with(&origin, &text, flags, &|name| std::env::var(name).ok())?;
                let service =
                    std::env::var_os("STATE_DIRECTORY").filter(|directories| !directories.is_empty());
                config.state = config.state.beside(path, service.as_deref());
                Ok(config)
            }
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

/// For how long a camera is promoted: a time as the file has them, or a plain number of seconds; 1 s to an hour.
pub(crate) fn a_while(text: &str) -> Option<Duration> {
    let sensible = Duration::from_secs(1)..=Duration::from_secs(3600);
    let time = scalars::duration(text).or_else(|| scalars::duration(&format!("{text}s")));
    time.filter(|time| sensible.contains(time))
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
        webrtc: server.webrtc,
        rtsp: RtspConfig { listen: server.rtsp },
        auth: server.auth,
        hosts: server.hosts,
        origins: server.origins,
        state: server.state,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_is_saved_beside_the_configuration_unless_something_else_is_said() {
        let check = |setting: StateSetting, config: &str, service: Option<&str>, expected: &str| {
            let found = setting.beside(Path::new(config), service.map(OsStr::new));
            assert_eq!(found, StateSetting::At(PathBuf::from(expected)));
        };
        let said = |path: &str| StateSetting::At(PathBuf::from(path));
        check(StateSetting::Default, "/etc/wallcast/wall.yaml", None, "/etc/wallcast/wall.state.json");
        check(StateSetting::Default, "wall.yaml", None, "wall.state.json");
        check(
            StateSetting::Default,
            "/etc/wall.yaml",
            Some("/var/lib/wallcast:/x"),
            "/var/lib/wallcast/wall.state.json",
        );
        check(said("here.json"), "/etc/wall.yaml", Some("/var/lib/wallcast"), "/etc/here.json");
        check(said("/tmp/here.json"), "wall.yaml", None, "/tmp/here.json");
        assert_eq!(StateSetting::None.beside(Path::new("wall.yaml"), None), StateSetting::None);
    }
}
