//! The camera that misbehaves on purpose: every connection ([`Visit`]) is handed to a script, which answers requests
//! and sends pictures well or badly. Written without `retina`, so that a mistake there does not hide here.
//!
//! All these cameras run in a runtime of their own: what they cost is not taken from the cameras under test, and
//! whatever tasks a test's own runtime has are Wallcast's.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;
use tokio::time::{Instant as Timer, sleep_until};

use super::film::{Film, Rtp};
use super::sockets;

/// Where the simulated cameras run.
pub(crate) fn cameras() -> &'static Handle {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let build = || Builder::new_multi_thread().worker_threads(2).thread_name("cameras").enable_all().build();
    RUNTIME.get_or_init(|| build().expect("a runtime")).handle()
}

/// A camera at an address of its own. Dropping it closes everything.
pub(crate) struct Hostile {
    pub(crate) address: SocketAddr,
    pub(crate) journal: Arc<Journal>,
    accepting: JoinHandle<()>,
}

/// What happened at a camera, as the camera saw it.
#[derive(Default)]
pub(crate) struct Journal(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    events: Vec<Event>,
    pictures: usize,
    last_picture: Option<Instant>,
    longest_gap: Duration,
    /// The most connections that Wallcast had open to this camera at once.
    most_connections: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) at: Instant,
    pub(crate) visit: usize,
    pub(crate) what: What,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum What {
    Connected,
    /// Method and head of a request.
    Asked(String, String),
    Closed {
        /// The script was at its end; else the other end is gone, which the camera may have noticed late.
        by_camera: bool,
    },
}

impl Journal {
    fn note(&self, visit: usize, what: What) {
        self.0.lock().expect("no panic").events.push(Event { at: Instant::now(), visit, what });
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.0.lock().expect("no panic").events.clone()
    }

    pub(crate) fn times(&self, wanted: impl Fn(&What) -> bool) -> Vec<Instant> {
        self.events().iter().filter(|event| wanted(&event.what)).map(|event| event.at).collect()
    }

    /// Heads of the requests with this method.
    pub(crate) fn asked(&self, method: &str) -> Vec<String> {
        let head = |event: Event| match event.what {
            What::Asked(known, head) if known == method => Some(head),
            _ => None,
        };
        self.events().into_iter().filter_map(head).collect()
    }

    pub(crate) fn count(&self, method: &str) -> usize {
        self.asked(method).len()
    }

    pub(crate) fn visits(&self) -> usize {
        self.times(|what| *what == What::Connected).len()
    }

    pub(crate) fn pictures(&self) -> usize {
        self.0.lock().expect("no panic").pictures
    }

    fn picture_sent(&self) {
        let mut entries = self.0.lock().expect("no panic");
        let now = Instant::now();
        let gap = entries.last_picture.replace(now).map_or(Duration::ZERO, |last| now - last);
        entries.longest_gap = entries.longest_gap.max(gap);
        entries.pictures += 1;
    }

    /// The longest time between two pictures.
    pub(crate) fn longest_gap(&self) -> Duration {
        self.0.lock().expect("no panic").longest_gap
    }

    pub(crate) fn most_connections(&self) -> usize {
        self.0.lock().expect("no panic").most_connections
    }
}

impl Hostile {
    /// Every connection gets this script; an error ends the visit, as does coming to the end.
    pub(crate) async fn start<S, F>(script: S) -> Self
    where
        S: Fn(Visit) -> F + Send + Sync + 'static,
        F: Future<Output = Result<()>> + Send + 'static,
    {
        Self::start_at("127.0.0.1:0".parse().expect("an address"), script).await
    }

