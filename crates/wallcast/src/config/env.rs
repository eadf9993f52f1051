//! `${NAME}` in any value stands for the environment variable; `$$` stands for one dollar sign.
//!
//! The variable is put in after YAML was parsed, so that its value is never read as YAML, and never into anything that
//! messages show.

use super::problem::Problem;
use super::syntax::Broken;
use super::yaml::At;

/// Stand for `{` and `}` of a variable while YAML is parsed: unquoted `{ token: ${TOKEN} }` is not YAML, but everybody
/// writes it. One character each, so that lines and columns stay as they are.
const OPEN: char = '\u{E000}';
const CLOSE: char = '\u{E001}';

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
