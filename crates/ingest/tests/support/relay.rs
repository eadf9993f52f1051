//! A network between camera and gateway that misbehaves on command and by a seed: [`TcpRelay`] delays or swallows a
//! connection's bytes, [`UdpRelay`] also loses, doubles, reorders and delays the datagrams of RTSP sessions that go
//! through it. The same seed does the same to the same datagrams.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// What happens to the datagrams that the camera sends.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    /// 0 to 1.
    pub(crate) loss: f64,
    /// 0 to 1.
    pub(crate) duplicate: f64,
    /// By how many later ones a datagram may be overtaken.
    pub(crate) reorder: u64,
    pub(crate) delay: Duration,
    pub(crate) seed: u64,
}

/// [`Faults`] without the delay, done to one flow of datagrams.
pub(crate) struct Impairment {
    state: u64,
    arrived: u64,
    /// By when they leave: number of the arrival at which they do, and their own.
    held: BTreeMap<(u64, u64), Vec<u8>>,
    pub(crate) lost: u64,
}

impl Impairment {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed, arrived: 0, held: BTreeMap::new(), lost: 0 }
    }

    /// What leaves when this arrives, in order.
    pub(crate) fn handle(&mut self, faults: &Faults, datagram: Vec<u8>) -> Vec<Vec<u8>> {
        // Always the same number of draws, so that one fault does not change what another one hits.
        let (lost, doubled, behind) = (self.chance(), self.chance(), self.random());
        self.arrived += 1;
        if lost < faults.loss {
            self.lost += 1;
        } else {
            let place = (self.arrived + behind % (faults.reorder + 1), self.arrived);
            if doubled < faults.duplicate {
                self.held.insert((place.0 + 1, place.1), datagram.clone());
            }
            self.held.insert(place, datagram);
        }
        let later = self.held.split_off(&(self.arrived + 1, 0));
        std::mem::replace(&mut self.held, later).into_values().collect()
    }

    /// Nothing else comes: what is held leaves.
    pub(crate) fn flush(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.held).into_values().collect()
    }

    /// From 0 to 1.
    fn chance(&mut self) -> f64 {
        (self.random() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// SplitMix64, which no update of a library changes.
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ self.state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

/// Switches of a relay that runs. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Switch {
    black_hole: Arc<AtomicBool>,
    forwarded: Arc<AtomicU64>,
    lost: Arc<AtomicU64>,
}

impl Switch {
    /// From now on nothing passes in either direction, and nobody is told: as if a cable had been pulled.
    pub(crate) fn pull_the_cable(&self) {
        self.black_hole.store(true, Ordering::Relaxed);
    }

    /// What TCP has not got across yet goes on; datagrams are gone.
    pub(crate) fn plug_it_in_again(&self) {
        self.black_hole.store(false, Ordering::Relaxed);
    }

    fn is_unplugged(&self) -> bool {
        self.black_hole.load(Ordering::Relaxed)
    }

    async fn plugged_in(&self) {
        while self.is_unplugged() {
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Datagrams, or pieces of TCP.
    pub(crate) fn forwarded(&self) -> u64 {
        self.forwarded.load(Ordering::Relaxed)
    }

    /// Datagrams.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// Passes TCP connections on, every byte `delay` later and at any rate. Dropping it closes them.
pub(crate) struct TcpRelay {
    pub(crate) address: SocketAddr,
    pub(crate) switch: Switch,
    _connections: JoinSet<()>,
}

impl TcpRelay {
    pub(crate) async fn start(camera: SocketAddr, delay: Duration) -> Self {
        let (listener, switch) = (listen().await, Switch::default());
        let address = listener.local_addr().expect("bound");
        let mut accepting = JoinSet::new();
        let wire = switch.clone();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((gateway, _)) = listener.accept().await {
                let wire = wire.clone();
                connections.spawn(async move {
                    wire.plugged_in().await;
                    let Ok(camera) = TcpStream::connect(camera).await else { return };
                    let ((from_gateway, to_gateway), (from_camera, to_camera)) =
                        (gateway.into_split(), camera.into_split());
                    tokio::join!(
                        late(from_gateway, to_camera, delay, &wire),
                        late(from_camera, to_gateway, delay, &wire)
                    );
                });
            }
        });
        Self { address, switch, _connections: accepting }
    }
}

/// One direction of a connection. It ends, late as well, when its source does.
async fn late(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay: Duration, switch: &Switch) {
    let (pieces, mut due) = mpsc::channel::<(Instant, Vec<u8>)>(16_384);
    let read = async move {
        let mut piece = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from.read(&mut piece).await {
            if pieces.send((Instant::now() + delay, piece[..length].to_vec())).await.is_err() {
                return;
            }
        }
    };
    let write = async {
        while let Some((when, piece)) = due.recv().await {
            sleep_until(when).await;
            switch.plugged_in().await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
            switch.forwarded.fetch_add(1, Ordering::Relaxed);
        }
        switch.plugged_in().await;
        let _ = to.shutdown().await;
    };
    tokio::join!(read, write);
}

/// Passes RTSP sessions with UDP transport on: rewrites the ports of SETUP to its own and does [`Faults`] to what the
/// camera sends. One session at a time; dropping it ends all.
pub(crate) struct UdpRelay {
    pub(crate) address: SocketAddr,
    pub(crate) switch: Switch,
    faults: Arc<Mutex<Faults>>,
    ports: Arc<Mutex<Ports>>,
    _tasks: JoinSet<()>,
}

/// Of both ends, and the sockets in between: RTP, RTCP.
struct Ports {
    gateway: [u16; 2],
    camera: [u16; 2],
    /// What the camera talks to.
    inner: [Arc<UdpSocket>; 2],
    /// What the gateway talks to.
    outer: [Arc<UdpSocket>; 2],
}

impl UdpRelay {
    pub(crate) async fn start(camera: SocketAddr, faults: Faults) -> Self {
        let (listener, switch) = (listen().await, Switch::default());
        let address = listener.local_addr().expect("bound");
        let (inner, outer) = (pair().await, pair().await);
        let ports = Ports { gateway: [0; 2], camera: [0; 2], inner: inner.clone(), outer };
        let (faults, ports) = (Arc::new(Mutex::new(faults)), Arc::new(Mutex::new(ports)));
        let mut tasks = JoinSet::new();
        for (channel, socket) in inner.into_iter().enumerate() {
            tasks.spawn(to_gateway(channel, socket, ports.clone(), faults.clone(), switch.clone()));
        }
        for channel in 0..2 {
            tasks.spawn(to_camera(channel, ports.clone(), switch.clone()));
        }
        let (wire, known) = (switch.clone(), ports.clone());
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((gateway, _)) = listener.accept().await {
                let (wire, known) = (wire.clone(), known.clone());
                connections.spawn(async move {
                    wire.plugged_in().await;
                    let Ok(camera) = TcpStream::connect(camera).await else { return };
                    let ((from_gateway, to_gateway), (from_camera, to_camera)) =
                        (gateway.into_split(), camera.into_split());
                    let requests = lines(from_gateway, to_camera, "client_port=", &known, &wire);
                    let answers = lines(from_camera, to_gateway, "server_port=", &known, &wire);
                    let _ = tokio::join!(requests, answers);
                });
            }
        });
        Self { address, switch, faults, ports, _tasks: tasks }
    }

    pub(crate) fn set(&self, faults: Faults) {
        *self.faults.lock().expect("no panic") = faults;
    }

    /// From now on the datagrams reach the gateway from other ports, unannounced.
    pub(crate) async fn change_ports(&self) {
        let outer = pair().await;
        self.ports.lock().expect("no panic").outer = outer;
    }
}

