//! The RTSP server over real sockets, against a client that says exactly what the test tells it to.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests, which say what they skip")]

#[path = "rtsp_server/raw.rs"]
mod raw;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use raw::{Answer, Client, Fixture, Rtp, access_unit};
use tokio::{net::UdpSocket, time::timeout};
use wallcast::{
    auth::{Auth, Authenticator, Roles, Token},
    rtsp::{BindError, Limits, Mount, Mounts, RtspServer},
};

/// How many frames the quick reader may be behind.
const KEPT_UP: u32 = 8;

#[tokio::test]
async fn describe_of_an_idle_stream_makes_it_wanted_and_answers_with_its_parameter_sets() {
    let fixture = Fixture::new();
    let wall = Arc::clone(&fixture.wall);
    let pushing = tokio::spawn(async move {
        while !wall.is_wanted() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        wall.push(&access_unit(0, true, 100), true, 0);
    });
    let answer = fixture.client().await.ask("DESCRIBE", "/wall", &["Accept: application/sdp"]).await;
    pushing.await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("Content-Type"), Some("application/sdp"));
    let base = format!("rtsp://{}/wall/", fixture.server.local_addr());
    assert_eq!(answer.header("Content-Base"), Some(base.as_str()));
    for line in [
        "profile-level-id=42C028;sprop-parameter-sets=Z0LAKKo=,aM4B",
        "a=framerate:25",
        "a=control:trackID=0",
    ] {
        assert!(answer.body.contains(line), "{line} in {}", answer.body);
    }
    assert!(!fixture.wall.is_wanted());
}

#[tokio::test]
async fn describe_of_a_silent_stream_answers_without_parameter_sets_after_its_patience() {
    let limits = Limits { describe_within: Duration::from_millis(200), ..Limits::default() };
    let fixture = Fixture::with(Auth::Open, limits);
    let answer = fixture.client().await.ask("DESCRIBE", "/wall", &[]).await;
    assert_eq!(answer.status, 200);
    assert!(!answer.body.contains("sprop"), "{}", answer.body);
}

#[tokio::test]
async fn an_interleaved_reader_gets_a_key_frame_first_and_every_packet_in_order() {
    let fixture = Fixture::new();
    let _streaming = fixture.stream();
    let mut client = fixture.client().await;
    let setup =
        client.ask("SETUP", "/wall/trackID=0", &["Transport: RTP/AVP/TCP;unicast;interleaved=4-5"]).await;
    assert!(setup.header("Session").unwrap().ends_with(";timeout=60"), "{setup:?}");
    let transport = setup.header("Transport").unwrap();
    assert!(transport.starts_with("RTP/AVP/TCP;unicast;interleaved=4-5;ssrc="), "{transport}");
    let ssrc = u32::from_str_radix(&transport[transport.len() - 8..], 16).unwrap();
    let session = format!("Session: {}", setup.session());
    let play = client.ask("PLAY", "/wall/", &[&session, "Range: npt=0.000-"]).await;
    assert_eq!((play.status, play.header("Range")), (200, Some("npt=now-")));

    let mut reports = 0;
    let mut expected: Option<u16> = None;
    let mut first = None;
    while expected.is_none_or(|next| next.wrapping_sub(first.as_ref().map_or(0, |f: &Rtp| f.sequence)) < 60) {
        let (channel, packet) = client.packet().await;
        if channel == 5 {
            assert_eq!(packet[1], 200, "a sender report");
            reports += 1;
            continue;
        }
        assert_eq!(channel, 4);
        assert!(packet.len() <= 1212);
        let rtp = Rtp::parse(&packet);
        assert_eq!(rtp.ssrc, ssrc);
        assert!(expected.is_none_or(|sequence| sequence == rtp.sequence));
        expected = Some(rtp.sequence.wrapping_add(1));
        first.get_or_insert(rtp);
    }
    let first = first.unwrap();
    assert!(first.is_key_start());
    assert_eq!(reports, 1);
    let base = format!("rtsp://{}/wall/trackID=0", fixture.server.local_addr());
    let info = format!("url={base};seq={};rtptime={}", first.sequence, first.time);
    assert_eq!(play.header("RTP-Info"), Some(info.as_str()));

    let stats = fixture.wall.readers();
    assert_eq!((stats.len(), stats[0].transport.as_str(), stats[0].frames_dropped), (1, "tcp", 0));
    assert!(stats[0].frames_sent >= 10 && stats[0].first_frame_ms.is_some() && stats[0].bitrate_bps > 0);
    let teardown = client.ask("TEARDOWN", "/wall/", &[&session]).await;
    assert_eq!(teardown.status, 200);
    assert_eq!((fixture.wall.stats().teardowns, fixture.server.stats().teardowns), (1, 1));
    assert!(!fixture.wall.is_wanted());
}

