//! A scripted RTSP server (RFC 2326): what it answers is up to the test. Written without `retina`, so that a mistake
//! there does not hide here.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinHandle;

use super::annexb;

/// What one connection is treated to.
#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) stream: Stream,
    /// Base64 of `user:password`, asked for with Basic authentication.
    pub(crate) basic_login: Option<&'static str>,
    pub(crate) answer: Answer,
    pub(crate) after: After,
}

/// How DESCRIBE is answered.
#[derive(Clone)]
pub(crate) enum Answer {
    /// As it should be.
    Properly,
    /// With these bytes, whatever was asked; then the connection stays open.
    Raw(&'static str),
    /// With this status line and no body.
    Status(&'static str),
    /// With this SDP.
    Sdp(&'static str),
    /// Not at all: the connection is closed.
    Close,
}

/// What happens when the pictures are through.
#[derive(Debug, Clone, Copy)]
pub(crate) enum After {
    /// From the beginning, for ever.
    Loop,
    Close,
    /// Closed in the middle of a message.
    HalfAMessage,
    /// Closed in the middle of interleaved data.
    HalfAPacket,
    /// RST instead of FIN.
    Reset,
    /// The connection stays, requests are answered, nothing is sent any more.
    Silence,
    /// Bytes that are neither RTSP nor interleaved data, as when the head of a packet is lost.
    Garbage,
}

#[derive(Clone, Copy)]
pub(crate) struct Stream {
    pub(crate) bytes: &'static [u8],
    pub(crate) is_h265: bool,
    /// Where the parameter sets are.
    pub(crate) parameters: Parameters,
    /// Milliseconds between pictures.
    pub(crate) every_ms: u64,
    /// The picture to begin with.
    pub(crate) first: usize,
    /// Put an RTP packet that makes no sense before every picture.
    pub(crate) bad_packets: bool,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Parameters {
    InBand,
    InSdp,
}

pub(crate) const H264: Stream = Stream {
    bytes: include_bytes!("../fixtures/baseline.h264"),
    is_h265: false,
    parameters: Parameters::InBand,
    every_ms: 20,
    first: 0,
    bad_packets: false,
};
pub(crate) const H265: Stream = Stream {
    bytes: include_bytes!("../fixtures/plain.h265"),
    is_h265: true,
    parameters: Parameters::InBand,
    every_ms: 20,
    first: 0,
    bad_packets: false,
};

impl Script {
    pub(crate) fn playing(stream: Stream) -> Self {
        Self { stream, basic_login: None, answer: Answer::Properly, after: After::Loop }
    }

    pub(crate) fn answering(answer: Answer) -> Self {
        Self { answer, ..Self::playing(H264) }
    }

    pub(crate) fn then(self, after: After) -> Self {
        Self { after, ..self }
    }

    pub(crate) fn with_login(self, basic_login: &'static str) -> Self {
        Self { basic_login: Some(basic_login), ..self }
    }
}

/// Serves the first connection by the first script and so on; the last script is for all that follow.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    log: Log,
    accepting: JoinHandle<()>,
}

type Log = Arc<Mutex<Vec<(Instant, String)>>>;

impl Server {
    pub(crate) async fn start(scripts: Vec<Script>) -> Self {
        Self::start_at("127.0.0.1:0".parse().expect("an address"), scripts).await
    }

    pub(crate) async fn start_at(address: SocketAddr, scripts: Vec<Script>) -> Self {
        let listener = TcpListener::bind(address).await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let log = Log::default();
        let accepting = tokio::spawn(accept(listener, scripts, log.clone()));
        Self { address, log, accepting }
    }

    pub(crate) fn url(&self, login: &str) -> String {
        format!("rtsp://{login}{}/live/left?token=QuErY-SeCrEt", self.address)
    }

    /// When a request of this method came, and for `CONNECT` when a connection did.
    pub(crate) fn times(&self, method: &str) -> Vec<Instant> {
        let log = self.log.lock().expect("no panic");
        log.iter().filter(|(_, known)| known == method).map(|(at, _)| *at).collect()
    }

    pub(crate) fn count(&self, method: &str) -> usize {
        self.times(method).len()
    }
}

impl Drop for Server {
    /// Also closes every connection: their tasks hang on this one.
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, scripts: Vec<Script>, log: Log) {
    let mut connections = tokio::task::JoinSet::new();
    for number in 0.. {
        let Ok((connection, _)) = listener.accept().await else { return };
        note(&log, "CONNECT");
        let script = scripts[number.min(scripts.len() - 1)].clone();
        let log = log.clone();
        connections.spawn(async move {
            // Ends with an error when the client is gone.
            let _ = serve(connection, script, log).await;
        });
    }
}

fn note(log: &Log, what: &str) {
    log.lock().expect("no panic").push((Instant::now(), what.to_owned()));
}

enum Path {
    Interleaved,
    Udp(UdpSocket),
}

async fn serve(mut connection: TcpStream, script: Script, log: Log) -> std::io::Result<()> {
    // Else a picture waits for the acknowledgement of the one before, and a reset discards it.
    connection.set_nodelay(true)?;
    let mut path = Path::Interleaved;
    let mut player: Option<Player> = None;
    let mut input = Vec::new();
    loop {
        let request = tokio::select! {
            request = request(&mut connection, &mut input) => request?,
            () = tokio::time::sleep(Duration::from_millis(script.stream.every_ms)), if player.is_some() => {
                let player = player.as_mut().expect("checked");
                match player.next_packets(script.after) {
                    Some(packets) => send(&mut connection, &path, packets).await?,
                    None if matches!(script.after, After::Close) => return Ok(()),
                    None if matches!(script.after, After::HalfAMessage) => {
                        return connection.write_all(b"RTSP/1.0 20").await;
                    }
                    None if matches!(script.after, After::HalfAPacket) => {
                        return connection.write_all(&[b'$', 0, 1, 0, 0x80]).await;
                    }
                    None if matches!(script.after, After::Reset) => return connection.set_zero_linger(),
                    None if matches!(script.after, After::Garbage) => connection.write_all(&[0x80, 0x60, 0xff, 0x01].repeat(16)).await?,
                    None => {}
                }
                continue;
            }
        };
        let method = request.split(' ').next().unwrap_or_default().to_owned();
        note(&log, &method);
        let cseq = header(&request, "CSeq").unwrap_or("0").to_owned();
        let reply = |status: &str, rest: String| format!("RTSP/1.0 {status}\r\nCSeq: {cseq}\r\n{rest}\r\n");
        let answer = match (method.as_str(), &script.answer) {
            (_, Answer::Raw(bytes)) => (*bytes).to_owned(),
            (_, Answer::Close) => return Ok(()),
            ("DESCRIBE", Answer::Status(status)) => {
                reply(status, "\r\n".into()).replace("\r\n\r\n\r\n", "\r\n\r\n")
            }
            _ if script.basic_login.is_some_and(|login| {
                header(&request, "Authorization") != Some(format!("Basic {login}").as_str())
            }) =>
            {
                reply("401 Unauthorized", "WWW-Authenticate: Basic realm=\"camera\"\r\n".into())
            }
            ("DESCRIBE", answer) => {
                let sdp = match answer {
                    Answer::Sdp(sdp) => (*sdp).to_owned(),
                    _ => sdp(&script.stream),
                };
                let head = format!("Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n", sdp.len());
                reply("200 OK", head).trim_end().to_owned() + "\r\n\r\n" + &sdp
            }
            ("SETUP", _) => {
                let asked = header(&request, "Transport").unwrap_or_default().to_owned();
                let transport = match asked.split_once("client_port=") {
                    Some((_, ports)) => {
                        let port: u16 = ports.split('-').next().and_then(|p| p.parse().ok()).expect("a port");
                        let socket = UdpSocket::bind("127.0.0.1:0").await?;
                        socket.connect(("127.0.0.1", port)).await?;
                        let own = socket.local_addr()?.port();
                        path = Path::Udp(socket);
                        format!("{asked};server_port={own}-{}", own.wrapping_add(1))
                    }
                    None => asked,
                };
                reply("200 OK", format!("Session: 12345678;timeout=60\r\nTransport: {transport}\r\n"))
            }
            ("PLAY", _) => {
                player = Some(Player::new(script.stream));
                reply("200 OK", "Session: 12345678\r\nRange: npt=now-\r\n".into())
            }
            ("TEARDOWN", _) => {
                connection.write_all(reply("200 OK", String::new()).as_bytes()).await?;
                return Ok(());
            }
            _ => {
                reply("200 OK", "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER\r\n".into())
            }
        };
        connection.write_all(answer.as_bytes()).await?;
    }
}

/// Head of the next request; what the client sends interleaved (RTCP) is skipped. Cancel safe: `input` keeps the rest.
async fn request(connection: &mut TcpStream, input: &mut Vec<u8>) -> std::io::Result<String> {
    loop {
        if input.len() >= 4 && input[0] == b'$' {
            let end = 4 + usize::from(u16::from_be_bytes([input[2], input[3]]));
            if input.len() >= end {
                input.drain(..end);
                continue;
            }
        } else if let Some(end) = input.windows(4).position(|window| window == b"\r\n\r\n") {
            return Ok(String::from_utf8_lossy(&input.drain(..end + 4).collect::<Vec<_>>()).into_owned());
        }
        let mut chunk = [0; 2048];
        match connection.read(&mut chunk).await? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => input.extend_from_slice(&chunk[..read]),
        }
    }
}

pub(crate) fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    let lines = request.lines().filter_map(|line| line.split_once(':'));
    lines.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

async fn send(connection: &mut TcpStream, path: &Path, packets: Vec<Vec<u8>>) -> std::io::Result<()> {
    for packet in packets {
        match path {
            Path::Interleaved => {
                let head = [&[b'$', 0][..], &(packet.len() as u16).to_be_bytes()].concat();
                connection.write_all(&[head, packet].concat()).await?;
            }
            Path::Udp(socket) => {
                let _ = socket.send(&packet).await;
            }
        }
    }
    Ok(())
}

fn sdp(stream: &Stream) -> String {
    let (name, number) = if stream.is_h265 { ("H265", 97) } else { ("H264", 96) };
    let parameters = match (stream.parameters, stream.is_h265) {
        (Parameters::InBand, false) => ";packetization-mode=1".to_owned(),
        (Parameters::InBand, true) => String::new(),
        (Parameters::InSdp, false) => format!(
            ";packetization-mode=1;sprop-parameter-sets={},{}",
            parameter_set(stream, 7),
            parameter_set(stream, 8)
        ),
        (Parameters::InSdp, true) => format!(
            ";sprop-vps={};sprop-sps={};sprop-pps={}",
            parameter_set(stream, 32),
            parameter_set(stream, 33),
            parameter_set(stream, 34)
        ),
    };
    let fmtp = match parameters.strip_prefix(';') {
        Some(parameters) => format!("a=fmtp:{number} {parameters}\r\n"),
        None => String::new(),
    };
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=camera\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\na=control:*\r\n\
         m=video 0 RTP/AVP {number}\r\na=rtpmap:{number} {name}/90000\r\n{fmtp}a=control:track1\r\n"
    )
}

fn parameter_set(stream: &Stream, nal_type: u8) -> String {
    let units = annexb::access_units(stream.bytes, stream.is_h265);
    let nals = units.iter().flatten();
    let set = nals
        .into_iter()
        .find(|nal| annexb::nal_type(nal, stream.is_h265) == nal_type)
        .expect("in the fixture");
    base64(set)
}

/// Cuts the fixture's pictures into RTP packets (RFC 6184, RFC 7798).
struct Player {
    stream: Stream,
    units: Vec<Vec<&'static [u8]>>,
    sent: usize,
    sequence: u16,
}

impl Player {
    fn new(stream: Stream) -> Self {
        let is_parameter_set = |nal: &&[u8]| {
            let nal_type = annexb::nal_type(nal, stream.is_h265);
            if stream.is_h265 { (32..=34).contains(&nal_type) } else { (7..=8).contains(&nal_type) }
        };
        let mut units = annexb::access_units(stream.bytes, stream.is_h265);
        if stream.parameters == Parameters::InSdp {
            units.iter_mut().for_each(|unit| unit.retain(|nal| !is_parameter_set(nal)));
        }
        Self { stream, units, sent: stream.first, sequence: 65_500 }
    }

