//! What a file says about how a wall is arranged, as the API would have it said: the same keys, in JSON.

use serde_json::{Map, Value};

use super::fields::{Field, Fields, Findings};
use super::scalars;

/// Keys whose texts are names, even where they look like numbers.
const NAMES: [&str; 4] = ["tiles", "camera", "tour", "label"];

/// The keys of a wall but for `others`. To be asked only where all of them could be read: variables are put in.
pub(super) fn arrangement(
    fields: &Fields<'_>,
    others: &[&str],
    findings: &mut Findings<'_>,
) -> Map<String, Value> {
    let entries = fields.all().filter(|(key, _)| !others.contains(key));
    entries.map(|(key, field)| (key.to_owned(), value(key, &field, findings))).collect()
}

fn value(key: &str, field: &Field<'_>, findings: &mut Findings<'_>) -> Value {
    if let Some(entries) = field.entries() {
        let entry = |(key, field): (&str, Field<'_>)| (key.to_owned(), value(key, &field, findings));
        return Value::Object(entries.map(entry).collect());
    }
    if field.is_list() {
        let items = findings.list(field, "anything").unwrap_or_default();
        return items.iter().map(|item| value(key, item, findings)).collect();
    }
    if field.is_nothing() {
        return Value::Null;
    }
    let text = findings.text(field, "a value").map(|text| text.value).unwrap_or_default();
    if NAMES.contains(&key) { Value::String(text) } else { scalar(text) }
}

/// A number or a truth value only where its spelling is JSON's own, so that nothing changes on the way there and back.
fn scalar(text: String) -> Value {
    if let Some(truth) = scalars::yes_or_no(&text) {
        return Value::Bool(truth);
    }
    let number = serde_json::from_str::<serde_json::Number>(&text).ok();
    match number.filter(|number| number.to_string() == text) {
        Some(number) => Value::Number(number),
        None => Value::String(text),
    }
}
