//! The sockets that all viewers share: one port, UDP and TCP, on each configured address.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use rustix::event::{PollFd, PollFlags, Timespec};
use socket2::{Domain, Protocol as Transport, Socket, Type};

use crate::path::{Path, Protocol};
use crate::track::Burst;

/// Asked for; the kernel gives what `net.core.*mem_max` allows.
const SOCKET_BUFFER: usize = 4 * 1024 * 1024;
const BACKLOG: i32 = 128;
/// Datagrams taken at once, each up to 64 KiB because the kernel may join those of one viewer (UDP GRO).
const BATCH: usize = 8;
const MAX_DATAGRAM: usize = 64 * 1024;
/// A segmented send is one IP packet to the kernel until it is cut.
const MAX_RUN: usize = 65_000;
/// How long a full socket is waited for at a time.
const WAIT: Duration = Duration::from_millis(5);
/// A port that is free for UDP may be taken for TCP: tries when any port will do.
const TRIES: usize = 16;

pub(crate) struct Sockets {
    udp: Vec<Udp>,
    tcp: Vec<TcpListener>,
    port: u16,
    /// Packets that the kernel did not take.
    pub(crate) unsent: AtomicU64,
}

struct Udp {
    socket: UdpSocket,
    state: UdpSocketState,
    address: IpAddr,
}

/// How long a thread may yet be held up by full sockets; what they do not take then counts as lost.
pub(crate) struct Patience(Duration);

impl Patience {
    pub(crate) fn new(time: Duration) -> Self {
        Self(time)
    }

    /// Waits until the socket takes more. `false`: no longer.
    fn wait_for(&mut self, socket: &UdpSocket) -> bool {
        if self.0.is_zero() {
            return false;
        }
        let begun = Instant::now();
        let wait = Timespec { tv_sec: 0, tv_nsec: WAIT.as_nanos() as i64 };
        let _ = rustix::event::poll(&mut [PollFd::new(socket, PollFlags::OUT)], Some(&wait));
        self.0 = self.0.saturating_sub(begun.elapsed());
        true
    }
}

/// One received datagram, or several of one size from one sender.
pub(crate) struct Received<'a> {
    pub(crate) path: Path,
    pub(crate) bytes: &'a [u8],
    stride: usize,
}

impl<'a> Received<'a> {
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.bytes.chunks(self.stride.max(1))
    }
}

/// Room for what one call receives.
pub(crate) struct Inbox(Vec<u8>);

impl Inbox {
    pub(crate) fn new() -> Self {
        Self(vec![0; BATCH * MAX_DATAGRAM])
    }

    /// In the place of one that is in use.
    pub(crate) fn none() -> Self {
        Self(Vec::new())
    }
}

impl Sockets {
    /// Port 0 is any port that is free on all of `addresses`, for UDP and TCP. The error names the address at fault.
    pub(crate) fn bind(addresses: &[IpAddr], port: u16) -> Result<Self, (SocketAddr, io::Error)> {
        let mut tries = if port == 0 { TRIES } else { 1 };
        loop {
            match Self::try_bind(addresses, port) {
                Err((_, error)) if tries > 1 && error.kind() == io::ErrorKind::AddrInUse => tries -= 1,
                result => return result,
            }
        }
    }

