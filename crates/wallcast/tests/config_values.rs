//! What good configurations mean: values, defaults, and that the example file tells the truth about both.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use wallcast::auth::{Auth, Role};
use wallcast::config::{self, Config, IceLogin, Overrides, PublicAddress, PublicHost, StateSetting};
use wallcast_compositor::encoder::EncoderChoice;
use wallcast_compositor::{
    Area, CanvasSize, Fit, LabelText, Layout, Overlay, Presentation, Preset, Rotation, Spacing, TileRect,
};
use wallcast_ingest::{Certificate, Hardware, SourceUrl, Transport};

const EXAMPLE: &str = include_str!("../../../wallcast.example.yaml");

fn environment(name: &str) -> Option<String> {
    let known = ["KIOSK_TOKEN", "EDITOR_TOKEN", "LEFT_PASSWORD", "TURN_SECRET", "TURN_PASSWORD"];
    known.contains(&name).then(|| format!("{name}-is-long-enough"))
}

#[track_caller]
fn good(yaml: &str) -> Config {
    match config::parse_with("wall.yaml", yaml, &Overrides::default(), &environment) {
        Ok(config) => config,
        Err(problems) => panic!("{problems}"),
    }
}

/// Everything that has a default, in the words of a configuration file.
fn in_words(config: &Config) -> Vec<(&'static str, String)> {
    let wall = &config.walls[0];
    let pair = good("cameras: { a: rtsp://a/, b: rtsp://b/ }");
    let [left, right] = pair.walls[0].arrangement.layout().placements() else { panic!("two tiles") };
    let gap = right.x() - (left.x() + left.width());
    let yes = |condition: bool, word: &str| if condition { word.to_owned() } else { format!("not {word}") };
    vec![
        ("listen", config.listen.to_string()),
        ("webrtc.listen", config.webrtc.listen.to_string()),
        ("webrtc.public_addresses", format!("{:?}", config.webrtc.public_addresses)),
        ("webrtc.ice_servers", format!("{:?}", config.webrtc.ice_servers)),
        ("webrtc.ice_lite", config.webrtc.ice_lite.to_string()),
        ("webrtc.max_viewers", config.webrtc.max_viewers.to_string()),
        ("webrtc.max_viewers_per_address", config.webrtc.max_viewers_per_address.to_string()),
        ("rtsp.listen", config.rtsp.listen.map_or("none".to_owned(), |address| address.to_string())),
        (
            "auth",
            yes(
                matches!(config.auth, Auth::Loopback),
                "nobody is asked, which only goes with addresses of loopback.",
            ),
        ),
        ("hosts", format!("{:?}", config.hosts)),
        ("origins", format!("{:?}", config.origins)),
        (
            "state",
            yes(
                config.state == StateSetting::Default,
                "beside this file (or in systemd's StateDirectory), named like it but ending in .state.json",
            ),
        ),
        ("cameras.yard.substream", yes(config.cameras[0].substream.is_none(), "none")),
        ("cameras.yard.transport", yes(config.cameras[0].transport == Transport::Tcp, "tcp")),
        ("cameras.yard.certificate", yes(config.cameras[0].certificate == Certificate::Any, "any")),
        ("cameras.yard.hwaccel", yes(config.cameras[0].hwaccel == Hardware::None, "none")),
        ("cameras.yard.on_demand", config.cameras[0].on_demand.to_string()),
        ("walls", format!("one called `{}` with every camera", wall.name)),
        ("walls.wall.size", format!("{}x{}", wall.size.width(), wall.size.height())),
        ("walls.wall.fps", wall.fps.get().to_string()),
        ("walls.wall.bitrate", format!("{}M", wall.bitrate.bps() / 1_000_000)),
        (
            "walls.wall.renditions",
            yes(
                wall.renditions.len() == 1
                    && 2 * wall.renditions[0].size.height() == wall.size.height()
                    && 4 * wall.renditions[0].bitrate.bps() == wall.bitrate.bps(),
                "the wall as it is, and half of it with a quarter of the bitrate",
            ),
        ),
        ("walls.wall.encoder", wall.encoder.as_str().to_owned()),
        ("walls.wall.black_after", format!("{}s", wall.black_after.as_secs())),
        ("walls.wall.align", yes(wall.align.is_none(), "none")),
        (
            "walls.wall.layout",
            yes(
                wall.arrangement.layout().placements()
                    == Layout::grid(wall.size, wall.arrangement.cameras().len()).unwrap().placements(),
                "grid",
            ),
        ),
        ("walls.wall.tiles", yes(wall.arrangement.cameras().len() == config.cameras.len(), "every camera")),
        ("walls.wall.fit", wall.arrangement.layout().placements()[0].fit().as_str().to_owned()),
        (
            "walls.wall.overlay",
            format!("[{}]", written(&wall.arrangement.layout().placements()[0].presentation().overlay)),
        ),
        ("walls.wall.background", wall.arrangement.layout().background().to_string()),
        ("walls.wall.gap", gap.to_string()),
        ("walls.wall.border", left.x().to_string()),
    ]
}

