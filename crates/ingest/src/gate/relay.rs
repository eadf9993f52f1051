//! The runner: one task that has the sockets of both sides and the clock, and moves bytes between them.
//!
//! | buffer | capacity | when full |
//! | --- | --- | --- |
//! | camera → gate | one message or packet, and one read of 32 KiB | cannot be: nothing is read before all is taken |
//! | gate → `retina` | 256 KiB | the camera is not read, and TCP slows it down |
//! | gate → camera | 64 KiB of answers | a camera that asks without reading gets no more answers |

mod datagrams;
mod greeting;
mod hoard;
mod stream;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use futures::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest, ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::account::{Member, Paused, Permit};
use super::connect::{Connection, connect};
use super::dialogue::{Action, Dialogue, RETINA_CHANNELS};
use super::impairment::Impairment;
use super::reorder::Path;
use super::wire::{Item, Wire};
use super::{CONNECT_BUDGET, Certificate, Pictures, Told, Transport};
use crate::camera::CameraConfig;
use crate::record::Record;
use crate::session::failure::Failure;
use datagrams::{DEAD_AFTER, Udp, wait_for_datagrams};
use greeting::{Greeted, greet};
use hoard::Hoard;
use stream::{Refused, Stream};

/// One read. A camera's burst is a key frame of some hundred kilobytes.
const READ: usize = 32 * 1024;
/// What may wait for `retina`.
const MAX_WAITING: usize = 256 * 1024;
/// How long `retina` may take for what was there when the camera closed.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long a camera that sends us elsewhere may take to say goodbye.
const GOODBYE: Duration = Duration::from_millis(500);

pub(super) struct Relay {
    camera_name: String,
    certificate: Certificate,
    /// Our address towards the camera.
    local: SocketAddr,
    from_camera: ReadHalf<Connection>,
    to_camera: WriteHalf<Connection>,
    /// Something was written that TLS may still hold.
    needs_flush: bool,
    wire: Wire,
    retina: Option<TcpStream>,
    retina_wire: Wire,
    to_retina: BytesMut,
    gate_url: String,
    dialogue: Dialogue,
    account: Option<Arc<Member>>,
    /// The login is with the camera, and other cameras wait for what it says.
    permit: Option<Permit>,
    /// An earlier session found out that the camera sends over nothing but UDP.
    has_refused_tcp: bool,
    stream: Option<Stream>,
    udp: Option<Udp>,
    record: Arc<Record>,
    told: Arc<Told>,
    hoard: Hoard,
    stop: CancellationToken,
}

/// What a wait ended with.
enum Event {
    Stop,
    FromCamera(io::Result<usize>),
    ToCamera(io::Result<usize>),
    FromRetina(io::Result<usize>),
    RetinaWritable,
    Datagrams(io::Result<()>),
    Time,
}

/// The relay has nothing more to do.
struct Ended;

impl Relay {
    #[allow(clippy::too_many_arguments, reason = "each is a part of the one session")]
    pub(super) fn new(
        config: &CameraConfig,
        transport: Transport,
        account: Option<Arc<Member>>,
        connection: Connection,
        gate_url: String,
        record: Arc<Record>,
        (told, pictures): (Arc<Told>, Pictures),
        stop: CancellationToken,
    ) -> Self {
        let (local, peer) = (connection.local(), connection.peer());
        let (from_camera, to_camera) = tokio::io::split(connection);
        Self {
            camera_name: config.name.clone(),
            certificate: config.certificate,
            local,
            from_camera,
            to_camera,
            needs_flush: false,
            wire: Wire::new(),
            retina: None,
            retina_wire: Wire::new(),
            to_retina: BytesMut::new(),
            dialogue: Dialogue::new(config.source.clone(), peer, transport, gate_url.clone()),
            gate_url,
            account,
            permit: None,
            has_refused_tcp: (config.transport, transport) == (Transport::Tcp, Transport::Udp),
            stream: None,
            udp: None,
            record,
            told,
            hoard: Hoard::new(pictures),
            stop,
        }
    }

