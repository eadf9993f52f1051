//! What the log says of a viewer. Alone in its process, because it takes the process's log.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(missing_docs, unreachable_pub, reason = "tests")]
#![allow(dead_code, reason = "the helpers are shared with the other tests")]

mod common;

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Viewer, Wall, on_loopback, peers, until};
use wallcast_webrtc::PeersConfig;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn lines(&self) -> Vec<String> {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap().lines().map(str::to_owned).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_is_one_line_when_it_comes_and_one_when_it_goes() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_env_filter("off,wallcast_webrtc=info")
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();
    let config = PeersConfig { ice_timeout: Duration::from_secs(1), ..on_loopback() };
    let (wall, peers) = (Wall::start(), peers(config));

    let (mut viewer, answer) = Viewer::watch(&peers, &wall.source).await.unwrap();
    viewer.frame().await;
    let source = format!("id=\"{}\" source=\"wall\"", answer.id.label());
    assert!(log.lines()[0].ends_with(&format!("viewer connected {source}")), "{:?}", log.lines());
    viewer.connection.close().await.unwrap();
    until("the viewer is gone", Duration::from_secs(3), || peers.stats().is_empty()).await;
    let lines = log.lines();
    let (_, gone) =
        lines[1].split_once(&format!("viewer gone {source} why=\"the viewer left\" watched=")).unwrap();
    let (watched, frames) = gone.split_once(" s frames=").unwrap();
    assert!(watched.parse::<f64>().unwrap() < 10.0, "{gone}");
    assert!(frames.parse::<u64>().unwrap() >= 1, "{gone}");

    let never = Viewer::new().await;
    let second =
        peers.answer(&wall.source, &never.offer, std::net::Ipv4Addr::LOCALHOST.into()).await.unwrap();
    until("the second is given up", Duration::from_secs(4), || peers.stats().is_empty()).await;
    let lines = log.lines();
    assert!(lines[2].contains("viewer never connected"), "{lines:?}");
    assert!(lines[2].contains("ICE never started"), "{lines:?}");
    assert_eq!(lines.len(), 3, "{lines:?}");

    let (mut deleting, third) = Viewer::watch(&peers, &wall.source).await.unwrap();
    deleting.frame().await;
    assert!(peers.close(&third.id).await);
    let (mut staying, fourth) = Viewer::watch(&peers, &wall.source).await.unwrap();
    staying.frame().await;
    peers.stop().await;
    let lines = log.lines();
    assert!(lines[4].contains("why=\"the viewer ended its session\""), "{lines:?}");
    assert!(lines[6].contains("why=\"the server is stopping\""), "{lines:?}");
    for id in [answer.id, second.id, third.id, fourth.id] {
        assert!(!lines.concat().contains(&id.to_string()), "the right to end a session is in the log");
    }
}
