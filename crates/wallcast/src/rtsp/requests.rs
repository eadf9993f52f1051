//! The methods of RTSP (RFC 2326 section 10), as one connection answers them.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use rtsp_types::{
    Method, Request, StatusCode, Url, Version,
    headers::{self, Transports},
};
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    auth::{Challenger, Verdict},
    mount::Mount,
    reader::ReaderTransport,
    reply::{METHODS, Reply},
    sdp,
    session::{FirstPacket, Session},
    state::{Shared, UdpHandle, count},
    target,
    transport::{Agreed, choose},
    udp::{Command, Order, Ports, UdpSession},
};

/// A wrong password is answered after so long, and the third one ends the connection, from wherever it comes: the
/// brake that HTTP and RTSP share exempts loopback.
const DENIED_DELAY: Duration = Duration::from_secs(1);
const DENIED_AT_MOST: u32 = 3;
/// How much of a Require header is repeated in an answer, in bytes.
const LONGEST_ECHO: usize = 64;

/// What one connection knows between its requests.
#[derive(Debug)]
pub(super) struct Client {
    shared: Arc<Shared>,
    address: SocketAddr,
    local: SocketAddr,
    challenger: Challenger,
    denied: u32,
    is_known: bool,
    /// Cancelled with the connection's end, for the UDP sessions that it commands.
    connection: CancellationToken,
    _ends_connection: DropGuard,
    /// Its interleaved session: at most one, and gone with the connection.
    pub(super) interleaved: Option<Interleaved>,
    /// Set when the connection has to end after the answer.
    pub(super) is_done: bool,
}

/// A session whose packets travel on the RTSP connection.
#[derive(Debug)]
pub(super) struct Interleaved {
    id: String,
    pub(super) session: Session,
    pub(super) rtp_channel: u8,
    pub(super) rtcp_channel: u8,
}

/// A session a request names.
enum Named {
    Interleaved,
    Udp(UdpHandle),
}

impl Client {
    pub(super) fn new(shared: Arc<Shared>, address: SocketAddr, local: SocketAddr) -> Self {
        let challenger = Challenger::new(Instant::now());
        let connection = CancellationToken::new();
        let is_known = !shared.authenticator.asks_for_tokens();
        Self {
            shared,
            address,
            local,
            challenger,
            denied: 0,
            is_known,
            _ends_connection: connection.clone().drop_guard(),
            connection,
            interleaved: None,
            is_done: false,
        }
    }

    /// It has logged in, or nobody has to.
    pub(super) fn is_known(&self) -> bool {
        self.is_known
    }

    /// Answers one request, appending to `output`.
    pub(super) async fn answer(&mut self, request: &Request<Vec<u8>>, output: &mut Vec<u8>) {
        let cseq = header(request, &headers::CSEQ).filter(|cseq| is_number(cseq));
        let reply = match cseq {
            None => Reply::new(StatusCode::BadRequest),
            Some(_) => self.reply(request).await.unwrap_or_else(Reply::new),
        };
        reply.write(cseq, output);
    }

    async fn reply(&mut self, request: &Request<Vec<u8>>) -> Result<Reply, StatusCode> {
        if request.version() != Version::V1_0 {
            return Err(StatusCode::RTSPVersionNotSupported);
        }
        if let Some(required) = header(request, &headers::REQUIRE) {
            let unsupported = echoed(required);
            return Ok(Reply::new(StatusCode::OptionNotSupported).header(headers::UNSUPPORTED, unsupported));
        }
        // Clients ask for the methods before they know that there is a login.
        if *request.method() != Method::Options
            && let Some(refusal) = self.refuse(request).await
        {
            return Ok(refusal);
        }
        match request.method() {
            Method::Options => {
                self.touch(request)?;
                Ok(Reply::ok().header(headers::PUBLIC, METHODS))
            }
            Method::GetParameter | Method::SetParameter => {
                // There are no parameters; clients send these to keep their session alive.
                self.touch(request)?;
                Ok(Reply::ok())
            }
            Method::Describe => self.describe(request).await,
            Method::Setup => self.setup(request).await,
            Method::Play => self.play(request).await,
            Method::Pause => self.pause(request).await,
            Method::Teardown => self.teardown(request).await,
            Method::Announce | Method::Record | Method::Redirect | Method::PlayNotify => {
                Err(StatusCode::MethodNotAllowed)
            }
            Method::Extension(_) => Err(StatusCode::NotImplemented),
        }
    }