    /// Waits for `retina`, and then relays until both sides are through. A panic is counted and told here, while the
    /// sockets are still open: `retina` notices nothing before.
    pub(super) async fn run(mut self, listener: TcpListener) {
        if AssertUnwindSafe(self.relay(listener)).catch_unwind().await.is_err() {
            self.record.count_panic();
            tracing::error!(camera = %self.camera_name, "panic in the connection to the camera");
            let _ = self.told.failure.set(Failure::Internal);
        }
    }

    async fn relay(&mut self, listener: TcpListener) {
        let stop = self.stop.clone();
        let greeted = tokio::select! {
            () = stop.cancelled() => return,
            greeted = greet(listener, &self.gate_url) => greeted,
        };
        let Some(Greeted { retina, wire, request }) = greeted else {
            tracing::error!(camera = %self.camera_name, "the session's port on loopback is used by others");
            let _ = self.told.failure.set(Failure::Internal);
            return;
        };
        self.retina = Some(retina);
        self.retina_wire = wire;
        self.dialogue.handle_retina(now(), &request);
        let mut timer = std::pin::pin!(sleep_until(tokio::time::Instant::now()));
        while let Ok(()) = self.step(timer.as_mut()).await {}
        if let Some(udp) = &self.udp {
            udp.goodbye().await;
        }
    }

