//! What is wrong with a configuration, as data: where, what was found, what was expected.
//!
//! No secret gets in here. A problem shows text as it is written in the file (`${NAME}`, never the variable's
//! value), and only through [`shown`]; whatever may hold a password (source URLs, tokens) is described, not quoted.

use std::fmt;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Line in the file, from 1; 0 when the problem is not in a file.
    pub line: u32,
    /// Column in characters, from 1; 0 when the problem is not in a file.
    pub column: u32,
    /// The key it is about, as `walls.wall.tiles[2]`; empty for the file as a whole.
    pub path: String,
    /// What is there.
    pub found: String,
    /// What should be there.
    pub expected: String,
}

/// Every problem of one configuration, sorted by line. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    origin: String,
    list: Vec<Problem>,
}

/// Something that works but that its author should know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Warning {
    /// Line in the file, from 1; 0 when it is not about a file.
    pub line: u32,
    /// Column in characters, from 1; 0 when it is not about a file.
    pub column: u32,
    /// The key it is about.
    pub path: String,
    /// What to know.
    pub text: String,
}

impl Problems {
    pub(super) fn new(origin: &str, mut list: Vec<Problem>) -> Self {
        list.sort();
        list.dedup();
        Problems { origin: origin.to_owned(), list }
    }

    /// One problem that concerns the whole of `origin`.
    pub(super) fn whole(origin: &str, found: impl Into<String>, expected: impl Into<String>) -> Self {
        let problem = Problem {
            line: 0,
            column: 0,
            path: String::new(),
            found: found.into(),
            expected: expected.into(),
        };
        Problems { origin: origin.to_owned(), list: vec![problem] }
    }

    /// The problems, sorted by line and column.
    pub fn list(&self) -> &[Problem] {
        &self.list
    }

    /// Where the configuration came from: a file name, or "command line".
    pub fn origin(&self) -> &str {
        &self.origin
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "found {}, expected {}", self.found, self.expected)
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        write!(f, "{}: {}", self.path, self.text)
    }
}

/// `wall.yaml:12:9  walls.wall.size: found …, expected …`, a line each with the places aligned, and a last line
/// with their number.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |problem: &Problem| match problem.line {
            0 => self.origin.clone(),
            line => format!("{}:{}:{}", self.origin, line, problem.column),
        };
        let width = self.list.iter().map(|problem| place(problem).chars().count()).max().unwrap_or(0);
        for problem in &self.list {
            writeln!(f, "{:width$}  {problem}", place(problem))?;
        }
        match self.list.len() {
            1 => write!(f, "1 problem in {}", self.origin),
            n => write!(f, "{n} problems in {}", self.origin),
        }
    }
}

impl std::error::Error for Problems {}

/// `text` as a message may show it: quoted if it is empty or has spaces, shortened, and described instead when it
/// looks as if it could carry a secret (a URL, a login, two lines that ran together).
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 60;
    if !is_safe_to_show(text) {
        return "text that is not shown because it may carry a secret".to_owned();
    }
    if text.chars().count() > LONGEST {
        return format!("a text of {} characters", text.chars().count());
    }
    if text.is_empty() || text.contains(char::is_whitespace) { format!("`{text}`") } else { text.to_owned() }
}

/// Whether `text` looks as if it could not carry a secret: no URL, no login, no lines that ran together.
pub(crate) fn is_safe_to_show(text: &str) -> bool {
    !(text.contains("://")
        || text.contains(['@', '?', '=', ';', '"', '\'', '\\'])
        || text.contains(": ")
        || text.chars().any(char::is_control))
}

/// `"a, b or c"`.
pub(super) fn one_of(words: &[&str]) -> String {
    match words {
        [] => "nothing".to_owned(),
        [one] => (*one).to_owned(),
        [start @ .., last] => format!("{} or {last}", start.join(", ")),
    }
}

/// The word of `known` that `word` was probably meant to be.
pub(super) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let lower = word.to_lowercase();
    known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(&lower, &known.to_lowercase()), *known))
        .filter(|(distance, known)| *distance <= (known.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_slip_finds_its_word_and_a_foreign_word_finds_none() {
        assert_eq!(nearest("lsiten", &["listen", "cameras"]), Some("listen"));
        assert_eq!(nearest("Walls", &["walls", "webrtc"]), Some("walls"));
        assert_eq!(nearest("colour", &["listen", "cameras"]), None);
    }

    #[test]
    fn whatever_may_carry_a_secret_is_not_shown() {
        for risky in ["rtsp://u:geheim@h/", "u:geheim@h", "tcp token: geheim", "?token=geheim", "a\ngeheim"] {
            assert!(!shown(risky).contains("geheim"), "{risky}");
        }
        assert_eq!(shown("1921x1080"), "1921x1080");
        assert_eq!(shown(""), "``");
        assert_eq!(shown("two words"), "`two words`");
    }
}
