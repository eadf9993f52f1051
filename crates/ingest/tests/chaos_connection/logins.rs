//! Rows 12 and 15: logins of every kind, and wrong passwords.

use super::*;

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
    // What listens on another port of that address may be another device, which has its own to say.
    let tried = (logins(&recorder), logins(&other_port));
    assert_eq!(tried, (1, 1), "the minute itself: account.rs, in virtual time");
    assert!(recorder.journal.visits() <= CHANNELS && other_port.journal.visits() <= 1);
    let elsewhere = "wrong user name or password (401), as another camera of this host was told";
    let told_elsewhere = stats.iter().filter(|stats| stats.reason.as_deref() == Some(elsewhere)).count();
    assert_eq!(told_elsewhere, CHANNELS - 1, "{stats:?}");
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
