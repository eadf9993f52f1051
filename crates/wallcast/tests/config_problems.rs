//! What `wallcast check` says about broken files: every problem at once, each with its place, found and expected.
#![allow(clippy::unwrap_used, reason = "tests")]

use wallcast::config::{self, Overrides};
use wallcast_compositor::{Fit, Preset};
use wallcast_ingest::Transport;

fn environment(name: &str) -> Option<String> {
    match name {
        "PASSWORD" => Some("geheim".to_owned()),
        "FPS" => Some("geheim".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

/// The problems of `yaml`, a line each: `line:column path: found …, expected …`.
fn problems(yaml: &str) -> Vec<String> {
    let Err(problems) = config::parse_with("wall.yaml", yaml, &Overrides::default(), &environment) else {
        return Vec::new();
    };
    problems.list().iter().map(|problem| format!("{}:{} {problem}", problem.line, problem.column)).collect()
}

#[track_caller]
fn check(yaml: &str, expected: &[&str]) {
    assert_eq!(problems(yaml), expected, "\n{yaml}");
}

/// Under a good camera `left`.
#[track_caller]
fn check_wall(wall: &str, expected: &[&str]) {
    check(
        &format!("cameras: {{ left: rtsp://a/, right: rtsp://b/ }}\nwalls:\n  wall: {{ {wall} }}\n"),
        expected,
    );
}

/// Beside a good camera.
#[track_caller]
fn check_top(keys: &str, expected: &[&str]) {
    check(&format!("cameras: {{ left: rtsp://a/ }}\n{keys}\n"), expected);
}

#[test]
fn every_problem_is_reported_at_once_sorted_by_line() {
    check(
        "\
lsiten: 127.0.0.1:8081
cameras:
  left: http://192.168.8.101/
  left: rtsp://192.168.8.101/
  yard: { source: rtsp://a/, transport: sctp }
walls:
  wall:
    size: 1921x1080
    fps: 61
    tiles: [left, gate]
",
        &[
            "1:1 lsiten: found the unknown key lsiten, expected one of listen, webrtc, rtsp, auth, hosts, origins, state, cameras, walls; did you mean listen?",
            "3:9 cameras.left: found the scheme http, expected rtsp or rtsps (others come later)",
            "4:3 cameras.left: found left a second time (first on line 3), expected each key once",
            "5:41 cameras.yard.transport: found sctp, expected tcp or udp",
            "8:11 walls.wall.size: found 1921x1080, expected even numbers from 64x64 to 3840x2160 or 2160x3840",
            "9:10 walls.wall.fps: found 61, expected a whole number, 1 to 60",
            "10:19 walls.wall.tiles[1]: found gate, expected a camera: left or yard",
        ],
    );
}

#[test]
fn the_text_for_the_terminal_has_aligned_places_and_a_count() {
    let yaml =
        "cameras: { left: rtsp://a/ }\nwalls:\n  wall:\n    size: 2x2\n    fps: 0\n\n\n\n\n    bitrate: 1\n";
    let problems = config::parse_with("wall.yaml", yaml, &Overrides::default(), &environment).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "\
wall.yaml:4:11   walls.wall.size: found 2x2, expected even numbers from 64x64 to 3840x2160 or 2160x3840
wall.yaml:5:10   walls.wall.fps: found 0, expected a whole number, 1 to 60
wall.yaml:10:14  walls.wall.bitrate: found 1, expected 50000 to 100000000 b/s
3 problems in wall.yaml"
    );
}

#[test]
fn addresses_that_no_viewer_can_reach_us_under_are_refused() {
    const EXPECTED: &str = "expected an IP address or a host name under which viewers reach this machine, with or without a \
                            port, such as 203.0.113.7, wall.example.org or 203.0.113.7:9000";
    for wrong in [
        "0.0.0.0",
        "'::'",
        "224.0.0.1",
        "127.1",
        "'203.0.113.7:0'",
        "203.0.113.7:99999",
        "a b",
        "'[::1'",
        "'::1]:9'",
    ] {
        let shown = wrong.trim_matches('\'');
        let shown = if shown.contains(' ') { format!("`{shown}`") } else { shown.to_owned() };
        check_top(
            &format!("webrtc:\n  public_addresses: [{wrong}]"),
            &[&format!("3:22 webrtc.public_addresses[0]: found {shown}, {EXPECTED}")],
        );
    }
    check_top(
        "webrtc: { public_addresses: 203.0.113.7 }",
        &["2:29 webrtc.public_addresses: found a single value, expected a list of addresses"],
    );
    check_top(
        &format!("webrtc: {{ public_addresses: [{}] }}", ["10.0.0.1"; 17].join(", ")),
        &["2:29 webrtc.public_addresses: found 17 of them, expected at most 16"],
    );
}

#[test]
fn ice_servers_are_refused_with_what_is_wrong_about_them() {
    const URL: &str = "expected stun:, stuns:, turn: or turns: and a host, with or without a port, and with turn's \
                       ?transport=udp or ?transport=tcp, such as turn:turn.example.org:3478";
    const LOGIN: &str = "expected `username` and `credential`, or `secret` with or without `ttl`";
    let check_server = |server: &str, expected: &str| {
        check_top(&format!("webrtc:\n  ice_servers:\n  - {server}"), &[&format!("4:{expected}")]);
    };
    for wrong in
        ["stun.example.org", "http:stun.example.org", "stun:", "stun:a:0", "stun:a:b", "stun:a/b", "stun:::1"]
    {
        check_server(&format!("'{wrong}'"), &format!("5 webrtc.ice_servers[0]: found {wrong}, {URL}"));
    }
    let hidden = "text that is not shown because it may carry a secret";
    for wrong in ["stun://a", "stun:a?transport=udp", "turn:a?transport=sctp", "turn:u@a"] {
        check_server(&format!("'{wrong}'"), &format!("5 webrtc.ice_servers[0]: found {hidden}, {URL}"));
    }
    let without = format!("5 webrtc.ice_servers[0]: found a TURN server without a login, {LOGIN}");
    check_server("turn:a", &without);
    check_server("{ urls: [stun:a, turn:a] }", &without);
    check_server(
        "{ urls: stun:a, secret: x }",
        "5 webrtc.ice_servers[0]: found a login for STUN, which asks for none, expected an address with turn: or turns:",
    );
    for (login, found) in [
        ("username: u", "`username`"),
        ("credential: c", "`credential`"),
        ("username: u, credential: c, secret: s", "`username` with `credential` with `secret`"),
        ("username: u, credential: c, ttl: 1h", "`username` with `credential` with `ttl`"),
        ("ttl: 1h", "`ttl`"),
    ] {
        check_server(
            &format!("{{ urls: turn:a, {login} }}"),
            &format!("5 webrtc.ice_servers[0]: found {found}, {LOGIN}"),
        );
    }
    check_server(
        "{ secret: s }",
        "5 webrtc.ice_servers[0]: found no `urls`, expected the server's addresses",
    );
    check_server(
        "{ urls: [], secret: s }",
        "13 webrtc.ice_servers[0].urls: found an empty list, expected at least one address",
    );
    for ttl in ["59s", "169h", "1d", "0h"] {
        check_server(
            &format!("{{ urls: turn:a, secret: s, ttl: {ttl} }}"),
            &format!(
                "37 webrtc.ice_servers[0].ttl: found {ttl}, expected a time from 1m to 168h, such as 24h or 90m"
            ),
        );
    }
    check_server(
        "{ urls: turn:a, secret: '' }",
        "29 webrtc.ice_servers[0].secret: found an empty text, expected 1 to 256 visible ASCII characters or spaces",
    );
    check_server(
        "{ urls: turn:a, secret: 'ü' }",
        "29 webrtc.ice_servers[0].secret: found a text that a header cannot carry, expected 1 to 256 visible ASCII characters or spaces",
    );
}

#[test]
fn numbers_of_viewers_and_origins_are_checked() {
    for key in ["max_viewers", "max_viewers_per_address"] {
        for wrong in ["0", "-1", "100001", "many"] {
            check_top(
                &format!("webrtc:\n  {key}: {wrong}"),
                &[&format!(
                    "3:{} webrtc.{key}: found {wrong}, expected a whole number, 1 to 100000",
                    key.len() + 5
                )],
            );
        }
    }
    check_top("webrtc: { ice_lite: maybe }", &["2:21 webrtc.ice_lite: found maybe, expected true or false"]);
    const ORIGIN: &str = "expected http:// or https:// and a host, with or without a port and nothing behind it, such as \
                          https://intranet.example.org";
    for wrong in ["'*'", "intranet.example.org"] {
        let shown = wrong.trim_matches('\'');
        check_top(&format!("origins: [{wrong}]"), &[&format!("2:11 origins[0]: found {shown}, {ORIGIN}")]);
    }
    let hidden = "text that is not shown because it may carry a secret";
    for wrong in
        ["https://a.example/wall", "ftp://a.example", "https://u:p@a.example", "'https://*.a.example'"]
    {
        check_top(&format!("origins: [{wrong}]"), &[&format!("2:11 origins[0]: found {hidden}, {ORIGIN}")]);
    }
}

#[test]
fn unknown_keys_get_a_suggestion_where_there_is_one() {
    check_wall(
        "siez: 640x360",
        &[
            "3:11 walls.wall.siez: found the unknown key siez, expected one of size, fps, bitrate, renditions, encoder, black_after, align, layout, tiles, fit, overlay, background, gap, border; did you mean size?",
        ],
    );
    check(
        "cameras: { left: { source: rtsp://a/, volume: 1 } }",
        &[
            "1:39 cameras.left.volume: found the unknown key volume, expected one of source, substream, transport, certificate, hwaccel, on_demand",
        ],
    );
    check_top(
        "webrtc: { port: 1 }",
        &[
            "2:11 webrtc.port: found the unknown key port, expected one of listen, public_addresses, ice_servers, ice_lite, max_viewers, max_viewers_per_address",
        ],
    );
}

#[test]
fn tiles_outside_the_canvas_and_odd_rectangles_are_refused_where_they_stand() {
    check(
        "\
cameras: { left: rtsp://a/ }
walls:
  wall:
    size: 640x360
    layout:
      - { camera: left, x: 0, y: 0, width: 320, height: 360 }
      - { camera: left, x: 320, y: 0, width: 322, height: 360 }
      - { camera: left, x: 1, y: 0, width: 0, height: 400 }
      - { camera: lefd, x: -2, y: 0, width: 1.5 }
",
        &[
            "7:9 walls.wall.layout[1]: found x + width up to 642, expected at most 640, the canvas's",
            "8:9 walls.wall.layout[2]: found a width of 0, expected at least 2",
            "8:9 walls.wall.layout[2]: found x 1, expected an even number",
            "8:9 walls.wall.layout[2]: found y + height up to 400, expected at most 360, the canvas's",
            "9:9 walls.wall.layout[3]: found no `height`, expected camera, x, y, width and height of each rectangle",
            "9:19 walls.wall.layout[3].camera: found lefd, expected a camera: left; did you mean left?",
            "9:28 walls.wall.layout[3].x: found -2, expected a whole number of pixels, 0 or more",
            "9:45 walls.wall.layout[3].width: found 1.5, expected a whole number of pixels, 0 or more",
        ],
    );
    check_wall("layout: []", &["3:19 walls.wall.layout: found 0 tiles, expected 1 to 64"]);
    check_wall(
        "layout: [{ camera: left, x: 0, y: 0, width: 64, height: 64 }], tiles: [left]",
        &[
            "3:81 walls.wall.tiles: found `tiles` next to a list of rectangles, expected each rectangle with its own `camera`",
        ],
    );
}

#[test]
fn sizes_rates_and_times_out_of_range_say_their_range() {
    const SIZES: &str = "expected even numbers from 64x64 to 3840x2160 or 2160x3840";
    check_wall("size: 1920x1081", &[&format!("3:17 walls.wall.size: found 1920x1081, {SIZES}")]);
    check_wall("size: 62x64", &[&format!("3:17 walls.wall.size: found 62x64, {SIZES}")]);
    check_wall("size: 3842x2160", &[&format!("3:17 walls.wall.size: found 3842x2160, {SIZES}")]);
    for size in ["large", "1920", "1920x", "x1080", "-2x4", "1920x1080x2"] {
        check_wall(
            &format!("size: {size}"),
            &[&format!(
                "3:17 walls.wall.size: found {size}, expected width x height in pixels, such as 1920x1080"
            )],
        );
    }
    for fps in ["0", "61", "-1", "24.5", "many"] {
        check_wall(
            &format!("fps: {fps}"),
            &[&format!("3:16 walls.wall.fps: found {fps}, expected a whole number, 1 to 60")],
        );
    }
    check_wall("bitrate: 49k", &["3:20 walls.wall.bitrate: found 49k, expected 50000 to 100000000 b/s"]);
    check_wall("bitrate: 101M", &["3:20 walls.wall.bitrate: found 101M, expected 50000 to 100000000 b/s"]);
    check_wall(
        "bitrate: fast",
        &["3:20 walls.wall.bitrate: found fast, expected bits a second, such as 4M, 800k or 4000000"],
    );
    for time in ["10", "0s", "999ms", "61m", "1h"] {
        check_wall(
            &format!("black_after: {time}"),
            &[&format!(
                "3:24 walls.wall.black_after: found {time}, expected a time from 1s to 60m, such as 10s, 2500ms or 2m"
            )],
        );
    }
    let encoders = "auto, openh264, libx264, h264_vaapi, h264_nvenc, h264_qsv, h264_v4l2m2m or h264_rkmpp";
    for (found, meant) in [
        ("x264", Some("libx264")),
        ("VAAPI", Some("h264_vaapi")),
        ("h264_nvec", Some("h264_nvenc")),
        ("OpenH264", Some("openh264")),
        ("hevc", None),
    ] {
        let hint = meant.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
        check_wall(
            &format!("encoder: {found}"),
            &[&format!("3:20 walls.wall.encoder: found {found}, expected {encoders}{hint}")],
        );
    }
    check_wall("fit: zoom", &["3:16 walls.wall.fit: found zoom, expected contain, cover or stretch"]);
    for (key, found) in [("gap", "3"), ("gap", "-2"), ("border", "258"), ("border", "1%")] {
        check_wall(
            &format!("{key}: {found}"),
            &[&format!(
                "3:{} walls.wall.{key}: found {found}, expected an even number of pixels, 0 to 256",
                13 + key.len()
            )],
        );
    }
    const COLOUR: &str =
        "expected a colour: a name such as black or gray, or red, green and blue such as '#1a2b3c' in quotes";
    check_wall("background: blakc", &[&format!("3:23 walls.wall.background: found blakc, {COLOUR}")]);
    // An unquoted # begins a comment.
    check(
        "cameras: { left: rtsp://a/ }\nwalls:\n  wall:\n    background: #102030\n",
        &[&format!("4:15 walls.wall.background: found nothing, {COLOUR}")],
    );
    check_wall(
        "layout: 9x9",
        &[
            "3:19 walls.wall.layout: found 9x9, expected grid, 2x2 to 8x8, columns, 1+5, 1+7, 2+8 or pip, or a list of rectangles with camera, x, y, width, height",
        ],
    );
    check_wall(
        "layout: mosaic",
        &[
            "3:19 walls.wall.layout: found mosaic, expected grid, 2x2 to 8x8, columns, 1+5, 1+7, 2+8 or pip, or a list of rectangles with camera, x, y, width, height",
        ],
    );
}

#[test]
fn wrong_types_say_what_stands_there() {
    check_wall(
        "size: [1920, 1080]",
        &["3:17 walls.wall.size: found a list, expected a size, such as 1920x1080"],
    );
    check_wall(
        "tiles: left",
        &["3:18 walls.wall.tiles: found a single value, expected a list of camera names"],
    );
    check_wall(
        "tiles: []",
        &[
            "3:18 walls.wall.tiles: found an empty list, expected at least one camera, or no key `tiles` for all of them",
        ],
    );
    check_wall("tiles: [[left]]", &["3:19 walls.wall.tiles[0]: found a list, expected the name of a camera"]);
    check(
        "cameras: [rtsp://a/]",
        &[
            "1:10 cameras: found a list, expected a mapping from names, such as `yard: rtsp://192.168.8.102/main`",
        ],
    );
    check(
        "cameras: { left: [rtsp://a/] }",
        &[
            "1:18 cameras.left: found a list, expected a mapping with source, substream, transport, certificate, hwaccel or on_demand",
        ],
    );
    check_top(
        "webrtc: 0.0.0.0:1",
        &[
            "2:9 webrtc: found a single value, expected a mapping with listen, public_addresses, ice_servers, ice_lite, max_viewers or max_viewers_per_address",
        ],
    );
    check_top(
        "listen:",
        &[
            "2:7 listen: found nothing, expected an IP address and a port, such as 127.0.0.1:8081 or [::1]:8081",
        ],
    );
}

#[test]
fn a_key_without_a_value_is_named_in_block_style_and_hidden_inside_braces() {
    const CAMERA: &str =
        "found nothing, expected a URL, such as rtsp://192.168.8.102/main, or a mapping with `source`";
    const TORN: &str =
        "found a key without a value, expected `key: value` (inside `{ }`, a text with `,` needs quotes)";
    check("cameras:\n  d:\n", &[&format!("2:3 cameras.d: {CAMERA}")]);
    check(
        "\u{feff}cameras:\r\n  left: { source: rtsp://a/ }\r\n  ü :\r\n  '${x}' : # later\r\n  d:",
        &[
            &format!("3:3 cameras.ü: {CAMERA}"),
            "3:3 cameras.ü: found the name ü, expected 1 to 64 of A-Z a-z 0-9 space _ . -, and not only dots",
            &format!("4:3 cameras.${{x}}: {CAMERA}"),
            "4:3 cameras.${x}: found the name ${x}, expected 1 to 64 of A-Z a-z 0-9 space _ . -, and not only dots",
            &format!("5:3 cameras.d: {CAMERA}"),
        ],
    );
    check(
        "cameras:\n  left: rtsp://a/\n  right:\nwalls:\n  wall:\n    tiles: [left, right]\n    siez:\n",
        &[
            &format!("3:3 cameras.right: {CAMERA}"),
            "7:5 walls.wall.siez: found the unknown key siez, expected one of size, fps, bitrate, renditions, encoder, black_after, align, layout, tiles, fit, overlay, background, gap, border; did you mean size?",
        ],
    );
    // A text with a comma.
    check("cameras: { left: rtsp://a/1,geheim }", &[&format!("1:29 cameras: {TORN}")]);
}

#[test]
fn a_name_used_twice_is_found_among_walls_cameras_and_both() {
    check(
        "cameras: { left: rtsp://a/, 1: rtsp://b/, left: rtsp://c/, 1: rtsp://d/ }\n",
        &["1:43 cameras.left: found left a second time (first on line 1), expected each key once"],
    );
    // Keys that are whole numbers are compared as numbers by YAML.
    check(
        "cameras: { 1: rtsp://b/, 2: rtsp://d/, 1: rtsp://c/ }\n",
        &["1:40 found a key that stands twice, expected each key once"],
    );
    check(
        "cameras:\n  hall: rtsp://a/\nwalls:\n  hall: {}\n  wall: {}\n  wall: {}\n",
        &[
            "4:3 walls.hall: found the name of a camera (line 2), expected a name of its own: walls and cameras share one namespace",
            "6:3 walls.wall: found wall a second time (first on line 5), expected each key once",
        ],
    );
    check(
        "cameras: { wall: rtsp://a/ }",
        &[
            "1:12 cameras: found wall, the name of the default wall, expected another name, or `walls` with a wall of another name",
        ],
    );
}

#[test]
fn names_are_of_characters_that_are_safe_everywhere() {
    const NAMES: &str = "expected 1 to 64 of A-Z a-z 0-9 space _ . -, and not only dots";
    check("cameras: { a/b: rtsp://a/ }", &[&format!("1:12 cameras.a/b: found the name a/b, {NAMES}")]);
    check("cameras: { '': rtsp://a/ }", &[&format!("1:12 cameras.``: found the name ``, {NAMES}")]);
    check("cameras: { ..: rtsp://a/ }", &[&format!("1:12 cameras...: found the name .., {NAMES}")]);
    check(
        "cameras: { left: rtsp://a/ }\nwalls: { <img>: {} }",
        &[&format!("2:10 walls.<img>: found the name <img>, {NAMES}")],
    );
}

#[test]
fn sources_that_are_no_rtsp_urls_are_told_what_is_expected() {
    const RTSP: &str = "expected rtsp or rtsps (others come later)";
    for (source, found) in [
        ("'push:'", "the scheme push"),
        ("eufy://host:3000/T8", "the scheme eufy"),
        ("http://cam/mjpg", "the scheme http"),
        ("rtmp://cam/live", "the scheme rtmp"),
        ("/dev/video0", "a device"),
    ] {
        check(
            &format!("cameras: {{ left: {source} }}"),
            &[&format!("1:18 cameras.left: found {found}, {RTSP}")],
        );
    }
    check(
        "cameras: { left: 192.168.8.101 }",
        &["1:18 cameras.left: found no scheme, expected an address like rtsp://host:554/path"],
    );
    check(
        "cameras: { left: rtsp:// }",
        &["1:18 cameras.left: found no host, expected an address like rtsp://host:554/path"],
    );
    check(
        "cameras: { left: { transport: tcp }, right: { source: rtsp://a/, substream: 'nope' } }",
        &[
            "1:18 cameras.left: found no `source`, expected the camera's URL, such as rtsp://192.168.8.102/main",
            "1:77 cameras.right.substream: found no scheme, expected an address like rtsp://host:554/path",
        ],
    );
}

#[test]
fn what_a_camera_is_read_with_has_to_exist() {
    let check = |written: &str, column: usize, problem: &str| {
        check(
            &format!("cameras: {{ left: {{ source: rtsp://a/, {written} }} }}"),
            &[&format!("1:{column} cameras.left.{problem}")],
        );
    };
    check("hwaccel: nvidia", 48, "hwaccel: found nvidia, expected none, auto, vaapi, cuda, rkmpp or v4l2m2m");
    check(
        "certificate: mine",
        52,
        "certificate: found mine, expected any, verify, or a SHA-256 fingerprint of 64 hexadecimal digits",
    );
    check("on_demand: yes", 50, "on_demand: found yes, expected true or false");
    check("on_demand: [true]", 50, "on_demand: found a list, expected true or false");
    check("transport: tls", 50, "transport: found tls, expected tcp or udp");
}

#[test]
fn tiles_are_aligned_within_what_is_kept_of_a_camera() {
    for time in ["39ms", "501ms", "0s", "200", "yes"] {
        check_wall(
            &format!("align: {time}"),
            &[&format!(
                "3:18 walls.wall.align: found {time}, expected a time from 40ms to 500ms, such as 200ms"
            )],
        );
    }
}

#[test]
fn tiles_have_to_be_cameras_and_to_find_a_cell() {
    check_wall(
        "tiles: [left, rihgt]",
        &["3:25 walls.wall.tiles[1]: found rihgt, expected a camera: left or right; did you mean right?"],
    );
    check_wall(
        "layout: columns, tiles: [left, left, left, left, right]",
        &["3:35 walls.wall.tiles: found 5 tiles, expected at most 4, the cells of the layout columns"],
    );
    let cameras: String = (0..65).map(|i| format!("  c{i}: rtsp://a/\n")).collect();
    check(&format!("cameras:\n{cameras}"), &["2:3 cameras: found a grid of 65 tiles, expected 1 to 64"]);
    // A camera with problems of its own is still a camera.
    check(
        "cameras: { left: ftp://a/ }\nwalls: { wall: { tiles: [left] } }",
        &["1:18 cameras.left: found the scheme ftp, expected rtsp or rtsps (others come later)"],
    );
}

#[test]
fn layouts_have_to_hold_their_tiles_and_their_gaps() {
    for (layout, cells) in [("1+5", 6), ("2x2", 4), ("pip", 4), ("2+8", 10)] {
        let tiles = vec!["left"; cells + 1].join(", ");
        check_wall(
            &format!("layout: {layout}, tiles: [{tiles}]"),
            &[&format!(
                "3:{} walls.wall.tiles: found {} tiles, expected at most {cells}, the cells of the layout {layout}",
                28 + layout.len(),
                cells + 1
            )],
        );
    }
    check_wall(
        "size: 128x128, layout: 8x8, gap: 18, border: 2",
        &[
            "3:44 walls.wall.gap: found a gap of 18 and a border of 2, expected less: they leave no room for the layout 8x8 on 128x128",
        ],
    );
    check_wall(
        "layout: [{ camera: left, x: 0, y: 0, width: 64, height: 64 }], gap: 4, border: 4",
        &[
            "3:79 walls.wall.gap: found `gap` next to a list of rectangles, expected distances that the rectangles keep themselves",
            "3:90 walls.wall.border: found `border` next to a list of rectangles, expected distances that the rectangles keep themselves",
        ],
    );
}

#[test]
fn what_a_tile_shows_of_its_picture_is_judged_key_by_key() {
    const LENGTH: &str = "expected pixels such as 320, or a fraction of the picture such as 0.25 or 25%";
    check(
        "\
cameras: { left: rtsp://a/, yard: { source: rtsp://b/, substream: rtsp://b/s } }
walls:
  wall:
    tiles:
      - { camera: left, rotate: 45, mirror: maybe, fit: zoom, mask: 3 }
      - { rotate: 90 }
      - { camera: left, crop: { x: 0, y: -1, width: 1e3 } }
      - { camera: left, crop: { x: 0.5, y: 0, width: 0.75, height: 1 } }
      - { camera: left, crop: { x: 100, y: 0, width: 50%, height: 1 } }
      - { camera: left, mask: [{ x: 0, y: 0, width: 1, height: 1 }, { x: 0, y: 0, width: 0.0, height: 1 }] }
      - { camera: yard, mask: { x: 0, y: 0, width: 100, height: 100 } }
      - { camera: yard, zoom: 2 }
  lobby:
    layout:
      - { camera: left, x: 0, y: 0, width: 640, height: 360, z: high, rotate: 91 }
",
        &[
            "5:33 walls.wall.tiles[0].rotate: found 45, expected 0, 90, 180 or 270 (degrees, clockwise)",
            "5:45 walls.wall.tiles[0].mirror: found maybe, expected true or false",
            "5:57 walls.wall.tiles[0].fit: found zoom, expected contain, cover or stretch",
            "5:69 walls.wall.tiles[0].mask: found a single value, expected a list of areas with x, y, width and height",
            "6:9 walls.wall.tiles[1]: found no `camera`, expected the name of a camera",
            "7:31 walls.wall.tiles[2].crop: found no `height`, expected x, y, width and height of the area",
            &format!("7:42 walls.wall.tiles[2].crop.y: found -1, {LENGTH}"),
            &format!("7:53 walls.wall.tiles[2].crop.width: found 1e3, {LENGTH}"),
            "8:31 walls.wall.tiles[3].crop: found x + width up to 1.25, expected at most 1.0, the picture's end",
            "9:31 walls.wall.tiles[4].crop: found x 100, expected a fraction from 0.0 to 1.0",
            "10:32 walls.wall.tiles[5].mask[0]: found a width of 1 pixels, expected at least 2 pixels, or fractions such as 0.5 or 50%",
            "10:69 walls.wall.tiles[5].mask[1]: found a width of 0, expected more",
            "11:31 walls.wall.tiles[6].mask: found pixels, expected fractions such as 0.25 or 25%: the camera's substream has pictures of another size",
            "12:25 walls.wall.tiles[7].zoom: found the unknown key zoom, expected one of camera, tour, every, fit, crop, rotate, mirror, mask, overlay, label",
            "15:65 walls.lobby.layout[0].z: found high, expected a whole number; the larger one is painted over the smaller",
            "15:79 walls.lobby.layout[0].rotate: found 91, expected 0, 90, 180 or 270 (degrees, clockwise)",
        ],
    );
}

#[test]
fn what_is_written_over_a_tile_is_judged_item_by_item() {
    const ITEMS: &str = "label, clock, state, reason or tick";
    const TEXT: &str =
        "expected a text of 1 to 64 characters for the label (`overlay: { label: false }` turns it off)";
    check(
        "\
cameras: { left: rtsp://a/ }
walls:
  a: { overlay: all }
  b: { overlay: [label, date, [tick]] }
  c: { overlay: { clock: maybe, tikc: true, label: false } }
  d:
    overlay:
    tiles:
      - { camera: left, overlay: 3, label: false }
      - { camera: left, label: [Front, door] }
      - { camera: left, label: '  ' }
  e: { label: Front door }
",
        &[
            &format!(
                "3:17 walls.a.overlay: found all, expected none, a list of {ITEMS}, or a mapping such as {{ clock: true }}"
            ),
            &format!("4:25 walls.b.overlay[1]: found date, expected {ITEMS}"),
            &format!("4:31 walls.b.overlay[2]: found a list, expected {ITEMS}"),
            "5:26 walls.c.overlay.clock: found maybe, expected true or false",
            "5:33 walls.c.overlay.tikc: found the unknown key tikc, expected one of label, clock, state, reason, tick; did you mean tick?",
            &format!(
                "7:12 walls.d.overlay: found nothing, expected none, a list of {ITEMS}, or a mapping such as {{ clock: true }}"
            ),
            &format!(
                "9:34 walls.d.tiles[0].overlay: found 3, expected none, a list of {ITEMS}, or a mapping such as {{ clock: true }}"
            ),
            &format!("9:44 walls.d.tiles[0].label: found false, {TEXT}"),
            &format!("10:32 walls.d.tiles[1].label: found a list, {TEXT}"),
            &format!("11:32 walls.d.tiles[2].label: found `  `, {TEXT}"),
            "12:8 walls.e.label: found the unknown key label, expected one of size, fps, bitrate, renditions, encoder, black_after, align, layout, tiles, fit, overlay, background, gap, border",
        ],
    );
}

#[test]
fn no_cameras_and_no_walls_are_problems() {
    const CAMERA: &str = "at least one, such as `yard: rtsp://192.168.8.102/main`";
    check("", &["1:1 found an empty file, expected `cameras:` with at least one camera"]);
    check("listen: 127.0.0.1:1\n", &["1:1 found no `cameras`, expected at least one camera"]);
    // Their walls are judged all the same, but not by cameras that nobody knows.
    check(
        "walls: { wall: { fps: 0, tiles: [left] }, hall: { size: 1x1 } }\n",
        &[
            "1:1 found no `cameras`, expected at least one camera",
            "1:23 walls.wall.fps: found 0, expected a whole number, 1 to 60",
            "1:57 walls.hall.size: found 1x1, expected even numbers from 64x64 to 3840x2160 or 2160x3840",
        ],
    );
    check("cameras: {}", &[&format!("1:10 cameras: found no cameras, expected {CAMERA}")]);
    check(
        "cameras: { left: rtsp://a/ }\nwalls: {}",
        &[
            "2:8 walls: found no walls, expected at least one, such as `wall: { layout: grid }`, or no key `walls` at all",
        ],
    );
}

#[test]
fn addresses_have_to_be_addresses_with_ports_of_their_own() {
    const ADDRESS: &str = "expected an IP address and a port, such as 127.0.0.1:8081 or [::1]:8081";
    for address in ["8081", "127.0.0.1", "127.0.0.1:65536", "example.org:80"] {
        check_top(&format!("listen: {address}"), &[&format!("2:9 listen: found {address}, {ADDRESS}")]);
    }
    check_top(
        "listen: 127.0.0.1:8554",
        &["2:9 listen: found port 8554, which rtsp.listen has already, expected another port"],
    );
    check_top(
        "listen: 127.0.0.1:9\nwebrtc: { listen: '0.0.0.0:9' }\nrtsp: { listen: 127.0.0.1:9 }",
        &[
            "3:19 webrtc.listen: found port 9, which listen has already, expected another port",
            "4:17 rtsp.listen: found port 9, which listen has already, expected another port",
        ],
    );
    check_top("listen: 127.0.0.1:0\nrtsp: { listen: 127.0.0.1:0 }", &[]);
}

#[test]
fn other_addresses_than_loopback_need_tokens_or_an_explicit_none() {
    const OPEN: &str = "expected an address of loopback (127.0.0.1, ::1), or tokens under `auth`, or `auth: none` to open it on purpose";
    let open = "listen: 0.0.0.0:8081\nrtsp: { listen: '192.168.8.2:8554' }\n";
    check_top(
        open,
        &[
            &format!("2:9 listen: found 0.0.0.0:8081 without `auth`, {OPEN}"),
            &format!("3:17 rtsp.listen: found 192.168.8.2:8554 without `auth`, {OPEN}"),
        ],
    );
    check_top(&format!("{open}auth: none"), &[]);
    check_top(&format!("{open}auth: {{ tokens: [{{ name: a, token: longenough, roles: [view] }}] }}"), &[]);
    check_top("rtsp: { listen: none }\nlisten: '[::1]:1'", &[]);
}

#[test]
fn tokens_need_names_secrets_and_known_roles() {
    const SECRET: &str =
        "expected 1 to 256 visible ASCII characters without spaces (`openssl rand -hex 16` makes a good one)";
    check_top("auth: token", &["2:7 auth: found a single value, expected `none`, or a mapping with tokens"]);
    check_top("auth: {}", &["2:7 auth: found no tokens, expected a list of tokens, or `auth: none`"]);
    check_top(
        "auth: { tokens: [] }",
        &["2:17 auth.tokens: found an empty list, expected at least one token, or `auth: none`"],
    );
    check_top(
        "\
auth:
  tokens:
    - { name: a, token: '', roles: [view] }
    - { name: b, token: geheim, roles: [view] }
    - { name: c, token: geheim geheim, roles: [viewer, root] }
    - { name: d, token: geheim12, roles: [] }
    - { name: e/f, token: geheim12, roles: [view] }
    - { roles: view }
    - { name: g, token: ${EMPTY}, roles: [view] }
    - { name: h, token: geheim34, roles: [view] }
    - { name: h, token: geheim34, roles: [admin, publish] }",
        &[
            &format!("4:25 auth.tokens[0].token: found an empty token, {SECRET}"),
            &format!(
                "6:25 auth.tokens[2].token: found a token with spaces or other characters that a header cannot carry, {SECRET}"
            ),
            "6:48 auth.tokens[2].roles[0]: found viewer, expected view, publish or admin",
            "6:56 auth.tokens[2].roles[1]: found root, expected view, publish or admin",
            "7:42 auth.tokens[3].roles: found an empty list, expected at least one of view, publish or admin",
            "8:15 auth.tokens[4].name: found e/f, expected 1 to 64 of A-Z a-z 0-9 space _ . -, and not only dots",
            "9:7 auth.tokens[5]: found no `name`, expected the token's name",
            "9:7 auth.tokens[5]: found no `token`, expected the secret",
            "9:16 auth.tokens[5].roles: found a single value, expected a list of view, publish, admin",
            &format!("10:25 auth.tokens[6].token: found an empty token, {SECRET}"),
            "12:7 auth.tokens[8]: found the name h a second time (first in auth.tokens[7]), expected a name of its own for each token",
            "12:7 auth.tokens[8]: found the same secret as in auth.tokens[7], expected a secret of its own for each token",
        ],
    );
}

#[test]
fn hosts_are_names_without_scheme_port_or_path() {
    const HOST: &str =
        "expected a host name or an IP address without scheme, port or path, such as wall.example.org";
    check_top(
        "hosts: [wall.local, 10.0.0.1, '::1', wall:8081, '*.lan']",
        &[&format!("2:38 hosts[3]: found wall:8081, {HOST}"), &format!("2:49 hosts[4]: found *.lan, {HOST}")],
    );
}

#[test]
fn a_missing_variable_is_named_and_a_bad_value_of_one_is_not_shown() {
    check(
        "cameras: { left: 'rtsp://u:${NO_SUCH}@a/', right: 'rtsp://u:${bad name}@b/' }\nwalls: { wall: { fps: ${FPS} } }",
        &[
            "1:18 cameras.left: found ${NO_SUCH}, which is not set, expected an environment variable NO_SUCH",
            "1:51 cameras.right: found `${` that is not a variable, expected ${NAME} with letters, digits and _, or $$ for a dollar sign",
            "2:23 walls.wall.fps: found ${FPS} (its value is not shown), expected a whole number, 1 to 60",
        ],
    );
}

#[test]
fn one_syntax_error_gives_one_clear_message() {
    for (yaml, expected) in [
        ("cameras:\n\tleft: rtsp://a/", "2:2 found a tab, expected spaces"),
        ("cameras: { left: rtsp://a/", "1:10 found `{` without its `}`, expected `}`"),
        (
            "cameras: [a, b\nwalls: {}",
            "2:6 found a second `:` where one value belongs, expected one `key: value` a line, indented like its neighbours (a text with `: ` needs quotes)",
        ),
        (
            "listen: \"127.0.0.1\ncameras: {}",
            "2:1 found a quoted text without its closing quote, expected the closing quote on the same line",
        ),
        (
            "listen: a: b",
            "1:10 found a second `:` where one value belongs, expected one `key: value` a line, indented like its neighbours (a text with `: ` needs quotes)",
        ),
        (
            "listen: @home",
            "1:9 found a text that begins with a character YAML keeps for itself, expected quotes around it",
        ),
        (
            "cameras:\n  left: *a\n",
            "2:9 found an alias (`*name`) without its anchor, expected an anchor (`&name`) before it",
        ),
        ("a: b\n---\nc: d\n", "3:1 found a second document (`---`), expected one document"),
        (
            "cameras:\n  left: rtsp://a/\n right: rtsp://b/\n",
            "3:2 found a line without `key:`, expected `key: value`, indented like its neighbours",
        ),
        ("[a]: b\n", "1:1 found a key that is not text, expected text before `:`"),
        (
            "listen: \"\\q\"",
            "1:9 found an unknown `\\` inside double quotes, expected `\\\\` for a backslash, or single quotes",
        ),
    ] {
        check(yaml, &[expected]);
    }
}

#[test]
fn too_large_and_too_clever_files_are_refused() {
    let large = format!("# {}\n", "x".repeat(1 << 20));
    check(&large, &["0:0 found 1048579 bytes, expected at most 1 MiB"]);
    let laughs: String =
        (1..10).map(|i| format!("l{i}: &l{i} [{}]\n", vec![format!("*l{}", i - 1); 10].join(", "))).collect();
    let got = problems(&format!("l0: &l0 [ha]\n{laughs}"));
    assert_eq!(got.len(), 1, "{got:?}");
    assert!(got[0].contains("found more nesting, values or aliases than a configuration needs"), "{got:?}");
    let got = problems(&"[".repeat(10_000));
    assert_eq!(got.len(), 1, "{got:?}");
}

#[test]
fn anchors_and_merges_are_not_taken_for_keys_that_stand_twice() {
    check(
        "\
cameras: { left: rtsp://a/ }
walls:
  wall: &wall { fps: 10, bitrate: 1M }
  second: { <<: *wall, bitrate: 2M }
",
        &[],
    );
}

#[test]
fn files_that_cannot_be_read_say_why_without_a_place() {
    let at = |path: &std::path::Path| config::load(path, &Overrides::default()).unwrap_err().to_string();
    let folder = std::env::temp_dir();
    let missing = folder.join("wallcast-no-such-file.yaml");
    assert_eq!(
        at(&missing),
        format!(
            "{0}  found no such file, expected a file that can be read\n1 problem in {0}",
            missing.display()
        )
    );
    assert!(at(&folder).contains("found a directory"));
    assert!(
        at(std::path::Path::new("/dev/zero")).contains("expected at most 1 MiB"),
        "endless files are not read to their end"
    );
    assert!(!at(std::path::Path::new("rtsp://u:geheim@a/")).contains("geheim"));
}

#[test]
fn flags_go_before_keys_and_are_blamed_for_what_they_do() {
    const OPEN: &str = "found 0.0.0.0:1 without --auth, expected an address of loopback (127.0.0.1, ::1), or --auth none to open it on purpose, or `wallcast run --config FILE` with tokens under `auth`";
    let yaml = "listen: 127.0.0.1:9\ncameras: { a: rtsp://a/ }";
    let address = "0.0.0.0:1".parse().ok();
    let flags = Overrides { listen: address, rtsp_listen: Some(None), ..Overrides::default() };
    let open = format!("--listen: {OPEN}");
    let of_file = config::parse_with("wall.yaml", yaml, &flags, &environment).unwrap_err();
    let of_urls = config::Config::from_urls(
        &["rtsp://a/".to_owned()],
        Transport::Tcp,
        Preset::Grid,
        Fit::Contain,
        &flags,
    );
    for problems in [of_file, of_urls.unwrap_err(), wallcast::demo::Demo::plan(&flags).err().unwrap()] {
        let problems: Vec<String> = problems.list().iter().map(ToString::to_string).collect();
        assert_eq!(problems, [open.as_str()]);
    }
    let flags = Overrides { rtsp_listen: Some(address), ..Overrides::default() };
    let problems = config::parse_with("wall.yaml", yaml, &flags, &environment).unwrap_err();
    assert_eq!(problems.list()[0].to_string(), format!("--rtsp-listen: {OPEN}"));

    let flags = Overrides { listen: address, auth_none: true, ..Overrides::default() };
    let config = config::parse_with("wall.yaml", yaml, &flags, &environment).unwrap();
    let warnings: Vec<&str> = config.warnings.iter().map(|warning| warning.text.as_str()).collect();
    assert_eq!(warnings, ["whoever reaches 0.0.0.0:1 may watch and change walls, because --auth is none"]);
    assert_eq!(config.listen, "0.0.0.0:1".parse::<std::net::SocketAddr>().unwrap());
}

#[test]
fn urls_of_a_command_line_are_counted_and_not_shown() {
    let urls = ["rtsp://a/", "http://u:geheim@b/", "geheim"].map(str::to_owned);
    let problems =
        config::Config::from_urls(&urls, Transport::Tcp, Preset::Grid, Fit::Contain, &Overrides::default())
            .unwrap_err()
            .to_string();
    assert_eq!(
        problems,
        "\
command line  URL 2: found the scheme http, expected rtsp or rtsps (others come later)
command line  URL 3: found a host without `rtsp://` before it, expected an address like rtsp://10.0.0.1/…
2 problems in command line"
    );
    assert!(
        config::Config::from_urls(&[], Transport::Tcp, Preset::Grid, Fit::Contain, &Overrides::default())
            .is_err()
    );
}

#[test]
fn what_is_no_url_on_a_command_line_is_told_what_was_probably_meant() {
    let folder = std::env::temp_dir().join(format!("wallcast-no-url-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (file, secret) = (folder.join("cameras of mine"), folder.join("user:geheim@cam"));
    for path in [&file, &secret] {
        std::fs::write(path, "").unwrap();
    }
    let (file, secret) = (file.to_str().unwrap(), secret.to_str().unwrap());
    let say = |argument: &str| {
        let urls = [argument.to_owned()];
        let problems = config::Config::from_urls(
            &urls,
            Transport::Tcp,
            Preset::Grid,
            Fit::Contain,
            &Overrides::default(),
        );
        problems.unwrap_err().list()[0].to_string()
    };
    let check =
        |argument: &str, expected: &str| assert_eq!(say(argument), format!("URL 1: found {expected}"));

    let meant = |file: &str| format!("the name of a file, expected a URL; did you mean --config {file}?");
    check("wall.yaml", &meant("wall.yaml"));
    check("no/such/Wall.YML", &meant("no/such/Wall.YML"));
    check(file, &meant(&format!("'{file}'")));
    check(secret, &meant("FILE"));
    check("user:geheim@cam.yaml", &meant("FILE"));

    let meant =
        |host: &str| format!("a host without `rtsp://` before it, expected an address like rtsp://{host}/…");
    check("192.168.8.101", &meant("192.168.8.101"));
    check("192.168.8.101:8554/geheim", &meant("192.168.8.101:8554"));
    check("::1", &meant("[::1]"));
    check("[::1]:8554", &meant("[::1]:8554"));
    check("cam.lan:554/live", &meant("10.0.0.1"));
    check("geheim", &meant("10.0.0.1"));

    const NO_SCHEME: &str = "no scheme, expected an address like rtsp://host:554/path";
    check("user:geheim@192.168.8.101/live", NO_SCHEME);
    check("", NO_SCHEME);
    check("http://192.168.8.101/wall.yaml", "the scheme http, expected rtsp or rtsps (others come later)");
    check("/dev/video0", "a device, expected rtsp or rtsps (others come later)");
    std::fs::remove_dir_all(&folder).unwrap();
}
