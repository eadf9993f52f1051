//! What travels by PATCH during a session (RFC 8840, `application/trickle-ice-sdpfrag`; RFC 9725 section 4.3): the
//! viewer's further candidates, or a restart of ICE.

use std::net::SocketAddr;

use super::answer::candidate;
use crate::ice::Credentials;
use crate::path::Protocol;

const MAX_BYTES: usize = 64 * 1024;

/// Reads the viewer's fragment: its credentials. Its candidates are passed over, because none is ever dialled. `None`
/// is no fragment, or one without credentials.
pub(crate) fn read(text: &str) -> Option<Credentials> {
    let is_line = |line: &str| matches!(line.as_bytes(), [b'a'..=b'z', b'=', _, ..]);
    let lines = || text.lines().filter(|line| !line.is_empty());
    if text.len() > MAX_BYTES || !lines().all(is_line) {
        return None;
    }
    // For the session, or in the section that the bundle is tagged by, which comes first.
    let value =
        |key: &str| lines().find_map(|line| line.strip_prefix("a=")?.strip_prefix(key)?.strip_prefix(':'));
    let credentials =
        Credentials { ufrag: value("ice-ufrag")?.to_owned(), password: value("ice-pwd")?.to_owned() };
    Some(credentials).filter(Credentials::are_short_enough)
}

/// Our half of a restart, for the section whose mid is `mid`.
pub(crate) fn write(
    mid: &str,
    ours: &Credentials,
    ice_lite: bool,
    candidates: &[(Protocol, SocketAddr)],
) -> String {
    let lite = if ice_lite { "a=ice-lite\r\n" } else { "" };
    let Credentials { ufrag, password } = ours;
    let candidates: String = candidates
        .iter()
        .enumerate()
        .map(|(position, &(protocol, address))| {
            format!("a=candidate:{}\r\n", candidate(position, protocol, address))
        })
        .collect();
    format!(
        "{lite}m=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:{mid}\r\na=ice-ufrag:{ufrag}\r\na=ice-pwd:{password}\r\n{candidates}\
         a=end-of-candidates\r\n"
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const RESTART: &str = "a=ice-options:trickle ice2\r\na=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n\
        a=mid:0\r\na=ice-ufrag:ysXw\r\na=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k\r\n\
        a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag ysXw network-id 1\r\n";

    #[test]
    fn a_fragment_tells_whose_it_is() {
        let credentials = read(RESTART).unwrap();
        assert_eq!((&*credentials.ufrag, &*credentials.password), ("ysXw", "vw5LmwG4y/e6dPP/zAP9Gp5k"));
        assert!(read(&RESTART.replace("\r\n", "\n")).is_some());
        assert!(read(&RESTART.replace("ysXw", &"y".repeat(256))).is_some());
    }

    #[test]
    fn what_is_no_fragment_is_refused() {
        for text in [
            "",
            "{}",
            "a=ice-ufrag:ysXw\r\n",
            &RESTART.replace("ysXw", &"y".repeat(257)),
            &RESTART.replace("vw5L", &"v".repeat(250)),
            &RESTART.replace("a=mid", "mid"),
            &"a=b\r\n".repeat(20_000),
        ] {
            assert!(read(text).is_none(), "{:.40}", text);
        }
    }

    #[test]
    fn what_is_written_can_be_read() {
        let (ours, candidates) =
            (Credentials::random(), [(Protocol::Udp, "192.0.2.1:8082".parse().unwrap())]);
        let text = write("1", &ours, false, &candidates);
        assert!(read(&text).unwrap() == ours);
        assert!(!text.contains("a=ice-lite"));
        assert!(write("1", &ours, true, &candidates).starts_with("a=ice-lite\r\nm=video"));
        assert!(text.contains("a=candidate:1 1 udp 2130706431 192.0.2.1 8082 typ host\r\n"), "{text}");
    }
}
