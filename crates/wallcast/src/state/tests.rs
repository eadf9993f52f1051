#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::config::{self, Config};
use std::fs;

const CAMERAS: &str = "cameras: { a: rtsp://a/, b: rtsp://b/ }\n";

fn config(wall: &str) -> Config {
    let text = format!("{CAMERAS}walls: {{ wall: {{ {wall} }} }}");
    config::parse("test", &text, &config::Overrides::default()).unwrap()
}

/// A directory of this test's own, empty.
fn directory(test: &str) -> PathBuf {
    let directory = std::env::temp_dir().join(format!("wallcast-state-{test}-{}", std::process::id()));
    let _absent = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    directory
}

/// What a start finds for the one wall, as its written `layout`.
fn restored(path: &Path, config: &Config) -> Option<Value> {
    let (_file, mut restored) = StateFile::open(path, &config.walls, &config.cameras).unwrap();
    restored.remove("wall").map(|arrangement| arrangement.written()["layout"].clone())
}

fn save(path: &Path, config: &Config, layout: &str) -> Result<(), NotSaved> {
    let (file, _) = StateFile::open(path, &config.walls, &config.cameras).unwrap();
    let wall = &config.walls[0];
    let arrangement = LayoutRules::new(wall.size, &config.cameras).read(layout).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(file.state().save(wall, 2, Some(&arrangement)))
}

fn copies(directory: &Path) -> Vec<String> {
    let names =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains("left-out")).collect()
}

#[test]
fn what_was_saved_is_there_after_a_restart() {
    let directory = directory("restart");
    let (path, config) = (directory.join("state.json"), config("layout: grid"));
    assert_eq!(restored(&path, &config), None);
    save(&path, &config, r#"{ "layout": "pip", "tiles": ["b"] }"#).unwrap();
    assert_eq!(restored(&path, &config), Some("pip".into()));
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn an_edited_configuration_goes_before_what_was_saved_and_a_copy_is_kept() {
    let directory = directory("edited");
    let path = directory.join("state.json");
    save(&path, &config("layout: grid"), r#"{ "layout": "pip" }"#).unwrap();
    // Another rate of the picture is no other layout.
    assert_eq!(restored(&path, &config("layout: grid, fps: 10")), Some("pip".into()));
    assert_eq!(copies(&directory).len(), 0);
    assert_eq!(restored(&path, &config("layout: 2x2")), None);
    let copies = copies(&directory);
    assert!(fs::read_to_string(directory.join(&copies[0])).unwrap().contains("pip"), "{copies:?}");
    assert_eq!(restored(&path, &config("layout: grid")), None, "it was replaced");
}

#[test]
fn what_does_not_fit_any_more_is_left_out_and_a_copy_is_kept() {
    let directory = directory("unfit");
    let path = directory.join("state.json");
    let save =
        || save(&path, &config("layout: grid"), r#"{ "layout": "pip", "tiles": ["b", "a"] }"#).unwrap();
    save();
    assert_eq!(restored(&path, &config("layout: grid, size: 640x360")), None);
    assert_eq!(copies(&directory).len(), 1);
    save();
    let text = "cameras: { a: rtsp://a/ }\nwalls: { wall: { layout: grid } }";
    let without_b = config::parse("test", text, &config::Overrides::default()).unwrap();
    assert_eq!(restored(&path, &without_b), None);
    assert!(!copies(&directory).is_empty());
}

#[test]
fn a_damaged_file_is_left_out_kept_as_a_copy_and_replaced() {
    let directory = directory("damaged");
    let path = directory.join("state.json");
    let config = config("layout: grid");
    save(&path, &config, r#"{ "layout": "pip" }"#).unwrap();
    let good = fs::read(&path).unwrap();
    for damaged in
        [&good[..good.len() / 2], b"", b"\0\xff\xfe", b"[]", br#"{"wallcast_state": 9, "walls": {}}"#]
    {
        fs::write(&path, damaged).unwrap();
        assert_eq!(restored(&path, &config), None);
        let copies = copies(&directory);
        assert!(copies.iter().any(|copy| fs::read(directory.join(copy)).unwrap() == damaged), "{damaged:?}");
        copies.iter().for_each(|copy| fs::remove_file(directory.join(copy)).unwrap());
        save(&path, &config, r#"{ "layout": "pip" }"#).unwrap();
        assert_eq!(restored(&path, &config), Some("pip".into()));
    }
}

#[test]
fn a_file_that_cannot_be_written_is_said_and_the_old_one_stays() {
    let directory = directory("unwritable");
    let config = config("layout: grid");
    let error = save(&directory.join("no/state.json"), &config, r#"{ "layout": "pip" }"#).unwrap_err();
    assert_eq!(error, NotSaved("no such directory".to_owned()));
    // Where the new file would be written there is a directory.
    let path = directory.join("state.json");
    save(&path, &config, r#"{ "layout": "pip" }"#).unwrap();
    fs::create_dir(directory.join("state.json.new")).unwrap();
    let error = save(&path, &config, r#"{ "layout": "2x2" }"#).unwrap_err();
    assert_eq!(error, NotSaved("a directory in its place".to_owned()));
    assert_eq!(restored(&path, &config), Some("pip".into()));
}

#[test]
fn a_change_that_was_overtaken_does_not_replace_the_newer_one() {
    let path = directory("overtaken").join("state.json");
    let config = config("layout: grid");
    let wall = &config.walls[0];
    let rules = LayoutRules::new(wall.size, &config.cameras);
    let (file, _) = StateFile::open(&path, &config.walls, &config.cameras).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let newer = rules.read(r#"{ "layout": "pip" }"#).unwrap();
        file.state().save(wall, 3, Some(&newer)).await.unwrap();
        let older = rules.read(r#"{ "layout": "2x2" }"#).unwrap();
        file.state().save(wall, 2, Some(&older)).await.unwrap();
    });
    drop(file);
    assert_eq!(restored(&path, &config), Some("pip".into()));
}
