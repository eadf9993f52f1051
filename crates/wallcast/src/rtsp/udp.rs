//! A session whose packets travel by UDP: a task that owns the session and its pair of sockets.
//!
//! It outlives the RTSP connection that set it up and ends by TEARDOWN, with its mount, with the server, or
//! when nothing has been heard from the client (a request, or RTCP) for the session's timeout. Once the connection is
//! closed that is a shorter one: whoever has left without a word must not be sent a stream for a minute.

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
    state::Limits,
};

/// Orders wait while the task does something else; a client that sends more at once is told to come again.
const ORDERS: usize = 8;
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

/// A command, and the connection it came by: as long as that is open, the client is taken to be there.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) command: Command,
    /// Cancelled when the connection has ended.
    pub(super) connection: CancellationToken,
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
    orders: mpsc::Receiver<Order>,
    /// The one that last gave an order; when it was seen to have ended.
    connection: CancellationToken,
    left: Option<Instant>,
    timeout: Duration,
    abandoned_within: Duration,
    heard: Instant,
    datagram: Vec<u8>,
}

impl UdpSession {
    /// The way to command a task, and what the task takes from it.
    pub(super) fn orders() -> (mpsc::Sender<Order>, mpsc::Receiver<Order>) {
        mpsc::channel(ORDERS)
    }

    /// A task to spawn, for a session that `connection` set up. It sends RTP and RTCP to these ports of `client`.
    pub(super) fn new(
        session: Session,
        ports: Ports,
        (client, [rtp_port, rtcp_port]): (IpAddr, [u16; 2]),
        orders: mpsc::Receiver<Order>,
        connection: CancellationToken,
        limits: &Limits,
    ) -> Self {
        Self {
            session,
            ports,
            rtp_to: (client, rtp_port).into(),
            rtcp_to: (client, rtcp_port).into(),
            orders,
            connection,
            left: None,
            timeout: limits.session_timeout,
            abandoned_within: limits.abandoned_within,
            heard: Instant::now(),
            datagram: Vec::with_capacity(1500),
        }
    }

    /// Sends until the session ends.
    pub(super) async fn run(&mut self, stop: CancellationToken) -> Ended {
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
            let deadline = self.deadline();
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
                order = self.orders.recv() => match order {
                    None => return Ended::Stopped,
                    Some(Order { command: Command::Teardown, .. }) => {
                        self.session.mount.count_teardown();
                        return Ended::Teardown;
                    }
                    Some(order) => tokio::select! {
                        biased;
                        () = stop.cancelled() => return Ended::Stopped,
                        () = self.obey(order) => {}
                    },
                },
                () = self.connection.cancelled(), if self.left.is_none() => self.left = Some(Instant::now()),
                () = sleep_until(deadline.into()) => return Ended::Expired,
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

    /// Until when the client has to be heard.
    fn deadline(&self) -> Instant {
        let silent = self.heard + self.timeout;
        match self.left {
            Some(left) => silent.min(self.heard.max(left) + self.abandoned_within),
            None => silent,
        }
    }

    async fn obey(&mut self, order: Order) {
        self.heard = Instant::now();
        (self.connection, self.left) = (order.connection, None);
        // Whoever asked may have gone; the session is what it is either way.
        match order.command {
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
