//! Host names to addresses. The system's resolver knows `/etc/hosts`, the name servers and, where it is set up, mDNS;
//! but it blocks, for as long as it likes. Names that end in `.local` (<https://github.com/AlexxIT/go2rtc/issues/857>)
//! are asked for by [`mdns`] at the same time, because most containers have no mDNS of their own.

mod mdns;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::session::failure::Failure;
use crate::source::shown_host;

/// How long a name may take. Somebody watches a black tile meanwhile.
const LIMIT: Duration = Duration::from_secs(5);
/// Look-ups under way in the whole process, each of which blocks a thread of the runtime's pool of 512 for as long as
/// a dead name server takes: enough for 64 cameras with a dead name each, few enough to leave the pool to others.
const SLOTS: usize = 64;
/// More addresses of one camera than that are not tried.
const ADDRESSES: usize = 8;

static RESOLVER: LazyLock<Arc<Resolver>> = LazyLock::new(|| Resolver::asking(ask_the_system));

/// All addresses of the host, IPv4 and IPv6 by turns so that a family that leads nowhere costs one attempt (RFC 8305
/// section 4). At least one.
///
/// # Errors
/// If there is none, or nobody says so in time.
pub(crate) async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, Failure> {
    RESOLVER.resolve(host, port).await
}

type Answer = Result<Vec<SocketAddr>, Refusal>;

/// Why there is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    NoSuchHost,
    ServerFailed,
}

/// Asks for a name once however many cameras want to know it, and goes on asking when they have given up: the next
/// attempt finds the same question under way instead of blocking another thread.
struct Resolver {
    ask: fn(&str) -> io::Result<Vec<SocketAddr>>,
    slots: Arc<Semaphore>,
    under_way: Mutex<HashMap<String, Shared<BoxFuture<'static, Answer>>>>,
}

impl Resolver {
    fn asking(ask: fn(&str) -> io::Result<Vec<SocketAddr>>) -> Arc<Self> {
        Arc::new(Self { ask, slots: Arc::new(Semaphore::new(SLOTS)), under_way: Mutex::default() })
    }

    async fn resolve(self: &Arc<Self>, host: &str, port: u16) -> Result<Vec<SocketAddr>, Failure> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let system = timeout(LIMIT, self.look_up(host));
        let found = if is_local(host) {
            // Whoever knows it first; a "no" of one waits for the other.
            let multicast =
                mdns::look_up(host).map(|found| if found.is_empty() { None } else { Some(found) });
            tokio::pin!(system, multicast);
            tokio::select! {
                answer = &mut system => match (answer, multicast) {
                    (Ok(Ok(found)), _) => Ok(Ok(found)),
                    (refused, multicast) => multicast.await.map_or(refused, |found| Ok(Ok(found))),
                },
                found = &mut multicast => match found {
                    Some(found) => Ok(Ok(found)),
                    None => system.await,
                },
            }
        } else {
            system.await
        };
        let host = || shown_host(host);
        match found {
            Ok(Ok(found)) if !found.is_empty() => Ok(by_turns(found, port)),
            Ok(Ok(_) | Err(Refusal::NoSuchHost)) => Err(Failure::NoSuchHost { host: host() }),
            Ok(Err(Refusal::ServerFailed)) => Err(Failure::NameServerFailed { host: host() }),
            Err(_) => Err(Failure::NameServerSilent { host: host(), after: LIMIT }),
        }
    }

    async fn look_up(self: &Arc<Self>, host: &str) -> Answer {
        if let Some(answer) = self.under_way(host) {
            return answer.await;
        }
        let slot = self.slots.clone().acquire_owned().await.map_err(|_| Refusal::ServerFailed)?;
        let answer = {
            let mut under_way = self.under_way.lock();
            // Somebody else may have asked while this one waited for a slot.
            if let Some(answer) = under_way.get(host) {
                answer.clone()
            } else {
                let asked = UnderWay { resolver: self.clone(), host: host.to_owned() };
                let asking = tokio::task::spawn_blocking(move || {
                    let answer = (asked.resolver.ask)(&asked.host);
                    drop((asked, slot));
                    answer.map_err(|error| Refusal::of(&error))
                });
                // Refused is a task of a runtime that shuts down.
                let answer = asking.map(|answer| answer.unwrap_or(Err(Refusal::ServerFailed)));
                let answer = answer.boxed().shared();
                under_way.insert(host.to_owned(), answer.clone());
                answer
            }
        };
        answer.await
    }

    fn under_way(&self, host: &str) -> Option<Shared<BoxFuture<'static, Answer>>> {
        self.under_way.lock().get(host).cloned()
    }
}

/// Takes the question off the list, also when the one who asked panics.
struct UnderWay {
    resolver: Arc<Resolver>,
    host: String,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.resolver.under_way.lock().remove(&self.host);
    }
}

impl Refusal {
    /// The kind of the error says nothing; the words are those of `gai_strerror` in the C locale, which Rust programs keep.
    fn of(error: &io::Error) -> Self {
        if error.to_string().contains("Temporary failure") { Self::ServerFailed } else { Self::NoSuchHost }
    }
}

fn ask_the_system(host: &str) -> io::Result<Vec<SocketAddr>> {
    Ok((host, 0).to_socket_addrs()?.collect())
}

fn is_local(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    host.len() > 6 && host.get(host.len() - 6..).is_some_and(|end| end.eq_ignore_ascii_case(".local"))
}

fn by_turns(found: Vec<SocketAddr>, port: u16) -> Vec<SocketAddr> {
    let first_is_v6 = found.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut addresses: Vec<SocketAddr> = Vec::new();
    loop {
        let (a, b) = (first.next(), second.next());
        if (a, b) == (None, None) || addresses.len() >= ADDRESSES {
            break addresses;
        }
        for mut address in a.into_iter().chain(b) {
            address.set_port(port);
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
    }
}

#[cfg(test)]
mod tests;
