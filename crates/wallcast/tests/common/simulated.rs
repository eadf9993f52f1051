//! Many simulated cameras that cost next to nothing: one pre-encoded loop, cut into RTP packets once, is played over real RTSP by
//! TCP (RFC 2326, RFC 6184), one write a picture. Camera clocks are spread evenly over a frame interval, and their key frames
//! over the loop, as those of cameras are that know nothing of each other.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A substream as cameras have it: 640x360 at 15 fps, 512 kb/s, a key frame every two seconds.
pub const SUBSTREAM: &[u8] = include_bytes!("../fixtures/substream.h264");

/// So many cameras; dropping it ends them all.
pub struct Simulated {
    /// `rtsp://127.0.0.1:PORT/1` and so on.
    pub urls: Vec<String>,
    cameras: Arc<Cameras>,
    address: SocketAddr,
    threads: Vec<JoinHandle<()>>,
}

struct Cameras {
    film: Film,
    fps: u32,
    /// Who watches camera 0, 1, …
    viewers: Vec<Mutex<Vec<Arc<Mutex<Viewer>>>>>,
    stop: AtomicBool,
}

/// A loop of pictures, ready to be sent.
struct Film {
    pictures: Vec<Picture>,
    /// The `fmtp` line's parameter sets.
    parameter_sets: String,
}

/// One picture as interleaved RTP packets, back to back; sequence numbers and times are filled in when it is sent.
struct Picture {
    bytes: Vec<u8>,
    /// Where in `bytes` each packet's interleaved head begins.
    packets: Vec<usize>,
    key: bool,
}

struct Viewer {
    connection: TcpStream,
    /// Nothing is sent before the first key frame.
    started: bool,
    sequence: u16,
    scratch: Vec<u8>,
}

impl Simulated {
    /// Starts `count` cameras that play `film` (H.264, Annex B, with access unit delimiters) at `fps`.
    pub fn start(count: usize, film: &[u8], fps: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let viewers = (0..count).map(|_| Mutex::default()).collect();
        let cameras = Arc::new(Cameras { film: Film::of(film), fps, viewers, stop: AtomicBool::new(false) });
        let (accepting, pacing) = (Arc::clone(&cameras), Arc::clone(&cameras));
        let threads = vec![
            spawn("cameras-accept", move || accepting.accept(&listener)),
            spawn("cameras-pace", move || pacing.pace()),
        ];
        let urls = (1..=count).map(|number| format!("rtsp://{address}/{number}")).collect();
        Self { urls, cameras, address, threads }
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        self.cameras.stop.store(true, Ordering::Relaxed);
        let _wakes_accept = TcpStream::connect(self.address);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        for viewer in self.cameras.viewers.iter().flat_map(|viewers| viewers.lock().unwrap().clone()) {
            // Its thread reads the end of the connection, and ends.
            let _ = viewer.lock().unwrap().connection.shutdown(Shutdown::Both);
        }
    }
}

impl Cameras {
    fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn accept(self: Arc<Self>, listener: &TcpListener) {
        for connection in listener.incoming().map_while(Result::ok) {
            if self.is_stopping() {
                return;
            }
            let cameras = Arc::clone(&self);
            // Ends with its connection.
            spawn("camera-rtsp", move || {
                let _client_is_gone = cameras.serve(connection);
            });
        }
    }

    /// Answers one client's requests; what plays is sent by the pacing thread.
    fn serve(&self, connection: TcpStream) -> std::io::Result<()> {
        connection.set_nodelay(true)?;
        // A client that does not read is no camera's business.
        connection.set_write_timeout(Some(Duration::from_secs(2)))?;
        let mut input = BufReader::new(connection.try_clone()?);
        let viewer =
            Arc::new(Mutex::new(Viewer { connection, started: false, sequence: 0, scratch: Vec::new() }));
        while let Some((request, sequence)) = next_request(&mut input)? {
            let (method, url) = request.split_once(' ').unwrap_or_default();
            let number = url.split('/').nth(3).and_then(|name| name.split(' ').next()?.parse().ok());
            let Some(watchers) = number.and_then(|n: usize| self.viewers.get(n.wrapping_sub(1))) else {
                viewer
                    .lock()
                    .unwrap()
                    .connection
                    .write_all(format!("RTSP/1.0 404 Not Found\r\nCSeq: {sequence}\r\n\r\n").as_bytes())?;
                continue;
            };
            let rest = match method {
                "DESCRIBE" => {
                    let (base, sdp) = (url.split(' ').next().unwrap_or_default(), self.film.sdp());
                    format!(
                        "Content-Base: {base}/\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
                        sdp.len()
                    )
                }
                "SETUP" => "Session: 7;timeout=60\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n"
                    .to_owned(),
                "OPTIONS" => {
                    "Public: OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN\r\n\r\n".to_owned()
                }
                _ => "Session: 7\r\n\r\n".to_owned(),
            };
            let answer = format!("RTSP/1.0 200 OK\r\nCSeq: {sequence}\r\n{rest}");
            viewer.lock().unwrap().connection.write_all(answer.as_bytes())?;
            match method {
                "PLAY" => watchers.lock().unwrap().push(Arc::clone(&viewer)),
                "TEARDOWN" => return Ok(()),
                _ => {}
            }
        }
        Ok(())
    }