    pub(crate) async fn start_at<S, F>(address: SocketAddr, script: S) -> Self
    where
        S: Fn(Visit) -> F + Send + Sync + 'static,
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let bind = async move {
            let socket = TcpSocket::new_v4()?;
            // For an address that was in use before; a new one must be nobody else's.
            socket.set_reuseaddr(address.port() != 0)?;
            socket.bind(address)?;
            socket.listen(16)
        };
        let listener = cameras().spawn(bind).await.expect("no panic").expect("a port");
        let address = listener.local_addr().expect("bound");
        let journal = Arc::new(Journal::default());
        let accepting = cameras().spawn(accept(listener, script, journal.clone()));
        Self { address, journal, accepting }
    }

    /// A well-behaved camera that shows this film for ever.
    pub(crate) async fn showing(film: Film) -> Self {
        Self::start(move |mut visit| {
            let film = film.clone();
            async move {
                visit.open(&film).await?;
                visit.show_on(&film).await
            }
        })
        .await
    }

    /// With a login before the `@`, or nothing.
    pub(crate) fn url(&self, login: &str) -> String {
        format!("rtsp://{login}{}/live/left?token=QuErY-SeCrEt", self.address)
    }
}

impl Drop for Hostile {
    /// Also closes every connection: their tasks hang on this one.
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept<S, F>(listener: TcpListener, script: S, journal: Arc<Journal>)
where
    S: Fn(Visit) -> F,
    F: Future<Output = Result<()>> + Send + 'static,
{
    let own = listener.local_addr().expect("bound");
    let mut visits = tokio::task::JoinSet::new();
    for number in 0.. {
        let Ok((stream, _)) = listener.accept().await else { return };
        let _ = stream.set_nodelay(true);
        journal.note(number, What::Connected);
        let open = sockets::connected_to(own);
        let mut entries = journal.0.lock().expect("no panic");
        entries.most_connections = entries.most_connections.max(open);
        drop(entries);
        let visit = Visit::new(number, stream, journal.clone());
        let (script, journal) = (script(visit), journal.clone());
        visits.spawn(async move {
            // The script drops the connection before it is noted as closed.
            let by_camera = script.await.is_ok();
            journal.note(number, What::Closed { by_camera });
        });
    }
}

/// A hook before the well-behaved answer: what it returns is sent as it is, `None` leaves the answer to the camera.
pub(crate) type Hook = Box<dyn FnMut(&Request) -> Option<Vec<u8>> + Send>;

/// What a camera makes of a well-behaved answer.
pub(crate) type Quirk = fn(&Request, Vec<u8>) -> Vec<u8>;

/// One connection.
pub(crate) struct Visit {
    /// From 0.
    pub(crate) number: usize,
    /// Writes the RTP packets; may be changed at any time.
    pub(crate) rtp: Rtp,
    /// What is played instead of the film's own description.
    pub(crate) sdp: Option<String>,
    /// The value of the header `Session` in answers to SETUP.
    pub(crate) session: String,
    /// The value of the header `RTP-Info` in the answer to PLAY, if it has one.
    pub(crate) rtp_info: Option<String>,
    pub(crate) hook: Option<Hook>,
    /// Changes an answer of the well-behaved camera.
    pub(crate) quirk: Option<Quirk>,
    /// Where RTP and RTCP go by UDP; else they are interleaved.
    pub(crate) udp: Option<Udp>,
    pub(crate) stream: TcpStream,
    pub(crate) journal: Arc<Journal>,
    input: Vec<u8>,
    next_picture: Option<Timer>,
}

pub(crate) struct Udp {
    pub(crate) rtp: UdpSocket,
    pub(crate) rtcp: UdpSocket,
    pub(crate) client_ports: (u16, u16),
}

#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) head: String,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        super::server::header(&self.head, name)
    }

    /// An answer with this status, these header lines (each with its line end) and this body.
    pub(crate) fn answer(&self, status: &str, headers: &str, body: &str) -> Vec<u8> {
        let cseq = self.header("CSeq").unwrap_or("0");
        let length =
            if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        format!("RTSP/1.0 {status}\r\nCSeq: {cseq}\r\n{headers}{length}\r\n{body}").into_bytes()
    }
}

