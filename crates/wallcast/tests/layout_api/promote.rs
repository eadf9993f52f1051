//! A camera made large for a while, by a person or by any webhook.

use super::*;

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
        ("?token=unused", vec![text], r#" {"camera":"gate","for":"1.5m"}"#, 90.0),
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
    problems(&send(&wallcast, "POST", PROMOTE, &[JSON], "x".repeat(70_000)), 413);
    assert_eq!(get(&wallcast, PROMOTE)["promoted"], json!([]));
}

#[test]
fn a_query_that_names_the_camera_goes_before_any_body() {
    let (wallcast, _) = start("promote_query", "");
    let form = "multipart/form-data; boundary=xyz";
    let part = "--xyz\r\nContent-Disposition: form-data; name=\"camera\"\r\n\r\nleft\r\n--xyz--\r\n";
    let jpeg: Vec<u8> = [0xff, 0xd8, 0xff, 0xe0].into_iter().cycle().take(3_000_000).collect();
    for (kind, body_sent) in [
        ("text/plain", b"motion detected".to_vec()),
        ("application/json", br#"{"camera":"front_door","for":"1h","label":"person"}"#.to_vec()),
        ("application/json", br#"{"camera":"gate""#.to_vec()),
        ("application/json", b"[]".to_vec()),
        (form, part.into()),
        ("image/jpeg", jpeg),
    ] {
        let path = format!("{PROMOTE}?camera=gate&for=40");
        let reply = send(&wallcast, "POST", &path, &[("Content-Type", kind)], &body_sent);
        assert_eq!(reply.status, 200, "{kind}: {reply:?}");
        let answer = body(&reply);
        assert_eq!(answer["camera"], "gate", "{kind}");
        assert!(answer["seconds"].as_f64().unwrap() <= 40.0, "{kind}: {answer}");
        let wrong = send(&wallcast, "POST", &format!("{PROMOTE}?camera=cellar"), &[], &body_sent);
        assert_eq!(problems(&wrong, 422).len(), 1, "{kind}");
    }
    // Each of the two for itself: the query's time goes before the body's.
    let reply =
        send(&wallcast, "POST", &format!("{PROMOTE}?for=50"), &[JSON], r#"{"camera":"top","for":90}"#);
    assert!(body(&reply)["seconds"].as_f64().unwrap() <= 50.0, "{reply:?}");
}

/// How many masks the camera has where it is on this wall.
fn masks(wallcast: &Wallcast, wall: &str, camera: &str) -> Vec<u64> {
    let tiles = get(wallcast, &format!("/api/v1/walls/{wall}/tiles"));
    let tiles = tiles["tiles"].as_array().unwrap().iter().filter(|tile| tile["camera"] == camera);
    tiles.map(|tile| tile["masks"].as_u64().unwrap()).collect()
}

#[test]
fn what_is_blacked_out_on_any_wall_is_blacked_out_when_the_camera_is_promoted() {
    let test = "promote_masks";
    let yaml = format!(
        "listen: 127.0.0.1:0\nstate: state.json\n{CAMERAS}walls:
  wall: {{ layout: columns, tiles: [{{ camera: gate, mask: {{ x: 0, y: 0, width: 50%, height: 50% }} }}, left, top, right] }}
  plain: {{ layout: columns, tiles: [bottom, left, top, right] }}
  masked: {{ layout: columns, tiles: [{{ camera: bottom, mask: {{ x: 0, y: 0, width: 50%, height: 50% }} }}, left, top] }}
"
    );
    let _absent = fs::remove_file(config_file(test, &yaml).with_file_name("state.json"));
    let mut wallcast = again(test, &yaml);
    let promote = |wallcast: &Wallcast, wall: &str, camera: &str| {
        let path = format!("/api/v1/walls/{wall}/promote?camera={camera}");
        assert_eq!(send(wallcast, "POST", &path, &[], "").status, 200);
    };
    // The first wall that has it shows all of it.
    promote(&wallcast, "wall", "bottom");
    assert_eq!(masks(&wallcast, "wall", "bottom"), [1]);
    send(&wallcast, "DELETE", PROMOTE, &[], "");

    // Nobody but this wall's own configuration knows of it.
    assert_eq!(
        put(&wallcast, &json!({ "layout": "columns", "tiles": ["left", "top", "right"] })).status,
        200
    );
    promote(&wallcast, "wall", "gate");
    assert_eq!(masks(&wallcast, "wall", "gate"), [1]);

    // Said by a PUT on another wall, and saved.
    let mask = json!([{ "x": 0, "y": 0, "width": 0.5, "height": 0.5 }, { "x": 0.9, "y": 0, "width": 0.1, "height": 1.0 }]);
    let layout =
        json!({ "layout": "columns", "tiles": [{ "camera": "right", "mask": mask }, "top", "gate"] });
    let path = "/api/v1/walls/masked/layout";
    assert_eq!(send(&wallcast, "PUT", path, &[JSON], layout.to_string()).status, 200);
    assert_eq!(
        put(&wallcast, &json!({ "layout": "columns", "tiles": ["left", "top", "bottom"] })).status,
        200
    );
    promote(&wallcast, "wall", "right");
    assert_eq!(masks(&wallcast, "wall", "right"), [2]);
    assert_eq!(masks(&wallcast, "wall", "gate"), [1], "while it is large, too");
    wallcast.interrupt();
    assert!(wallcast.end(Duration::from_secs(6)).is_some_and(|status| status.success()));

    let wallcast = again(test, &yaml);
    for (camera, expected) in [("gate", 1), ("right", 2)] {
        promote(&wallcast, "wall", camera);
        assert_eq!(masks(&wallcast, "wall", camera), [expected], "{camera} after a restart");
    }
}

#[test]
fn promoted_cameras_stay_on_the_wall_when_one_without_a_tile_comes() {
    let (wallcast, _) = start("promote_guests", "");
    let layout = json!({ "layout": [
        { "camera": "left", "x": 0, "y": 0, "width": 1280, "height": 1080 },
        { "camera": "top", "x": 1280, "y": 0, "width": 640, "height": 540 },
        { "camera": "right", "x": 1280, "y": 540, "width": 640, "height": 540 },
    ] });
    assert_eq!(put(&wallcast, &layout).status, 200);
    for (camera, expected) in
        [("left", "left top right"), ("gate", "gate left right"), ("bottom", "bottom gate left")]
    {
        assert_eq!(send(&wallcast, "POST", &format!("{PROMOTE}?camera={camera}"), &[], "").status, 200);
        assert_eq!(on_wall(&wallcast), expected);
    }
    assert_eq!(send(&wallcast, "DELETE", PROMOTE, &[], "").status, 204);
    assert_eq!(on_wall(&wallcast), "left top right");
}
