//! What DESCRIBE answers: SDP (RFC 4566) for one H.264 video stream (RFC 6184 section 8.2, RFC 2326 appendix C).

use std::net::IpAddr;

use sdp_types::{Attribute, Connection, Media, Origin, Session, Time};

use super::{
    mount::Mount,
    parameter_sets::ParameterSets,
    rtp::{CLOCK_RATE, PAYLOAD_TYPE},
};

/// The last segment of the stream's control address.
pub(super) const TRACK: &str = "trackID=0";

/// Describes the stream of `mount` as seen from `local`, the address the reader connected to. Without
/// parameter sets the reader has to find them in the stream.
pub(super) fn describe(mount: &Mount, sets: Option<&ParameterSets>, local: IpAddr) -> Vec<u8> {
    let (addrtype, anywhere) = if local.is_ipv4() { ("IP4", "0.0.0.0") } else { ("IP6", "::") };
    let mut fmtp = format!("{PAYLOAD_TYPE} packetization-mode=1");
    if let Some(sets) = sets {
        fmtp +=
            &format!(";profile-level-id={};sprop-parameter-sets={}", sets.profile_level_id(), sets.sprop());
    }
    let mut attributes =
        vec![attribute("rtpmap", format!("{PAYLOAD_TYPE} H264/{CLOCK_RATE}")), attribute("fmtp", fmtp)];
    attributes.extend(mount.frame_rate().map(|rate| attribute("framerate", rate)));
    attributes.push(attribute("control", TRACK));
    let video = Media {
        media: "video".into(),
        port: 0,
        num_ports: None,
        proto: "RTP/AVP".into(),
        fmt: PAYLOAD_TYPE.to_string(),
        media_title: None,
        connections: vec![],
        bandwidths: vec![],
        key: None,
        attributes,
    };
    let session = Session {
        origin: Origin {
            username: None,
            sess_id: mount.sdp_id().to_string(),
            sess_version: 1,
            nettype: "IN".into(),
            addrtype: addrtype.into(),
            unicast_address: local.to_string(),
        },
        session_name: mount.name().into(),
        session_description: None,
        uri: None,
        emails: vec![],
        phones: vec![],
        connection: Some(Connection {
            nettype: "IN".into(),
            addrtype: addrtype.into(),
            connection_address: anywhere.into(),
        }),
        bandwidths: vec![],
        times: vec![Time { start_time: 0, stop_time: 0, repeats: vec![] }],
        time_zones: vec![],
        key: None,
        attributes: vec![
            attribute("tool", "wallcast"),
            attribute("range", "npt=now-"),
            attribute("control", "*"),
        ],
        medias: vec![video],
    };
    let mut text = Vec::new();
    session.write(&mut text).expect("a vector takes everything");
    text
}

fn attribute(name: &str, value: impl ToString) -> Attribute {
    Attribute { attribute: name.into(), value: Some(value.to_string()) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const KEY: &[u8] = b"\0\0\0\x01\x67\x42\xc0\x28\xaa\0\0\0\x01\x68\xce\x01\0\0\0\x01\x65\x88\x84\x01";

    fn text(mount: &Mount, sets: Option<&ParameterSets>) -> String {
        let text = String::from_utf8(describe(mount, sets, [127, 0, 0, 1].into())).unwrap();
        text.replace(&mount.sdp_id().to_string(), "ID")
    }

    #[test]
    fn the_description_carries_parameter_sets_control_range_and_frame_rate() {
        let mount = Mount::with_frame_rate("wall", 25.0, Box::new(|| ()));
        let expected = "v=0\r\no=- ID 1 IN IP4 127.0.0.1\r\ns=wall\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n\
            a=tool:wallcast\r\na=range:npt=now-\r\na=control:*\r\n\
            m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
            a=fmtp:96 packetization-mode=1;profile-level-id=42C028;sprop-parameter-sets=Z0LAKKo=,aM4B\r\n\
            a=framerate:25\r\na=control:trackID=0\r\n";
        assert_eq!(text(&mount, ParameterSets::find(KEY).as_ref()), expected);
    }

    #[test]
    fn c07_parameter_sets_absent_from_sdp_when_nothing_came() {
        let text = text(&Mount::new("cam", Box::new(|| ())), None);
        assert!(text.contains("a=fmtp:96 packetization-mode=1\r\n"), "{text}");
        assert!(!text.contains("framerate"), "{text}");
    }
}
