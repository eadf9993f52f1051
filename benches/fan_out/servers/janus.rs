//! Janus with its streaming plugin (Debian: `apt-get install janus`): it is sent the film by RTP and makes the offers.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rtc_rtp::codec::h264::H264Payloader;
use rtc_rtp::packetizer::Payloader;
use serde_json::{Value, json};

use super::{MAX_PAYLOAD, Server, on_the_servers_core};
use crate::fan_out::film::Film;
use crate::fan_out::viewers::{Admission, Door, H264, Introduction, Terms};

const START_TIMEOUT: Duration = Duration::from_secs(10);
const MOUNTPOINT: u32 = 1;

pub(super) fn start(film: &Path, hold: Duration) -> anyhow::Result<Server> {
    let folder = std::env::temp_dir().join(format!("wallcast-janus-{}", std::process::id()));
    let (http, rtp) = (free_tcp_port()?, free_udp_port()?);
    configure(&folder, http, rtp)?;
    let mut command = Command::new("janus");
    command.arg("--configs-folder").arg(&folder).args(["--debug-level=2", "--disable-colors"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = on_the_servers_core(|| command.spawn())?.context("no command janus")?;
    let mut server = Server { child, door: Box::new(super::whep::Whep::new("")), _player: None };
    let gateway =
        Gateway { url: format!("http://127.0.0.1:{http}/janus"), agent: ureq::Agent::new_with_defaults() };
    let began = Instant::now();
    let session = loop {
        match gateway.ask("", json!({"janus": "create"})) {
            Ok(answer) => break answer["data"]["id"].as_u64().context("no session")?,
            Err(error) if began.elapsed() > START_TIMEOUT => return Err(error),
            Err(_) => sleep(Duration::from_millis(100)),
        }
    };
    server.door = Box::new(Session { gateway, session, home: address_of_this_machine()? });
    server._player = Some(Player::start(Film::read(film)?, hold, rtp)?);
    Ok(server)
}

/// Sends the film to Janus from this process, whose CPU is nobody's but the benchmark's.
pub(super) struct Player {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Player {
    fn start(film: Film, hold: Duration, port: u16) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect((Ipv4Addr::LOCALHOST, port))?;
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let thread = std::thread::Builder::new().name("film".to_owned()).spawn(move || {
            let (mut payloader, mut sequence_number) = (H264Payloader::default(), 0u16);
            film.play_until(&over, hold, &AtomicBool::new(false), |frame| {
                let payloads = payloader.payload(MAX_PAYLOAD, &frame.annex_b).unwrap_or_default();
                for (index, payload) in payloads.iter().enumerate() {
                    let marker = u8::from(index + 1 == payloads.len()) << 7;
                    let mut packet = vec![0x80, marker | H264];
                    packet.extend_from_slice(&sequence_number.to_be_bytes());
                    packet.extend_from_slice(&frame.rtp_time.to_be_bytes());
                    packet.extend_from_slice(&[0, 0, 0, 1]);
                    packet.extend_from_slice(payload);
                    sequence_number = sequence_number.wrapping_add(1);
                    // Whoever counts notices when Janus is gone.
                    let _ = socket.send(&packet);
                }
            });
        })?;
        Ok(Self { is_over, thread: Some(thread) })
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join);
    }
}

/// Janus' HTTP API.
struct Gateway {
    url: String,
    agent: ureq::Agent,
}

impl Gateway {
    fn ask(&self, path: &str, mut message: Value) -> anyhow::Result<Value> {
        message["transaction"] = json!(format!("{:x}", rand::random::<u64>()));
        let request =
            self.agent.post(format!("{}{path}", self.url)).header("Content-Type", "application/json");
        let answer: Value =
            serde_json::from_str(&request.send(message.to_string())?.body_mut().read_to_string()?)?;
        if answer["janus"] == "error" {
            bail!("Janus says {answer} to {message}");
        }
        Ok(answer)
    }

    /// Waits for the next event of a session.
    fn event(&self, session: u64) -> anyhow::Result<Value> {
        let url = format!("{}/{session}?maxev=1", self.url);
        Ok(serde_json::from_str(&self.agent.get(url).call()?.body_mut().read_to_string()?)?)
    }
}

/// The door: a handle for each viewer.
struct Session {
    gateway: Gateway,
    session: u64,
    home: Ipv4Addr,
}

impl Door for Session {
    /// Janus has no candidate on loopback, and what it sends there from another address does not arrive.
    fn home(&self) -> Ipv4Addr {
        self.home
    }

    fn enter(&mut self, viewer: &Introduction) -> anyhow::Result<Admission> {
        let session = format!("/{}", self.session);
        let attach = json!({"janus": "attach", "plugin": "janus.plugin.streaming"});
        let handle = self.gateway.ask(&session, attach)?["data"]["id"].as_u64().context("no handle")?;
        let path = format!("{session}/{handle}");
        let watch = json!({"janus": "message", "body": {"request": "watch", "id": MOUNTPOINT}});
        self.gateway.ask(&path, watch)?;
        let offer = loop {
            let event = self.gateway.event(self.session)?;
            if event["sender"] != json!(handle) {
                continue;
            }
            if let Some(offer) = event["jsep"]["sdp"].as_str() {
                break offer.to_owned();
            }
            if !event["plugindata"]["data"]["error"].is_null() {
                bail!("Janus says {event}");
            }
        };
        let terms = Terms::read(&offer, false)?;
        let jsep = json!({"type": "answer", "sdp": viewer.answer(&terms)});
        self.gateway.ask(&path, json!({"janus": "message", "body": {"request": "start"}, "jsep": jsep}))?;
        Ok(Admission::WebRtc(terms))
    }
}

fn configure(folder: &PathBuf, http: u16, rtp: u16) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    let general = "general: {\n session_timeout = 0\n}\nplugins: {\n disable = \"libjanus_audiobridge.so,libjanus_duktape.so,\
        libjanus_echotest.so,libjanus_lua.so,libjanus_nosip.so,libjanus_recordplay.so,libjanus_sip.so,libjanus_textroom.so,\
        libjanus_videocall.so,libjanus_videoroom.so\"\n}\ntransports: {\n disable = \"libjanus_mqtt.so,libjanus_nanomsg.so,\
        libjanus_pfunix.so,libjanus_rabbitmq.so,libjanus_websockets.so\"\n}\n";
    std::fs::write(folder.join("janus.jcfg"), general)?;
    let transport =
        format!("general: {{\n json = \"compact\"\n http = true\n port = {http}\n ip = \"127.0.0.1\"\n}}\n");
    std::fs::write(folder.join("janus.transport.http.jcfg"), transport)?;
    let mountpoint = format!(
        "film: {{\n type = \"rtp\"\n id = {MOUNTPOINT}\n audio = false\n video = true\n videoport = {rtp}\n videopt = {H264}\n \
         videocodec = \"h264\"\n videofmtp = \"profile-level-id=42e01f;packetization-mode=1\"\n}}\n"
    );
    Ok(std::fs::write(folder.join("janus.plugin.streaming.jcfg"), mountpoint)?)
}

/// The one that would be used to reach a network far away; nothing is sent.
fn address_of_this_machine() -> anyhow::Result<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect((Ipv4Addr::new(198, 51, 100, 1), 9))?;
    match socket.local_addr()? {
        SocketAddr::V4(address) => Ok(*address.ip()),
        SocketAddr::V6(address) => bail!("found {address}, expected an address by IPv4"),
    }
}

fn free_tcp_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn free_udp_port() -> anyhow::Result<u16> {
    Ok(UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?.local_addr()?.port())
}
