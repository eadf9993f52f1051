//! Where a camera is, with its secrets kept apart from the first moment.
//!
//! RTSP addresses: RFC 2326 section 3.2, generic syntax RFC 3986. People paste passwords with every character in
//! them, so `@` and `:` in a password are understood as they are; `/`, `?` and `#` end the host part in every URL
//! parser and must be percent-encoded. What looks like half a password that slipped into host or path is refused
//! rather than shown.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::percent_decode_str;
use url::{Host, Url};

/// The longest part of a host name is 63.
const SHOWN_HOST: usize = 80;
const SHOWN_WORDS: usize = 400;

/// The address of a camera: `rtsp://[user[:password]@]host[:port]/path[?query]`, or `rtsps://` with TLS.
///
/// `Debug` and `Display` show scheme, host, port and path only, and mask what looks like a password inside the
/// path, because some recorders put it there (`/user=admin_password=…_channel=1`).
#[derive(Clone, PartialEq, Eq)]
pub struct SourceUrl {
    /// Without user and password; the query is still there, because the camera needs it.
    request: Url,
    login: Option<Login>,
    /// Every text that must never be printed.
    secrets: Vec<String>,
}

/// User name and password, percent-decoded.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) password: String,
}

/// Why a text is not the address of a camera. No variant carries any part of the text that could be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceUrlError {
    /// Not an absolute URL.
    #[error("found no scheme, expected an address like rtsp://host:554/path")]
    NoScheme,
    /// A scheme this build does not read.
    #[error("found the scheme {found}, expected rtsp or rtsps")]
    Scheme {
        /// The scheme, lower case.
        found: String,
    },
    /// The address has no host.
    #[error("found no host, expected an address like rtsp://host:554/path")]
    NoHost,
    /// The URL parser refused it; usually a raw `/`, `?` or `#` in the password.
    #[error(
        "unreadable address ({problem}), expected rtsp://user:password@host:port/path; in user and password write / as %2F, ? as %3F, # as %23, % as %25"
    )]
    Unreadable {
        /// What the parser said; a fixed text without any of the input.
        problem: url::ParseError,
    },
    /// `@` or `#` after the host: probably half a password.
    #[error(
        "found {found} after the host, expected a plain path; in user and password write / as %2F, ? as %3F, # as %23, and in a path write @ as %40"
    )]
    StrayDelimiter {
        /// The character.
        found: char,
    },
    /// The percent-decoded user name or password is not UTF-8.
    #[error("user name or password is not UTF-8 after percent-decoding")]
    LoginNotUtf8,
}

impl SourceUrl {
    /// Parses the address and splits user and password off.
    ///
    /// # Errors
    /// Says what was found and what was expected, without repeating any part that could be a secret.
    pub fn parse(text: &str) -> Result<Self, SourceUrlError> {
        let text = text.trim();
        let (scheme, after_scheme) = text.split_once("://").ok_or(SourceUrlError::NoScheme)?;
        if !is_scheme(scheme) {
            return Err(SourceUrlError::NoScheme);
        }
        if !["rtsp", "rtsps"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
            return Err(SourceUrlError::Scheme { found: scheme.to_ascii_lowercase() });
        }
        let authority_end = after_scheme.find(['/', '?', '#']).unwrap_or(after_scheme.len());
        if let Some(found) = after_scheme[authority_end..].chars().find(|c| matches!(c, '@' | '#')) {
            return Err(SourceUrlError::StrayDelimiter { found });
        }

        let mut request = Url::parse(text).map_err(|problem| match problem {
            url::ParseError::EmptyHost => SourceUrlError::NoHost,
            problem => SourceUrlError::Unreadable { problem },
        })?;
        if request.host_str().is_none_or(str::is_empty) {
            return Err(SourceUrlError::NoHost);
        }
        let secrets = secrets_of(&request, &after_scheme[..authority_end]);
        let login = login_of(&request)?;
        // Neither can fail: the URL has a host, which is all that the two functions ask for.
        request.set_username("").map_err(|()| SourceUrlError::NoHost)?;
        request.set_password(None).map_err(|()| SourceUrlError::NoHost)?;
        Ok(Self { request, login, secrets })
    }

    /// Host name or address, without brackets.
    #[must_use]
    pub fn host(&self) -> Cow<'_, str> {
        match self.request.host() {
            Some(Host::Ipv6(address)) => Cow::Owned(address.to_string()),
            _ => Cow::Borrowed(self.request.host_str().unwrap_or_default()),
        }
    }

    /// The port; when the address names none, 554, and 322 with TLS.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.request.port().unwrap_or(if self.is_tls() { 322 } else { 554 })
    }

    /// Whether the camera is spoken to through TLS (`rtsps`).
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.request.scheme() == "rtsps"
    }

    /// What is asked of the camera: no user, no password, but the query. Not for printing.
    pub(crate) fn request_url(&self) -> &Url {
        &self.request
    }

    pub(crate) fn login(&self) -> Option<&Login> {
        self.login.as_ref()
    }

    /// `text` with every secret of this address replaced, in the form it was written and in the decoded form.
    pub(crate) fn scrub(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "***"))
    }
}

