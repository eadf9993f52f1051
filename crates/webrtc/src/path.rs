//! The way a datagram takes between a viewer and us.

use std::fmt;
use std::net::SocketAddr;

/// What carries the datagrams of a [`Path`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Protocol {
    Udp,
    /// Framed by RFC 4571, opened by the viewer (RFC 6544).
    Tcp,
}

/// Both ends of it. A viewer has several until ICE has chosen one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Path {
    pub(crate) protocol: Protocol,
    /// The address of ours that the viewer sent to, never a wildcard: answers must leave from it.
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} -> {}", self.protocol, self.local, self.remote)
    }
}
