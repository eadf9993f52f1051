//! Logging in to a camera: Basic (RFC 7617) and Digest (RFC 7616; RFC 2069 without qop), by `http-auth`.
//!
//! The first request goes without a login, as cameras expect; every later one answers the challenge that is known. A
//! camera may say 401 again at any request, because its nonce has expired
//! (<https://github.com/ngraziano/SharpRTSP/issues/126>): that is answered with the new nonce. Only an answer to a
//! challenge just received tells that the login is wrong, and then nothing more is tried, because cameras lock accounts.

use http_auth::digest::{Algorithm, Qop};
use http_auth::{BasicClient, ChallengeRef, DigestClient, ParamValue, PasswordParams};

use crate::source::Login as Credentials;

/// Answers to 401 for one request.
const MAX_ANSWERS: u32 = 2;

/// The login of one connection.
#[derive(Default)]
pub(crate) struct Login {
    credentials: Option<Credentials>,
    challenge: Option<Challenge>,
}

/// How the request was sent that was answered 401.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    /// It answered a challenge.
    pub(crate) with_login: bool,
    /// Challenges to this request that were answered before.
    pub(crate) answers: u32,
}

/// Why a 401 is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is no login to answer with.
    Needed,
    /// None of the ways to log in that are offered is known.
    NotUnderstood,
    Wrong,
    /// The camera says that the login is not wrong, and asks for it again and again.
    Endless,
}

struct Challenge {
    scheme: Scheme,
    /// Write the user name as RFC 7616 section 3.4 has it, not as older cameras understand it.
    extended_user: bool,
}

enum Scheme {
    Basic(BasicClient),
    Digest(DigestClient),
}

impl Login {
    pub(crate) fn new(credentials: Option<Credentials>) -> Self {
        Self { credentials, challenge: None }
    }

    /// The value of `Authorization` for this request, if a challenge is known.
    pub(crate) fn authorize(&mut self, method: &str, uri: &str) -> Option<String> {
        let credentials = self.credentials.as_ref()?;
        let Challenge { scheme, extended_user } = self.challenge.as_mut()?;
        let digest = match scheme {
            Scheme::Basic(basic) => return Some(basic.respond(&credentials.user, &credentials.password)),
            Scheme::Digest(digest) => digest,
        };
        // Plain `auth` where there is a choice: hardly a camera was ever asked for `auth-int`.
        let body: Option<&[u8]> = if digest.qop() & Qop::Auth { None } else { Some(&[]) };
        let (username, password) = (credentials.user.as_str(), credentials.password.as_str());
        let answer = digest.respond(&PasswordParams { username, password, uri, method, body }).ok()?;
        Some(if *extended_user { answer } else { with_plain_user(&answer, username) })
    }

    /// Takes the challenges of a 401. `Ok` if the request is to be sent again with [`Login::authorize`].
    pub(crate) fn handle_challenges<'a>(
        &mut self,
        challenges: impl Iterator<Item = &'a str>,
        sent: Sent,
    ) -> Result<(), Refused> {
        if self.credentials.is_none() {
            return Err(Refused::Needed);
        }
        let offered = challenges.flat_map(parse).filter_map(|challenge| Challenge::understand(&challenge));
        let strongest = offered.max_by_key(Challenge::strength).ok_or(Refused::NotUnderstood)?;
        let is_stale = match &strongest.scheme {
            Scheme::Digest(digest) => digest.stale(),
            Scheme::Basic(_) => false,
        };
        let is_basic_again = matches!(
            (&strongest.scheme, self.challenge.as_ref().map(|known| &known.scheme)),
            (Scheme::Basic(_), Some(Scheme::Basic(_)))
        );
        if sent.answers >= MAX_ANSWERS {
            return Err(if is_stale { Refused::Endless } else { Refused::Wrong });
        }
        let was_fresh = sent.answers > 0;
        if sent.with_login && !is_stale && (was_fresh || is_basic_again) {
            return Err(Refused::Wrong);
        }
        self.challenge = Some(strongest);
        Ok(())
    }
}

impl Challenge {
    fn understand(challenge: &ChallengeRef<'_>) -> Option<Self> {
        if challenge.scheme.eq_ignore_ascii_case("Basic") {
            let scheme = Scheme::Basic(BasicClient::try_from(challenge).ok()?);
            return Some(Self { scheme, extended_user: false });
        }
        if !challenge.scheme.eq_ignore_ascii_case("Digest") {
            return None;
        }
        let scheme = Scheme::Digest(DigestClient::try_from(challenge).ok()?);
        Some(Self {
            scheme,
            extended_user: challenge.params.iter().any(|(name, _)| name.eq_ignore_ascii_case("charset")),
        })
    }

    /// RFC 7235 section 2.1: the most secure one that is understood.
    fn strength(&self) -> u8 {
        match &self.scheme {
            Scheme::Basic(_) => 0,
            Scheme::Digest(digest) => match digest.algorithm() {
                Algorithm::Md5 => 1,
                Algorithm::Sha256 => 2,
                _ => 3,
            },
        }
    }
}

