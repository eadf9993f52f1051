//! `${NAME}` in any value stands for the environment variable; `$$` stands for one dollar sign.
//!
//! The variable is put in after YAML was parsed, so that its value is never read as YAML, and never into anything that
//! messages show. In the login of a URL it is percent-encoded (RFC 3986 section 3.2.1): whoever keeps passwords keeps
//! them as they are.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::problem::Problem;
use super::syntax::Broken;
use super::yaml::At;

/// Stand for `{` and `}` of a variable while YAML is parsed: unquoted `{ token: ${TOKEN} }` is not YAML, but everybody
/// writes it. One character each, so that lines and columns stay as they are.
const OPEN: char = '\u{E000}';
const CLOSE: char = '\u{E001}';

/// What is never itself in a login: everything but RFC 3986's unreserved characters and the colon.
const LOGIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');
/// The same for a user name or a password alone.
const HALF_A_LOGIN: &AsciiSet = &LOGIN.add(b':');

/// A variable that could not be put in.
pub(super) struct Missing {
    pub(super) found: String,
    pub(super) expected: String,
}

/// `text` with the braces of every `${NAME}` replaced.
pub(super) fn mask(text: &str) -> Result<String, Problem> {
    for (i, line) in text.lines().enumerate() {
        if let Some(column) = line.chars().position(|c| c == OPEN || c == CLOSE) {
            let clip = |n: usize| u32::try_from(n + 1).unwrap_or(u32::MAX);
            let at = At { line: clip(i), column: clip(column) };
            return Err(
                Broken::new(at, "a character for private use (U+E000 or U+E001)", "another one").into()
            );
        }
    }
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, after) = rest.split_at(start);
        masked.push_str(before);
        let inside = &after[2..];
        match inside.find('}').filter(|end| is_name(&inside[..*end])) {
            Some(end) => {
                masked.extend(['$', OPEN]);
                masked.push_str(&inside[..end]);
                masked.push(CLOSE);
                rest = &inside[end + 1..];
            }
            None => {
                masked.push_str("${");
                rest = inside;
            }
        }
    }
    masked.push_str(rest);
    Ok(masked)
}

/// The text as it was before [`mask`].
pub(super) fn unmask(masked: &str) -> String {
    masked.replace(OPEN, "{").replace(CLOSE, "}")
}

/// `masked` with variables put in, and whether there was one.
pub(super) fn substitute(
    masked: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<(String, bool), Missing> {
    let mut out = String::with_capacity(masked.len());
    let mut any = false;
    let mut rest = masked;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&unmask(&rest[..dollar]));
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) =
            rest.strip_prefix(OPEN).and_then(|inside| inside.split_once(CLOSE))
        {
            let value = variable(name).ok_or_else(|| Missing {
                found: format!("${{{name}}}, which is not set"),
                expected: format!("an environment variable {name}"),
            })?;
            out.push_str(&value);
            any = true;
            rest = after;
        } else if rest.starts_with('{') {
            return Err(Missing {
                found: "`${` that is not a variable".to_owned(),
                expected: "${NAME} with letters, digits and _, or $$ for a dollar sign".to_owned(),
            });
        } else {
            out.push('$');
        }
    }
    out.push_str(&unmask(rest));
    Ok((out, any))
}

/// [`substitute`] for a URL: what a variable puts into the login, between `//` and the last `@` before the path, is
/// percent-encoded; `${USER}:${PASSWORD}` are a name and a password, a lone `${LOGIN}` may be both with their colon.
pub(super) fn substitute_in_url(
    masked: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<(String, bool), Missing> {
    let (before, login, after) = around_login(masked);
    let reserved = if login.contains(':') { HALF_A_LOGIN } else { LOGIN };
    let encoded = |name: &str| {
        let value = variable(name)?;
        // The line end that `echo` and editors leave behind a secret was never part of it.
        Some(utf8_percent_encode(value.trim_end_matches(['\r', '\n']), reserved).to_string())
    };
    let (mut url, mut any) = substitute(before, variable)?;
    for (part, put_in) in [(login, &encoded as &dyn Fn(&str) -> Option<String>), (after, variable)] {
        let (text, here) = substitute(part, put_in)?;
        url.push_str(&text);
        any |= here;
    }
    Ok((url, any))
}

/// A URL as written, cut before and behind its login; the login is empty if it has none.
fn around_login(url: &str) -> (&str, &str, &str) {
    let start = url.find("://").map_or(url.len(), |scheme| scheme + "://".len());
    let (before, rest) = url.split_at(start);
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let (login, after) = rest.split_at(authority.rfind('@').unwrap_or(0));
    (before, login, after)
}

fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn check(text: &str, expected: &str) {
        let home = |name: &str| (name == "HOME_1").then(|| "$x{y}".to_owned());
        let got = match substitute(&mask(text).unwrap(), &home) {
            Ok((text, _)) => text,
            Err(missing) => missing.found,
        };
        assert_eq!(got, expected, "{text}");
    }

    fn check_url(url: &str, expected: &str) {
        let variable = |name: &str| match name {
            "USER" => Some("a:b".to_owned()),
            "LOGIN" => Some("user:p@ss:1".to_owned()),
            "PASSWORD" => Some("p@ss/w#rd?\u{fc} %41-._~\n".to_owned()),
            "URL" => Some("rtsp://u:p%40@host/a?b=c".to_owned()),
            "HOST" => Some("[::1]:554".to_owned()),
            _ => None,
        };
        let got = match substitute_in_url(&mask(url).unwrap(), &variable) {
            Ok((text, _)) => text,
            Err(missing) => missing.found,
        };
        assert_eq!(got, expected, "{url}");
    }

    #[test]
    fn variables_in_a_login_are_encoded_and_stay_as_they_are_around_it() {
        const PASSWORD: &str = "p%40ss%2Fw%23rd%3F%C3%BC%20%2541-._~";
        check_url("rtsp://user:${PASSWORD}@host/", &format!("rtsp://user:{PASSWORD}@host/"));
        check_url("rtsp://user:x@$$${PASSWORD}%41@host/", &format!("rtsp://user:x@${PASSWORD}%41@host/"));
        check_url("rtsp://${USER}:${PASSWORD}@${HOST}", &format!("rtsp://a%3Ab:{PASSWORD}@[::1]:554"));
        check_url("rtsp://${LOGIN}@${HOST}/${USER}@", "rtsp://user:p%40ss:1@[::1]:554/a:b@");
        check_url("rtsp://host/?user=u&password=${LOGIN}@1", "rtsp://host/?user=u&password=user:p@ss:1@1");
        check_url("${URL}", "rtsp://u:p%40@host/a?b=c");
        check_url("rtsp://u:${NOT_SET}@host/", "${NOT_SET}, which is not set");
    }

    #[test]
    fn variables_are_put_in_once_and_dollars_can_be_escaped() {
        check("plain", "plain");
        check("a${HOME_1}b${HOME_1}", "a$x{y}b$x{y}");
        check("$${HOME_1}", "${HOME_1}");
        check("5$ and $$6", "5$ and $6");
        check("${NOT_SET}", "${NOT_SET}, which is not set");
        check("${not a name}", "`${` that is not a variable");
        check("${open", "`${` that is not a variable");
        check("ends with $", "ends with $");
    }
}
