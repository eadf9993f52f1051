//! Walking the tree of [`super::yaml`]: takes keys out of mappings and values out of nodes, and gathers what is wrong.
//!
//! Every reader answers `None` after it has put down a [`Problem`], so that callers go on to the next key.

use super::env::{self, Missing};
use super::problem::{Problem, Warning, nearest, one_of, shown};
use super::yaml::{At, Entry, Node, Value};

/// What is wrong and what is worth knowing so far, and the environment for `${NAME}`.
pub(super) struct Findings<'e> {
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Warning>,
    variable: &'e dyn Fn(&str) -> Option<String>,
}

/// A node and the path of keys that leads to it.
#[derive(Clone)]
pub(super) struct Field<'n> {
    pub(super) path: String,
    pub(super) at: At,
    node: Option<&'n Node>,
}

/// A mapping whose keys are known.
pub(super) struct Fields<'n> {
    path: String,
    entries: &'n [Entry],
}

/// One value of a file.
pub(super) struct Text {
    /// The value, variables put in. May be a secret.
    pub(super) value: String,
    /// How a message may show it.
    pub(super) shown: String,
}

impl<'n> Field<'n> {
    pub(super) fn root(node: &'n Node) -> Self {
        Field { path: String::new(), at: node.at, node: Some(node) }
    }

    /// A value that does not come from a file, but for example from a flag.
    pub(super) fn outside(path: &str) -> Self {
        Field { path: path.to_owned(), at: At::default(), node: None }
    }

    /// The same, but messages point at `at`: at the key instead of the value.
    pub(super) fn placed(&self, at: At) -> Self {
        Field { at, ..self.clone() }
    }

    /// It stands in the file, or is a flag: somebody chose it.
    pub(super) fn is_written(&self) -> bool {
        self.node.is_some() || self.is_flag()
    }

    pub(super) fn is_flag(&self) -> bool {
        self.node.is_none() && self.path.starts_with("--")
    }

    pub(super) fn is_nothing(&self) -> bool {
        matches!(self.value(), Value::Nothing)
    }

    fn value(&self) -> &'n Value {
        self.node.map_or(&Value::Nothing, |node| &node.value)
    }

    pub(super) fn is_text(&self) -> bool {
        matches!(self.value(), Value::Scalar(_))
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(self.value(), Value::List(_))
    }

    pub(super) fn is_mapping(&self) -> bool {
        matches!(self.value(), Value::Map(_))
    }

    /// A mapping without keys.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self.value(), Value::Map(entries) if entries.is_empty())
    }

    /// The keys and values of a mapping.
    pub(super) fn entries(&self) -> Option<impl Iterator<Item = (&'n str, Field<'n>)>> {
        let Value::Map(entries) = self.value() else { return None };
        Some(Fields { path: self.path.clone(), entries }.all())
    }

    /// The text is exactly `word`.
    pub(super) fn says(&self, word: &str) -> bool {
        matches!(self.value(), Value::Scalar(text) if text == word)
    }

    fn describe(&self) -> &'static str {
        match self.value() {
            Value::Nothing => "nothing",
            Value::Scalar(_) => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

impl<'n> Fields<'n> {
    /// No keys: every one has its default.
    pub(super) fn none(field: &Field<'n>) -> Self {
        Fields { path: field.path.clone(), entries: &[] }
    }

    /// Every key and its value.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'n str, Field<'n>)> + use<'n> {
        let path = self.path.clone();
        self.entries.iter().map(move |entry| {
            let field = Field { path: join(&path, &entry.key), at: entry.value.at, node: Some(&entry.value) };
            (entry.key.as_str(), field)
        })
    }

    /// The value of `key`; of a key that stands twice, the first.
    pub(super) fn get(&self, key: &str) -> Option<Field<'n>> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some(Field { path: join(&self.path, key), at: entry.value.at, node: Some(&entry.value) })
    }
}

impl<'e> Findings<'e> {
    pub(super) fn new(variable: &'e dyn Fn(&str) -> Option<String>) -> Self {
        Findings { problems: Vec::new(), warnings: Vec::new(), variable }
    }

    pub(super) fn problem(
        &mut self,
        field: &Field<'_>,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) {
        self.problem_at(field.at, field.path.clone(), found, expected);
    }

    /// What a constructor of another crate refused: its message says "found …, expected …", or only what is wrong.
    pub(super) fn refused(&mut self, field: &Field<'_>, error: &dyn std::fmt::Display, expected: &str) {
        let message = error.to_string();
        let (found, expected) = split(&message, expected);
        self.problem(field, found, expected);
    }

    /// The same for a value that was read from `text`: what the file has is shown as it is written there.
    pub(super) fn refused_text(&mut self, field: &Field<'_>, text: &Text, error: &dyn std::fmt::Display) {
        let message = error.to_string();
        self.problem(field, text.shown.clone(), split(&message, "another value").1);
    }

    fn problem_at(&mut self, at: At, path: String, found: impl Into<String>, expected: impl Into<String>) {
        let (found, expected) = (found.into(), expected.into());
        self.problems.push(Problem { line: at.line, column: at.column, path, found, expected });
    }

    pub(super) fn warning(&mut self, field: &Field<'_>, text: impl Into<String>) {
        let path = field.path.clone();
        self.warnings.push(Warning { line: field.at.line, column: field.at.column, path, text: text.into() });
    }