impl Visit {
    fn new(number: usize, stream: TcpStream, journal: Arc<Journal>) -> Self {
        Self {
            number,
            rtp: Rtp::default(),
            sdp: None,
            session: "12345678;timeout=60".into(),
            rtp_info: None,
            hook: None,
            quirk: None,
            udp: None,
            stream,
            journal,
            input: Vec::new(),
            next_picture: None,
        }
    }

    /// Answers requests until PLAY is answered.
    pub(crate) async fn open(&mut self, film: &Film) -> Result<()> {
        loop {
            if self.answer_next(film).await? == "PLAY" {
                return Ok(());
            }
        }
    }

    /// Sends so many pictures in the film's own time, answering requests in between.
    pub(crate) async fn show(&mut self, film: &Film, pictures: usize) -> Result<()> {
        for _ in 0..pictures {
            let due = self.next_picture.unwrap_or_else(Timer::now);
            self.stay_until(due, film).await?;
            self.next_picture = Some(due + film.every);
            self.send_picture(film).await?;
        }
        Ok(())
    }

    /// Shows the film for ever.
    pub(crate) async fn show_on(&mut self, film: &Film) -> Result<()> {
        self.show(film, usize::MAX).await
    }

    /// The next picture, now.
    pub(crate) async fn send_picture(&mut self, film: &Film) -> Result<()> {
        let packets = self.rtp.picture(film);
        self.send_packets(&packets).await?;
        self.journal.picture_sent();
        Ok(())
    }

    /// Answers requests and sends nothing.
    pub(crate) async fn stay(&mut self, time: Duration, film: &Film) -> Result<()> {
        self.next_picture = None;
        self.stay_until(Timer::now() + time, film).await
    }

    /// Answers requests until the other end closes the connection.
    pub(crate) async fn stay_on(&mut self, film: &Film) -> Result<()> {
        loop {
            self.answer_next(film).await?;
        }
    }

    async fn stay_until(&mut self, due: Timer, film: &Film) -> Result<()> {
        loop {
            tokio::select! {
                biased;
                () = sleep_until(due) => return Ok(()),
                request = self.request() => {
                    let request = request?;
                    self.answer(&request, film).await?;
                }
            }
        }
    }

    /// Answers the next request and says which it was.
    pub(crate) async fn answer_next(&mut self, film: &Film) -> Result<String> {
        let request = self.request().await?;
        self.answer(&request, film).await?;
        Ok(request.method)
    }