#[tokio::test]
async fn a_udp_reader_gets_packets_on_its_ports_and_a_goodbye_with_the_stop() {
    let fixture = Fixture::new();
    let _streaming = fixture.stream();
    let (mut client, rtp, rtcp, session) = play_udp(&fixture).await;
    let mut buffer = [0; 2000];
    let (length, _) = timeout(Duration::from_secs(5), rtp.recv_from(&mut buffer)).await.unwrap().unwrap();
    let first = Rtp::parse(&buffer[..length]);
    assert!(first.is_key_start());
    let (length, _) = timeout(Duration::from_secs(5), rtcp.recv_from(&mut buffer)).await.unwrap().unwrap();
    assert!(length > 28 && buffer[1] == 200, "a sender report");

    assert_eq!(client.ask("GET_PARAMETER", "/wall/", &[&session]).await.status, 200);
    assert_eq!(client.ask("SET_PARAMETER", "/wall/", &[&session]).await.status, 200);
    assert_eq!(client.ask("OPTIONS", "/wall/", &[&session]).await.status, 200);
    assert_eq!(client.ask("PAUSE", "/wall/", &[&session]).await.status, 200);
    assert!(!fixture.wall.is_wanted());
    assert_eq!(client.ask("PAUSE", "/wall/", &[&session]).await.status, 455);
    assert_eq!(client.ask("PLAY", "/wall/", &[&session]).await.status, 200);

    // The session belongs to the client, not to its connection.
    let mut other = fixture.client().await;
    drop(client);
    assert_eq!(other.ask("GET_PARAMETER", "/wall/", &[&session]).await.status, 200);
    assert!(fixture.wall.is_wanted());
    fixture.server.stop().await;
    assert!(!fixture.wall.is_wanted());
    let goodbye = async {
        loop {
            let (length, _) = rtcp.recv_from(&mut buffer).await.unwrap();
            if buffer[..length].chunks_exact(4).any(|word| word[1] == 203 && word[0] & 0xdf == 0x81) {
                return;
            }
        }
    };
    timeout(Duration::from_secs(5), goodbye).await.expect("an RTCP BYE");
}

#[tokio::test]
async fn a_silent_udp_reader_is_freed_and_one_that_reports_is_kept() {
    let limits = Limits { session_timeout: Duration::from_secs(1), ..Limits::default() };
    let fixture = Fixture::with(Auth::Open, limits);
    let _streaming = fixture.stream();
    let (client, rtp, rtcp, _) = play_udp(&fixture).await;
    let mut buffer = [0; 2000];
    let (_, server_rtp) = rtp.recv_from(&mut buffer).await.unwrap();
    let ssrc = Rtp::parse(&buffer[..1212]).ssrc;
    let report = receiver_report(ssrc, 3);
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        rtcp.send_to(&report, (server_rtp.ip(), server_rtp.port() + 1)).await.unwrap();
    }
    assert!(fixture.wall.is_wanted());
    assert_eq!(fixture.wall.readers()[0].packets_lost, 3);
    drop(client);
    wait_for("the session to expire", || !fixture.wall.is_wanted()).await;
    assert_eq!(fixture.server.stats().sessions_expired, 1);
}