    fn try_bind(addresses: &[IpAddr], mut port: u16) -> Result<Self, (SocketAddr, io::Error)> {
        let (mut udp, mut tcp) = (Vec::new(), Vec::new());
        for &address in addresses {
            let asked = SocketAddr::new(address, port);
            let datagrams = bind_udp(asked).map_err(|error| (asked, error))?;
            port = datagrams.socket.local_addr().map_err(|error| (asked, error))?.port();
            let same = SocketAddr::new(address, port);
            tcp.push(listen_tcp(same).map_err(|error| (same, error))?);
            udp.push(datagrams);
        }
        Ok(Self { udp, tcp, port, unsent: AtomicU64::new(0) })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn udp(&self) -> impl Iterator<Item = &UdpSocket> {
        self.udp.iter().map(|udp| &udp.socket)
    }

    pub(crate) fn tcp(&self) -> &[TcpListener] {
        &self.tcp
    }

    /// Receives what there is by one call on UDP socket number `index`; `false` when there was nothing.
    pub(crate) fn receive(
        &self,
        index: usize,
        inbox: &mut Inbox,
        mut take: impl FnMut(Received<'_>),
    ) -> bool {
        let Some(Udp { socket, state, address }) = self.udp.get(index) else { return false };
        let mut metas = [RecvMeta::default(); BATCH];
        let mut chunks = inbox.0.chunks_mut(MAX_DATAGRAM);
        let mut buffers: [IoSliceMut<'_>; BATCH] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        // Errors are those of earlier sends (ICMP), or that there is nothing.
        let count = state.recv(UdpSockRef::from(socket), &mut buffers, &mut metas);
        let count = match count {
            Ok(count) => count,
            Err(error) => return !matches!(error.kind(), io::ErrorKind::WouldBlock),
        };
        for (meta, buffer) in metas.iter().zip(&buffers).take(count) {
            let local = SocketAddr::new(meta.dst_ip.unwrap_or(*address), self.port);
            let path = Path { protocol: Protocol::Udp, local, remote: meta.addr };
            take(Received { path, bytes: &buffer[..meta.len], stride: meta.stride });
        }
        true
    }

    /// Sends packets to one viewer, those of one size by one call.
    pub(crate) fn send(&self, path: Path, burst: &Burst, patience: &mut Patience) {
        let Some(udp) = self.udp.iter().find(|udp| serves(udp.address, path.local.ip())) else { return };
        let (mut bytes, mut sizes) = (burst.bytes.as_slice(), burst.sizes.as_slice());
        while let [segment, ..] = *sizes {
            let (count, len) = run(sizes, udp.state.max_gso_segments());
            let (now, later) = bytes.split_at(len);
            self.send_run(udp, path, now, segment, patience);
            (bytes, sizes) = (later, &sizes[count..]);
        }
    }

    /// Sends one packet; one that finds no room is lost.
    pub(crate) fn send_one(&self, path: Path, packet: &[u8]) {
        if let Some(udp) = self.udp.iter().find(|udp| serves(udp.address, path.local.ip())) {
            self.send_run(udp, path, packet, packet.len(), &mut Patience::new(Duration::ZERO));
        }
    }

    fn send_run(&self, udp: &Udp, path: Path, bytes: &[u8], segment: usize, patience: &mut Patience) {
        let several = bytes.len() > segment;
        let transmit = Transmit {
            destination: path.remote,
            ecn: None,
            contents: bytes,
            segment_size: several.then_some(segment),
            src_ip: Some(path.local.ip()),
        };
        let mut result = udp.state.try_send(UdpSockRef::from(&udp.socket), &transmit);
        let is_full = |result: &io::Result<()>| {
            result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
        };
        while is_full(&result) && patience.wait_for(&udp.socket) {
            result = udp.state.try_send(UdpSockRef::from(&udp.socket), &transmit);
        }
        match result {
            Ok(()) => {}
            // Some devices refuse segmentation at the first try; the state remembers it.
            Err(_) if several && udp.state.max_gso_segments() == 1 => {
                for packet in bytes.chunks(segment) {
                    self.send_run(udp, path, packet, packet.len(), patience);
                }
            }
            Err(_) => {
                self.unsent.fetch_add(bytes.len().div_ceil(segment.max(1)) as u64, Ordering::Relaxed);
            }
        }
    }
}

/// How many of the packets go in one call, and their bytes: all of one size, the last may be shorter.
fn run(sizes: &[usize], max_segments: usize) -> (usize, usize) {
    let segment = sizes.first().copied().unwrap_or_default();
    let (mut count, mut len) = (0, 0);
    for &size in sizes {
        if count > 0 && (size > segment || count >= max_segments || len + size > MAX_RUN) {
            break;
        }
        (count, len) = (count + 1, len + size);
        if size < segment {
            break;
        }
    }
    (count, len)
}

fn serves(bound: IpAddr, local: IpAddr) -> bool {
    bound == local || (bound.is_unspecified() && bound.is_ipv4() == local.is_ipv4())
}

fn bind_udp(address: SocketAddr) -> io::Result<Udp> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Transport::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    // As much as we are given: it is for bursts only.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
    let socket = UdpSocket::from(socket);
    let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
    Ok(Udp { socket, state, address: address.ip() })
}

fn listen_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Transport::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // The connections of a process that has just ended linger on the port.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn packets_of_one_size_go_together_and_a_shorter_one_ends_the_run() {
        assert_eq!(run(&[1200, 1200, 900], 64), (3, 3300));
        assert_eq!(run(&[60, 1200, 1200], 64), (1, 60), "a larger one begins the next");
        assert_eq!(run(&[1200, 900, 900], 64), (2, 2100));
        assert_eq!(run(&[1200; 100], 64), (54, 64_800), "what the kernel takes at once");
        assert_eq!(run(&[100; 100], 64), (64, 6_400));
        assert_eq!(run(&[1200, 1200], 1), (1, 1200), "without segmentation");
    }