    pub(crate) async fn send_packets(&mut self, packets: &[Vec<u8>]) -> Result<()> {
        if let Some(udp) = &self.udp {
            for packet in packets {
                // A viewer that is gone answers with ICMP, which is no news here.
                let _ = udp.rtp.send_to(packet, ("127.0.0.1", udp.client_ports.0)).await;
            }
            return Ok(());
        }
        let channel = self.rtp.channel;
        let bytes: Vec<u8> = packets.iter().flat_map(|packet| interleaved(channel, packet)).collect();
        self.stream.write_all(&bytes).await
    }

    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).await
    }

    /// RST instead of FIN, by closing without lingering.
    pub(crate) fn reset(self) -> Result<()> {
        self.stream.set_zero_linger()
    }

    /// Reads the next request; what the client sends interleaved (RTCP) is skipped. Cancel safe.
    pub(crate) async fn request(&mut self) -> Result<Request> {
        loop {
            if self.input.len() >= 4 && self.input[0] == b'$' {
                let end = 4 + usize::from(u16::from_be_bytes([self.input[2], self.input[3]]));
                if self.input.len() >= end {
                    self.input.drain(..end);
                    continue;
                }
            } else if let Some(end) = self.input.windows(4).position(|window| window == b"\r\n\r\n") {
                let head: Vec<u8> = self.input.drain(..end + 4).collect();
                let head = String::from_utf8_lossy(&head).into_owned();
                let mut words = head.split(' ');
                let mut word = || words.next().unwrap_or_default().to_owned();
                let request = Request { method: word(), url: word(), head };
                let asked = What::Asked(request.method.clone(), request.head.clone());
                self.journal.note(self.number, asked);
                return Ok(request);
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk).await? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                read => self.input.extend_from_slice(&chunk[..read]),
            }
        }
    }

    /// As a well-behaved camera does, if the hook does not object. TEARDOWN ends the visit.
    pub(crate) async fn answer(&mut self, request: &Request, film: &Film) -> Result<()> {
        let hooked = self.hook.as_mut().and_then(|hook| hook(request));
        let refused = hooked.is_some();
        let answer = match hooked {
            Some(bytes) => bytes,
            None => {
                let answer = self.well_behaved(request, film).await?;
                match self.quirk {
                    Some(quirk) => quirk(request, answer),
                    None => answer,
                }
            }
        };
        self.stream.write_all(&answer).await?;
        match request.method.as_str() {
            "TEARDOWN" if !refused => Err(Error::new(ErrorKind::ConnectionAborted, "torn down")),
            _ => Ok(()),
        }
    }

    async fn well_behaved(&mut self, request: &Request, film: &Film) -> Result<Vec<u8>> {
        let session_id = self.session.split(';').next().unwrap_or_default().to_owned();
        Ok(match request.method.as_str() {
            "DESCRIBE" => {
                let sdp = self.sdp.clone().unwrap_or_else(|| film.sdp());
                let headers = format!("Content-Base: {}/\r\nContent-Type: application/sdp\r\n", request.url);
                request.answer("200 OK", &headers, &sdp)
            }
            "SETUP" => {
                let transport = self.set_up(request.header("Transport").unwrap_or_default()).await?;
                let session = &self.session;
                request.answer("200 OK", &format!("Session: {session}\r\nTransport: {transport}\r\n"), "")
            }
            "PLAY" => {
                let info =
                    self.rtp_info.as_ref().map_or_else(String::new, |info| format!("RTP-Info: {info}\r\n"));
                let headers = format!("Session: {session_id}\r\nRange: npt=now-\r\n{info}");
                request.answer("200 OK", &headers, "")
            }
            "OPTIONS" => {
                let public = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER\r\n";
                request.answer("200 OK", public, "")
            }
            _ => request.answer("200 OK", &format!("Session: {session_id}\r\n"), ""),
        })
    }

    /// Does what the header `Transport` asks for and returns the one of the answer.
    async fn set_up(&mut self, asked: &str) -> Result<String> {
        let Some((_, ports)) = asked.split_once("client_port=") else {
            self.udp = None;
            return Ok(asked.to_owned());
        };
        let ports = ports.split(';').next().unwrap_or_default();
        let port = |text: &str| text.trim().parse::<u16>().map_err(|_| Error::from(ErrorKind::InvalidData));
        let client_ports = match ports.split_once('-') {
            Some((rtp, rtcp)) => (port(rtp)?, port(rtcp)?),
            None => (port(ports)?, port(ports)?.saturating_add(1)),
        };
        let udp = Udp {
            rtp: UdpSocket::bind("127.0.0.1:0").await?,
            rtcp: UdpSocket::bind("127.0.0.1:0").await?,
            client_ports,
        };
        let own = (udp.rtp.local_addr()?.port(), udp.rtcp.local_addr()?.port());
        self.udp = Some(udp);
        Ok(format!("RTP/AVP;unicast;client_port={ports};server_port={}-{}", own.0, own.1))
    }
}

/// RFC 2326 section 10.12.
pub(crate) fn interleaved(channel: u8, packet: &[u8]) -> Vec<u8> {
    [&[b'$', channel][..], &(packet.len() as u16).to_be_bytes(), packet].concat()
}
