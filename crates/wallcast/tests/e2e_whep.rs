//! WHEP as clients in the field speak it, over HTTP and to the first frames: sessions and their ICE, who reaches the server how,
//! and what becomes of those who do not come.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::http::{Reply, request};
use common::viewer::{Viewer, offer_of_a_viewer};
use common::wait_until;
use common::wallcast::Wallcast;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

const SDP: (&str, &str) = ("Content-Type", "application/sdp");
const FRAGMENT: (&str, &str) = ("Content-Type", "application/trickle-ice-sdpfrag");
const SECRET: &str = "geheim-geheim-geheim";

/// A server with two walls that nothing is on, and these keys under `webrtc`.
fn server(test: &str, webrtc: &str) -> Wallcast {
    let config = format!(
        "
origins: ['https://intranet.example.org']
webrtc:
  ice_lite: false
{webrtc}
cameras: {{ left: 'rtsp://127.0.0.1:9/left' }}
walls: {{ wall: {{ tiles: [left] }}, 'other one': {{ tiles: [left] }} }}
"
    );
    Wallcast::with_config(test, &config)
}

/// One with the flags `wallcast run` has.
fn with_flags(test: &str, flags: &[&str]) -> Wallcast {
    Wallcast::start(test, &[&["run", "rtsp://127.0.0.1:9/left"], flags].concat())
}

fn ask(wallcast: &Wallcast, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    request(method, &format!("{}{path}", wallcast.http), headers, body)
}

fn post(wallcast: &Wallcast, offer: &str) -> Reply {
    let reply = ask(wallcast, "POST", "/whep/wall", &[SDP], offer);
    assert_eq!(reply.status, 201, "{reply:?}");
    reply
}

fn links(reply: &Reply) -> Vec<&str> {
    reply.headers.get_all("link").iter().map(|link| link.to_str().unwrap()).collect()
}

/// It gets what a decoder can begin with: perhaps not first, since the library may lose what comes before its track is open.
fn plays(viewer: &Viewer) {
    wait_until("a key frame", Duration::from_secs(15), || {
        let received = viewer.received();
        if received.key_frames > 0 { Ok(()) } else { Err(format!("{received:?}")) }
    });
}

fn line<'a>(sdp: &'a str, key: &str) -> &'a str {
    sdp.lines().find(|line| line.starts_with(key)).unwrap_or_else(|| panic!("no {key} in {sdp}"))
}

/// What a browser sends by PATCH: the credentials of an offer, and a candidate that cannot be looked up.
fn fragment(offer: &str) -> String {
    let (ufrag, password) = (line(offer, "a=ice-ufrag:"), line(offer, "a=ice-pwd:"));
    format!(
        "{ufrag}\r\n{password}\r\nm=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n\
         a=candidate:1 1 udp 2113937151 2b1a3c4d-0000-4000-8000-123456789abc.local 50000 typ host\r\n"
    )
}

#[test]
fn an_answer_brings_the_sessions_address_its_etag_and_the_ice_servers() {
    let servers = format!(
        "  ice_servers:
    - stun:stun.example.org
    - {{ urls: ['turn:turn.example.org', 'turns:turn.example.org:5349'], secret: {SECRET}, ttl: 90m }}
"
    );
    let wallcast = server("whep_created", &servers);
    let reply = post(&wallcast, &offer_of_a_viewer());
    assert_eq!(reply.header("content-type"), "application/sdp");
    let session = reply.header("location").strip_prefix("/whep/wall/").unwrap().to_owned();
    assert!(session.len() == 32 && session.bytes().all(|b| b.is_ascii_hexdigit()), "{session}");
    let etag = reply.header("etag").trim_matches('"').to_owned();
    assert!(reply.header("etag") == format!("\"{etag}\"") && !etag.contains(&session), "{etag}");
    assert_eq!(reply.header("cache-control"), "no-store");

    let found = links(&reply);
    assert_eq!((found.len(), found[0]), (3, "<stun:stun.example.org>; rel=\"ice-server\""), "{found:?}");
    let ends = found[1].split_once("username=\"").unwrap().1.split_once(":wallcast\"").unwrap().0;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!((now + 80 * 60..=now + 90 * 60).contains(&ends.parse().unwrap()), "{ends} at {now}");
    assert!(
        found[2].starts_with("<turns:turn.example.org:5349>; rel=\"ice-server\"; username="),
        "{found:?}"
    );
    for link in &found[1..] {
        assert!(
            link.contains("; credential=\"") && link.ends_with("; credential-type=\"password\""),
            "{link}"
        );
    }
    let options = ask(&wallcast, "OPTIONS", "/whep/wall", &[], "");
    assert_eq!(links(&options).len(), 3, "for clients that have to know before they offer: {options:?}");
    let second = post(&wallcast, &offer_of_a_viewer());
    assert_ne!(second.header("location"), reply.header("location"));

    let everything = format!("{}{}{found:?}", wallcast.output(), wallcast.get("/stats").body);
    for secret in [SECRET, &session] {
        assert!(!everything.contains(secret), "{secret} in {everything}");
    }
}

