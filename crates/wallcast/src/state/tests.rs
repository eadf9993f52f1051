#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::config::{self, Config};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

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
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 2, "nothing is left beside it but the lock");
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

#[test]
fn of_two_with_one_file_only_the_first_saves_as_long_as_it_is_there() {
    let path = directory("two").join("state.json");
    let config = config("layout: grid");
    let (first, _) = StateFile::open(&path, &config.walls, &config.cameras).unwrap();
    let error = save(&path, &config, r#"{ "layout": "pip" }"#).unwrap_err();
    assert_eq!(error, NotSaved("another Wallcast that saves to the same file".to_owned()));
    assert!(!path.exists());
    drop(first);
    save(&path, &config, r#"{ "layout": "pip" }"#).unwrap();
    assert_eq!(restored(&path, &config), Some("pip".into()));
}

#[test]
fn a_link_to_the_file_stays_a_link_and_two_links_are_one_file() {
    let directory = directory("link");
    fs::create_dir(directory.join("data")).unwrap();
    let (link, other) = (directory.join("state.json"), directory.join("other.json"));
    // At first there is nothing behind it.
    for name in [&link, &other] {
        std::os::unix::fs::symlink("data/real.json", name).unwrap();
    }
    let config = config("layout: grid");
    for layout in ["pip", "2x2"] {
        save(&link, &config, &format!(r#"{{ "layout": "{layout}" }}"#)).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(restored(&directory.join("data/real.json"), &config), Some(layout.into()));
    }
    let (_first, _) = StateFile::open(&link, &config.walls, &config.cameras).unwrap();
    assert!(save(&other, &config, r#"{ "layout": "pip" }"#).is_err());
}

#[test]
fn a_stale_file_or_a_link_where_the_new_one_goes_is_removed_and_not_written_through() {
    let directory = directory("planted");
    let (path, beside) = (directory.join("state.json"), directory.join("state.json.new"));
    let config = config("layout: grid");
    let victim = directory.join("victim");
    fs::write(&victim, "mine").unwrap();
    std::os::unix::fs::symlink(&victim, &beside).unwrap();
    save(&path, &config, r#"{ "layout": "pip" }"#).unwrap();
    assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
    assert!(!fs::symlink_metadata(&path).unwrap().is_symlink());
    fs::write(&beside, "half of one").unwrap();
    save(&path, &config, r#"{ "layout": "2x2" }"#).unwrap();
    assert_eq!(restored(&path, &config), Some("2x2".into()));
}

#[test]
fn a_new_file_is_its_owners_and_an_old_one_keeps_its_permissions() {
    let path = directory("mode").join("state.json");
    let config = config("layout: grid");
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    save(&path, &config, r#"{ "layout": "pip" }"#).unwrap();
    assert_eq!(mode(), 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o664)).unwrap();
    save(&path, &config, r#"{ "layout": "2x2" }"#).unwrap();
    assert_eq!(mode(), 0o664);
}

#[test]
fn what_is_no_file_is_left_as_it_is_and_nobody_waits_for_it() {
    let directory = directory("no-file");
    let config = config("layout: grid");
    let socket = directory.join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let pipe = directory.join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [&socket, &pipe, Path::new("/dev/null")] {
        let before = fs::metadata(path).unwrap().file_type();
        let error = save(path, &config, r#"{ "layout": "pip" }"#).unwrap_err();
        assert_eq!(error, NotSaved("something else than a file in its place".to_owned()));
        assert_eq!(fs::metadata(path).unwrap().file_type(), before, "{}", path.display());
    }
    assert_eq!(copies(&directory).len(), 0);
}

#[test]
fn a_file_far_too_large_is_kept_whole_without_taking_its_space_twice() {
    let directory = directory("large");
    let path = directory.join("state.json");
    let config = config("layout: grid");
    let file = fs::File::create(&path).unwrap();
    file.set_len(1 << 30).unwrap();
    save(&path, &config, r#"{ "layout": "pip" }"#).unwrap();
    assert_eq!(restored(&path, &config), Some("pip".into()));
    let copies = copies(&directory);
    let copy = fs::metadata(directory.join(&copies[0])).unwrap();
    assert_eq!((copies.len(), copy.ino()), (1, file.metadata().unwrap().ino()), "the same file");
}

#[test]
fn a_disk_that_hangs_holds_nobody_up_at_the_end() {
    let path = directory("hangs").join("state.json");
    let config = config("layout: grid");
    let (file, _) = StateFile::open(&path, &config.walls, &config.cameras).unwrap();
    let shared = Arc::clone(&file.state.0);
    // The writer cannot tell what it has written while somebody reads that.
    let outcome = shared.written.subscribe();
    let held = outcome.borrow();
    shared.slot.lock().revision += 1;
    shared.wake.notify_all();
    drop(file);
    assert_eq!(held.revision, 0, "it has not come back");
}
