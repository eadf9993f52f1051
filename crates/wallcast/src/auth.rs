//! Who may do what: bearer tokens with roles, compared in constant time, and a brake on guessing.
//!
//! Roles are independent but for one rule: `admin` implies `view` (whoever may change a wall may see it). It does not
//! imply `publish`, so that a leaked editor token cannot put pictures on a wall. How a token travels in HTTP is in
//! [`crate::http::guard`].

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use subtle::{Choice, ConstantTimeEq};

use crate::brake::Brake;

/// Unknown tokens that an address may send before it is slowed, and how long it then waits for each.
const GUESSES: u32 = 10;
const PAUSE: Duration = Duration::from_secs(2);

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Watch, and read the state of everything.
    View,
    /// Push pictures and data as a camera.
    Publish,
    /// Change walls. Implies [`Role::View`].
    Admin,
}

/// A set of roles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    view: bool,
    publish: bool,
    admin: bool,
}

/// A secret that opens the HTTP and RTSP servers, and the name it is known by.
#[derive(Clone)]
pub struct Token {
    name: Arc<str>,
    secret: String,
    roles: Roles,
}

/// Who is let in.
#[derive(Clone, Debug)]
pub enum Auth {
    /// No tokens, and every listener is on loopback: whoever reaches it.
    Loopback,
    /// No tokens on purpose (`auth: none`): whoever reaches it.
    Open,
    /// Whoever has one of these. Never empty.
    Tokens(Vec<Token>),
}

/// Who makes a request.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The token's name; none where no token is asked for.
    pub name: Option<Arc<str>>,
    /// What the request may do.
    pub roles: Roles,
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No token came (HTTP 401).
    #[error("found no token, expected one with the role {needed}")]
    Missing {
        /// What was asked for.
        needed: Role,
    },
    /// Nobody has this token (HTTP 401).
    #[error("found an unknown token, expected one with the role {needed}")]
    Unknown {
        /// What was asked for.
        needed: Role,
    },
    /// The token is known but does not allow this (HTTP 403).
    #[error("found a token without the role {needed}, expected one with it")]
    WrongRole {
        /// What was asked for.
        needed: Role,
    },
    /// Too many unknown tokens from this address (HTTP 429).
    #[error("found too many unknown tokens from this address, expected a pause of {} s", .retry_after.as_secs())]
    TooMany {
        /// When the next try is looked at; whole seconds, at least one.
        retry_after: Duration,
    },
}

/// Decides about requests. Shared by every listener.
#[derive(Debug)]
pub struct Authenticator {
    auth: Auth,
    brake: Mutex<Brake>,
}

impl Role {
    /// All of them, in the order of documentation.
    pub const ALL: [Role; 3] = [Role::View, Role::Publish, Role::Admin];

    /// As configuration files have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::View => "view",
            Role::Publish => "publish",
            Role::Admin => "admin",
        }
    }

    /// The role of this name.
    pub fn from_name(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.as_str() == name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Roles {
    /// Every role: what everybody has where no tokens are set.
    pub const ALL: Roles = Roles { view: true, publish: true, admin: true };

    /// Whether `role` is among them, by itself or through `admin`.
    pub fn allow(self, role: Role) -> bool {
        match role {
            Role::View => self.view || self.admin,
            Role::Publish => self.publish,
            Role::Admin => self.admin,
        }
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Self {
        let mut set = Roles::default();
        for role in roles {
            match role {
                Role::View => set.view = true,
                Role::Publish => set.publish = true,
                Role::Admin => set.admin = true,
            }
        }
        set
    }
}

impl Token {
    /// A token; the configuration has checked that it is not empty.
    pub fn new(name: &str, secret: String, roles: Roles) -> Self {
        Token { name: name.into(), secret, roles }
    }

    /// The name it is known by: in logs, and as the user of the RTSP server.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The secret itself, for the RTSP server's password. Never for a log or an answer.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// What it allows.
    pub fn roles(&self) -> Roles {
        self.roles
    }

    fn is(&self, secret: &str) -> Choice {
        self.secret.as_bytes().ct_eq(secret.as_bytes())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("name", &self.name).field("roles", &self.roles).finish_non_exhaustive()
    }
}

impl Auth {
    /// The tokens; none where nobody is asked for one.
    pub fn tokens(&self) -> &[Token] {
        match self {
            Auth::Loopback | Auth::Open => &[],
            Auth::Tokens(tokens) => tokens,
        }
    }

    /// Whether a listener on `address` is allowed: loopback always is, others need tokens or an explicit none.
    pub fn allows_listening_on(&self, address: SocketAddr) -> bool {
        address.ip().to_canonical().is_loopback() || !matches!(self, Auth::Loopback)
    }
}

impl Authenticator {
    /// Decides by `auth`.
    pub fn new(auth: Auth) -> Self {
        Authenticator { auth, brake: Mutex::new(Brake::new(GUESSES, PAUSE)) }
    }

    /// Whoever has one of these is let in, for protocols that cannot send a token as it is and compare for themselves;
    /// those ask [`Authenticator::wait`] first and tell [`Authenticator::failed`].
    pub fn tokens(&self) -> &[Token] {
        self.auth.tokens()
    }

    /// How long `from` has to wait at `now` before a token of its is looked at, because of too many unknown ones.
    pub fn wait(&self, from: IpAddr, now: Instant) -> Option<Duration> {
        self.brake.lock().wait(from, now)
    }

    /// Counts an unknown token from `from` at `now`.
    pub fn failed(&self, from: IpAddr, now: Instant) {
        self.brake.lock().count(from, now);
    }

    /// Whether requests need tokens at all.
    pub fn asks_for_tokens(&self) -> bool {
        !self.auth.tokens().is_empty()
    }

    /// Whether the bearer of `token`, coming from `from` at `now`, may do what needs `needed`.
    ///
    /// # Errors
    /// Says what is wrong with the token, never what it is.
    pub fn check(
        &self,
        token: Option<&str>,
        needed: Role,
        from: IpAddr,
        now: Instant,
    ) -> Result<Identity, Denied> {
        if !self.asks_for_tokens() {
            return Ok(Identity { name: None, roles: Roles::ALL });
        }
        let token = token.ok_or(Denied::Missing { needed })?;
        if let Some(retry_after) = self.wait(from, now) {
            return Err(Denied::TooMany { retry_after });
        }
        // Every token is compared, so that the time taken does not tell which one came close.
        let mut known = None;
        for candidate in self.auth.tokens() {
            if candidate.is(token).into() {
                known = Some(candidate);
            }
        }
        let Some(known) = known else {
            self.failed(from, now);
            return Err(Denied::Unknown { needed });
        };
        if !known.roles.allow(needed) {
            return Err(Denied::WrongRole { needed });
        }
        Ok(Identity { name: Some(known.name.clone()), roles: known.roles })
    }
}

#[cfg(test)]
mod tests;
