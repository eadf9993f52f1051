//! A bare RTSP client that says exactly what a test tells it to, and access units to send it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use rtsp_types::{Message, ParseError};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use wallcast::{
    auth::{Auth, Authenticator},
    rtsp::{Limits, Mount, Mounts, RtspServer},
};

/// A server with one mount, `wall`.
pub(crate) struct Fixture {
    pub(crate) server: RtspServer,
    pub(crate) mounts: Arc<Mounts>,
    pub(crate) wall: Arc<Mount>,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with(Auth::Open, Limits::default())
    }

    pub(crate) fn with(auth: Auth, limits: Limits) -> Self {
        let mounts = Mounts::new();
        let wall = Mount::with_frame_rate("wall", 25.0, Box::new(|| ()));
        mounts.add(Arc::clone(&wall)).unwrap();
        let (address, authenticator) = ("127.0.0.1:0".parse().unwrap(), Arc::new(Authenticator::new(auth)));
        let server = RtspServer::bind_with(address, Arc::clone(&mounts), authenticator, limits).unwrap();
        Self { server, mounts, wall }
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.server.local_addr()).await
    }

    /// Pushes a key frame and then others, every few milliseconds, as long as it is held.
    pub(crate) fn stream(&self) -> Streaming {
        let wall = Arc::clone(&self.wall);
        Streaming(tokio::spawn(async move {
            for frame in 0_u32.. {
                if wall.is_wanted() {
                    wall.push(
                        &access_unit(frame, frame.is_multiple_of(10), 3000),
                        frame.is_multiple_of(10),
                        frame * 3600,
                    );
                }
                tokio::time::sleep(Duration::from_millis(4)).await;
            }
        }))
    }
}

pub(crate) struct Streaming(tokio::task::JoinHandle<()>);

impl Drop for Streaming {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An access unit that no decoder would like, but whose NAL units are well-formed and carry `frame`.
pub(crate) fn access_unit(frame: u32, key: bool, length: usize) -> Bytes {
    let mut unit = Vec::new();
    if key {
        unit.extend_from_slice(b"\0\0\0\x01\x67\x42\xc0\x28\xaa\0\0\0\x01\x68\xce\x01");
    }
    unit.extend_from_slice(if key { b"\0\0\0\x01\x65" } else { b"\0\0\0\x01\x41" });
    unit.extend(frame.to_be_bytes().map(|byte| byte | 0x80));
    unit.resize(unit.len() + length, 0xab);
    unit.into()
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(key, _)| *key == name)
            .map(|(_, v)| v)
    }

    /// The session's identifier, without its timeout.
    pub(crate) fn session(&self) -> String {
        self.header("Session").unwrap().split(';').next().unwrap().to_owned()
    }
}

