//! `listen`, `webrtc`, `rtsp`, `auth`, `hosts` and `origins`: where Wallcast is reached, and by whom; and `state`, what it
//! remembers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::fields::{Field, Fields, Findings};
use super::problem::{nearest, one_of};
use super::{Overrides, StateSetting, WebRtcConfig, scalars, webrtc};
use crate::auth::{Auth, Role, Roles, Token};

pub(super) const KEYS: [&str; 7] = ["listen", "webrtc", "rtsp", "auth", "hosts", "origins", "state"];

const HTTP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8081);
const WEBRTC: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8082);
const RTSP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8554);

/// Listeners, and who may use them.
pub(super) struct Server {
    pub(super) listen: SocketAddr,
    pub(super) webrtc: WebRtcConfig,
    pub(super) rtsp: Option<SocketAddr>,
    pub(super) auth: Auth,
    pub(super) hosts: Vec<String>,
    pub(super) origins: Vec<String>,
    pub(super) state: StateSetting,
}

/// Reads them from the top of a file (nothing there: the defaults), flags before keys.
pub(super) fn read(
    top: Option<&Fields<'_>>,
    flags: &Overrides,
    findings: &mut Findings<'_>,
) -> Option<Server> {
    let get = |key: &str| top.and_then(|top| top.get(key));
    let listen = Listener::read(get("listen"), "listen", HTTP, findings, address);
    let viewers = section(get("webrtc"), &webrtc::KEYS, findings);
    let place = viewers.as_ref().and_then(|viewers| viewers.get("listen"));
    let webrtc = Listener::read(place, "webrtc.listen", WEBRTC, findings, address);
    let rtsp = section(get("rtsp"), &["listen"], findings).and_then(|rtsp| rtsp.get("listen"));
    let rtsp = Listener::read(rtsp, "rtsp.listen", Some(RTSP), findings, |findings, field| {
        match field.says("none") {
            true => Some(None),
            false => address(findings, field).map(Some),
        }
    });
    let auth = match get("auth") {
        Some(field) => self::auth(&field, findings),
        None => Some(Auth::Loopback),
    };
    let hosts = get("hosts").map_or(Some(Vec::new()), |field| self::hosts(&field, findings));
    let origins = get("origins").map_or(Some(Vec::new()), |field| self::origins(&field, findings));
    let state = get("state").map_or(Some(StateSetting::Default), |field| self::state(&field, findings));

    let (listen, webrtc) =
        (listen.or_flag(flags.listen, "--listen"), webrtc.or_flag(flags.webrtc_listen, "--webrtc-listen"));
    let rtsp = rtsp.or_flag(flags.rtsp_listen, "--rtsp-listen");
    let viewers = webrtc::read(viewers.as_ref(), webrtc.value, findings);
    let auth = if flags.auth_none { Some(Auth::Open) } else { auth };
    let used = [listen.tcp(), (rtsp.value.flatten(), &rtsp.field)];
    refuse_shared_ports(&[used[0], webrtc.tcp(), used[1]], findings);
    if let Some(auth) = &auth {
        // WebRTC's port answers nobody who has no session, and a session is opened over HTTP.
        for (address, field) in &used {
            let none = if flags.auth_none { "--auth" } else { "`auth`" };
            warn_or_refuse_open(*address, field, auth, none, findings);
        }
    }
    Some(Server {
        listen: listen.value?,
        webrtc: viewers?,
        rtsp: rtsp.value?,
        auth: auth?,
        hosts: hosts?,
        origins: origins?,
        state: state?,
    })
}

/// An address and the key or flag that it comes from; no value where that is wrong.
struct Listener<'n, A> {
    value: Option<A>,
    field: Field<'n>,
}

impl<'n, A: Copy> Listener<'n, A> {
    fn read<'e>(
        field: Option<Field<'n>>,
        path: &str,
        default: A,
        findings: &mut Findings<'e>,
        read: impl FnOnce(&mut Findings<'e>, &Field<'n>) -> Option<A>,
    ) -> Self {
        match field {
            Some(field) => Listener { value: read(findings, &field), field },
            None => Listener { value: Some(default), field: Field::outside(path) },
        }
    }

    fn or_flag(self, flag: Option<A>, name: &str) -> Self {
        match flag {
            Some(value) => Listener { value: Some(value), field: Field::outside(name) },
            None => self,
        }
    }
}

