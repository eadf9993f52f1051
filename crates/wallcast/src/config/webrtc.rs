//! `webrtc`: how viewers reach this machine, and how many may.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::fields::{Field, Fields, Findings};
use super::server::host;
use super::{WebRtcConfig, scalars};
use crate::ice_servers::{IceLogin, IceServer};
use crate::public_addresses::{PublicAddress, PublicHost};

pub(super) const KEYS: [&str; 6] =
    ["listen", "public_addresses", "ice_servers", "ice_lite", "max_viewers", "max_viewers_per_address"];

const MAX_VIEWERS: usize = 1000;
const MAX_VIEWERS_PER_ADDRESS: usize = 64;
/// More than any machine serves; it is for a slip of the hand.
const MOST_VIEWERS: usize = 100_000;
/// Each is two candidates of every answer.
const MOST_ADDRESSES: usize = 16;
/// Each is a `Link` of every answer.
const MOST_SERVERS: usize = 16;
const TTL: Duration = Duration::from_secs(24 * 3600);
const TTLS: std::ops::RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(7 * 24 * 3600);

/// Reads the section but for `listen`, which goes with the other listeners.
pub(super) fn read(
    section: Option<&Fields<'_>>,
    listen: Option<SocketAddr>,
    findings: &mut Findings<'_>,
) -> Option<WebRtcConfig> {
    let get = |key: &str| section.and_then(|section| section.get(key));
    let public_addresses =
        get("public_addresses").map_or(Some(Vec::new()), |field| public_addresses(&field, findings));
    let ice_servers = get("ice_servers").map_or(Some(Vec::new()), |field| ice_servers(&field, findings));
    let ice_lite = get("ice_lite")
        .map_or(Some(false), |field| findings.parsed(&field, "true or false", scalars::yes_or_no));
    let mut viewers = |key: &str, default| {
        get(key).map_or(Some(default), |field| {
            let expected = format!("a whole number, 1 to {MOST_VIEWERS}");
            let within = |number: &usize| (1..=MOST_VIEWERS).contains(number);
            findings.parsed(&field, &expected, |text| scalars::number(text).filter(within))
        })
    };
    let max_viewers = viewers("max_viewers", MAX_VIEWERS);
    let max_viewers_per_address = viewers("max_viewers_per_address", MAX_VIEWERS_PER_ADDRESS);
    Some(WebRtcConfig {
        listen: listen?,
        public_addresses: public_addresses?,
        ice_servers: ice_servers?,
        ice_lite: ice_lite?,
        max_viewers: max_viewers?,
        max_viewers_per_address: max_viewers_per_address?,
    })
}

fn public_addresses(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Vec<PublicAddress>> {
    const EXPECTED: &str = "an IP address or a host name under which viewers reach this machine, with or without a port, \
                            such as 203.0.113.7, wall.example.org or 203.0.113.7:9000";
    let items = findings.list(field, "addresses")?;
    if !is_few(field, items.len(), MOST_ADDRESSES, findings) {
        return None;
    }
    let read: Vec<_> = items.iter().map(|item| findings.parsed(item, EXPECTED, public_address)).collect();
    read.into_iter().collect()
}

fn public_address(text: &str) -> Option<PublicAddress> {
    let of_ip = |ip: IpAddr, port| {
        let is_one = !ip.is_unspecified() && !ip.is_multicast();
        is_one.then_some(PublicAddress { host: PublicHost::Ip(ip), port })
    };
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if let Ok(ip) = bare.parse() {
        return of_ip(ip, None);
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return of_ip(address.ip(), Some(address.port())).filter(|_| address.port() != 0);
    }
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) => (name, Some(scalars::number(port).filter(|port| *port != 0)?)),
        None => (text, None),
    };
    // `host` reads 127.1 as an address; here that is a slip.
    let name = host(name).filter(|name| name.parse::<IpAddr>().is_err())?;
    Some(PublicAddress { host: PublicHost::Name(name), port })
}

