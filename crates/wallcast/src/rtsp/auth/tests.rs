#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::auth::Roles;

fn tokens() -> Vec<Token> {
    [("viewer", "a \"quoted\" pass:word"), ("Mufasa", "Circle of Life")]
        .map(|(name, secret)| Token::new(name, secret.into(), Roles::from_iter([Role::View])))
        .into()
}

/// Answers a challenge as another implementation does.
fn answer(challenge: &str, (user, password): (&str, &str), method: &str, uri: &str) -> String {
    let mut client = http_auth::PasswordClient::try_from(challenge).unwrap();
    let params = http_auth::PasswordParams { username: user, password, uri, method, body: Some(&[]) };
    client.respond(&params).unwrap()
}

const WALL: &str = "rtsp://127.0.0.1:8554/wall";

fn check(challenger: &mut Challenger, authorization: &str, now: Instant) -> Verdict {
    challenger.check(&tokens(), "DESCRIBE", WALL, Some(authorization), now)
}

#[test]
fn the_test_vectors_of_rfc_7616_and_rfc_2617_fit() {
    let vector = |algorithm: &str, response: &str| {
        let text = format!(
            r#"Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html",
            algorithm={algorithm}, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001,
            cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth, response="{response}",
            opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#
        )
        .replace('\n', "");
        let credentials = Credentials::parse(&text).unwrap();
        assert_eq!(credentials.expected_response("Mufasa", "Circle of Life", "GET"), response, "{algorithm}");
    };
    vector("MD5", "8ca523f5e9506fed4657c9700eebdbec");
    vector("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1");

    let rfc2617 = r#"Digest username="Mufasa", realm="testrealm@host.com",
        nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", uri="/dir/index.html", qop=auth, nc=00000001,
        cnonce="0a4f113b", response="6629fae49393a05397450978507c4ef1", opaque="5ccc069c403ebaf9f0171e9517f40e41""#
        .replace('\n', "");
    let credentials = Credentials::parse(&rfc2617).unwrap();
    assert_eq!(credentials.expected_response("Mufasa", "Circle Of Life", "GET"), credentials.response);
    // Without qop, as RFC 2069 had it and some clients still have; its erratum's vector.
    let rfc2069 = r#"Digest username="Mufasa", realm="testrealm@host.com",
        nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", uri="/dir/index.html", response="1949323746fe6a43ef61f9606e7febea""#
        .replace('\n', "");
    let credentials = Credentials::parse(&rfc2069).unwrap();
    assert_eq!(credentials.expected_response("Mufasa", "CircleOfLife", "GET"), credentials.response);
}

#[test]
fn every_challenge_can_be_answered_and_only_with_the_right_password() {
    for index in 0..3 {
        for (login, expected) in [
            (("viewer", "a \"quoted\" pass:word"), Verdict::Granted),
            (("Mufasa", "Circle of Life"), Verdict::Granted),
            (("viewer", "Circle of Life"), Verdict::Denied),
            (("nobody", "Circle of Life"), Verdict::Denied),
            (("viewer", ""), Verdict::Denied),
        ] {
            let mut challenger = Challenger::new(Instant::now());
            let challenge = &challenger.challenges(Verdict::Missing)[index];
            let credentials = answer(challenge, login, "DESCRIBE", WALL);
            assert_eq!(
                check(&mut challenger, &credentials, Instant::now()),
                expected,
                "{challenge} {login:?}"
            );
        }
    }
}

#[test]
fn missing_credentials_and_rubbish_are_told_apart() {
    let now = Instant::now();
    let mut challenger = Challenger::new(now);
    assert_eq!(challenger.check(&tokens(), "DESCRIBE", WALL, None, now), Verdict::Missing);
    for rubbish in
        ["", "Basic", "Basic !!!", "Digest", "Digest username=\"viewer\"", "Bearer abc", "Digest a=\"\\"]
    {
        assert_eq!(check(&mut challenger, rubbish, now), Verdict::Denied, "{rubbish}");
    }
}

#[test]
fn credentials_serve_once_on_one_connection_for_one_method_and_stream() {
    let now = Instant::now();
    let mut challenger = Challenger::new(now);
    let challenge = challenger.challenges(Verdict::Missing)[0].clone();
    let login = ("Mufasa", "Circle of Life");
    let credentials = answer(&challenge, login, "DESCRIBE", WALL);
    assert_eq!(check(&mut Challenger::new(now), &credentials, now), Verdict::Stale);
    assert_eq!(challenger.check(&tokens(), "PLAY", WALL, Some(&credentials), now), Verdict::Denied);
    let other = "rtsp://127.0.0.1:8554/yard";
    assert_eq!(challenger.check(&tokens(), "DESCRIBE", other, Some(&credentials), now), Verdict::Denied);
    assert_eq!(check(&mut challenger, &credentials, now), Verdict::Granted);
    assert_eq!(check(&mut challenger, &credentials, now), Verdict::Stale);
}

#[test]
fn a_nonce_runs_out_when_it_is_not_used_and_lives_as_long_as_it_is() {
    let start = Instant::now();
    let mut challenger = Challenger::new(start);
    let challenge = challenger.challenges(Verdict::Missing)[1].clone();
    let mut client = http_auth::PasswordClient::try_from(challenge.as_str()).unwrap();
    let mut keepalive = |now| {
        let params = http_auth::PasswordParams {
            username: "Mufasa",
            password: "Circle of Life",
            uri: WALL,
            method: "DESCRIBE",
            body: Some(&[]),
        };
        check(&mut challenger, &client.respond(&params).unwrap(), now)
    };
    for minutes in 1..30 {
        assert_eq!(keepalive(start + Duration::from_secs(minutes * 60)), Verdict::Granted);
    }
    assert_eq!(keepalive(start + Duration::from_secs(29 * 60 + 301)), Verdict::Stale);
    assert!(challenger.challenges(Verdict::Stale)[0].ends_with("stale=true"));
    assert_ne!(challenger.challenges(Verdict::Stale)[1].replace(", stale=true", ""), challenge);
}

#[test]
fn a_token_that_only_publishes_does_not_open_the_server() {
    for (role, expected) in
        [(Role::View, Verdict::Granted), (Role::Admin, Verdict::Granted), (Role::Publish, Verdict::Denied)]
    {
        let token = [Token::new("camera", "secret".into(), Roles::from_iter([role]))];
        for index in 0..3 {
            let mut challenger = Challenger::new(Instant::now());
            let challenge = &challenger.challenges(Verdict::Missing)[index];
            let credentials = answer(challenge, ("camera", "secret"), "DESCRIBE", WALL);
            let verdict = challenger.check(&token, "DESCRIBE", WALL, Some(&credentials), Instant::now());
            assert_eq!(verdict, expected, "{role} {challenge}");
        }
    }
}
