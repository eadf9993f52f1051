//! A camera's password never leaves the process: not in logs at their most talkative, not in `/stats`, not in an error.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::camera::{self, Camera};
use common::http::request;
use common::rtsp_stub::{Answers, Stub};
use common::viewer::offer_of_a_viewer;
use common::wallcast::{Wallcast, config_file};
use std::thread::sleep;
use std::time::Duration;

/// A word that appears nowhere by chance, and characters that have to be escaped in a URL.
const PASSWORD: &str = "Zebra!Crossing@7 %";
const ENCODED: &str = "Zebra%21Crossing%407%20%25";
const QUERY: &str = "streamkey=giraffe77";
const TOKEN: &str = "ostrich-token-0123456789";

/// Everything, and by name the libraries that write whole messages: naming them must not bring them back.
const MOST_TALKATIVE: &str = "trace,retina=trace,retina::client=trace,retina::client::parse=trace,rtc_ice=trace,\
                              rtc_sdp=trace,webrtc=trace,hyper=trace,ureq=trace,wallcast::http=trace";

/// Every form a secret could leak in. `admin:` and the password in base64 is what HTTP's and RTSP's Basic login sends.
fn assert_no_secret(where_: &str, text: &str) {
    let basic = "YWRtaW46WmVicmEhQ3Jvc3NpbmdANyAl";
    for secret in [PASSWORD, ENCODED, "Zebra", "zebra", basic, "giraffe77", TOKEN, "ostrich"] {
        if let Some(line) = text.lines().find(|line| line.contains(secret)) {
            panic!("{where_} says {secret:?}: {line}");
        }
    }
}

#[test]
fn no_password_in_logs_stats_pages_or_error_bodies() {
    let test = "passwords";
    if !camera::available(test) {
        return;
    }
    let login = ["--size", "640x360", "--user", "admin"];
    let digest = Camera::start(&[&login[..], &["--password", PASSWORD]].concat());
    let basic = Camera::start(&[&login[..], &["--password", PASSWORD, "--auth", "basic"]].concat());
    let other_password = Camera::start(&[&login[..], &["--password", "another"]].concat());
    let not_rtsp = Stub::start(Answers::Ssh);
    let refusing = Stub::start(Answers::Unauthorized);
    let config = format!(
        "
listen: 127.0.0.1:0
auth: {{ tokens: [ {{ name: all, token: {TOKEN}, roles: [view, publish, admin] }} ] }}
cameras:
  digest: '{}'
  basic: '{}?{QUERY}'
  wrong: '{}'
  ssh: 'rtsp://admin:{ENCODED}@{}/cam?{QUERY}'
  refusing: 'rtsp://admin:{ENCODED}@{}/cam?{QUERY}'
  nobody: 'rtsp://admin:{ENCODED}@127.0.0.1:9/cam?{QUERY}'
  nowhere: 'rtsp://admin:{ENCODED}@no-such-host.invalid/cam?{QUERY}'
walls: {{ wall: {{ layout: grid, tiles: [digest, basic, wrong, ssh, refusing, nobody, nowhere] }} }}
",
        digest.url_with_login("admin", ENCODED),
        basic.url_with_login("admin", ENCODED),
        other_password.url_with_login("admin", ENCODED),
        not_rtsp.address,
        refusing.address,
    );
    let file = config_file(test, &config);
    let wallcast = Wallcast::start_with(
        test,
        &["run", "--config", file.to_str().unwrap()],
        &[("WALLCAST_LOG", MOST_TALKATIVE), ("RUST_BACKTRACE", "1")],
    );
    let bearer = format!("Bearer {TOKEN}");
    let ask = |method: &str, path: &str, headers: &[(&str, &str)], body: &str| {
        let headers: Vec<_> = headers.iter().copied().chain([("Authorization", bearer.as_str())]).collect();
        let reply = request(method, &format!("{}{path}", wallcast.http), &headers, body);
        assert_no_secret(&format!("{method} {path}"), &format!("{:?}\n{}", reply.headers, reply.body));
        reply
    };
    // Long enough for every camera to fail more than once, at the log's most talkative.
    for _ in 0..16 {
        let stats = ask("GET", "/stats", &[], "");
        assert_eq!(stats.status, 200);
        sleep(Duration::from_millis(500));
    }
    let stats: serde_json::Value = serde_json::from_str(&ask("GET", "/stats", &[], "").body).unwrap();
    for (name, camera) in stats["cameras"].as_object().unwrap() {
        if matches!(name.as_str(), "digest" | "basic") {
            assert_eq!(camera["state"], "live", "{name}: {camera}");
        } else {
            assert_ne!(camera["state"], "live", "{name}: {camera}");
            assert!(camera["reason"].is_string(), "{name}: {camera}");
        }
        assert!(camera["url"].as_str().unwrap().starts_with("rtsp://"), "{name}: {camera}");
    }
    assert!(
        !refusing.requests().is_empty() && not_rtsp.connections() > 0,
        "the failing cameras were never tried"
    );

    let sdp = ("Content-Type", "application/sdp");
    let offer = offer_of_a_viewer();
    for (method, path, header, body) in [
        ("GET", "/", sdp, ""),
        ("GET", "/wall/wall", sdp, ""),
        ("GET", "/wall/digest", sdp, ""),
        ("GET", "/wall/no-such-wall", sdp, ""),
        ("GET", "/no-such-page", sdp, ""),
        ("POST", "/whep/wall", sdp, offer.as_str()),
        ("POST", "/whep/wall", sdp, "not SDP"),
        ("POST", "/whep/digest", sdp, offer.as_str()),
        ("POST", "/whep/nobody", sdp, offer.as_str()),
        ("POST", "/whep/cellar", sdp, offer.as_str()),
        ("POST", "/whep/wall", ("Content-Type", "text/plain"), ""),
        ("GET", "/stats", ("Host", "evil.example"), ""),
        ("DELETE", "/whep/wall/no-such-session", ("Origin", "https://evil.example"), ""),
    ] {
        ask(method, path, &[header], body);
    }
    let without_token = wallcast.get("/stats?token=ostrich");
    assert_eq!(without_token.status, 401);
    let page = request("GET", &format!("{}/wall/wall?token={TOKEN}", wallcast.http), &[], "");
    assert_eq!(page.status, 200);

    wallcast.interrupt();
    sleep(Duration::from_secs(2));
    let log = wallcast.output();
    assert!(log.contains("DEBUG"), "the log is not talkative: {log}");
    assert_no_secret("the log", &log);
}

