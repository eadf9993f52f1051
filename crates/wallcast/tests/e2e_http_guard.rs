//! Who may ask for what over HTTP: Host, Origin, content type, names and tokens.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::http::{Reply, request};
use common::viewer::{Viewer, offer_of_a_viewer};
use common::wallcast::Wallcast;

const SDP: (&str, &str) = ("Content-Type", "application/sdp");

fn demo(test: &str) -> Wallcast {
    Wallcast::start(test, &["demo"])
}

fn post(wallcast: &Wallcast, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    request("POST", &format!("{}{path}", wallcast.http), headers, body)
}

/// RFC 9457: what a refused program reads.
fn assert_problem(reply: &Reply, status: u16) {
    assert_eq!(reply.status, status, "{reply:?}");
    assert!(reply.header("content-type").starts_with("application/problem+json"), "{reply:?}");
    let problem: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
    assert!(problem["title"].is_string(), "{problem}");
}

#[test]
fn a_foreign_host_is_refused() {
    let wallcast = demo("guard_host");
    for path in ["/", "/stats", "/wall/wall"] {
        let reply = request("GET", &format!("{}{path}", wallcast.http), &[("Host", "evil.example")], "");
        assert_eq!(reply.status, 403, "{path}: {reply:?}");
    }
    let port = wallcast.http.rsplit(':').next().unwrap();
    let reply =
        request("GET", &format!("{}/stats", wallcast.http), &[("Host", &format!("localhost:{port}"))], "");
    assert_eq!(reply.status, 200, "{reply:?}");
}

#[test]
fn a_page_of_another_origin_cannot_open_or_close_a_session() {
    let wallcast = demo("guard_origin");
    let foreign = ("Origin", "https://evil.example");
    let reply = post(&wallcast, "/whep/wall", &[SDP, foreign], &offer_of_a_viewer());
    assert_eq!(reply.status, 403, "{reply:?}");

    let viewer = Viewer::join(&wallcast, "wall");
    let session = format!("{}{}", wallcast.http, viewer.session);
    assert_eq!(request("DELETE", &session, &[foreign], "").status, 403);
    assert_eq!(request("DELETE", &session, &[("Origin", &wallcast.http)], "").status, 200);
    assert_eq!(viewer.delete(&wallcast).status, 404, "a session is gone once deleted");
}

#[test]
fn an_offer_that_cannot_be_is_refused_with_the_fitting_status() {
    let wallcast = demo("guard_offers");
    let offer = offer_of_a_viewer();
    assert_problem(&post(&wallcast, "/whep/wall", &[("Content-Type", "text/plain")], &offer), 415);
    assert_problem(&post(&wallcast, "/whep/wall", &[SDP], "this is not SDP"), 400);
    assert_problem(&post(&wallcast, "/whep/cellar", &[SDP], &offer), 404);
    let without_h264 = offer.replace("H264", "VP8");
    assert_problem(&post(&wallcast, "/whep/wall", &[SDP], &without_h264), 406);
    let long = format!("{offer}{}", "a=x-padding:0\r\n".repeat(20_000));
    let reply = post(&wallcast, "/whep/wall", &[SDP], &long);
    assert!(matches!(reply.status, 400 | 413), "{}", reply.status);
    // None of them left anything behind.
    assert_eq!(wallcast.number("/clients"), 0.0);
}

#[test]
fn tokens_open_what_their_roles_say_and_nothing_else() {
    let config = "
listen: 127.0.0.1:0
auth:
  tokens:
    - { name: kiosk, token: kiosk-token-0123456789, roles: [view] }
    - { name: robot, token: robot-token-0123456789, roles: [publish] }
cameras: { left: 'rtsp://127.0.0.1:9/left' }
walls: { wall: { layout: grid, tiles: [left] } }
";
    let wallcast = Wallcast::with_config("guard_tokens", config);
    let get = |path: &str, headers: &[(&str, &str)]| {
        request("GET", &format!("{}{path}", wallcast.http), headers, "").status
    };
    let bearer = |token: &str| format!("Bearer {token}");
    assert_eq!(get("/livez", &[]), 200);
    for path in ["/", "/stats", "/wall/wall"] {
        assert_eq!(get(path, &[]), 401, "{path}");
        assert_eq!(get(path, &[("Authorization", &bearer("wrong"))]), 401, "{path}");
        assert_eq!(get(path, &[("Authorization", &bearer("robot-token-0123456789"))]), 403, "{path}");
        assert_eq!(get(path, &[("Authorization", &bearer("kiosk-token-0123456789"))]), 200, "{path}");
    }
    assert_eq!(get("/wall/wall?token=kiosk-token-0123456789", &[]), 200);
    assert_eq!(get("/wall/wall?token=wrong", &[]), 401);

    let offer = offer_of_a_viewer();
    assert_eq!(post(&wallcast, "/whep/wall", &[SDP], &offer).status, 401);
    let robot = bearer("robot-token-0123456789");
    assert_eq!(post(&wallcast, "/whep/wall", &[SDP, ("Authorization", &robot)], &offer).status, 403);
    let kiosk = bearer("kiosk-token-0123456789");
    assert_eq!(post(&wallcast, "/whep/wall", &[SDP, ("Authorization", &kiosk)], &offer).status, 201);
}
