//! Writing the answer.

use std::net::SocketAddr;

use rtc::sdp::SessionDescription;
use rtc::sdp::description::common::{Address, Attribute, ConnectionInformation};
use rtc::sdp::description::media::{MediaDescription, MediaName, RangedPort};
use rtc::sdp::description::session::{Origin, TimeDescription, Timing};

use super::offer::{Format, Offer, attribute, property, value};
use crate::dtls::Role;
use crate::feedback::CNAME;
use crate::ice::Credentials;
use crate::path::Protocol;
use crate::profile::ProfileLevelId;
use crate::track::{Extension, TrackIds};

/// What we say of ourselves.
pub(crate) struct Ours<'a> {
    pub(crate) credentials: &'a Credentials,
    /// The value of `a=fingerprint`.
    pub(crate) fingerprint: String,
    pub(crate) role: Role,
    pub(crate) ice_lite: bool,
    /// Where the viewer can reach us, best first.
    pub(crate) candidates: &'a [(Protocol, SocketAddr)],
    pub(crate) ids: TrackIds,
    /// What the SPS of the stream says.
    pub(crate) stream: ProfileLevelId,
}

/// The answer to the whole of `offer`: the video section with the level of the stream, every other section rejected
/// (RFC 3264 section 6), each at its place.
pub(crate) fn answer(offer: &Offer, ours: &Ours<'_>) -> String {
    let mut video = video(offer, ours);
    let tag = tag_section(offer).map(|index| (index, inactive(&offer.sections()[index], &mut video)));
    let members = tag.iter().filter_map(|(_, section)| value(section, "mid")).chain([offer.mid()]);
    let group = format!("BUNDLE {}", members.collect::<Vec<_>>().join(" "));
    let mut session = session();
    if offer.is_bundled() {
        session.attributes.push(attribute("group", &group));
    }
    if ours.ice_lite {
        session.attributes.push(property("ice-lite"));
    }
    if offer.states("extmap-allow-mixed") {
        session.attributes.push(property("extmap-allow-mixed"));
    }
    session.attributes.push(attribute("msid-semantic", "WMS *"));
    session.media_descriptions = offer.sections().iter().map(rejected).collect();
    session.media_descriptions[offer.video()] = video;
    if let Some((index, section)) = tag {
        session.media_descriptions[index] = section;
    }
    session.marshal()
}

fn session() -> SessionDescription {
    let nowhere = "0.0.0.0".to_owned();
    SessionDescription {
        version: 0,
        origin: Origin {
            username: "-".to_owned(),
            // RFC 8829 section 5.2.1: 63 random bits.
            session_id: rand::random::<u64>() >> 1,
            session_version: 1,
            network_type: "IN".to_owned(),
            address_type: "IP4".to_owned(),
            unicast_address: nowhere,
        },
        session_name: "-".to_owned(),
        time_descriptions: vec![TimeDescription {
            timing: Timing { start_time: 0, stop_time: 0 },
            repeat_times: Vec::new(),
        }],
        ..SessionDescription::default()
    }
}

fn video(offer: &Offer, ours: &Ours<'_>) -> MediaDescription {
    let offered = offer.format();
    let format = Format { profile: offered.profile.at_level_of(ours.stream), ..offered };
    let Format { payload_type, rtx_payload_type, .. } = format;
    let name = &offer.sections()[offer.video()].media_name;
    let rtx = rtx_payload_type.map(|rtx| rtx.to_string());
    let mut section = MediaDescription {
        media_name: MediaName {
            media: "video".to_owned(),
            port: RangedPort { value: 9, range: None },
            protos: name.protos.clone(),
            formats: [payload_type.to_string()].into_iter().chain(rtx).collect(),
        },
        connection_information: Some(nowhere()),
        ..MediaDescription::default()
    };
    let mut add = |key: &str, value: &str| section.attributes.push(attribute(key, value));
    add("mid", offer.mid());
    add("rtpmap", &format!("{payload_type} H264/90000"));
    add("fmtp", &format!("{payload_type} {}", format.fmtp()));
    for feedback in offer.feedback() {
        add("rtcp-fb", &format!("{payload_type} {feedback}"));
    }
    if let Some(rtx) = rtx_payload_type {
        add("rtpmap", &format!("{rtx} rtx/90000"));
        add("fmtp", &format!("{rtx} apt={payload_type}"));
    }
    for (extension, id) in offer.extensions() {
        add("extmap", &format!("{id} {}", Extension::uri(*extension)));
    }
    let TrackIds { ssrc, rtx, .. } = ours.ids;
    // The stream's and the track's names, the same for every viewer.
    add("msid", "wallcast video");
    if let Some((rtx_ssrc, _)) = rtx {
        add("ssrc-group", &format!("FID {ssrc} {rtx_ssrc}"));
    }
    for ssrc in [ssrc].into_iter().chain(rtx.map(|(ssrc, _)| ssrc)) {
        add("ssrc", &format!("{ssrc} cname:{CNAME}"));
        add("ssrc", &format!("{ssrc} msid:wallcast video"));
    }
    add("setup", if ours.role == Role::Server { "passive" } else { "active" });
    add("ice-ufrag", &ours.credentials.ufrag);
    add("ice-pwd", &ours.credentials.password);
    add("fingerprint", &ours.fingerprint);
    for (position, (protocol, address)) in ours.candidates.iter().enumerate() {
        add("candidate", &candidate(position, *protocol, *address));
    }
    for name in ["sendonly", "rtcp-mux"] {
        section.attributes.push(property(name));
    }
    if offer.states("rtcp-rsize") {
        section.attributes.push(property("rtcp-rsize"));
    }
    section.attributes.push(property("end-of-candidates"));
    section
}

