//! Too many open files (failures.md P2). Alone in its process, because it takes the process's descriptors away.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(missing_docs, unreachable_pub, reason = "tests")]
#![allow(dead_code, reason = "the helpers are shared with the other tests")]

mod common;

use std::fs::File;
use std::io::{Read, Seek};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use common::{PATIENCE, Viewer, Wall, on_loopback, peers, tcp_path, until};
use tokio::net::TcpSocket;

/// The CPU meters of this process's threads `webrtc-*`, opened while files can be.
struct Meters(Vec<File>);

impl Meters {
    fn open() -> Self {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let ours = tasks.filter(|task| {
            std::fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.starts_with("webrtc-"))
        });
        Self(ours.map(|task| File::open(task.path().join("schedstat")).unwrap()).collect())
    }

    /// CPU that they have used.
    fn read(&mut self) -> Duration {
        let used = self.0.iter_mut().map(|meter| {
            let mut times = String::new();
            meter.rewind().unwrap();
            meter.read_to_string(&mut times).unwrap();
            times.split(' ').next().unwrap().parse::<u64>().unwrap()
        });
        Duration::from_nanos(used.sum())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_descriptors_a_connection_waits_nobody_spins_and_viewers_go_on() {
    let (wall, peers) = (Wall::start(), peers(on_loopback()));
    let (mut watching, _) = Viewer::watch(&peers, &wall.source).await.unwrap();
    watching.key_frame().await;
    let newcomer = Viewer::new().await;
    let answer = peers.answer(&wall.source, &newcomer.offer, Ipv4Addr::LOCALHOST.into()).await.unwrap();

    let mut meters = Meters::open();
    assert!(!meters.0.is_empty());
    // The client has its descriptor already; the server has none to accept it with.
    let client = TcpSocket::new_v4().unwrap();
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let before = limit;
    limit.current = Some(1024);
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
    let mut taken = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        taken.push(file);
    }
    let waiting = client.connect(([127, 0, 0, 1], peers.port()).into()).await.unwrap();

    let (cpu, began) = (meters.read(), Instant::now());
    for _ in 0..100 {
        watching.frame().await;
    }
    let (cpu, span) = (meters.read() - cpu, began.elapsed());
    assert!(cpu < span / 2, "{cpu:?} of CPU in {span:?}");

    drop(taken);
    rustix::process::setrlimit(rustix::process::Resource::Nofile, before).unwrap();
    // Accepted now, after it has waited, and closed because it says nothing.
    until("the one that waited is accepted, and given up", PATIENCE, || {
        matches!(waiting.try_read(&mut [0]), Ok(0))
    })
    .await;
    let mut newcomer = newcomer;
    let path = tcp_path(peers.port()).await;
    newcomer.accept(&answer.sdp.replace(&format!(" {} ", peers.port()), &format!(" {path} "))).await;
    newcomer.key_frame().await;
    peers.stop().await;
}
