//! Under which addresses viewers outside of this machine's own networks reach it: what `webrtc.public_addresses` says, names
//! looked up again and again, because behind a home's router they change.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;
use wallcast_webrtc::Peers;

/// Between two look-ups of the names.
const LOOK_UP_EVERY: Duration = Duration::from_secs(60);
/// The same after one that failed: a machine that has just started may have no network yet.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(10);
const LOOK_UP_WITHIN: Duration = Duration::from_secs(5);

/// An address, or a name that stands for some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicAddress {
    /// Where.
    pub host: PublicHost,
    /// Where it is another one than WebRTC listens on.
    pub port: Option<u16>,
}

/// What a [`PublicAddress`] is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicHost {
    /// Just that.
    Ip(IpAddr),
    /// To be looked up, over and over.
    Name(String),
}

impl fmt::Display for PublicHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// Tells `peers` of the addresses; where some are names, goes on doing so until what is returned is dropped.
pub(crate) fn announce(
    addresses: &[PublicAddress],
    peers: &Arc<Peers>,
    runtime: &Handle,
) -> Option<AbortOnDropHandle<()>> {
    let port = peers.port();
    let fixed = addresses.iter().filter_map(|address| match address.host {
        PublicHost::Ip(ip) => Some(SocketAddr::new(ip, address.port.unwrap_or(port))),
        PublicHost::Name(_) => None,
    });
    peers.announce(fixed.collect());
    let has_names = addresses.iter().any(|address| matches!(address.host, PublicHost::Name(_)));
    has_names.then(|| {
        let task = look_up_again_and_again(addresses.to_vec(), Arc::clone(peers));
        AbortOnDropHandle::new(runtime.spawn(task))
    })
}

async fn look_up_again_and_again(addresses: Vec<PublicAddress>, peers: Arc<Peers>) {
    let mut known: Vec<Vec<SocketAddr>> = vec![Vec::new(); addresses.len()];
    let mut failing = vec![false; addresses.len()];
    loop {
        for (number, address) in addresses.iter().enumerate() {
            let port = address.port.unwrap_or(peers.port());
            match look_up(&address.host, port).await {
                Ok(found) => {
                    if matches!(address.host, PublicHost::Name(_)) && found != known[number] {
                        tracing::info!(name = %address.host, addresses = ?found, "viewers are told of this machine's public addresses");
                    }
                    (known[number], failing[number]) = (found, false);
                }
                // What was found last is better than nothing.
                Err(error) if !std::mem::replace(&mut failing[number], true) => {
                    tracing::warn!(name = %address.host, %error, "this public address cannot be looked up");
                }
                Err(_) => {}
            }
        }
        peers.announce(known.concat());
        tokio::time::sleep(if failing.contains(&true) { TRY_AGAIN_AFTER } else { LOOK_UP_EVERY }).await;
    }
}

async fn look_up(host: &PublicHost, port: u16) -> std::io::Result<Vec<SocketAddr>> {
    let name = match host {
        PublicHost::Ip(ip) => return Ok(vec![SocketAddr::new(*ip, port)]),
        PublicHost::Name(name) => name,
    };
    let found = tokio::time::timeout(LOOK_UP_WITHIN, tokio::net::lookup_host((name.as_str(), port))).await;
    let mut found: Vec<SocketAddr> = found.map_err(|_| std::io::ErrorKind::TimedOut)??.collect();
    // Resolvers turn their answers.
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// A warning where viewers outside of this machine can hardly reach it: it is a container that knows only the addresses that
/// containers have among themselves.
pub(crate) fn warning(local: &[IpAddr], public: &[PublicAddress]) -> Option<String> {
    if !public.is_empty() || !is_container() || !are_a_containers(local) {
        return None;
    }
    let known: Vec<String> = reachable(local).map(|address| address.to_string()).collect();
    Some(format!(
        "viewers are told to send to {}, which only this container's host can reach; name the host's own address in `public_addresses` under `webrtc:`, or run with --network host",
        known.join(", ")
    ))
}

fn is_container() -> bool {
    // Docker's mark, and that of Podman and CRI-O; the variable is systemd's interface for containers of any kind.
    ["/.dockerenv", "/run/.containerenv"].iter().any(|mark| Path::new(mark).exists())
        || std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
        || std::env::var_os("container").is_some_and(|kind| !kind.is_empty())
}

fn reachable(local: &[IpAddr]) -> impl Iterator<Item = &IpAddr> {
    local.iter().filter(|address| !address.is_loopback())
}

/// Every IPv4 address is of the networks that Docker (172.17.0.0 to 172.31.255.255) and Podman (10.88.0.0/16) give out by
/// default, and there is one.
fn are_a_containers(local: &[IpAddr]) -> bool {
    let (docker, podman) = (Ipv4Addr::new(172, 16, 0, 0), Ipv4Addr::new(10, 88, 0, 0));
    let is_given_out = |address: Ipv4Addr| {
        let within =
            |network: Ipv4Addr, bits: u32| (address.to_bits() ^ network.to_bits()) >> (32 - bits) == 0;
        within(docker, 12) || within(podman, 16)
    };
    let mut all = reachable(local).filter_map(|address| match address {
        IpAddr::V4(address) => Some(is_given_out(*address)),
        IpAddr::V6(_) => None,
    });
    all.next().is_some_and(|first| first && all.all(|other| other))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[track_caller]
    fn check(local: &[&str], expected: bool) {
        let local: Vec<IpAddr> = local.iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(are_a_containers(&local), expected, "{local:?}");
    }

    #[test]
    fn a_containers_own_addresses_are_told_from_those_of_a_machine() {
        check(&["127.0.0.1", "172.17.0.2"], true);
        check(&["127.0.0.1", "172.31.255.1", "10.88.0.4", "::1", "fd00::2"], true);
        check(&["127.0.0.1", "172.17.0.1", "192.168.8.2"], false);
        check(&["127.0.0.1", "10.0.0.5"], false);
        check(&["172.32.0.1"], false);
        check(&["127.0.0.1", "::1"], false);
        check(&[], false);
    }

    #[tokio::test]
    async fn a_name_is_looked_up_with_the_port_that_belongs_to_it() {
        let found = look_up(&PublicHost::Name("localhost".to_owned()), 9000).await.unwrap();
        assert!(found.contains(&"127.0.0.1:9000".parse().unwrap()), "{found:?}");
        assert!(look_up(&PublicHost::Name("no-such-host.invalid".to_owned()), 9000).await.is_err());
    }
}
