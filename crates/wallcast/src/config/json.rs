//! The body of an API request to the same tree that a file is read into, so that both pass the same readers.
//!
//! No variable is put into what comes over the network: a dollar sign is a dollar sign.

use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, SeqAccess, Visitor};

use super::yaml::{At, Entry, Node, Value};

/// Reads `text` as one JSON value. A key that stands twice is in the tree twice.
///
/// # Errors
/// Where it stops being JSON: line and column.
pub(super) fn parse(text: &str) -> Result<Node, (usize, usize)> {
    let json: Json = serde_json::from_str(text).map_err(|error| (error.line(), error.column()))?;
    Ok(json.0)
}

struct Json(Node);

fn node(value: Value) -> Json {
    Json(Node { at: At::default(), value })
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }
    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(node(Value::Nothing))
    }
    fn visit_bool<E>(self, v: bool) -> Result<Json, E> {
        Ok(node(Value::Scalar(v.to_string())))
    }
    fn visit_i64<E>(self, v: i64) -> Result<Json, E> {
        Ok(node(Value::Scalar(v.to_string())))
    }
    fn visit_u64<E>(self, v: u64) -> Result<Json, E> {
        Ok(node(Value::Scalar(v.to_string())))
    }
    fn visit_f64<E>(self, v: f64) -> Result<Json, E> {
        // 1.0 is a fraction, 1 is not.
        Ok(node(Value::Scalar(format!("{v:?}"))))
    }
    fn visit_str<E>(self, v: &str) -> Result<Json, E> {
        Ok(node(Value::Scalar(v.replace('$', "$$"))))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(Json(item)) = access.next_element()? {
            items.push(item);
        }
        Ok(node(Value::List(items)))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, Json(value))) = access.next_entry::<String, Json>()? {
            entries.push(Entry { at: At::default(), key, in_block: true, value });
        }
        Ok(node(Value::Map(entries)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_none_and_trees_without_bottom_are_not_json() {
        for broken in ["NaN", "1e999", "{", "[1,]", "{\"a\":1}{}", "", "'a'", "layout: grid"] {
            assert!(parse(broken).is_err(), "{broken}");
        }
        assert!(parse(&"[".repeat(20_000)).is_err());
        assert!(parse(&format!("{}{}", "[".repeat(20_000), "]".repeat(20_000))).is_err());
    }

    #[test]
    fn a_dollar_sign_is_a_dollar_sign() {
        let variable = |_: &str| -> Option<String> { panic!("the environment was asked") };
        for text in ["${HOME}", "$HOME", "$$", "a$", "${"] {
            let node = parse(&serde_json::json!(text).to_string()).expect("JSON");
            let Value::Scalar(written) = node.value else { panic!("a text") };
            let read = super::super::env::substitute(&written, &variable).ok();
            assert_eq!(read, Some((text.to_owned(), false)));
        }
    }
}