    async fn refuse(&mut self, request: &Request<Vec<u8>>) -> Option<Reply> {
        let authenticator = &self.shared.authenticator;
        if !authenticator.asks_for_tokens() {
            return None;
        }
        let address = request.request_uri().map_or("*", Url::as_str);
        let authorization = header(request, &headers::AUTHORIZATION);
        let method: &str = request.method().into();
        let now = Instant::now();
        if authorization.is_some()
            && let Some(retry_after) = authenticator.wait(self.address.ip(), now)
        {
            // RTSP/1.0 has no 429; a client comes again after a 503.
            let seconds = retry_after.as_secs().to_string();
            return Some(Reply::new(StatusCode::ServiceUnavailable).header(headers::RETRY_AFTER, seconds));
        }
        let verdict = self.challenger.check(authenticator.tokens(), method, address, authorization, now);
        match verdict {
            Verdict::Granted => {
                self.is_known = true;
                return None;
            }
            Verdict::Missing | Verdict::Stale => {}
            Verdict::Denied => {
                authenticator.failed(self.address.ip(), now);
                count(&self.shared.totals.denied);
                if let Some(times) = self.shared.warnings.denied.times(now) {
                    tracing::warn!(client = %self.address, times, "an RTSP client sent a wrong login");
                }
                self.denied += 1;
                self.is_done = self.denied >= DENIED_AT_MOST;
                tokio::time::sleep(DENIED_DELAY).await;
            }
        }
        Some(Reply::unauthorized(self.challenger.challenges(verdict)))
    }

    async fn describe(&mut self, request: &Request<Vec<u8>>) -> Result<Reply, StatusCode> {
        let accepted = header(request, &headers::ACCEPT).unwrap_or("*/*");
        if !["application/sdp", "application/*", "*/*"].iter().any(|kind| accepted.contains(kind)) {
            return Err(StatusCode::NotAcceptable);
        }
        let (url, mount) = self.mount(request)?;
        let sets = mount.current_parameter_sets(self.shared.limits.describe_within).await;
        let sdp = sdp::describe(&mount, sets.as_deref(), self.local.ip());
        let base = target::base(url, mount.name());
        Ok(Reply::ok().header(headers::CONTENT_BASE, base).body("application/sdp", sdp))
    }

    async fn setup(&mut self, request: &Request<Vec<u8>>) -> Result<Reply, StatusCode> {
        let (_, mount) = self.mount(request)?;
        if let Some(id) = session_id(request) {
            self.named(id)?;
            // There is one track, and it is set up.
            return Err(StatusCode::MethodNotValidInThisState);
        }
        let offers = request.typed_header::<Transports>().map_err(|_| StatusCode::BadRequest)?;
        let offers = offers.ok_or(StatusCode::BadRequest)?;
        let id = format!("{:032x}", rand::random::<u128>());
        let transport = match choose(&offers).ok_or(StatusCode::UnsupportedTransport)? {
            Agreed::Interleaved { rtp, rtcp } => self.setup_interleaved(mount, id.clone(), rtp, rtcp)?,
            Agreed::Udp { rtp, rtcp } => self.setup_udp(mount, &id, [rtp, rtcp]).await?,
        };
        let timeout = self.shared.limits.session_timeout.as_secs();
        Ok(Reply::ok()
            .header(headers::TRANSPORT, transport)
            .header(headers::SESSION, format!("{id};timeout={timeout}")))
    }

    fn setup_interleaved(
        &mut self,
        mount: Arc<Mount>,
        id: String,
        rtp_channel: u8,
        rtcp_channel: u8,
    ) -> Result<String, StatusCode> {
        if self.interleaved.is_some() {
            return Err(StatusCode::MethodNotValidInThisState);
        }
        let session = self.session(mount, ReaderTransport::Tcp);
        let ssrc = session.rtp.ssrc();
        self.interleaved = Some(Interleaved { id, session, rtp_channel, rtcp_channel });
        Ok(format!("RTP/AVP/TCP;unicast;interleaved={rtp_channel}-{rtcp_channel};ssrc={ssrc:08X}"))
    }