/// What an overlay writes.
fn written(overlay: &Overlay) -> String {
    let is_on = |name: &&str| *overlay.clone().item_mut(name).unwrap();
    Overlay::ITEMS.into_iter().filter(is_on).collect::<Vec<_>>().join(", ")
}

/// `(path of the key below, what the comment says)` for every `Default: …` in the example's comments.
fn documented_defaults() -> Vec<(String, String)> {
    let (mut path, mut pending, mut found): (Vec<(usize, &str)>, Option<String>, Vec<_>) =
        (Vec::new(), None, Vec::new());
    for line in EXAMPLE.lines() {
        let (text, indent) = (line.trim(), line.len() - line.trim_start().len());
        if let Some(comment) = text.strip_prefix('#') {
            if let Some((_, default)) = comment.split_once("Default: ") {
                pending = Some(default.to_owned());
            }
        } else if let Some((key, _)) = text.split_once(':')
            && !text.starts_with('-')
        {
            path.retain(|(outer, _)| *outer < indent);
            path.push((indent, key));
            if let Some(default) = pending.take() {
                let keys: Vec<&str> = path.iter().map(|(_, key)| *key).collect();
                found.push((keys.join("."), default));
            }
        }
    }
    found
}

#[test]
fn the_example_parses_and_has_the_values_it_shows() {
    let config = good(EXAMPLE);
    let names: Vec<&str> = config.cameras.iter().map(|camera| camera.name.as_str()).collect();
    assert_eq!(names, ["left", "gate", "right", "yard"]);
    assert_eq!(config.cameras[0].source.to_string(), "rtsp://192.168.8.101:554/live/left");
    assert_eq!(config.walls[0].arrangement.cameras(), ["left", "yard", "gate", "right"]);
    let spacing = Spacing::new(4, 8).unwrap();
    let columns = Layout::preset(Preset::Columns, config.walls[0].size, 4, spacing).unwrap();
    let place = |layout: &Layout| -> Vec<_> { layout.placements().iter().map(|p| (p.x(), p.y())).collect() };
    assert_eq!(place(config.walls[0].arrangement.layout()), place(&columns));
    assert_eq!(config.walls[0].arrangement.layout().background().to_string(), "#202428");
    let gate = config.walls[0].arrangement.layout().placements()[2].presentation();
    assert_eq!((gate.rotation, gate.mirrored, gate.masks.len()), (Rotation::Half, true, 2));
    assert_eq!(gate.overlay.text.as_ref().unwrap().text, "Garden gate, 2nd floor");
    let placements = config.walls[0].arrangement.layout().placements();
    let overlays: Vec<String> = placements.iter().map(|p| written(&p.presentation().overlay)).collect();
    let clock = "label, clock, state, reason, tick";
    assert_eq!(overlays, [clock, clock, "label, state, reason, tick", clock]);
    let lobby = config.walls[1].arrangement.layout().placements();
    assert_eq!((lobby.len(), lobby[0].fit(), lobby[1].z()), (3, Fit::Cover, 1));
    assert!(lobby[0].presentation().crop.is_some());
    let Auth::Tokens(tokens) = &config.auth else { panic!("tokens") };
    assert_eq!((tokens[0].name(), tokens[0].secret()), ("kiosk", "KIOSK_TOKEN-is-long-enough"));
    assert!(tokens[0].roles().allow(Role::View) && !tokens[0].roles().allow(Role::Admin));
    assert_eq!(config.hosts, ["wall.example.org"]);
    assert_eq!(config.origins, ["https://intranet.example.org"]);
    let address = |host, port| PublicAddress { host, port };
    let public = [
        address(PublicHost::Ip([203, 0, 113, 7].into()), None),
        address(PublicHost::Name("wall.example.org".to_owned()), Some(9000)),
    ];
    assert_eq!(config.webrtc.public_addresses, public);
    let servers = &config.webrtc.ice_servers;
    assert_eq!(servers.iter().map(|server| server.urls.len()).collect::<Vec<_>>(), [1, 2, 1]);
    let secret = "TURN_SECRET-is-long-enough".to_owned();
    assert_eq!(servers[1].login, Some(IceLogin::TimeLimited { secret, ttl: Duration::from_secs(12 * 3600) }));
    let (username, credential) = ("wall".to_owned(), "TURN_PASSWORD-is-long-enough".to_owned());
    assert_eq!(servers[2].login, Some(IceLogin::Fixed { username, credential }));
    let warnings: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(config.state, StateSetting::At("/var/lib/wallcast/wall.state.json".into()));
    let tour = &config.walls[1].arrangement.tiles()[2];
    assert_eq!((tour.cameras.join(" "), tour.every), ("left right".to_owned(), Duration::from_secs(8)));
    let yard = &config.cameras[3];
    assert_eq!(yard.substream.as_ref().unwrap().to_string(), "rtsp://192.168.8.102/sub");
    assert_eq!((yard.hwaccel, yard.on_demand), (Hardware::Auto, true));
    assert_eq!(config.walls[0].align, Some(Duration::from_millis(200)));
}