    async fn step(&mut self, timer: std::pin::Pin<&mut Sleep>) -> Result<(), Ended> {
        #[cfg(test)]
        assert!(self.camera_name != tests::PANICS, "on purpose");
        loop {
            self.ask_to_log_in().await?;
            let Some(action) = self.dialogue.poll_action() else { break };
            self.perform(action).await?;
        }
        self.write_to_retina();
        match self.wait(timer).await {
            Event::Stop => {
                self.retina = None;
                self.dialogue.close(now());
            }
            Event::FromCamera(Ok(0)) => return Err(self.lost_camera(Failure::Closed).await),
            Event::FromCamera(Ok(_)) => self.handle_camera(),
            Event::FromCamera(Err(error)) | Event::ToCamera(Err(error)) => {
                let was_closed = matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof
                );
                let failure = if was_closed { Failure::Closed } else { Failure::Lost };
                return Err(self.lost_camera(failure).await);
            }
            Event::ToCamera(Ok(written)) => {
                self.dialogue.for_camera().drain(..written);
                self.needs_flush = written > 0;
            }
            Event::FromRetina(Ok(read)) if read > 0 => self.handle_retina(),
            // The session was dropped; a failure was told before.
            Event::FromRetina(_) => {
                self.retina = None;
                self.dialogue.close(now());
            }
            Event::RetinaWritable => {}
            Event::Datagrams(Ok(())) => self.handle_datagrams(),
            Event::Datagrams(Err(error)) => {
                tracing::debug!(camera = %self.camera_name, "UDP: {error}");
                self.dialogue.fail(now(), Failure::Lost);
            }
            Event::Time => {
                self.dialogue.handle_timeout(now());
                if let Some(udp) = &mut self.udp {
                    udp.handle_timeout(now()).await;
                }
                self.handle_datagrams();
            }
        }
        Ok(())
    }

    async fn wait(&mut self, mut timer: std::pin::Pin<&mut Sleep>) -> Event {
        // Not reset if nothing has changed: a timer is touched for requests, not for packets.
        let is_full = self.to_retina.len() >= MAX_WAITING;
        // Deadlines of packets, which nobody would keep at other times.
        let of_udp = self.udp.as_ref().filter(|_| self.dialogue.is_playing() && !is_full);
        let of_udp = of_udp.map(Udp::next_deadline);
        let deadline = self.dialogue.next_deadline().into_iter().chain(of_udp).min();
        let deadline = deadline.map(tokio::time::Instant::from_std);
        if let Some(deadline) = deadline.filter(|deadline| *deadline != timer.deadline()) {
            timer.as_mut().reset(deadline);
        }
        let has_answers = !self.to_retina.is_empty();
        let requests = self.dialogue.for_camera();
        let has_requests = !requests.is_empty() || self.needs_flush;
        self.wire.buffer().reserve(READ);
        self.retina_wire.buffer().reserve(1024);
        let retina = self.retina.as_ref();
        tokio::select! {
            biased;
            () = self.stop.cancelled(), if retina.is_some() => Event::Stop,
            () = timer.as_mut(), if deadline.is_some() => Event::Time,
            written = write(&mut self.to_camera, requests), if has_requests => Event::ToCamera(written),
            event = wait_for(retina, self.retina_wire.buffer(), has_answers), if retina.is_some() => event,
            read = self.from_camera.read_buf(self.wire.buffer()), if !is_full => Event::FromCamera(read),
            ready = wait_for_datagrams(self.udp.as_ref()), if self.udp.is_some() && !is_full => Event::Datagrams(ready),
        }
    }

    /// No login goes out before it is this camera's turn, see [`account`](super::account).
    async fn ask_to_log_in(&mut self) -> Result<(), Ended> {
        if self.dialogue.has_logged_in()
            && let Some(permit) = self.permit.take()
        {
            permit.accepted();
        }
        let needs_permit = self.permit.is_none() && self.dialogue.is_logging_in();
        let Some(account) = self.account.as_ref().filter(|_| needs_permit) else { return Ok(()) };
        let asked = tokio::select! {
            () = self.stop.cancelled() => return Err(Ended),
            asked = account.log_in() => asked,
        };
        match asked {
            Ok(permit) => {
                self.permit = Some(permit);
                self.dialogue.handle_turn(now());
            }
            Err(Paused { until }) => {
                self.dialogue.for_camera().clear();
                self.dialogue.fail(now(), Failure::LoginPaused { until });
            }
        }
        Ok(())
    }

    async fn perform(&mut self, action: Action) -> Result<(), Ended> {
        match action {
            Action::Connect(target) => {
                tracing::debug!(camera = %self.camera_name, "redirected by the camera");
                self.told.redirects.lock().push(target.clone());
                let _ = timeout(GOODBYE, self.to_camera.shutdown()).await;
                let stop = self.stop.clone();
                let connected = tokio::select! {
                    () = stop.cancelled() => return Err(Ended),
                    connected = connect(&target, self.certificate, CONNECT_BUDGET) => connected,
                };
                let connection = match connected {
                    Ok(connection) => connection,
                    Err(failure) => return Err(self.lost_camera(failure).await),
                };
                let peer = connection.peer();
                if !may_be_sent_to(peer.ip(), self.dialogue.peer().ip()) {
                    return Err(self.lost_camera(Failure::RedirectedNowhere).await);
                }
                self.local = connection.local();
                (self.from_camera, self.to_camera) = tokio::io::split(connection);
                self.wire = Wire::new();
                self.dialogue.handle_connected(now(), peer);
            }
            Action::BindUdp => match Udp::bind(self.local, now()) {
                Ok(udp) => {
                    let ports = udp.ports();
                    self.udp = Some(udp);
                    self.dialogue.handle_ports(now(), ports);
                }
                Err(error) => {
                    tracing::warn!(camera = %self.camera_name, "no UDP ports for the camera's packets: {error}");
                    self.dialogue.handle_no_ports(now());
                }
            },
            Action::Udp { source, ports } => {
                let peer = self.dialogue.peer();
                if let Some(udp) = &mut self.udp {
                    udp.begin(peer, source, ports).await;
                }
            }
            Action::Fail(failure) => self.tell(failure),
            Action::Close => return Err(Ended),
        }
        Ok(())
    }

    /// The end of the session for `retina`; for the camera the dialogue goes on with TEARDOWN.
    fn tell(&mut self, failure: Failure) {
        if failure.is_over_limit() {
            self.record.count(Impairment::OverLimit, 1);
        }
        if let Some(permit) = self.permit.take_if(|_| failure.is_wrong_login()) {
            permit.refused();
        }
        let _ = self.told.failure.set(failure);
        self.retina = None;
    }

    /// The camera is gone. What it said before still goes to `retina`.
    async fn lost_camera(&mut self, failure: Failure) -> Ended {
        let _ = self.told.failure.set(failure);
        self.to_retina.extend_from_slice(&self.dialogue.take_to_retina());
        if let Some(mut retina) = self.retina.take() {
            let _ = timeout(LAST_WORDS, retina.write_all(&self.to_retina)).await;
            let _ = retina.shutdown().await;
        }
        Ended
    }

    fn handle_camera(&mut self) {
        let now = now();
        loop {
            self.wire.set_channels(self.dialogue.channels());
            self.wire.set_awaiting(self.dialogue.awaiting());
            match self.wire.poll(now) {
                Ok(Some(Item::Message(message))) => {
                    self.dialogue.handle_camera(now, message);
                    self.to_retina.extend_from_slice(&self.dialogue.take_to_retina());
                }
                Ok(Some(Item::Packet { channel })) => self.handle_packet(now, channel),
                Ok(None) => break,
                Err(broken) => {
                    tracing::debug!(camera = %self.camera_name, "{broken}");
                    self.dialogue.fail(now, broken.into());
                    // Nothing after this makes sense, not even an answer to TEARDOWN.
                    self.wire = Wire::new();
                    break;
                }
            }
        }
        self.record.count(Impairment::JunkBytes, self.wire.take_junk());
        if let Some(stream) = &mut self.stream {
            stream.count(&self.record);
        }
        if self.dialogue.channels().is_some() {
            // The camera prefers its connection, whatever it was asked for.
            self.udp = None;
        }
        if self.dialogue.is_playing() {
            let _ = self.told.transport.set(self.dialogue.transport());
            if let Some(udp) = &mut self.udp {
                udp.play(now);
            }
        }
        if let Some(sets) = self.dialogue.take_parameter_sets() {
            let _ = self.told.parameter_sets.set(sets);
        }
    }

    /// A packet that came interleaved. What comes before the answer to PLAY may be anybody's, and `retina` would not
    /// take it.
    fn handle_packet(&mut self, now: Instant, channel: u8) {
        let ours = self.dialogue.channels();
        if ours.is_none_or(|ours| channel != ours.rtp && channel != ours.rtcp) {
            return self.record.count(Impairment::StrayPackets, 1);
        }
        if !self.dialogue.is_playing() {
            return;
        }
        let is_rtp = ours.is_some_and(|ours| channel == ours.rtp);
        let dialogue = &self.dialogue;
        let stream = self.stream.get_or_insert_with(|| Stream::new(dialogue));
        match stream.handle(self.wire.packet(), is_rtp) {
            Ok(is_rtp) => {
                let channel = if is_rtp { RETINA_CHANNELS.rtp } else { RETINA_CHANNELS.rtcp };
                append(&mut self.to_retina, channel, self.wire.packet());
                if self.hoard.handle(self.wire.packet().len()).is_err() {
                    self.dialogue.fail(now, Failure::PictureTooLarge);
                }
            }
            Err(Refused::Counted(what)) => self.record.count(what, 1),
            Err(Refused::OverBudget) => self.dialogue.fail(now, Failure::PictureTooLarge),
        }
    }

    /// Everything that waits in the UDP ports, and what has waited long enough for a packet that is missing.
    fn handle_datagrams(&mut self) {
        let (now, is_playing) = (now(), self.dialogue.is_playing());
        if self.to_retina.len() >= MAX_WAITING {
            return;
        }
        let Some(udp) = &mut self.udp else { return };
        if !is_playing {
            return udp.discard();
        }
        let dialogue = &self.dialogue;
        let stream = self.stream.get_or_insert_with(|| Stream::new(dialogue));
        let mut failure = udp.receive(now).err().map(|_| Failure::Lost);
        while let Some((mut packet, is_rtp)) = udp.poll(now) {
            match stream.handle(&mut packet, is_rtp) {
                Ok(is_rtp) => {
                    let channel = if is_rtp { RETINA_CHANNELS.rtp } else { RETINA_CHANNELS.rtcp };
                    append(&mut self.to_retina, channel, &packet);
                    if self.hoard.handle(packet.len()).is_err() {
                        failure = Some(Failure::PictureTooLarge);
                    }
                }
                Err(Refused::Counted(what)) => self.record.count(what, 1),
                Err(Refused::OverBudget) => failure = Some(Failure::PictureTooLarge),
            }
        }
        stream.count(&self.record);
        let is_lossy = udp.count(&self.record, now) == Path::FallBack;
        let is_dead = udp.is_dead(now);
        if (is_lossy || is_dead) && self.dialogue.can_do_tcp() && !self.has_refused_tcp {
            let over_udp = if is_dead { Failure::DeadUdp { after: DEAD_AFTER } } else { Failure::LossyUdp };
            failure = failure.or(Some(over_udp));
        }
        if let Some(failure) = failure {
            self.dialogue.fail(now, failure);
        }
    }

    fn handle_retina(&mut self) {
        // Nothing in it is from the camera, and nothing of it can be wrong.
        while let Ok(Some(item)) = self.retina_wire.poll(now()) {
            if let Item::Message(request) = item {
                self.dialogue.handle_retina(now(), &request);
            }
        }
        self.to_retina.extend_from_slice(&self.dialogue.take_to_retina());
    }

    /// As much as it takes now. One write for all that came with one read.
    fn write_to_retina(&mut self) {
        let Some(retina) = &self.retina else { return self.to_retina.clear() };
        while !self.to_retina.is_empty() {
            match retina.try_write(&self.to_retina) {
                Ok(written) => self.to_retina.advance(written),
                // An error shows when it is read, too.
                Err(_) => return,
            }
        }
    }
}

