//! The relay as the process that tests start: real sockets, commands on its standard input.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{BufRead, BufReader, Lines, Write};
use std::net::UdpSocket;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

struct Relay {
    process: Child,
    commands: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Relay {
    fn start() -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_udp_relay"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let commands = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, commands, answers }
    }

    fn ask(&mut self, command: &Value) -> Value {
        writeln!(self.commands.as_mut().unwrap(), "{command}").unwrap();
        serde_json::from_str(&self.answers.next().unwrap().unwrap()).unwrap()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.commands = None;
        assert!(self.process.wait().unwrap().success() || thread::panicking());
    }
}

/// Sends everything back to where it came from, until the test's process ends.
fn echo() -> String {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((size, from)) = server.recv_from(&mut buffer) {
            server.send_to(&buffer[..size], from).unwrap();
        }
    });
    address
}

fn client(server: &Value) -> UdpSocket {
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(server.as_str().unwrap()).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    client
}

#[test]
fn each_client_has_its_own_answers_after_both_delays_and_every_datagram_is_accounted_for() {
    let mut relay = Relay::start();
    let (down, up) = (json!({ "delay_ms": 30, "loss": 0.2 }), json!({ "delay_ms": 20 }));
    let door =
        relay.ask(&json!({ "open": "door", "to": echo(), "seed": 1, "down": down, "up": up }))["address"]
            .take();
    let (one, other) = (client(&door), client(&door));
    let begun = Instant::now();
    for number in 0..100_u8 {
        one.send(&[1, number]).unwrap();
        other.send(&[2, number]).unwrap();
    }
    let mut received = 0;
    let mut buffer = [0; 16];
    while received == 0 || relay.ask(&json!({ "tell": "door" }))["down"]["passed"] != received {
        for (client, mark) in [(&one, 1), (&other, 2)] {
            client.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            while let Ok(size) = client.recv(&mut buffer) {
                assert_eq!((size, buffer[0]), (2, mark));
                assert!(begun.elapsed() >= Duration::from_millis(50), "{:?}", begun.elapsed());
                received += 1;
            }
        }
    }
    let told = relay.ask(&json!({ "tell": "door" }));
    assert_eq!((&told["up"]["passed"], &told["down"]["offered"]), (&json!(200), &json!(200)));
    assert_eq!(told["down"]["lost"], 200 - received);
    assert!((15..70).contains(&(200 - received)), "a fifth is lost: {told}");
}

#[test]
fn a_door_can_be_cut_and_changed() {
    let mut relay = Relay::start();
    let door =
        relay.ask(&json!({ "open": "door", "to": echo(), "seed": 1, "down": {}, "up": {} }))["address"]
            .take();
    let client = client(&door);
    relay.ask(&json!({ "cut": "door", "ms": 300 }));
    let cut = Instant::now();
    let mut buffer = [0; 16];
    client.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    loop {
        client.send(&[0]).unwrap();
        if client.recv(&mut buffer).is_ok() {
            break;
        }
    }
    assert!(cut.elapsed() >= Duration::from_millis(290), "{:?}", cut.elapsed());

    relay.ask(&json!({ "change": "door", "down": { "delay_ms": 200 }, "up": {} }));
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let sent = Instant::now();
    client.send(&[1]).unwrap();
    while client.recv(&mut buffer).is_ok() && buffer[0] != 1 {}
    assert!(sent.elapsed() >= Duration::from_millis(200), "{:?}", sent.elapsed());
}