#[test]
fn the_endpoint_and_a_session_say_what_they_take() {
    let wallcast = server("whep_methods", "");
    let session = post(&wallcast, &offer_of_a_viewer()).header("location").to_owned();
    for method in ["GET", "HEAD", "OPTIONS"] {
        let reply = ask(&wallcast, method, "/whep/wall", &[], "");
        assert_eq!(reply.status, 204, "{method}: {reply:?}");
        assert_eq!(reply.header("accept-post"), "application/sdp", "{method}");
        assert!(reply.header("allow").contains("POST"), "{method}: {reply:?}");
        assert_eq!(links(&reply).len(), 0, "none is configured");

        let reply = ask(&wallcast, method, &session, &[], "");
        assert_eq!(reply.status, 204, "{method}: {reply:?}");
        assert_eq!(reply.header("accept-patch"), FRAGMENT.1, "{method}");
        assert!(
            reply.header("allow").contains("DELETE") && reply.header("etag").starts_with('"'),
            "{reply:?}"
        );

        assert_eq!(ask(&wallcast, method, "/whep/cellar", &[], "").status, 404, "{method}");
        let gone = "/whep/wall/00000000000000000000000000000000";
        assert_eq!(ask(&wallcast, method, gone, &[], "").status, 404, "{method}");
    }
    let reply = ask(&wallcast, "PUT", "/whep/wall", &[SDP], "v=0");
    assert_eq!(reply.status, 405, "{reply:?}");
    assert!(reply.header("allow").contains("POST"), "{reply:?}");
    let reply = ask(&wallcast, "POST", "/whep/wall", &[("Content-Type", "text/plain")], "v=0");
    assert_eq!((reply.status, reply.header("accept-post")), (415, SDP.1), "{reply:?}");
    let reply = ask(&wallcast, "POST", "/whep/wall", &[SDP], &"a=x\r\n".repeat(20_000));
    assert_eq!(reply.status, 413, "{reply:?}");

    let listed = ("Origin", "https://intranet.example.org");
    let preflight = [listed, ("Access-Control-Request-Method", "POST")];
    let reply = ask(&wallcast, "OPTIONS", "/whep/wall", &preflight, "");
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (204, listed.1), "{reply:?}");
    let reply = ask(&wallcast, "POST", "/whep/wall", &[SDP, listed], &offer_of_a_viewer());
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (201, listed.1), "{reply:?}");
    assert_eq!(reply.header("access-control-expose-headers"), "Location, Link, ETag, Retry-After");
    let other = ("Origin", "https://elsewhere.example");
    assert_eq!(ask(&wallcast, "POST", "/whep/wall", &[SDP, other], &offer_of_a_viewer()).status, 403);
}

#[test]
fn a_session_is_another_walls_under_no_address() {
    let wallcast = server("whep_walls", "");
    let offer = offer_of_a_viewer();
    let session = post(&wallcast, &offer).header("location").to_owned();
    let elsewhere = session.replace("/whep/wall/", "/whep/other%20one/");
    let any = [FRAGMENT, ("If-Match", "*")];
    for method in ["GET", "DELETE"] {
        assert_eq!(ask(&wallcast, method, &elsewhere, &[], "").status, 404, "{method}");
    }
    assert_eq!(ask(&wallcast, "PATCH", &elsewhere, &any, &fragment(&offer)).status, 404);
    assert_eq!(ask(&wallcast, "GET", &session, &[], "").status, 204, "it is there still");
    let reply = ask(&wallcast, "POST", "/whep/other%20one", &[SDP], &offer);
    assert!(reply.header("location").starts_with("/whep/other%20one/"), "{reply:?}");

    assert_eq!(ask(&wallcast, "DELETE", &session, &[("If-Match", "\"whatever\"")], "").status, 200);
    for method in ["GET", "DELETE"] {
        assert_eq!(ask(&wallcast, method, &session, &[], "").status, 404, "{method}");
    }
    assert_eq!(ask(&wallcast, "PATCH", &session, &any, &fragment(&offer)).status, 404);
}

