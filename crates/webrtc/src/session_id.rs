//! The name of one viewer's session, as it stands in WHEP's `Location`.

use std::fmt;
use std::str::FromStr;

use rand::TryRngCore;
use rand::rngs::OsRng;

/// 128 bits of the operating system's randomness in hex. Knowing it is the right to end the session, so neither
/// [`Debug`](fmt::Debug) nor [`SessionId::label`] show the whole of it; [`Display`](fmt::Display) does, for `Location`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(u128);

impl SessionId {
    pub(crate) fn new() -> Result<Self, rand::rand_core::OsError> {
        let mut bytes = [0; 16];
        OsRng.try_fill_bytes(&mut bytes)?;
        Ok(Self(u128::from_be_bytes(bytes)))
    }

    /// The first 32 bits in hex: enough to tell viewers apart in logs and `/stats`, not enough to end a session.
    pub fn label(&self) -> String {
        format!("{:08x}", self.0 >> 96)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({}…)", self.label())
    }
}

/// What is not the text of a [`SessionId`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a session id: expected 32 lower-case hex digits")]
pub struct NotASessionId;

impl FromStr for SessionId {
    type Err = NotASessionId;

    fn from_str(text: &str) -> Result<Self, NotASessionId> {
        // One spelling per session, so that a session has one address.
        if text.len() != 32 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(NotASessionId);
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| NotASessionId)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_the_address_bar_and_is_never_shown_whole_in_logs() {
        let id = SessionId::new().unwrap();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(!format!("{id:?}").contains(&id.to_string()));
        assert!(id.to_string().starts_with(&id.label()));
    }

    #[test]
    fn other_spellings_are_no_ids() {
        for text in ["", "0", "ABCDEF0123456789ABCDEF0123456789", "+bcdef0123456789abcdef012345678"] {
            assert_eq!(text.parse::<SessionId>(), Err(NotASessionId), "{text}");
        }
    }
}