/// No camera may have us talk to this machine's own services, or to what only its link reaches, unless it is there itself.
fn may_be_sent_to(there: IpAddr, here: IpAddr) -> bool {
    let kind = |address: IpAddr| match address.to_canonical() {
        address if address.is_loopback() => 1,
        address if address.is_unspecified() || address.is_multicast() => 2,
        IpAddr::V4(address) if address.is_link_local() || address.is_broadcast() => 3,
        IpAddr::V6(address) if address.is_unicast_link_local() => 3,
        _ => 0,
    };
    kind(there) == 0 || kind(there) == kind(here)
}

/// Interleaved, as RFC 2326 section 10.12 has it.
fn append(output: &mut BytesMut, channel: u8, packet: &[u8]) {
    let Ok(length) = u16::try_from(packet.len()) else { return };
    output.reserve(4 + packet.len());
    output.extend_from_slice(&[b'$', channel]);
    output.extend_from_slice(&length.to_be_bytes());
    output.extend_from_slice(packet);
}

/// Writes what it can, or sees off what was written before: 0. Cancel safe.
async fn write(to_camera: &mut WriteHalf<Connection>, requests: &[u8]) -> io::Result<usize> {
    match requests {
        [] => to_camera.flush().await.map(|()| 0),
        requests => to_camera.write(requests).await,
    }
}

