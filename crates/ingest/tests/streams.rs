//! Which stream of a camera is connected, and how much of it is decoded, by who looks: against scripted RTSP servers.
#![allow(clippy::unwrap_used, unreachable_pub, reason = "tests")]

#[allow(dead_code, reason = "each test program uses a part of it")]
#[path = "support/annexb.rs"]
mod annexb;
#[allow(dead_code, reason = "each test program uses a part of it")]
#[path = "support/server.rs"]
mod server;

use std::time::{Duration, Instant};

use server::{Answer, H264, Script, Server, Stream};
use tokio::runtime::Handle;
use tokio::time::sleep;
use wallcast_ingest::{Camera, CameraConfig, CameraStats, CameraView, SourceUrl, TileSize, TileState};

const BLACK_AFTER: Duration = Duration::from_secs(10);
const LARGE: TileSize = TileSize::new(1920, 1080);
const TINY: TileSize = TileSize::new(160, 90);
/// 160x90, a key frame every ten pictures; [`H264`] is 320x180.
const SUB: Stream = Stream { bytes: include_bytes!("fixtures/small.h264"), ..H264 };
/// A key frame every 10 s at 25 a second.
const LONG: Stream = Stream { bytes: include_bytes!("fixtures/long.h264"), every_ms: 39, ..H264 };
/// A scene without any movement or noise: all its pictures but the key frames say "as before".
const STILL: Stream = Stream { bytes: include_bytes!("fixtures/still.h264"), ..H264 };

fn config(main: &Server) -> CameraConfig {
    CameraConfig::new("left", SourceUrl::parse(&main.url("")).unwrap())
}

fn with_sub(main: &Server, sub: &Server, login: &str) -> CameraConfig {
    CameraConfig { substream: Some(SourceUrl::parse(&sub.url(login)).unwrap()), ..config(main) }
}

fn start(config: CameraConfig) -> (Camera, CameraView) {
    let camera = Camera::start(config, &Handle::current()).unwrap();
    let view = camera.view();
    (camera, view)
}

fn stats(view: &CameraView) -> CameraStats {
    view.stats(Instant::now())
}

