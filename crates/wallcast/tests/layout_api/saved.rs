//! The state file: what is there after a restart, and what is said when it cannot be saved.

use super::*;

#[test]
fn a_layout_is_there_after_a_restart_until_the_configuration_is_edited() {
    let test = "layout_restart";
    let (mut wallcast, state) = start(test, "");
    let yaml = fs::read_to_string(state.with_file_name("wall.yaml")).unwrap_or_default();
    let yaml = if yaml.is_empty() {
        format!("listen: 127.0.0.1:0\nstate: state.json\n{CAMERAS}{WALLS}")
    } else {
        yaml
    };
    let changed = put(&wallcast, &json!({ "layout": "pip", "tiles": ["gate", "left"] }));
    assert_eq!((changed.status, body(&changed)["warning"].is_null()), (200, true), "{changed:?}");
    send(&wallcast, "POST", &format!("{PROMOTE}?camera=left&for=60s"), &[], "");
    let answered = wallcast.get(LAYOUT);
    wallcast.interrupt();
    assert!(wallcast.end(Duration::from_secs(6)).is_some_and(|status| status.success()));

    let wallcast = again(test, &yaml);
    assert_eq!(body(&wallcast.get(LAYOUT)), body(&answered));
    assert_eq!(on_wall(&wallcast), "gate left", "promotions are not saved");
    drop(wallcast);

    // Killed at once, it is there all the same; and so it goes with a file that something has damaged.
    fs::write(&state, &fs::read(&state).unwrap()[..100]).unwrap();
    let wallcast = again(test, &yaml);
    assert_eq!(get(&wallcast, LAYOUT)["layout"], "columns");
    assert!(wallcast.output().contains("the state file is left out"), "{}", wallcast.output());
    put(&wallcast, &json!({ "layout": "pip", "tiles": ["gate", "left"] }));
    drop(wallcast);

    let wallcast = again(test, &yaml.replace("layout: columns", "layout: 1+5"));
    assert_eq!(get(&wallcast, LAYOUT)["layout"], "1+5", "an edited configuration goes before what was saved");
    assert!(wallcast.output().contains("was edited"), "{}", wallcast.output());
    // And DELETE is the way back to the configuration while running.
    put(&wallcast, &json!({ "layout": "pip", "tiles": ["gate", "left"] }));
    let reply = send(&wallcast, "DELETE", LAYOUT, &[], "");
    assert_eq!((reply.status, body(&reply)["layout"].as_str()), (200, Some("1+5")));
    assert!(!fs::read_to_string(&state).unwrap().contains("pip"));
}

#[test]
fn a_layout_that_cannot_be_saved_is_shown_and_said() {
    let test = "layout_unsaved";
    let folder = config_file(test, "").with_file_name("state");
    let _absent = fs::remove_dir_all(&folder);
    let yaml = format!("listen: 127.0.0.1:0\nstate: state/state.json\n{CAMERAS}{WALLS}");
    let wallcast = again(test, &yaml);
    let reply = put(&wallcast, &json!({ "layout": "pip", "tiles": ["gate", "left"] }));
    assert_eq!(reply.status, 200, "{reply:?}");
    let warning = body(&reply)["warning"].as_str().unwrap().to_owned();
    assert!(warning.contains("no such directory") && !warning.contains("state.json"), "{warning}");
    assert_eq!(on_wall(&wallcast), "gate left");
    assert_eq!(
        send(&wallcast, "PUT", LAYOUT, &[JSON], &reply.body).status,
        200,
        "a warning is no part of a layout"
    );
    let told = wallcast.output().matches("layouts cannot be saved").count();
    assert_eq!(told, 1, "{}", wallcast.output());
    fs::create_dir(&folder).unwrap();
    let reply = put(&wallcast, &json!({ "layout": "grid" }));
    assert!(body(&reply)["warning"].is_null(), "{reply:?}");
}

#[test]
fn of_two_that_share_a_state_file_the_second_says_that_it_does_not_save() {
    let test = "layout_shared_state";
    let (first, state) = start(test, "");
    let yaml = format!("listen: 127.0.0.1:0\nstate: state.json\n{CAMERAS}{WALLS}");
    let second = again(test, &yaml);
    assert!(second.output().contains("another Wallcast saves"), "{}", second.output());
    let reply = put(&second, &json!({ "layout": "pip", "tiles": ["gate", "left"] }));
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(body(&reply)["warning"].as_str().unwrap().contains("another Wallcast"), "{reply:?}");
    assert_eq!(on_wall(&second), "gate left");
    assert!(!state.exists());
    let reply = put(&first, &json!({ "layout": "2x3" }));
    assert_eq!((reply.status, body(&reply)["warning"].is_null()), (200, true), "{reply:?}");
    assert!(fs::read_to_string(&state).unwrap().contains("2x3"));
}