impl<'n> Listener<'n, SocketAddr> {
    fn tcp(&self) -> (Option<SocketAddr>, &Field<'n>) {
        (self.value, &self.field)
    }
}

fn section<'n>(field: Option<Field<'n>>, keys: &[&str], findings: &mut Findings<'_>) -> Option<Fields<'n>> {
    findings.mapping(&field?, keys)
}

fn address(findings: &mut Findings<'_>, field: &Field<'_>) -> Option<SocketAddr> {
    findings.parsed(field, scalars::ADDRESS, scalars::address)
}

fn refuse_shared_ports(used: &[(Option<SocketAddr>, &Field<'_>)], findings: &mut Findings<'_>) {
    for (i, (later, field)) in used.iter().enumerate() {
        let Some(later) = later.filter(|later| later.port() != 0) else { continue };
        for (earlier, first) in &used[..i] {
            let Some(earlier) = earlier.filter(|earlier| earlier.port() == later.port()) else { continue };
            let (a, b) = (earlier.ip(), later.ip());
            if a == b || a.is_unspecified() || b.is_unspecified() {
                // A default is not to blame for what somebody wrote.
                let (blamed, other) = if field.is_written() { (field, first) } else { (first, field) };
                let found = format!("port {}, which {} has already", later.port(), other.path);
                findings.problem(blamed, found, "another port");
                break;
            }
        }
    }
}

fn warn_or_refuse_open(
    address: Option<SocketAddr>,
    field: &Field<'_>,
    auth: &Auth,
    none: &str,
    findings: &mut Findings<'_>,
) {
    let Some(address) = address.filter(|address| !Auth::Loopback.allows_listening_on(*address)) else {
        return;
    };
    if !auth.allows_listening_on(address) {
        // A flag may well be all that there is: `wallcast demo` has no file.
        let (key, or) = match field.is_flag() {
            true => (
                "--auth",
                "--auth none to open it on purpose, or `wallcast run --config FILE` with tokens under `auth`",
            ),
            false => ("`auth`", "tokens under `auth`, or `auth: none` to open it on purpose"),
        };
        let expected = format!("an address of loopback (127.0.0.1, ::1), or {or}");
        findings.problem(field, format!("{address} without {key}"), expected);
    } else if matches!(auth, Auth::Open) {
        findings.warning(
            field,
            format!("whoever reaches {address} may watch and change walls, because {none} is none"),
        );
    }
}

fn auth(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Auth> {
    if field.says("none") {
        return Some(Auth::Open);
    }
    if field.is_text() {
        findings.problem(field, "a single value", "`none`, or a mapping with tokens");
        return None;
    }
    let fields = findings.mapping(field, &["tokens"])?;
    let Some(list) = fields.get("tokens") else {
        findings.problem(field, "no tokens", "a list of tokens, or `auth: none`");
        return None;
    };
    let items = findings.list(&list, "tokens")?;
    if items.is_empty() {
        findings.problem(&list, "an empty list", "at least one token, or `auth: none`");
        return None;
    }
    let tokens: Vec<Option<Token>> = items.iter().map(|item| token(item, findings)).collect();
    for (i, later) in tokens.iter().enumerate() {
        let Some(later) = later else { continue };
        for (first, earlier) in tokens[..i].iter().enumerate() {
            let Some(earlier) = earlier else { continue };
            if earlier.name() == later.name() {
                let found =
                    format!("the name {} a second time (first in {}[{first}])", later.name(), list.path);
                findings.problem(&items[i], found, "a name of its own for each token");
            }
            if earlier.secret() == later.secret() {
                let found = format!("the same secret as in {}[{first}]", list.path);
                findings.problem(&items[i], found, "a secret of its own for each token");
            }
        }
    }
    tokens.into_iter().collect::<Option<Vec<_>>>().map(Auth::Tokens)
}

fn token(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Token> {
    let fields = findings.mapping(field, &["name", "token", "roles"])?;
    let mut need = |key: &str, what: &str| {
        let got = fields.get(key);
        if got.is_none() {
            findings.problem(field, format!("no `{key}`"), what);
        }
        got
    };
    let (name, secret, roles) = (
        need("name", "the token's name"),
        need("token", "the secret"),
        need("roles", "a list of view, publish, admin"),
    );
    let name = name.and_then(|name| {
        findings.parsed(&name, scalars::NAME, |text| scalars::is_name(text).then(|| text.to_owned()))
    });
    let secret = secret.and_then(|secret| self::secret(&secret, findings));
    let roles = roles.and_then(|roles| self::roles(&roles, findings));
    Some(Token::new(&name?, secret?, roles?))
}

/// The secret has to pass in a header and in an address bar.
fn secret(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<String> {
    const EXPECTED: &str =
        "1 to 256 visible ASCII characters without spaces (`openssl rand -hex 16` makes a good one)";
    let value = findings.text(field, EXPECTED)?.value;
    let found = if value.is_empty() {
        "an empty token"
    } else if value.len() > 256 {
        "a token longer than 256 characters"
    } else if !value.bytes().all(|b| b.is_ascii_graphic()) {
        "a token with spaces or other characters that a header cannot carry"
    } else {
        if value.len() < 16 {
            findings.warning(field, "shorter than 16 characters: it can be guessed");
        }
        return Some(value);
    };
    findings.problem(field, found, EXPECTED);
    None
}

fn roles(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Roles> {
    let names = Role::ALL.map(Role::as_str);
    let items = findings.list(field, "view, publish, admin")?;
    if items.is_empty() {
        findings.problem(field, "an empty list", format!("at least one of {}", one_of(&names)));
        return None;
    }
    let mut known = Vec::with_capacity(items.len());
    for item in &items {
        let Some(text) = findings.text(item, &one_of(&names)) else { continue };
        match (Role::from_name(&text.value), nearest(&text.value, &names)) {
            (Some(role), _) => known.push(role),
            (None, Some(near)) => {
                findings.problem(item, text.shown, format!("{}; did you mean {near}?", one_of(&names)));
            }
            (None, None) => findings.problem(item, text.shown, one_of(&names)),
        }
    }
    (known.len() == items.len()).then(|| known.into_iter().collect())
}

fn state(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<StateSetting> {
    findings.parsed(field, "the name of a file, such as /var/lib/wallcast/state.json, or none", |text| {
        match text {
            "none" => Some(StateSetting::None),
            _ if text.is_empty() || text.contains('\0') || text.ends_with('/') => None,
            path => Some(StateSetting::At(path.into())),
        }
    })
}

fn hosts(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Vec<String>> {
    const EXPECTED: &str =
        "a host name or an IP address without scheme, port or path, such as wall.example.org";
    let items = findings.list(field, "host names")?;
    let hosts: Vec<Option<String>> = items.iter().map(|item| findings.parsed(item, EXPECTED, host)).collect();
    hosts.into_iter().collect()
}

fn origins(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Vec<String>> {
    const EXPECTED: &str = "http:// or https:// and a host, with or without a port and nothing behind it, such as \
                            https://intranet.example.org";
    let items = findings.list(field, "origins of pages")?;
    let origins: Vec<Option<String>> =
        items.iter().map(|item| findings.parsed(item, EXPECTED, origin)).collect();
    origins.into_iter().collect()
}

/// As browsers send it: lower case, and without the port that goes without saying. No wildcards.
fn origin(text: &str) -> Option<String> {
    let url = url::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let origin = url.origin().ascii_serialization();
    let is_bare = url.username().is_empty() && url.password().is_none() && url.path() == "/";
    let is_bare = is_bare && url.query().is_none() && url.fragment().is_none();
    (is_bare && host(url.host_str()?.trim_matches(['[', ']'])).is_some()).then_some(origin)
}

/// A name as browsers send it: lower case, IDNA in ASCII. No wildcards: they are what rebinding needs.
pub(super) fn host(text: &str) -> Option<String> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(ip.to_string());
    }
    match url::Host::parse(text).ok()? {
        url::Host::Domain(name) => {
            let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            name.chars().all(good).then_some(name)
        }
        url::Host::Ipv4(ip) => Some(ip.to_string()),
        url::Host::Ipv6(ip) => Some(ip.to_string()),
    }
}