    async fn setup_udp(
        &mut self,
        mount: Arc<Mount>,
        id: &str,
        client_ports: [u16; 2],
    ) -> Result<String, StatusCode> {
        let client = self.address.ip();
        let (sender, orders) = UdpSession::orders();
        let handle = UdpHandle { client, ports: client_ports, orders: sender };
        // Players try TCP after this answer, which has room for more and stops when nobody is there.
        let place = self.shared.udp_place(id, handle).ok_or(StatusCode::UnsupportedTransport)?;
        let no_ports = |error: io::Error| {
            if let Some(times) = self.shared.warnings.no_ports.times(Instant::now()) {
                tracing::warn!(%error, times, "no UDP ports for an RTSP session");
            }
            StatusCode::ServiceUnavailable
        };
        let ports = Ports::bind(self.local.ip()).await.map_err(no_ports)?;
        let port = ports.rtp_port().map_err(no_ports)?;
        let session = self.session(mount, ReaderTransport::Udp);
        let ssrc = session.rtp.ssrc();
        let (connection, limits) = (self.connection.clone(), &self.shared.limits);
        let task = UdpSession::new(session, ports, (client, client_ports), orders, connection, limits);
        self.shared.start_udp(place, task);
        let [rtp, rtcp] = client_ports;
        let server_ports = format!("server_port={port}-{}", port + 1);
        Ok(format!("RTP/AVP;unicast;client_port={rtp}-{rtcp};{server_ports};ssrc={ssrc:08X}"))
    }

    async fn play(&mut self, request: &Request<Vec<u8>>) -> Result<Reply, StatusCode> {
        let (url, mount) = self.mount(request)?;
        let id = session_id(request).ok_or(StatusCode::SessionNotFound)?;
        let first = match self.named(id)? {
            Named::Interleaved => {
                let interleaved = self.interleaved.as_mut().ok_or(StatusCode::SessionNotFound)?;
                interleaved.session.play().await
            }
            Named::Udp(handle) => self.ask(&handle, Command::Play).await?,
        };
        let FirstPacket { sequence, rtp_time } = first;
        let base = target::base(url, mount.name());
        let rtp_time = rtp_time.map(|time| format!(";rtptime={time}")).unwrap_or_default();
        Ok(Reply::ok()
            .header(headers::SESSION, id)
            .header(headers::RANGE, "npt=now-")
            .header(headers::RTP_INFO, format!("url={base}{};seq={sequence}{rtp_time}", sdp::TRACK)))
    }

    async fn pause(&mut self, request: &Request<Vec<u8>>) -> Result<Reply, StatusCode> {
        let id = session_id(request).ok_or(StatusCode::SessionNotFound)?;
        let played = match self.named(id)? {
            Named::Interleaved => self.interleaved.as_mut().is_some_and(|own| own.session.pause()),
            Named::Udp(handle) => self.ask(&handle, Command::Pause).await?,
        };
        if !played {
            return Err(StatusCode::MethodNotValidInThisState);
        }
        Ok(Reply::ok().header(headers::SESSION, id))
    }

    async fn teardown(&mut self, request: &Request<Vec<u8>>) -> Result<Reply, StatusCode> {
        let id = session_id(request).ok_or(StatusCode::SessionNotFound)?;
        match self.named(id)? {
            Named::Interleaved => {
                if let Some(own) = self.interleaved.take() {
                    own.session.mount.count_teardown();
                }
            }
            Named::Udp(handle) => {
                let order = self.order(Command::Teardown);
                handle.orders.send(order).await.map_err(|_| StatusCode::SessionNotFound)?;
                // Its task ends on its own; the answer waits, so that the stream has stopped by then.
                handle.orders.closed().await;
            }
        }
        count(&self.shared.totals.teardowns);
        Ok(Reply::ok())
    }

    /// Keeps the session alive that the request names, if it names one.
    fn touch(&self, request: &Request<Vec<u8>>) -> Result<(), StatusCode> {
        let Some(id) = session_id(request) else { return Ok(()) };
        if let Named::Udp(handle) = self.named(id)? {
            // A full queue holds a command that does the same.
            let _ = handle.orders.try_send(self.order(Command::Touch));
        }
        Ok(())
    }

    fn named(&self, id: &str) -> Result<Named, StatusCode> {
        if self.interleaved.as_ref().is_some_and(|own| own.id == id) {
            return Ok(Named::Interleaved);
        }
        let handle = self.shared.udp_session(id, self.address.ip());
        handle.map(Named::Udp).ok_or(StatusCode::SessionNotFound)
    }

    fn mount<'r>(&self, request: &'r Request<Vec<u8>>) -> Result<(&'r Url, Arc<Mount>), StatusCode> {
        let url = request.request_uri().ok_or(StatusCode::BadRequest)?;
        let mount = target::name(url).and_then(|name| self.shared.mounts.get(&name));
        Ok((url, mount.ok_or(StatusCode::NotFound)?))
    }

    fn session(&self, mount: Arc<Mount>, transport: ReaderTransport) -> Session {
        Session::new(mount, self.shared.reader_id(), self.address, transport)
    }

    async fn ask<T>(
        &self,
        handle: &UdpHandle,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, StatusCode> {
        let (sender, answer) = oneshot::channel();
        let gone = |()| StatusCode::SessionNotFound;
        handle.orders.send(self.order(command(sender))).await.map_err(|_| gone(()))?;
        answer.await.map_err(|_| gone(()))
    }

    fn order(&self, command: Command) -> Order {
        Order { command, connection: self.connection.clone() }
    }
}

