//! One name asked by multicast DNS: a one-shot query (RFC 6762 section 5.1) from an ephemeral port on every interface, to
//! which whoever bears the name answers by unicast (section 6.7). Nothing is listened to when nobody asks, nothing
//! answered, nothing kept.
//!
//! Answers come from anybody on the link: of bounded size and number, for our question only, read by `hickory-proto`.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RData, RecordType};
use nix::ifaddrs::getifaddrs;
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

const PORT: u16 = 5353;
const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
/// Wireless links lose multicast easily.
const SENT_AT: [Duration; 3] = [Duration::ZERO, Duration::from_millis(300), Duration::from_millis(900)];
const LIMIT: Duration = Duration::from_secs(2);
/// How long an answer with the other family's address may come behind the first.
const GRACE: Duration = Duration::from_millis(100);
/// The largest message that may be sent (RFC 6762 section 17).
const LARGEST: usize = 9_000;
/// Datagrams read from one interface for one name.
const DATAGRAMS: usize = 64;
const INTERFACES: usize = 16;

/// Where a query leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Interface {
    V4(Ipv4Addr),
    /// By its index.
    V6(u32),
}

/// Whom a query reaches; another port in tests, where a real responder may have this one.
#[derive(Debug, Clone, Copy)]
struct Link {
    interface: Interface,
    port: u16,
}

/// The addresses under which `host` answers, without port; none if nobody does for two seconds.
pub(super) async fn look_up(host: &str) -> Vec<SocketAddr> {
    let links = interfaces().into_iter().map(|interface| Link { interface, port: PORT }).collect();
    look_up_on(links, host).await
}

async fn look_up_on(links: Vec<Link>, host: &str) -> Vec<SocketAddr> {
    let Ok(mut name) = Name::from_ascii(host) else { return Vec::new() };
    name.set_fqdn(true);
    let deadline = Instant::now() + LIMIT;
    let mut asked: FuturesUnordered<_> = links.iter().map(|link| link.ask(&name, deadline)).collect();
    let mut found = BTreeSet::new();
    let mut until = deadline;
    while let Ok(Some(answer)) = timeout_at(until, asked.next()).await {
        match answer {
            Ok(addresses) if !addresses.is_empty() => {
                found.extend(addresses);
                until = until.min(Instant::now() + GRACE);
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(host, "cannot ask by multicast on one interface: {error}"),
        }
    }
    found.into_iter().collect()
}

impl Link {
    async fn ask(&self, name: &Name, deadline: Instant) -> io::Result<Vec<SocketAddr>> {
        let socket = self.socket()?;
        let id: u16 = rand::random();
        let mut found = BTreeSet::new();
        let (begin, mut until, mut sent, mut datagrams) = (Instant::now(), deadline, 0, 0);
        let mut datagram = vec![0; LARGEST];
        loop {
            while sent < SENT_AT.len() && begin + SENT_AT[sent] <= Instant::now() {
                // Asking for a unicast answer is for those who know more than section 6.7; some who know less take the
                // bit for an unknown class.
                for record in [RecordType::A, RecordType::AAAA] {
                    socket.send_to(&query(name, id, record, sent % 2 == 0)?, self.group()).await?;
                }
                sent += 1;
            }
            let next = SENT_AT.get(sent).filter(|_| found.is_empty()).map(|after| begin + *after);
            let wait = next.unwrap_or(until).min(until);
            match timeout_at(wait, socket.recv_from(&mut datagram)).await {
                Ok(Ok((length, from))) if datagrams < DATAGRAMS => {
                    datagrams += 1;
                    // Answers come from the port of multicast DNS (RFC 6762 section 6); other datagrams are no answers.
                    if from.port() == self.port {
                        let addresses = addresses(&datagram[..length], name, id);
                        found.extend(addresses.filter_map(|address| self.reachable(address)));
                    }
                    if !found.is_empty() {
                        until = until.min(Instant::now() + GRACE);
                    }
                }
                Ok(Ok(_)) => break,
                Ok(Err(error)) => return Err(error),
                Err(_) if Instant::now() >= until => break,
                Err(_) => {}
            }
        }
        Ok(found.into_iter().collect())
    }

    fn group(&self) -> SocketAddr {
        match self.interface {
            Interface::V4(_) => SocketAddrV4::new(GROUP_V4, self.port).into(),
            Interface::V6(index) => SocketAddrV6::new(GROUP_V6, self.port, 0, index).into(),
        }
    }

    fn socket(&self) -> io::Result<UdpSocket> {
        match self.interface {
            Interface::V4(address) => {
                let socket = std::net::UdpSocket::bind((address, 0))?;
                socket.set_nonblocking(true)?;
                SockRef::from(&socket).set_multicast_if_v4(&address)?;
                SockRef::from(&socket).set_multicast_ttl_v4(255)?;
                UdpSocket::from_std(socket)
            }
            Interface::V6(index) => {
                let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
                socket.set_only_v6(true)?;
                socket.set_nonblocking(true)?;
                socket.set_multicast_if_v6(index)?;
                socket.set_multicast_hops_v6(255)?;
                socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)).into())?;
                UdpSocket::from_std(socket.into())
            }
        }
    }

    /// The answer as something to connect to. Nobody on the network may point us at ourselves.
    fn reachable(&self, address: IpAddr) -> Option<SocketAddr> {
        if address.is_unspecified() || address.is_multicast() {
            return None;
        }
        let is_own_loopback = matches!(self.interface, Interface::V4(own) if own.is_loopback());
        if address.is_loopback() && !is_own_loopback {
            return None;
        }
        match (address, self.interface) {
            (IpAddr::V4(Ipv4Addr::BROADCAST), _) => None,
            (IpAddr::V6(address), Interface::V6(index)) if address.is_unicast_link_local() => {
                Some(SocketAddrV6::new(address, 0, 0, index).into())
            }
            // Without the interface's number it leads nowhere.
            (IpAddr::V6(address), Interface::V4(_)) if address.is_unicast_link_local() => None,
            (address, _) => Some(SocketAddr::new(address, 0)),
        }
    }
}