#[test]
fn the_comments_of_the_example_match_the_real_defaults() {
    let real = in_words(&good("cameras: { yard: rtsp://a/ }"));
    let documented = documented_defaults();
    assert_eq!(documented.len(), real.len(), "every default is documented once: {documented:?}");
    for ((key, default), (documented_key, documented)) in real.iter().zip(&documented) {
        assert_eq!((*key, default.as_str()), (documented_key.as_str(), documented.as_str()));
    }
}

#[test]
fn the_example_names_every_key_there_is() {
    // The list of known keys is what an unknown one is answered with.
    let broken = "nokey: 1\nwebrtc: { nokey: 1, ice_servers: [{ nokey: 1 }] }\nrtsp: { nokey: 1 }\nauth: { nokey: 1, tokens: [{ nokey: 1 }] }\n\
                  cameras: { a: { nokey: 1 } }\nwalls: { b: { nokey: 1 }, c: { layout: [{ nokey: 1 }] }, d: { tiles: [{ nokey: 1 }] } }\n";
    let problems = config::parse_with("wall.yaml", broken, &Overrides::default(), &environment).unwrap_err();
    let known: Vec<&str> = problems
        .list()
        .iter()
        .filter(|p| p.found.contains("unknown key"))
        .flat_map(|p| p.expected.strip_prefix("one of ").unwrap().split(", "))
        .collect();
    assert!(known.len() >= 34, "{known:?}");
    for key in known {
        assert!(EXAMPLE.contains(&format!("{key}:")), "{key}");
    }
}

