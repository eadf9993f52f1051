#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

const OURS: Channels = Channels { rtp: 0, rtcp: 1 };

fn packet(channel: u8, mark: u8, length: usize) -> Vec<u8> {
    let mut packet = vec![b'$', channel, (length >> 8) as u8, length as u8, 0x80, 0x60];
    packet.resize(PACKET_HEAD + length, mark);
    packet
}

/// A connection that has been answered and set up.
fn wire() -> Wire {
    let mut wire = Wire::new();
    assert_eq!(read(&mut wire, b"RTSP/1.0 200 OK\r\n\r\n"), ["message"]);
    wire.set_channels(Some(OURS));
    wire
}

/// What comes of these bytes: `message`, or the channel and the mark of a packet.
#[track_caller]
fn read(wire: &mut Wire, bytes: &[u8]) -> Vec<String> {
    wire.buffer().extend_from_slice(bytes);
    let mut found = Vec::new();
    while let Some(item) = wire.poll(Instant::now()).unwrap() {
        found.push(match item {
            Item::Message(_) => "message".to_owned(),
            Item::Packet { channel } => format!("{channel}:{}", wire.packet().last().unwrap_or(&0)),
        });
    }
    found
}

#[track_caller]
fn check(stream: &[&[u8]], found: &[&str], junk: u64) {
    let stream = stream.concat();
    let mut at_once = wire();
    assert_eq!(read(&mut at_once, &stream), found);
    assert_eq!(at_once.take_junk(), junk);
}

#[test]
fn messages_and_packets_are_told_apart_at_any_cut() {
    let answer = b"RTSP/1.0 200 OK\r\nContent-Length: 4\r\n\r\n$RTS";
    let request = b"\r\nOPTIONS * RTSP/1.0\nCSeq: 1\n\n";
    let stream =
        [&packet(0, 1, 20)[..], answer, &packet(1, 200, 8), request, &packet(9, 3, 1400), &packet(0, 4, 12)]
            .concat();
    let expected = ["0:1", "message", "1:200", "message", "9:3", "0:4"];
    for size in [1, 2, 3, 7, 64, stream.len()] {
        let mut wire = wire();
        let found: Vec<String> = stream.chunks(size).flat_map(|chunk| read(&mut wire, chunk)).collect();
        assert_eq!((found.as_slice(), wire.take_junk()), (&expected.map(String::from)[..], 0), "{size}");
    }
}

#[test]
fn junk_between_packets_is_skipped_and_counted() {
    let (a, b) = (packet(0, 1, 200), packet(0, 2, 300));
    check(&[&a, b"\x00\x01junk", &b], &["0:1", "0:2"], 6);
    check(&[&a, b"a dollar $ and an R", &b, &a], &["0:1", "0:2", "0:1"], 19);
    check(&[&a, &[b'$', 0, 0xff, 0xff, 0x80, 0x60][1..], &b, &a], &["0:1", "0:2", "0:1"], 5);
    check(&[&a, b"xyz", b"RTSP/1.0 200 OK\r\n\r\n", &b], &["0:1", "message", "0:2"], 3);
}

#[test]
fn a_length_that_lies_keeps_nothing_waiting() {
    let (a, b) = (packet(0, 1, 200), packet(0, 2, 300));
    check(&[&a, b"$\x99\xff\xff", &b, &a], &["0:1", "0:2", "0:1"], 4);
    check(&[&a, b"$\x00\xff\xff\x80\x60", &b, &a], &["0:1", "0:2", "0:1"], 6);
    check(&[&a, b"$\x00\x00\x00", &b], &["0:1", "0:0", "0:2"], 0);
}

#[test]
fn a_packet_that_was_cut_off_costs_only_itself() {
    let (a, b, c) = (packet(0, 1, 500), packet(0, 2, 600), packet(1, 200, 28));
    check(&[&a[..100], &b, &c, &b, &b], &["0:2", "1:200", "0:2", "0:2"], 100);
}

#[test]
fn an_answer_that_was_cut_off_costs_only_itself() {
    let b = packet(0, 2, 600);
    check(&[b"RTSP/1.0 200 OK\r\nCSeq: 3\r\n", &b, &b], &["0:2", "0:2"], 26);
}

#[test]
fn an_answer_inside_a_packet_is_taken_out_and_the_packet_is_whole_again() {
    let (a, b) = (packet(0, 1, 500), packet(0, 2, 600));
    let answer = b"RTSP/1.0 200 OK\r\nCSeq: 3\r\nSession: 1\r\n\r\n";
    for at in [4, 20, 470, 490] {
        let stream = [&a[..at], answer, &a[at..], &b].concat();
        for size in [1, 50, stream.len()] {
            let mut wire = wire();
            wire.set_awaiting(Some(3));
            let found: Vec<String> = stream.chunks(size).flat_map(|chunk| read(&mut wire, chunk)).collect();
            assert_eq!(
                (found.as_slice(), wire.take_junk()),
                (&["message", "0:1", "0:2"].map(String::from)[..], 0)
            );
        }
    }
}

#[test]
fn a_packet_without_anything_behind_it_is_not_kept_waiting() {
    let mut wire = wire();
    assert_eq!(read(&mut wire, b"junk"), [""; 0]);
    assert_eq!(read(&mut wire, &packet(0, 1, 100)), ["0:1"]);
    assert_eq!(read(&mut wire, &packet(0, 2, 100)), ["0:2"]);
}

#[test]
fn what_was_never_rtsp_is_said_at_once() {
    for text in
        ["HTTP/1.1 400 Bad Request\r\n\r\n", "SSH-2.0-OpenSSH\r\n", "\x15\x03\x01", "RTSP/1.0 what\r\n\r\n"]
    {
        let mut wire = Wire::new();
        wire.buffer().extend_from_slice(text.as_bytes());
        assert_eq!(wire.poll(Instant::now()), Err(Broken::NotRtsp), "{text}");
    }
}

#[test]
fn junk_has_an_end() {
    let mut wire = wire();
    wire.buffer().extend_from_slice(&vec![0x80; MAX_JUNK + 1]);
    assert_eq!(wire.poll(Instant::now()), Err(Broken::Junk));

    let mut wire = self::wire();
    let start = Instant::now();
    for (ms, last) in [(0, false), (900, false), (1_100, true)] {
        wire.buffer().extend_from_slice(&[0x80, 0x60, 0xff, 0x01].repeat(16));
        let polled = wire.poll(start + Duration::from_millis(ms));
        assert_eq!(polled, if last { Err(Broken::Junk) } else { Ok(None) }, "{ms}");
    }
}

#[test]
fn a_little_junk_for_ever_is_borne() {
    let mut wire = wire();
    let mut now = Instant::now();
    for _ in 0..10_000 {
        wire.buffer().extend_from_slice(&[&[0; 100], &packet(0, 1, 100)[..]].concat());
        assert_eq!(wire.poll(now), Ok(Some(Item::Packet { channel: 0 })));
        assert_eq!(wire.poll(now), Ok(None));
        now += Duration::from_secs(1);
    }
    assert_eq!(wire.take_junk(), 1_000_000);
}

#[test]
fn messages_past_a_limit_are_refused_without_waiting_for_their_end() {
    for (text, times) in
        [("RTSP/1.0 200 OK\r\nContent-Length: 4294967296\r\n\r\n", 1), ("RTSP/1.0 200 OK\r\n", 1_000)]
    {
        let mut wire = Wire::new();
        wire.buffer().extend_from_slice(text.repeat(times).as_bytes());
        assert!(matches!(wire.poll(Instant::now()), Err(Broken::TooLarge(_))));
    }
}