/// `http-auth` writes a name that is not ASCII as `username*`, which only RFC 7616 knows; a camera that does not say
/// `charset=UTF-8` expects the bytes themselves, as it got them when the user was created.
fn with_plain_user(answer: &str, user: &str) -> String {
    const EXTENDED: &str = "username*=";
    let Some((before, rest)) = answer.split_once(EXTENDED) else { return answer.to_owned() };
    let Some((_, after)) = rest.split_once(", ") else { return answer.to_owned() };
    let escaped = user.replace('\\', "\\\\").replace('"', "\\\"");
    format!("{before}username=\"{escaped}\", {after}")
}

/// The challenges in one header line. Cameras quote what needs no quotes, leave out quotes that are needed (`realm=IP
/// Camera`), and put commas where none belong.
pub(crate) fn parse(header: &str) -> Vec<ChallengeRef<'_>> {
    let mut challenges: Vec<ChallengeRef<'_>> = Vec::new();
    for item in split_at_commas(header) {
        let name_end = item.find('=').unwrap_or(item.len());
        // `Scheme name=value`, or a scheme alone.
        let (name, parameter) = match item[..name_end].trim().rsplit_once([' ', '\t']) {
            Some((scheme, name)) => {
                challenges.push(ChallengeRef::new(scheme.trim()));
                (name, item.get(name_end + 1..))
            }
            None => (item[..name_end].trim(), item.get(name_end + 1..)),
        };
        match (parameter, challenges.last_mut()) {
            (Some(value), Some(challenge)) => {
                let value = value.trim();
                let unquoted =
                    value.strip_prefix('"').map_or(value, |rest| rest.strip_suffix('"').unwrap_or(rest));
                let value =
                    if name.eq_ignore_ascii_case("algorithm") { algorithm(unquoted) } else { unquoted };
                if let Ok(value) = ParamValue::try_from_escaped(value) {
                    challenge.params.push((name, value));
                }
            }
            (None, _) if !name.is_empty() => challenges.push(ChallengeRef::new(name)),
            _ => {}
        }
    }
    challenges
}

/// `http-auth` compares with regard to case; cameras write `md5`.
fn algorithm(found: &str) -> &str {
    const KNOWN: [&str; 6] =
        ["MD5", "MD5-sess", "SHA-256", "SHA-256-sess", "SHA-512-256", "SHA-512-256-sess"];
    KNOWN.into_iter().find(|known| known.eq_ignore_ascii_case(found)).unwrap_or(found)
}