/// RTSP without interleaved data, line by line; bodies are SDP, whose lines end like those of heads.
async fn lines(
    from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    key: &str,
    ports: &Mutex<Ports>,
    switch: &Switch,
) -> io::Result<()> {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line).await? > 0 {
        switch.plugged_in().await;
        let text = String::from_utf8_lossy(&line).into_owned();
        to.write_all(rewritten(&text, key, ports).as_bytes()).await?;
        line.clear();
    }
    to.shutdown().await
}

fn rewritten(line: &str, key: &str, ports: &Mutex<Ports>) -> String {
    let Some((before, rest)) = line.split_once(key) else { return line.to_owned() };
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(rest.len());
    let mut numbers = rest[..end].split('-').map(|number| number.parse().unwrap_or(0));
    let first: u16 = numbers.next().unwrap_or(0);
    let theirs = [first, numbers.next().unwrap_or(first.wrapping_add(1))];
    let mut ports = ports.lock().expect("no panic");
    let is_request = key == "client_port=";
    let ours = if is_request { &ports.inner } else { &ports.outer };
    let ours = ours.clone().map(|socket| socket.local_addr().expect("bound").port());
    if is_request {
        ports.gateway = theirs;
    } else {
        ports.camera = theirs;
    }
    let line = format!("{before}{key}{}-{}{}", ours[0], ours[1], &rest[end..]);
    // Servers repeat what they were told, and the gateway should read its own ports.
    let told = ports.inner.clone().map(|socket| socket.local_addr().expect("bound").port());
    let told = format!("client_port={}-{}", told[0], told[1]);
    if is_request {
        line
    } else {
        line.replace(&told, &format!("client_port={}-{}", ports.gateway[0], ports.gateway[1]))
    }
}

