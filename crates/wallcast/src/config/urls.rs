//! The configuration of a command line with URLs instead of a file.
//!
//! URLs are counted in messages, not shown: they may carry passwords, and so may whatever stands in their place.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use wallcast_compositor::Fit;
use wallcast_ingest::{SourceUrl, Transport};

use super::cameras::{self, Cameras};
use super::fields::{Field, Findings};
use super::problem::is_safe_to_show;
use super::yaml::At;
use super::{CameraEntry, Config, Overrides, Preset, Problems, assemble, server, walls};

const ORIGIN: &str = "command line";

impl Config {
    /// Cameras `cam1`, `cam2`, … from `urls` and one wall with all of them, arranged by `preset`.
    ///
    /// # Errors
    /// Everything that is wrong; URLs are counted, not shown: they may carry passwords.
    pub fn from_urls(
        urls: &[String],
        transport: Transport,
        preset: Preset,
        fit: Fit,
        flags: &Overrides,
    ) -> Result<Config, Problems> {
        let nothing = |_: &str| None;
        let mut findings = Findings::new(&nothing);
        let mut cameras = Cameras { good: Vec::new(), names: Vec::new() };
        if urls.is_empty() {
            return Err(Problems::whole(
                ORIGIN,
                "no camera",
                "at least one URL, such as rtsp://192.168.8.102/main",
            ));
        }
        for (i, url) in urls.iter().enumerate() {
            let (name, field) = (format!("cam{}", i + 1), Field::outside(&format!("URL {}", i + 1)));
            let source = source(url, &field, &mut findings);
            cameras.names.push((name.clone(), At::default()));
            cameras
                .good
                .extend(source.map(|source| CameraEntry { transport, ..CameraEntry::new(name, source) }));
        }
        let server = server::read(None, flags, &mut findings);
        let wall = walls::default(preset, fit, &Field::outside("URLs"), &cameras, &mut findings);
        let config = server.zip(wall).map(|(server, wall)| assemble(server, cameras.good, vec![wall]));
        findings.conclude(ORIGIN, config)
    }
}

/// The likely mistakes of somebody's first minutes get an answer of their own.
fn source(text: &str, field: &Field<'_>, findings: &mut Findings<'_>) -> Option<SourceUrl> {
    if text.contains("://") {
        return cameras::parse_source(text, field, findings);
    }
    if is_file(text) {
        findings.problem(
            field,
            "the name of a file",
            format!("a URL; did you mean --config {}?", file(text)),
        );
        None
    } else if let Some(host) = bare_host(text) {
        let expected = format!("an address like rtsp://{host}/…");
        findings.problem(field, "a host without `rtsp://` before it", expected);
        None
    } else {
        cameras::parse_source(text, field, findings)
    }
}

fn is_file(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    lower.ends_with(".yaml") || lower.ends_with(".yml") || Path::new(text).is_file()
}

/// Ready for a shell.
fn file(name: &str) -> String {
    match is_safe_to_show(name) {
        true if name.contains(char::is_whitespace) => format!("'{name}'"),
        true => name.to_owned(),
        false => "FILE".to_owned(),
    }
}

/// The host that an example may show, if `text` is a host, with or without port and path. A name could just as well
/// be a password that lost its URL, so only addresses are repeated.
fn bare_host(text: &str) -> Option<String> {
    let authority = text.split('/').next().unwrap_or_default();
    if let Ok(address) = authority.parse::<SocketAddr>() {
        return Some(address.to_string());
    }
    match authority.trim_start_matches('[').trim_end_matches(']').parse() {
        Ok(IpAddr::V4(ip)) => return Some(ip.to_string()),
        Ok(IpAddr::V6(ip)) => return Some(format!("[{ip}]")),
        Err(_) => {}
    }
    let (name, port) = authority.split_once(':').unwrap_or((authority, "554"));
    let is_name = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    (is_name && port.parse::<u16>().is_ok()).then(|| "10.0.0.1".to_owned())
}
