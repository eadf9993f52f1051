//! STUN and TURN servers that viewers are told of: one `Link` of the answer each (RFC 9725 section 4.6, RFC 8288).
//!
//! A TURN server with a shared secret (coturn's `use-auth-secret`, "TURN REST API" of draft-uberti-behave-turn-rest) gets a login
//! for each viewer that ends after a while: the user is the time it ends, the password the HMAC of that.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::HeaderValue;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, Mac};
use sha1::Sha1;

/// The second half of the user name, which servers show in their logs.
const LABEL: &str = "wallcast";

/// A server under one or more addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IceServer {
    /// `stun:…`, `turn:…` and so on (RFC 7064, RFC 7065). The configuration has checked that they are.
    pub urls: Vec<String>,
    /// For `turn:` and `turns:`; there is one wherever there is such an address.
    pub login: Option<IceLogin>,
}

/// How a viewer logs in to a TURN server.
#[derive(Clone, PartialEq, Eq)]
pub enum IceLogin {
    /// The same for everybody, for ever.
    Fixed {
        /// The user's name.
        username: String,
        /// The password.
        credential: String,
    },
    /// Another one for each viewer.
    TimeLimited {
        /// What this machine and the server know.
        secret: String,
        /// For how long a login is good.
        ttl: Duration,
    },
}

/// Neither the password nor the secret, and no user name either.
impl fmt::Debug for IceLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed { .. } => f.debug_struct("Fixed").finish_non_exhaustive(),
            Self::TimeLimited { ttl, .. } => {
                f.debug_struct("TimeLimited").field("ttl", ttl).finish_non_exhaustive()
            }
        }
    }
}

/// The values of `Link` for a viewer that asks at `now`.
pub(crate) fn links(servers: &[IceServer], now: SystemTime) -> impl Iterator<Item = HeaderValue> {
    servers.iter().flat_map(move |server| {
        let login = server.login.as_ref().map(|login| login.at(now));
        server.urls.iter().filter_map(move |url| link(url, login.as_ref()))
    })
}

fn link(url: &str, login: Option<&(String, String)>) -> Option<HeaderValue> {
    let mut text = format!("<{url}>; rel=\"ice-server\"");
    if let Some((username, credential)) = login.filter(|_| url.starts_with("turn")) {
        let (username, credential) = (quoted(username), quoted(credential));
        text += &format!("; username={username}; credential={credential}; credential-type=\"password\"");
    }
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// RFC 9110 section 5.6.4.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

impl IceLogin {
    fn at(&self, now: SystemTime) -> (String, String) {
        match self {
            Self::Fixed { username, credential } => (username.clone(), credential.clone()),
            Self::TimeLimited { secret, ttl } => {
                let ends = (now + *ttl).duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
                let username = format!("{ends}:{LABEL}");
                let credential = BASE64_STANDARD.encode(hmac_sha1(secret.as_bytes(), username.as_bytes()));
                (username, credential)
            }
        }
    }
}

fn hmac_sha1(key: &[u8], message: &[u8]) -> impl AsRef<[u8]> + use<> {
    let mut mac = Hmac::<Sha1>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn told(servers: &[IceServer], seconds: u64) -> Vec<String> {
        let links = links(servers, UNIX_EPOCH + Duration::from_secs(seconds));
        links.map(|link| link.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn each_address_is_a_link_and_only_turn_has_the_login() {
        let login = IceLogin::Fixed { username: "u \"1\"".to_owned(), credential: "p\\w".to_owned() };
        let urls = ["stun:a.example", "turn:a.example?transport=udp", "turns:[::1]:5349"];
        let server = IceServer { urls: urls.map(str::to_owned).into(), login: Some(login) };
        let login = r#"; username="u \"1\""; credential="p\\w"; credential-type="password""#;
        assert_eq!(
            told(&[server], 0),
            [
                r#"<stun:a.example>; rel="ice-server""#.to_owned(),
                format!(r#"<turn:a.example?transport=udp>; rel="ice-server"{login}"#),
                format!(r#"<turns:[::1]:5349>; rel="ice-server"{login}"#),
            ]
        );
    }

    #[test]
    fn a_shared_secret_makes_a_login_that_ends() {
        // What `printf '1433895918:wallcast' | openssl dgst -sha1 -hmac north -binary | base64` prints.
        let login = IceLogin::TimeLimited { secret: "north".to_owned(), ttl: Duration::from_secs(600) };
        let server = IceServer { urls: vec!["turn:a.example".to_owned()], login: Some(login) };
        let expected = "username=\"1433895918:wallcast\"; credential=\"VmA/HRQCA0UCfPm8rpLIbyPTobY=\"";
        let found = told(&[server], 1_433_895_318);
        assert!(found[0].contains(expected), "{found:?}");
    }

    #[test]
    fn no_secret_is_in_debug_and_the_headers_are_sensitive() {
        for login in [
            IceLogin::Fixed { username: "geheim".to_owned(), credential: "geheim".to_owned() },
            IceLogin::TimeLimited { secret: "geheim".to_owned(), ttl: Duration::from_secs(1) },
        ] {
            let server = IceServer { urls: vec!["turn:a.example".to_owned()], login: Some(login) };
            assert!(!format!("{server:?}").contains("geheim"), "{server:?}");
            let links: Vec<_> = links(&[server], UNIX_EPOCH).collect();
            assert!(!format!("{links:?}").contains("geheim"), "{links:?}");
        }
    }
}