pub(crate) struct Client {
    socket: TcpStream,
    input: Vec<u8>,
    cseq: u32,
    pub(crate) base: String,
    /// Interleaved packets that came while an answer was waited for.
    pub(crate) packets: Vec<(u8, Vec<u8>)>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).await.unwrap();
        Self { socket, input: vec![], cseq: 0, base: format!("rtsp://{address}"), packets: vec![] }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.unwrap();
    }

    /// Sends a request for `path`, with header lines, and waits for its answer.
    pub(crate) async fn ask(&mut self, method: &str, path: &str, headers: &[&str]) -> Answer {
        self.cseq += 1;
        let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        let request = format!("{method} {}{path} RTSP/1.0\r\nCSeq: {}\r\n{lines}\r\n", self.base, self.cseq);
        self.send(request.as_bytes()).await;
        let answer = self.answer().await.expect("an answer");
        assert_eq!(answer.header("CSeq"), Some(self.cseq.to_string().as_str()), "{answer:?}");
        answer
    }

    /// Asks for the methods; `false` when the server has closed the connection.
    pub(crate) async fn options(&mut self) -> bool {
        let sent = self.socket.write_all(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n").await;
        sent.is_ok() && self.answer().await.is_some()
    }

    /// DESCRIBE aside, everything up to a playing interleaved session; its identifier.
    pub(crate) async fn play_tcp(&mut self) -> String {
        let setup =
            self.ask("SETUP", "/wall/trackID=0", &["Transport: RTP/AVP/TCP;unicast;interleaved=0-1"]).await;
        assert_eq!(setup.status, 200, "{setup:?}");
        let id = setup.session();
        let play = self.ask("PLAY", "/wall/", &[&format!("Session: {id}")]).await;
        assert_eq!(play.status, 200, "{play:?}");
        id
    }

    /// The next answer; `None` when the server has closed the connection.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        loop {
            match Message::<Vec<u8>>::parse(&self.input) {
                Ok((message, length)) => {
                    let raw: Vec<u8> = self.input.drain(..length).collect();
                    match message {
                        Message::Response(response) => {
                            let body = String::from_utf8(response.body().clone()).unwrap();
                            let head = String::from_utf8(raw[..raw.len() - body.len()].to_vec()).unwrap();
                            return Some(Answer { status: response.status().into(), head, body });
                        }
                        Message::Data(data) => self.packets.push((data.channel_id(), data.into_body())),
                        Message::Request(request) => panic!("the server asked: {request:?}"),
                    }
                }
                Err(ParseError::Incomplete(_)) => {
                    if !self.read().await {
                        return None;
                    }
                }
                Err(ParseError::Error) => panic!("not RTSP: {:?}", String::from_utf8_lossy(&self.input)),
            }
        }
    }

    /// The next interleaved packet.
    pub(crate) async fn packet(&mut self) -> (u8, Vec<u8>) {
        loop {
            if !self.packets.is_empty() {
                return self.packets.remove(0);
            }
            match Message::<Vec<u8>>::parse(&self.input) {
                Ok((Message::Data(data), length)) => {
                    self.input.drain(..length);
                    return (data.channel_id(), data.into_body());
                }
                Ok((other, _)) => panic!("expected a packet, found {other:?}"),
                Err(ParseError::Incomplete(_)) => assert!(self.read().await, "closed"),
                Err(ParseError::Error) => panic!("not RTSP"),
            }
        }
    }

    /// The next RTP packet: sequence number, marker, RTP time, SSRC and payload.
    pub(crate) async fn rtp(&mut self) -> Rtp {
        loop {
            let (channel, packet) = self.packet().await;
            if channel == 0 {
                return Rtp::parse(&packet);
            }
        }
    }

    /// Until the server closes; what it had still to say is dropped.
    pub(crate) async fn closed(&mut self) {
        timeout(Duration::from_secs(15), async { while self.read().await {} })
            .await
            .expect("the connection to close");
    }

    async fn read(&mut self) -> bool {
        let read = timeout(Duration::from_secs(10), self.socket.read_buf(&mut self.input));
        matches!(read.await.expect("something to read within 10 s"), Ok(length) if length > 0)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Rtp {
    pub(crate) marker: bool,
    pub(crate) sequence: u16,
    pub(crate) time: u32,
    pub(crate) ssrc: u32,
    pub(crate) payload: Vec<u8>,
}

impl Rtp {
    pub(crate) fn parse(packet: &[u8]) -> Self {
        assert_eq!((packet[0], packet[1] & 0x7f), (0x80, 96), "{packet:?}");
        let number = |range: std::ops::Range<usize>| u32::from_be_bytes(packet[range].try_into().unwrap());
        Self {
            marker: packet[1] & 0x80 != 0,
            sequence: u16::from_be_bytes(packet[2..4].try_into().unwrap()),
            time: number(4..8),
            ssrc: number(8..12),
            payload: packet[12..].to_vec(),
        }
    }

    /// STAP-A with parameter sets: the beginning of a key frame.
    pub(crate) fn is_key_start(&self) -> bool {
        self.payload[0] & 0x1f == 24
    }
}
