//! Cameras against a scripted RTSP server on loopback.
#![allow(clippy::unwrap_used, unreachable_pub, reason = "tests")]

#[allow(dead_code, reason = "each test program uses a part of it")]
#[path = "support/annexb.rs"]
mod annexb;
#[allow(dead_code, reason = "each test program uses a part of it")]
#[path = "support/server.rs"]
mod server;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use server::{After, Answer, H264, H265, Parameters, Script, Server, Stream};
use tokio::runtime::Handle;
use wallcast_ingest::{
    Camera, CameraConfig, CameraView, Frame, SourceUrl, Tile, TileSize, TileState, TileStatus, Transport,
};

const BLACK_AFTER: Duration = Duration::from_secs(2);
const SILENCE: Duration = Duration::from_secs(2);

fn config(url: &str) -> CameraConfig {
    CameraConfig { silence: SILENCE, ..CameraConfig::new("left", SourceUrl::parse(url).unwrap()) }
}

fn start(url: &str) -> Camera {
    Camera::start(config(url), &Handle::current()).unwrap()
}

fn tile(view: &CameraView) -> Seen {
    let Tile { status: TileStatus { state, reason, since: _, age }, frame } =
        view.tile(Instant::now(), BLACK_AFTER, TileSize::new(1920, 1080));
    Seen { state, reason: reason.map(|reason| reason.to_string()), age, frame }
}

/// A tile with its reason in words.
#[derive(Debug)]
struct Seen {
    state: TileState,
    reason: Option<String>,
    age: Option<Duration>,
    frame: Option<Arc<Frame>>,
}