/// Waits without looking.
#[track_caller]
fn until(
    view: &CameraView,
    seconds: u64,
    wanted: impl Fn(&CameraStats) -> bool,
) -> impl Future<Output = CameraStats> {
    let caller = std::panic::Location::caller();
    async move {
        let give_up = Instant::now() + Duration::from_secs(seconds);
        loop {
            let stats = stats(view);
            if wanted(&stats) {
                return stats;
            }
            assert!(Instant::now() < give_up, "{caller}: {stats:?}");
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Looks all the time until it is so; what is seen is never black, never older than before, and always live.
#[track_caller]
fn watch(
    view: &CameraView,
    size: TileSize,
    seconds: u64,
    enough: impl Fn(&CameraStats) -> bool,
) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let give_up = Instant::now() + Duration::from_secs(seconds);
        let mut last = None;
        loop {
            let tile = view.tile(Instant::now(), BLACK_AFTER, size);
            assert_eq!(tile.status.state, TileState::Live, "{caller}: {:?}", stats(view));
            let frame = tile.frame.unwrap();
            let seen = (frame.sequence(), frame.captured_at());
            if let Some((sequence, captured_at)) = last.replace(seen) {
                assert!(seen.0 >= sequence && seen.1 >= captured_at, "{caller}: {seen:?} after {last:?}");
            }
            if enough(&stats(view)) {
                return;
            }
            assert!(Instant::now() < give_up, "{caller}: {:?}", stats(view));
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Looks until it is live.
#[track_caller]
fn until_live(view: &CameraView, size: TileSize) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let give_up = Instant::now() + Duration::from_secs(15);
        while view.tile(Instant::now(), BLACK_AFTER, size).status.state != TileState::Live {
            assert!(Instant::now() < give_up, "{caller}: {:?}", stats(view));
            sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tile_that_grows_and_shrinks_changes_the_stream_and_is_never_black_nor_shows_an_older_picture() {
    let main = Server::start(vec![Script::playing(H264)]).await;
    let sub = Server::start(vec![Script::playing(SUB)]).await;
    let (camera, view) = start(with_sub(&main, &sub, ""));
    until_live(&view, TINY).await;
    let first = stats(&view);
    assert_eq!((first.stream, first.resolution), (Some("sub"), Some((160, 90))));
    assert_eq!(main.count("CONNECT"), 0, "nobody needs the main stream");

    watch(&view, LARGE, 10, |stats| stats.stream == Some("main")).await;
    watch(&view, LARGE, 10, |stats| stats.streams[1].state == "resting").await;
    assert_eq!(stats(&view).resolution, Some((320, 180)));
    watch(&view, LARGE, 5, |_| sub.count("TEARDOWN") == 1).await;

    watch(&view, TINY, 10, |stats| stats.stream == Some("sub")).await;
    watch(&view, TINY, 5, |_| main.count("TEARDOWN") == 1).await;
    let last = stats(&view);
    assert_eq!((last.reconnects, last.decode_errors), (0, 0), "{last:?}");
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_main_stream_stands_in_for_a_substream_that_cannot_be_had_and_gives_way_when_it_can() {
    let main = Server::start(vec![Script::playing(H264)]).await;
    let missing = Script::answering(Answer::Status("404 Not Found"));
    let sub = Server::start(vec![missing.clone(), missing, Script::playing(SUB)]).await;
    let (camera, view) = start(with_sub(&main, &sub, ""));
    until_live(&view, TINY).await;
    let stood_in = stats(&view);
    assert_eq!((stood_in.stream, stood_in.reason), (Some("main"), None));
    assert_eq!(stood_in.streams[1].reason.as_deref(), Some("no such stream on the camera (404)"));
    watch(&view, TINY, 15, |stats| stats.stream == Some("sub")).await;
    watch(&view, TINY, 5, |_| main.count("TEARDOWN") == 1).await;
    assert_eq!(stats(&view).streams[1].reason, None);
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_substream_that_is_denied_or_behind_a_dead_port_leaves_no_tile_black() {
    let main = Server::start(vec![Script::playing(H264)]).await;
    let denied = Server::start(vec![Script::answering(Answer::Status("403 Forbidden"))]).await;
    let (camera, view) = start(with_sub(&main, &denied, ""));
    until_live(&view, TINY).await;
    assert_eq!(stats(&view).streams[1].reason.as_deref(), Some("access denied by the camera (403)"));
    camera.stop().await;

    let dead = Server::start(vec![Script::playing(SUB)]).await;
    let config = with_sub(&main, &dead, "");
    drop(dead);
    let (camera, view) = start(config);
    until_live(&view, TINY).await;
    assert_eq!(stats(&view).stream, Some("main"));
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_is_refused_for_one_stream_is_not_tried_with_the_other() {
    let main = Server::start(vec![Script::playing(H264)]).await;
    let sub = Server::start(vec![Script::playing(SUB).with_login("YWRtaW46cmlnaHQ=")]).await;
    let login = "admin:wrong@";
    let one_account =
        CameraConfig { source: SourceUrl::parse(&main.url(login)).unwrap(), ..with_sub(&main, &sub, login) };
    let (camera, view) = start(one_account);
    view.wake(Instant::now(), TINY);
    until(&view, 10, |stats| stats.reason.as_deref() == Some("wrong user name or password (401)")).await;
    for _ in 0..300 {
        let _ = view.tile(Instant::now(), BLACK_AFTER, TINY);
        sleep(Duration::from_millis(10)).await;
    }
    view.wake(Instant::now(), LARGE);
    assert_eq!((main.count("CONNECT"), sub.count("CONNECT")), (0, 1));
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_nobody_looks_at_decodes_key_frames_alone_and_is_back_within_half_a_second() {
    let server = Server::start(vec![Script::playing(LONG)]).await;
    let (camera, view) = start(config(&server));
    let _wall = view.put_on_wall(Instant::now(), LARGE);
    until(&view, 15, |stats| stats.frames_passed_over >= 150).await;
    let unwatched = stats(&view);
    assert_eq!(unwatched.state, TileState::Live, "{unwatched:?}");
    // On a slow machine the decoder follows a little, to be back in time.
    assert!((1..=15).contains(&unwatched.frames_decoded), "{unwatched:?}");
    assert!(unwatched.frame_age.unwrap() < Duration::from_secs(1), "{unwatched:?}");
    assert!((18.0..=26.0).contains(&unwatched.fps), "{unwatched:?}");

    let began = Instant::now();
    loop {
        let now = Instant::now();
        let tile = view.tile(now, BLACK_AFTER, LARGE);
        let age = tile.frame.map(|frame| now.saturating_duration_since(frame.captured_at()));
        match tile.status.state {
            TileState::Live => assert!(age.unwrap() < Duration::from_secs(1), "what is live is new: {age:?}"),
            state => assert_eq!(state, TileState::Holding, "the old picture is marked"),
        }
        if age.is_some_and(|age| age < Duration::from_millis(200)) {
            break;
        }
        assert!(began.elapsed() < Duration::from_millis(500), "back within 500 ms: {age:?}");
        sleep(Duration::from_millis(2)).await;
    }
    watch(&view, LARGE, 5, |stats| stats.frames_decoded > 170).await;
    let watched = stats(&view);
    assert_eq!(
        (watched.decode_errors, watched.access_units_dropped, watched.reconnects),
        (0, 0, 0),
        "{watched:?}"
    );
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_on_no_wall_decodes_its_first_picture_and_is_back_at_once_all_the_same() {
    let server = Server::start(vec![Script::playing(H264)]).await;
    let (camera, view) = start(config(&server));
    let unwatched = until(&view, 15, |stats| stats.frames_passed_over >= 120).await;
    assert_eq!(unwatched.state, TileState::Live, "{unwatched:?}");
    // On a slow machine the decoder follows a little, to be back in time.
    assert!((1..=15).contains(&unwatched.frames_decoded), "{unwatched:?}");
    assert_eq!(unwatched.resolution, Some((320, 180)));
    let began = Instant::now();
    until_live(&view, LARGE).await;
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    watch(&view, LARGE, 5, |stats| stats.frames_decoded > 30).await;
    assert_eq!(stats(&view).decode_errors, 0);
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_on_demand_is_connected_by_a_look_and_told_teardown_ten_seconds_after_the_last() {
    let server = Server::start(vec![Script::playing(H264)]).await;
    let (camera, view) = start(CameraConfig { on_demand: true, ..config(&server) });
    let _wall = view.put_on_wall(Instant::now(), LARGE);
    let resting = Some("not connected: nobody watches (on_demand)");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(server.count("CONNECT"), 0);
    assert_eq!((stats(&view).state, stats(&view).reason.as_deref()), (TileState::Connecting, resting));

    view.wake(Instant::now(), LARGE);
    until(&view, 10, |stats| stats.state == TileState::Live).await;
    until_live(&view, LARGE).await;
    let last_look = Instant::now();
    until(&view, 15, |stats| stats.reason.as_deref() == resting).await;
    assert!(last_look.elapsed() >= Duration::from_secs(10), "{:?}", last_look.elapsed());
    until(&view, 5, |_| server.count("TEARDOWN") == 1).await;

    until_live(&view, LARGE).await;
    watch(&view, LARGE, 5, |stats| stats.frames_decoded > 30).await;
    assert_eq!((server.count("CONNECT"), stats(&view).reconnects), (2, 0));
    camera.stop().await;
}

/// The first access unit of a stream, again and again.
fn frozen() -> Stream {
    let first = annexb::access_units(H264.bytes, false).remove(0);
    let bytes = annexb::join(&first);
    Stream { bytes: bytes.leak(), ..H264 }
}

#[tokio::test(flavor = "multi_thread")]
async fn c02_the_same_picture_again_and_again_is_silence_and_the_camera_is_asked_again() {
    let server = Server::start(vec![Script::playing(frozen()), Script::playing(H264)]).await;
    let (camera, view) = start(CameraConfig { silence: Duration::from_secs(2), ..config(&server) });
    let reason = "the same picture again and again for 2 s";
    until(&view, 10, |stats| stats.reason.as_deref() == Some(reason)).await;
    let frozen = stats(&view);
    assert!(frozen.frames_duplicate > 20 && frozen.frames_decoded == 1, "{frozen:?}");
    assert_ne!(frozen.state, TileState::Live);
    until(&view, 10, |stats| stats.state == TileState::Live).await;
    assert_eq!(server.count("CONNECT"), 2);
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c02_a_camera_that_sends_the_same_again_when_asked_again_is_believed() {
    let server = Server::start(vec![Script::playing(frozen())]).await;
    let (camera, view) = start(CameraConfig { silence: Duration::from_secs(1), ..config(&server) });
    until(&view, 10, |stats| stats.reconnects == 1 && stats.state == TileState::Live).await;
    sleep(Duration::from_secs(4)).await;
    let still = stats(&view);
    assert_eq!((still.state, still.reconnects), (TileState::Live, 1), "{still:?}");
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c02_a_scene_in_which_nothing_moves_is_live() {
    let server = Server::start(vec![Script::playing(STILL)]).await;
    let (camera, view) = start(CameraConfig { silence: Duration::from_secs(1), ..config(&server) });
    until_live(&view, LARGE).await;
    let began = Instant::now();
    watch(&view, LARGE, 10, |_| began.elapsed() > Duration::from_secs(4)).await;
    let still = stats(&view);
    assert_eq!((still.reconnects, still.frames_duplicate), (0, 0), "{still:?}");
    camera.stop().await;
}
