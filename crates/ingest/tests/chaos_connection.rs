//! Chaos rows about the connection to a camera: how it ends, hangs, is refused, and is opened again.
#![allow(clippy::unwrap_used, unreachable_pub, reason = "tests")]

#[path = "support/chaos.rs"]
mod support;

use std::io::Result;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use futures::future::join_all;
use support::film::Film;
use support::harness::{Ladder, SCALED, Setting, Trial};
use support::hostile::{Hostile, Request, Visit, What, cameras};
use support::login::{Account, Algorithm, Scheme};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Handle;
use wallcast_ingest::{Camera, CameraConfig, CameraStats, SourceUrl, TileState};

/// A camera whose first connection goes wrong in this way, and whose other ones are good.
async fn first<S, F>(wrong: S) -> Hostile
where
    S: Fn(Visit, Film) -> F + Send + Sync + Clone + 'static,
    F: Future<Output = Result<()>> + Send + 'static,
{
    Hostile::start(move |mut visit| {
        let wrong = wrong.clone();
        async move {
            let film = Film::h264();
            visit.open(&film).await?;
            if visit.number > 0 {
                return visit.show_on(&film).await;
            }
            wrong(visit, film).await
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn row_01_reset_in_the_middle_of_a_frame() {
    let camera = first(|mut visit, film| async move {
        visit.show(&film, 30).await?;
        let packet = visit.rtp.picture(&film).concat();
        visit.send_raw(&[b'$', 0, 4, 0]).await?;
        visit.send_raw(&packet[..40]).await?;
        visit.reset()
    })
    .await;
    let trial = Trial::start("r01", &camera).await;
    trial.until_live_in_visit(&camera, 2, 10).await;
    trial.finish(&camera).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_02_fin_after_a_picture_and_before_the_first() {
    let after = first(|mut visit, film| async move { visit.show(&film, 30).await });
    let before = first(|_visit, _film| async move { Ok(()) });
    let (after, before) = (after.await, before.await);
    let trials = (Trial::start("r02a", &after).await, Trial::start("r02b", &before).await);
    trials.0.until_live_in_visit(&after, 2, 10).await;
    trials.1.until_live_in_visit(&before, 2, 10).await;
    trials.0.finish(&after).await;
    trials.1.finish(&before).await;
}

/// How long the camera was left alone after its last picture, when it did not end the connection itself.
fn silence_until_the_next_connection(trial: &Trial, camera: &Hostile) -> Duration {
    let again = camera.journal.times(|what| *what == What::Connected)[1];
    let looks = trial.looks();
    let last = looks.iter().filter(|look| look.at < again).filter_map(|look| look.decoded_at).max();
    again.duration_since(last.unwrap())
}

/// B2 for silence: after it and within a second; a little more, because the machine is a busy one.
#[track_caller]
fn check_asked_again(trial: &Trial, camera: &Hostile, silence: Duration) {
    let waited = silence_until_the_next_connection(trial, camera);
    assert!(waited >= silence && waited <= silence + Duration::from_millis(1_500), "{waited:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn row_03_c01_blackhole_in_both_directions() {
    let camera = first(|mut visit, film| async move {
        visit.show(&film, 30).await?;
        // Neither sends nor reads any more, not even TEARDOWN or the end of the connection.
        std::future::pending().await
    })
    .await;
    let setting = Setting { max_connections: 2, ..Setting::default() };
    let trial = Trial::start_with("r03", &camera, setting).await;
    trial.until_live().await;
    trial.until("black", 10, |look| look.state == TileState::Offline).await;
    trial.until_live_in_visit(&camera, 2, 10).await;
    check_asked_again(&trial, &camera, SCALED);
    trial.finish(&camera).await;
}

/// In real time: the figures of B1 as users meet them.
#[tokio::test(flavor = "multi_thread")]
async fn row_04_c01_keepalives_answered_but_media_stopped_is_black_after_10_s() {
    const TEN: Duration = Duration::from_secs(10);
    let camera = first(|mut visit, film| async move {
        visit.session = "12345678;timeout=4".into();
        visit.show(&film, 30).await?;
        visit.stay_on(&film).await
    })
    .await;
    let setting = Setting { black_after: TEN, ..Setting::default() };
    let trial = Trial::start_with("r04", &camera, setting).await;
    trial.until_live().await;
    let black = trial.until("black", 20, |look| look.state == TileState::Offline).await;
    assert_eq!(black.reason.as_deref(), Some("no picture for 10 s"));
    trial.until_live_in_visit(&camera, 2, 10).await;
    check_asked_again(&trial, &camera, TEN);
    assert_eq!(camera.journal.count("TEARDOWN"), 1, "a session that fell silent is given back");
    trial.finish(&camera).await;
}

/// One fifth of the time: a frame every 1.8 s and 2.2 s for 9 s and 11 s.
#[tokio::test(flavor = "multi_thread")]
async fn row_05_one_frame_every_9_s_is_never_black_and_every_11_s_is_black_between() {
    let slow = Hostile::showing(Film::h264().at(Duration::from_millis(1_800))).await;
    let slower = Hostile::showing(Film::h264().at(Duration::from_millis(2_300))).await;
    let trials = (Trial::start("r05a", &slow).await, Trial::start("r05b", &slower).await);
    trials.0.until_live().await;
    trials.0.until_frames(5, 20).await;
    let looks = trials.0.finish(&slow).await;
    let shown: Vec<bool> =
        looks.iter().map(|look| look.sequence.is_some()).skip_while(|shown| !shown).collect();
    assert!(shown.iter().all(|shown| *shown), "every 9 s: never black");

    trials.1.until_live().await;
    trials.1.until_frames(4, 30).await;
    let looks = trials.1.finish(&slower).await;
    let turns_black =
        |pair: &&[support::harness::Look]| pair[0].sequence.is_some() && pair[1].sequence.is_none();
    assert!(looks.windows(2).filter(turns_black).count() >= 3, "every 11 s: black between");
    assert!(slower.journal.visits() <= 2, "asked again once, then believed");
}

#[tokio::test(flavor = "multi_thread")]
async fn row_07_reboot_with_a_new_ssrc_a_rewound_sequence_and_a_new_session_id() {
    let camera = Hostile::start(|mut visit| async move {
        let film = Film::h264();
        visit.session = format!("{:08X};timeout=60", 0x1000 + visit.number);
        visit.rtp.ssrc = 0x0bad_0000 + visit.number as u32;
        visit.rtp.sequence = 40_000 / (visit.number as u16 + 1);
        visit.rtp.time = visit.rtp.time.wrapping_sub(visit.number as u32 * 500_000);
        visit.open(&film).await?;
        match visit.number {
            0 => visit.show(&film, 40).await,
            _ => visit.show_on(&film).await,
        }
    })
    .await;
    let trial = Trial::start("r07a", &camera).await;
    trial.until_live_in_visit(&camera, 2, 10).await;
    trial.until_frames(50, 10).await;
    assert_eq!(trial.stats().decode_errors, 0);
    trial.finish(&camera).await;
}

/// As when only the camera's encoder starts again: the connection stays.
#[tokio::test(flavor = "multi_thread")]
async fn row_07_a_new_ssrc_and_a_rewound_sequence_in_the_same_connection_go_on_at_the_next_key_frame() {
    let camera = first(|mut visit, film| async move {
        visit.show(&film, 40).await?;
        visit.rtp.ssrc = 0x0bad_0002;
        visit.rtp.sequence = 17;
        visit.rtp.time = 4_711;
        visit.rtp.next = 0;
        visit.show_on(&film).await
    })
    .await;
    let trial = Trial::start("r07b", &camera).await;
    trial.until_frames(120, 15).await;
    assert_eq!(trial.stats().reconnects, 0);
    let looks = trial.finish(&camera).await;
    let shown = looks.iter().map(|look| look.sequence.is_some()).skip_while(|shown| !shown);
    assert!(shown.into_iter().all(|shown| shown), "never black");
}

/// A camera that lets this account in by any of these schemes only.
async fn guarded(schemes: &'static [Scheme], account: Account) -> Hostile {
    Hostile::start(move |mut visit| async move {
        let film = Film::h264();
        let nonce = format!("nonce+/={}", visit.number);
        visit.hook = Some(Box::new(move |request| {
            let accepted = schemes.iter().any(|scheme| scheme.accepts(request, &nonce, account));
            (!accepted).then(|| unauthorized(request, schemes, &nonce, false))
        }));
        visit.open(&film).await?;
        visit.show_on(&film).await
    })
    .await
}

fn unauthorized(request: &Request, schemes: &[Scheme], nonce: &str, stale: bool) -> Vec<u8> {
    let challenges =
        schemes.iter().map(|scheme| format!("WWW-Authenticate: {}\r\n", scheme.challenge(nonce, stale)));
    request.answer("401 Unauthorized", &challenges.collect::<String>(), "")
}

const fn digest(algorithm: Algorithm, qop: Option<&'static str>) -> Scheme {
    Scheme::Digest { algorithm, qop }
}

const OLD: Scheme = digest(Algorithm::Unnamed, None);
const MD5: Scheme = digest(Algorithm::Md5, Some("auth"));
const MD5_OLD: Scheme = digest(Algorithm::Md5, None);
const MD5_OR_INT: Scheme = digest(Algorithm::Md5, Some("auth,auth-int"));
const SHA256: Scheme = digest(Algorithm::Sha256, Some("auth"));
const SHA256_OLD: Scheme = digest(Algorithm::Sha256, None);
const SHA512_256: Scheme = digest(Algorithm::Sha512_256, Some("auth"));

const ADMIN: Account = Account { user: "admin", password: "p@ss:w/ord" };
const ADMIN_LOGIN: &str = "admin:p%40ss:w%2Ford@";

#[tokio::test(flavor = "multi_thread")]
async fn row_12_c16_every_login_is_answered() {
    const UTF8: Account = Account { user: "jörg", password: "schlüssel \"5\"" };
    let cases: [(&'static [Scheme], Account, &str); 9] = [
        (&[Scheme::Basic], ADMIN, ADMIN_LOGIN),
        (&[OLD], ADMIN, ADMIN_LOGIN),
        (&[MD5], ADMIN, ADMIN_LOGIN),
        (&[MD5_OR_INT], ADMIN, ADMIN_LOGIN),
        (&[SHA256], ADMIN, ADMIN_LOGIN),
        (&[SHA256_OLD], ADMIN, ADMIN_LOGIN),
        (&[SHA512_256], ADMIN, ADMIN_LOGIN),
        (&[Scheme::Basic, MD5, SHA256], ADMIN, ADMIN_LOGIN),
        (&[Scheme::Basic], UTF8, "j%C3%B6rg:schl%C3%BCssel%20%225%22@"),
    ];
    let trials = cases.into_iter().enumerate().map(|(number, (schemes, account, login))| async move {
        let camera = guarded(schemes, account).await;
        let setting = Setting { login, ..Setting::default() };
        let trial = Trial::start_with(&format!("r12-{number}"), &camera, setting).await;
        trial.until_live().await;
        trial.until_frames(20, 10).await;
        assert_eq!(camera.journal.visits(), 1, "{schemes:?}: at the first try");
        assert!(camera.journal.count("DESCRIBE") <= 2, "{schemes:?}");
        if schemes.len() > 1 {
            let described = camera.journal.asked("DESCRIBE");
            assert!(
                !described.iter().any(|head| head.contains("Basic ")),
                "a password in clear where a hash will do"
            );
        }
        trial.finish(&camera).await;
    });
    join_all(trials).await;
}

/// Axis cameras change their nonce in the middle of a session. The session's own timeout is short here, so that
/// keepalives come soon; a camera that is not told anything with the new nonce gives up, as a real one does.
#[tokio::test(flavor = "multi_thread")]
async fn row_12_c15_a_stale_nonce_on_a_keepalive_is_answered_with_the_new_one() {
    const SCHEME: &[Scheme] = &[MD5];
    let camera = Hostile::start(|mut visit| async move {
        let film = Film::h264();
        visit.session = "12345678;timeout=4".into();
        let mut nonce = "first".to_owned();
        let mut playing = false;
        let mut renewals = 0;
        let kept = Arc::new(AtomicUsize::new(0));
        let told = kept.clone();
        visit.hook = Some(Box::new(move |request| {
            let accepted = SCHEME[0].accepts(request, &nonce, ADMIN);
            if playing && request.method != "TEARDOWN" && renewals < 2 && accepted {
                renewals += 1;
                nonce = format!("renewed {renewals}");
                return Some(unauthorized(request, SCHEME, &nonce, true));
            }
            playing |= accepted && request.method == "PLAY";
            if accepted && playing && request.method != "PLAY" {
                told.fetch_add(1, SeqCst);
            }
            (!accepted).then(|| unauthorized(request, SCHEME, &nonce, false))
        }));
        visit.open(&film).await?;
        for _ in 0.. {
            let before = kept.load(SeqCst);
            visit.show(&film, 25 * 5).await?;
            if kept.load(SeqCst) == before {
                return Ok(());
            }
        }
        Ok(())
    })
    .await;
    let setting = Setting { login: ADMIN_LOGIN, ..Setting::default() };
    let trial = Trial::start_with("r12s", &camera, setting).await;
    trial.until_live().await;
    trial.until_frames(25 * 11, 25).await;
    assert_eq!((trial.stats().reconnects, camera.journal.visits()), (0, 1));
    trial.finish(&camera).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_12_c17_a_wrong_password_is_not_tried_again_for_a_minute() {
    // Two accounts, as one that is refused here is not tried there for a minute.
    let cases: [(&'static [Scheme], &str); 3] =
        [(&[Scheme::Basic], "admin:wrong@"), (&[MD5], "admin:wrong,too@"), (&[SHA256], "")];
    let trials = cases.into_iter().enumerate().map(|(number, (schemes, login))| async move {
        let camera = guarded(schemes, ADMIN).await;
        let setting = Setting { login, ..Setting::default() };
        let trial = Trial::start_with(&format!("r12w{number}"), &camera, setting).await;
        let words = if login.is_empty() {
            "user name and password needed (401)"
        } else {
            "wrong user name or password (401)"
        };
        trial.until("refused", 5, |look| look.reason.as_deref() == Some(words)).await;
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(camera.journal.visits(), 1, "the minute itself: session.rs, in virtual time");
        assert!(camera.journal.count("DESCRIBE") <= 2);
        trial.finish(&camera).await;
    });
    join_all(trials).await;
}

fn channels(urls: Vec<String>) -> Vec<Camera> {
    let config = |(number, url): (usize, &String)| {
        CameraConfig::new(format!("r12c{number}"), SourceUrl::parse(url).unwrap())
    };
    let start = |config| Camera::start(config, &Handle::current()).unwrap();
    urls.iter().enumerate().map(config).map(start).collect()
}

/// Waits until every camera is like this, and stops them.
async fn until_all(cameras: Vec<Camera>, wanted: impl Fn(&CameraStats) -> bool) -> Vec<CameraStats> {
    let give_up = Instant::now() + Duration::from_secs(20);
    let stats = || cameras.iter().map(|camera| camera.view().stats(Instant::now())).collect::<Vec<_>>();
    while !stats().iter().all(&wanted) {
        assert!(Instant::now() < give_up, "{:?}", stats());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Whoever would try the login once more has the time to.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let seen = stats();
    join_all(cameras.into_iter().map(Camera::stop)).await;
    seen
}

fn logins(camera: &Hostile) -> usize {
    let heads = camera.journal.asked("DESCRIBE");
    heads.iter().filter(|head| head.contains("Authorization")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn row_12_c17_a_recorder_of_many_channels_hears_one_wrong_password_and_not_many() {
    const CHANNELS: usize = 8;
    let (recorder, other_port) = (guarded(&[MD5], ADMIN).await, guarded(&[MD5], ADMIN).await);
    let urls = (0..CHANNELS).map(|_| recorder.url("admin:of-a-recorder@"));
    let cameras = channels(urls.chain([other_port.url("admin:of-a-recorder@")]).collect());
    let is_told = |words: &str| words.starts_with("wrong user name or password (401)");
    let stats = until_all(cameras, |stats| stats.reason.as_deref().is_some_and(is_told)).await;
    assert_eq!(logins(&recorder) + logins(&other_port), 1, "the minute itself: account.rs, in virtual time");
    assert!(recorder.journal.visits() <= CHANNELS && other_port.journal.visits() <= 1);
    let elsewhere = "wrong user name or password (401), as another camera of this host was told";
    let told_elsewhere = stats.iter().filter(|stats| stats.reason.as_deref() == Some(elsewhere)).count();
    assert_eq!(told_elsewhere, CHANNELS, "{stats:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn row_12_c17_a_recorder_of_many_channels_lets_all_of_them_in_at_the_first_try() {
    const CHANNELS: usize = 8;
    let recorder = guarded(&[MD5], Account { user: "recorder", password: "right" }).await;
    let cameras = channels((0..CHANNELS).map(|_| recorder.url("recorder:right@")).collect());
    let stats = until_all(cameras, |stats| stats.state == TileState::Live).await;
    assert!(stats.iter().all(|stats| stats.reconnects == 0), "{stats:?}");
    assert_eq!((recorder.journal.visits(), logins(&recorder)), (CHANNELS, CHANNELS));
}

/// What a camera makes of requests after PLAY, and which of them it takes for a sign of life.
#[derive(Debug, Clone, Copy)]
enum Dialect {
    GetParameterIsNotImplemented,
    OptionsIsNotAllowed,
    SetParameterIsABadRequest,
    RepliesHaveNoCseq,
    OptionsNeedTheSession,
    NothingIsAnswered,
}

impl Dialect {
    /// The answer, and whether it counts.
    fn answer(self, request: &Request) -> (Option<Vec<u8>>, bool) {
        let refuse = |status| (Some(request.answer(status, "", "")), false);
        let has_session = request.header("Session").is_some_and(|session| session.starts_with("12345678"));
        match (self, request.method.as_str()) {
            (Self::GetParameterIsNotImplemented, "GET_PARAMETER") => refuse("501 Not Implemented"),
            (Self::OptionsIsNotAllowed, "OPTIONS") => refuse("405 Method Not Allowed"),
            (Self::SetParameterIsABadRequest, "SET_PARAMETER") => refuse("400 Bad Request"),
            (Self::RepliesHaveNoCseq, _) => {
                let answer = b"RTSP/1.0 200 OK\r\nSession: 12345678\r\n\r\n".to_vec();
                (Some(answer), has_session)
            }
            (Self::OptionsNeedTheSession, _) if !has_session => refuse("454 Session Not Found"),
            (Self::NothingIsAnswered, _) => (Some(Vec::new()), true),
            _ => (None, has_session),
        }
    }
}

/// The 15 s are 4 s here: a camera that hears no sign of life for 1.25 times as long closes the connection.
#[tokio::test(flavor = "multi_thread")]
async fn row_13_c14_keepalives_are_understood_in_every_dialect() {
    use Dialect::*;
    let dialects = [
        GetParameterIsNotImplemented,
        OptionsIsNotAllowed,
        SetParameterIsABadRequest,
        RepliesHaveNoCseq,
        OptionsNeedTheSession,
        NothingIsAnswered,
    ];
    let trials = dialects.into_iter().enumerate().map(|(number, dialect)| async move {
        let camera = Hostile::start(move |mut visit| async move {
            let film = Film::h264();
            visit.session = "12345678;timeout=4".into();
            let kept = Arc::new(AtomicUsize::new(0));
            let told = kept.clone();
            let mut playing = false;
            visit.hook = Some(Box::new(move |request| {
                if !playing || request.method == "TEARDOWN" {
                    playing |= request.method == "PLAY";
                    return None;
                }
                let (answer, counts) = dialect.answer(request);
                told.fetch_add(usize::from(counts), SeqCst);
                answer
            }));
            visit.open(&film).await?;
            loop {
                let before = kept.load(SeqCst);
                visit.show(&film, 25 * 5).await?;
                if kept.load(SeqCst) == before {
                    return Ok(());
                }
            }
        })
        .await;
        let trial = Trial::start(&format!("r13-{number}"), &camera).await;
        trial.until_live().await;
        trial.until_frames(25 * 11, 25).await;
        let asked = camera.journal.events();
        assert_eq!((trial.stats().reconnects, camera.journal.visits()), (0, 1), "{dialect:?}: {asked:?}");
        trial.finish(&camera).await;
    });
    join_all(trials).await;
}

/// A listener whose queue is full: the kernel answers no SYN any more.
#[tokio::test(flavor = "multi_thread")]
async fn row_15_c26_syn_blackhole_is_given_up_and_the_camera_found_once_it_answers() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = cameras().spawn(async move { socket.listen(1) }).await.unwrap().unwrap();
    let address = listener.local_addr().unwrap();
    let mut fillers = Vec::new();
    loop {
        let connecting = tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address));
        match connecting.await {
            Ok(filler) => fillers.push(filler.unwrap()),
            Err(_) => break,
        }
        assert!(fillers.len() < 64, "the queue never fills");
    }
    let elsewhere = Hostile::showing(Film::h264()).await;
    let setting =
        Setting { url: Some(format!("rtsp://{address}/live")), ladder: Ladder::Own, ..Setting::default() };
    let trial = Trial::start_with("r15a", &elsewhere, setting).await;
    let is_told = |words: &str| words.starts_with("no answer from") && words.contains("within");
    trial.until("given up", 15, |look| look.reason.as_deref().is_some_and(is_told)).await;
    drop(fillers);
    drop(listener);
    let camera = Hostile::start_at(address, |mut visit| async move {
        visit.open(&Film::h264()).await?;
        visit.show_on(&Film::h264()).await
    })
    .await;
    let returned = Instant::now();
    trial.until_live().await;
    assert!(returned.elapsed() <= Duration::from_secs(5), "B4: {:?}", returned.elapsed());
    assert_eq!(camera.journal.visits(), 1);
    trial.finish(&elsewhere).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_15_c17_a_loop_of_401_is_left_alone() {
    const SCHEME: &[Scheme] = &[MD5_OLD];
    let camera = Hostile::start(|mut visit| async move {
        let mut asked = 0;
        visit.hook = Some(Box::new(move |request| {
            asked += 1;
            Some(unauthorized(request, SCHEME, &format!("{asked}"), true))
        }));
        visit.stay_on(&Film::h264()).await
    })
    .await;
    let setting = Setting { login: "loop:loop@", ..Setting::default() };
    let trial = Trial::start_with("r15b", &camera, setting).await;
    trial.until("refused", 5, |look| look.reason.as_deref().is_some_and(|words| words.contains("401"))).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(camera.journal.visits(), 1);
    assert!(camera.journal.count("DESCRIBE") <= 4, "{}", camera.journal.count("DESCRIBE"));
    trial.finish(&camera).await;
}

/// A camera that says 302 to everybody, to this place.
async fn moved(location: impl Fn(std::net::SocketAddr) -> String + Send + Sync + Clone + 'static) -> Hostile {
    Hostile::start(move |mut visit| {
        let location = location.clone();
        async move {
            let to = location(visit.stream.local_addr()?);
            visit.hook = Some(Box::new(move |request| {
                let headers = format!("Location: {to}\r\n");
                (request.method == "DESCRIBE").then(|| request.answer("302 Moved Temporarily", &headers, ""))
            }));
            visit.stay_on(&Film::h264()).await
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn row_15_a_redirect_is_followed() {
    let target = Hostile::showing(Film::h264()).await;
    let to = target.url("");
    let camera = moved(move |_| to.clone()).await;
    let trial = Trial::start("r15c", &camera).await;
    trial.until_live().await;
    trial.until_frames(20, 10).await;
    assert_eq!((target.journal.visits(), camera.journal.visits(), trial.stats().reconnects), (1, 1, 0));
    trial.finish(&camera).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_15_a_redirect_in_a_circle_or_to_another_scheme_is_not_followed_for_ever() {
    let circle = moved(|own| format!("rtsp://{own}/again")).await;
    let elsewhere = moved(|_| "file:///etc/passwd".to_owned()).await;
    let setting = || Setting { ladder: Ladder::Own, ..Setting::default() };
    let trials = (
        Trial::start_with("r15d", &circle, setting()).await,
        Trial::start_with("r15e", &elsewhere, setting()).await,
    );
    tokio::time::sleep(Duration::from_secs(6)).await;
    for (trial, camera) in [(trials.0, circle), (trials.1, elsewhere)] {
        let stats = trial.stats();
        assert!(stats.reason.is_some() && stats.frames_decoded == 0, "{stats:?}");
        let described = camera.journal.count("DESCRIBE") as u64;
        assert!(
            described <= 6 * (stats.reconnects + 1),
            "{described} times in {} sessions",
            stats.reconnects + 1
        );
        assert!(stats.reconnects <= 4, "B3: {} times in 6 s", stats.reconnects);
        trial.finish(&camera).await;
    }
}

/// A camera with room for one session: it refuses the next one until the last is torn down or its connection closed.
#[tokio::test(flavor = "multi_thread")]
async fn c25_a_camera_with_room_for_one_session_never_sees_two() {
    let in_use = Arc::new(AtomicUsize::new(0));
    let camera = Hostile::start(move |mut visit| {
        let in_use = in_use.clone();
        async move {
            let film = Film::h264();
            let taken = in_use.clone();
            visit.hook = Some(Box::new(move |request| match request.method.as_str() {
                "SETUP" if taken.load(SeqCst) > 0 => Some(request.answer("453 Not Enough Bandwidth", "", "")),
                "SETUP" => {
                    taken.fetch_add(1, SeqCst);
                    None
                }
                _ => None,
            }));
            visit.open(&film).await?;
            let shown = match visit.number {
                0 | 1 => visit.show(&film, 20).await,
                _ => visit.show_on(&film).await,
            };
            // Slow to notice that its client is gone.
            let silent = visit.stay_on(&film).await;
            in_use.store(0, SeqCst);
            shown.and(silent)
        }
    })
    .await;
    let trial = Trial::start("c25", &camera).await;
    trial.until_live_in_visit(&camera, 3, 25).await;
    assert_eq!(camera.journal.visits(), 3, "no visit was refused");
    assert_eq!(camera.journal.count("DESCRIBE"), 3, "one DESCRIBE each");
    trial.finish(&camera).await;
}

/// A camera with room for one session that knows nothing but UDP, and says so by setting that up where it was asked for
/// TCP. It is understood within the session, and the next one asks for UDP at once.
#[tokio::test(flavor = "multi_thread")]
async fn c25_a_session_that_was_set_up_with_the_wrong_transport_takes_no_room() {
    let in_use = Arc::new(AtomicUsize::new(0));
    let camera = Hostile::start(move |mut visit| {
        let in_use = in_use.clone();
        async move {
            let film = Film::h264();
            let taken = in_use.clone();
            visit.hook = Some(Box::new(move |request| {
                let is_another = request.method == "SETUP" && request.header("Session").is_none();
                if is_another && taken.fetch_add(1, SeqCst) > 0 {
                    return Some(request.answer("453 Not Enough Bandwidth", "", ""));
                }
                let is_tcp = request.header("Transport").is_some_and(|asked| asked.contains("interleaved"));
                let udp = "Session: 12345678\r\nTransport: RTP/AVP;unicast;server_port=5000-5001\r\n";
                (request.method == "SETUP" && is_tcp).then(|| request.answer("200 OK", udp, ""))
            }));
            visit.open(&film).await?;
            let shown = match visit.number {
                0 => visit.show(&film, 20).await,
                _ => visit.show_on(&film).await,
            };
            in_use.store(0, SeqCst);
            shown
        }
    })
    .await;
    let trial = Trial::start("c25t", &camera).await;
    trial.until_live_in_visit(&camera, 2, 20).await;
    assert_eq!(trial.stats().transport, Some("udp"));
    let asked = camera.journal.asked("SETUP");
    let over_udp: Vec<bool> = asked.iter().map(|head| head.contains("client_port")).collect();
    assert_eq!(over_udp, [false, true, true], "{asked:?}");
    trial.finish(&camera).await;
}