/// RFC 8839 section 5.1; RFC 6544 section 4.5 for TCP, which is for those whom UDP does not reach.
pub(super) fn candidate(position: usize, protocol: Protocol, address: SocketAddr) -> String {
    let (name, kind, suffix) = match protocol {
        Protocol::Udp => ("udp", 126, ""),
        Protocol::Tcp => ("tcp", 90, " tcptype passive"),
    };
    let priority = (kind << 24) | ((65_535 - position.min(65_535)) << 8) | 255;
    let (ip, port) = (address.ip(), address.port());
    format!("{} 1 {name} {priority} {ip} {port} typ host{suffix}", position + 1)
}

/// The section that tags the bundle, its transport being the bundle's, when it is another one than ours. Rejecting it
/// would end the bundle for Chromium under `max-bundle`, and nothing in an offer tells that policy from others.
fn tag_section(offer: &Offer) -> Option<usize> {
    let tag = offer.bundle_tag().filter(|tag| *tag != offer.mid())?;
    let index = offer.sections().iter().position(|section| value(section, "mid") == Some(tag))?;
    let name = &offer.sections()[index].media_name;
    (name.port.value != 0 && name.protos.iter().any(|proto| proto == "RTP")).then_some(index)
}

/// Accepted without media flowing either way (RFC 3264 section 6.1); takes over the candidates of `video`, which
/// belong to the section that tags the bundle (RFC 9143 section 7.1.3).
fn inactive(offered: &MediaDescription, video: &mut MediaDescription) -> MediaDescription {
    let mut section = rejected(offered);
    section.media_name.port.value = video.media_name.port.value;
    section.media_name.formats.truncate(1);
    let format = section.media_name.formats.first().cloned().unwrap_or_default();
    let describes_format = |found: &&Attribute| {
        let value = found.value.as_deref().unwrap_or("");
        matches!(found.key.as_str(), "rtpmap" | "fmtp") && value.split(' ').next() == Some(format.as_str())
    };
    section.attributes.extend(offered.attributes.iter().filter(describes_format).cloned());
    section.attributes.push(property("rtcp-mux"));
    let is_transport = |key: &str| matches!(key, "setup" | "ice-ufrag" | "ice-pwd" | "fingerprint");
    section.attributes.extend(video.attributes.iter().filter(|found| is_transport(&found.key)).cloned());
    let is_candidate =
        |found: &mut Attribute| matches!(found.key.as_str(), "candidate" | "end-of-candidates");
    section.attributes.extend(video.attributes.extract_if(.., is_candidate));
    section
}

/// Port 0, and the rest as offered. The `c=` line is there because Firefox refuses a section without.
fn rejected(offered: &MediaDescription) -> MediaDescription {
    let mut section =
        MediaDescription { media_name: offered.media_name.clone(), ..MediaDescription::default() };
    section.media_name.port.value = 0;
    section.media_name.port.range = None;
    section.connection_information = Some(nowhere());
    section.attributes.extend(value(offered, "mid").map(|mid| attribute("mid", mid)));
    section.attributes.push(property("inactive"));
    section
}

fn nowhere() -> ConnectionInformation {
    ConnectionInformation {
        network_type: "IN".to_owned(),
        address_type: "IP4".to_owned(),
        address: Some(Address { address: "0.0.0.0".to_owned(), ttl: None, range: None }),
    }
}
