//! A device on a TCP port that misbehaves by script and remembers what it was asked.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What it answers.
#[derive(Clone, Copy)]
pub enum Answers {
    /// Every DESCRIBE is refused with a Digest challenge, whatever login it carries.
    Unauthorized,
    /// Something that is not RTSP, as soon as somebody connects.
    Ssh,
    /// Connections are taken and nothing is ever answered.
    Nothing,
}

/// The device. Its threads end with the test's process.
pub struct Stub {
    /// `127.0.0.1:PORT`.
    pub address: String,
    requests: Arc<Mutex<Vec<String>>>,
    connections: Arc<Mutex<usize>>,
}

impl Stub {
    pub fn start(answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(Mutex::new(0));
        let (log, count) = (Arc::clone(&requests), Arc::clone(&connections));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                *count.lock().unwrap() += 1;
                let log = Arc::clone(&log);
                thread::spawn(move || serve(stream, answers, &log));
            }
        });
        Self { address, requests, connections }
    }

    /// Every request as it came, headers and all.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// How many connections were opened to it.
    pub fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}

fn serve(mut stream: TcpStream, answers: Answers, log: &Mutex<Vec<String>>) {
    if matches!(answers, Answers::Ssh) {
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n");
    }
    let _ = stream.set_read_timeout(Some(Duration::from_secs(120)));
    let mut received = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut chunk) {
        received.extend_from_slice(&chunk[..length]);
        while let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            let request = String::from_utf8_lossy(&received[..end]).into_owned();
            received.drain(..end + 4);
            let answer = matches!(answers, Answers::Unauthorized).then(|| refuse(&request));
            log.lock().unwrap().push(request);
            if let Some(answer) = answer
                && stream.write_all(answer.as_bytes()).is_err()
            {
                return;
            }
        }
    }
}

fn refuse(request: &str) -> String {
    let sequence = request
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("cseq:").map(|value| value.trim().to_owned()))
        .unwrap_or_default();
    if request.starts_with("OPTIONS") {
        return format!(
            "RTSP/1.0 200 OK\r\nCSeq: {sequence}\r\nPublic: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n\r\n"
        );
    }
    format!(
        "RTSP/1.0 401 Unauthorized\r\nCSeq: {sequence}\r\n\
         WWW-Authenticate: Digest realm=\"camera\", nonce=\"52a1e2b0c3\", algorithm=MD5\r\n\r\n"
    )
}
