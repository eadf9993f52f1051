//! Whether a request was meant for us (Host) and comes from a page of ours (Origin).

use std::net::IpAddr;

use axum::http::uri::{Authority, Uri};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};

use crate::http::problem::Problem;

/// Where a request believes itself to be: a host in lower case, an IP literal without brackets, and a port if it
/// is written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Host {
    name: String,
    ip: Option<IpAddr>,
    port: Option<u16>,
}

/// The hosts that are ours.
#[derive(Debug)]
pub(super) struct Hosts {
    bound: IpAddr,
    names: Vec<String>,
}

impl Host {
    fn parse(authority: &str) -> Option<Host> {
        // A login has no place here, but the URI parser takes one.
        let authority: Authority = authority.parse().ok().filter(|_| !authority.contains('@'))?;
        let port = match authority.as_str().rsplit_once(':') {
            Some((_, port)) if !port.ends_with(']') => Some(port.parse().ok()?),
            _ => None,
        };
        let name = authority.host().to_ascii_lowercase();
        // `localhost.` is the same name, fully qualified.
        let name = name.strip_suffix('.').unwrap_or(&name);
        let literal = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let ip: Option<IpAddr> = match literal {
            Some(v6) => Some(IpAddr::V6(v6.parse().ok()?)),
            None => name.parse().ok(),
        };
        Some(Host { name: name.to_owned(), ip: ip.map(|ip| ip.to_canonical()), port })
    }

    /// `origin` is that of a page which came from here.
    pub(super) fn is_origin(&self, origin: &str) -> bool {
        Host::of_origin(origin).is_some_and(|(from, default_port)| {
            let same_port = from.port.unwrap_or(default_port) == self.port.unwrap_or(default_port);
            from.is_same_place(self) && same_port
        })
    }

    /// With the port that goes without saying. Neither `null` (a sandboxed frame, a file) nor `chrome-extension://…` has any.
    fn of_origin(origin: &str) -> Option<(Host, u16)> {
        let (scheme, authority) = origin.split_once("://")?;
        let default_port = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        Host::parse(authority).map(|host| (host, default_port))
    }

    fn is_same_place(&self, other: &Host) -> bool {
        match (self.ip, other.ip) {
            (Some(a), Some(b)) => a == b,
            _ => self.name == other.name,
        }
    }
}

impl Hosts {
    pub(super) fn new(bound: IpAddr, names: &[String]) -> Self {
        let names = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        Hosts { bound: bound.to_canonical(), names }
    }

    /// The request's host, if it is ours.
    pub(super) fn admit(&self, uri: &Uri, headers: &HeaderMap) -> Result<Host, Problem> {
        let refuse = |found: &str| Err(Problem::new(StatusCode::FORBIDDEN, found, self.expected()));
        let mut values = headers.get_all(header::HOST).iter();
        let from_header = match (values.next(), values.next()) {
            (Some(_), Some(_)) => return refuse("two Host headers"),
            (value, _) => value.map(|value| value.to_str().unwrap_or_default()),
        };
        // A request line with a whole URL names its host there, and Host is to be ignored (RFC 9112, 3.2.2).
        let from_line = uri.authority().map(Authority::as_str);
        let Some(written) = from_line.or(from_header) else { return refuse("no Host header") };
        let Some(host) = Host::parse(written) else { return refuse("a Host that is not one") };
        if self.has(&host) { Ok(host) } else { refuse(&format!("the Host {}", host.name)) }
    }

    fn has(&self, host: &Host) -> bool {
        match host.ip {
            Some(ip) => {
                ip.is_loopback()
                    || self.bound.is_unspecified()
                    || ip == self.bound
                    || self.names.iter().any(|name| name.parse() == Ok(ip))
            }
            None => host.name == "localhost" || self.names.contains(&host.name),
        }
    }

    fn expected(&self) -> String {
        let bound = match self.bound.is_unspecified() {
            true => "an IP address".to_owned(),
            false => self.bound.to_string(),
        };
        let mut all = vec!["localhost".to_owned(), bound];
        all.extend(self.names.iter().cloned());
        format!("{} (`hosts:` in the configuration allows other names)", all.join(", "))
    }
}

/// Whether the page that sent a request to `host` is one of ours, as far as the browser says.
pub(super) fn admit(host: &Host, headers: &HeaderMap) -> Result<(), Problem> {
    const EXPECTED: &str = "a page of this server: Origin with the same host and port as Host \
                            (`origins:` in the configuration lets others watch)";
    let refuse = |found: &str| Err(Problem::new(StatusCode::FORBIDDEN, found, EXPECTED));
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let origin = match (origins.next(), origins.next()) {
        (Some(_), Some(_)) => return refuse("two Origin headers"),
        (origin, _) => origin,
    };
    let Some(origin) = origin else {
        let site = headers.get(HeaderName::from_static("sec-fetch-site"));
        return match site.map(|site| site.as_bytes()) {
            None | Some(b"same-origin" | b"none") => Ok(()),
            Some(_) => refuse("a browser's request from another site"),
        };
    };
    match origin.to_str() {
        Ok(origin) if host.is_origin(origin) => Ok(()),
        Ok(origin) if Host::of_origin(origin).is_some() => refuse("the Origin of another site"),
        _ => refuse("an Origin that is not a page of this server"),
    }
}
