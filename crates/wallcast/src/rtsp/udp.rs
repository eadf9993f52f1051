//! A session whose packets travel by UDP: a task that owns the session and its pair of sockets.
//!
//! It outlives the RTSP connection that set it up and ends by TEARDOWN, with its mount, with the server, or
//! when nothing has been heard from the client (a request, or RTCP) for the session's timeout.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio::{
    net::UdpSocket,
    sync::{mpsc, oneshot},
    time::sleep_until,
};
use tokio_util::sync::CancellationToken;

use super::{
    packets::Packets,
    session::{FirstPacket, Session},
};

/// Commands wait while the task does something else; a client that sends more at once is told to come again.
const COMMANDS: usize = 8;
/// Ports are tried until an even one with a free neighbour is found (RFC 3550 section 11).
const PORT_TRIES: usize = 64;
/// Longer RTCP than an Ethernet frame is rubbish.
const LARGEST_RTCP: usize = 1500;

/// What connections ask of the task.
#[derive(Debug)]
pub(super) enum Command {
    Play(oneshot::Sender<FirstPacket>),
    /// Answers whether it played.
    Pause(oneshot::Sender<bool>),
    /// A keepalive.
    Touch,
    Teardown,
}

/// How a UDP session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Teardown,
    MountClosed,
    Stopped,
    Expired,
}

/// The sockets of one session: RTP on an even port, RTCP on the next.
#[derive(Debug)]
pub(super) struct Ports {
    rtp: UdpSocket,
    rtcp: UdpSocket,
}

impl Ports {
    /// Binds to the address that the client connected to, so that its packets come from there.
    pub(super) async fn bind(local: IpAddr) -> io::Result<Self> {
        let mut refused = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..PORT_TRIES {
            let rtp = UdpSocket::bind((local, 0)).await?;
            let port = rtp.local_addr()?.port();
            if !port.is_multiple_of(2) {
                continue;
            }
            match UdpSocket::bind((local, port + 1)).await {
                Ok(rtcp) => return Ok(Self { rtp, rtcp }),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    pub(super) fn rtp_port(&self) -> io::Result<u16> {
        Ok(self.rtp.local_addr()?.port())
    }
}

/// The task.
#[derive(Debug)]
pub(super) struct UdpSession {
    session: Session,
    ports: Ports,
    rtp_to: SocketAddr,
    rtcp_to: SocketAddr,
    commands: mpsc::Receiver<Command>,
    timeout: Duration,
    heard: Instant,
    datagram: Vec<u8>,
}

impl UdpSession {
    /// A task to spawn, and the way to command it.
    pub(super) fn new(
        session: Session,
        ports: Ports,
        client: IpAddr,
        (rtp_port, rtcp_port): (u16, u16),
        timeout: Duration,
    ) -> (Self, mpsc::Sender<Command>) {
        let (sender, commands) = mpsc::channel(COMMANDS);
        let task = Self {
            session,
            ports,
            rtp_to: (client, rtp_port).into(),
            rtcp_to: (client, rtcp_port).into(),
            commands,
            timeout,
            heard: Instant::now(),
            datagram: Vec::with_capacity(1500),
        };
        (task, sender)
    }

    /// Sends until the session ends.
    pub(super) async fn run(mut self, stop: CancellationToken) -> Ended {
        let ended = self.run_until_end(stop).await;
        if self.session.is_playing()
            && let Some(goodbye) = self.session.rtp.goodbye()
        {
            let _ = self.ports.rtcp.send_to(&goodbye, self.rtcp_to).await;
        }
        ended
    }

    async fn run_until_end(&mut self, stop: CancellationToken) -> Ended {
        let mut rtcp = [0; LARGEST_RTCP];
        let mut ignored = [0; 1];
        loop {
            let reader = self.session.reader().cloned();
            let next = async {
                match &reader {
                    Some(reader) => reader.next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ended::Stopped,
                command = self.commands.recv() => match command {
                    None => return Ended::Stopped,
                    Some(Command::Teardown) => {
                        self.session.mount.count_teardown();
                        return Ended::Teardown;
                    }
                    Some(command) => tokio::select! {
                        biased;
                        () = stop.cancelled() => return Ended::Stopped,
                        () = self.obey(command) => {}
                    },
                },
                () = sleep_until((self.heard + self.timeout).into()) => return Ended::Expired,
                received = self.ports.rtcp.recv_from(&mut rtcp) => {
                    if let Ok((length, from)) = received {
                        self.hear(&rtcp[..length], from);
                    }
                }
                // Clients behind address translation open the way with packets that mean nothing else.
                _ = self.ports.rtp.recv_from(&mut ignored) => {}
                unit = next => match unit {
                    Some(unit) => self.send(&unit).await,
                    None => return Ended::MountClosed,
                },
            }
        }
    }

    async fn obey(&mut self, command: Command) {
        self.heard = Instant::now();
        // Whoever asked may have gone; the session is what it is either way.
        match command {
            Command::Play(answer) => drop(answer.send(self.session.play().await)),
            Command::Pause(answer) => drop(answer.send(self.session.pause())),
            Command::Touch | Command::Teardown => {}
        }
    }

    fn hear(&mut self, rtcp: &[u8], from: SocketAddr) {
        if from.ip() != self.rtcp_to.ip() {
            return;
        }
        self.heard = Instant::now();
        if let Some((lost, rtt)) = self.session.rtp.feedback(rtcp, self.heard)
            && let Some(reader) = self.session.reader()
        {
            reader.reported(lost, rtt);
        }
    }

    /// A datagram that cannot be sent is lost, as any other may be.
    async fn send(&mut self, unit: &Arc<Packets>) {
        for (header, payload) in self.session.rtp.headers(unit) {
            self.datagram.clear();
            self.datagram.extend_from_slice(&header);
            self.datagram.extend_from_slice(payload);
            if let Err(error) = self.ports.rtp.send_to(&self.datagram, self.rtp_to).await {
                tracing::trace!(%error, to = %self.rtp_to, "an RTP packet could not be sent");
            }
        }
        let now = Instant::now();
        if let Some(report) = self.session.rtp.report(unit, now, SystemTime::now()) {
            let _ = self.ports.rtcp.send_to(&report, self.rtcp_to).await;
        }
        if let Some(reader) = self.session.reader() {
            reader.sent(unit, now);
        }
    }
}
