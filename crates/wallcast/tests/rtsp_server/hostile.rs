//! Clients that send rubbish, ask too slowly, take nothing, or do not log in.

use super::*;

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

fn challenges(answer: &Answer) -> impl Iterator<Item = &str> {
    answer.head.lines().filter_map(|line| line.strip_prefix("WWW-Authenticate: "))
}