#[tokio::test]
async fn a_udp_reader_that_closed_its_connection_is_sent_to_only_while_it_reports() {
    let limits = Limits { abandoned_within: Duration::from_millis(800), ..Limits::default() };
    let fixture = Fixture::with(Auth::Open, limits);
    let _streaming = fixture.stream();
    let (connected, _rtp, _rtcp, _) = play_udp(&fixture).await;
    let (leaving, rtp, rtcp, session) = play_udp(&fixture).await;
    let (vanishing, _rtp, _rtcp, _) = play_udp(&fixture).await;
    let mut buffer = [0; 2000];
    let (_, server_rtp) = rtp.recv_from(&mut buffer).await.unwrap();
    let report = receiver_report(Rtp::parse(&buffer[..1212]).ssrc, 0);
    drop((leaving, vanishing));
    for _ in 0..10 {
        rtcp.send_to(&report, (server_rtp.ip(), server_rtp.port() + 1)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(fixture.server.stats().sessions_expired, 1, "who has vanished, and neither of the others");
    // A connection that speaks of the session has the client there again, and then not.
    let mut other = fixture.client().await;
    assert_eq!(other.ask("GET_PARAMETER", "/wall/", &[&session]).await.status, 200);
    tokio::time::sleep(Duration::from_millis(1600)).await;
    assert_eq!((fixture.wall.readers().len(), fixture.server.stats().sessions_expired), (2, 1));
    drop(other);
    wait_for("the session to expire", || fixture.server.stats().sessions_expired == 2).await;
    wait_for("its reader to leave", || fixture.wall.readers().len() == 1).await;
    drop(connected);
}

#[tokio::test]
async fn a_client_network_has_eight_udp_sessions_and_one_for_each_port() {
    let fixture = Fixture::new();
    let mut client = fixture.client().await;
    let udp = |port: u16| format!("Transport: RTP/AVP;unicast;client_port={port}-{}", port + 1);
    let first = client.ask("SETUP", "/wall", &[&udp(5000)]).await;
    assert_eq!(first.status, 200);
    assert_eq!(fixture.client().await.ask("SETUP", "/wall", &[&udp(5000)]).await.status, 461, "taken");
    for port in 1..8 {
        assert_eq!(fixture.client().await.ask("SETUP", "/wall", &[&udp(5000 + 2 * port)]).await.status, 200);
    }
    assert_eq!(fixture.client().await.ask("SETUP", "/wall", &[&udp(6000)]).await.status, 461, "eight");
    assert_eq!(fixture.server.stats().udp_sessions, 8);
    let mut session = first.session();
    for _ in 0..20 {
        let teardown = client.ask("TEARDOWN", "/wall", &[&format!("Session: {session}")]).await;
        let again = client.ask("SETUP", "/wall", &[&udp(5000)]).await;
        assert_eq!((teardown.status, again.status), (200, 200), "free when TEARDOWN is answered");
        session = again.session();
    }
}

#[tokio::test]
async fn a_udp_session_that_panics_leaves_nothing_behind() {
    let fixture = Fixture::new();
    let broken = Mount::new("broken", Box::new(|| panic!("a fault, to see what is left of the session")));
    fixture.mounts.add(Arc::clone(&broken)).unwrap();
    let mut client = fixture.client().await;
    let transport = "Transport: RTP/AVP;unicast;client_port=5000-5001";
    let setup = client.ask("SETUP", "/broken", &[transport]).await;
    assert_eq!((setup.status, fixture.server.stats().udp_sessions), (200, 1));
    let session = format!("Session: {}", setup.session());
    assert_eq!(client.ask("PLAY", "/broken", &[&session]).await.status, 454);
    wait_for("its place to be free", || fixture.server.stats().udp_sessions == 0).await;
    assert_eq!((broken.stats().readers, broken.is_wanted()), (0, false));
}

#[tokio::test]
async fn several_readers_have_streams_of_their_own_and_leave_alone() {
    let fixture = Fixture::new();
    let _streaming = fixture.stream();
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = fixture.client().await;
        client.play_tcp().await;
        clients.push(client);
    }
    let mut sources = Vec::new();
    for client in &mut clients {
        sources.push(client.rtp().await.ssrc);
    }
    sources.sort_unstable();
    sources.dedup();
    assert_eq!((sources.len(), fixture.wall.readers().len()), (4, 4));
    drop(clients.pop());
    wait_for("a closed connection to leave", || fixture.wall.readers().len() == 3).await;
    for client in &mut clients {
        let mut next = client.rtp().await.sequence.wrapping_add(1);
        for _ in 0..50 {
            assert_eq!(client.rtp().await.sequence, next);
            next = next.wrapping_add(1);
        }
    }
}

#[tokio::test]
async fn a_slow_reader_is_moved_to_a_later_key_frame_while_another_gets_everything() {
    let fixture = Fixture::new();
    let (mut slow, mut quick) = (fixture.client().await, fixture.client().await);
    join_playing(&fixture, &mut slow).await;
    join_playing(&fixture, &mut quick).await;

    // 300 frames of 100 KB are more than queue and sockets hold. The quick reader is never far behind.
    let (mut received, mut expected) = (0, None);
    for frame in 1..=300 + KEPT_UP {
        if frame <= 300 {
            fixture.wall.push(&access_unit(frame, frame % 50 == 0, 100_000), frame % 50 == 0, frame * 3600);
        }
        while received + KEPT_UP < frame {
            let rtp = quick.rtp().await;
            assert!(
                expected.is_none_or(|sequence| sequence == rtp.sequence),
                "the quick reader lost a packet"
            );
            expected = Some(rtp.sequence.wrapping_add(1));
            received = rtp.time / 3600 - u32::from(!rtp.marker && rtp.time > 0);
        }
    }
    let stats = fixture.wall.readers();
    assert_eq!(stats[1].frames_dropped, 0, "{stats:?}");
    assert!(stats[0].frames_dropped > 0, "{stats:?}");
    assert_eq!(fixture.wall.stats().frames_dropped, stats[0].frames_dropped);

    // Now the slow one reads on: no packet is missing from its numbering, and after the gap in time comes a key.
    let (mut last, mut gaps) = (slow.rtp().await, 0);
    while last.time < 300 * 3600 {
        let Ok(rtp) = timeout(Duration::from_millis(500), slow.rtp()).await else { break };
        assert_eq!(rtp.sequence, last.sequence.wrapping_add(1));
        if rtp.time > last.time + 3600 {
            gaps += 1;
            assert!(rtp.is_key_start() && last.marker, "{rtp:?}");
        }
        last = rtp;
    }
    assert!(gaps > 0);
}

#[tokio::test]
async fn a_removed_stream_ends_its_readers() {
    let fixture = Fixture::new();
    let _streaming = fixture.stream();
    let mut client = fixture.client().await;
    client.play_tcp().await;
    assert!(fixture.mounts.remove("wall"));
    client.closed().await;
    assert_eq!(fixture.client().await.ask("DESCRIBE", "/wall", &[]).await.status, 404);
}

#[tokio::test]
async fn requests_that_cannot_be_served_are_told_why() {
    let fixture = Fixture::new();
    let mut client = fixture.client().await;
    let tcp = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1";
    for (method, path, headers, expected) in [
        ("DESCRIBE", "/nothing", &[][..], 404),
        ("DESCRIBE", "/", &[], 404),
        ("DESCRIBE", "/wall", &["Accept: text/html"], 406),
        ("DESCRIBE", "/wall", &["Require: onvif-replay"], 551),
        ("SETUP", "/nothing/trackID=0", &[tcp], 404),
        ("SETUP", "/wall/trackID=0", &[], 400),
        ("SETUP", "/wall/trackID=0", &["Transport: "], 461),
        ("SETUP", "/wall/trackID=0", &["Transport: RTP/AVP;unicast;client_port=x"], 400),
        ("SETUP", "/wall/trackID=0", &["Transport: RTP/AVP;multicast"], 461),
        ("SETUP", "/wall/trackID=0", &["Transport: RTP/SAVP;unicast;client_port=9-10"], 461),
        ("SETUP", "/wall/trackID=0", &[tcp, "Session: nobody"], 454),
        ("PLAY", "/wall", &[], 454),
        ("PLAY", "/wall", &["Session: nobody"], 454),
        ("PAUSE", "/wall", &["Session: nobody"], 454),
        ("TEARDOWN", "/wall", &["Session: nobody"], 454),
        ("GET_PARAMETER", "/wall", &["Session: nobody"], 454),
        ("GET_PARAMETER", "/wall", &[], 200),
        ("ANNOUNCE", "/wall", &[], 405),
        ("RECORD", "/wall", &[], 405),
        ("BREW", "/wall", &[], 501),
        ("OPTIONS", "/wall", &[], 200),
    ] {
        let answer = client.ask(method, path, headers).await;
        assert_eq!(answer.status, expected, "{method} {path} {headers:?}: {answer:?}");
    }
    client.send(b"OPTIONS * RTSP/1.0\r\n\r\n").await;
    assert_eq!(client.answer().await.unwrap().status, 400, "no CSeq");
    client.send(b"OPTIONS * RTSP/2.0\r\nCSeq: 77\r\n\r\n").await;
    let version = client.answer().await.unwrap();
    assert_eq!((version.status, version.header("CSeq")), (505, Some("77")));
    for (required, repeated) in [
        ("onvif-replay, com.foo.x", "onvif-replay,com.foo.x"),
        ("a\"b(\u{e9})\tc; d", "abcd"),
        (&"x".repeat(15 << 10), &"x".repeat(64)),
    ] {
        let refused = client.ask("OPTIONS", "/wall", &[&format!("Require: {required}")]).await;
        assert_eq!((refused.status, refused.header("Unsupported")), (551, Some(repeated)));
    }
    let options = client.ask("OPTIONS", "/wall", &[]).await;
    assert_eq!(
        options.header("Public"),
        Some("OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, GET_PARAMETER, SET_PARAMETER, TEARDOWN")
    );
}

#[tokio::test]
async fn a_session_is_set_up_once_paused_once_and_gone_after_teardown() {
    let fixture = Fixture::new();
    let _streaming = fixture.stream();
    let mut client = fixture.client().await;
    let id = format!("Session: {}", client.play_tcp().await);
    let tcp = "Transport: RTP/AVP/TCP;unicast;interleaved=2-3";
    assert_eq!(client.ask("SETUP", "/wall/trackID=0", &[tcp]).await.status, 455);
    assert_eq!(client.ask("SETUP", "/wall/trackID=0", &[tcp, &id]).await.status, 455);
    assert_eq!(client.ask("PLAY", "/wall/", &[&id]).await.status, 200, "playing already");
    assert_eq!(client.ask("PAUSE", "/wall/", &[&id]).await.status, 200);
    assert_eq!(client.ask("PAUSE", "/wall/", &[&id]).await.status, 455);
    // Another connection cannot reach an interleaved session.
    assert_eq!(fixture.client().await.ask("TEARDOWN", "/wall/", &[&id]).await.status, 454);
    assert_eq!(client.ask("TEARDOWN", "/wall/", &[&id]).await.status, 200);
    assert_eq!(client.ask("PLAY", "/wall/", &[&id]).await.status, 454);
    client.play_tcp().await;
}

#[tokio::test]
async fn rubbish_is_refused_and_harms_nobody_else() {
    let fixture = Fixture::new();
    let _streaming = fixture.stream();
    let mut bystander = fixture.client().await;
    bystander.play_tcp().await;
    let long_header = format!("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nX: {}", "x".repeat(17 << 10));
    let many_headers = format!("OPTIONS * RTSP/1.0\r\n{}", "a:b\r\n".repeat(4 << 10));
    let huge_body = format!(
        "SET_PARAMETER * RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 4294967296\r\n\r\n{}",
        "x".repeat(17 << 10)
    );
    for (rubbish, expected) in [
        (&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"DESCRIBE not-an-address RTSP/1.0\r\nCSeq: 1\r\n\r\n", 400),
        (b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 99999999999999999999\r\n\r\n", 400),
        (b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nno colon\r\n\r\n", 400),
        (b"OPTIONS * RTSP/1.0\r\n\xff\xfe: 1\r\n\r\n", 400),
        (long_header.as_bytes(), 413),
        (many_headers.as_bytes(), 413),
        (format!("OPTIONS * RTSP/1.0\r\n{}\r\n", "a:b\r\n".repeat(65)).as_bytes(), 413),
        (b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nX: \x1b[31m\r\n\r\n", 400),
        (huge_body.as_bytes(), 413),
    ] {
        let mut client = fixture.client().await;
        client.send(rubbish).await;
        let answer = client.answer().await.unwrap();
        assert_eq!(answer.status, expected, "{}", String::from_utf8_lossy(&rubbish[..rubbish.len().min(60)]));
        client.closed().await;
    }
    assert_eq!(fixture.server.stats().messages_malformed, 12);
    let next = bystander.rtp().await.sequence.wrapping_add(1);
    assert_eq!(bystander.rtp().await.sequence, next);
}

#[tokio::test]
async fn random_bytes_and_mutated_requests_never_end_the_server() {
    let fixture = Fixture::with(
        Auth::Open,
        Limits { connections: 2000, connections_per_network: 2000, ..Limits::default() },
    );
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let request = b"SETUP rtsp://127.0.0.1/wall/trackID=0 RTSP/1.0\r\nCSeq: 1\r\nSession: a;timeout=60\r\n\
        Authorization: Digest username=\"u\", realm=\"wallcast\", nonce=\"n\", uri=\"/\", response=\"r\"\r\n\
        Transport: RTP/AVP;unicast;client_port=5000-5001;ssrc=01020304;dest_addr=\"a\"/\"b\";mode=\"PLAY\"\r\n\r\n$\0\0\x04abcd";
    for _ in 0..1000 {
        let mut bytes = request.to_vec();
        for _ in 0..random() % 8 {
            let at = (random() % bytes.len() as u64) as usize;
            match random() % 3 {
                0 => bytes[at] = random() as u8,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, b"\r\n\"\\;:,$ \0"[(random() % 10) as usize]),
            }
        }
        let mut client = fixture.client().await;
        client.send(&bytes).await;
    }
    wait_for("every connection to end", || fixture.server.stats().connections == 0).await;
    assert_eq!(fixture.client().await.ask("OPTIONS", "/wall", &[]).await.status, 200);
}

#[tokio::test]
async fn connections_past_the_limit_or_too_slow_to_ask_are_closed() {
    let limits = Limits {
        connections_per_network: 2,
        message_within: Duration::from_millis(300),
        idle: Duration::from_millis(600),
        ..Limits::default()
    };
    let fixture = Fixture::with(Auth::Open, limits);
    let (mut mute, mut dribbling) = (fixture.client().await, fixture.client().await);
    dribbling.send(b"OPTIONS * RTSP/1.0\r\nCSe").await;
    wait_for("two connections", || fixture.server.stats().connections == 2).await;
    let mut third = fixture.client().await;
    assert_eq!(third.answer().await.unwrap().status, 503);
    assert_eq!(fixture.server.stats().connections_refused, 1);
    mute.closed().await;
    dribbling.closed().await;
    wait_for("their slots", || fixture.server.stats().connections == 0).await;
    let mut idle = fixture.client().await;
    assert_eq!(idle.ask("OPTIONS", "/wall", &[]).await.status, 200);
    idle.closed().await;
}

#[tokio::test]
async fn a_session_that_does_not_play_and_is_not_kept_alive_is_freed_and_a_playing_one_is_not() {
    let limits = Limits {
        session_timeout: Duration::from_millis(400),
        idle: Duration::from_millis(400),
        ..Limits::default()
    };
    let fixture = Fixture::with(Auth::Open, limits);
    let (mut paused, mut playing) = (fixture.client().await, fixture.client().await);
    join_playing(&fixture, &mut playing).await;
    let tcp = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1";
    let session = format!("Session: {}", paused.ask("SETUP", "/wall/trackID=0", &[tcp]).await.session());
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(paused.ask("GET_PARAMETER", "/wall/", &[&session]).await.status, 200);
    }
    paused.closed().await;
    // Nothing has been pushed for more than a second, which is the stream's fault.
    assert_eq!(playing.ask("OPTIONS", "/wall/", &[]).await.status, 200);
    assert!(fixture.wall.is_wanted());
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_closed_at_last() {
    let fixture =
        Fixture::with(Auth::Open, Limits { stalled: Duration::from_millis(500), ..Limits::default() });
    let mut client = fixture.client().await;
    join_playing(&fixture, &mut client).await;
    for frame in 1..400 {
        fixture.wall.push(&access_unit(frame, frame % 10 == 0, 100_000), frame % 10 == 0, frame * 3600);
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    wait_for("the connection to be given up", || fixture.wall.readers().is_empty()).await;
}

#[tokio::test]
async fn ipv6_readers_are_served_by_udp_too() {
    let mounts = Mounts::new();
    let wall = Mount::new("wall", Box::new(|| ()));
    mounts.add(Arc::clone(&wall)).unwrap();
    let Ok(server) = RtspServer::bind("[::1]:0".parse().unwrap(), mounts, open()) else {
        eprintln!("skipped: there is no IPv6");
        return;
    };
    let mut client = Client::connect(server.local_addr()).await;
    let socket = UdpSocket::bind("[::1]:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    let transport = format!("Transport: RTP/AVP;unicast;client_port={port}-{}", port.wrapping_add(1).max(1));
    let setup = client.ask("SETUP", "/wall", &[&transport]).await;
    let pushing = tokio::spawn(async move {
        while wall.readers().is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        wall.push(&access_unit(0, true, 10), true, 0);
    });
    assert_eq!(client.ask("PLAY", "/wall", &[&format!("Session: {}", setup.session())]).await.status, 200);
    pushing.await.unwrap();
    let mut buffer = [0; 2000];
    let (length, _) = timeout(Duration::from_secs(5), socket.recv_from(&mut buffer)).await.unwrap().unwrap();
    assert!(Rtp::parse(&buffer[..length]).is_key_start());
    server.stop().await;
}

#[tokio::test]
async fn with_logins_nothing_but_options_is_answered_without_one() {
    let login = Auth::Tokens(vec![Token::new("viewer", "s3cret".into(), Roles::ALL)]);
    let fixture = Fixture::with(login, Limits { describe_within: Duration::ZERO, ..Limits::default() });
    let mut client = fixture.client().await;
    assert_eq!(client.ask("OPTIONS", "/wall", &[]).await.status, 200);
    let refused = client.ask("DESCRIBE", "/nothing", &[]).await;
    assert_eq!(refused.status, 401, "names are not told either");
    let challenges: Vec<&str> = challenges(&refused).collect();
    assert_eq!(challenges.len(), 3, "{refused:?}");
    for (index, _) in challenges.iter().enumerate() {
        // Each with a nonce that has not been used.
        let mut client = fixture.client().await;
        let refused = client.ask("DESCRIBE", "/wall", &[]).await;
        let challenge = self::challenges(&refused).nth(index).unwrap();
        let mut password = http_auth::PasswordClient::try_from(challenge).unwrap();
        let uri = format!("{}/wall", client.base);
        let params = http_auth::PasswordParams {
            username: "viewer",
            password: "s3cret",
            uri: &uri,
            method: "DESCRIBE",
            body: None,
        };
        let authorization = format!("Authorization: {}", password.respond(&params).unwrap());
        assert_eq!(client.ask("DESCRIBE", "/wall", &[&authorization]).await.status, 200, "{challenge}");
    }
    let wrong = "Authorization: Basic dmlld2VyOndyb25n";
    let asked = Instant::now();
    for _ in 0..3 {
        assert_eq!(client.ask("DESCRIBE", "/wall", &[wrong]).await.status, 401);
    }
    assert!(asked.elapsed() >= Duration::from_secs(3), "guessing is slow");
    client.closed().await;
    assert_eq!(fixture.server.stats().logins_denied, 3);
}

#[tokio::test]
async fn with_logins_a_connection_that_does_not_log_in_is_closed_whatever_it_asks() {
    let login = || Auth::Tokens(vec![Token::new("viewer", "s3cret".into(), Roles::ALL)]);
    let limits = Limits { login_within: Duration::from_millis(600), ..Limits::default() };
    let right = "Authorization: Basic dmlld2VyOnMzY3JldA==";
    let (closed, open) = (Fixture::with(login(), limits), Fixture::with(Auth::Open, limits));
    let (mut known, mut anybody) = (closed.client().await, open.client().await);
    assert_eq!(known.ask("GET_PARAMETER", "/wall", &[right]).await.status, 200);
    let (mut polite, mut flooding) = (closed.client().await, closed.client().await);
    let flood = tokio::spawn(async move { while flooding.options().await {} });
    let mut answered = 0;
    let asking = async {
        while polite.options().await {
            answered += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(10), asking).await.expect("the connection to be closed");
    assert!(answered > 1);
    timeout(Duration::from_secs(10), flood).await.expect("the other to be closed").unwrap();
    for client in [&mut known, &mut anybody] {
        assert_eq!(client.ask("OPTIONS", "/wall", &[]).await.status, 200);
    }
    assert_eq!(closed.server.stats().connections, 1);
}

#[tokio::test]
async fn stopping_ends_connections_sessions_and_waiting_requests_within_a_second() {
    let fixture = Fixture::new();
    let mut waiting = fixture.client().await;
    let request = format!("DESCRIBE {}/wall RTSP/1.0\r\nCSeq: 1\r\n\r\n", waiting.base);
    waiting.send(request.as_bytes()).await;
    wait_for("the DESCRIBE to wait", || fixture.wall.is_wanted()).await;
    let asked = Instant::now();
    fixture.server.stop().await;
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    waiting.closed().await;
    assert!(!fixture.wall.is_wanted());
}

#[tokio::test]
async fn a_taken_port_is_told_in_one_sentence() {
    let fixture = Fixture::new();
    let address = fixture.server.local_addr();
    let error = RtspServer::bind(address, Mounts::new(), open()).unwrap_err();
    assert!(matches!(error, BindError::InUse(_)));
    let expected = format!("the RTSP address {address} is in use by another program, expected a free port");
    assert_eq!(error.to_string(), expected);
    let elsewhere = RtspServer::bind("192.0.2.1:0".parse().unwrap(), Mounts::new(), open()).unwrap_err();
    assert!(matches!(elsewhere, BindError::NotHere(_)), "{elsewhere:?}");
}

#[tokio::test]
async fn names_with_spaces_are_served_under_their_escaped_address() {
    let fixture = Fixture::new();
    fixture.mounts.add(Mount::new("front yard", Box::new(|| ()))).unwrap();
    let yard = fixture.mounts.get("front yard").unwrap();
    yard.push(&access_unit(0, true, 10), true, 0);
    let mut client = fixture.client().await;
    let setup = client.ask("SETUP", "/front%20yard/trackID=0", &["Transport: RTP/AVP/TCP"]).await;
    assert_eq!(setup.status, 200);
    let play = client.ask("PLAY", "/front%20yard", &[&format!("Session: {}", setup.session())]).await;
    assert!(play.header("RTP-Info").unwrap().contains("/front%20yard/trackID=0;seq="), "{play:?}");
}

async fn play_udp(fixture: &Fixture) -> (Client, UdpSocket, UdpSocket, String) {
    let rtp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let rtcp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let ports = (rtp.local_addr().unwrap().port(), rtcp.local_addr().unwrap().port());
    let mut client = fixture.client().await;
    let transport = format!("Transport: RTP/AVP;unicast;client_port={}-{}", ports.0, ports.1);
    let setup = client.ask("SETUP", "/wall/trackID=0", &[&transport]).await;
    assert_eq!(setup.status, 200, "{setup:?}");
    let answered = setup.header("Transport").unwrap();
    assert!(answered.contains(&format!("client_port={}-{};server_port=", ports.0, ports.1)), "{answered}");
    let session = format!("Session: {}", setup.session());
    let play = client.ask("PLAY", "/wall/", &[&session]).await;
    assert!(play.header("RTP-Info").unwrap().contains("rtptime="), "{play:?}");
    (client, rtp, rtcp, session)
}

/// Sets up and plays while nothing but a single key frame is pushed.
async fn join_playing(fixture: &Fixture, client: &mut Client) {
    let readers = fixture.wall.readers().len();
    let wall = Arc::clone(&fixture.wall);
    let pushing = tokio::spawn(async move {
        while wall.readers().len() == readers {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        wall.push(&access_unit(0, true, 1000), true, 0);
    });
    client.play_tcp().await;
    pushing.await.unwrap();
}

fn open() -> Arc<Authenticator> {
    Arc::new(Authenticator::new(Auth::Open))
}

fn receiver_report(ssrc: u32, lost: u8) -> Vec<u8> {
    let mut report = vec![0x81, 201, 0, 7, 0, 0, 0, 1];
    report.extend(ssrc.to_be_bytes());
    report.extend([0, 0, 0, lost]);
    report.extend([0; 16]);
    report
}

fn challenges(answer: &Answer) -> impl Iterator<Item = &str> {
    answer.head.lines().filter_map(|line| line.strip_prefix("WWW-Authenticate: "))
}

async fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(15), "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