/// A host for showing: redirects bring names that a camera wrote, of any length and with anything in them.
pub(crate) fn shown_host(host: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
    let mut host = host.chars();
    let shown: String = host.by_ref().take(SHOWN_HOST).map(|c| if is_plain(c) { c } else { '?' }).collect();
    if host.next().is_none() { shown } else { shown + "…" }
}

/// What a camera or a library said, for the log: one line, not too long, without anything that steers a terminal and
/// without the query of any address in it.
pub(crate) fn shown_words(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let mut shown = String::new();
    let mut is_query = false;
    for c in line.chars().take(SHOWN_WORDS) {
        let ends_address = c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '`');
        is_query &= !ends_address;
        match c {
            _ if is_query => {}
            '?' => {
                is_query = true;
                shown.push_str("?***");
            }
            c if c.is_control() => shown.push(' '),
            c => shown.push(c),
        }
    }
    shown
}

impl fmt::Display for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.request.scheme(), self.request.host_str().unwrap_or_default())?;
        if let Some(port) = self.request.port() {
            write!(f, ":{port}")?;
        }
        for (index, segment) in self.request.path().split('/').enumerate() {
            let slash = if index == 0 { "" } else { "/" };
            write!(f, "{slash}{}", masked(segment))?;
        }
        Ok(())
    }
}

impl fmt::Debug for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceUrl({self})")
    }
}

/// RFC 3986 section 3.1. Checked so that `admin:secret@host://` is not shown as a scheme.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

fn login_of(url: &Url) -> Result<Option<Login>, SourceUrlError> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    let decode = |text: &str| {
        percent_decode_str(text).decode_utf8().map(Cow::into_owned).map_err(|_| SourceUrlError::LoginNotUtf8)
    };
    Ok(Some(Login { user: decode(url.username())?, password: decode(url.password().unwrap_or_default())? }))
}

/// Password and query in every spelling in which they could come back: as typed, as the URL parser spells them,
/// and decoded; the longest first, so that no half of one is left over.
fn secrets_of(url: &Url, authority: &str) -> Vec<String> {
    let mut secrets = Vec::new();
    let mut add = |text: &str| {
        for spelling in [text, &percent_decode_str(text).decode_utf8_lossy()] {
            if !spelling.is_empty() && !secrets.iter().any(|known| known == spelling) {
                secrets.push(spelling.to_owned());
            }
        }
    };
    if let Some((login, _)) = authority.rsplit_once('@') {
        add(login.split_once(':').map_or("", |(_, password)| password));
    }
    add(url.password().unwrap_or_default());
    add(url.query().unwrap_or_default());
    for pair in url.query().unwrap_or_default().split('&') {
        add(pair.split_once('=').map_or(pair, |(_, value)| value));
    }
    for segment in url.path().split('/') {
        if let Some(start) = secret_in_segment(segment) {
            add(&segment[start..]);
        }
    }
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets
}

fn masked(segment: &str) -> Cow<'_, str> {
    match secret_in_segment(segment) {
        Some(start) => Cow::Owned(format!("{}***", &segment[..start])),
        None => Cow::Borrowed(segment),
    }
}