fn split_at_commas(header: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    let items = header.split(move |c: char| {
        let is_separator = c == ',' && !quoted;
        match c {
            '"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = c == '\\' && !escaped;
        is_separator
    });
    items.map(str::trim).filter(|item| !item.is_empty())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const MD5: &str = "Digest realm=\"camera\", nonce=\"n1\"";
    const BASIC: &str = "Basic realm=\"camera\"";
    const FIRST: Sent = Sent { with_login: false, answers: 0 };
    const REMEMBERED: Sent = Sent { with_login: true, answers: 0 };
    const FRESH: Sent = Sent { with_login: true, answers: 1 };

    fn login(user: &str, password: &str) -> Login {
        Login::new(Some(Credentials { user: user.into(), password: password.into() }))
    }

    fn challenge(login: &mut Login, headers: &[&str], sent: Sent) -> Result<(), Refused> {
        login.handle_challenges(headers.iter().copied(), sent)
    }

    /// What is answered to a challenge.
    fn answer(headers: &[&str]) -> String {
        let mut login = login("admin", "p@ss:word");
        challenge(&mut login, headers, FIRST).unwrap();
        login.authorize("DESCRIBE", "rtsp://x/y").unwrap()
    }

    #[test]
    fn the_strongest_way_that_is_understood_is_taken() {
        let sha256 = "Digest algorithm=SHA-256, realm=\"a\", nonce=\"n\", qop=\"auth\"";
        let sha512 = "Digest algorithm=SHA-512-256, realm=\"a\", nonce=\"n\", qop=\"auth\"";
        assert_eq!(answer(&[BASIC]), "Basic YWRtaW46cEBzczp3b3Jk");
        assert!(answer(&[BASIC, MD5]).contains("nonce=\"n1\""));
        assert!(answer(&["Bearer, Negotiate abc==", MD5, BASIC]).starts_with("Digest "));
        assert!(answer(&[sha256, MD5]).contains("algorithm=SHA-256"));
        assert!(answer(&[&format!("{BASIC}, {MD5}, {sha512}, {sha256}")]).contains("algorithm=SHA-512-256"));
        assert!(answer(&["Digest algorithm=SHA-3, realm=\"a\", nonce=\"n\"", BASIC]).starts_with("Basic "));
    }

    #[test]
    fn the_digest_is_that_of_the_specifications() {
        // RFC 2069 as OpenSSL's md5 has it: MD5(MD5(admin:camera:p@ss:word):n1:MD5(DESCRIBE:rtsp://x/y)).
        let expected = {
            use md5::{Digest, Md5};
            let hex =
                |text: String| Md5::digest(text).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            let (a1, a2) = (hex("admin:camera:p@ss:word".into()), hex("DESCRIBE:rtsp://x/y".into()));
            hex(format!("{a1}:n1:{a2}"))
        };
        let without_qop = answer(&[MD5]);
        assert!(without_qop.contains(&format!("response=\"{expected}\"")), "{without_qop}");
        assert!(!without_qop.contains("qop") && !without_qop.contains("cnonce"), "{without_qop}");
        let both = answer(&["Digest realm=\"camera\", nonce=\"n\", qop=\"auth-int,auth\""]);
        assert!(both.contains("qop=auth,") && both.contains("nc=00000001"), "{both}");
        let only_int = answer(&["Digest realm=\"camera\", nonce=\"n\", qop=\"auth-int\""]);
        assert!(only_int.contains("qop=auth-int"), "{only_int}");
    }

    #[test]
    fn challenges_are_read_as_cameras_write_them() {
        for header in [
            "Digest realm=\"IP Camera(12345)\", nonce=\"abc\", stale=\"FALSE\"",
            "digest realm=IP Camera(12345),nonce=abc,",
            "Digest  realm = \"IP Camera(12345)\" ,\tnonce = \"abc\",algorithm=\"md5\"",
            "Digest realm=\"IP Camera(12345)\", nonce=\"abc\", x=\"\u{fc}\", domain=\"a,b\"",
        ] {
            let answer = answer(&[header]);
            assert!(
                answer.contains("realm=\"IP Camera(12345)\"") && answer.contains("nonce=\"abc\""),
                "{header}: {answer}"
            );
        }
        for header in
            ["", ",,,", "=", "Digest", "Digest nonce=\"a\"", "Digest realm=\"a", "\"", "Basic", "a=b"]
        {
            let refused = challenge(&mut login("a", "b"), &[header], FIRST);
            assert_eq!(refused, Err(Refused::NotUnderstood), "{header}");
        }
    }

    #[test]
    fn names_that_are_not_ascii_are_written_as_the_camera_understands_them() {
        let ask = |header: &str| {
            let mut login = login("J\u{e4}s\"on", "x");
            challenge(&mut login, &[header], FIRST).unwrap();
            login.authorize("DESCRIBE", "rtsp://x/y").unwrap()
        };
        let plain = ask("Digest realm=\"a\", nonce=\"n\"");
        assert!(plain.contains("username=\"J\u{e4}s\\\"on\", realm"), "{plain}");
        let extended = ask("Digest realm=\"a\", nonce=\"n\", qop=\"auth\", charset=UTF-8");
        assert!(extended.contains("username*=UTF-8''J%C3%A4s%22on"), "{extended}");
    }

    #[test]
    fn a_new_nonce_is_answered_and_a_refused_answer_is_not_repeated() {
        let stale = "Digest realm=\"camera\", nonce=\"n2\", stale=true";
        let mut login = login("admin", "x");
        assert_eq!(challenge(&mut login, &[MD5], FIRST), Ok(()));
        assert_eq!(challenge(&mut login, &[MD5], FRESH), Err(Refused::Wrong));
        assert_eq!(
            challenge(&mut login, &["Digest realm=\"camera\", nonce=\"other\""], FRESH),
            Err(Refused::Wrong)
        );
        assert_eq!(challenge(&mut login, &[stale], FRESH), Ok(()));
        assert!(login.authorize("PLAY", "u").unwrap().contains("nonce=\"n2\""));
        assert_eq!(challenge(&mut login, &[MD5], REMEMBERED), Ok(()), "an old nonce is no wrong password");
        assert_eq!(challenge(&mut login, &[stale], Sent { answers: 2, ..FRESH }), Err(Refused::Endless));
    }

    #[test]
    fn a_password_that_basic_was_refused_is_wrong_at_once() {
        let mut login = login("admin", "x");
        assert_eq!(challenge(&mut login, &[BASIC], FIRST), Ok(()));
        assert_eq!(challenge(&mut login, &[BASIC], REMEMBERED), Err(Refused::Wrong));
        assert_eq!(
            challenge(&mut login, &[BASIC, MD5], REMEMBERED),
            Ok(()),
            "it was not asked for a digest before"
        );
    }

    #[test]
    fn without_a_login_nothing_is_answered() {
        let mut login = Login::default();
        assert_eq!(login.authorize("DESCRIBE", "u"), None);
        assert_eq!(challenge(&mut login, &[BASIC], FIRST), Err(Refused::Needed));
    }

    #[test]
    fn the_nonce_is_counted() {
        let mut login = login("admin", "x");
        challenge(&mut login, &["Digest realm=\"a\", nonce=\"n\", qop=\"auth\""], FIRST).unwrap();
        let counts: Vec<bool> = (1..4)
            .map(|n| login.authorize("PLAY", "u").unwrap().contains(&format!("nc=0000000{n}")))
            .collect();
        assert_eq!(counts, [true; 3]);
    }
}