#[test]
fn a_patch_belongs_to_the_ice_session_that_it_names() {
    let wallcast = server("whep_patch", "");
    let (offer, restarted) = (offer_of_a_viewer(), offer_of_a_viewer());
    let reply = post(&wallcast, &offer);
    let (session, etag) = (reply.header("location").to_owned(), reply.header("etag").to_owned());
    let patch = |if_match: &str, body: &str| {
        ask(&wallcast, "PATCH", &session, &[FRAGMENT, ("If-Match", if_match)], body)
    };
    let plain = [("Content-Type", "application/sdp"), ("If-Match", etag.as_str())];
    assert_eq!(ask(&wallcast, "PATCH", &session, &plain, &fragment(&offer)).status, 415);
    assert_eq!(ask(&wallcast, "PATCH", &session, &[FRAGMENT], &fragment(&offer)).status, 428);
    assert_eq!(patch("\"another\"", &fragment(&offer)).status, 412);
    assert_eq!(patch(&etag, "{\"candidate\": null}").status, 400);
    assert_eq!(patch(&etag, &"a=x\r\n".repeat(20_000)).status, 413);
    assert_eq!(patch(&etag, &fragment(&offer)).status, 204);
    assert_eq!(patch("*", &fragment(&offer)).status, 204);

    let reply = patch("*", &fragment(&restarted));
    assert_eq!((reply.status, reply.header("content-type")), (200, FRAGMENT.1), "{reply:?}");
    let newer = reply.header("etag").to_owned();
    assert!(newer.starts_with('"') && newer != etag, "{newer}");
    for key in ["a=ice-ufrag:", "a=ice-pwd:", "a=candidate:", "a=end-of-candidates"] {
        line(&reply.body, key);
    }
    assert_eq!(patch(&etag, &fragment(&restarted)).status, 412, "the old name");
    assert_eq!(patch(&newer, &fragment(&restarted)).status, 204);
    assert_eq!(
        patch("*", &fragment(&offer)).status,
        412,
        "a candidate from before the restart starts nothing"
    );
    assert_eq!(ask(&wallcast, "GET", &session, &[], "").header("etag"), newer);
}

#[test]
fn one_viewer_too_many_is_told_when_to_ask_again() {
    let wallcast = server("whep_full", "  max_viewers: 2\n  max_viewers_per_address: 1\n");
    let first = post(&wallcast, &offer_of_a_viewer());
    post(&wallcast, &offer_of_a_viewer()); // loopback has as many as there are
    let reply = ask(&wallcast, "POST", "/whep/wall", &[SDP], &offer_of_a_viewer());
    assert_eq!((reply.status, reply.header("retry-after")), (503, "10"), "{reply:?}");
    assert_eq!(reply.header("content-type"), "application/problem+json");
    assert_eq!(ask(&wallcast, "DELETE", first.header("location"), &[], "").status, 200);
    post(&wallcast, &offer_of_a_viewer());
}

#[test]
fn who_offers_and_never_comes_is_freed_after_ten_seconds() {
    let wallcast = server("whep_never", "");
    let asked = Instant::now();
    let session = post(&wallcast, &offer_of_a_viewer()).header("location").to_owned();
    assert_eq!(wallcast.number("/video_tracks"), 1.0);
    wait_until("the session to end", Duration::from_secs(14), || {
        let status = ask(&wallcast, "HEAD", &session, &[], "").status;
        if status == 404 { Ok(()) } else { Err(format!("{status}")) }
    });
    assert!((9..13).contains(&asked.elapsed().as_secs()), "{:?}", asked.elapsed());
    assert_eq!(wallcast.number("/video_tracks"), 0.0);
}

#[test]
fn a_viewer_watches_over_ipv6_and_one_over_ipv4_beside_it() {
    if UdpSocket::bind("[::1]:0").is_err() {
        return common::skip("whep_ipv6", "this machine has no IPv6");
    }
    let wallcast = with_flags("whep_ipv6", &["--listen", "[::1]:0", "--webrtc-listen", "[::]:0"]);
    assert!(wallcast.http.starts_with("http://[::1]:"), "{}", wallcast.http);
    let (six, answer) = Viewer::join_with(&wallcast, "wall", "[::1]:0", str::to_owned);
    assert!(answer.contains(" ::1 ") && answer.contains(" 127.0.0.1 "), "{answer}");
    let four = Viewer::join(&wallcast, "wall");
    plays(&six);
    plays(&four);
    assert_eq!(wallcast.number("/video_tracks"), 2.0);
    assert_eq!(six.delete(&wallcast).status, 200);
}

#[test]
fn a_viewer_that_waits_for_dtls_is_begun_with() {
    let wallcast = with_flags("whep_passive", &[]);
    let passive = |offer: &str| offer.replace("a=setup:actpass", "a=setup:passive");
    let (viewer, answer) = Viewer::join_with(&wallcast, "wall", "127.0.0.1:0", passive);
    line(&answer, "a=setup:active");
    plays(&viewer);
}