/// Where in a path segment like `user=admin_password=…_channel=1` the secret begins. Everything behind it counts
/// as secret, because nothing says where a password ends.
fn secret_in_segment(segment: &str) -> Option<usize> {
    const KEYS: [&str; 7] = ["pass", "pwd", "token", "secret", "auth", "key", "psw"];
    let lower = segment.to_ascii_lowercase();
    let key = KEYS.iter().filter_map(|key| lower.find(key)).min()?;
    let value = key + segment[key..].find('=')? + 1;
    (value < segment.len()).then_some(value)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, shown: &str, login: Option<(&str, &str)>) -> SourceUrl {
        let url = SourceUrl::parse(text).unwrap();
        assert_eq!(url.to_string(), shown);
        assert_eq!(format!("{url:?}"), format!("SourceUrl({shown})"));
        assert_eq!(url.login().map(|l| (l.user.as_str(), l.password.as_str())), login);
        assert_eq!(url.request_url().username(), "");
        assert_eq!(url.request_url().password(), None);
        url
    }

    #[test]
    fn user_password_and_query_are_split_off_and_never_shown() {
        let url = check("rtsp://10.0.0.3/live/left", "rtsp://10.0.0.3/live/left", None);
        assert_eq!(url.port(), 554);
        let url = check(
            "rtsp://admin:hunter2@cam.lan:8554/live?token=abc",
            "rtsp://cam.lan:8554/live",
            Some(("admin", "hunter2")),
        );
        assert_eq!(url.request_url().as_str(), "rtsp://cam.lan:8554/live?token=abc");
        assert_eq!((url.host().as_ref(), url.port()), ("cam.lan", 8554));
        check("RTSP://admin@cam.lan/", "rtsp://cam.lan/", Some(("admin", "")));
        let url = check("rtsps://admin:hunter2@cam.lan/x", "rtsps://cam.lan/x", Some(("admin", "hunter2")));
        assert_eq!((url.port(), url.is_tls()), (322, true));
        assert_eq!(SourceUrl::parse("rtsps://cam.lan:554/x").unwrap().port(), 554);
    }

    #[test]
    fn passwords_may_hold_at_signs_colons_and_percent_encoding() {
        check("rtsp://admin:p@ss:w%2Frd@cam.lan/x", "rtsp://cam.lan/x", Some(("admin", "p@ss:w/rd")));
        check("rtsp://admin:p%40ss@cam.lan/x", "rtsp://cam.lan/x", Some(("admin", "p@ss")));
        check("rtsp://us%3Aer:gr%C3%BC%C3%9Fe@cam.lan/x", "rtsp://cam.lan/x", Some(("us:er", "grüße")));
        let broken = SourceUrl::parse("rtsp://admin:%FF%FE@cam.lan/x").unwrap_err();
        assert_eq!(broken, SourceUrlError::LoginNotUtf8);
    }

    #[test]
    fn ipv6_hosts_are_understood_with_and_without_port() {
        let url = check("rtsp://u:p@[2001:db8::7]:555/x", "rtsp://[2001:db8::7]:555/x", Some(("u", "p")));
        assert_eq!((url.host().as_ref(), url.port()), ("2001:db8::7", 555));
        assert_eq!(check("rtsp://[::1]/x", "rtsp://[::1]/x", None).host(), "::1");
    }

    #[test]
    fn a_password_in_the_path_is_masked() {
        check(
            "rtsp://dvr/user=admin_password=tlJwpbo6_channel=1_stream=0.sdp?real_stream",
            "rtsp://dvr/user=admin_password=***",
            None,
        );
        check("rtsp://dvr/a/Token=q/b", "rtsp://dvr/a/Token=***/b", None);
        check("rtsp://dvr/passage/keyhole", "rtsp://dvr/passage/keyhole", None);
    }

    #[test]
    fn a_password_that_slipped_out_of_the_login_is_refused_and_not_repeated() {
        for text in [
            "rtsp://admin:12#34secret@cam.lan/x",
            "rtsp://admin:12/34secret@cam.lan/x",
            "rtsp://admin:12?34secret@cam.lan/x",
            "rtsp://admin:secret/x@cam.lan/x",
            "rtsp://admin:secret",
            "admin:secret@cam.lan/x",
            "secret",
            "http://admin:secret@cam.lan/x",
            "admin:secret@cam.lan://x",
            "rtsp://",
            "rtsp:///secret",
            "rtsp://admin:secret@/x",
            "rtsp://admin:secret@cam.lan:port/x",
            "rtsp://admin:secret@ca m.lan/x",
        ] {
            let error = SourceUrl::parse(text).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("secret") && !shown.contains("admin"), "{text}: {shown}");
        }
        assert_eq!(
            SourceUrl::parse("HTTP://x/").unwrap_err().to_string(),
            "found the scheme http, expected rtsp or rtsps"
        );
    }

    #[test]
    fn hosts_that_cameras_wrote_are_shown_short_and_plain() {
        for (host, shown) in [
            ("cam-1_a.lan", "cam-1_a.lan"),
            ("fe80::1%eth0", "fe80::1%eth0"),
            ("a\u{1b}[31m b\r\n<script>", "a??31m?b???script?"),
            ("käse", "k?se"),
        ] {
            assert_eq!(shown_host(host), shown);
        }
        for c in ["a", "ä", "€"] {
            let shown = shown_host(&c.repeat(9_000));
            assert!(shown.chars().count() <= SHOWN_HOST + 1 && shown.ends_with('…'), "{shown}");
        }
    }

    #[test]
    fn words_that_cameras_wrote_are_logged_short_plain_and_without_queries() {
        for (text, shown) in [
            ("bad url rtsp://x/y?token=abc&d=e?f (400)", "bad url rtsp://x/y?*** (400)"),
            ("base \"rtsp://x/?a=b\" and 'x?y', is it?", "base \"rtsp://x/?***\" and 'x?***', is it?***"),
            ("one\u{1b}[31m\ntwo", "one [31m"),
            ("", ""),
        ] {
            assert_eq!(shown_words(text), shown);
        }
        assert!(shown_words(&"€".repeat(9_000)).chars().count() <= SHOWN_WORDS);
    }

    #[test]
    fn scrubbing_removes_every_spelling_of_every_secret() {
        let url = SourceUrl::parse("rtsp://admin:p@s%2Fs w@cam.lan/x?token=abc%20def&n=77").unwrap();
        let text = "p@s%2Fs w|p%40s%2Fs%20w|p@s/s w|abc%20def|abc def|token=abc%20def&n=77|77|rest";
        assert_eq!(url.scrub(text), "***|***|***|***|***|***|***|rest");
    }
}
