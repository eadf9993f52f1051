//! What the gate costs: the CPU time of one camera of 4 Mb/s and 25 pictures a second through it, beside that of
//! `retina` alone. A measurement, so not run by itself:
//!
//! ```sh
//! cargo test --release -p wallcast-ingest --test gate_cost -- --ignored --nocapture
//! ```
#![allow(clippy::unwrap_used, clippy::print_stdout, unreachable_pub, reason = "tests")]

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use futures::StreamExt;
use retina::client::{PlayOptions, Session, SessionOptions, SetupOptions};
use retina::codec::CodecItem;
use wallcast_ingest::{Camera, CameraConfig, SourceUrl};

const SECONDS: u64 = 20;
const PICTURES: u32 = 25;
/// 4 Mb/s.
const PACKETS: usize = 14;
const PAYLOAD: usize = 1_428;
const SDP: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
                   a=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z2QAHqwsaoLA9puCgIKgAAADACAAAAMD0IA=,aO4xshs=\r\n\
                   a=control:track1\r\n";

/// A camera on a thread of its own, for as many connections as come.
fn camera() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            std::thread::spawn(move || serve(connection));
        }
    });
    address
}

fn serve(connection: TcpStream) -> std::io::Result<()> {
    let mut output = connection.try_clone()?;
    output.set_nodelay(true)?;
    let mut lines = BufReader::new(connection).lines();
    loop {
        let request: Vec<String> =
            lines.by_ref().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
        let Some(first) = request.first() else { return Ok(()) };
        let cseq = request.iter().find(|line| line.starts_with("CSeq")).cloned().unwrap_or_default();
        let (headers, body) = match first.split(' ').next() {
            Some("DESCRIBE") => {
                (format!("Content-Type: application/sdp\r\nContent-Length: {}\r\n", SDP.len()), SDP)
            }
            Some("SETUP") => ("Session: 1\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n".into(), ""),
            _ => (String::new(), ""),
        };
        write!(output, "RTSP/1.0 200 OK\r\n{cseq}\r\n{headers}\r\n{body}")?;
        if first.starts_with("PLAY") {
            return play(&mut output);
        }
    }
}

/// Packet by packet, as a camera's encoder gives them away.
fn play(output: &mut TcpStream) -> std::io::Result<()> {
    let (began, mut sequence) = (Instant::now(), 0_u16);
    for picture in 0_u32.. {
        for number in 0..PACKETS {
            let (is_first, is_last) = (number == 0, number == PACKETS - 1);
            sequence = sequence.wrapping_add(1);
            let mut packet = vec![b'$', 0, 0, 0, 0x80, u8::from(is_last) << 7 | 96];
            packet.extend(sequence.to_be_bytes());
            packet.extend((picture * 90_000 / PICTURES).to_be_bytes());
            packet.extend(7_u32.to_be_bytes());
            packet.extend([0x7c, u8::from(is_first) << 7 | u8::from(is_last) << 6 | 5]);
            packet.resize(4 + 12 + PAYLOAD, 0x55);
            let length = (packet.len() - 4) as u16;
            packet[2..4].copy_from_slice(&length.to_be_bytes());
            output.write_all(&packet)?;
        }
        std::thread::sleep(
            (began + Duration::from_secs(1) / PICTURES * (picture + 1))
                .saturating_duration_since(Instant::now()),
        );
    }
    Ok(())
}

/// CPU time of this thread.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

/// CPU time a second of what runs on a runtime of one thread.
fn measure<F: Future>(what: impl FnOnce() -> F + Send + 'static) -> f64
where
    F::Output: Send,
{
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let before = cpu();
            what().await;
            (cpu() - before).as_secs_f64() / SECONDS as f64
        })
    });
    thread.join().unwrap()
}

#[test]
#[ignore = "a measurement"]
fn the_gate_costs_less_than_two_hundredths_of_a_core() {
    let address = camera();
    let url = format!("rtsp://{address}/live");
    let direct = {
        let url = url.clone();
        measure(move || async move {
            let options = SessionOptions::default();
            let mut session = Session::describe(url.parse().unwrap(), options).await.unwrap();
            session.setup(0, SetupOptions::default()).await.unwrap();
            let mut frames = session.play(PlayOptions::default()).await.unwrap().demuxed().unwrap();
            let (end, mut pictures) = (tokio::time::Instant::now() + Duration::from_secs(SECONDS), 0);
            while let Ok(frame) = tokio::time::timeout_at(end, frames.next()).await {
                pictures += u64::from(matches!(frame, Some(Ok(CodecItem::VideoFrame(_)))));
            }
            assert!(pictures > SECONDS * 20, "{pictures} pictures");
        })
    };
    let gated = measure(move || async move {
        let config = CameraConfig::new("cost", SourceUrl::parse(&url).unwrap());
        let camera = Camera::start(config, &tokio::runtime::Handle::current()).unwrap();
        tokio::time::sleep(Duration::from_secs(SECONDS)).await;
        let stats = camera.view().stats(Instant::now());
        assert!(stats.bitrate_bps > 3_500_000, "{stats:?}");
        camera.stop().await;
    });
    println!("retina alone {:.2} % of a core, through the gate {:.2} %", 100.0 * direct, 100.0 * gated);
    assert!(gated - direct < 0.02, "{direct} {gated}");
}