/// Waits for a tile like this, and fails with what it was at the end.
#[track_caller]
fn until(view: &CameraView, seconds: u64, wanted: impl Fn(&Seen) -> bool) -> impl Future<Output = Seen> {
    let caller = std::panic::Location::caller();
    async move {
        let give_up = Instant::now() + Duration::from_secs(seconds);
        loop {
            let tile = tile(view);
            if wanted(&tile) {
                return tile;
            }
            assert!(Instant::now() < give_up, "{caller}: {tile:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn until_state(view: &CameraView, state: TileState) -> Seen {
    until(view, 15, |tile| tile.state == state).await
}

/// Starts a camera on this address and waits for the reason.
#[track_caller]
fn check_reason(url: String, reason: String) -> impl Future<Output = ()> {
    let camera = start(&url);
    async move {
        until(&camera.view(), 10, |tile| tile.reason.as_deref() == Some(reason.as_str())).await;
        let stats = camera.view().stats(Instant::now());
        assert_eq!(stats.reason.as_deref(), Some(reason.as_str()));
        assert_eq!(stats.frames_decoded, 0);
        camera.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_arrive_whatever_the_codec_the_transport_and_the_place_of_the_parameter_sets() {
    let in_sdp = |stream: Stream| Stream { parameters: Parameters::InSdp, ..stream };
    for transport in [Transport::Tcp, Transport::Udp] {
        for (stream, codec) in
            [(H264, "h264"), (in_sdp(H264), "h264"), (H265, "h265"), (in_sdp(H265), "h265")]
        {
            let server = Server::start(vec![Script::playing(stream)]).await;
            let config = CameraConfig { transport, ..config(&server.url("")) };
            let camera = Camera::start(config, &Handle::current()).unwrap();
            let view = camera.view();
            let first = until_state(&view, TileState::Live).await.frame.unwrap();
            assert_eq!((first.width(), first.height()), (320, 180));
            let later = until(&view, 10, |tile| tile.frame.as_ref().unwrap().sequence() >= 30).await;
            assert_eq!(later.reason, None);
            let stats = view.stats(Instant::now());
            assert_eq!((stats.codec, stats.resolution), (Some(codec), Some((320, 180))));
            assert_eq!((stats.decode_errors, stats.access_units_dropped, stats.reconnects), (0, 0, 0));
            assert!(stats.fps > 10.0 && stats.bitrate_bps > 10_000 && stats.decode_ms.p50 > 0.0, "{stats:?}");
            camera.stop().await;
        }
    }
}

/// Speaks TLS on a port of its own and hands on to the server in clear, as a camera does inside.
async fn behind_tls(server: std::net::SocketAddr) -> std::net::SocketAddr {
    use tokio_rustls::rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer};
    let made = rcgen::generate_simple_self_signed(vec!["camera".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((outside, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut outside = acceptor.accept(outside).await?;
                let mut inside = tokio::net::TcpStream::connect(server).await?;
                tokio::io::copy_bidirectional(&mut outside, &mut inside).await
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_behind_tls_is_shown_and_told_teardown() {
    let server = Server::start(vec![Script::playing(H264).with_login("YWRtaW46cmlnaHQ=")]).await;
    let address = behind_tls(server.address).await;
    let camera = start(&format!("rtsps://admin:right@{address}/live"));
    let view = camera.view();
    until_state(&view, TileState::Live).await;
    until(&view, 10, |tile| tile.frame.as_ref().is_some_and(|frame| frame.sequence() >= 30)).await;
    assert_eq!(view.stats(Instant::now()).decode_errors, 0);
    camera.stop().await;
    assert_eq!(server.count("TEARDOWN"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_closes_is_held_then_black_at_black_after_then_back() {
    let closing = Script::playing(H264).then(After::Close);
    let server = Server::start(vec![closing]).await;
    let address = server.address;
    let camera = start(&server.url(""));
    let view = camera.view();
    until_state(&view, TileState::Live).await;
    until(&view, 10, |tile| tile.frame.as_ref().unwrap().sequence() >= 45).await;
    drop(server);

    let held = until_state(&view, TileState::Holding).await;
    assert!(held.age.unwrap() >= Duration::from_secs(1) && held.frame.is_some(), "{held:?}");
    until(&view, 5, |tile| {
        // Holding keeps its picture until the very moment of black, and black has none.
        let black = tile.state == TileState::Offline;
        assert_eq!(black, tile.frame.is_none());
        assert_eq!(black, tile.age.unwrap() >= BLACK_AFTER, "{tile:?}");
        black
    })
    .await;
    let words = format!("connection refused by {address}");
    until(&view, 5, |tile| tile.reason.as_deref() == Some(&words)).await;

    let _server = Server::start_at(address, vec![Script::playing(H264)]).await;
    until(&view, 15, |tile| {
        assert!(matches!(tile.state, TileState::Offline | TileState::Live), "black or live, nothing between");
        tile.state == TileState::Live
    })
    .await;
    assert!(view.stats(Instant::now()).reconnects >= 1);
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_goes_silent_is_told_teardown_and_asked_again_within_a_second() {
    let silent = Script::playing(H264).then(After::Silence);
    let server = Server::start(vec![silent, Script::playing(H264)]).await;
    let camera = start(&server.url(""));
    let view = camera.view();
    until_state(&view, TileState::Live).await;
    let black = until_state(&view, TileState::Offline).await;
    until(&view, 5, |tile| tile.reason.as_deref() == Some("no picture for 2 s")).await;
    let black_at = Instant::now() - (black.age.unwrap() - BLACK_AFTER);
    until_state(&view, TileState::Live).await;
    let again = server.times("CONNECT")[1].saturating_duration_since(black_at);
    assert!(again <= Duration::from_secs(2), "{again:?}");
    assert_eq!(server.count("TEARDOWN"), 1);
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_tile_turns_black_has_nothing_to_do_with_when_the_camera_is_asked_again() {
    let silent = Script::playing(H264).then(After::Silence);
    let server = Server::start(vec![silent, Script::playing(H264)]).await;
    let camera = start(&server.url(""));
    let view = camera.view();
    let (impatient, patient) = (Duration::from_secs(1), Duration::from_secs(600));
    let last = until(&view, 10, |tile| tile.frame.as_ref().is_some_and(|f| f.sequence() == 49)).await;
    let frozen_at = last.frame.unwrap().decoded_at();
    tokio::time::sleep_until((frozen_at + Duration::from_millis(1_500)).into()).await;
    let now = Instant::now();
    assert_eq!(view.status(now, impatient).state, TileState::Offline);
    assert_eq!(view.status(now, patient).state, TileState::Holding);
    assert_eq!(server.count("CONNECT"), 1);

    until(&view, 10, |_| server.count("CONNECT") == 2).await;
    let again = server.times("CONNECT")[1].saturating_duration_since(frozen_at);
    assert!(again >= SILENCE && again < SILENCE + Duration::from_secs(2), "{again:?}");
    assert_eq!(view.status(Instant::now(), patient).state, TileState::Holding, "never black in between");
    until_state(&view, TileState::Live).await;
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_whose_first_picture_takes_longer_than_the_silence_goes_live_at_the_first_try() {
    let slow_start = Stream { every_ms: 1_500, ..H264 };
    let server = Server::start(vec![Script::playing(slow_start)]).await;
    let config = CameraConfig { silence: Duration::from_secs(1), ..config(&server.url("")) };
    let camera = Camera::start(config, &Handle::current()).unwrap();
    until_state(&camera.view(), TileState::Live).await;
    assert_eq!(server.count("CONNECT"), 1);
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_slower_than_the_silence_is_asked_again_once_and_then_believed() {
    let timelapse = Stream { every_ms: 700, ..H264 };
    let server = Server::start(vec![Script::playing(timelapse)]).await;
    let config = CameraConfig { silence: Duration::from_millis(500), ..config(&server.url("")) };
    let camera = Camera::start(config, &Handle::current()).unwrap();
    let view = camera.view();
    until(&view, 20, |tile| tile.frame.as_ref().is_some_and(|f| f.sequence() >= 8)).await;
    assert_eq!(view.stats(Instant::now()).reconnects, 1);
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_that_make_no_sense_are_counted_and_skipped() {
    let server = Server::start(vec![Script::playing(Stream { bad_packets: true, ..H264 })]).await;
    let camera = start(&server.url(""));
    let view = camera.view();
    until_state(&view, TileState::Live).await;
    until(&view, 10, |tile| tile.frame.as_ref().unwrap().sequence() >= 60).await;
    let stats = view.stats(Instant::now());
    assert!(stats.decode_errors >= 60 && stats.reconnects == 0, "{stats:?}");
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_in_the_connection_leads_to_a_new_one_within_a_second() {
    let server = Server::start(vec![Script::playing(H264).then(After::Garbage), Script::playing(H264)]).await;
    let camera = start(&server.url(""));
    let view = camera.view();
    until(&view, 10, |_| view.stats(Instant::now()).reconnects == 1).await;
    let back = until(&view, 10, |tile| tile.frame.as_ref().is_some_and(|frame| frame.sequence() >= 60)).await;
    assert_eq!(back.state, TileState::Live);
    assert!(server.count("CONNECT") == 2);
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gradual_refresh_joined_in_the_middle_is_decoded_from_parameter_sets_in_the_sdp() {
    let bytes = include_bytes!("fixtures/refresh.h264");
    let stream = Stream { bytes, parameters: Parameters::InSdp, first: 5, ..H264 };
    let server = Server::start(vec![Script::playing(stream).then(After::Silence)]).await;
    let camera = start(&server.url(""));
    until_state(&camera.view(), TileState::Live).await;
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_of_more_than_16_megapixels_is_refused_in_words() {
    let huge = Stream { bytes: include_bytes!("fixtures/huge.h264"), ..H264 };
    let server = Server::start(vec![Script::playing(huge)]).await;
    check_reason(server.url(""), "picture of 8192x4096 is larger than 16 megapixels".into()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_said_and_not_tried_again_soon() {
    let server = Server::start(vec![Script::playing(H264).with_login("YWRtaW46cmlnaHQ=")]).await;
    let camera = start(&server.url("admin:wrong@"));
    let view = camera.view();
    until(&view, 5, |tile| tile.reason.as_deref() == Some("wrong user name or password (401)")).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(
        (server.count("CONNECT"), server.count("DESCRIBE")),
        (1, 2),
        "one try: without and with the login"
    );
    assert_eq!(tile(&view).state, TileState::Offline);
    camera.stop().await;
    check_reason(server.url(""), "user name and password needed (401)".into()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_right_password_is_percent_decoded_and_opens_the_stream() {
    let server = Server::start(vec![Script::playing(H264).with_login("YWRtaW46cEBzcy93Om9yZA==")]).await;
    let camera = start(&server.url("admin:p%40ss%2Fw:ord@"));
    until_state(&camera.view(), TileState::Live).await;
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_in_words() {
    let sdp = |sdp| Answer::Sdp(sdp);
    let cases = [
        (Answer::Raw("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"), "not an RTSP server"),
        (Answer::Raw("SSH-2.0-OpenSSH_9.2p1\r\n"), "not an RTSP server"),
        (Answer::Close, "connection closed by the camera"),
        (Answer::Status("404 Not Found"), "no such stream on the camera (404)"),
        (Answer::Status("403 Forbidden"), "access denied by the camera (403)"),
        (Answer::Status("503 Service Unavailable"), "the camera refused DESCRIBE (503)"),
        (sdp("nonsense"), "unreadable answer to DESCRIBE"),
        (
            sdp(
                "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 32\r\na=control:track1\r\n\
                 m=audio 0 RTP/AVP 0\r\na=control:track2\r\n",
            ),
            "no H.264, H.265 or JPEG video in the stream (found mpv, pcmu)",
        ),
    ];
    for (answer, reason) in cases {
        let server = Server::start(vec![Script::answering(answer)]).await;
        check_reason(server.url(""), reason.into()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_nobody_understands_is_not_called_wrong() {
    let server = Server::start(vec![Script::answering(Answer::Status("401 Unauthorized"))]).await;
    let reason = "the camera asks for a login in a way that is not supported (401)";
    check_reason(server.url("admin:secret@"), reason.into()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn how_a_connection_ended_is_said_in_words() {
    let closed = "connection closed by the camera";
    let cases = [
        (After::Close, closed),
        (After::HalfAMessage, closed),
        (After::HalfAPacket, closed),
        (After::Reset, closed),
        (After::Garbage, "broken data from the camera"),
    ];
    for (after, reason) in cases {
        let one_picture = Stream { bytes: include_bytes!("fixtures/small.h264"), ..H264 };
        // The next connection is not answered, so that the reason stays.
        let scripts = vec![Script::playing(one_picture).then(after), Script::answering(Answer::Raw(""))];
        let server = Server::start(scripts).await;
        let camera = start(&server.url(""));
        let tile = until(&camera.view(), 10, |tile| tile.state == TileState::Offline).await;
        assert_eq!(tile.reason.as_deref(), Some(reason), "{after:?}");
        camera.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_listening_and_no_such_host_are_said_in_words() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    check_reason(format!("rtsp://{free}/x"), format!("connection refused by {free}")).await;

    // RFC 6761: never resolves. A machine without any name server says so instead.
    let camera = start("rtsp://cam9.invalid/x");
    let reason = |tile: &Seen| tile.reason.clone().unwrap_or_default();
    let tile = until(&camera.view(), 15, |tile| {
        reason(tile).contains("cam9.invalid") && !reason(tile).contains(':')
    })
    .await;
    assert!(
        ["no such host cam9.invalid", "the name server cannot be asked about cam9.invalid"]
            .contains(&reason(&tile).as_str())
            || reason(&tile).starts_with("no answer from the name server about cam9.invalid"),
        "{tile:?}"
    );
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_tells_the_camera_teardown_and_leaves_no_thread() {
    let server = Server::start(vec![Script::playing(H264)]).await;
    let camera =
        Camera::start(CameraConfig { name: "stops".into(), ..config(&server.url("")) }, &Handle::current())
            .unwrap();
    until_state(&camera.view(), TileState::Live).await;
    assert!(has_thread("decode-stops"));
    let began = Instant::now();
    camera.stop().await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(server.count("TEARDOWN"), 1);
    assert!(!has_thread("decode-stops"));
}

#[tokio::test]
async fn dropping_a_camera_in_a_runtime_of_one_thread_joins_its_thread() {
    let server = Server::start(vec![Script::playing(H264)]).await;
    let config = CameraConfig { name: "drops".into(), ..config(&server.url("")) };
    let camera = Camera::start(config, &Handle::current()).unwrap();
    until_state(&camera.view(), TileState::Live).await;
    drop(camera);
    assert!(!has_thread("decode-drops"));
}

/// Whether this process has a thread of this name.
fn has_thread(name: &str) -> bool {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks
        .flatten()
        .any(|task| std::fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name))
}
