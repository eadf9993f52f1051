//! A network that is slow: TCP through here, every byte from the server so much later than it was sent.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

/// Listens until the test's process ends; what it relays ends with its two connections.
pub struct Relay {
    address: SocketAddr,
}

impl Relay {
    /// To the server of this `rtsp://host:port/…`.
    pub fn start(url: &str, delay: Duration) -> Self {
        let server = url.trim_start_matches("rtsp://").split('/').next().unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(&server) else { continue };
                let (from_client, from_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                thread::spawn(move || pass_on(from_client, server, Duration::ZERO));
                thread::spawn(move || pass_on(from_server, client, delay));
            }
        });
        Self { address }
    }

    /// The same path through the relay.
    pub fn url(&self, url: &str) -> String {
        let path = url.trim_start_matches("rtsp://").split_once('/').unwrap().1;
        format!("rtsp://{}/{path}", self.address)
    }
}

/// Never holds up the sender for what the delay holds back: up to 20,000 reads.
fn pass_on(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let (held, due) = sync_channel::<(Instant, Vec<u8>)>(20_000);
    let _ = to.set_nodelay(true);
    let writer = thread::spawn(move || {
        for (at, bytes) in due {
            thread::sleep(at.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if held.send((Instant::now() + delay, buffer[..read].to_vec())).is_err() {
            break;
        }
    }
    drop(held);
    let _ = writer.join();
    let _ = from.shutdown(Shutdown::Both);
}
