//! One RTSP connection: messages in, answers and interleaved packets out (RFC 2326 sections 10.12 and 12).
//!
//! A single task reads and writes. It takes the next access unit from its reader's queue only when all that
//! was written before has left, so that a slow client fills its own queue and nothing else.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Instant, SystemTime},
};

use rtsp_types::{Message, StatusCode};
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep_until,
};

use super::{
    inbox::{Inbox, Rejected},
    packets::Packets,
    reader::Reader,
    reply::Reply,
    requests::Client,
    rtp::HEADER_LEN,
    state::{Limits, Shared, Slot, count},
};

/// What the kernel holds for a client (it doubles the number): about a second of a wall. With more, a slow client
/// would be shown the past.
const SEND_BUFFER: usize = 256 << 10;
/// A client that sends requests without reading answers is not read any further.
const LARGEST_BACKLOG: usize = 256 << 10;

const READ_AT_ONCE: usize = 2048;

/// Why a connection ended; for the log only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closed {
    ByClient,
    Broken,
    Stopping,
    Malformed,
    TimedOut,
    Refused,
    StreamEnded,
}

/// A client's connection.
#[derive(Debug)]
pub(super) struct Connection {
    shared: Arc<Shared>,
    socket: TcpStream,
    client: Client,
    input: Inbox,
    output: Output,
    clocks: Clocks,
    _slot: Slot,
}

/// What waits to be written.
#[derive(Debug, Default)]
struct Output {
    bytes: Vec<u8>,
    written: usize,
}

/// Since when nothing has happened.
#[derive(Debug)]
struct Clocks {
    began: Instant,
    heard: Instant,
    has_asked: bool,
    partial_since: Option<Instant>,
    progressed: Instant,
}

impl Connection {
    pub(super) fn new(
        shared: Arc<Shared>,
        socket: TcpStream,
        from: SocketAddr,
        slot: Slot,
    ) -> io::Result<Self> {
        // An IPv4 client of a listener for both families gets its datagrams from an IPv4 socket.
        let local = socket.local_addr()?;
        let local = SocketAddr::new(local.ip().to_canonical(), local.port());
        // A frame is written at once and must not wait for the acknowledgement of the one before.
        socket.set_nodelay(true)?;
        SockRef::from(&socket).set_send_buffer_size(SEND_BUFFER)?;
        let now = Instant::now();
        Ok(Self {
            client: Client::new(Arc::clone(&shared), from, local),
            input: Inbox::new(shared.limits.message_bytes),
            shared,
            socket,
            output: Output::default(),
            clocks: Clocks { began: now, heard: now, has_asked: false, partial_since: None, progressed: now },
            _slot: slot,
        })
    }

    /// Serves the client until the connection ends.
    pub(super) async fn run(mut self) -> Closed {
        self.serve().await
    }

    async fn serve(&mut self) -> Closed {
        loop {
            if let Err(closed) = self.take_messages().await {
                return self.close(closed).await;
            }
            let is_idle = self.output.is_empty();
            let reader = self.client.interleaved.as_ref().and_then(|own| own.session.reader()).cloned();
            let plays = self.client.interleaved.as_ref().map(|own| own.session.is_playing());
            let login_by =
                (!self.client.is_known()).then(|| self.clocks.began + self.shared.limits.login_within);
            // Here, because a client that always sends something never lets the select below come to its last branch.
            if login_by.is_some_and(|by| Instant::now() >= by) {
                return self.close(Closed::TimedOut).await;
            }
            let silent_until = self.clocks.deadline(&self.shared.limits, is_idle, plays);
            let deadline = login_by.into_iter().chain(silent_until).min();
            let room = self.output.len() < LARGEST_BACKLOG;
            let (mut from_client, mut to_client) = self.socket.split();
            tokio::select! {
                biased;
                () = self.shared.stop.cancelled() => return Closed::Stopping,
                read = from_client.read_buf(self.input.buffer(READ_AT_ONCE)), if room => match read {
                    Ok(0) => return Closed::ByClient,
                    Ok(_) => {}
                    Err(_) => return Closed::Broken,
                },
                written = to_client.write(self.output.unwritten()), if !is_idle => match written {
                    Ok(length) => {
                        self.output.advance(length);
                        self.clocks.progressed = Instant::now();
                    }
                    Err(_) => return Closed::Broken,
                },
                unit = next_unit(reader.as_deref()), if is_idle => match unit {
                    Some(unit) => self.interleave(&unit),
                    None => return Closed::StreamEnded,
                },
                () = until(deadline) => return Closed::TimedOut,
            }
        }
    }

    /// Answers every whole message that has arrived.
    async fn take_messages(&mut self) -> Result<(), Closed> {
        while self.output.len() < LARGEST_BACKLOG {
            match self.input.next() {
                Ok(Some(message)) => {
                    self.clocks.heard = Instant::now();
                    self.clocks.partial_since = None;
                    self.take(message).await?;
                }
                Ok(None) if self.input.is_empty() => break,
                Ok(None) => {
                    self.clocks.partial_since.get_or_insert_with(Instant::now);
                    break;
                }
                Err(Rejected::TooLong) => return Err(self.reject(StatusCode::RequestMessageBodyTooLarge)),
                Err(Rejected::Malformed) => return Err(self.reject(StatusCode::BadRequest)),
            }
        }
        Ok(())
    }

    async fn take(&mut self, message: Message<Vec<u8>>) -> Result<(), Closed> {
        match message {
            Message::Request(request) => {
                self.clocks.has_asked = true;
                let answered = self.client.answer(&request, self.output.tail());
                tokio::select! {
                    biased;
                    () = self.shared.stop.cancelled() => return Err(Closed::Stopping),
                    () = answered => {}
                }
                if self.client.is_done { Err(Closed::Refused) } else { Ok(()) }
            }
            Message::Data(data) => {
                self.hear(data.channel_id(), data.as_slice());
                Ok(())
            }
            // This server asks nothing; some clients answer all the same.
            Message::Response(_) => Ok(()),
        }
    }