fn query(name: &Name, id: u16, record: RecordType, unicast: bool) -> io::Result<Vec<u8>> {
    let mut query = Query::query(name.clone(), record);
    query.set_mdns_unicast_response(unicast);
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.add_query(query);
    message.to_vec().map_err(io::Error::other)
}

/// The addresses that a message gives for our name.
fn addresses(bytes: &[u8], name: &Name, id: u16) -> impl Iterator<Item = IpAddr> {
    let message = Message::from_vec(bytes).ok().filter(|message| {
        // Answers to one-shot queries repeat the number, those of simple responders have none.
        message.metadata.message_type == MessageType::Response && [0, id].contains(&message.metadata.id)
    });
    let records =
        message.into_iter().flat_map(|message| message.answers.into_iter().chain(message.additionals));
    let ours: Vec<IpAddr> = records
        .filter(|record| record.name.eq_ignore_root(name))
        .filter_map(|record| match record.data {
            RData::A(address) => Some(IpAddr::V4(address.0)),
            RData::AAAA(address) => Some(IpAddr::V6(address.0)),
            _ => None,
        })
        .take(8)
        .collect();
    ours.into_iter()
}

/// Every interface that is up and knows multicast.
fn interfaces() -> Vec<Interface> {
    let Ok(all) = getifaddrs() else { return Vec::new() };
    let usable = |flags: InterfaceFlags| {
        flags.contains(InterfaceFlags::IFF_UP | InterfaceFlags::IFF_MULTICAST)
            && !flags.contains(InterfaceFlags::IFF_LOOPBACK)
    };
    let found: BTreeSet<Interface> = all
        .filter(|interface| usable(interface.flags))
        .filter_map(|interface| {
            let address = interface.address?;
            match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
                (Some(v4), _) => Some(Interface::V4(v4.ip())),
                (_, Some(_)) => if_nametoindex(interface.interface_name.as_str()).ok().map(Interface::V6),
                _ => None,
            }
        })
        .collect();
    found.into_iter().take(INTERFACES).collect()
}

#[cfg(test)]
mod tests;
