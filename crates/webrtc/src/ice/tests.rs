use super::*;

fn path(remote: &str) -> Path {
    Path {
        protocol: Protocol::Udp,
        local: "192.0.2.1:8082".parse().unwrap(),
        remote: remote.parse().unwrap(),
    }
}

struct Bench {
    ice: Ice,
    crypto: Arc<dyn RTCCryptoProvider>,
    now: Instant,
}

const OURS: (&str, &str) = ("ours", "our password, which is long");
const THEIRS: (&str, &str) = ("theirs", "their password, which is long");

fn credentials((ufrag, password): (&str, &str)) -> Credentials {
    Credentials { ufrag: ufrag.to_owned(), password: password.to_owned() }
}

fn bench() -> Bench {
    let crypto = rtc::crypto::default_provider().unwrap();
    let ice = Ice::new(Arc::clone(&crypto), credentials(OURS), credentials(THEIRS));
    Bench { ice, crypto, now: Instant::now() }
}

impl Bench {
    /// A check by the viewer; returns what was sent because of it.
    fn check(&mut self, path: Path, nominate: bool) -> Vec<(Path, Vec<u8>)> {
        let request = message::viewer::check("ours:theirs", OURS.1, nominate, self.crypto.crypto());
        assert_eq!(self.ice.handle_message(self.now, path, &request), Heard::Check);
        self.sent()
    }

    fn sent(&mut self) -> Vec<(Path, Vec<u8>)> {
        std::iter::from_fn(|| self.ice.poll_transmit()).collect()
    }

    /// The viewer answers every check of ours.
    fn answer(&mut self, sent: &[(Path, Vec<u8>)]) -> usize {
        let mut answered = 0;
        for (path, datagram) in sent {
            let answer = message::viewer::answer(datagram, path.local, THEIRS.1, self.crypto.crypto());
            if let Some(answer) = answer {
                assert_eq!(self.ice.handle_message(self.now, *path, &answer), Heard::Answer);
                answered += 1;
            }
        }
        answered
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.ice.poll_timeout().filter(|&due| due <= end) {
            self.now = self.now.max(due);
            self.ice.handle_timeout(self.now);
        }
        self.now = end;
    }
}

#[test]
fn a_check_is_answered_at_once_and_a_nominated_path_serves_once_it_answers() {
    let mut bench = bench();
    let sent = bench.check(path("203.0.113.9:1000"), true);
    assert!(message::viewer::is_success(&sent[0].1), "the nominating check is answered, too");
    assert_eq!(sent.len(), 2, "and a check goes back the same way");
    assert_eq!(bench.ice.nominated(), None, "the address may be forged still");
    assert_eq!(bench.answer(&sent), 1);
    assert_eq!(bench.ice.nominated(), Some(path("203.0.113.9:1000")));
    assert_eq!(bench.ice.consent(), Some(bench.now));
}

#[test]
fn strangers_are_not_answered() {
    let mut bench = bench();
    let crypto = Arc::clone(&bench.crypto);
    for (username, password) in [
        ("ours:theirs", "another password"),
        ("ours:others", OURS.1),
        ("other:theirs", OURS.1),
        ("ours", OURS.1),
    ] {
        let request = message::viewer::check(username, password, true, crypto.crypto());
        assert_eq!(bench.ice.handle_message(bench.now, path("203.0.113.9:1"), &request), Heard::Nothing);
    }
    assert_eq!(bench.ice.handle_message(bench.now, path("203.0.113.9:1"), &[0; 20]), Heard::Nothing);
    assert!(bench.sent().is_empty());
    assert_eq!(bench.ice.poll_timeout(), None);
}

#[test]
fn a_viewer_that_moves_to_another_network_is_followed() {
    let mut bench = bench();
    let (first, second) = (path("203.0.113.9:1000"), path("198.51.100.7:2000"));
    for way in [first, second] {
        let sent = bench.check(way, way == first);
        bench.answer(&sent);
    }
    assert_eq!(bench.ice.nominated(), Some(first));
    bench.check(second, true);
    assert_eq!(
        bench.ice.nominated(),
        Some(first),
        "a viewer that nominates everything does not make us jump"
    );
    bench.wait(Duration::from_secs(4));
    bench.check(second, true);
    assert_eq!(bench.ice.nominated(), Some(second));
}

#[test]
fn consent_is_asked_for_every_five_seconds_and_ends_when_nobody_answers() {
    let mut bench = bench();
    let sent = bench.check(path("203.0.113.9:1000"), true);
    bench.answer(&sent);
    for _ in 0..10 {
        bench.wait(Duration::from_secs(6));
        let sent = bench.sent();
        assert!((1..=2).contains(&sent.len()), "{}", sent.len());
        assert!(bench.answer(&sent) > 0);
        assert_eq!(bench.ice.consent(), Some(bench.now));
    }
    let last = bench.now;
    bench.wait(Duration::from_secs(30));
    assert_eq!(bench.ice.consent(), Some(last));
    assert!(bench.sent().len() > 3, "it is asked again meanwhile");
}

