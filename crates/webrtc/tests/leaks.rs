//! Alone in its process, because it counts the process's descriptors.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(missing_docs, unreachable_pub, reason = "tests")]
#![allow(dead_code, reason = "the helpers are shared with the other tests")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Viewer, Wall, on_loopback, peers, until};
use tokio::runtime::Handle;

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Every second viewer is ended by us, the others close; every tenth never connects.
async fn join_and_leave(peers: &wallcast_webrtc::Peers, wall: &Wall, number: usize) {
    if number % 10 == 9 {
        let viewer = Viewer::new().await;
        let answer =
            peers.answer(&wall.source, &viewer.offer, std::net::Ipv4Addr::LOCALHOST.into()).await.unwrap();
        assert!(peers.close(&answer.id).await);
        viewer.connection.close().await.unwrap();
        return;
    }
    let (mut viewer, answer) = Viewer::watch(peers, &wall.source).await.unwrap();
    // Any frame: of ten viewers that join at once on a busy machine, one may miss the packets before its keys are ready.
    viewer.frame().await;
    if number.is_multiple_of(2) {
        assert!(peers.close(&answer.id).await);
    }
    viewer.connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_joins_and_leaves_leave_nothing_behind() {
    let (wall, peers) = (Wall::start(), peers(on_loopback()));
    // Whatever opens once for good (the runtime's own descriptors) is open after the first.
    join_and_leave(&peers, &wall, 1).await;
    until("the first is gone", Duration::from_secs(3), || peers.stats().is_empty()).await;
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let (files_before, tasks_before) = (open_files(), tasks());
    for ten in 0..10 {
        let joins = (0..10).map(|number| join_and_leave(&peers, &wall, ten * 10 + number));
        futures::future::join_all(joins).await;
    }
    until("every peer is gone", Duration::from_secs(3), || peers.stats().is_empty()).await;
    until("descriptors are where they were", Duration::from_secs(3), || open_files() <= files_before).await;
    until("so are tasks", Duration::from_secs(3), || tasks() <= tasks_before).await;
    assert!(!wall.source.is_watched());
    let source = Arc::downgrade(&wall.source);
    drop(wall);
    until("nobody holds the source any more", Duration::from_secs(3), || source.strong_count() == 0).await;
}