/// Waits until `retina` has sent something, or, if something waits for it, takes more.
async fn wait_for(retina: Option<&TcpStream>, input: &mut BytesMut, has_answers: bool) -> Event {
    let Some(retina) = retina else { return std::future::pending().await };
    let interest = if has_answers { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
    loop {
        match retina.ready(interest).await {
            Ok(ready) if ready.is_readable() => match retina.try_read_buf(input) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Event::FromRetina(read),
            },
            Ok(_) => return Event::RetinaWritable,
            Err(error) => return Event::FromRetina(Err(error)),
        }
    }
}

/// The runtime's clock, which tests can turn.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The relay of a camera of this name panics.
    pub(crate) const PANICS: &str = "panics in the relay";

    #[test]
    fn a_redirect_reaches_what_the_camera_could_reach_by_itself_and_not_this_machine() {
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        let check = |there: &str, here: &str| may_be_sent_to(address(there), address(here));
        assert!(check("192.168.8.7", "192.168.8.101") && check("203.0.113.9", "192.168.8.101"));
        assert!(check("127.0.0.1", "127.0.0.2") && check("fe80::7", "fe80::1"));
        for inner in
            ["127.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1", "fe80::1"]
        {
            assert!(!check(inner, "192.168.8.101"), "{inner}");
        }
    }
}
