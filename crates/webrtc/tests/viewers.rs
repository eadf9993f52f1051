//! Viewers in this process, over loopback: ICE, DTLS, SRTP and all.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(missing_docs, unreachable_pub, reason = "tests")]

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use common::{PATIENCE, PPS, SPS, Viewer, Wall, lossy_path, on_loopback, peers, tcp_path, until};
use wallcast_webrtc::{OfferError, PatchError, Patched, PeerState, PeersConfig, Source};

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_first_gets_a_key_frame_with_its_parameter_sets_and_then_every_frame() {
    let (wall, peers) = (Wall::start(), peers(on_loopback()));
    assert!(!wall.source.is_watched());
    let (mut viewer, _) = Viewer::watch(&peers, &wall.source).await.unwrap();
    let first = viewer.key_frame().await;
    assert!(first.annex_b.starts_with(&[SPS, PPS, &[0, 0, 0, 1, 0x65]].concat()));
    assert!(wall.source.is_watched());
    let mut last = first;
    for _ in 0..50 {
        let next = viewer.frame().await;
        assert_eq!(next.timestamp.wrapping_sub(last.timestamp), 1800, "a frame is missing");
        assert!(!next.is_key());
        last = next;
    }
    let stats = peers.stats();
    assert_eq!((stats.len(), stats[0].state, stats[0].source.as_str()), (1, PeerState::Connected, "wall"));
    assert!(stats[0].frames_sent > 50 && stats[0].frames_dropped == 0, "{stats:?}");
    assert!(stats[0].first_frame_ms.is_some(), "{stats:?}");
    peers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_of_one_source_have_tracks_of_their_own() {
    let (wall, peers) = (Wall::start(), peers(on_loopback()));
    let (mut one, _) = Viewer::watch(&peers, &wall.source).await.unwrap();
    let (mut other, _) = Viewer::watch(&peers, &wall.source).await.unwrap();
    let (first, second) = (one.key_frame().await, other.key_frame().await);
    assert_ne!(first.ssrc, second.ssrc);
    assert_eq!(first.payload_type, second.payload_type, "both offered the same");
    assert_ne!(
        (first.first_sequence_number, first.timestamp),
        (second.first_sequence_number, second.timestamp)
    );
    peers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_loss_indication_asks_for_a_key_frame_which_then_comes() {
    let (wall, peers) = (Wall::start(), peers(on_loopback()));
    let (mut viewer, _) = Viewer::watch(&peers, &wall.source).await.unwrap();
    let ssrc = viewer.frame().await.ssrc;
    let before = wall.key_frames_asked.load(Ordering::SeqCst);
    viewer.send_pli(ssrc).await;
    until("a key frame is asked for", PATIENCE, || wall.key_frames_asked.load(Ordering::SeqCst) > before)
        .await;
    while !viewer.frame().await.is_key() {}
    peers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_a_session_tells_the_viewer_and_frees_it() {
    let (wall, peers) = (Wall::start(), peers(on_loopback()));
    let (mut viewer, answer) = Viewer::watch(&peers, &wall.source).await.unwrap();
    viewer.frame().await;
    assert!(peers.close(&answer.id).await);
    assert!(peers.stats().is_empty());
    assert!(!wall.source.is_watched());
    assert!(!peers.close(&answer.id).await, "a session ends once");
    viewer.told_goodbye(Duration::from_secs(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_closes_is_freed_at_once() {
    let (wall, peers) = (Wall::start(), peers(on_loopback()));
    let (mut viewer, _) = Viewer::watch(&peers, &wall.source).await.unwrap();
    viewer.frame().await;
    viewer.connection.close().await.unwrap();
    until("the peer is freed", Duration::from_secs(2), || peers.stats().is_empty()).await;
    assert!(!wall.source.is_watched());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_whose_sender_never_connects_is_freed() {
    let config = PeersConfig { ice_timeout: Duration::from_secs(1), ..on_loopback() };
    let (wall, peers) = (Wall::start(), peers(config));
    let viewer = Viewer::new().await;
    peers.answer(&wall.source, &viewer.offer, std::net::Ipv4Addr::LOCALHOST.into()).await.unwrap();
    assert_eq!(peers.stats()[0].state, PeerState::Connecting);
    assert!(!wall.source.is_watched(), "nobody is encoded for who may never come");
    until("the peer is freed", Duration::from_secs(4), || peers.stats().is_empty()).await;
}

#[test]
fn a_viewer_that_vanishes_without_a_word_is_freed_within_35_seconds() {
    let server = tokio::runtime::Runtime::new().unwrap();
    let viewers = tokio::runtime::Runtime::new().unwrap();
    let _entered = server.enter();
    let (wall, peers) = (Wall::start(), peers(on_loopback()));
    let vanished = viewers.block_on(async {
        let (mut viewer, _) = Viewer::watch(&peers, &wall.source).await.unwrap();
        viewer.frame().await;
        viewer
    });
    viewers.shutdown_background();
    let start = Instant::now();
    server.block_on(async {
        until("the peer is seen to be silent", Duration::from_secs(15), || {
            peers.stats().first().is_none_or(|peer| peer.state == PeerState::Disconnected)
        })
        .await;
        until("the peer is freed", Duration::from_secs(35).saturating_sub(start.elapsed()), || {
            peers.stats().is_empty()
        })
        .await;
        peers.stop().await;
    });
    drop(vanished);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_viewer_too_many_is_told_so_and_a_place_given_up_is_free_again() {
    let (wall, peers) = (Wall::start(), peers(PeersConfig { max_peers: 1, ..on_loopback() }));
    let (_viewer, answer) = Viewer::watch(&peers, &wall.source).await.unwrap();
    let refused = Viewer::watch(&peers, &wall.source).await.err().unwrap();
    assert_eq!(refused, OfferError::Full { max_peers: 1 });
    assert!(peers.close(&answer.id).await);
    let (mut next, _) = Viewer::watch(&peers, &wall.source).await.unwrap();
    next.key_frame().await;
    peers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_ends_every_viewer_within_two_seconds() {
    let (wall, peers) = (Wall::start(), peers(on_loopback()));
    let mut viewers = Vec::new();
    for _ in 0..4 {
        viewers.push(Viewer::watch(&peers, &wall.source).await.unwrap().0);
    }
    for viewer in &mut viewers {
        viewer.frame().await;
    }
    let start = Instant::now();
    peers.stop().await;
    assert!(start.elapsed() < Duration::from_secs(3));
    assert!(!wall.source.is_watched());
    for viewer in &viewers {
        viewer.told_goodbye(Duration::from_secs(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_whose_code_panics_is_closed_and_freed_and_another_on_its_thread_watches_on() {
    let (wall, peers) = (Wall::start(), peers(PeersConfig { threads: 1, ..on_loopback() }));
    let (mut watching, _) = Viewer::watch(&peers, &wall.source).await.unwrap();
    watching.frame().await;
    let panics = common::rendition(Box::new(|| panic!("on purpose: a newcomer's key frame")));
    let source = Source::new("other wall", vec![panics]);
    let _viewer = Viewer::watch(&peers, &source).await.unwrap();
    until("the peer is freed", PATIENCE, || peers.stats().len() == 1).await;
    assert!(!source.is_watched());
    for _ in 0..20 {
        watching.frame().await;
    }
    // The connection's driver holds the source through its feedback.
    until("its driver has ended", Duration::from_secs(2), || Arc::strong_count(&source) == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_is_complete_and_reaches_this_machine_on_every_interface() {
    let (wall, peers) = (Wall::start(), peers(PeersConfig::default()));
    let (mut viewer, answer) = Viewer::watch(&peers, &wall.source).await.unwrap();
    viewer.key_frame().await;
    let lines: Vec<_> = answer.sdp.lines().collect();
    for line in ["a=group:BUNDLE 0", "a=rtcp-mux", "a=sendonly", "a=end-of-candidates"] {
        assert_eq!(lines.iter().filter(|&&found| found == line).count(), 1, "{line} in {}", answer.sdp);
    }
    assert!(answer.sdp.contains("level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e028"));
    let candidates: Vec<_> = lines.iter().filter(|line| line.starts_with("a=candidate:")).collect();
    assert!(candidates.iter().any(|candidate| candidate.contains(" 127.0.0.1 ")), "{candidates:?}");
    let port = format!(" {} ", peers.port());
    assert!(candidates.iter().all(|candidate| candidate.contains(&port)), "one port for all: {candidates:?}");
    assert!(candidates.iter().any(|candidate| candidate.contains(" tcptype passive")), "{candidates:?}");
    peers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_path_loses_is_reported_and_sent_again() {
    let (wall, peers) = (Wall::start(), peers(on_loopback()));
    let viewer = Viewer::new().await;
    let answer =
        peers.answer(&wall.source, &viewer.offer, std::net::Ipv4Addr::LOCALHOST.into()).await.unwrap();
    let path = lossy_path(peers.port(), 20).await;
    viewer.accept(&by_way_of(path, &answer.sdp, peers.port())).await;
    until("losses are reported and made good", PATIENCE, || {
        let stats = &peers.stats()[0];
        stats.retransmitted > 10 && stats.packets_lost > 0 && stats.rtt_ms.is_some()
    })
    .await;
    peers.stop().await;
}

/// The answer with a relay's port in the place of the server's.
fn by_way_of(path: u16, answer: &str, port: u16) -> String {
    answer.replace(&format!(" {port} "), &format!(" {path} "))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_whom_udp_does_not_reach_watches_over_tcp() {
    let (wall, peers) = (Wall::start(), peers(PeersConfig { threads: 2, ..on_loopback() }));
    // On two threads there is one at least that does not receive itself.
    let mut viewers = Vec::new();
    for _ in 0..4 {
        let viewer = Viewer::new().await;
        let client = std::net::Ipv4Addr::LOCALHOST.into();
        let answer = peers.answer(&wall.source, &viewer.offer, client).await.unwrap();
        let path = tcp_path(peers.port()).await;
        viewer.accept(&by_way_of(path, &answer.sdp, peers.port())).await;
        viewers.push(viewer);
    }
    for viewer in &mut viewers {
        let mut last = viewer.key_frame().await;
        for _ in 0..50 {
            let next = viewer.frame().await;
            assert_eq!(next.timestamp.wrapping_sub(last.timestamp), 1800, "a frame is missing");
            last = next;
        }
    }
    peers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_on_several_threads_share_one_port() {
    let (wall, peers) = (Wall::start(), peers(PeersConfig { threads: 3, ..on_loopback() }));
    let mut viewers = Vec::new();
    for _ in 0..6 {
        viewers.push(Viewer::watch(&peers, &wall.source).await.unwrap().0);
    }
    for viewer in &mut viewers {
        viewer.key_frame().await;
    }
    assert_eq!(peers.stats().len(), 6);
    viewers[0].connection.close().await.unwrap();
    until("one is freed", PATIENCE, || peers.stats().len() == 5).await;
    peers.stop().await;
    assert!(peers.stats().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_get_no_answer_and_are_counted() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (wall, peers) = (Wall::start(), peers(on_loopback()));
    let (mut viewer, _) = Viewer::watch(&peers, &wall.source).await.unwrap();
    viewer.frame().await;
    let stranger = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let check = b"\x00\x01\x00\x10\x21\x12\xa4\x42transaction\x00\x00\x06\x00\x0bnobody:none\x00";
    for datagram in [&b"hello"[..], &[0x16, 0xfe, 0xfd, 0], &[0x80, 0x60, 0, 1], check] {
        stranger.send_to(datagram, ("127.0.0.1", peers.port())).await.unwrap();
    }
    until("they are counted", PATIENCE, || peers.io_stats().datagrams_of_strangers >= 4).await;
    let mut answer = [0; 100];
    let heard = tokio::time::timeout(Duration::from_millis(300), stranger.recv_from(&mut answer)).await;
    assert!(heard.is_err(), "{heard:?}");

    let mut connection = tokio::net::TcpStream::connect(("127.0.0.1", peers.port())).await.unwrap();
    connection.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let read = tokio::time::timeout(PATIENCE, connection.read(&mut answer)).await.unwrap();
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    viewer.frame().await;
    peers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_restarts_ice_and_goes_on_watching() {
    let (wall, peers) = (Wall::start(), peers(on_loopback()));
    let (mut viewer, answer) = Viewer::watch(&peers, &wall.source).await.unwrap();
    viewer.key_frame().await;
    let line = |sdp: &str, key: &str| sdp.lines().find(|line| line.starts_with(key)).unwrap().to_owned();
    let fragment =
        |offer: &str| format!("{}\r\n{}\r\n", line(offer, "a=ice-ufrag"), line(offer, "a=ice-pwd"));
    let first = fragment(&viewer.offer);
    assert_eq!(peers.patch(&answer.id, &first, Some(&answer.ice_session)), Ok(Patched::Trickled));
    assert_eq!(peers.patch(&answer.id, "v=0", None), Err(PatchError::Unreadable));

    let offer = viewer.restart_ice().await;
    let Ok(Patched::Restarted { fragment: ours, ice_session }) =
        peers.patch(&answer.id, &fragment(&offer), None)
    else {
        panic!("not restarted");
    };
    assert_ne!(ice_session, answer.ice_session);
    assert_eq!(peers.patch(&answer.id, &first, Some(&answer.ice_session)), Err(PatchError::Stale));
    let mut sdp = answer.sdp.clone();
    for key in ["a=ice-ufrag", "a=ice-pwd"] {
        sdp = sdp.replace(&line(&sdp, key), &line(&ours, key));
    }
    viewer.accept(&sdp).await;
    for _ in 0..100 {
        viewer.frame().await;
    }
    assert_eq!(peers.stats()[0].state, PeerState::Connected);
    assert!(peers.close(&answer.id).await);
    assert_eq!(peers.patch(&answer.id, &first, None), Err(PatchError::Gone));
}
