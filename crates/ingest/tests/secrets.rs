//! A camera's password and query appear nowhere: not in what is logged at any level, not in reasons, not in figures.
#![allow(clippy::unwrap_used, unreachable_pub, reason = "tests")]

#[allow(dead_code, reason = "each test program uses a part of it")]
#[path = "support/annexb.rs"]
mod annexb;
#[allow(dead_code, reason = "each test program uses a part of it")]
#[path = "support/server.rs"]
mod server;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use server::{After, Answer, H264, Script, Server};
use tokio::runtime::Handle;
use tracing_subscriber::fmt::MakeWriter;
use wallcast_ingest::{Camera, CameraConfig, QUIET_LOG_TARGETS, SourceUrl, TileSize};

/// Everything that any crate logs, through `tracing` or `log`, at every level.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Captured {
    type Writer = Self;
    fn make_writer(&self) -> Self {
        self.clone()
    }
}

const PASSWORD: [&str; 3] = ["pa%20ss%2Fw@rd", "pa%20ss%2Fw%40rd", "pa ss/w@rd"];
/// `admin:pa ss/w@rd`
const BASIC_LOGIN: &str = "YWRtaW46cGEgc3Mvd0ByZA==";
const QUERY: &str = "QuErY-SeCrEt";
const LONG_NAME: &str = "written-by-the-camera";
/// In the path, where recorders have it.
const WRITTEN: &str = "user=admin_password=QuErY-SeCrEt";
/// The answer to DESCRIBE of somebody who has nothing to describe, and says so with the address.
const BAD_BASE: &str = "RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Base: rtsp://127.0.0.1/x?token=QuErY-SeCrEt\r\n\
    Content-Type: application/sdp\r\nContent-Length: 28\r\n\r\nv=0\r\na=control:rtsp://[/?t\r\n";

fn redirect(to: String) -> Script {
    let answer = format!("RTSP/1.0 302 Found\r\nCSeq: 1\r\nLocation: {to}\r\n\r\n");
    Script::answering(Answer::Raw(answer.leak()))
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_is_logged_or_told() {
    let captured = Captured::default();
    // This also bridges the `log` crate.
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(captured.clone())
        .with_ansi(false)
        .init();
    log::trace!(target: "retina", "the bridge from log works");

    let mut told = String::new();
    let bad_base = Server::start(vec![Script::answering(Answer::Raw(BAD_BASE))]).await;
    let scripts = [
        Script::playing(H264).with_login(BASIC_LOGIN),
        Script::playing(H264).with_login(BASIC_LOGIN).then(After::Close),
        Script::answering(Answer::Status("404 Not Found")),
        // Cameras that repeat what they were asked.
        Script::answering(Answer::Raw("HTTP/1.1 404 /live?token=QuErY-SeCrEt admin:pa%20ss%2Fw@rd\r\n\r\n")),
        Script::answering(Answer::Raw("RTSP/1.0 200 OK\r\nCSeq: 99\r\nX: QuErY-SeCrEt pa ss/w@rd\r\n\r\n")),
        Script::answering(Answer::Sdp(
            "v=0\r\na=control:rtsp://admin:pa%20ss%2Fw@rd@x/?token=QuErY-SeCrEt\r\n",
        )),
        Script::answering(Answer::Close),
        // To a place of whose address `retina` learns more than it can make use of.
        redirect(format!("rtsp://{}/{WRITTEN}?token={QUERY}", bad_base.address)),
        // To a name of which nothing is asked in the network, as it is longer than any.
        redirect(format!("rtsp://{LONG_NAME}{}/live?token={QUERY}", "x".repeat(4_000))),
        // The last one, because nobody else of this account is let in for a minute then.
        Script::playing(H264).with_login("d3Jvbmc="),
    ];
    for script in scripts {
        let server = Server::start(vec![script]).await;
        let url = server.url(&format!("admin:{}@", PASSWORD[0]));
        let source = SourceUrl::parse(&url).unwrap();
        told += &format!("{source} {source:?} ");
        let config = CameraConfig::new("left", source);
        told += &format!("{config:?} ");
        let camera = Camera::start(config, &Handle::current()).unwrap();
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let view = camera.view();
        let now = Instant::now();
        told += &format!(
            "{view:?} {:?} {:?}",
            view.tile(now, Duration::from_secs(10), TileSize::new(640, 360)),
            view.stats(now)
        );
        camera.stop().await;
    }

    assert!(told.contains("/live/left") && told.contains("wrong user name or password"), "{told}");
    let logged = String::from_utf8_lossy(&captured.0.lock().unwrap()).into_owned();
    assert!(logged.contains("the bridge from log works") && logged.contains("first picture"), "{logged}");
    let is_quiet = |line: &&str| QUIET_LOG_TARGETS.iter().any(|target| line.contains(target));
    let own: String = logged.lines().filter(|line| !is_quiet(line)).collect::<Vec<_>>().join("\n");
    for secret in PASSWORD {
        assert!(!own.contains(secret) && !told.contains(secret), "{secret}: {told}\n{own}");
    }
    let long =
        told.split(|c: char| c.is_whitespace() || c == '"').find(|word| word.starts_with(LONG_NAME)).unwrap();
    assert!(long.chars().count() <= 100 && !own.contains(&"x".repeat(100)), "{long}");
    assert!(!own.contains(QUERY) && !told.contains(QUERY), "{told}\n{own}");
    assert!(!logged.contains(BASIC_LOGIN), "not even the libraries' own lines may hold the login");
}