async fn to_gateway(
    channel: usize,
    socket: Arc<UdpSocket>,
    ports: Arc<Mutex<Ports>>,
    faults: Arc<Mutex<Faults>>,
    switch: Switch,
) {
    let seed = faults.lock().expect("no panic").seed.wrapping_add(channel as u64);
    let mut impairment = Impairment::new(seed);
    let mut due: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    let mut datagram = vec![0; 65_535];
    let mut silent_at = Instant::now();
    loop {
        let wake = due.front().map_or(silent_at, |(when, _)| *when);
        let received = timeout_at(wake, socket.recv(&mut datagram)).await;
        let faults = *faults.lock().expect("no panic");
        let now = Instant::now();
        let leaving = match received {
            Ok(Ok(length)) if !switch.is_unplugged() => {
                impairment.handle(&faults, datagram[..length].to_vec())
            }
            Ok(_) => Vec::new(),
            // A camera that pauses keeps nothing back.
            Err(_) if now >= silent_at => impairment.flush(),
            Err(_) => Vec::new(),
        };
        if received.is_ok() || now >= silent_at {
            silent_at = now + Duration::from_millis(if received.is_ok() { 100 } else { 1_000 });
        }
        switch.lost.fetch_add(std::mem::take(&mut impairment.lost), Ordering::Relaxed);
        due.extend(leaving.into_iter().map(|datagram| (now + faults.delay, datagram)));
        while due.front().is_some_and(|(when, _)| *when <= now) {
            let Some((_, datagram)) = due.pop_front() else { break };
            let (outer, to) = {
                let ports = ports.lock().expect("no panic");
                (ports.outer[channel].clone(), ports.gateway[channel])
            };
            let _ = outer.send_to(&datagram, ("127.0.0.1", to)).await;
            switch.forwarded.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn to_camera(channel: usize, ports: Arc<Mutex<Ports>>, switch: Switch) {
    let mut datagram = vec![0; 65_535];
    loop {
        let (outer, inner, to) = {
            let ports = ports.lock().expect("no panic");
            (ports.outer[channel].clone(), ports.inner[channel].clone(), ports.camera[channel])
        };
        // Looks up now and then whether the ports have changed.
        let give_up = Instant::now() + Duration::from_millis(20);
        if let Ok(Ok(length)) = timeout_at(give_up, outer.recv(&mut datagram)).await
            && !switch.is_unplugged()
            && to != 0
        {
            let _ = inner.send_to(&datagram[..length], ("127.0.0.1", to)).await;
        }
    }
}

async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("loopback")
}

/// An even port and the next one.
async fn pair() -> [Arc<UdpSocket>; 2] {
    for _ in 0..1_000 {
        let rtp = UdpSocket::bind("127.0.0.1:0").await.expect("loopback");
        let port = rtp.local_addr().expect("bound").port();
        if port % 2 == 0
            && let Ok(rtcp) = UdpSocket::bind(("127.0.0.1", port + 1)).await
        {
            return [Arc::new(rtp), Arc::new(rtcp)];
        }
    }
    panic!("no pair of ports");
}