    /// The next picture; `None` after the last one.
    fn next_packets(&mut self, after: After) -> Option<Vec<Vec<u8>>> {
        if self.sent == self.units.len() && !matches!(after, After::Loop) {
            return None;
        }
        let unit = self.units[self.sent % self.units.len()].clone();
        let time = (self.sent as u32).wrapping_mul(3_600);
        self.sent += 1;
        // NAL unit type 30 of RFC 6184 is not defined.
        let bad =
            if self.stream.bad_packets { Some(self.packet(time, true, &[0x7e, 1, 2, 3])) } else { None };
        let is_h265 = self.stream.is_h265;
        let payloads: Vec<Vec<u8>> = unit.iter().flat_map(|nal| payloads(nal, is_h265)).collect();
        let last = payloads.len() - 1;
        let good =
            payloads.into_iter().enumerate().map(|(i, payload)| self.packet(time, i == last, &payload));
        Some(bad.into_iter().chain(good).collect())
    }

    fn packet(&mut self, time: u32, mark: bool, payload: &[u8]) -> Vec<u8> {
        let payload_type = if self.stream.is_h265 { 97 } else { 96 };
        self.sequence = self.sequence.wrapping_add(1);
        let mut packet = vec![0x80, u8::from(mark) << 7 | payload_type];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(time.to_be_bytes());
        packet.extend(0xcafe_0001_u32.to_be_bytes());
        packet.extend(payload);
        packet
    }
}

const PAYLOAD: usize = 1_200;

/// The RTP payloads of one NAL unit: as it is, or cut into fragments (FU-A of RFC 6184, FU of RFC 7798).
pub(crate) fn payloads(nal: &[u8], is_h265: bool) -> Vec<Vec<u8>> {
    if nal.len() <= PAYLOAD {
        return vec![nal.to_vec()];
    }
    let (head, body) = nal.split_at(if is_h265 { 2 } else { 1 });
    let chunks = body.chunks(PAYLOAD).count();
    let fragment = |(i, chunk): (usize, &[u8])| {
        let ends = u8::from(i == 0) << 7 | u8::from(i == chunks - 1) << 6;
        let indicator = match is_h265 {
            true => vec![head[0] & 0x81 | 49 << 1, head[1], ends | (head[0] >> 1 & 0x3f)],
            false => vec![head[0] & 0xe0 | 28, ends | (head[0] & 0x1f)],
        };
        [&indicator, chunk].concat()
    };
    body.chunks(PAYLOAD).enumerate().map(fragment).collect()
}

/// RFC 4648, for parameter sets in the SDP.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let encode =
        |chunk: &[u8]| {
            let bits =
                chunk.iter().fold(0u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
            (0..4)
                .map(move |i| {
                    if i <= chunk.len() {
                        ALPHABET[(bits >> (18 - 6 * i) & 63) as usize] as char
                    } else {
                        '='
                    }
                })
                .collect::<String>()
        };
    bytes.chunks(3).map(encode).collect()
}
