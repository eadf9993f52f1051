//! Walls rearranged over HTTP, against the built binary: layouts, promotions, tiles, the state file.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::http::{Reply, request};
use common::wait_until;
use common::wallcast::{Wallcast, config_file};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const JSON: (&str, &str) = ("Content-Type", "application/json");
const LAYOUT: &str = "/api/v1/walls/wall/layout";
const PROMOTE: &str = "/api/v1/walls/wall/promote";
const TILES: &str = "/api/v1/walls/wall/tiles";
/// Nobody is behind the discard port.
const CAMERAS: &str = "cameras:
  left: rtsp://127.0.0.1:9/left
  top: rtsp://127.0.0.1:9/top
  bottom: rtsp://127.0.0.1:9/bottom
  right: { source: rtsp://127.0.0.1:9/right, substream: rtsp://127.0.0.1:9/sub }
  gate: rtsp://127.0.0.1:9/gate
";
const WALLS: &str = "walls:
  wall: { layout: columns, tiles: [left, top, bottom, right] }
  lobby:
    size: 1280x720
    background: '#202428'
    layout:
      - { camera: left, x: 0, y: 0, width: 960, height: 720, fit: cover, mask: { x: 0, y: 70%, width: 0.25, height: 30% } }
      - { tour: [top, bottom], every: 4s, x: 900, y: 0, width: 380, height: 214, z: 3, rotate: 90, mirror: true }
";

/// Wallcast with this test's configuration, and the file where it saves its state, which is not there.
fn start(test: &str, more: &str) -> (Wallcast, PathBuf) {
    let yaml = format!("listen: 127.0.0.1:0\nstate: state.json\n{more}{CAMERAS}{WALLS}");
    let state = config_file(test, &yaml).with_file_name("state.json");
    let _absent = fs::remove_file(&state);
    (again(test, &yaml), state)
}

fn again(test: &str, yaml: &str) -> Wallcast {
    Wallcast::with_config(test, yaml)
}

fn send(wallcast: &Wallcast, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    request(method, &format!("{}{path}", wallcast.http), headers, body)
}

fn put(wallcast: &Wallcast, layout: &Value) -> Reply {
    send(wallcast, "PUT", LAYOUT, &[JSON], &layout.to_string())
}

fn body(reply: &Reply) -> Value {
    serde_json::from_str(&reply.body).unwrap_or_else(|error| panic!("{error}: {reply:?}"))
}

fn get(wallcast: &Wallcast, path: &str) -> Value {
    let reply = wallcast.get(path);
    assert_eq!(reply.status, 200, "{path}: {reply:?}");
    body(&reply)
}

/// The cameras on the wall, by `/tiles`, in the order of places.
fn on_wall(wallcast: &Wallcast) -> String {
    let tiles = get(wallcast, TILES);
    let mut tiles = tiles["tiles"].as_array().unwrap().clone();
    tiles.sort_by_key(|tile| tile["tile"].as_u64());
    tiles.iter().map(|tile| tile["camera"].as_str().unwrap()).collect::<Vec<_>>().join(" ")
}

/// RFC 9457, and every problem: `path: found …, expected …`.
#[track_caller]
fn problems(reply: &Reply, status: u16) -> Vec<String> {
    assert_eq!(reply.status, status, "{reply:?}");
    assert!(reply.header("content-type").starts_with("application/problem+json"), "{reply:?}");
    let problem = body(reply);
    let each = |problem: &Value| {
        let text = |key: &str| problem[key].as_str().unwrap().to_owned();
        format!("{}: found {}, expected {}", text("path"), text("found"), text("expected"))
    };
    problem["problems"].as_array().map(|problems| problems.iter().map(each).collect()).unwrap_or_default()
}

#[test]
fn a_layout_is_answered_as_documented_and_taken_back_unchanged() {
    let (wallcast, _) = start("layout_round_trip", "");
    let layout = get(&wallcast, LAYOUT);
    assert_eq!(layout["layout"], "columns");
    assert_eq!(layout["tiles"], json!(["left", "top", "bottom", "right"]));
    assert_eq!(
        layout["placements"][0],
        json!({ "camera": "left", "x": 0, "y": 0, "width": 480, "height": 1080, "z": 0, "fit": "contain" })
    );
    let mask = json!([{ "x": 0, "y": "10%", "width": 0.5, "height": 0.25 }]);
    let all_keys = json!({ "camera": "gate", "fit": "cover", "crop": { "x": 0.1, "y": 0, "width": 0.5, "height": 1.0 }, "rotate": 270, "mirror": true, "mask": mask, "overlay": { "clock": true }, "label": "a $5 ${GATE}" });
    let layouts = [
        json!({ "layout": "1+5", "tiles": ["gate", all_keys, { "tour": ["left", "right"], "every": "2.5s" }], "gap": 4, "border": 2, "background": "teal", "fit": "stretch" }),
        json!({ "layout": "grid" }),
        json!({ "layout": [
            { "camera": "gate", "x": 0, "y": 0, "width": 1920, "height": 1080 },
            { "tour": ["left", "top"], "x": 100, "y": 100, "width": 320, "height": 180, "z": 7 },
            { "camera": "right", "x": 200, "y": 100, "width": 320, "height": 180, "z": -1, "mask": mask } ] }),
    ];
    for wall in ["wall", "lobby"] {
        let path = format!("/api/v1/walls/{wall}/layout");
        for layout in std::iter::once(get(&wallcast, &path)).chain(layouts.clone()) {
            if wall == "lobby" && layout["layout"].is_array() && layout["layout"][0]["width"] == 1920 {
                continue;
            }
            let first = send(&wallcast, "PUT", &path, &[JSON], &layout.to_string());
            assert_eq!(first.status, 200, "{layout}: {first:?}");
            for (key, value) in layout.as_object().unwrap() {
                assert_eq!(body(&first)[key], *value, "{key}");
            }
            let answered = wallcast.get(&path);
            assert_eq!((body(&answered), answered.header("etag")), (body(&first), first.header("etag")));
            let second = send(&wallcast, "PUT", &path, &[JSON], &answered.body);
            assert_eq!((second.status, body(&second)), (200, body(&answered)), "{layout}");
        }
    }
    let tiles = get(&wallcast, "/api/v1/walls/lobby/tiles");
    assert_eq!(tiles["canvas"], json!({ "width": 1280, "height": 720 }));
}

#[test]
fn an_etag_saves_an_answer_and_decides_who_was_first() {
    let (wallcast, _) = start("layout_etag", "");
    let etag = wallcast.get(LAYOUT).header("etag").to_owned();
    assert!(etag.starts_with('"') && etag.ends_with('"'), "strong: {etag}");
    let known = format!("\"other\", {etag}");
    let reply = send(&wallcast, "GET", LAYOUT, &[("If-None-Match", &known)], "");
    assert_eq!((reply.status, reply.body.as_str(), reply.header("etag")), (304, "", etag.as_str()));
    assert_eq!(send(&wallcast, "GET", LAYOUT, &[("If-None-Match", "\"other\"")], "").status, 200);

    for stale in ["\"other\"", "W/\"other\"", &format!("W/{etag}"), ""] {
        let reply = send(&wallcast, "PUT", LAYOUT, &[JSON, ("If-Match", stale)], r#"{"layout":"2x3"}"#);
        problems(&reply, 412);
    }
    assert_eq!(wallcast.get(LAYOUT).header("etag"), etag, "nothing was changed");

    // The same layout for everybody, so that the content cannot tell who was first.
    let layout = get(&wallcast, LAYOUT).to_string();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let put = || send(&wallcast, "PUT", LAYOUT, &[JSON, ("If-Match", &etag)], &layout).status;
        let writers: Vec<_> = (0..8).map(|_| scope.spawn(put)).collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|&&status| status == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 412].contains(status)), "{statuses:?}");
    assert_eq!(send(&wallcast, "PUT", LAYOUT, &[JSON, ("If-Match", "*")], r#"{"layout":"2x3"}"#).status, 200);
}

#[test]
fn a_layout_that_cannot_be_is_refused_with_every_problem_and_changes_nothing() {
    let (wallcast, state) = start("layout_refused", "");
    let before = wallcast.get(LAYOUT);
    let wrong = json!({
        "layout": "columms", "fit": "zoom", "gap": 3, "colour": "red", "background": "#12",
        "tiles": ["left", "rihgt", { "camera": "top", "rotate": 45, "crop": { "x": 2, "y": 0, "width": 0.5, "height": 1 } },
            { "tour": [], "every": "1s" }, { "camera": "left", "tour": ["top"] }, { "every": "5s", "camera": "left" }, {},
            { "camera": "right", "mask": { "x": 0, "y": 0, "width": 100, "height": 100 } }],
    });
    let mut found = problems(&put(&wallcast, &wrong), 422);
    found.sort();
    let paths: Vec<&str> = found.iter().map(|problem| problem.split(": ").next().unwrap()).collect();
    assert_eq!(
        paths,
        [
            "background",
            "colour",
            "fit",
            "gap",
            "layout",
            "tiles[1]",
            "tiles[2].crop",
            "tiles[2].rotate",
            "tiles[3].every",
            "tiles[3].tour",
            "tiles[4].tour",
            "tiles[5].every",
            "tiles[6]",
            "tiles[7].mask",
        ],
        "{found:#?}"
    );
    assert!(found.contains(&"tiles[1]: found rihgt, expected a camera: left, top, bottom, right or gate; did you mean right?".to_owned()));

    let rect =
        |x: u32, width: u32| json!({ "camera": "left", "x": x, "y": 0, "width": width, "height": 100 });
    let check = |layout: Value, expected: &[&str]| {
        let found = problems(&put(&wallcast, &layout), 422);
        assert_eq!(found, expected, "{layout}");
    };
    check(
        json!({ "layout": [rect(0, 64), rect(1900, 64), rect(1, 0)] }),
        &[
            "layout[1]: found x + width up to 1964, expected at most 1920, the canvas's",
            "layout[2]: found a width of 0, expected at least 2",
            "layout[2]: found x 1, expected an even number",
        ],
    );
    check(json!({ "layout": vec![rect(0, 64); 65] }), &["layout: found 65 tiles, expected 1 to 64"]);
    check(
        json!({ "layout": "grid", "tiles": vec!["left"; 65] }),
        &["tiles: found a grid of 65 tiles, expected 1 to 64"],
    );
    check(
        json!({ "layout": "grid", "tiles": [] }),
        &["tiles: found an empty list, expected at least one camera, or no key `tiles` for all of them"],
    );
    check(json!({}), &[": found no `layout`, expected the name of a layout, or a list of rectangles"]);
    check(
        json!({ "layout": [rect(0, 64)], "tiles": ["right"] }),
        &["tiles: found `tiles` next to a list of rectangles, expected each rectangle with its own `camera`"],
    );
    assert_eq!(problems(&put(&wallcast, &json!([1, 2])), 422).len(), 1);
    assert_eq!(problems(&put(&wallcast, &json!("grid")), 422).len(), 1);
    // `${…}` is put into files, never into what comes over the network.
    let secret = json!({ "layout": "grid", "tiles": ["${HOME}"] });
    assert!(problems(&put(&wallcast, &secret), 422)[0].contains("${HOME}"), "its name, not its value");

    let after = wallcast.get(LAYOUT);
    assert_eq!((after.body, after.headers.get("etag")), (before.body, before.headers.get("etag")));
    assert!(!state.exists(), "nothing was saved");
}

#[test]
fn what_is_no_layout_at_all_is_refused_with_the_fitting_status() {
    let (wallcast, _) = start("layout_hostile", "");
    let deep = format!("{{\"layout\":{}{}}}", "[".repeat(30_000), "]".repeat(30_000));
    let bodies = [
        "",
        "{",
        "layout: grid",
        "{'layout':'grid'}",
        "{\"layout\":\"grid\"}}",
        "{\"layout\":NaN}",
        "{\"gap\":1e999}",
        "{\"layout\":\"grid\",}",
        "\u{0}",
        &deep,
    ];
    for text in bodies {
        problems(&send(&wallcast, "PUT", LAYOUT, &[JSON], text), 400);
    }
    let refused = [
        r#"{"layout":"grid","layout":"pip"}"#,
        r#"{"layout":"grid","tiles":["left"],"tiles":["top"]}"#,
        r#"{"layout":[{"camera":"left","x":0,"x":2,"y":0,"width":64,"height":64}]}"#,
        r#"{"layout":[{"camera":"left","x":-2,"y":0,"width":64,"height":64}]}"#,
        r#"{"layout":[{"camera":"left","x":0.5,"y":0,"width":64,"height":64}]}"#,
        r#"{"layout":[{"camera":"left","x":4294967294,"y":4294967294,"width":4294967294,"height":4294967294}]}"#,
        r#"{"layout":[{"camera":"left","x":99999999999999999999999,"y":0,"width":64,"height":64}]}"#,
        r#"{"layout":[{"camera":"left","x":0,"y":0,"width":64,"height":64,"z":2147483648}]}"#,
        r#"{"layout":[[[[[[[[[[[[[[[[[[[["left"]]]]]]]]]]]]]]]]]]]]}"#,
        r#"{"layout":null}"#,
        r#"{"layout":7}"#,
        r#"{"layout":true}"#,
        r#"{"layout":{}}"#,
        r#"{"layout":[]}"#,
        r#"{"layout":"\u0000"}"#,
        r#"{"layout":"grid","tiles":"left"}"#,
        r#"{"layout":"grid","tiles":[null]}"#,
        r#"{"layout":"grid","tiles":[{"tour":["left","left"]}]}"#,
    ];
    for text in refused {
        let found = problems(&send(&wallcast, "PUT", LAYOUT, &[JSON], text), 422);
        assert!(!found.is_empty(), "{text}");
    }
    let long = format!("{{\"layout\":\"grid\",\"background\":\"{}\"}}", "x".repeat(70_000));
    problems(&send(&wallcast, "PUT", LAYOUT, &[JSON], &long), 413);
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx"] {
        problems(&send(&wallcast, "PUT", LAYOUT, &[("Content-Type", kind)], r#"{"layout":"grid"}"#), 415);
    }
    problems(&send(&wallcast, "PUT", LAYOUT, &[], r#"{"layout":"grid"}"#), 415);
    let kind = ("Content-Type", "Application/JSON; charset=utf-8");
    assert_eq!(send(&wallcast, "PUT", LAYOUT, &[kind], "\t{\n\t\"layout\": \"gr\\u0069d\"\n\t}").status, 200);
    for path in ["layout", "promote", "tiles"] {
        problems(&wallcast.get(&format!("/api/v1/walls/cellar/{path}")), 404);
    }
    problems(&send(&wallcast, "PUT", "/api/v1/walls/cellar/layout", &[JSON], "{}"), 404);
    problems(&send(&wallcast, "POST", LAYOUT, &[JSON], "{}"), 405);
    assert_eq!(wallcast.get("/livez").status, 200);
}

#[test]
fn whoever_views_may_read_and_only_an_administrator_may_change() {
    let tokens = "auth:
  tokens:
    - { name: kiosk, token: kiosk-token-0123456789, roles: [view] }
    - { name: robot, token: robot-token-0123456789, roles: [publish] }
    - { name: editor, token: editor-token-0123456789, roles: [admin] }
";
    let (wallcast, _) = start("layout_roles", tokens);
    let layout = r#"{"layout":"grid"}"#;
    let ask = |method: &str, path: &str, token: &str, body: &str| {
        let token = format!("Bearer {token}-token-0123456789");
        send(&wallcast, method, path, &[JSON, ("Authorization", &token)], body).status
    };
    for path in [LAYOUT, PROMOTE, TILES] {
        assert_eq!(wallcast.get(path).status, 401, "{path}");
        assert_eq!(
            ["kiosk", "robot", "editor"].map(|token| ask("GET", path, token, "")),
            [200, 403, 200],
            "{path}"
        );
    }
    let promotion = r#"{"camera":"gate"}"#;
    for (method, path, body, good) in [
        ("PUT", LAYOUT, layout, 200),
        ("DELETE", LAYOUT, "", 200),
        ("POST", PROMOTE, promotion, 200),
        ("DELETE", PROMOTE, "", 204),
    ] {
        assert_eq!(send(&wallcast, method, path, &[JSON], body).status, 401, "{method} {path}");
        let found = ["kiosk", "robot", "editor"].map(|token| ask(method, path, token, body));
        assert_eq!(found, [403, 403, good], "{method} {path}");
    }
    // A webhook that can set no header.
    let hook = format!("{PROMOTE}?camera=gate&for=5&token=editor-token-0123456789");
    assert_eq!(send(&wallcast, "POST", &hook, &[], "").status, 200);
}

#[test]
fn a_page_of_another_site_changes_nothing() {
    let (wallcast, _) = start("layout_origin", "");
    for foreign in
        [("Origin", "https://evil.example"), ("Host", "evil.example"), ("Sec-Fetch-Site", "cross-site")]
    {
        for (method, path, body) in
            [("PUT", LAYOUT, r#"{"layout":"grid"}"#), ("POST", PROMOTE, r#"{"camera":"gate"}"#)]
        {
            assert_eq!(
                send(&wallcast, method, path, &[JSON, foreign], body).status,
                403,
                "{method} {foreign:?}"
            );
        }
    }
    assert_eq!(get(&wallcast, LAYOUT)["layout"], "columns");
    assert_eq!(on_wall(&wallcast), "left top bottom right");
}

#[test]
fn a_camera_is_large_for_a_while_then_back() {
    let (wallcast, _) = start("promote", "");
    let etag = wallcast.get(LAYOUT).header("etag").to_owned();
    let started = Instant::now();
    let reply = send(&wallcast, "POST", PROMOTE, &[], r#"{"camera":"right","for":"4s","other":[1]}"#);
    assert_eq!(reply.status, 200, "{reply:?}");
    let promoted = body(&reply);
    assert_eq!(promoted["camera"], "right");
    assert!((1.0..=4.0).contains(&promoted["seconds"].as_f64().unwrap()), "{promoted}");
    assert!(promoted["until"].as_str().unwrap().ends_with('Z'), "{promoted}");
    assert_eq!(on_wall(&wallcast), "left right bottom top", "by the time of the answer");
    assert_eq!(wallcast.get(LAYOUT).header("etag"), etag, "the layout underneath is what it was");
    let shown: Vec<Value> = wallcast.stat("/walls/wall/tiles").as_array().unwrap().clone();
    assert_eq!(shown[1]["camera"], "right", "/stats follows");
    wait_until("it to go back", Duration::from_secs(8), || {
        let found = on_wall(&wallcast);
        if found == "left top bottom right" { Ok(()) } else { Err(found) }
    });
    assert!(started.elapsed() >= Duration::from_millis(3_900), "{:?}", started.elapsed());
    assert_eq!(get(&wallcast, PROMOTE)["promoted"], json!([]));
}

#[test]
fn any_webhook_can_promote() {
    let (wallcast, _) = start("promote_webhooks", "");
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    let text = ("Content-Type", "text/plain");
    for (query, headers, body_sent, seconds) in [
        ("?camera=gate&for=40s", vec![], "", 40.0),
        ("", vec![form], "camera=gate&for=50", 50.0),
        ("", vec![form], r#"{"camera":"gate","for":60}"#, 60.0),
        ("?camera=left&for=1s", vec![text], r#" {"camera":"gate","for":"1.5m"}"#, 90.0),
        ("?for=2m", vec![JSON], r#"{"camera":"gate"}"#, 120.0),
        // Longer is longer; shorter changes nothing.
        ("?camera=gate&for=1s", vec![], "", 120.0),
        ("?camera=gate", vec![], "{}", 120.0),
    ] {
        let reply = send(&wallcast, "POST", &format!("{PROMOTE}{query}"), &headers, body_sent);
        assert_eq!(reply.status, 200, "{reply:?}");
        let left = body(&reply)["seconds"].as_f64().unwrap();
        assert!((seconds - 3.0..=seconds).contains(&left), "{left}, not {seconds}");
    }
    // It was on no tile: the largest is its own now.
    assert_eq!(on_wall(&wallcast), "left gate bottom right");
    send(&wallcast, "POST", &format!("{PROMOTE}?camera=left"), &[], "");
    let promoted = get(&wallcast, PROMOTE);
    let cameras: Vec<&str> =
        promoted["promoted"].as_array().unwrap().iter().map(|p| p["camera"].as_str().unwrap()).collect();
    assert_eq!(
        (cameras, get(&wallcast, TILES)["promoted"][0]["camera"].as_str()),
        (vec!["left", "gate"], Some("left"))
    );

    assert_eq!(send(&wallcast, "DELETE", &format!("{PROMOTE}/gate"), &[], "").status, 204);
    problems(&send(&wallcast, "DELETE", &format!("{PROMOTE}/gate"), &[], ""), 404);
    assert_eq!(on_wall(&wallcast), "top left bottom right");
    assert_eq!(send(&wallcast, "DELETE", PROMOTE, &[], "").status, 204);
    assert_eq!(on_wall(&wallcast), "left top bottom right");

    for (query, body, status, wrong) in [
        ("", "", 422, 1),
        ("?camera=cellar&for=0", "", 422, 2),
        ("?camera=gate&for=61m", "", 422, 1),
        ("?camera=gate&for=1e9", "", 422, 1),
        ("?camera=gate&for=-5", "", 422, 1),
        ("", r#"{"camera":["gate"]}"#, 422, 1),
        ("", r#"["gate"]"#, 422, 0),
        ("", r#"{"camera":"gate""#, 400, 0),
        ("", "gate", 400, 0),
    ] {
        let reply = send(&wallcast, "POST", &format!("{PROMOTE}{query}"), &[JSON], body);
        assert_eq!(problems(&reply, status).len(), wrong, "{query} {body}: {reply:?}");
    }
    problems(&send(&wallcast, "POST", PROMOTE, &[JSON], &"x".repeat(70_000)), 413);
    assert_eq!(get(&wallcast, PROMOTE)["promoted"], json!([]));
}

#[test]
fn a_layout_is_there_after_a_restart_until_the_configuration_is_edited() {
    let test = "layout_restart";
    let (mut wallcast, state) = start(test, "");
    let yaml = fs::read_to_string(state.with_file_name("wall.yaml")).unwrap_or_default();
    let yaml = if yaml.is_empty() {
        format!("listen: 127.0.0.1:0\nstate: state.json\n{CAMERAS}{WALLS}")
    } else {
        yaml
    };
    let changed = put(&wallcast, &json!({ "layout": "pip", "tiles": ["gate", "left"] }));
    assert_eq!((changed.status, body(&changed)["warning"].is_null()), (200, true), "{changed:?}");
    send(&wallcast, "POST", &format!("{PROMOTE}?camera=left&for=60s"), &[], "");
    let answered = wallcast.get(LAYOUT);
    wallcast.interrupt();
    assert!(wallcast.end(Duration::from_secs(6)).is_some_and(|status| status.success()));

    let wallcast = again(test, &yaml);
    assert_eq!(body(&wallcast.get(LAYOUT)), body(&answered));
    assert_eq!(on_wall(&wallcast), "gate left", "promotions are not saved");
    drop(wallcast);

    // Killed at once, it is there all the same; and so it goes with a file that something has damaged.
    fs::write(&state, &fs::read(&state).unwrap()[..100]).unwrap();
    let wallcast = again(test, &yaml);
    assert_eq!(get(&wallcast, LAYOUT)["layout"], "columns");
    assert!(wallcast.output().contains("the state file is left out"), "{}", wallcast.output());
    put(&wallcast, &json!({ "layout": "pip", "tiles": ["gate", "left"] }));
    drop(wallcast);

    let wallcast = again(test, &yaml.replace("layout: columns", "layout: 1+5"));
    assert_eq!(get(&wallcast, LAYOUT)["layout"], "1+5", "an edited configuration goes before what was saved");
    assert!(wallcast.output().contains("was edited"), "{}", wallcast.output());
    // And DELETE is the way back to the configuration while running.
    put(&wallcast, &json!({ "layout": "pip", "tiles": ["gate", "left"] }));
    let reply = send(&wallcast, "DELETE", LAYOUT, &[], "");
    assert_eq!((reply.status, body(&reply)["layout"].as_str()), (200, Some("1+5")));
    assert!(!fs::read_to_string(&state).unwrap().contains("pip"));
}

#[test]
fn a_layout_that_cannot_be_saved_is_shown_and_said() {
    let test = "layout_unsaved";
    let folder = config_file(test, "").with_file_name("state");
    let _absent = fs::remove_dir_all(&folder);
    let yaml = format!("listen: 127.0.0.1:0\nstate: state/state.json\n{CAMERAS}{WALLS}");
    let wallcast = again(test, &yaml);
    let reply = put(&wallcast, &json!({ "layout": "pip", "tiles": ["gate", "left"] }));
    assert_eq!(reply.status, 200, "{reply:?}");
    let warning = body(&reply)["warning"].as_str().unwrap().to_owned();
    assert!(warning.contains("no such directory") && !warning.contains("state.json"), "{warning}");
    assert_eq!(on_wall(&wallcast), "gate left");
    assert_eq!(
        send(&wallcast, "PUT", LAYOUT, &[JSON], &reply.body).status,
        200,
        "a warning is no part of a layout"
    );
    let told = wallcast.output().matches("layouts cannot be saved").count();
    assert_eq!(told, 1, "{}", wallcast.output());
    fs::create_dir(&folder).unwrap();
    let reply = put(&wallcast, &json!({ "layout": "grid" }));
    assert!(body(&reply)["warning"].is_null(), "{reply:?}");
}

#[test]
fn a_click_on_the_one_video_finds_its_camera() {
    let wallcast = Wallcast::start("tiles_click", &["demo"]);
    for camera in ["cam1", "cam2", "cam3", "cam4"] {
        wallcast.wait_for_state(camera, "live", Duration::from_secs(20));
    }
    let layout = json!({
        "background": "gray",
        "layout": [
            { "camera": "cam1", "x": 0, "y": 0, "width": 960, "height": 1080 },
            { "camera": "cam2", "x": 480, "y": 0, "width": 640, "height": 360, "z": 1, "rotate": 180 },
            { "camera": "cam3", "x": 1280, "y": 360, "width": 640, "height": 360, "crop": { "x": 0.5, "y": 0.5, "width": 0.5, "height": 0.5 } },
        ],
    });
    assert_eq!(put(&wallcast, &layout).status, 200);
    let tiles = get(&wallcast, TILES);
    let orders: Vec<&Value> = tiles["tiles"].as_array().unwrap().iter().map(|tile| &tile["camera"]).collect();
    assert_eq!(orders, ["cam1", "cam3", "cam2"], "from the bottom to the top");
    let picture = &tiles["tiles"][0]["picture"];
    assert_eq!(picture["covers"], json!({ "x": 0, "y": 270, "width": 960, "height": 540 }));
    assert_eq!((&picture["width"], &picture["height"]), (&json!(1280), &json!(720)));
    let crop = &tiles["tiles"][1]["picture"]["shows"];
    assert_eq!(*crop, json!({ "x": 640, "y": 360, "width": 640, "height": 360 }));

    let at = |x: u32, y: u32| wallcast.get(&format!("{TILES}?x={x}&y={y}"));
    let check = |x: u32, y: u32, camera: &str, point: Option<(f64, f64)>| {
        let found = body(&at(x, y));
        assert_eq!(found["camera"], camera, "{x} {y}: {found}");
        let near = |key: &str, expected: f64| {
            let found = found["point"][key].as_f64().unwrap_or(f64::NAN);
            assert!((found - expected).abs() < 3.0, "{x} {y} {key}: {found}, not {expected}");
        };
        match point {
            Some((x, y)) => [("x", x), ("y", y)].into_iter().for_each(|(key, value)| near(key, value)),
            None => assert!(found["point"].is_null(), "{found}"),
        }
    };
    check(0, 270, "cam1", Some((0.0, 0.0)));
    check(400, 540, "cam1", Some((533.0, 360.0)));
    check(400, 100, "cam1", None);
    check(500, 10, "cam2", Some((1240.0, 700.0)));
    check(1280, 360, "cam3", Some((640.0, 360.0)));
    problems(&at(1900, 1000), 404);
    for wrong in ["?x=1920&y=0", "?x=1", "?x=-1&y=0", "?x=a&y=b", "?x=1.5&y=2"] {
        problems(&wallcast.get(&format!("{TILES}{wrong}")), 422);
    }
    // `demo` has nowhere to save to, which is nothing to warn of.
    assert!(body(&put(&wallcast, &layout))["warning"].is_null());
}

#[test]
fn cameras_take_turns_on_the_wall() {
    let wallcast = Wallcast::start("tour", &["demo"]);
    for camera in ["cam1", "cam2", "cam3", "cam4"] {
        wallcast.wait_for_state(camera, "live", Duration::from_secs(20));
    }
    let started = Instant::now();
    let tour =
        json!({ "layout": "grid", "tiles": ["cam4", { "tour": ["cam1", "cam2", "cam3"], "every": "2s" }] });
    assert_eq!(put(&wallcast, &tour).status, 200);
    assert_eq!(get(&wallcast, LAYOUT)["placements"][1]["tour"], json!(["cam1", "cam2", "cam3"]));
    for (turn, expected) in ["cam4 cam1", "cam4 cam2", "cam4 cam3", "cam4 cam1"].into_iter().enumerate() {
        wait_until(expected, Duration::from_secs(10), || {
            let found = on_wall(&wallcast);
            if found == expected { Ok(()) } else { Err(found) }
        });
        let after = Duration::from_secs(2 * turn as u64);
        assert!(started.elapsed() >= after, "{expected} after {:?}", started.elapsed());
    }
    // Who is promoted out of a tour is not shown a second time in it.
    send(&wallcast, "POST", &format!("{PROMOTE}?camera=cam2&for=60"), &[], "");
    let until = Instant::now() + Duration::from_secs(5);
    while Instant::now() < until {
        let shown = on_wall(&wallcast);
        assert!(shown.starts_with("cam2 ") && shown.matches("cam2").count() == 1, "{shown}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
