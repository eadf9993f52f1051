//! STUN messages as ICE uses them (RFC 8489, RFC 8445 section 7).

use std::net::SocketAddr;

use rtc::crypto::RTCCrypto;
use rtc::stun::attributes::{
    ATTR_ICE_CONTROLLED, ATTR_MESSAGE_INTEGRITY, ATTR_PRIORITY, ATTR_USE_CANDIDATE, ATTR_USERNAME, AttrType,
};
use rtc::stun::error_code::CODE_ROLE_CONFLICT;
use rtc::stun::fingerprint::FINGERPRINT;
use rtc::stun::integrity::MessageIntegrity;
use rtc::stun::message::{
    BINDING_ERROR, BINDING_REQUEST, BINDING_SUCCESS, CLASS_REQUEST, CLASS_SUCCESS_RESPONSE, METHOD_BINDING,
    Message, Setter, TransactionId,
};
use rtc::stun::textattrs::TextAttribute;
use rtc::stun::xoraddr::XorMappedAddress;

const HEADER_LEN: usize = 20;
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const BINDING_REQUEST_TYPE: [u8; 2] = [0, 1];
/// Success and error.
const BINDING_RESPONSE_TYPES: [[u8; 2]; 2] = [[1, 1], [1, 0x11]];

/// The first byte tells STUN from DTLS and RTP on one port (RFC 7983).
pub(crate) fn is_stun(datagram: &[u8]) -> bool {
    datagram.len() >= HEADER_LEN && datagram[0] < 4 && datagram[4..8] == MAGIC_COOKIE
}

/// The ufrag that a binding request is addressed to: the first half of its USERNAME. Unauthenticated.
pub(crate) fn addressee(datagram: &[u8]) -> Option<&str> {
    if !is_stun(datagram) || datagram[..2] != BINDING_REQUEST_TYPE {
        return None;
    }
    let mut rest = &datagram[HEADER_LEN..];
    while let [t0, t1, l0, l1, value @ ..] = rest {
        let len = usize::from(u16::from_be_bytes([*l0, *l1]));
        let text = value.get(..len)?;
        if u16::from_be_bytes([*t0, *t1]) == ATTR_USERNAME.0 {
            return Some(std::str::from_utf8(text).ok()?.split_once(':')?.0);
        }
        rest = value.get(len.next_multiple_of(4)..)?;
    }
    None
}

/// The first eight bytes of the transaction that a response belongs to. Unauthenticated.
pub(crate) fn answered(datagram: &[u8]) -> Option<u64> {
    if !is_stun(datagram) || !BINDING_RESPONSE_TYPES.contains(&[datagram[0], datagram[1]]) {
        return None;
    }
    datagram[8..16].try_into().ok().map(u64::from_be_bytes)
}

/// A transaction of the peer whose mark this is: the rest is random.
pub(super) fn transaction(mark: u64) -> TransactionId {
    let mut transaction = TransactionId::new();
    transaction.0[..8].copy_from_slice(&mark.to_be_bytes());
    transaction
}

/// A message that was decoded and, where it matters, authenticated by [`Received::is_signed_with`].
pub(super) struct Received(Message);

#[derive(PartialEq, Eq)]
pub(super) enum Kind {
    Request,
    Success,
    Other,
}

impl Received {
    pub(super) fn decode(datagram: &[u8]) -> Option<Self> {
        let mut message = Message { raw: datagram.to_vec(), ..Message::default() };
        message.decode().ok()?;
        Some(Self(message))
    }

    pub(super) fn kind(&self) -> Kind {
        match (self.0.typ.method, self.0.typ.class) {
            (METHOD_BINDING, CLASS_REQUEST) => Kind::Request,
            (METHOD_BINDING, CLASS_SUCCESS_RESPONSE) => Kind::Success,
            _ => Kind::Other,
        }
    }

    pub(super) fn transaction(&self) -> TransactionId {
        self.0.transaction_id
    }

    pub(super) fn username(&self) -> Option<String> {
        TextAttribute::get_from_as(&self.0, ATTR_USERNAME).ok().map(|text| text.text)
    }

    pub(super) fn priority(&self) -> u32 {
        let value = self.0.get(ATTR_PRIORITY).ok().and_then(|value| <[u8; 4]>::try_from(value).ok());
        value.map_or(0, u32::from_be_bytes)
    }

