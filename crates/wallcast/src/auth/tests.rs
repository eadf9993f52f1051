#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;

const LAN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 8, 7));

fn keys() -> Authenticator {
    let token = |name: &str, secret: &str, roles: &[Role]| {
        Token::new(name, secret.to_owned(), roles.iter().copied().collect())
    };
    Authenticator::new(Auth::Tokens(vec![
        token("kiosk", "view-secret", &[Role::View]),
        token("camera", "publish-secret", &[Role::Publish]),
        token("boss", "admin-secret", &[Role::Admin]),
    ]))
}

#[track_caller]
fn check(token: Option<&str>, needed: Role, expected: Result<&str, Denied>) {
    let got = keys().check(token, needed, LAN, Instant::now());
    assert_eq!(got.map(|identity| identity.name.unwrap().to_string()), expected.map(str::to_owned));
}

#[test]
fn each_token_allows_its_roles_and_admin_also_views() {
    check(Some("view-secret"), Role::View, Ok("kiosk"));
    check(Some("publish-secret"), Role::Publish, Ok("camera"));
    check(Some("admin-secret"), Role::Admin, Ok("boss"));
    check(Some("admin-secret"), Role::View, Ok("boss"));
}

#[test]
fn a_role_does_not_give_another() {
    for (secret, needed) in [
        ("view-secret", Role::Publish),
        ("view-secret", Role::Admin),
        ("publish-secret", Role::View),
        ("publish-secret", Role::Admin),
        ("admin-secret", Role::Publish),
    ] {
        check(Some(secret), needed, Err(Denied::WrongRole { needed }));
    }
}

#[test]
fn a_missing_token_and_an_unknown_one_are_told_apart() {
    check(None, Role::View, Err(Denied::Missing { needed: Role::View }));
    for guess in ["", "view-secre", "view-secret ", "VIEW-SECRET", "kiosk"] {
        check(Some(guess), Role::View, Err(Denied::Unknown { needed: Role::View }));
    }
}

#[test]
fn guessing_is_slowed_and_the_right_token_is_heard_after_the_pause() {
    let (keys, now) = (keys(), Instant::now());
    let guesses = (0..1000).filter(|_| {
        keys.check(Some("guess"), Role::View, LAN, now).unwrap_err() == Denied::Unknown { needed: Role::View }
    });
    assert_eq!(guesses.count(), 10);
    let Err(Denied::TooMany { retry_after }) = keys.check(Some("view-secret"), Role::View, LAN, now) else {
        panic!("a token is not looked at during the pause")
    };
    assert!(keys.check(Some("view-secret"), Role::View, LAN, now + retry_after).is_ok());
}

#[test]
fn without_tokens_everybody_may_do_everything() {
    for auth in [Auth::Loopback, Auth::Open] {
        let identity = Authenticator::new(auth).check(None, Role::Admin, LAN, Instant::now()).unwrap();
        assert!(Role::ALL.into_iter().all(|role| identity.roles.allow(role)));
    }
}

#[test]
fn other_addresses_than_loopback_need_tokens_or_an_explicit_none() {
    let tokens = Auth::Tokens(vec![Token::new("a", "secret".into(), Roles::ALL)]);
    for (address, loopback_only) in [
        ("127.0.0.1:1", true),
        ("127.9.9.9:1", true),
        ("[::1]:1", true),
        ("[::ffff:127.0.0.1]:1", true),
        ("0.0.0.0:1", false),
        ("[::]:1", false),
        ("192.168.8.2:1", false),
    ] {
        let address = address.parse().unwrap();
        assert_eq!(Auth::Loopback.allows_listening_on(address), loopback_only, "{address}");
        assert!(Auth::Open.allows_listening_on(address) && tokens.allows_listening_on(address));
    }
}

#[test]
fn debug_shows_no_secret() {
    let text = format!("{:?}", keys());
    assert!(text.contains("kiosk") && !text.contains("secret\"") && !text.contains("view-secret"), "{text}");
}
