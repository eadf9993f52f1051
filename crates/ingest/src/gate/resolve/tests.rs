#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use parking_lot::Condvar;
use std::time::Instant;

/// A name server that does not answer before the test says so.
struct Hanging(Mutex<bool>, Condvar);

impl Hanging {
    const fn new() -> Self {
        Self(Mutex::new(true), Condvar::new())
    }

    fn wait(&self) {
        self.1.wait_while(&mut self.0.lock(), |hangs| *hangs);
    }

    fn release(&self) {
        *self.0.lock() = false;
        self.1.notify_all();
    }
}

static DEAD: Hanging = Hanging::new();

fn ask_for_tests(host: &str) -> io::Result<Vec<SocketAddr>> {
    match host {
        "two.lan" => Ok(vec!["10.0.0.1:0".parse().unwrap(), "[2001:db8::1]:0".parse().unwrap()]),
        "servfail.lan" => Err(io::Error::other(
            "failed to lookup address information: Temporary failure in name resolution",
        )),
        "empty.lan" => Ok(Vec::new()),
        "panic.lan" => panic!("on purpose"),
        dead if dead.starts_with("dead") => {
            DEAD.wait();
            Err(io::Error::other("timed out"))
        }
        _ => Err(io::Error::other("failed to lookup address information: Name or service not known")),
    }
}

async fn resolved(host: &str) -> Result<Vec<String>, String> {
    let found = Resolver::asking(ask_for_tests).resolve(host, 554).await;
    found.map(|found| found.iter().map(ToString::to_string).collect()).map_err(|failure| failure.to_string())
}

#[tokio::test]
async fn names_become_all_their_addresses_and_failures_their_words() {
    let found = resolved("two.lan").await.unwrap();
    assert_eq!(found, ["10.0.0.1:554", "[2001:db8::1]:554"]);
    assert_eq!(resolved("none.lan").await.unwrap_err(), "no such host none.lan");
    assert_eq!(resolved("empty.lan").await.unwrap_err(), "no such host empty.lan");
    let asked = "the name server cannot be asked about";
    assert_eq!(resolved("servfail.lan").await.unwrap_err(), format!("{asked} servfail.lan"));
    assert_eq!(resolved("panic.lan").await.unwrap_err(), format!("{asked} panic.lan"));
}

#[tokio::test]
async fn addresses_need_nobody() {
    let nobody = Resolver::asking(|_| panic!("asked"));
    let found = nobody.resolve("192.0.2.7", 8554).await.unwrap();
    assert_eq!(found, ["192.0.2.7:8554".parse().unwrap()]);
    let found = nobody.resolve("2001:db8::7", 322).await.unwrap();
    assert_eq!(found, ["[2001:db8::7]:322".parse().unwrap()]);
}

#[tokio::test]
async fn the_system_knows_this_machine() {
    let found = resolve("localhost", 554).await.unwrap();
    assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 554));
}

#[test]
fn chaos_15_a_dead_name_server_blocks_a_bounded_number_of_threads_and_no_other_camera() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let resolver = Resolver::asking(ask_for_tests);
        // Sixty cameras, three attempts each: every name is asked about once.
        let mut cameras = Vec::new();
        for camera in 0..60 {
            for _attempt in 0..3 {
                let resolver = resolver.clone();
                cameras.push(tokio::spawn(async move {
                    let host = format!("dead{camera}.lan");
                    timeout(Duration::from_millis(400), resolver.look_up(&host)).await.is_err()
                }));
            }
        }
        let begin = Instant::now();
        for camera in cameras {
            assert!(camera.await.unwrap(), "gave up by itself");
        }
        assert_eq!(resolver.under_way.lock().len(), 60);
        assert_eq!(resolver.slots.available_permits(), SLOTS - 60);
        assert_eq!(resolver.resolve("two.lan", 554).await.unwrap().len(), 2);
        let literal = resolver.resolve("10.0.0.1", 554).await;
        assert!(literal.is_ok() && begin.elapsed() < Duration::from_secs(4));

        DEAD.release();
        let free = async {
            while resolver.slots.available_permits() < SLOTS || !resolver.under_way.lock().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(10), free).await.expect("all threads are given back");
    });
}

#[tokio::test(start_paused = true)]
async fn chaos_15_dns_hang_is_given_up_after_five_seconds_in_words() {
    static HANGING: Hanging = Hanging::new();
    let resolver = Resolver::asking(|_| {
        HANGING.wait();
        Ok(Vec::new())
    });
    // A blocking task keeps the paused clock from running ahead by itself.
    let begin = tokio::time::Instant::now();
    let lookup = tokio::spawn(async move { resolver.resolve("dead.lan", 554).await });
    while !lookup.is_finished() {
        tokio::time::advance(Duration::from_millis(100)).await;
    }
    let failure = lookup.await.unwrap().unwrap_err();
    assert_eq!(failure.to_string(), "no answer from the name server about dead.lan within 5 s");
    assert!(begin.elapsed() >= LIMIT && begin.elapsed() < LIMIT + Duration::from_secs(1));
    HANGING.release();
}

#[test]
fn families_take_turns_and_their_number_is_bounded() {
    let parse = |text: &str| -> Vec<SocketAddr> {
        text.split(' ').map(|address| SocketAddr::new(address.parse().unwrap(), 0)).collect()
    };
    let check = |found: &str, tried: &str| {
        let tried: Vec<SocketAddr> =
            parse(tried).into_iter().map(|address| SocketAddr::new(address.ip(), 9)).collect();
        assert_eq!(by_turns(parse(found), 9), tried);
    };
    check("::1 ::2 ::3 10.0.0.1", "::1 10.0.0.1 ::2 ::3");
    check("10.0.0.1 10.0.0.2 ::1 ::2", "10.0.0.1 ::1 10.0.0.2 ::2");
    check("10.0.0.1 10.0.0.1", "10.0.0.1");
    let many: Vec<SocketAddr> = (0..200).map(|last| SocketAddr::from(([10, 0, 0, last], 0))).collect();
    assert_eq!(by_turns(many, 9).len(), ADDRESSES);
}

#[test]
fn names_of_the_link_are_told_by_their_end() {
    for (host, expected) in [
        ("cam.local", true),
        ("Front-Door.LOCAL.", true),
        (".local", false),
        ("local", false),
        ("cam.locale", false),
        ("cam.lan", false),
        ("äocal", false),
    ] {
        assert_eq!(is_local(host), expected, "{host}");
    }
}
