#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use std::sync::atomic::AtomicUsize;
use tokio::time::sleep;

/// Each test has a host of its own: accounts are shared by the whole process.
fn member(host: &str, login: &str) -> Arc<Member> {
    Member::of(&SourceUrl::parse(&format!("rtsp://{login}{host}/live")).unwrap()).unwrap()
}

fn channels(host: &str, count: usize) -> Vec<Arc<Member>> {
    (0..count).map(|_| member(host, "admin:secret@")).collect()
}

#[test]
fn an_account_is_a_host_a_user_and_a_password() {
    let is_one = |a: &Arc<Member>, b: &Arc<Member>| Arc::ptr_eq(&a.account, &b.account);
    let first = member("recorder.lan", "admin:secret@");
    assert!(is_one(&first, &member("RECORDER.lan:8554", "admin:secret@")));
    for (host, login) in [
        ("other.lan", "admin:secret@"),
        ("recorder.lan", "root:secret@"),
        ("recorder.lan", "admin:other@"),
        ("recorder.lan", "adminsec:ret@"),
    ] {
        assert!(!is_one(&first, &member(host, login)), "{login}{host}");
    }
    assert!(Member::of(&SourceUrl::parse("rtsp://recorder.lan/live").unwrap()).is_none());
    assert!(!format!("{first:?} {:?}", first.account).contains("secret"));
}

/// A recorder that takes so long to answer: how many logins it got, and how long every channel took to know.
async fn start_all(members: &[Arc<Member>], answer: Duration, is_right: bool) -> (usize, Vec<Duration>) {
    let asked = AtomicUsize::new(0);
    let begin = tokio::time::Instant::now();
    let waits = members.iter().map(|member| async {
        if let Ok(permit) = member.log_in().await {
            asked.fetch_add(1, Relaxed);
            sleep(answer).await;
            if is_right { permit.accepted() } else { permit.refused() }
        }
        begin.elapsed()
    });
    let waits = futures::future::join_all(waits).await;
    (asked.load(Relaxed), waits)
}

const SOON: Duration = Duration::from_millis(100);

#[tokio::test(start_paused = true)]
async fn a_recorder_of_thirty_channels_hears_one_wrong_password_a_minute() {
    let members = channels("wrong.lan", 30);
    let begin = tokio::time::Instant::now();
    let mut logins = 0;
    while begin.elapsed() < Duration::from_secs(600) {
        logins += start_all(&members, SOON, false).await.0;
        let paused = members[7].pause(now()).unwrap();
        assert!(members.iter().all(|member| member.pause(now()) == Some(paused)));
        tokio::time::sleep_until(paused.until.into()).await;
    }
    assert_eq!(logins, 10);
}

#[tokio::test(start_paused = true)]
async fn a_right_password_delays_nobody_by_more_than_one_answer() {
    let members = channels("right.lan", 30);
    let (logins, waits) = start_all(&members, SOON, true).await;
    assert_eq!(logins, 30);
    assert!(waits.iter().all(|wait| *wait <= 2 * SOON + Duration::from_millis(5)), "{waits:?}");
    assert!(members.iter().all(|member| member.pause(now()).is_none()));
}

#[tokio::test(start_paused = true)]
async fn a_password_that_was_changed_is_noticed_by_one_refusal() {
    let members = channels("changed.lan", 30);
    start_all(&members, SOON, true).await;
    sleep(Duration::from_secs(3_600)).await;
    assert_eq!(start_all(&members, SOON, false).await.0, 1);
    assert!(members.iter().all(|member| member.pause(now()).is_some()));
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_the_account_may_not_see_holds_nobody_up() {
    let members = channels("partly.lan", 3);
    start_all(&members[..2], SOON, true).await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(start_all(&members[2..], SOON, false).await.0, 1);
    assert!(members.iter().all(|member| member.pause(now()).is_none()));
    // Not so if it is many of them.
    let others = channels("partly.lan", 9);
    assert_eq!(start_all(&others, SOON, false).await.0, 2);
    assert!(members.iter().all(|member| member.pause(now()).is_some()));
}

#[tokio::test(start_paused = true)]
async fn nobody_vouches_for_an_account_when_those_that_were_let_in_are_gone() {
    let members = channels("gone.lan", 3);
    start_all(&members[..2], SOON, true).await;
    sleep(Duration::from_secs(60)).await;
    let alone = &members[2..].to_vec();
    drop(members);
    start_all(alone, SOON, false).await;
    assert!(alone[0].pause(now()).is_some());
}

#[tokio::test(start_paused = true)]
async fn whoever_gets_no_answer_or_gives_up_leaves_the_turn_to_the_next() {
    let members = channels("slow.lan", 2);
    let begin = tokio::time::Instant::now();
    let hanging = members[0].log_in().await.unwrap();
    let other = members[1].log_in().await.unwrap();
    assert_eq!(begin.elapsed(), VERDICT);
    drop(hanging);
    let begin = tokio::time::Instant::now();
    let first_again = async {
        let permit = members[0].log_in().await.unwrap();
        assert_eq!(begin.elapsed(), SOON, "at once when the other one gave up");
        permit
    };
    let gives_up = async {
        sleep(SOON).await;
        drop(other);
    };
    let (permit, ()) = tokio::join!(first_again, gives_up);
    permit.accepted();
}
