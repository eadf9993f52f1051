//! Logins: Basic (RFC 7617) and Digest with SHA-256 and MD5 (RFC 7616; without `qop`, RFC 2617).
//!
//! RTSP knows no bearer tokens: the token's name is the user, the token is the password, and its role is `view`. The
//! brake on guessing is [`crate::auth::Authenticator`]'s.
//!
//! Each connection has a nonce of its own, which is worth nothing on any other connection and runs out when
//! it is not used. Cameras' and recorders' firmware reconnects when a keepalive is refused, so that a nonce
//! in use does not run out.

use std::time::{Duration, Instant};

use base64::{Engine, prelude::BASE64_STANDARD};
use md5::Md5;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::target;
use crate::auth::{Role, Token};

const REALM: &str = "wallcast";
const NONCE_LIFE: Duration = Duration::from_secs(300);

/// What became of a request's credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Granted,
    /// There were none: the usual first request.
    Missing,
    /// They fit a nonce that has run out or was used already: the client may try again without asking a human.
    Stale,
    /// Wrong, or not understood.
    Denied,
}

/// One connection's side of the exchange.
#[derive(Debug)]
pub(super) struct Challenger {
    nonce: String,
    used: Instant,
    last_count: u32,
}

impl Challenger {
    pub(super) fn new(now: Instant) -> Self {
        Self { nonce: fresh_nonce(), used: now, last_count: 0 }
    }

    /// Judges the Authorization header of a request.
    pub(super) fn check(
        &mut self,
        tokens: &[Token],
        method: &str,
        address: &str,
        authorization: Option<&str>,
        now: Instant,
    ) -> Verdict {
        let Some(authorization) = authorization.map(str::trim) else { return Verdict::Missing };
        match authorization.split_once(' ') {
            Some((scheme, credentials)) if scheme.eq_ignore_ascii_case("basic") => {
                check_basic(tokens, credentials.trim())
            }
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("digest") => {
                match Credentials::parse(authorization) {
                    Some(credentials) => self.check_digest(tokens, method, address, &credentials, now),
                    None => Verdict::Denied,
                }
            }
            _ => Verdict::Denied,
        }
    }

    /// The WWW-Authenticate headers of a 401, one each. Clients that know one Digest algorithm take the last
    /// Digest header they see, those that know both take the first.
    pub(super) fn challenges(&self, verdict: Verdict) -> [String; 3] {
        let digest = |algorithm: Algorithm| {
            let stale = if verdict == Verdict::Stale { ", stale=true" } else { "" };
            let (name, nonce) = (algorithm.name(), &self.nonce);
            format!(r#"Digest realm="{REALM}", nonce="{nonce}", algorithm={name}, qop="auth"{stale}"#)
        };
        [digest(Algorithm::Sha256), digest(Algorithm::Md5), format!(r#"Basic realm="{REALM}""#)]
    }

    fn check_digest(
        &mut self,
        tokens: &[Token],
        method: &str,
        address: &str,
        credentials: &Credentials,
        now: Instant,
    ) -> Verdict {
        // Some clients sign the stream's address for each of its tracks; another stream's would be a replay.
        let is_about_this = target::name_in_text(&credentials.uri) == target::name_in_text(address);
        if credentials.realm != REALM || !is_about_this {
            return Verdict::Denied;
        }
        let expired = now.saturating_duration_since(self.used) > NONCE_LIFE;
        let is_ours: bool = credentials.nonce.as_bytes().ct_eq(self.nonce.as_bytes()).into();
        if !is_ours || expired || credentials.qop.as_ref().is_some_and(|qop| qop.count <= self.last_count) {
            *self = Self::new(now);
            return Verdict::Stale;
        }
        let fits = |token: &Token| {
            let user_fits = token.name().as_bytes().ct_eq(credentials.user.as_bytes());
            let expected = credentials.expected_response(token.name(), token.secret(), method);
            user_fits & expected.as_bytes().ct_eq(credentials.response.to_ascii_lowercase().as_bytes())
        };
        if !any(tokens, fits) {
            return Verdict::Denied;
        }
        self.used = now;
        self.last_count = credentials.qop.as_ref().map_or(self.last_count, |qop| qop.count);
        Verdict::Granted
    }
}

fn check_basic(tokens: &[Token], credentials: &str) -> Verdict {
    let Ok(given) = BASE64_STANDARD.decode(credentials) else { return Verdict::Denied };
    let fits = |token: &Token| format!("{}:{}", token.name(), token.secret()).as_bytes().ct_eq(&given);
    if any(tokens, fits) { Verdict::Granted } else { Verdict::Denied }
}

/// Tries every token that allows watching, whether or not one fitted already.
fn any(tokens: &[Token], fits: impl Fn(&Token) -> Choice) -> bool {
    let watching = tokens.iter().filter(|token| token.roles().allow(Role::View));
    watching.fold(Choice::from(0), |found, token| found | fits(token)).into()
}

fn fresh_nonce() -> String {
    hex(&rand::random::<[u8; 16]>())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Md5,
    Sha256,
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    fn hash(self, text: &str) -> String {
        match self {
            Self::Md5 => hex(&Md5::digest(text)),
            Self::Sha256 => hex(&Sha256::digest(text)),
        }
    }
}

/// The Digest credentials of a request.
struct Credentials {
    algorithm: Algorithm,
    user: String,
    realm: String,
    nonce: String,
    uri: String,
    response: String,
    qop: Option<Qop>,
}

/// `qop=auth`: the client counts its requests and adds a nonce of its own.
struct Qop {
    count: u32,
    /// `count` as it was written: it is hashed.
    count_text: String,
    client_nonce: String,
}

impl Credentials {
    /// Credentials have the grammar of a challenge (RFC 7235 section 2.1), hence the parser.
    fn parse(authorization: &str) -> Option<Self> {
        let mut parsed = http_auth::parse_challenges(authorization).ok()?;
        let credentials = parsed.pop().filter(|_| parsed.is_empty())?;
        let get = |name: &str| {
            let mut values = credentials.params.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
            values.next().map(|(_, value)| value.to_unescaped())
        };
        let algorithm = match get("algorithm") {
            None => Algorithm::Md5,
            Some(name) if name.eq_ignore_ascii_case("MD5") => Algorithm::Md5,
            Some(name) if name.eq_ignore_ascii_case("SHA-256") => Algorithm::Sha256,
            Some(_) => return None,
        };
        let qop = match get("qop") {
            None => None,
            Some(qop) if qop.eq_ignore_ascii_case("auth") => {
                let count_text = get("nc")?;
                let count = u32::from_str_radix(&count_text, 16).ok()?;
                Some(Qop { count, count_text, client_nonce: get("cnonce")? })
            }
            Some(_) => return None,
        };
        Some(Self {
            algorithm,
            user: get("username")?,
            realm: get("realm")?,
            nonce: get("nonce")?,
            uri: get("uri")?,
            response: get("response")?,
            qop,
        })
    }

    /// RFC 7616 section 3.4.1.
    fn expected_response(&self, user: &str, password: &str, method: &str) -> String {
        let hash = |text: String| self.algorithm.hash(&text);
        let secret = hash(format!("{user}:{}:{password}", self.realm));
        let request = hash(format!("{method}:{}", self.uri));
        let nonce = &self.nonce;
        match &self.qop {
            Some(Qop { count_text, client_nonce, .. }) => {
                hash(format!("{secret}:{nonce}:{count_text}:{client_nonce}:auth:{request}"))
            }
            None => hash(format!("{secret}:{nonce}:{request}")),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