    /// After rubbish nobody can tell where the next message begins.
    fn reject(&mut self, status: StatusCode) -> Closed {
        count(&self.shared.totals.malformed);
        Reply::new(status).write(None, self.output.tail());
        Closed::Malformed
    }

    /// The client's receiver reports come on its RTCP channel.
    fn hear(&self, channel: u8, rtcp: &[u8]) {
        let Some(own) = self.client.interleaved.as_ref().filter(|own| own.rtcp_channel == channel) else {
            return;
        };
        if let Some(reader) = own.session.reader()
            && let Some((lost, rtt)) = own.session.rtp.feedback(rtcp, Instant::now())
        {
            reader.reported(lost, rtt);
        }
    }

    fn interleave(&mut self, unit: &Packets) {
        let Some(own) = self.client.interleaved.as_mut() else { return };
        let output = self.output.tail();
        for (header, payload) in own.session.rtp.headers(unit) {
            frame(output, own.rtp_channel, HEADER_LEN + payload.len());
            output.extend_from_slice(&header);
            output.extend_from_slice(payload);
        }
        let now = Instant::now();
        if let Some(report) = own.session.rtp.report(unit, now, SystemTime::now()) {
            frame(output, own.rtcp_channel, report.len());
            output.extend_from_slice(&report);
        }
        if let Some(reader) = own.session.reader() {
            reader.sent(unit, now);
        }
        self.clocks.progressed = now;
    }

    /// Writes what is left, such as the answer that says why, and ends.
    async fn close(&mut self, closed: Closed) -> Closed {
        let leave = async {
            self.socket.write_all(self.output.unwritten()).await?;
            self.socket.shutdown().await
        };
        tokio::select! {
            () = self.shared.stop.cancelled() => {}
            _ = tokio::time::timeout(self.shared.limits.message_within, leave) => {}
        }
        closed
    }
}

async fn next_unit(reader: Option<&Reader>) -> Option<Arc<Packets>> {
    match reader {
        Some(reader) => reader.next().await,
        None => std::future::pending().await,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// The head of an interleaved packet (RFC 2326 section 10.12). Packets are far shorter than 64 KiB.
fn frame(output: &mut Vec<u8>, channel: u8, length: usize) {
    output.extend_from_slice(&[b'$', channel]);
    output.extend_from_slice(&(length as u16).to_be_bytes());
}

impl Output {
    fn len(&self) -> usize {
        self.bytes.len() - self.written
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn unwritten(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    fn advance(&mut self, length: usize) {
        self.written += length;
        // A client that always leaves something to write must not make the server keep all it ever wrote. What is
        // moved to the front is shorter than what has left since the last time, so that moving costs little.
        if self.written >= self.len() {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
    }

    fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl Clocks {
    /// When to give up, whatever the client is waiting for or waited for. `plays` is `None` without a session.
    fn deadline(&self, limits: &Limits, is_written: bool, plays: Option<bool>) -> Option<Instant> {
        let silent = match plays {
            _ if !self.has_asked => Some(self.heard + limits.message_within),
            None => Some(self.heard + limits.idle),
            Some(false) => Some(self.heard + limits.session_timeout),
            // The stream itself tells whether the client is there: it stalls.
            Some(true) => None,
        };
        let partial = self.partial_since.map(|since| since + limits.message_within);
        let stalled = (!is_written).then(|| self.progressed + limits.stalled);
        [silent, partial, stalled].into_iter().flatten().min()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use socket2::{Domain, Socket, Type};
    use tokio::net::TcpListener;

    use super::*;
    use crate::auth::{Auth, Authenticator};
    use crate::rtsp::Mounts;

    const REQUESTS: &[u8] = b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n";

    #[tokio::test]
    async fn a_client_that_pipelines_and_never_reads_all_takes_no_more_memory_than_the_limit() {
        let open = Arc::new(Authenticator::new(Auth::Open));
        let shared = Shared::new(Mounts::new(), open, Limits::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        // Small, so that the answers wait in the server and not in the kernel.
        let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        client.set_recv_buffer_size(16 << 10).unwrap();
        client.connect(&listener.local_addr().unwrap().into()).unwrap();
        client.set_nonblocking(true).unwrap();
        let mut client = TcpStream::from_std(client.into()).unwrap();
        let (socket, from) = listener.accept().await.unwrap();
        let slot = shared.slot(from.ip()).unwrap();
        let mut connection = Connection::new(shared, socket, from, slot).unwrap();

        let requests = REQUESTS.repeat(1 << 10);
        let mut answers = vec![0; 32 << 10];
        let (mut asked, mut answered) = (0, 0);
        let pipelining = async {
            let (mut from_server, mut to_server) = client.split();
            while answered < 10 << 20 {
                // It reads only when the server takes no more requests.
                tokio::select! {
                    biased;
                    written = to_server.write(&requests[asked % REQUESTS.len()..]) => asked += written.unwrap(),
                    read = from_server.read(&mut answers) => answered += read.unwrap(),
                }
            }
        };
        tokio::select! {
            closed = connection.serve() => panic!("the connection ended: {closed:?}"),
            () = pipelining => {}
        }
        assert!(!connection.output.is_empty(), "the answers have always waited");
        let capacity = connection.output.bytes.capacity();
        assert!(capacity <= 4 * LARGEST_BACKLOG, "{capacity} bytes for a backlog of {LARGEST_BACKLOG}");
    }
}