#[test]
fn no_password_in_what_is_said_about_a_bad_configuration() {
    let test = "passwords_in_problems";
    for camera in [
        format!("rtps://admin:{ENCODED}@192.168.8.101/live"),
        format!("rtsp://admin:{ENCODED}@192.168.8.101:99999/live?{QUERY}"),
        format!("rtsp://admin:{ENCODED}@/live"),
        format!("rtsp://admin:{PASSWORD}@192.168.8.101/live"),
        format!("admin:{ENCODED}@192.168.8.101"),
        format!("{{ source: 'rtsp://admin:{ENCODED}@h/x', pasword: {PASSWORD:?} }}"),
        format!("[ 'rtsp://admin:{ENCODED}@h/x' ]"),
    ] {
        let camera = if camera.starts_with(['{', '[']) { camera } else { format!("'{camera}'") };
        let config = format!(
            "auth: {{ tokens: [ {{ name: all, tokn: {TOKEN} }} ] }}
cameras: {{ left: {camera} }}
walls: {{ wall: {{ layout: grid, tiles: [left, missing] }} }}
"
        );
        let file = config_file(test, &config);
        for arguments in
            [vec!["check", file.to_str().unwrap()], vec!["run", "--config", file.to_str().unwrap()]]
        {
            let ended = Wallcast::run_to_end(test, &arguments);
            assert_eq!(ended.code, Some(2), "{camera}: {}", ended.output);
            assert!(ended.output.contains("missing"), "one problem hides another: {}", ended.output);
            assert_no_secret(&format!("{arguments:?} with {camera}"), &ended.output);
        }
    }
    let url = format!("rtsp://admin:{ENCODED}@192.168.8.101:99999/live?{QUERY}");
    let ended = Wallcast::run_to_end(test, &["run", &url]);
    assert_eq!(ended.code, Some(2), "{}", ended.output);
    assert_no_secret("`run` with a bad URL", &ended.output);
}
