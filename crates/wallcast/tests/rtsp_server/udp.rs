//! Readers by UDP: their ports, how they are kept and freed, and how many a network may have.

use super::*;

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

fn receiver_report(ssrc: u32, lost: u8) -> Vec<u8> {
    let mut report = vec![0x81, 201, 0, 7, 0, 0, 0, 1];
    report.extend(ssrc.to_be_bytes());
    report.extend([0, 0, 0, lost]);
    report.extend([0; 16]);
    report
}
