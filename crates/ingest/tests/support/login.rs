//! The camera's side of a login (RFC 7617, RFC 7616, RFC 2069), reckoned with nothing but the hash functions.

use md5::Md5;
use sha2::{Digest, Sha256, Sha512_256};

use super::hostile::Request;
use super::server::base64;

/// How a camera asks who we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Basic,
    Digest { algorithm: Algorithm, qop: Option<&'static str> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// Not named in the challenge, as in RFC 2069.
    Unnamed,
    Md5,
    Sha256,
    Sha512_256,
}

/// One account of a camera.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Account {
    pub(crate) user: &'static str,
    pub(crate) password: &'static str,
}

const REALM: &str = "IP Camera(C2345)";

impl Scheme {
    /// The value of `WWW-Authenticate`.
    pub(crate) fn challenge(self, nonce: &str, stale: bool) -> String {
        let Self::Digest { algorithm, qop } = self else { return format!("Basic realm=\"{REALM}\"") };
        let qop = qop.map_or_else(String::new, |qop| format!(", qop=\"{qop}\""));
        let algorithm = algorithm.name().map_or_else(String::new, |name| format!(", algorithm={name}"));
        let stale = if stale { ", stale=\"TRUE\"" } else { "" };
        format!("Digest realm=\"{REALM}\", nonce=\"{nonce}\"{qop}{algorithm}{stale}")
    }

    /// Whether a request carries this account's login for this nonce.
    pub(crate) fn accepts(self, request: &Request, nonce: &str, account: Account) -> bool {
        let Some(given) = request.header("Authorization") else { return false };
        let Account { user, password } = account;
        let Self::Digest { algorithm, qop } = self else {
            return given == format!("Basic {}", base64(format!("{user}:{password}").as_bytes()));
        };
        let Some(given) = given.strip_prefix("Digest ") else { return false };
        let value = |name: &str| parameter(given, name).unwrap_or_default();
        if value("nonce") != nonce || value("uri") != request.url || value("realm") != REALM {
            return false;
        }
        let hash = |text: String| algorithm.hash(&text);
        let secret = hash(format!("{user}:{REALM}:{password}"));
        let subject = hash(format!("{}:{}", request.method, request.url));
        let expected = match qop {
            None => hash(format!("{secret}:{nonce}:{subject}")),
            Some(_) if value("qop") != "auth" => return false,
            Some(_) => {
                let (count, cnonce) = (value("nc"), value("cnonce"));
                hash(format!("{secret}:{nonce}:{count}:{cnonce}:auth:{subject}"))
            }
        };
        value("username") == user && value("response") == expected
    }
}

impl Algorithm {
    fn name(self) -> Option<&'static str> {
        match self {
            Self::Unnamed => None,
            Self::Md5 => Some("MD5"),
            Self::Sha256 => Some("SHA-256"),
            Self::Sha512_256 => Some("SHA-512-256"),
        }
    }

    fn hash(self, text: &str) -> String {
        match self {
            Self::Unnamed | Self::Md5 => hex(&Md5::digest(text)),
            Self::Sha256 => hex(&Sha256::digest(text)),
            Self::Sha512_256 => hex(&Sha512_256::digest(text)),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A value out of `name="value", name=value`, with its escapes undone.
fn parameter(list: &str, wanted: &str) -> Option<String> {
    let mut rest = list;
    loop {
        let (name, after) = rest.split_once('=')?;
        let name = name.trim_matches([' ', ',']);
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let (value, after) = after.split_once(',').unwrap_or((after, ""));
                (value.trim().to_owned(), after)
            }
        };
        if name.eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = after;
    }
}

fn unquoted(quoted: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}