#[test]
fn candidates_that_cannot_be_looked_up_do_no_harm_however_many() {
    let wallcast = with_flags("whep_mdns", &[]);
    let many = |offer: &str| {
        let kept = offer.lines().filter(|line| !line.starts_with("a=candidate:"));
        let kept: String = kept.map(|line| format!("{line}\r\n")).collect();
        let candidates: String = (0..200)
            .map(|n| format!("a=candidate:{n} 1 udp 2113937151 2b1a3c4d-{n:04}-4000-8000-123456789abc.local 5{n:04} typ host\r\n"))
            .collect();
        kept + &candidates
    };
    let (viewer, _) = Viewer::join_with(&wallcast, "wall", "127.0.0.1:0", many);
    plays(&viewer);
}

#[test]
fn an_ice_lite_server_says_so_and_is_watched() {
    let config = "
webrtc: { ice_lite: true }
cameras: { left: 'rtsp://127.0.0.1:9/left' }
";
    let wallcast = Wallcast::with_config("whep_lite", config);
    let (viewer, answer) = Viewer::join_with(&wallcast, "wall", "127.0.0.1:0", str::to_owned);
    line(&answer, "a=ice-lite");
    // Past the first time that consent would be asked for.
    std::thread::sleep(Duration::from_secs(8));
    assert_eq!(wallcast.stat("/viewers/0/state"), "connected");
    let before = viewer.received().frames;
    wait_until("more frames", Duration::from_secs(5), || {
        let frames = viewer.received().frames;
        if frames > before { Ok(()) } else { Err(frames) }
    });
}

#[test]
fn public_addresses_are_candidates_beside_our_own() {
    let wallcast =
        server("whep_public", "  public_addresses: [198.51.100.7, '198.51.100.8:9000', 'localhost:9001']\n");
    wait_until("the name to be looked up", Duration::from_secs(10), || {
        let answer = post(&wallcast, &offer_of_a_viewer()).body;
        if answer.contains(" 9001 typ host") { Ok(()) } else { Err(answer) }
    });
    let answer = post(&wallcast, &offer_of_a_viewer()).body;
    let candidates: Vec<&str> = answer.lines().filter(|line| line.starts_with("a=candidate:")).collect();
    let own = candidates[0].split(' ').nth(5).unwrap();
    for protocol in ["udp", "tcp"] {
        for place in [format!("198.51.100.7 {own} typ host"), "198.51.100.8 9000 typ host".to_owned()] {
            let is_there =
                |candidate: &&str| candidate.contains(&format!(" {protocol} ")) && candidate.contains(&place);
            assert_eq!(
                candidates.iter().filter(|candidate| is_there(candidate)).count(),
                1,
                "{place}: {candidates:?}"
            );
        }
    }
    assert!(
        candidates.iter().any(|candidate| candidate.contains(&format!(" 127.0.0.1 {own} "))),
        "{candidates:?}"
    );
}

#[test]
fn strangers_are_not_answered_and_counted_in_the_stats() {
    let wallcast = server("whep_strangers", "");
    let answer = post(&wallcast, &offer_of_a_viewer()).body;
    let port: u16 = line(&answer, "a=candidate:").split(' ').nth(5).unwrap().parse().unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    for _ in 0..5 {
        socket.send_to(b"who is there?", ("127.0.0.1", port)).unwrap();
    }
    let heard = socket.recv_from(&mut [0; 1500]);
    assert!(heard.is_err(), "{heard:?}");
    assert_eq!(wallcast.number("/io/datagrams_of_strangers"), 5.0);
    assert_eq!(wallcast.number("/io/packets_unsent"), 0.0);
    assert_eq!(wallcast.number("/io/datagrams_dropped"), 0.0);
}

#[test]
fn a_webrtc_port_that_is_taken_is_named_with_what_to_do_about_it() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _listener = std::net::TcpListener::bind(taken).unwrap();
    let arguments = ["run", "rtsp://127.0.0.1:9/cam", "--webrtc-listen", &taken.to_string()];
    let ended = Wallcast::run_to_end("whep_port", &arguments);
    assert_eq!(ended.code, Some(1), "{}", ended.output);
    let expected = format!(
        "the WebRTC address {taken} is in use by another program, expected a port that is free for UDP and TCP; choose \
         another with --webrtc-listen ADDRESS:PORT, or `listen:` under `webrtc:`"
    );
    assert!(ended.output.contains(&expected), "{}", ended.output);
}
