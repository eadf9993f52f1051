//! Which stream a request is about.

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use rtsp_types::Url;

use super::sdp::TRACK;

/// What a path cannot carry as it is (RFC 3986 section 3.3), and `;`, which ends the address in RTP-Info.
const IN_PATH: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b',').add(b';').add(b'<').add(b'>').add(b'?');

/// The name in a request's address: `rtsp://host/{name}`, with or without the track behind it. What follows
/// a `?` is not looked at.
pub(super) fn name(url: &Url) -> Option<String> {
    name_in_path(url.path())
}

/// The same for an address as a client wrote it into its Digest credentials: some write the path alone.
pub(super) fn name_in_text(address: &str) -> Option<String> {
    match Url::parse(address) {
        Ok(url) => name(&url),
        Err(_) => name_in_path(address.split('?').next()?),
    }
}

/// The address under which a stream's controls lie, ending in a slash: host and port as the client wrote
/// them, without a login and without a query.
pub(super) fn base(url: &Url, name: &str) -> String {
    let host = url.host_str().unwrap_or("localhost");
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("rtsp://{host}{port}/{}/", utf8_percent_encode(name, IN_PATH))
}

fn name_in_path(path: &str) -> Option<String> {
    let path = path.trim_matches('/');
    let name = path.strip_suffix(TRACK).unwrap_or(path).trim_end_matches('/');
    let name = percent_decode_str(name).decode_utf8().ok()?;
    (!name.is_empty()).then(|| name.into_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn check(address: &str, expected: Option<&str>) {
        assert_eq!(name(&Url::parse(address).unwrap()).as_deref(), expected, "{address}");
        assert_eq!(name_in_text(address).as_deref(), expected, "{address}");
    }

    #[test]
    fn the_name_is_the_path_without_slashes_track_query_and_escapes() {
        check("rtsp://host:8554/wall", Some("wall"));
        check("rtsp://host:8554/wall/", Some("wall"));
        check("rtsp://user:secret@host/wall/trackID=0", Some("wall"));
        check("rtsp://host/wall/trackID=0?x=1", Some("wall"));
        check("rtsp://host/front%20yard/", Some("front yard"));
        check("rtsp://host/", None);
        check("rtsp://host", None);
        check("rtsp://host/%ff", None);
        assert_eq!(name_in_text("/wall/trackID=0").as_deref(), Some("wall"));
    }

    #[test]
    fn the_base_address_carries_no_login_and_no_query() {
        let url = Url::parse("rtsp://user:secret@10.0.0.1:8554/front%20yard?token=secret").unwrap();
        assert_eq!(base(&url, "front yard"), "rtsp://10.0.0.1:8554/front%20yard/");
        let url = Url::parse("rtsp://[::1]:8554/wall").unwrap();
        assert_eq!(base(&url, "wall"), "rtsp://[::1]:8554/wall/");
    }
}
