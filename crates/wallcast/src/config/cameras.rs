//! `cameras`: names and where their pictures come from.

use wallcast_ingest::{Certificate, Hardware, SourceUrl, SourceUrlError, Transport};

use super::fields::{Field, Findings};
use super::problem::shown;
use super::yaml::At;
use super::{CameraEntry, scalars};

const EXAMPLE: &str = "yard: rtsp://192.168.8.102/main";
const KEYS: [&str; 6] = ["source", "substream", "transport", "certificate", "hwaccel", "on_demand"];
const EXPECTED_URL: &str = "a URL, such as rtsp://192.168.8.102/main";

/// The cameras in the order of the file, and every name with its place: names of broken cameras too, so that a tile
/// that shows one is not blamed.
#[derive(Default)]
pub(super) struct Cameras {
    pub(super) good: Vec<CameraEntry>,
    pub(super) names: Vec<(String, At)>,
}

pub(super) fn read(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Cameras> {
    let named = findings.named(field, EXAMPLE, false)?;
    if field.is_empty() {
        findings.problem(field, "no cameras", format!("at least one, such as `{EXAMPLE}`"));
        return None;
    }
    let mut cameras = Cameras { good: Vec::new(), names: Vec::new() };
    for (name, at, field) in named {
        let named_well = scalars::is_name(name);
        if !named_well {
            findings.problem(&field.placed(at), format!("the name {}", shown(name)), scalars::NAME);
        }
        let field = if field.is_nothing() { field.placed(at) } else { field };
        let camera = camera(name, &field, findings);
        cameras.names.push((name.to_owned(), at));
        cameras.good.extend(camera.filter(|_| named_well));
    }
    // Names that may be half a value are reported and gone; with none left, nobody knows the cameras.
    (!cameras.names.is_empty()).then_some(cameras)
}

fn camera(name: &str, field: &Field<'_>, findings: &mut Findings<'_>) -> Option<CameraEntry> {
    let name = name.to_owned();
    if field.is_text() {
        return Some(CameraEntry::new(name, source(field, findings)?));
    }
    if field.is_nothing() {
        findings.problem(field, "nothing", format!("{EXPECTED_URL}, or a mapping with `source`"));
        return None;
    }
    let fields = findings.mapping(field, &KEYS)?;
    let source = match fields.get("source") {
        Some(field) => self::source(&field, findings),
        None => {
            findings.problem(field, "no `source`", "the camera's URL, such as rtsp://192.168.8.102/main");
            None
        }
    };
    let substream =
        fields.get("substream").map_or(Some(None), |field| self::source(&field, findings).map(Some));
    let transport = fields
        .get("transport")
        .map_or(Some(Transport::default()), |field| findings.parsed(&field, "tcp or udp", self::transport));
    let certificate = fields.get("certificate").map_or(Some(Certificate::default()), |field| {
        findings.parsed(&field, "any, verify, or a SHA-256 fingerprint of 64 hexadecimal digits", |text| {
            text.parse().ok()
        })
    });
    let hwaccel = fields.get("hwaccel").map_or(Some(Hardware::default()), |field| {
        findings.parsed(&field, "none, auto, vaapi, cuda, rkmpp or v4l2m2m", self::hwaccel)
    });
    let on_demand = fields
        .get("on_demand")
        .map_or(Some(false), |field| findings.parsed(&field, "true or false", scalars::yes_or_no));
    Some(CameraEntry {
        name,
        source: source?,
        substream: substream?,
        transport: transport?,
        certificate: certificate?,
        hwaccel: hwaccel?,
        on_demand: on_demand?,
    })
}

fn hwaccel(text: &str) -> Option<Hardware> {
    Some(match text {
        "none" => Hardware::None,
        "auto" => Hardware::Auto,
        "vaapi" => Hardware::Vaapi,
        "cuda" => Hardware::Cuda,
        "rkmpp" => Hardware::Rkmpp,
        "v4l2m2m" => Hardware::V4l2m2m,
        _ => return None,
    })
}

/// `tcp` or `udp`.
pub(super) fn transport(text: &str) -> Option<Transport> {
    match text {
        "tcp" => Some(Transport::Tcp),
        "udp" => Some(Transport::Udp),
        _ => None,
    }
}

fn source(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<SourceUrl> {
    let text = findings.url(field, EXPECTED_URL)?;
    parse_source(&text.value, field, findings)
}

/// A source from a file or from the command line. `text` may carry a password and is not shown.
pub(super) fn parse_source(text: &str, field: &Field<'_>, findings: &mut Findings<'_>) -> Option<SourceUrl> {
    const LATER: &str = "rtsp or rtsps (others come later)";
    if let Some(scheme) = ["push", "v4l2"]
        .into_iter()
        .find(|scheme| text.strip_prefix(scheme).is_some_and(|rest| rest.starts_with(':')))
    {
        findings.problem(field, format!("the scheme {scheme}"), LATER);
        return None;
    }
    if text.starts_with("/dev/") {
        findings.problem(field, "a device", LATER);
        return None;
    }
    match SourceUrl::parse(text) {
        Ok(url) => return Some(url),
        Err(SourceUrlError::Scheme { found }) => {
            findings.problem(field, format!("the scheme {found}"), LATER)
        }
        Err(error) => findings.refused(field, &error, EXPECTED_URL),
    }
    None
}
