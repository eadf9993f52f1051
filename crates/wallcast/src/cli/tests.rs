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
fn run_without_anything_to_run_says_what_is_missing() {
    let text = refused("run");
    assert!(
        text.contains("<URL|--config <FILE>>") || (text.contains("URL") && text.contains("Usage")),
        "{text}"
    );
}

#[test]
fn urls_and_a_file_exclude_each_other() {
    assert!(refused("run --config wall.yaml rtsp://a/").contains("cannot be used with"));
    assert!(refused("run --config wall.yaml --transport udp").contains("cannot be used with"));
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
