//! What every request passes before a handler sees it: Host, Origin, token, and the headers of every answer.
//!
//! - **Host** (DNS rebinding): a page of a stranger whose name was re-pointed to us sends that name as Host, so only
//!   names that are ours pass: `localhost`, loopback literals, the bound address and the configured `hosts`, with any
//!   port (forwarded ports differ). A listener on a wildcard address takes every IP literal, because it answers on
//!   every interface and because rebinding needs a name; it only exists with tokens or an explicit `auth: none`.
//! - **Origin** (cross-site requests): what changes something, and WebSockets, must come from a page of ours: Origin,
//!   if there is one, names the same host and port as Host. Programs send none and pass. A browser that sends no
//!   Origin but says `Sec-Fetch-Site: cross-site` or `same-site` does not. [`cors`] has the one exception, WHEP.
//! - **Token**: `Authorization: Bearer …`, or `?token=…` where a header cannot be set. [`access`] is the table of who
//!   may do what. The query's token is taken out of the URI, so that nothing behind the guard can log it.
//! - **Errors** are pages for browsers that navigate, `application/problem+json` for everybody else.
//! - **Headers**: Content-Security-Policy and its kin, unless the handler has set its own.
//!
//! A reverse proxy has to pass Host on as the browser sent it (nginx: `proxy_set_header Host $http_host`).

mod cors;
mod headers;
mod navigation;
mod origin;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::uri::{PathAndQuery, Uri};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};

use self::cors::ForeignPage;
use super::problem::Problem;
use crate::auth::{Authenticator, Denied, Role};

/// What the guard goes by.
#[derive(Debug)]
pub struct Guard {
    hosts: origin::Hosts,
    /// Pages elsewhere that may watch.
    origins: Vec<String>,
    authenticator: Arc<Authenticator>,
}

/// What a route asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing.
    Free,
    /// A token with this role, where tokens are set.
    Needs(Role),
}

/// The table of who may do what.
///
/// Scripts and styles under `/assets/` are free: they are public and say nothing about this installation, and a
/// browser cannot give a token to what a page imports. The pages themselves need `view`.
pub fn access(method: &Method, path: &str) -> Access {
    let reads = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    let is_push = path.starts_with("/api/v1/cameras/") && path.ends_with("/push");
    match path {
        "/livez" if reads => Access::Free,
        _ if reads && path.starts_with("/assets/") => Access::Free,
        _ if is_push => Access::Needs(Role::Publish),
        // Watching is a POST in WHEP and in go2rtc's dialect, and a DELETE when it ends.
        _ if path.starts_with("/whep/") || path == "/api/webrtc" => Access::Needs(Role::View),
        _ if reads => Access::Needs(Role::View),
        _ => Access::Needs(Role::Admin),
    }
}

impl Guard {
    /// For a listener bound to `bound`, reached also under the names `hosts`; pages from `origins` may watch.
    pub fn new(
        bound: SocketAddr,
        hosts: &[String],
        origins: &[String],
        authenticator: Arc<Authenticator>,
    ) -> Arc<Self> {
        let hosts = origin::Hosts::new(bound.ip(), hosts);
        Arc::new(Guard { hosts, origins: origins.to_vec(), authenticator })
    }

    /// Puts the guard in front of every route and the fallback of `router`. Apply it last.
    pub fn protect(self: &Arc<Self>, router: Router) -> Router {
        router.layer(middleware::from_fn_with_state(self.clone(), guard))
    }

    /// The page of another site that `request` comes from, if it may watch.
    fn foreign_page(&self, request: &Request) -> Option<ForeignPage> {
        let host = self.hosts.admit(request.uri(), request.headers()).ok()?;
        ForeignPage::of(request, &host, &self.origins, self.authenticator.asks_for_tokens())
    }

    fn admit(&self, request: &mut Request, is_welcome: bool) -> Result<(), Problem> {
        let host = self.hosts.admit(request.uri(), request.headers())?;
        if changes_something(request) && !is_welcome {
            origin::admit(&host, request.headers())?;
        }
        let token = take_token(request);
        if let Access::Needs(role) = access(request.method(), request.uri().path()) {
            let from = request.extensions().get::<ConnectInfo<SocketAddr>>();
            let from = from.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |info| info.0.ip());
            let identity =
                self.authenticator.check(token.as_deref(), role, from, Instant::now()).map_err(refusal)?;
            request.extensions_mut().insert(identity);
        }
        Ok(())
    }
}

async fn guard(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let wants_html = navigation::wants_html(request.headers());
    let foreign = guard.foreign_page(&request);
    let mut response = if foreign.is_some() && cors::is_preflight(&request) {
        cors::answer_to_preflight()
    } else {
        match guard.admit(&mut request, foreign.is_some()) {
            Ok(()) => next.run(request).await,
            Err(problem) => problem.into_response(),
        }
    };
    if let Some(page) = foreign {
        page.show(response.headers_mut());
    }
    if wants_html {
        response = navigation::for_people(response).await;
    }
    headers::secure(&path, response.headers_mut());
    response
}

/// Methods with effects, and WebSockets: they are GETs that other sites' pages may open and read.
fn changes_something(request: &Request) -> bool {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    !reads || request.headers().contains_key(header::UPGRADE)
}

/// The bearer token; the header goes before the query. Takes it out of the query.
fn take_token(request: &mut Request) -> Option<String> {
    let from_query = take_token_of_query(request.uri_mut());
    bearer(request.headers()).or(from_query)
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

fn take_token_of_query(uri: &mut Uri) -> Option<String> {
    let query = uri.query()?;
    let is_token = |pair: &&str| pair.split('=').next() == Some("token");
    let pair = query.split('&').find(is_token)?;
    let token = url::form_urlencoded::parse(pair.as_bytes()).next().map(|(_, token)| token.into_owned());
    let rest: Vec<&str> = query.split('&').filter(|pair| !is_token(pair)).collect();
    let path_and_query = match rest.is_empty() {
        true => uri.path().to_owned(),
        false => format!("{}?{}", uri.path(), rest.join("&")),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path_and_query).expect("parts of a URI make a URI"));
    *uri = Uri::from_parts(parts).expect("parts of a URI make a URI");
    token
}

fn refusal(denied: Denied) -> Problem {
    let challenge = |status: StatusCode, found: &str, needed: Role, challenge: &'static str| {
        let expected = format!("one with the role {needed}, as `Authorization: Bearer …` or `?token=…`");
        Problem::new(status, found, expected)
            .header(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    };
    // RFC 6750, section 3.
    match denied {
        Denied::Missing { needed } => {
            challenge(StatusCode::UNAUTHORIZED, "no token", needed, "Bearer realm=\"wallcast\"")
        }
        Denied::Unknown { needed } => challenge(
            StatusCode::UNAUTHORIZED,
            "an unknown token",
            needed,
            "Bearer realm=\"wallcast\", error=\"invalid_token\"",
        ),
        Denied::WrongRole { needed } => challenge(
            StatusCode::FORBIDDEN,
            "a token without the role",
            needed,
            "Bearer realm=\"wallcast\", error=\"insufficient_scope\"",
        ),
        Denied::TooMany { retry_after } => {
            let (found, pause) = ("too many unknown tokens from this address", retry_after.as_secs());
            Problem::new(StatusCode::TOO_MANY_REQUESTS, found, format!("a pause of {pause} s"))
                .retry_after(pause)
        }
    }
}

#[cfg(test)]
mod tests;