#[test]
fn a_lost_check_is_repeated_and_given_up() {
    let mut bench = bench();
    bench.check(path("203.0.113.9:1000"), false);
    bench.wait(Duration::from_secs(60));
    assert_eq!(bench.sent().len(), MAX_CHECKS as usize - 1);
    assert_eq!(bench.ice.poll_timeout(), None);
}

#[test]
fn paths_are_bounded() {
    let mut bench = bench();
    for port in 0..2 * MAX_PATHS {
        let request = message::viewer::check("ours:theirs", OURS.1, false, bench.crypto.crypto());
        let way = path(&format!("203.0.113.9:{}", 1000 + port));
        let heard = bench.ice.handle_message(bench.now, way, &request);
        assert_eq!(heard == Heard::Check, port < MAX_PATHS);
    }
}

#[test]
fn of_a_thousand_ports_a_few_are_known_and_old_ones_make_room() {
    let mut bench = bench();
    let first = path("203.0.113.9:999");
    let sent = bench.check(first, true);
    bench.answer(&sent);
    let ways: Vec<_> = (0..1000).map(|port| path(&format!("203.0.113.9:{}", 1000 + port))).collect();
    let crypto = Arc::clone(&bench.crypto);
    for &way in &ways {
        // A controlled viewer is told, and not more.
        let request = message::request(TransactionId::new(), "ours:theirs", 1, 1, OURS.1, crypto.crypto());
        assert_eq!(bench.ice.handle_message(bench.now, way, &request.unwrap()), Heard::Nothing);
        assert_eq!(bench.sent().len(), 1);
    }
    assert!(!ways.iter().any(|&way| bench.ice.knows(way)));
    let request = message::viewer::check("ours:theirs", OURS.1, false, crypto.crypto());
    for &way in &ways {
        bench.ice.handle_message(bench.now, way, &request);
    }
    assert_eq!(ways.iter().filter(|&&way| bench.ice.knows(way)).count(), MAX_PATHS - 1);
    assert_eq!(bench.ice.poll_left(), None);
    bench.now += FORGOTTEN_AFTER;
    assert_eq!(bench.ice.handle_message(bench.now, ways[999], &request), Heard::Check);
    assert_eq!(bench.ice.poll_left(), Some(ways[0]));
    assert!(bench.ice.knows(first), "the one in use stays");
    // The same far end, come to another address of ours.
    let other = Path { local: "192.0.2.2:8082".parse().unwrap(), ..ways[1] };
    bench.now += FORGOTTEN_AFTER - Duration::from_secs(1);
    assert_eq!(bench.ice.handle_message(bench.now, other, &request), Heard::Check);
    assert_eq!((bench.ice.knows(ways[1]), bench.ice.poll_left()), (false, None));
}

#[test]
fn a_request_names_whom_it_is_for_and_anything_else_nobody() {
    let bench = bench();
    let request = message::viewer::check("ours:theirs", OURS.1, false, bench.crypto.crypto());
    assert_eq!(message::addressee(&request), Some("ours"));
    for cut in 0..request.len() {
        message::addressee(&request[..cut]);
    }
    let answer =
        message::viewer::answer(&request, "127.0.0.1:1".parse().unwrap(), OURS.1, bench.crypto.crypto());
    assert_eq!(message::addressee(&answer.unwrap()), None);
}

#[test]
fn after_a_restart_the_old_path_serves_until_the_new_one_is_nominated() {
    let mut bench = bench();
    let (old, new) = (path("203.0.113.9:1000"), path("198.51.100.7:2000"));
    let sent = bench.check(old, true);
    bench.answer(&sent);
    let newer = ["a newer password of ours", "a newer password of theirs"];
    bench.ice.restart(credentials(("ours2", newer[0])), credentials(("theirs2", newer[1])));
    assert_eq!(bench.ice.nominated(), Some(old));
    bench.check(old, true);
    let crypto = Arc::clone(&bench.crypto);
    let request = message::viewer::check("ours2:theirs2", newer[0], true, crypto.crypto());
    assert_eq!(bench.ice.handle_message(bench.now, new, &request), Heard::Check);
    let answers = bench.sent();
    let answer = answers
        .iter()
        .find_map(|(_, sent)| message::viewer::answer(sent, new.local, newer[1], crypto.crypto()));
    assert_eq!(bench.ice.handle_message(bench.now, new, &answer.unwrap()), Heard::Answer);
    assert_eq!(bench.ice.nominated(), Some(new), "at once, whatever the priorities");
    let request = message::viewer::check("ours:theirs", OURS.1, true, crypto.crypto());
    assert_eq!(bench.ice.handle_message(bench.now, old, &request), Heard::Nothing, "the old ones are void");
}