fn ice_servers(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Vec<IceServer>> {
    let items = findings.list(field, "STUN and TURN servers")?;
    if !is_few(field, items.len(), MOST_SERVERS, findings) {
        return None;
    }
    let read: Vec<_> = items.iter().map(|item| ice_server(item, findings)).collect();
    read.into_iter().collect()
}

fn ice_server(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<IceServer> {
    if field.is_text() {
        let url = ice_url(field, findings)?;
        return with_login(field, vec![url], None, findings);
    }
    let fields = findings.mapping(field, &["urls", "username", "credential", "secret", "ttl"])?;
    let urls = match fields.get("urls") {
        Some(urls) => ice_urls(&urls, findings),
        None => {
            findings.problem(field, "no `urls`", "the server's addresses");
            None
        }
    };
    let mut words = |key: &str| match fields.get(key) {
        Some(field) => self::words(&field, findings).map(Some),
        None => Some(None),
    };
    let (username, credential, secret) = (words("username"), words("credential"), words("secret"));
    let ttl = fields.get("ttl").map(|field| {
        let ttl = |text: &str| self::ttl(text).filter(|ttl| TTLS.contains(ttl));
        findings.parsed(&field, "a time from 1m to 168h, such as 24h or 90m", ttl)
    });
    let has_ttl = ttl.is_some();
    let (username, credential, secret, ttl) = (username?, credential?, secret?, ttl.unwrap_or(Some(TTL))?);
    let login = match (username, credential, secret) {
        (None, None, Some(secret)) => Some(IceLogin::TimeLimited { secret, ttl }),
        (None, None, None) if !has_ttl => None,
        (Some(username), Some(credential), None) if !has_ttl => {
            Some(IceLogin::Fixed { username, credential })
        }
        (username, credential, secret) => {
            let is_there = [
                (username.is_some(), "`username`"),
                (credential.is_some(), "`credential`"),
                (secret.is_some(), "`secret`"),
                (has_ttl, "`ttl`"),
            ];
            let found: Vec<&str> =
                is_there.into_iter().filter(|(is_there, _)| *is_there).map(|(_, key)| key).collect();
            findings.problem(field, found.join(" with "), LOGIN);
            return None;
        }
    };
    with_login(field, urls?, login, findings)
}

const LOGIN: &str = "`username` and `credential`, or `secret` with or without `ttl`";

/// TURN asks for a login, STUN has none.
fn with_login(
    field: &Field<'_>,
    urls: Vec<String>,
    login: Option<IceLogin>,
    findings: &mut Findings<'_>,
) -> Option<IceServer> {
    let has_turn = urls.iter().any(|url| url.starts_with("turn"));
    match login {
        None if has_turn => findings.problem(field, "a TURN server without a login", LOGIN),
        Some(_) if !has_turn => {
            findings.problem(
                field,
                "a login for STUN, which asks for none",
                "an address with turn: or turns:",
            );
        }
        login => return Some(IceServer { urls, login }),
    }
    None
}

fn ice_urls(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Vec<String>> {
    if !field.is_list() {
        return ice_url(field, findings).map(|url| vec![url]);
    }
    let items = findings.list(field, "addresses")?;
    if items.is_empty() {
        findings.problem(field, "an empty list", "at least one address");
        return None;
    }
    if !is_few(field, items.len(), MOST_SERVERS, findings) {
        return None;
    }
    let read: Vec<_> = items.iter().map(|item| ice_url(item, findings)).collect();
    read.into_iter().collect()
}

/// RFC 7064, RFC 7065.
fn ice_url(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<String> {
    const EXPECTED: &str = "stun:, stuns:, turn: or turns: and a host, with or without a port, and with turn's ?transport=udp \
                            or ?transport=tcp, such as turn:turn.example.org:3478";
    findings.parsed(field, EXPECTED, |text| {
        let (scheme, rest) = text.split_once(':')?;
        let (place, query) = rest.split_once('?').map_or((rest, None), |(place, query)| (place, Some(query)));
        let is_turn = matches!(scheme, "turn" | "turns");
        let is_known = is_turn || matches!(scheme, "stun" | "stuns");
        let is_transport = |query| is_turn && matches!(query, "transport=udp" | "transport=tcp");
        (is_known && query.is_none_or(is_transport) && is_place(place)).then(|| text.to_owned())
    })
}

/// `host`, `host:port`, and the same with an address, one of IPv6 in brackets.
fn is_place(text: &str) -> bool {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (text, None),
    };
    let is_name = match name.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok()),
        None => !name.contains(':') && host(name).is_some(),
    };
    is_name && port.is_none_or(|port| scalars::number::<u16>(port).is_some_and(|port| port != 0))
}

/// A name or a secret that passes in a header.
fn words(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<String> {
    const EXPECTED: &str = "1 to 256 visible ASCII characters or spaces";
    let value = findings.text(field, EXPECTED)?.value;
    let is_good =
        (1..=256).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    if !is_good {
        let found = if value.is_empty() { "an empty text" } else { "a text that a header cannot carry" };
        findings.problem(field, found, EXPECTED);
    }
    is_good.then_some(value)
}

/// As other times, and hours.
fn ttl(text: &str) -> Option<Duration> {
    match text.strip_suffix('h') {
        Some(hours) => {
            scalars::number::<u32>(hours).map(|hours| Duration::from_secs(u64::from(hours) * 3600))
        }
        None => scalars::duration(text),
    }
}

fn is_few(field: &Field<'_>, found: usize, most: usize, findings: &mut Findings<'_>) -> bool {
    if found > most {
        findings.problem(field, format!("{found} of them"), format!("at most {most}"));
    }
    found <= most
}
