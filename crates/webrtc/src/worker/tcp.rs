//! Viewers whom UDP does not reach: ICE over TCP (RFC 6544), the viewer connects; frames of RFC 4571, each a datagram
//! with its length before it.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Instant;

use mio::net::TcpStream;

use super::MAX_DATAGRAM;
use crate::gate::Room;
use crate::path::{Path, Protocol};

/// What a viewer may leave unread: about half a second.
const MAX_BACKLOG: usize = 256 * 1024;
/// Of 8 KiB, read at a time: a viewer that floods us is not to keep the thread from the others.
const CHUNKS: usize = 4;

pub(super) struct Connection {
    stream: TcpStream,
    pub(super) path: Path,
    /// Whose it is, once the first check has told.
    pub(super) peer: Option<u64>,
    /// A check that came over it was the viewer's; the first one only says whose it claims to be.
    pub(super) is_authenticated: bool,
    pub(super) since: Instant,
    inbound: Vec<u8>,
    outbound: Vec<u8>,
}

/// The connection is of no use any more.
#[derive(Debug)]
pub(super) struct Broken;

impl Connection {
    pub(super) fn new(now: Instant, stream: std::net::TcpStream, remote: SocketAddr) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let stream = TcpStream::from_std(stream);
        // A frame's packets are written at once, and nothing follows for 40 ms.
        stream.set_nodelay(true)?;
        let path = Path { protocol: Protocol::Tcp, local: stream.local_addr()?, remote };
        let (peer, is_authenticated, inbound, outbound) = Default::default();
        Ok(Self { stream, path, peer, is_authenticated, since: now, inbound, outbound })
    }

    pub(super) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// What has come, as whole datagrams, and whether there may be more.
    pub(super) fn read(&mut self) -> Result<(Vec<Vec<u8>>, bool), Broken> {
        let (mut datagrams, mut chunk) = (Vec::new(), [0; 8192]);
        for _ in 0..CHUNKS {
            match self.stream.read(&mut chunk) {
                Ok(0) if datagrams.is_empty() => return Err(Broken),
                Ok(0) => return Ok((datagrams, true)),
                Ok(len) => self.inbound.extend_from_slice(&chunk[..len]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok((datagrams, false)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Broken),
            }
            take_frames(&mut self.inbound, &mut datagrams)?;
        }
        Ok((datagrams, true))
    }

    /// How much more may be written.
    pub(super) fn room(&self) -> Room {
        match self.outbound.len() {
            0 => Room::Drained,
            MAX_BACKLOG.. => Room::None,
            _ => Room::Some,
        }
    }

    /// Never waits; what the kernel does not take is kept. To be asked for [`Connection::room`] before.
    pub(super) fn write<'a>(&mut self, datagrams: impl Iterator<Item = &'a [u8]>) -> Result<(), Broken> {
        for datagram in datagrams {
            let Ok(len) = u16::try_from(datagram.len()) else { continue };
            // Checks and reports do not ask for room.
            if self.outbound.len() < 2 * MAX_BACKLOG {
                self.outbound.extend_from_slice(&len.to_be_bytes());
                self.outbound.extend_from_slice(datagram);
            }
        }
        self.flush()
    }

    pub(super) fn flush(&mut self) -> Result<(), Broken> {
        let (mut written, mut result) = (0, Ok(()));
        while written < self.outbound.len() {
            match self.stream.write(&self.outbound[written..]) {
                Ok(len) if len > 0 => written += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Ok(_) | Err(_) => {
                    result = Err(Broken);
                    break;
                }
            }
        }
        self.outbound.drain(..written);
        result
    }
}

fn take_frames(inbound: &mut Vec<u8>, datagrams: &mut Vec<Vec<u8>>) -> Result<(), Broken> {
    let mut start = 0;
    while let Some(len) =
        inbound.get(start..start + 2).map(|len| usize::from(u16::from_be_bytes([len[0], len[1]])))
    {
        if len > MAX_DATAGRAM {
            return Err(Broken);
        }
        let Some(datagram) = inbound.get(start + 2..start + 2 + len) else { break };
        datagrams.push(datagram.to_vec());
        start += 2 + len;
    }
    inbound.drain(..start);
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::time::Duration;

    use super::*;

    fn pair() -> (Connection, std::net::TcpStream) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let viewer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, remote) = listener.accept().unwrap();
        (Connection::new(Instant::now(), stream, remote).unwrap(), viewer)
    }

    fn read(connection: &mut Connection, count: usize) -> Vec<Vec<u8>> {
        let mut datagrams = Vec::new();
        while datagrams.len() < count {
            datagrams.extend(connection.read().unwrap().0);
            std::thread::sleep(Duration::from_millis(1));
        }
        datagrams
    }

    #[test]
    fn frames_cut_anywhere_come_out_whole() {
        let (mut connection, mut viewer) = pair();
        for part in [&[0][..], &[3, 1], &[2, 3, 0, 0, 0], &[1, 9]] {
            viewer.write_all(part).unwrap();
            std::thread::sleep(Duration::from_millis(2));
            connection.flush().unwrap();
        }
        assert_eq!(read(&mut connection, 3), [&[1, 2, 3][..], &[], &[9]]);
    }

    #[test]
    fn a_length_that_no_viewer_sends_ends_the_connection() {
        let (mut connection, mut viewer) = pair();
        viewer.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        std::thread::sleep(Duration::from_millis(20));
        assert!(connection.read().is_err());
    }

    #[test]
    fn a_viewer_that_does_not_read_has_no_room_and_then_gets_everything_in_order() {
        let (mut connection, mut viewer) = pair();
        let (mut sent, packet) = (0u32, [7; 1200]);
        while connection.room() != Room::None {
            let packet = [&sent.to_be_bytes()[..], &packet[4..]].concat();
            connection.write([packet.as_slice()].into_iter()).unwrap();
            sent += 1;
        }
        viewer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        for number in 0..sent {
            connection.flush().unwrap();
            let mut frame = [0; 1202];
            viewer.read_exact(&mut frame).unwrap();
            assert_eq!((&frame[..2], &frame[2..6]), (&[4, 176][..], &number.to_be_bytes()[..]));
        }
        assert_eq!(connection.room(), Room::Drained);
    }

    #[test]
    fn a_closed_connection_is_seen() {
        let (mut connection, viewer) = pair();
        drop(viewer);
        std::thread::sleep(Duration::from_millis(20));
        assert!(connection.read().is_err());
    }
}
