//! A viewer's half of ICE (RFC 8445): one pair, real checks, regular nomination, consent (RFC 7675) asked and given.
//!
//! Written here because an agent of `rtc-ice` would be the largest part of a viewer, of which there are a thousand.

use std::time::{Duration, Instant};

use rtc::crypto::RTCCrypto;
use rtc::stun::attributes::{
    ATTR_ICE_CONTROLLED, ATTR_ICE_CONTROLLING, ATTR_PRIORITY, ATTR_USE_CANDIDATE, ATTR_USERNAME, AttrType,
};
use rtc::stun::fingerprint::FINGERPRINT;
use rtc::stun::integrity::MessageIntegrity;
use rtc::stun::message::{
    BINDING_REQUEST, BINDING_SUCCESS, CLASS_REQUEST, CLASS_SUCCESS_RESPONSE, METHOD_BINDING, Message, Setter,
    TransactionId,
};
use rtc::stun::textattrs::TextAttribute;
use rtc::stun::xoraddr::XorMappedAddress;

use super::terms::{Credentials, Terms};

const REPEAT: Duration = Duration::from_millis(100);
/// Browsers ask every 2.5 s, RFC 7675 says 5 s.
const CONSENT_INTERVAL: Duration = Duration::from_millis(2_500);
const CONSENT_EXPIRES: Duration = Duration::from_secs(30);
/// Of a host candidate, for what a check discovers (RFC 8445 section 7.1.1).
const PRIORITY: u32 = 0x6e00_01ff;

pub(super) struct Ice {
    local: Credentials,
    remote: Credentials,
    controlling: bool,
    tie_breaker: u64,
    step: Step,
    /// The controlling side has nominated, maybe before our own check is through (RFC 8445 section 7.3.1.5).
    is_chosen: bool,
    check: Option<TransactionId>,
    due: Instant,
    consent: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Checking,
    /// A check of ours was answered; the controlling side nominates.
    Nominating,
    Nominated,
}

impl Ice {
    pub(super) fn new(now: Instant, local: Credentials, terms: &Terms) -> Self {
        let (remote, controlling) = (terms.credentials.clone(), terms.controlling);
        let (step, check) = (Step::Checking, None);
        let (tie_breaker, is_chosen) = (rand::random(), false);
        Self { local, remote, controlling, tie_breaker, step, is_chosen, check, due: now, consent: now }
    }

    pub(super) fn is_nominated(&self) -> bool {
        self.step == Step::Nominated
    }

    /// The other side has not answered for half a minute.
    pub(super) fn is_lost(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.consent) > CONSENT_EXPIRES
    }

    /// The answer to be sent, if any.
    pub(super) fn handle(
        &mut self,
        now: Instant,
        datagram: &[u8],
        from: std::net::SocketAddr,
        crypto: &dyn RTCCrypto,
    ) -> Option<Vec<u8>> {
        let mut message = Message { raw: datagram.to_vec(), ..Message::default() };
        message.decode().ok()?;
        let is_signed = |message: &mut Message, password: &str| {
            MessageIntegrity::check(message, password.as_bytes(), crypto).is_ok()
        };
        match (message.typ.method, message.typ.class) {
            (METHOD_BINDING, CLASS_REQUEST) => {
                if !is_signed(&mut message, &self.local.password) {
                    return None;
                }
                if !self.controlling && message.contains(ATTR_USE_CANDIDATE) && self.step == Step::Nominating
                {
                    self.step = Step::Nominated;
                }
                let mapped = XorMappedAddress { ip: from.ip(), port: from.port() };
                build(&[&BINDING_SUCCESS, &message.transaction_id, &mapped], &self.local.password, crypto)
            }
            (METHOD_BINDING, CLASS_SUCCESS_RESPONSE) => {
                if self.check == Some(message.transaction_id)
                    && is_signed(&mut message, &self.remote.password)
                {
                    self.answered(now);
                }
                None
            }
            _ => None,
        }
    }

    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// The check that is due, if one is.
    pub(super) fn poll(&mut self, now: Instant, crypto: &dyn RTCCrypto) -> Option<Vec<u8>> {
        if now < self.due {
            return None;
        }
        self.due = now + if self.is_nominated() { CONSENT_INTERVAL } else { REPEAT };
        let transaction = *self.check.insert(TransactionId::new());
        let username = format!("{}:{}", self.remote.ufrag, self.local.ufrag);
        let username = TextAttribute::new(ATTR_USERNAME, username);
        let priority = Raw(ATTR_PRIORITY, &PRIORITY.to_be_bytes());
        let role = if self.controlling { ATTR_ICE_CONTROLLING } else { ATTR_ICE_CONTROLLED };
        let role = Raw(role, &self.tie_breaker.to_be_bytes());
        let mut setters: Vec<&dyn Setter> = vec![&BINDING_REQUEST, &transaction, &username, &priority, &role];
        let nominate = Raw(ATTR_USE_CANDIDATE, &[]);
        if self.controlling && self.step != Step::Checking {
            setters.push(&nominate);
        }
        build(&setters, &self.remote.password, crypto)
    }

    fn answered(&mut self, now: Instant) {
        self.consent = now;
        self.step = match self.step {
            Step::Checking if self.is_chosen => Step::Nominated,
            Step::Checking => {
                self.due = now;
                Step::Nominating
            }
            Step::Nominating if self.controlling => {
                self.due = now + CONSENT_INTERVAL.mul_f64(rand::random_range(0.0..1.0));
                Step::Nominated
            }
            step => step,
        };
    }
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