#[test]
fn values_are_read_as_people_write_them() {
    let config = good(
        "\
listen: localhost:9000
rtsp: { listen: none }
auth: none
hosts: [Wall.Local, 10.0.0.1, '::1']
cameras:
  1: rtsp://a/
  '2': { source: rtsps://b/, transport: udp, substream: rtsp://b/s, certificate: verify, hwaccel: vaapi, on_demand: true }
walls:
  tall: { size: 1080x1920, fps: 60, bitrate: 2.5M, black_after: 1500ms, align: 40ms, layout: grid, tiles: [2, 1, 2], fit: cover }
  plain:
",
    );
    assert_eq!(config.listen, "127.0.0.1:9000".parse::<std::net::SocketAddr>().unwrap());
    assert_eq!(config.rtsp.listen, None);
    assert!(matches!(config.auth, Auth::Open));
    assert_eq!(config.hosts, ["wall.local", "10.0.0.1", "::1"]);
    assert_eq!(config.cameras[1].transport, Transport::Udp);
    assert!(config.cameras[1].substream.is_some());
    assert_eq!(config.cameras[1].certificate, Certificate::Verify);
    assert_eq!((config.cameras[1].hwaccel, config.cameras[1].on_demand), (Hardware::Vaapi, true));
    assert_eq!((config.walls[0].align, config.walls[1].align), (Some(Duration::from_millis(40)), None));
    let wall = &config.walls[0];
    assert_eq!(
        (wall.size.width(), wall.size.height(), wall.fps.get(), wall.bitrate.bps()),
        (1080, 1920, 60, 2_500_000)
    );
    assert_eq!((wall.black_after, wall.encoder), (Duration::from_millis(1500), EncoderChoice::OpenH264));
    assert_eq!(wall.arrangement.cameras(), ["2", "1", "2"]);
    assert!(wall.arrangement.layout().placements().iter().all(|placement| placement.fit() == Fit::Cover));
    assert_eq!(config.walls[1].arrangement.cameras(), ["1", "2"], "a wall without keys has every default");
}

#[test]
fn how_viewers_reach_us_is_read_as_people_write_it() {
    let config = good(
        "\
cameras: { a: rtsp://a/ }
origins: ['HTTPS://Intranet.Example.org:443/', 'http://10.0.0.1:3000', 'http://[2001:DB8::1]']
webrtc:
  listen: '[::]:9000'
  public_addresses: ['2001:db8::7', '[2001:db8::8]', '[2001:db8::9]:1', Wall.Example.Org, 10.1.2.3:4]
  ice_servers:
    - stun:192.0.2.1
    - { urls: 'turns:[2001:db8::1]:5349?transport=tcp', secret: s }
    - { urls: [stun:a.example, turn:a.example], username: a b, credential: 'p\"w' }
  ice_lite: true
  max_viewers: 3
  max_viewers_per_address: 2
",
    );
    let origins = ["https://intranet.example.org", "http://10.0.0.1:3000", "http://[2001:db8::1]"];
    assert_eq!(config.origins, origins);
    let webrtc = config.webrtc;
    assert_eq!(webrtc.listen, "[::]:9000".parse::<std::net::SocketAddr>().unwrap());
    let public: Vec<_> =
        webrtc.public_addresses.iter().map(|address| (address.host.to_string(), address.port)).collect();
    let expected = [
        ("2001:db8::7", None),
        ("2001:db8::8", None),
        ("2001:db8::9", Some(1)),
        ("wall.example.org", None),
        ("10.1.2.3", Some(4)),
    ];
    assert_eq!(public, expected.map(|(host, port)| (host.to_owned(), port)));
    assert_eq!(webrtc.ice_servers[0].login, None);
    let day = Duration::from_secs(24 * 3600);
    let login = IceLogin::TimeLimited { secret: "s".to_owned(), ttl: day };
    assert_eq!(webrtc.ice_servers[1].login, Some(login));
    assert_eq!((webrtc.ice_lite, webrtc.max_viewers, webrtc.max_viewers_per_address), (true, 3, 2));
}

#[test]
fn what_a_tile_shows_of_its_picture_is_read_as_it_is_written() {
    let config = good(
        "\
cameras: { a: rtsp://a/, b: rtsp://b/ }
walls:
  wall:
    layout: 1+5
    fit: cover
    background: 'teal'
    gap: 6
    tiles:
      - a
      - { camera: b, crop: { x: 25%, y: 0, width: 0.5, height: 1 }, rotate: 270, mirror: true, fit: stretch }
      - { camera: a, mask: { x: 10, y: 20, width: 30, height: 40 } }
      - { camera: b, mask: [{ x: 0, y: 0, width: 12.5%, height: 1.0 }] }
  lobby:
    size: 640x360
    layout:
      - { camera: b, x: 0, y: 0, width: 640, height: 360, z: -2, rotate: 90 }
",
    );
    let wall = &config.walls[0];
    let spacing = Spacing::new(6, 0).unwrap();
    let fraction = |x, y, width, height| Area::fractions(x, y, width, height).unwrap();
    let cover = || Presentation { fit: Fit::Cover, ..Presentation::default() };
    let expected = Layout::preset(Preset::OnePlusFive, CanvasSize::FULL_HD, 4, spacing)
        .unwrap()
        .with_background("#008080".parse().unwrap())
        .with_presentations([
            cover(),
            Presentation {
                fit: Fit::Stretch,
                crop: Some(fraction(0.25, 0.0, 0.5, 1.0)),
                rotation: Rotation::ThreeQuarters,
                mirrored: true,
                masks: vec![],
                overlay: Overlay::default(),
            },
            Presentation { masks: vec![Area::pixels(10, 20, 30, 40).unwrap()], ..cover() },
            Presentation { masks: vec![fraction(0.0, 0.0, 0.125, 1.0)], ..cover() },
        ]);
    assert_eq!(*wall.arrangement.layout(), expected);
    assert_eq!((wall.arrangement.layout().placements().len(), wall.arrangement.cameras().len()), (6, 4));
    let rect = TileRect {
        width: 640,
        height: 360,
        z: -2,
        presentation: Presentation { rotation: Rotation::Quarter, ..Presentation::default() },
        ..TileRect::default()
    };
    let lobby = CanvasSize::new(640, 360).unwrap();
    assert_eq!(*config.walls[1].arrangement.layout(), Layout::explicit(lobby, vec![rect]).unwrap());
}

#[test]
fn what_is_written_over_a_tile_is_read_as_it_is_written() {
    let config = good(
        "\
cameras: { a: rtsp://a/, b: rtsp://b/ }
walls:
  plain:
  silent: { overlay: none, tiles: [a, { camera: b, overlay: [tick, label] }, { camera: a, overlay: { state: true } }] }
  exact: { overlay: [clock], tiles: [a, { camera: b, overlay: { clock: false, label: true }, label: Front door }] }
  other:
    overlay: { tick: false }
    layout:
      - { camera: b, x: 0, y: 0, width: 640, height: 360, label: '№ 2 ☀' }
      - { camera: a, x: 640, y: 0, width: 640, height: 360, overlay: [] }
",
    );
    let of = |wall: usize| -> Vec<String> {
        let placements = config.walls[wall].arrangement.layout().placements();
        placements.iter().map(|placement| written(&placement.presentation().overlay)).collect()
    };
    assert_eq!(of(0), ["label, state, reason, tick"; 2]);
    assert_eq!(of(1)[..3], ["", "label, tick", "state"]);
    assert_eq!(of(2), ["clock", "label"]);
    assert_eq!(of(3), ["label, state, reason", ""]);
    let text = |wall: usize, tile: usize| {
        config.walls[wall].arrangement.layout().placements()[tile].presentation().overlay.text.clone()
    };
    let label = |camera: &str, text: &str| LabelText { camera: camera.to_owned(), text: text.to_owned() };
    assert_eq!([text(2, 0), text(2, 1)], [None, Some(label("b", "Front door"))]);
    assert_eq!([text(3, 0), text(3, 1)], [Some(label("b", "№ 2 ☀")), None]);
}

#[test]
fn a_preset_with_more_cells_than_cameras_keeps_its_cells() {
    let config = good("cameras: { a: rtsp://a/ }\nwalls: { wall: { layout: columns } }");
    assert_eq!(
        (
            config.walls[0].arrangement.cameras().len(),
            config.walls[0].arrangement.layout().placements().len()
        ),
        (1, 4)
    );
}

#[test]
fn tokens_keep_their_spelling_and_dollars_can_be_escaped() {
    let token = |written: &str| {
        let yaml = format!(
            "cameras: {{ a: rtsp://a/ }}\nauth: {{ tokens: [{{ name: n, token: {written}, roles: [view] }}] }}"
        );
        let Auth::Tokens(tokens) = good(&yaml).auth else { panic!("tokens") };
        tokens[0].secret().to_owned()
    };
    assert_eq!(token("00420000"), "00420000");
    assert_eq!(token("1e10"), "1e10");
    assert_eq!(token("0x1F"), "0x1F");
    assert_eq!(token("true"), "true");
    assert_eq!(token("'${KIOSK_TOKEN}'"), "KIOSK_TOKEN-is-long-enough");
    assert_eq!(token("${KIOSK_TOKEN}"), "KIOSK_TOKEN-is-long-enough");
    assert_eq!(token("'a$$b$c$${KIOSK_TOKEN}'"), "a$b$c${KIOSK_TOKEN}");
}

#[test]
fn a_password_from_the_environment_is_taken_as_it_is() {
    let camera = |written: &str, password: &str| {
        let yaml = format!("cameras:\n  a: {written}\n  b: {{ source: {written}, substream: {written} }}\n");
        let variable = |name: &str| (name == "PASSWORD").then(|| password.to_owned());
        let config = config::parse_with("wall.yaml", &yaml, &Overrides::default(), &variable).unwrap();
        let [a, b] = &config.cameras[..] else { panic!("two cameras") };
        assert_eq!((&a.source, Some(&a.source)), (&b.source, b.substream.as_ref()));
        a.source.clone()
    };
    // Both sides keep the login, decoded, and are compared with it.
    for (password, by_hand) in [("p@ss/w#rd", "p%40ss%2Fw%23rd"), ("a%41", "a%2541"), ("plain-1", "plain-1")]
    {
        let expected = SourceUrl::parse(&format!("rtsp://user:{by_hand}@host/")).unwrap();
        assert_eq!(camera("rtsp://user:${PASSWORD}@host/", password), expected, "{password}");
    }
    assert_eq!(
        camera("rtsp://host/?password=${PASSWORD}", "a%41"),
        SourceUrl::parse("rtsp://host/?password=a%41").unwrap()
    );
    assert_eq!(
        camera("${PASSWORD}", "rtsp://u:a%41@host/"),
        SourceUrl::parse("rtsp://u:a%41@host/").unwrap()
    );
}

#[test]
fn urls_become_cameras_in_their_order_and_one_wall() {
    let urls = ["rtsp://a/", "rtsp://u:geheim@b/"].map(str::to_owned);
    let flags = Overrides { rtsp_listen: Some(None), ..Overrides::default() };
    let config = Config::from_urls(&urls, Transport::Udp, Preset::Grid, Fit::Contain, &flags).unwrap();
    let names: Vec<&str> = config.cameras.iter().map(|camera| camera.name.as_str()).collect();
    assert_eq!(names, ["cam1", "cam2"]);
    assert!(config.cameras.iter().all(|camera| camera.transport == Transport::Udp));
    assert_eq!((config.walls[0].name.as_str(), config.walls.len()), ("wall", 1));
    assert_eq!(config.walls[0].arrangement.cameras(), names);
    assert_eq!(
        (config.listen, config.rtsp.listen),
        ("127.0.0.1:8081".parse::<std::net::SocketAddr>().unwrap(), None)
    );
}

#[test]
fn urls_are_arranged_as_the_command_line_says() {
    let urls = ["rtsp://a/", "rtsp://b/"].map(str::to_owned);
    let wall = |preset, fit| {
        let config = Config::from_urls(&urls, Transport::Tcp, preset, fit, &Overrides::default()).unwrap();
        config.walls.into_iter().next().unwrap().arrangement.layout().clone()
    };
    for fit in [Fit::Contain, Fit::Cover, Fit::Stretch] {
        let (grid, columns) = (wall(Preset::Grid, fit), wall(Preset::Columns, fit));
        assert_eq!(
            grid.placements(),
            Layout::grid(CanvasSize::FULL_HD, 2).unwrap().with_fit(fit).placements()
        );
        assert_eq!(columns.placements(), Layout::columns(CanvasSize::FULL_HD).with_fit(fit).placements());
    }
    let five = ["rtsp://a/"; 5].map(str::to_owned);
    let problems =
        Config::from_urls(&five, Transport::Tcp, Preset::Columns, Fit::Contain, &Overrides::default());
    assert_eq!(
        problems.unwrap_err().list()[0].to_string(),
        "URLs: found 5 tiles, expected at most 4, the cells of the layout columns"
    );
}

#[test]
fn an_open_listener_is_a_warning_at_every_start() {
    let config = good("listen: 0.0.0.0:8081\nauth: none\ncameras: { a: rtsp://a/ }");
    let warnings: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        ["line 1: listen: whoever reaches 0.0.0.0:8081 may watch and change walls, because `auth` is none"]
    );
}

#[test]
fn files_from_windows_and_letters_beyond_ascii_keep_their_places() {
    good("\u{feff}cameras:\r\n  a: rtsp://a/\r\nwalls:\r\n  wall: { size: 640x360 }\r\n");
    let config = good(
        "\u{feff}cameras: { a: rtsp://a/ }\nauth: { tokens: [{ name: n, token: 0x1F, roles: [view] }] }",
    );
    let Auth::Tokens(tokens) = &config.auth else { panic!("tokens") };
    assert_eq!(tokens[0].secret(), "0x1F");
    let yaml = "# Übersicht äöü\r\ncameras: { a: rtsp://ä/ }\r\nwalls: { 'w': { fps: ${KIOSK_TOKEN} }, 'x': { fps: ü } }\r\n";
    let problems = config::parse_with("wall.yaml", yaml, &Overrides::default(), &environment).unwrap_err();
    let places: Vec<_> = problems.list().iter().map(|problem| (problem.line, problem.column)).collect();
    assert_eq!(places, [(3, 22), (3, 52)], "{problems}");
}
