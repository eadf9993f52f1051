#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
use clap::CommandFactory;

fn run(line: &str) -> Result<Cli, Usage> {
    Cli::read(std::iter::once("wallcast").chain(line.split_whitespace()))
}

#[track_caller]
fn refused(line: &str) -> String {
    let usage = run(line).err().unwrap();
    assert_eq!(usage.exit_code, 2, "{line}");
    usage.text
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn urls_and_flags_are_read() {
    let cli =
        run("run --transport udp --listen 127.0.0.1:0 --rtsp-listen none --auth none rtsp://a/ rtsp://b/")
            .unwrap();
    let Command::Run(run) = cli.command else { panic!("run") };
    assert_eq!(run.urls, ["rtsp://a/", "rtsp://b/"]);
    assert_eq!(run.transport, TransportArg::Udp);
    let flags = run.listen.overrides();
    assert_eq!(flags.listen, "127.0.0.1:0".parse().ok());
    assert_eq!(flags.rtsp_listen, Some(None));
    assert_eq!(flags.webrtc_listen, None);
    assert!(flags.auth_none);
}

#[test]
fn layout_and_fit_of_urls_can_be_chosen_by_the_words_of_the_file() {
    let chosen = |flags: &str| {
        let Command::Run(run) = run(&format!("run {flags} rtsp://a/")).unwrap().command else {
            panic!("run")
        };
        (run.layout.to_string(), wallcast_compositor::Fit::from(run.fit).as_str())
    };
    assert_eq!(chosen(""), ("grid".to_owned(), "contain"));
    for layout in ["grid", "2x2", "4x3", "8x8", "columns", "1+5", "1+7", "2+8", "pip"] {
        for fit in ["contain", "cover", "stretch"] {
            assert_eq!(chosen(&format!("--layout {layout} --fit {fit}")), (layout.to_owned(), fit));
        }
    }
    assert!(refused("run --layout mosaic rtsp://a/").contains("grid, 2x2 to 8x8, columns"));
}

#[test]
fn run_without_anything_to_run_says_what_is_missing() {
    let text = refused("run");
    assert!(text.contains("were not provided:\n  <URL|--config <FILE>>"), "{text}");
    assert!(text.contains("Usage: wallcast run"), "{text}");
}

#[test]
fn urls_without_a_command_are_told_of_run() {
    assert!(refused("rtsp://192.168.8.101/live").contains("wallcast run URL"));
}

#[test]
fn urls_and_a_file_exclude_each_other() {
    assert!(refused("run --config wall.yaml rtsp://a/").contains("cannot be used with"));
    for flag in ["--transport udp", "--layout columns", "--fit cover"] {
        assert!(refused(&format!("run --config wall.yaml {flag}")).contains("cannot be used with"), "{flag}");
    }
}

#[test]
fn a_url_in_the_wrong_place_is_refused_without_being_repeated() {
    for line in [
        "rtsp://admin:geheim@cam/",
        "demo rtsp://admin:geheim@cam/",
        "check wall.yaml rtsp://admin:geheim@cam/",
        "run --listen rtsp://admin:geheim@cam/",
        "run --listen=rtsp://admin:geheim@cam/ rtsp://a/",
        "run --transport rtsp://admin:geheim@cam/",
        "run --transport=rtsp://admin:geheim@cam/",
        "run --config wall.yaml rtsp://admin:geheim@cam/",
        "run --rtsp://admin:geheim@cam/",
        "run --password=geheim@1 rtsp://a/",
    ] {
        let text = refused(line);
        assert!(!text.contains("geheim"), "{line}: {text}");
    }
}

#[test]
fn addresses_are_read_by_the_rules_of_the_file() {
    let text = refused("demo --listen 8081");
    assert!(text.contains("expected an IP address and a port, such as 127.0.0.1:8081"), "{text}");
    assert!(run("demo --listen localhost:9000").is_ok());
    assert!(refused("demo --rtsp-listen nowhere").contains("or none"));
}

#[test]
fn help_has_examples_and_goes_to_stdout() {
    for line in ["--help", "run --help"] {
        let usage = run(line).err().unwrap();
        assert_eq!(usage.exit_code, 0);
        assert!(
            usage.text.contains("Examples:") && usage.text.contains("wallcast run --config wall.yaml"),
            "{}",
            usage.text
        );
    }
}
