//! The repository's own rules as tests: which crate may know which, and what no crate may be called.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

use std::path::{Path, PathBuf};

const LIBRARIES: [&str; 3] = ["ingest", "compositor", "webrtc"];
/// Only the binary knows these .
const OF_THE_BINARY: [&str; 6] = ["axum", "hyper", "serde-saphyr", "serde_json", "clap", "rtsp-types"];

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The keys below `[dependencies]`, `[dev-dependencies]` and `[build-dependencies]`.
fn dependencies(manifest: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(manifest).unwrap();
    let mut inside = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.starts_with('[') {
            inside = line.trim_matches(['[', ']']).ends_with("dependencies");
        } else if inside && let Some((key, _)) = line.split_once('=') {
            found.push(key.trim().trim_end_matches(".workspace").to_owned());
        }
    }
    assert!(!found.is_empty(), "{} names no dependencies: has its shape changed?", manifest.display());
    found
}

#[test]
fn the_libraries_do_not_know_each_other() {
    for library in LIBRARIES {
        for dependency in dependencies(&crates().join(library).join("Cargo.toml")) {
            assert!(
                !dependency.starts_with("wallcast"),
                "crates/{library} depends on {dependency}: a new edge is a design change"
            );
        }
    }
}

#[test]
fn only_the_binary_knows_http_yaml_json_and_the_command_line() {
    for library in LIBRARIES {
        for dependency in dependencies(&crates().join(library).join("Cargo.toml")) {
            assert!(
                !OF_THE_BINARY.contains(&dependency.as_str()),
                "crates/{library} depends on {dependency}"
            );
        }
    }
}

#[test]
fn the_compositor_has_no_network_and_no_async_runtime() {
    let found = dependencies(&crates().join("compositor/Cargo.toml"));
    for forbidden in ["tokio", "retina", "webrtc", "socket2", "url"] {
        assert!(
            !found.iter().any(|dependency| dependency == forbidden),
            "crates/compositor depends on {forbidden}"
        );
    }
}

#[test]
fn no_crate_and_no_module_is_a_drawer_for_everything() {
    fn visit(folder: &Path) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
            let is_test_support = path.components().any(|part| part.as_os_str() == "tests");
            assert!(
                is_test_support
                    || !["common", "core", "types", "utils", "util", "shared", "mod"]
                        .contains(&stem.as_str()),
                "{} says nothing about what is in it",
                path.display()
            );
            if path.is_dir() {
                visit(&path);
            }
        }
    }
    visit(&crates());
}

#[test]
fn unsafe_code_stands_only_in_the_named_modules() {
    /// The files that may allow it for a module of theirs; crates/README.md names them too.
    const NAMED: [&str; 5] = [
        "ingest/src/lib.rs",
        "compositor/src/scale.rs",
        "compositor/src/encoder/ffmpeg.rs",
        "compositor/src/encoder/openh264.rs",
        // A test, which has the kernel refuse segmentation.
        "webrtc/src/sockets.rs",
    ];
    fn visit(folder: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                if text.contains("allow(unsafe_code") || text.contains("expect(unsafe_code") {
                    found.push(path.strip_prefix(crates()).unwrap().to_string_lossy().into_owned());
                }
            }
        }
    }
    let mut found = Vec::new();
    for library in LIBRARIES.iter().chain(&["wallcast"]) {
        visit(&crates().join(library).join("src"), &mut found);
    }
    found.sort();
    let mut named = NAMED.map(str::to_owned).to_vec();
    named.sort();
    assert_eq!(found, named, "unsafe code is allowed elsewhere, or no longer where it was");
}

#[test]
fn links_between_the_documents_lead_somewhere() {
    let root = crates().parent().unwrap().to_owned();
    for document in ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "crates/README.md", "benches/README.md"]
    {
        let path = root.join(document);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{document}: {error}"));
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap();
            if file.is_empty() || link.contains("://") {
                continue;
            }
            assert!(
                path.parent().unwrap().join(file).exists(),
                "{document} links to {link}, which is not there"
            );
        }
    }
}