    #[test]
    fn one_port_serves_udp_and_tcp_on_every_address() {
        let addresses: Vec<IpAddr> = vec!["127.0.0.1".parse().unwrap(), "127.0.0.2".parse().unwrap()];
        let sockets = Sockets::bind(&addresses, 0).unwrap();
        assert_ne!(sockets.port(), 0);
        for (udp, tcp) in sockets.udp().zip(sockets.tcp()) {
            assert_eq!(udp.local_addr().unwrap(), tcp.local_addr().unwrap());
            assert_eq!(udp.local_addr().unwrap().port(), sockets.port());
        }
        let taken = Sockets::bind(&addresses[..1], sockets.port()).err().unwrap();
        assert_eq!(taken.0, SocketAddr::new(addresses[0], sockets.port()));
    }

    #[test]
    fn a_burst_arrives_packet_by_packet_from_the_address_that_was_sent_to() {
        let sockets = Sockets::bind(&["0.0.0.0".parse().unwrap()], 0).unwrap();
        let viewer = UdpSocket::bind("127.0.0.1:0").unwrap();
        viewer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        viewer.send_to(b"hello", ("127.0.0.3", sockets.port())).unwrap();
        let (mut inbox, mut path) = (Inbox::new(), None);
        while path.is_none() {
            sockets.receive(0, &mut inbox, |received| {
                assert_eq!(received.datagrams().collect::<Vec<_>>(), [b"hello"]);
                path = Some(received.path);
            });
        }
        let path = path.unwrap();
        assert_eq!(path.local, SocketAddr::new("127.0.0.3".parse().unwrap(), sockets.port()));
        let sizes = vec![60, 1200, 1200, 1200, 700];
        let bytes = sizes.iter().enumerate().flat_map(|(number, &size)| vec![number as u8; size]).collect();
        sockets.send(path, &Burst { bytes, sizes: sizes.clone() }, &mut Patience::new(WAIT));
        for (number, size) in sizes.into_iter().enumerate() {
            let mut buffer = [0; 2000];
            let (len, from) = viewer.recv_from(&mut buffer).unwrap();
            assert_eq!((from, &buffer[..len]), (path.local, &vec![number as u8; size][..]));
        }
    }

    /// Some devices and tunnels cannot do it, and say so when they are first asked to; nor can a socket without checksums.
    #[test]
    fn where_segmentation_is_refused_every_packet_still_arrives_one_by_one() {
        let sockets = Sockets::bind(&["127.0.0.1".parse().unwrap()], 0).unwrap();
        refuse_segmentation(&sockets.udp[0].socket);
        let viewer = UdpSocket::bind("127.0.0.1:0").unwrap();
        viewer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let local = sockets.udp[0].socket.local_addr().unwrap();
        let path = Path { protocol: Protocol::Udp, local, remote: viewer.local_addr().unwrap() };
        assert!(sockets.udp[0].state.max_gso_segments() > 1, "this kernel has no segmentation to refuse");
        for _ in 0..2 {
            let sizes = vec![1200, 1200, 1200, 700];
            let bytes =
                sizes.iter().enumerate().flat_map(|(number, &size)| vec![number as u8; size]).collect();
            sockets.send(path, &Burst { bytes, sizes: sizes.clone() }, &mut Patience::new(WAIT));
            for (number, size) in sizes.into_iter().enumerate() {
                let mut buffer = [0; 2000];
                let (len, _) = viewer.recv_from(&mut buffer).unwrap();
                assert_eq!(&buffer[..len], &vec![number as u8; size][..]);
            }
            assert_eq!(sockets.udp[0].state.max_gso_segments(), 1, "it is not tried again");
        }
        assert_eq!(sockets.unsent.load(Ordering::Relaxed), 0);
    }

    #[allow(unsafe_code, reason = "setsockopt: no crate here has SO_NO_CHECK")]
    fn refuse_segmentation(socket: &UdpSocket) {
        use std::os::fd::AsRawFd;
        let (on, len) = (1, size_of::<libc::c_int>() as libc::socklen_t);
        let value: *const libc::c_int = &raw const on;
        // SAFETY: the value is an int and the length is an int's.
        let done = unsafe {
            libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_NO_CHECK, value.cast(), len)
        };
        assert_eq!(done, 0);
    }
}
