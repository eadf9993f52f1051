//! What cameras write into `Transport`, `Content-Base` and `Content-Location`.

use std::net::IpAddr;

use url::Url;

use super::{Channels, Message, RETINA_CHANNELS, Transport, parameter};

/// What a camera set up (RFC 2326 section 12.39).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answered {
    /// Interleaved on these; over UDP if there are none.
    pub(super) channels: Option<Channels>,
    pub(super) ssrc: Option<u32>,
    /// Where the packets will come from, if not from the camera itself.
    pub(super) source: Option<IpAddr>,
    pub(super) ports: Option<(u16, u16)>,
}

impl Answered {
    /// `None` if it is not what was asked for: UDP to a request for TCP, or multicast. A camera that sets up interleaved
    /// data where it was asked for UDP can be read.
    pub(super) fn parse(message: &Message, asked: Transport) -> Option<Self> {
        let list = message.header("Transport").unwrap_or_default();
        let profile = list.split(';').next().unwrap_or_default().trim().to_ascii_uppercase();
        let numbers = |key: &str| parameter(list, key).and_then(pair);
        let ssrc = parameter(list, "ssrc").filter(|ssrc| ssrc.len() > 4);
        let answered = Self {
            channels: None,
            // Fewer than five digits are half of it or a number of another kind.
            ssrc: ssrc.and_then(|ssrc| u32::from_str_radix(ssrc, 16).ok()),
            source: parameter(list, "source").and_then(|source| source.parse().ok()),
            ports: numbers("server_port"),
        };
        let interleaved = numbers("interleaved").and_then(|(rtp, rtcp)| {
            Some(Channels { rtp: u8::try_from(rtp).ok()?, rtcp: u8::try_from(rtcp).ok()? })
        });
        let is_multicast = list.split(';').any(|part| part.trim().eq_ignore_ascii_case("multicast"));
        let is_tcp = profile.ends_with("/TCP") || interleaved.is_some();
        // A camera that says nothing did what it was asked for.
        let says_udp = !is_tcp && (answered.ports.is_some() || parameter(list, "client_port").is_some());
        match asked {
            _ if is_multicast => None,
            Transport::Tcp if says_udp => None,
            Transport::Udp if !is_tcp => Some(answered),
            _ => Some(Self { channels: Some(interleaved.unwrap_or(RETINA_CHANNELS)), ..answered }),
        }
    }
}

/// `4` or `4-5`; the second is the next one if it is missing.
fn pair(text: &str) -> Option<(u16, u16)> {
    let (first, second) = match text.split_once('-') {
        Some((first, second)) => (first, second.trim().parse().ok()),
        None => (text, None),
    };
    let first: u16 = first.trim().parse().ok()?;
    Some((first, second.or(first.checked_add(1))?))
}

/// What relative addresses of streams are relative to (RFC 2326 appendix C.1.1): the camera's word for it as far as it
/// makes sense, else what it was asked for. Some leave out the scheme
/// (<https://github.com/scottlamb/moonfire-nvr/issues/356>), some the host.
pub(super) fn base_url(message: &Message, asked: &Url) -> Url {
    let named = ["Content-Base", "Content-Location"].into_iter().filter_map(|name| message.header(name));
    let parsed = named.map(str::trim).filter(|text| !text.is_empty()).find_map(|text| {
        let whole = Url::parse(text).ok().filter(|url| url.has_host());
        let schemeless = || {
            let begins_with_host = asked.host_str().is_some_and(|host| text.starts_with(host));
            begins_with_host.then(|| Url::parse(&format!("{}://{text}", asked.scheme())).ok()).flatten()
        };
        whole
            .or_else(schemeless)
            .or_else(|| asked.join(text).ok().filter(|url| url.scheme() == asked.scheme()))
    });
    let makes_sense = |url: &Url| matches!(url.scheme(), "rtsp" | "rtsps") && url.has_host();
    let mut url = parsed.filter(makes_sense).unwrap_or_else(|| asked.clone());
    // Whoever needs them has them already.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn transport(header: &str, asked: Transport) -> Option<Answered> {
        Answered::parse(&Message::response(200).with("Transport", header), asked)
    }

    #[test]
    fn channels_are_read_as_cameras_write_them() {
        for (header, expected) in [
            ("RTP/AVP/TCP;unicast;interleaved=0-1", Some((0, 1))),
            ("RTP/AVP/TCP;unicast;interleaved=4-7;ssrc=0x6f7c;mode=\"PLAY\"", Some((4, 7))),
            ("RTP/AVP/TCP; interleaved = 5 ; unicast", Some((5, 6))),
            ("RTP/AVP;unicast;interleaved=2-3", Some((2, 3))),
            ("RTP/AVP/TCP;unicast", Some((0, 1))),
            ("", Some((0, 1))),
            ("RTP/AVP/TCP;interleaved=nonsense", Some((0, 1))),
            ("RTP/AVP;unicast;client_port=4-5;server_port=6-7", None),
            ("RTP/AVP;multicast;destination=239.0.0.1;port=5000-5001", None),
        ] {
            let channels = transport(header, Transport::Tcp).map(|answered| answered.channels.unwrap());
            assert_eq!(
                channels.map(|channels| (channels.rtp.into(), channels.rtcp.into())),
                expected,
                "{header}"
            );
        }
    }

    #[test]
    fn ports_and_sources_are_read_as_cameras_write_them() {
        let answered = transport(
            "RTP/AVP/UDP;unicast;source=10.0.0.9;server_port=6000-6001;ssrc= d6d6627",
            Transport::Udp,
        )
        .unwrap();
        assert_eq!((answered.ports, answered.source), (Some((6000, 6001)), "10.0.0.9".parse().ok()));
        assert_eq!((answered.channels, answered.ssrc), (None, Some(0x0d6d_6627)));
        assert_eq!(
            transport("RTP/AVP;unicast;server_port=6000", Transport::Udp).unwrap().ports,
            Some((6000, 6001))
        );
        assert_eq!(transport("RTP/AVP;unicast;server_port=65535", Transport::Udp).unwrap().ports, None);
        assert!(transport("RTP/AVP/TCP;interleaved=0-1", Transport::Udp).unwrap().channels.is_some());
    }

    #[test]
    fn a_base_that_makes_no_sense_is_replaced_by_what_was_asked() {
        let asked = Url::parse("rtsp://10.0.0.3:8554/live?token=a").unwrap();
        for (header, base) in [
            ("rtsp://10.0.0.3/live/", "rtsp://10.0.0.3/live/"),
            ("rtsp://admin:secret@10.0.0.3/live/", "rtsp://10.0.0.3/live/"),
            ("10.0.0.3:8554/live/", "rtsp://10.0.0.3:8554/live/"),
            ("/other/", "rtsp://10.0.0.3:8554/other/"),
            ("", asked.as_str()),
            ("http://10.0.0.3/live", asked.as_str()),
            ("rtsp://", asked.as_str()),
        ] {
            let message = Message::response(200).with("content-base", header);
            assert_eq!(base_url(&message, &asked).as_str(), base, "{header}");
        }
        let located = Message::response(200).with("Content-Location", "rtsp://10.0.0.3/x");
        assert_eq!(base_url(&located, &asked).as_str(), "rtsp://10.0.0.3/x");
        assert_eq!(base_url(&Message::response(200), &asked), asked);
    }
}