    pub(super) fn nominates(&self) -> bool {
        self.0.contains(ATTR_USE_CANDIDATE)
    }

    pub(super) fn claims_to_be_controlled(&self) -> bool {
        self.0.contains(ATTR_ICE_CONTROLLED)
    }

    pub(super) fn is_signed_with(&mut self, password: &str, crypto: &dyn RTCCrypto) -> bool {
        self.0.contains(ATTR_MESSAGE_INTEGRITY)
            && MessageIntegrity::check(&mut self.0, password.as_bytes(), crypto).is_ok()
    }

    /// The success response to this request.
    pub(super) fn success(&self, to: SocketAddr, password: &str, crypto: &dyn RTCCrypto) -> Option<Vec<u8>> {
        let mapped = XorMappedAddress { ip: to.ip(), port: to.port() };
        build(&[&BINDING_SUCCESS, &self.0.transaction_id, &mapped], password, crypto)
    }

    /// RFC 8445 section 7.3.1.1: the other side is to take the controlling role, which we never do.
    pub(super) fn role_conflict(&self, password: &str, crypto: &dyn RTCCrypto) -> Option<Vec<u8>> {
        build(&[&BINDING_ERROR, &self.0.transaction_id, &CODE_ROLE_CONFLICT], password, crypto)
    }
}

/// A connectivity or consent check of ours.
pub(super) fn request(
    transaction: TransactionId,
    username: &str,
    priority: u32,
    tie_breaker: u64,
    password: &str,
    crypto: &dyn RTCCrypto,
) -> Option<Vec<u8>> {
    let username = TextAttribute::new(ATTR_USERNAME, username.to_owned());
    let priority = Raw(ATTR_PRIORITY, &priority.to_be_bytes());
    let tie_breaker = Raw(ATTR_ICE_CONTROLLED, &tie_breaker.to_be_bytes());
    build(&[&BINDING_REQUEST, &transaction, &username, &priority, &tie_breaker], password, crypto)
}

fn build(setters: &[&dyn Setter], password: &str, crypto: &dyn RTCCrypto) -> Option<Vec<u8>> {
    let mut message = Message::new();
    message.write_header();
    for setter in setters {
        setter.add_to(&mut message).ok()?;
    }
    let integrity = MessageIntegrity::new_short_term_integrity_with_provider(password.to_owned(), crypto);
    integrity.add_to(&mut message).ok()?;
    FINGERPRINT.add_to(&mut message).ok()?;
    Some(message.raw)
}

struct Raw<'a>(AttrType, &'a [u8]);

impl Setter for Raw<'_> {
    fn add_to(&self, message: &mut Message) -> Result<(), rtc::shared::error::Error> {
        message.add(self.0, self.1);
        Ok(())
    }
}

/// Requests as a viewer makes them, for tests of whatever stands behind ICE.
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
pub(crate) mod viewer {
    use rtc::stun::attributes::ATTR_ICE_CONTROLLING;

    use super::*;

    /// A check by the viewer whose ufrag stands second in `username`.
    pub(crate) fn check(username: &str, password: &str, nominate: bool, crypto: &dyn RTCCrypto) -> Vec<u8> {
        let username = TextAttribute::new(ATTR_USERNAME, username.to_owned());
        let (priority, tie_breaker) = (Raw(ATTR_PRIORITY, &[0, 0, 1, 0]), Raw(ATTR_ICE_CONTROLLING, &[1; 8]));
        let transaction = TransactionId::new();
        let mut setters: Vec<&dyn Setter> =
            vec![&BINDING_REQUEST, &transaction, &username, &priority, &tie_breaker];
        let nominated = Raw(ATTR_USE_CANDIDATE, &[]);
        if nominate {
            setters.push(&nominated);
        }
        build(&setters, password, crypto).unwrap()
    }

    /// The answer to `request`, or nothing when it is no request or not signed with `password`.
    pub(crate) fn answer(
        request: &[u8],
        seen: SocketAddr,
        password: &str,
        crypto: &dyn RTCCrypto,
    ) -> Option<Vec<u8>> {
        let mut received = Received::decode(request)?;
        let is_request = received.kind() == Kind::Request && received.is_signed_with(password, crypto);
        is_request.then(|| received.success(seen, password, crypto)).flatten()
    }

    pub(crate) fn is_success(datagram: &[u8]) -> bool {
        Received::decode(datagram).is_some_and(|received| received.kind() == Kind::Success)
    }
}