    /// Sends every picture when it is due; a busy machine sends late, and then catches up.
    fn pace(&self) {
        let (count, origin) = (self.viewers.len() as u32, Instant::now());
        let interval = Duration::from_secs(1) / self.fps;
        for beat in 0_u32.. {
            for (camera, viewers) in (0..).zip(&self.viewers) {
                let due = origin + interval * beat + interval * camera / count;
                thread::sleep(due.saturating_duration_since(Instant::now()));
                if self.is_stopping() {
                    return;
                }
                let ahead = self.film.pictures.len() * camera as usize / count as usize;
                let picture = &self.film.pictures[(beat as usize + ahead) % self.film.pictures.len()];
                let time = beat.wrapping_mul(90_000 / self.fps);
                viewers.lock().unwrap().retain(|viewer| viewer.lock().unwrap().send(picture, time).is_ok());
            }
        }
    }
}

impl Viewer {
    fn send(&mut self, picture: &Picture, time: u32) -> std::io::Result<()> {
        self.started |= picture.key;
        if !self.started {
            return Ok(());
        }
        self.scratch.clear();
        self.scratch.extend_from_slice(&picture.bytes);
        for &packet in &picture.packets {
            self.scratch[packet + 6..packet + 8].copy_from_slice(&self.sequence.to_be_bytes());
            self.scratch[packet + 8..packet + 12].copy_from_slice(&time.to_be_bytes());
            self.sequence = self.sequence.wrapping_add(1);
        }
        self.connection.write_all(&self.scratch)
    }
}

impl Film {
    fn of(stream: &[u8]) -> Self {
        let nal_units = nal_units(stream);
        let parameter_set = |nal_type: u8| {
            let set = nal_units.iter().find(|nal| nal[0] & 0x1f == nal_type).expect("an SPS and a PPS");
            BASE64.encode(set)
        };
        let parameter_sets = format!("{},{}", parameter_set(7), parameter_set(8));
        // Access unit delimiters (type 9) come first in their pictures and are not sent, as cameras do not.
        let pictures = nal_units.split(|nal| nal[0] & 0x1f == 9).filter(|nals| !nals.is_empty());
        Self { pictures: pictures.map(Picture::of).collect(), parameter_sets }
    }

    fn sdp(&self) -> String {
        format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=camera\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\na=control:*\r\n\
             m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
             a=fmtp:96 packetization-mode=1;sprop-parameter-sets={}\r\na=control:track1\r\n",
            self.parameter_sets
        )
    }
}

impl Picture {
    fn of(nals: &[&[u8]]) -> Self {
        const PAYLOAD: usize = 1_400;
        let mut payloads: Vec<Vec<u8>> = Vec::new();
        for nal in nals {
            if nal.len() <= PAYLOAD {
                payloads.push(nal.to_vec());
                continue;
            }
            // FU-A: type 28, then start and end bits with the type.
            let (head, body) = (nal[0], &nal[1..]);
            let last = body.chunks(PAYLOAD).count() - 1;
            payloads.extend(body.chunks(PAYLOAD).enumerate().map(|(i, chunk)| {
                let ends = u8::from(i == 0) << 7 | u8::from(i == last) << 6;
                [&[head & 0xe0 | 28, ends | head & 0x1f], chunk].concat()
            }));
        }
        let (mut bytes, mut packets, last) = (Vec::new(), Vec::new(), payloads.len() - 1);
        for (number, payload) in payloads.iter().enumerate() {
            packets.push(bytes.len());
            bytes.extend([b'$', 0]);
            bytes.extend((12 + payload.len() as u16).to_be_bytes());
            bytes.extend([0x80, u8::from(number == last) << 7 | 96]);
            // Sequence number and time, filled in when sent; the SSRC.
            bytes.extend([0, 0, 0, 0, 0, 0, 0xca, 0xfe, 0, 1]);
            bytes.extend(payload);
        }
        Self { bytes, packets, key: nals.iter().any(|nal| nal[0] & 0x1f == 5) }
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    thread::Builder::new().name(name.to_owned()).stack_size(256 << 10).spawn(body).unwrap()
}

/// The next request's first line and CSeq; receiver reports in between are skipped. `None` at the end of the connection.
fn next_request(input: &mut impl BufRead) -> std::io::Result<Option<(String, String)>> {
    let (mut request, mut sequence) = (None, String::new());
    loop {
        match input.fill_buf()?.first() {
            None => return Ok(None),
            Some(b'$') => {
                let mut head = [0; 4];
                input.read_exact(&mut head)?;
                let length = u16::from_be_bytes([head[2], head[3]]);
                input.read_exact(&mut vec![0; length.into()])?;
            }
            Some(_) => {
                let mut line = String::new();
                input.read_line(&mut line)?;
                match (line.trim_end(), &request) {
                    ("", Some(_)) => return Ok(request.map(|request| (request, sequence))),
                    ("", None) => {}
                    (line, None) => request = Some(line.to_owned()),
                    (line, Some(_)) => {
                        if let Some((_, value)) =
                            line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("cseq"))
                        {
                            value.trim().clone_into(&mut sequence);
                        }
                    }
                }
            }
        }
    }
}

/// Without their start codes.
fn nal_units(stream: &[u8]) -> Vec<&[u8]> {
    let starts: Vec<usize> = (0..stream.len() - 3).filter(|&at| stream[at..at + 3] == [0, 0, 1]).collect();
    let ends = starts.iter().skip(1).copied().chain([stream.len()]);
    let nals = starts.iter().zip(ends).map(|(&start, end)| &stream[start + 3..end]);
    // A fourth zero belongs to the next start code.
    nals.map(|nal| &nal[..nal.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1)]).collect()
}
