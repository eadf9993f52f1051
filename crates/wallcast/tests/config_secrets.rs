//! Passwords and tokens appear in no message and no `Debug`, whatever is wrong with the file around them.
#![allow(clippy::unwrap_used, reason = "tests")]

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use wallcast::config::{self, Overrides};

const SECRET: &str = "hunter2geheim";

/// Every place of a secret: in a URL, its query, a substream, a token, a variable.
const FILE: &str = "\
listen: 127.0.0.1:8081
auth:
  tokens:
    - { name: kiosk, token: \"hunter2geheim\", roles: [view] }
    - name: boss
      token: ${SECRET}-boss
      roles: [admin, view]
webrtc:
  ice_servers:
    - { urls: turn:turn.example.org, secret: hunter2geheim }
    - urls: turn:turn.example.org
      username: ${SECRET}
      credential: hunter2geheim
cameras:
  left: rtsp://user:hunter2geheim@192.168.8.101:554/live/left
  yard:
    source: \"rtsp://192.168.8.102/main?user=a&password=hunter2geheim\"
    substream: rtsp://u:${SECRET}@192.168.8.102/sub
    transport: tcp
walls:
  wall:
    size: 1920x1080
    layout: columns
    tiles: [left, yard]
  lobby:
    layout:
      - { camera: yard, x: 0, y: 0, width: 1440, height: 1080, fit: contain }
";

fn environment(name: &str) -> Option<String> {
    name.starts_with("SECRET").then(|| SECRET.to_owned())
}

/// Everything that anybody gets to see about `yaml`.
fn shown(yaml: &str) -> String {
    match config::parse_with("wall.yaml", yaml, &Overrides::default(), &environment) {
        Ok(config) => {
            let warnings: String =
                config.warnings.iter().map(|warning| format!("{warning}\n{warning:?}\n")).collect();
            format!("{config:?}\n{config:#?}\n{warnings}")
        }
        Err(problems) => format!("{problems}\n{problems:?}\n{:?}", problems.list()),
    }
}

#[track_caller]
fn check(yaml: &str) {
    let shown = shown(yaml);
    assert!(!shown.contains(SECRET), "{yaml}\n\n{shown}");
}

#[test]
fn a_good_configuration_shows_no_secret_in_debug() {
    assert!(config::parse_with("wall.yaml", FILE, &Overrides::default(), &environment).is_ok());
    check(FILE);
}

#[test]
fn broken_lines_with_secrets_are_not_repeated() {
    for broken in [
        "cameras: { left: rtsp://u:hunter2geheim@ho st/ }",
        "cameras: { left: http://u:hunter2geheim@host/ }",
        "cameras: { left: 'u:hunter2geheim@host' }",
        "cameras: { left: hunter2geheim }",
        "cameras: { left: rtsp://u:hunter2geheim }",
        "cameras: { left: rtsp://u:hunter2geheim/x@host/ }",
        "cameras: { left: rtsp://u:${SECRET}@ho st/ }",
        "cameras: { left: ${SECRET} }",
        "cameras: { left: ${SECRET }",
        "cameras: { left: { source: rtsp://u:hunter2geheim@host/: x } }",
        "cameras: { rtsp://u:hunter2geheim@host/: left }",
        "cameras: [rtsp://u:hunter2geheim@host/]",
        "cameras: rtsp://u:hunter2geheim@host/",
        "cameras:\n  left: rtsp://u:hunter2geheim@host/\n  rtsp://u:hunter2geheim@host/\n",
        "cameras:\n  left: \"rtsp://u:hunter2geheim@host/\n  right: rtsp://b/\n",
        "cameras:\n  left: rtsp://u:hunter2geheim@host/ # c: d\n\tright: x\n",
        "cameras:\n  left: @u:hunter2geheim@host/\n",
        "cameras:\n  left: rtsp://u:p: hunter2geheim@host/\n",
        "listen: rtsp://u:hunter2geheim@host/\ncameras: { a: rtsp://a/ }",
        "listen: ${SECRET}\ncameras: { a: rtsp://a/ }",
        "hosts: [${SECRET}/, 'u:hunter2geheim@x']\ncameras: { a: rtsp://a/ }",
        "cameras: { a: rtsp://a/ }\nauth: { tokens: [hunter2geheim] }",
        "cameras: { a: rtsp://a/ }\nauth: { tokens: hunter2geheim }",
        "cameras: { a: rtsp://a/ }\nauth: hunter2geheim",
        "cameras: { a: rtsp://a/ }\nauth: { token: hunter2geheim }",
        "cameras: { a: rtsp://a/ }\nauth: { tokens: [{ name: n, token: 'hunter2geheim ', roles: [x] }] }",
        "cameras: { a: rtsp://a/ }\nauth: { tokens: [{ name: n, token: [hunter2geheim], roles: [view] }] }",
        "cameras: { a: rtsp://a/ }\nwalls: { wall: { fps: ${SECRET}, size: ${SECRET}, tiles: [${SECRET}], bitrate: '${SECRET}x' } }",
        "cameras: { left: rtsp://u:x,hunter2geheim,y@host/ }\nwalls: { wall: { tiles: [nobody] } }",
        "cameras: { left: { source: rtsp://u:x,hunter2geheim,y@host/ } }",
        "cameras: { a: rtsp://a/ }\nauth: { tokens: [{ name: n, token: x,hunter2geheim,hunter2geheim, roles: [view] }] }",
        "cameras:\n  a: &a { source: rtsp://u:x,hunter2geheim,y@host/ }\n  b:\n    <<: *a\n    transport: udp\n",
        "cameras: [{ a: x,hunter2geheim }, [x: y,hunter2geheim], b: c,hunter2geheim]",
        "cameras:\n  a: {\n    source: rtsp://u:x,\n    hunter2geheim,\n    y@host/ }\n",
        "cameras: { a: !hunter2geheim rtsp://a/ }",
        "cameras: { a: *hunter2geheim }",
        "webrtc: { ice_servers: ['turn:u:hunter2geheim@host'] }\ncameras: { a: rtsp://a/ }",
        "webrtc: { ice_servers: [{ urls: stun:a, secret: hunter2geheim }] }\ncameras: { a: rtsp://a/ }",
        "webrtc: { ice_servers: [{ urls: turn:a, credential: hunter2geheim }] }\ncameras: { a: rtsp://a/ }",
        "webrtc: { ice_servers: [{ urls: turn:a, secret: 'hunter2geheim\u{fc}' }] }\ncameras: { a: rtsp://a/ }",
        "webrtc: { ice_servers: [{ urls: turn:a, secret: [hunter2geheim], ttl: '${SECRET}' }] }\ncameras: { a: rtsp://a/ }",
        "webrtc: { ice_servers: { secret: hunter2geheim } }\ncameras: { a: rtsp://a/ }",
    ] {
        check(broken);
    }
}

#[test]
fn mutated_files_never_panic_and_never_show_a_secret() {
    let mut random = StdRng::seed_from_u64(0x0077_a11c_a575);
    let (mut refused, mut taken) = (0, 0);
    for _ in 0..4_000 {
        let yaml = mutated(&mut random);
        check(&yaml);
        match config::parse_with("wall.yaml", &yaml, &Overrides::default(), &environment) {
            Ok(_) => taken += 1,
            Err(problems) => {
                refused += 1;
                let lines = yaml.lines().count() as u32 + 1;
                assert!(
                    !problems.list().is_empty() && problems.list().iter().all(|p| p.line <= lines),
                    "{problems}\n{yaml}"
                );
                assert!(
                    problems.list().iter().all(|p| !p.found.is_empty() && !p.expected.is_empty()),
                    "{problems}"
                );
            }
        }
    }
    assert!(
        refused > 1000 && taken > 100,
        "the mutations are neither all harmless nor all fatal: {refused} {taken}"
    );
}

/// One to three slips: characters changed, left out or put in, lines swapped, doubled, indented or left out. The
/// secret itself stays whole, so that it can be looked for.
fn mutated(random: &mut StdRng) -> String {
    const SLIPS: [char; 24] = [
        ':', ' ', '\n', '\t', '{', '}', '[', ']', ',', '#', '"', '\'', '-', '&', '*', '!', '|', '>', '%',
        '@', '$', '0', 'x', 'é',
    ];
    let mut text: Vec<char> = FILE.replace(SECRET, "\u{1}").chars().collect();
    for _ in 0..random.random_range(1..=3) {
        let at = random.random_range(0..text.len());
        let slip = SLIPS[random.random_range(0..SLIPS.len())];
        match random.random_range(0..7) {
            0 if text[at] != '\u{1}' => text[at] = slip,
            1 => text.insert(at, slip),
            2 if text[at] != '\u{1}' => {
                text.remove(at);
            }
            _ => {
                let whole: String = text.iter().collect();
                let mut lines: Vec<String> = whole.split('\n').map(str::to_owned).collect();
                let (a, b) = (random.random_range(0..lines.len()), random.random_range(0..lines.len()));
                match random.random_range(0..4) {
                    0 => lines.swap(a, b),
                    1 => lines.insert(b, lines[a].clone()),
                    2 => lines[a].insert_str(0, "  "),
                    _ => lines[a] = lines[a].trim_start().to_owned(),
                }
                text = lines.join("\n").chars().collect();
            }
        }
    }
    text.into_iter().collect::<String>().replace('\u{1}', SECRET)
}
