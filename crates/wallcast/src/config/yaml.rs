//! The file as written: YAML text to a tree whose every node knows its line and column.
//!
//! YAML 1.2 by `serde-saphyr`, with limits on size, depth and aliases. Nothing here knows what the keys mean; that is
//! [`super::fields`] and the modules above it.

use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Location, Spanned};

use super::env;
use super::problem::Problem;
use super::syntax::{self, Broken};

/// A configuration is refused beyond this size, in bytes.
pub(super) const MAX_BYTES: usize = 1 << 20;

/// A place in the file, both from 1; both 0 for what is not in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct At {
    pub(super) line: u32,
    pub(super) column: u32,
}

pub(super) struct Node {
    pub(super) at: At,
    pub(super) value: Value,
}

pub(super) enum Value {
    /// The key is there, its value is not.
    Nothing,
    /// Text, number or truth value, as it is spelled in the file (`${NAME}` included).
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key and its value. A key that stands twice in a mapping is here twice.
pub(super) struct Entry {
    pub(super) at: At,
    pub(super) key: String,
    /// It stands on a line of its own as `key:`, so that it is meant as a key. Inside `{ }` it may be half a value:
    /// `{ token: abc,def }` has the key `def`.
    pub(super) in_block: bool,
    pub(super) value: Node,
}

/// Reads `text` as one YAML document.
///
/// # Errors
/// The one place where it stops being YAML.
pub(super) fn parse(text: &str) -> Result<Node, Problem> {
    if text.len() > MAX_BYTES {
        return Err(Broken::new(At::default(), format!("{} bytes", text.len()), "at most 1 MiB").into());
    }
    // Places are counted behind the mark that some editors put first.
    let masked = env::mask(text.strip_prefix('\u{feff}').unwrap_or(text))?;
    // `LastWins` streams every pair to the visitor, the same key twice included. It would collapse keys that are
    // whole numbers, though, and those are good camera names: the strict second reading tells when that happened.
    let spanned: Spanned<Loose> = read(&masked, DuplicateKeyPolicy::LastWins)?;
    let root = spanned.into_node(&masked, false);
    match read::<serde::de::IgnoredAny>(&masked, DuplicateKeyPolicy::Error) {
        Err(broken) if broken.is_duplicate_key && !root.has_duplicate_key() => Err(broken.into()),
        _ => Ok(root),
    }
}

fn read<T: serde::de::DeserializeOwned>(text: &str, duplicates: DuplicateKeyPolicy) -> Result<T, Broken> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 100_000,
            max_nodes: 50_000,
            max_depth: 16,
            max_aliases: 100,
            max_anchors: 100,
            max_documents: 2,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 10_000, max_replay_stack_depth: 8 },
        emit_comments: false,
        duplicate_keys: duplicates,
        merge_keys: MergeKeyPolicy::Merge,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        strict_booleans: true,
        // A snippet could show a line with a password.
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| syntax::explain(&error))
}

impl Entry {
    /// A key without a value that may be half a value itself, and is not to be shown.
    pub(super) fn is_torn(&self) -> bool {
        !self.in_block && matches!(self.value.value, Value::Nothing)
    }
}

impl Node {
    fn has_duplicate_key(&self) -> bool {
        match &self.value {
            Value::Nothing | Value::Scalar(_) => false,
            Value::List(items) => items.iter().any(Node::has_duplicate_key),
            Value::Map(entries) => entries.iter().enumerate().any(|(i, entry)| {
                entry.value.has_duplicate_key() || entries[..i].iter().any(|earlier| earlier.key == entry.key)
            }),
        }
    }
}

impl From<Location> for At {
    fn from(location: Location) -> Self {
        let clip = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        At { line: clip(location.line()), column: clip(location.column()) }
    }
}

/// What the deserialiser hands over: numbers and truth values have lost their spelling.
enum Loose {
    Nothing,
    Text(String),
    Inferred(String),
    List(Vec<Spanned<Loose>>),
    Map(Vec<(Spanned<String>, Spanned<Loose>)>),
}

trait IntoNode {
    /// `in_flow`: inside `{ }` or `[ ]`.
    fn into_node(self, text: &str, in_flow: bool) -> Node;
}

impl IntoNode for Spanned<Loose> {
    fn into_node(self, text: &str, in_flow: bool) -> Node {
        let in_flow = in_flow || from(self.defined, text).is_none_or(|text| text.starts_with(['{', '[']));
        let value = match self.value {
            Loose::Nothing => Value::Nothing,
            Loose::Text(text) => Value::Scalar(text),
            // `token: 0042` is meant as it is spelled.
            Loose::Inferred(number) => Value::Scalar(spelling(self.defined, text).unwrap_or(number)),
            Loose::List(items) => {
                Value::List(items.into_iter().map(|item| item.into_node(text, in_flow)).collect())
            }
            Loose::Map(pairs) => Value::Map(
                pairs
                    .into_iter()
                    .map(|(key, value)| Entry {
                        at: key.referenced.into(),
                        // `<<` brings keys from elsewhere, but a torn one is followed by `,` or `}`.
                        in_block: !in_flow
                            && after(key.defined, text).is_some_and(|text| text.starts_with(':')),
                        key: env::unmask(&key.value),
                        value: value.into_node(text, in_flow),
                    })
                    .collect(),
            ),
        };
        Node { at: self.referenced.into(), value }
    }
}

fn spelling(location: Location, text: &str) -> Option<String> {
    let length = usize::try_from(location.span().byte_len()?).ok()?;
    let spelled = from(location, text)?.get(..length)?.trim();
    (!spelled.is_empty()).then(|| spelled.to_owned())
}

/// `text` from where the value begins.
fn from(location: Location, text: &str) -> Option<&str> {
    text.get(usize::try_from(location.span().byte_offset()?).ok()?..)
}

/// `text` behind the value.
fn after(location: Location, text: &str) -> Option<&str> {
    let length = usize::try_from(location.span().byte_len()?).ok()?;
    from(location, text)?.get(length..).map(str::trim_start)
}

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LooseVisitor)
    }
}

struct LooseVisitor;

impl<'de> Visitor<'de> for LooseVisitor {
    type Value = Loose;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }
    fn visit_unit<E>(self) -> Result<Loose, E> {
        Ok(Loose::Nothing)
    }
    fn visit_none<E>(self) -> Result<Loose, E> {
        Ok(Loose::Nothing)
    }
    fn visit_bool<E>(self, v: bool) -> Result<Loose, E> {
        Ok(Loose::Inferred(v.to_string()))
    }
    fn visit_i64<E>(self, v: i64) -> Result<Loose, E> {
        Ok(Loose::Inferred(v.to_string()))
    }
    fn visit_u64<E>(self, v: u64) -> Result<Loose, E> {
        Ok(Loose::Inferred(v.to_string()))
    }
    fn visit_i128<E>(self, v: i128) -> Result<Loose, E> {
        Ok(Loose::Inferred(v.to_string()))
    }
    fn visit_u128<E>(self, v: u128) -> Result<Loose, E> {
        Ok(Loose::Inferred(v.to_string()))
    }
    fn visit_f64<E>(self, v: f64) -> Result<Loose, E> {
        Ok(Loose::Inferred(v.to_string()))
    }
    fn visit_str<E>(self, v: &str) -> Result<Loose, E> {
        Ok(Loose::Text(v.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Loose, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Loose::List(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Loose, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = access.next_entry()? {
            pairs.push(pair);
        }
        Ok(Loose::Map(pairs))
    }
}