    /// A mapping with keys out of `known`.
    pub(super) fn mapping<'n>(&mut self, field: &Field<'n>, known: &[&str]) -> Option<Fields<'n>> {
        let Value::Map(entries) = field.value() else {
            self.problem(field, field.describe(), format!("a mapping with {}", one_of(known)));
            return None;
        };
        for (i, entry) in entries.iter().enumerate() {
            if known.contains(&entry.key.as_str()) {
                self.refuse_second(field, &entries[..i], entry);
            } else if entry.is_torn() {
                self.refuse_torn(field, entry);
            } else {
                self.refuse_unknown(field, entry, known);
                self.refuse_second(field, &entries[..i], entry);
            }
        }
        Some(Fields { path: field.path.clone(), entries })
    }

    fn refuse_unknown(&mut self, field: &Field<'_>, entry: &Entry, known: &[&str]) {
        let expected = match nearest(&entry.key, known) {
            Some(near) => format!("one of {}; did you mean {near}?", known.join(", ")),
            None => format!("one of {}", known.join(", ")),
        };
        let key = shown(&entry.key);
        self.problem_at(entry.at, join(&field.path, &key), format!("the unknown key {key}"), expected);
    }

    /// `{ token: abc,def }` makes a key of `def`, which is not shown therefore.
    fn refuse_torn(&mut self, field: &Field<'_>, entry: &Entry) {
        let expected = "`key: value` (inside `{ }`, a text with `,` needs quotes)";
        self.problem_at(entry.at, field.path.clone(), "a key without a value", expected);
    }

    /// A mapping from names that the author chose. The field of each has the place of its value; the second `At` is
    /// the name's own. A name that stands twice is reported here and comes once; one that is half a value is reported
    /// and does not come, unless `may_be_bare`.
    pub(super) fn named<'n>(
        &mut self,
        field: &Field<'n>,
        example: &str,
        may_be_bare: bool,
    ) -> Option<Vec<(&'n str, At, Field<'n>)>> {
        let Value::Map(entries) = field.value() else {
            self.problem(field, field.describe(), format!("a mapping from names, such as `{example}`"));
            return None;
        };
        let mut named: Vec<(&str, At, Field<'n>)> = Vec::with_capacity(entries.len());
        for (i, entry) in entries.iter().enumerate() {
            if entry.is_torn() && !may_be_bare {
                self.refuse_torn(field, entry);
            } else if !self.refuse_second(field, &entries[..i], entry) {
                let path = join(&field.path, &shown(&entry.key));
                named.push((
                    &entry.key,
                    entry.at,
                    Field { path, at: entry.value.at, node: Some(&entry.value) },
                ));
            }
        }
        Some(named)
    }

    fn refuse_second(&mut self, field: &Field<'_>, earlier: &[Entry], entry: &Entry) -> bool {
        let Some(first) = earlier.iter().find(|earlier| earlier.key == entry.key) else { return false };
        let key = shown(&entry.key);
        let found = match first.at.line {
            0 => format!("{key} a second time"),
            line => format!("{key} a second time (first on line {line})"),
        };
        self.problem_at(entry.at, join(&field.path, &key), found, "each key once");
        true
    }

    pub(super) fn list<'n>(&mut self, field: &Field<'n>, of: &str) -> Option<Vec<Field<'n>>> {
        let Value::List(items) = field.value() else {
            self.problem(field, field.describe(), format!("a list of {of}"));
            return None;
        };
        let item = |(i, node): (usize, &'n Node)| Field {
            path: format!("{}[{i}]", field.path),
            at: node.at,
            node: Some(node),
        };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// A single value, variables put in.
    pub(super) fn text(&mut self, field: &Field<'_>, expected: &str) -> Option<Text> {
        let written = self.written(field, expected)?;
        self.put_in(field, written, env::substitute(written, self.variable))
    }

    /// The same for a URL: variables in its login are percent-encoded.
    pub(super) fn url(&mut self, field: &Field<'_>, expected: &str) -> Option<Text> {
        let written = self.written(field, expected)?;
        self.put_in(field, written, env::substitute_in_url(written, self.variable))
    }

    fn written<'n>(&mut self, field: &Field<'n>, expected: &str) -> Option<&'n str> {
        let Value::Scalar(written) = field.value() else {
            self.problem(field, field.describe(), expected);
            return None;
        };
        Some(written)
    }

    fn put_in(
        &mut self,
        field: &Field<'_>,
        written: &str,
        substituted: Result<(String, bool), Missing>,
    ) -> Option<Text> {
        match substituted {
            // What a variable holds is not shown, its name is enough.
            Ok((value, true)) => {
                Some(Text { value, shown: format!("{} (its value is not shown)", shown_written(written)) })
            }
            Ok((value, false)) => Some(Text { shown: shown(&value), value }),
            Err(missing) => {
                self.problem(field, missing.found, missing.expected);
                None
            }
        }
    }

    /// A single value that `parse` understands.
    pub(super) fn parsed<T>(
        &mut self,
        field: &Field<'_>,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(field, expected)?;
        let parsed = parse(&text.value);
        if parsed.is_none() {
            self.problem(field, text.shown, expected);
        }
        parsed
    }
}

fn split<'m>(message: &'m str, or_expected: &'m str) -> (&'m str, &'m str) {
    let message = message.strip_prefix("found ").unwrap_or(message);
    message.split_once(", expected ").unwrap_or((message, or_expected))
}

/// `${NAME}` itself when the value is nothing else, so that a password next to it stays out of sight.
fn shown_written(written: &str) -> String {
    let plain = env::unmask(written);
    let inner = plain.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    match inner {
        Some(name) if !name.contains(['{', '}', '$']) => plain,
        _ => "a text with variables".to_owned(),
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
