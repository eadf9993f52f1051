//! The Transport header of SETUP (RFC 2326 section 12.39): which of a client's offers is taken.

use rtsp_types::headers::{
    RtpLowerTransport, RtpProfile, RtpTransport, Transport, TransportMode, Transports,
};

/// What was agreed with a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Agreed {
    /// RTP/AVP/TCP on these two channels of the RTSP connection.
    Interleaved { rtp: u8, rtcp: u8 },
    /// RTP/AVP by UDP to these two ports of the client's address; never to another address, because a
    /// `destination` would let anybody point a stream at anybody.
    Udp { rtp: u16, rtcp: u16 },
}

/// Takes the first offer that this server can serve. Multicast, RECORD, SRTP and feedback profiles are not.
pub(super) fn choose(offers: &Transports) -> Option<Agreed> {
    offers.iter().find_map(|offer| match offer {
        Transport::Rtp(offer) => accept(offer),
        Transport::Other(_) => None,
    })
}

fn accept(offer: &RtpTransport) -> Option<Agreed> {
    let params = &offer.params;
    let plays = params.mode.is_empty() || params.mode.contains(&TransportMode::Play);
    if offer.profile != RtpProfile::Avp || params.multicast || !plays {
        return None;
    }
    match offer.lower_transport {
        Some(RtpLowerTransport::Tcp) => {
            let (rtp, rtcp) = params.interleaved.unwrap_or((0, None));
            let rtcp = rtcp.or_else(|| rtp.checked_add(1)).filter(|rtcp| *rtcp != rtp)?;
            Some(Agreed::Interleaved { rtp, rtcp })
        }
        None | Some(RtpLowerTransport::Udp) => {
            let (rtp, rtcp) = params.client_port?;
            let rtcp = rtcp.or_else(|| rtp.checked_add(1)).filter(|rtcp| *rtcp != rtp)?;
            (rtp != 0 && rtcp != 0).then_some(Agreed::Udp { rtp, rtcp })
        }
        Some(RtpLowerTransport::Other(_)) => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use rtsp_types::{Method, Request, Version, headers::TRANSPORT};

    fn check(header: &str, expected: Option<Agreed>) {
        let request = Request::builder(Method::Setup, Version::V1_0).header(TRANSPORT, header).empty();
        let offers = request.typed_header::<Transports>().unwrap().unwrap();
        assert_eq!(choose(&offers), expected, "{header}");
    }

    #[test]
    fn interleaved_and_unicast_udp_are_taken() {
        check("RTP/AVP/TCP;unicast;interleaved=2-3", Some(Agreed::Interleaved { rtp: 2, rtcp: 3 }));
        check("RTP/AVP/TCP;interleaved=4", Some(Agreed::Interleaved { rtp: 4, rtcp: 5 }));
        check("RTP/AVP/TCP;unicast", Some(Agreed::Interleaved { rtp: 0, rtcp: 1 }));
        check("RTP/AVP;unicast;client_port=5000-5001", Some(Agreed::Udp { rtp: 5000, rtcp: 5001 }));
        check("RTP/AVP/UDP;unicast;client_port=5000;mode=play", Some(Agreed::Udp { rtp: 5000, rtcp: 5001 }));
        check(
            "RTP/AVP;unicast;client_port=5000-5001;mode=\"PLAY\"",
            Some(Agreed::Udp { rtp: 5000, rtcp: 5001 }),
        );
    }

    #[test]
    fn the_first_offer_that_can_be_served_is_taken() {
        check(
            "RTP/SAVP;unicast;client_port=1-2,RTP/AVP;multicast,RTP/AVP/TCP;interleaved=0-1,RTP/AVP;unicast;client_port=8-9",
            Some(Agreed::Interleaved { rtp: 0, rtcp: 1 }),
        );
    }

    #[test]
    fn everything_else_is_refused() {
        check("RTP/AVP;multicast;client_port=5000-5001", None);
        check("RTP/AVP;unicast", None);
        check("RTP/AVP;unicast;client_port=65535", None);
        check("RTP/AVP;unicast;client_port=0-1", None);
        check("RTP/AVP/TCP;interleaved=255", None);
        check("RTP/AVP/TCP;interleaved=1-1", None);
        check("RTP/AVP/TCP;interleaved=0-1;mode=record", None);
        check("RTP/AVPF;unicast;client_port=5000-5001", None);
        check("RAW/RAW/UDP;unicast;client_port=5000-5001", None);
    }
}
