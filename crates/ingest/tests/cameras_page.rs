//! `docs/cameras.md` lists what cameras do wrong and the tests that hold us to what we promise: every test named there
//! exists, every test named after a row is there, and no row is missing.
#![allow(clippy::unwrap_used, unreachable_pub, reason = "tests")]

use std::collections::BTreeSet;
use std::path::Path;

/// One line of the table.
struct Line {
    /// `7`, `C9`
    rows: Vec<String>,
    tests: Vec<String>,
}

fn page() -> Vec<Line> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cameras.md");
    let text = std::fs::read_to_string(path).unwrap();
    let cells =
        |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let lines = text.lines().filter(|line| line.starts_with('|')).skip(2).map(cells);
    let named = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    lines
        .map(|cells| {
            assert_eq!(cells.len(), 4, "row, what happens, promise, tests: {cells:?}");
            Line { rows: cells[0].split(", ").map(str::to_owned).collect(), tests: named(&cells[3]) }
        })
        .collect()
}

/// The names of the functions that follow `#[test]` and the like, in this crate's sources and tests.
fn tests_of_this_crate() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut folders = vec![
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"),
    ];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                None if path.is_dir() => folders.push(path),
                Some("rs") => names.extend(tests_in(&std::fs::read_to_string(path).unwrap())),
                _ => {}
            }
        }
    }
    names
}

fn tests_in(source: &str) -> Vec<String> {
    let mut is_test = false;
    let mut names = Vec::new();
    for line in source.lines().map(str::trim) {
        if line.starts_with("#[test") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some(rest) = line.strip_prefix("async fn ").or(line.strip_prefix("fn ")) {
            if is_test {
                names.extend(rest.split('(').next().map(str::to_owned));
            }
            is_test = false;
        }
    }
    names
}

/// `row_07_…`, `chaos_07_…`, `c09_…`
fn is_named_after_a_row(test: &str) -> bool {
    let begins_with_number = |rest: &str| rest.bytes().take_while(u8::is_ascii_digit).count() == 2;
    ["row_", "chaos_", "c"].iter().any(|prefix| test.strip_prefix(prefix).is_some_and(begins_with_number))
}

#[test]
fn every_test_on_the_page_exists() {
    let known = tests_of_this_crate();
    assert!(known.contains("every_test_on_the_page_exists"), "tests are not found any more");
    for line in page() {
        assert!(!line.tests.is_empty(), "{:?} names no test", line.rows);
        for test in line.tests {
            assert!(known.contains(&test), "docs/cameras.md names a test that does not exist: {test}");
        }
    }
}

#[test]
fn every_test_named_after_a_row_is_on_the_page() {
    let listed: BTreeSet<String> = page().into_iter().flat_map(|line| line.tests).collect();
    for test in tests_of_this_crate().into_iter().filter(|test| is_named_after_a_row(test)) {
        assert!(listed.contains(&test), "docs/cameras.md does not know {test}");
    }
}

#[test]
fn no_row_is_missing() {
    let listed: BTreeSet<String> = page().into_iter().flat_map(|line| line.rows).collect();
    let chaos = (1..=18).chain([23, 24]).map(|row| row.to_string());
    let failures = (1..=26).chain([31]).map(|row| format!("C{row}"));
    for row in chaos.chain(failures) {
        assert!(listed.contains(&row), "docs/cameras.md has no row {row}");
    }
}