fn header<'r>(request: &'r Request<Vec<u8>>, name: &rtsp_types::HeaderName) -> Option<&'r str> {
    request.header(name).map(|value| value.as_str())
}

fn session_id(request: &Request<Vec<u8>>) -> Option<&str> {
    header(request, &headers::SESSION)?.split(';').next().map(str::trim)
}

/// So much of a list of option tags (RFC 2326 section 12.32) as can be repeated to whoever sent it: a client must not
/// choose how long an answer gets, or what else is in it.
fn echoed(tags: &str) -> String {
    let is_listed = |c: &char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~,".contains(*c);
    tags.chars().filter(is_listed).take(LONGEST_ECHO).collect()
}

fn is_number(text: &str) -> bool {
    (1..=10).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use rtsp_types::Message;

    use super::*;
    use crate::auth::{Auth, Authenticator, Denied, Role, Roles, Token};
    use crate::rtsp::{Limits, Mounts};

    const RIGHT: &str = "Basic dmlld2VyOnMzY3JldA==";
    const WRONG: &str = "Basic dmlld2VyOndyb25n";

    fn keys(role: Role) -> Arc<Authenticator> {
        let token = Token::new("viewer", "s3cret".into(), Roles::from_iter([role]));
        Arc::new(Authenticator::new(Auth::Tokens(vec![token])))
    }

    /// What a new connection from `from` is told that asks for a stream there is not.
    async fn ask(
        keys: &Arc<Authenticator>,
        from: &str,
        authorization: Option<&str>,
    ) -> (u16, Option<String>) {
        let shared = Shared::new(Mounts::new(), Arc::clone(keys), Limits::default());
        let mut client = Client::new(shared, from.parse().unwrap(), "192.168.8.1:8554".parse().unwrap());
        let mut request = Request::builder(Method::Describe, Version::V1_0)
            .request_uri(Url::parse("rtsp://192.168.8.1:8554/nothing").unwrap())
            .header(headers::CSEQ, "1");
        if let Some(authorization) = authorization {
            request = request.header(headers::AUTHORIZATION, authorization);
        }
        let mut output = Vec::new();
        client.answer(&request.build(Vec::new()), &mut output).await;
        let (message, _) = Message::<Vec<u8>>::parse(&output).unwrap();
        let Message::Response(response) = message else { panic!("not an answer: {message:?}") };
        let retry_after = response.header(&headers::RETRY_AFTER).map(|value| value.as_str().to_owned());
        (response.status().into(), retry_after)
    }

    #[tokio::test]
    async fn guesses_over_rtsp_and_over_http_are_counted_together_for_each_address() {
        let keys = keys(Role::View);
        let guesses = (0..5).map(|port| {
            let keys = &keys;
            async move { ask(keys, &format!("192.168.8.7:{}", 1000 + port), Some(WRONG)).await.0 }
        });
        assert_eq!(futures::future::join_all(guesses).await, [401; 5]);
        let guesser = "192.168.8.7".parse().unwrap();
        let over_http = || keys.check(Some("guess"), Role::View, guesser, Instant::now()).unwrap_err();
        for _ in 0..5 {
            assert_eq!(over_http(), Denied::Unknown { needed: Role::View });
        }
        // Ten are free, wherever they were made. Which answer is right is not told any more.
        assert!(matches!(over_http(), Denied::TooMany { .. }));
        for authorization in [RIGHT, WRONG] {
            let (status, retry_after) = ask(&keys, "192.168.8.7:2000", Some(authorization)).await;
            assert_eq!(status, 503, "{authorization}");
            assert!((1..=2).contains(&retry_after.unwrap().parse::<u64>().unwrap()));
        }
        assert_eq!(ask(&keys, "192.168.8.7:2000", None).await.0, 401, "the challenge is no guess");
        assert_eq!(ask(&keys, "192.168.8.8:2000", Some(RIGHT)).await.0, 404, "others are let in");
    }

    #[tokio::test]
    async fn where_no_token_allows_watching_nobody_is_let_in() {
        let keys = keys(Role::Publish);
        assert_eq!(ask(&keys, "192.168.8.7:1000", None).await.0, 401);
        assert_eq!(ask(&keys, "192.168.8.7:1000", Some(RIGHT)).await.0, 401);
        let open = Arc::new(Authenticator::new(Auth::Open));
        assert_eq!(ask(&open, "192.168.8.7:1000", None).await.0, 404);
    }
}
