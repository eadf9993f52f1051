//! What a viewer and a server agree upon before the first packet, and how SDP says it.

use std::net::SocketAddr;

use anyhow::Context;

use super::arrivals;

/// Payload types as Chromium numbers them.
pub(in crate::fan_out) const H264: u8 = 102;
const RTX: u8 = 103;

/// One side's name and password in ICE.
#[derive(Clone)]
pub struct Credentials {
    pub(super) ufrag: String,
    pub(super) password: String,
}

/// What a viewer says of itself.
pub struct Introduction {
    pub(super) credentials: Credentials,
    /// SHA-256, as SDP writes it.
    pub(super) fingerprint: String,
    /// Where it receives.
    pub address: SocketAddr,
}

/// What a server says of itself.
pub struct Terms {
    pub(super) address: SocketAddr,
    pub(super) credentials: Credentials,
    pub(super) fingerprint: String,
    /// We made the offer, so the nomination is ours.
    pub(super) controlling: bool,
    pub(super) payload_type: u8,
    mid: String,
}

impl Credentials {
    pub(super) fn random() -> Self {
        let text = |len| (0..len).map(|_| char::from(rand::random_range(b'a'..=b'z'))).collect();
        Self { ufrag: text(8), password: text(24) }
    }
}

impl Introduction {
    /// To receive one H.264 stream, as a browser asks for it.
    pub fn offer(&self) -> String {
        self.description("actpass", "0", H264, Some(RTX))
    }

    /// To an offer whose terms are `terms`: we begin the handshake.
    pub fn answer(&self, terms: &Terms) -> String {
        self.description("active", &terms.mid, terms.payload_type, None)
    }

    fn description(&self, setup: &str, mid: &str, h264: u8, rtx: Option<u8>) -> String {
        let Credentials { ufrag, password } = &self.credentials;
        let (fingerprint, ip, port) = (&self.fingerprint, self.address.ip(), self.address.port());
        let formats =
            [Some(h264), rtx].into_iter().flatten().map(|format| format!(" {format}")).collect::<String>();
        let mut lines = vec![
            "v=0".to_owned(),
            "o=- 1 2 IN IP4 127.0.0.1".to_owned(),
            "s=-".to_owned(),
            "t=0 0".to_owned(),
            format!("a=group:BUNDLE {mid}"),
            "a=extmap-allow-mixed".to_owned(),
            "a=msid-semantic: WMS".to_owned(),
            format!("m=video 9 UDP/TLS/RTP/SAVPF{formats}"),
            "c=IN IP4 0.0.0.0".to_owned(),
            "a=rtcp:9 IN IP4 0.0.0.0".to_owned(),
            format!("a=ice-ufrag:{ufrag}"),
            format!("a=ice-pwd:{password}"),
            format!("a=fingerprint:sha-256 {fingerprint}"),
            format!("a=setup:{setup}"),
            format!("a=mid:{mid}"),
            format!(
                "a=extmap:{} http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
                arrivals::ID
            ),
            "a=extmap:5 http://www.webrtc.org/experiments/rtp-hdrext/playout-delay".to_owned(),
            "a=recvonly".to_owned(),
            "a=rtcp-mux".to_owned(),
            "a=rtcp-rsize".to_owned(),
            format!("a=rtpmap:{h264} H264/90000"),
            format!("a=rtcp-fb:{h264} transport-cc"),
            format!("a=rtcp-fb:{h264} ccm fir"),
            format!("a=rtcp-fb:{h264} nack"),
            format!("a=rtcp-fb:{h264} nack pli"),
            format!("a=fmtp:{h264} level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"),
        ];
        if let Some(rtx) = rtx {
            lines.push(format!("a=rtpmap:{rtx} rtx/90000"));
            lines.push(format!("a=fmtp:{rtx} apt={h264}"));
        }
        lines.push(format!("a=candidate:1 1 udp 2130706431 {ip} {port} typ host"));
        lines.push("a=end-of-candidates".to_owned());
        lines.iter().map(|line| format!("{line}\r\n")).collect()
    }
}

impl Terms {
    /// Reads a server's description: its answer to our offer (`controlling`), or its offer.
    pub fn read(sdp: &str, controlling: bool) -> anyhow::Result<Self> {
        let value = |key: &str| {
            let found =
                sdp.lines().find_map(|line| line.strip_prefix("a=")?.strip_prefix(key)?.strip_prefix(':'));
            found.map(|value| value.trim().to_owned()).with_context(|| format!("no a={key} in {sdp}"))
        };
        let fingerprint = value("fingerprint")?;
        let fingerprint = fingerprint
            .strip_prefix("sha-256 ")
            .with_context(|| format!("found {fingerprint}, expected sha-256"))?;
        let formats =
            sdp.lines().find_map(|line| line.strip_prefix("m=video ")).context("no video section")?;
        let payload_type =
            formats.split(' ').nth(2).and_then(|first| first.trim().parse().ok()).context("no format")?;
        Ok(Self {
            address: candidate(sdp).with_context(|| format!("no UDP candidate on loopback in {sdp}"))?,
            credentials: Credentials { ufrag: value("ice-ufrag")?, password: value("ice-pwd")? },
            fingerprint: fingerprint.to_owned(),
            controlling,
            payload_type,
            mid: value("mid")?,
        })
    }
}

/// Of the candidates the one on IPv4 loopback, else the first by IPv4: a server on this machine answers there, too.
fn candidate(sdp: &str) -> Option<SocketAddr> {
    let candidates = sdp.lines().filter_map(|line| {
        let fields: Vec<_> = line.trim().strip_prefix("a=candidate:")?.split(' ').collect();
        let is_ours = fields.get(1) == Some(&"1") && fields.get(2)?.eq_ignore_ascii_case("udp");
        let address = SocketAddr::new(fields.get(4)?.parse().ok()?, fields.get(5)?.parse().ok()?);
        (is_ours && address.is_ipv4()).then_some(address)
    });
    candidates.max_by_key(|address| address.ip().is_loopback())
}