#[test]
fn ice_lite_answers_and_never_asks() {
    let mut bench = bench();
    bench.ice.be_lite();
    let first = path("203.0.113.9:1000");
    let sent = bench.check(first, false);
    assert_eq!((sent.len(), message::viewer::is_success(&sent[0].1)), (1, true));
    assert_eq!(bench.ice.nominated(), None, "it is the viewer who chooses");
    bench.check(first, true);
    assert_eq!((bench.ice.nominated(), bench.ice.consent()), (Some(first), Some(bench.now)));
    bench.wait(Duration::from_secs(20));
    assert!(bench.sent().is_empty());
    assert_eq!(bench.ice.poll_timeout(), None);
    let last = bench.now;
    bench.check(first, true);
    bench.wait(Duration::from_secs(5));
    bench.check(path("198.51.100.7:2000"), false);
    assert_eq!(bench.ice.consent(), Some(last), "checks over the path in use are the consent to it");
    assert_eq!(bench.ice.nominated(), Some(first));
}

#[test]
fn ice_lite_follows_a_viewer_that_nominates_another_path_once_it_answers_there() {
    let mut bench = bench();
    bench.ice.be_lite();
    let (first, second) = (path("203.0.113.9:1000"), path("198.51.100.7:2000"));
    bench.check(first, true);
    bench.wait(Duration::from_secs(4));
    let sent = bench.check(second, true);
    assert_eq!(bench.ice.nominated(), Some(first), "the address may be forged");
    assert_eq!(bench.answer(&sent), 1);
    assert_eq!(bench.ice.nominated(), Some(second));
    assert_eq!(bench.ice.consent(), Some(bench.now));
    assert_eq!(bench.ice.poll_timeout(), None, "and its checks are its consent as before");
}

#[test]
fn with_ice_lite_media_does_not_move_to_an_address_that_does_not_answer() {
    let mut bench = bench();
    bench.ice.be_lite();
    let (first, victim) = (path("203.0.113.9:1000"), path("198.51.100.7:2000"));
    bench.check(first, true);
    let mut asked = 0;
    for _ in 0..600 {
        bench.wait(Duration::from_millis(100));
        let sent = bench.check(victim, true);
        asked += sent.iter().filter(|(_, sent)| !message::viewer::is_success(sent)).count();
        assert_eq!(bench.ice.nominated(), Some(first));
    }
    assert_eq!(asked, 2 * MAX_CHECKS as usize);
}

#[test]
fn forged_checks_have_us_ask_twice_and_not_for_ever() {
    let mut bench = bench();
    let mut asked = 0;
    for _ in 0..600 {
        let sent = bench.check(path("198.51.100.7:2000"), true);
        asked += sent.iter().filter(|(_, sent)| !message::viewer::is_success(sent)).count();
        bench.wait(Duration::from_millis(100));
    }
    assert_eq!(asked, 2 * MAX_CHECKS as usize);
}

/// Restarts again and again over the same path; the first check of each generation may nominate, or only the second.
fn check_restarts(is_lite: bool, nominates_at_once: bool) {
    let mut bench = bench();
    if is_lite {
        bench.ice.be_lite();
    }
    let (way, crypto) = (path("203.0.113.9:1000"), Arc::clone(&bench.crypto));
    let sent = bench.check(way, true);
    bench.answer(&sent);
    for number in 2..6 {
        let (ours, theirs) = (format!("ours{number}"), format!("theirs{number}"));
        bench.ice.restart(credentials((&ours, OURS.1)), credentials((&theirs, THEIRS.1)));
        for nominate in [nominates_at_once, true] {
            let request =
                message::viewer::check(&format!("{ours}:{theirs}"), OURS.1, nominate, crypto.crypto());
            assert_eq!(bench.ice.handle_message(bench.now, way, &request), Heard::Check, "{number}");
            let sent = bench.sent();
            assert!(message::viewer::is_success(&sent[0].1));
            bench.answer(&sent);
        }
        assert_eq!(bench.ice.nominated(), Some(way));
        let last: Vec<_> = bench.ice.generations.iter().map(|generation| generation.number).collect();
        assert_eq!(last, [number - 1], "the one before is over");
        bench.wait(Duration::from_secs(6));
        let sent = bench.sent();
        if !is_lite {
            assert!(bench.answer(&sent) > 0, "consent is asked for with the new names");
            assert_eq!(bench.ice.consent(), Some(bench.now));
        }
    }
}

#[test]
fn a_viewer_restarts_as_often_as_it_likes_over_one_path() {
    check_restarts(false, true);
    check_restarts(false, false);
    check_restarts(true, true);
    check_restarts(true, false);
}

#[test]
fn a_restart_before_the_last_one_is_through_keeps_what_is_in_use() {
    let mut bench = bench();
    let way = path("203.0.113.9:1000");
    let sent = bench.check(way, true);
    bench.answer(&sent);
    for ours in ["ours2", "ours3"] {
        bench.ice.restart(credentials((ours, OURS.1)), credentials(("theirs2", THEIRS.1)));
    }
    bench.wait(Duration::from_secs(6));
    let sent = bench.sent();
    assert!(bench.answer(&sent) > 0);
}
