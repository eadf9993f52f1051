//! One port for clients, one server behind it, and a [`Path`] each way.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Instant;

use rustix::net::sockopt;

use crate::path::{Conditions, Path, Tally};

/// A browser checks from each of its addresses; more than this is not one viewer any more.
const MAX_CLIENTS: usize = 16;
const MAX_DATAGRAM: usize = 64 * 1024;
/// Room for what comes while this process does not get a core: a loss that nobody asked for would spoil the figures.
const SOCKET_BUFFER: usize = 4 * 1024 * 1024;

pub(crate) struct Door {
    /// Where clients send to.
    front: UdpSocket,
    address: SocketAddr,
    server: SocketAddr,
    clients: Vec<Client>,
    down: Path<(SocketAddr, Box<[u8]>)>,
    up: Path<(usize, Box<[u8]>)>,
}

struct Client {
    address: SocketAddr,
    /// From which the server hears this client.
    back: UdpSocket,
}

impl Door {
    pub(crate) fn open(server: SocketAddr, seed: u64, down: Conditions, up: Conditions) -> io::Result<Self> {
        let front = bind()?;
        let address = front.local_addr()?;
        let (down, up) = (Path::new(down, seed), Path::new(up, !seed));
        Ok(Self { front, address, server, clients: Vec::new(), down, up })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn sockets(&self) -> impl Iterator<Item = &UdpSocket> {
        std::iter::once(&self.front).chain(self.clients.iter().map(|client| &client.back))
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        [self.down.due(), self.up.due()].into_iter().flatten().min()
    }

    pub(crate) fn change(&mut self, down: Conditions, up: Conditions) {
        self.down.change(down);
        self.up.change(up);
    }

    pub(crate) fn cut(&mut self, until: Instant) {
        self.down.cut(until);
        self.up.cut(until);
    }

    pub(crate) fn tell(&mut self) -> (Tally, Tally) {
        (self.down.tell(), self.up.tell())
    }

    /// Takes in what has come, and sends what is due. What a socket does not take is lost, as on any network.
    pub(crate) fn pass_on(&mut self) {
        let mut buffer = [0; MAX_DATAGRAM];
        // Errors say that there is nothing (more), or that whoever was sent to earlier is gone.
        while let Ok((size, from)) = self.front.recv_from(&mut buffer) {
            if let Some(client) = self.client(from) {
                self.up.send(Instant::now(), size, (client, buffer[..size].into()));
            }
        }
        for client in &self.clients {
            while let Ok(size) = client.back.recv(&mut buffer) {
                self.down.send(Instant::now(), size, (client.address, buffer[..size].into()));
            }
        }
        while let Some((to, datagram)) = self.down.receive(Instant::now()) {
            let _ = self.front.send_to(&datagram, to);
        }
        while let Some((client, datagram)) = self.up.receive(Instant::now()) {
            let _ = self.clients[client].back.send(&datagram);
        }
    }

    fn client(&mut self, address: SocketAddr) -> Option<usize> {
        let known = self.clients.iter().position(|client| client.address == address);
        if known.is_some() || self.clients.len() == MAX_CLIENTS {
            return known;
        }
        let back = bind().and_then(|back| back.connect(self.server).map(|()| back)).ok()?;
        self.clients.push(Client { address, back });
        Some(self.clients.len() - 1)
    }
}

fn bind() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_nonblocking(true)?;
    // Past the system's limit only root may go.
    sockopt::set_socket_recv_buffer_size_force(&socket, SOCKET_BUFFER)
        .or_else(|_| sockopt::set_socket_recv_buffer_size(&socket, SOCKET_BUFFER))?;
    Ok(socket)
}
