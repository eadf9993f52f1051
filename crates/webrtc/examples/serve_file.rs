//! Serves an H.264 file (Annex B, one slice a frame, IDRs with parameter sets) in a loop to browsers, at 25 frames a
//! second: this crate and `web/` without cameras, compositor and configuration.
//!
//! ```sh
//! ffmpeg -f lavfi -i testsrc2=s=1920x1080:r=25 -t 20 -c:v libx264 -profile:v baseline -bf 0 -g 100 -b:v 4M \
//!     -x264-params slices=1:repeat-headers=1 wall.h264
//! cargo run --release -p wallcast-webrtc --example serve_file -- wall.h264 127.0.0.1:8099
//! ```
#![allow(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{delete, get, post};
use bytes::Bytes;
use wallcast_webrtc::{OfferError, Peers, PeersConfig, ProfileLevelId, Source, SourceFrame};

struct Server {
    peers: Peers,
    source: Arc<Source>,
    web: PathBuf,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "serve_file FILE ADDRESS";
    let file = Bytes::from(std::fs::read(arguments.next().ok_or(usage)?)?);
    let address: SocketAddr = arguments.next().ok_or(usage)?.parse()?;

    let key_frame_needed = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&key_frame_needed);
    let on_needed = Box::new(move || asked.store(true, Ordering::Relaxed));
    let source = Source::new("wall", ProfileLevelId::constrained_baseline(40), on_needed);
    let player = Arc::clone(&source);
    std::thread::Builder::new()
        .name("player".into())
        .spawn(move || play(&player, &file, &key_frame_needed))?;

    let peers = Peers::new(PeersConfig::default(), &tokio::runtime::Handle::current())?;
    let web = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../web");
    let server = Arc::new(Server { peers, source, web });
    let app = Router::new()
        .route("/", get(index))
        .route("/wall/{name}", get(|server: State<Arc<Server>>| page(server, "wall.html")))
        .route("/assets/{file}", get(asset))
        .route("/whep/{name}", post(offer))
        .route("/whep/{name}/{session}", delete(end))
        .route(
            "/stats",
            get(|State(server): State<Arc<Server>>| async move { format!("{:#?}\n", server.peers.stats()) }),
        )
        .with_state(server);
    println!("http://{address}/");
    axum::serve(tokio::net::TcpListener::bind(address).await?, app).await?;
    Ok(())
}

async fn index(server: State<Arc<Server>>) -> Response {
    page(server, "index.html").await
}

async fn page(State(server): State<Arc<Server>>, name: &str) -> Response {
    let csp = (header::CONTENT_SECURITY_POLICY, "default-src 'self'");
    match std::fs::read_to_string(server.web.join(name)) {
        Ok(text) => ([csp], Html(text.replace("{{default_wall}}", "wall"))).into_response(),
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn asset(State(server): State<Arc<Server>>, Path(file): Path<String>) -> Response {
    let kind = if file.ends_with(".js") { "text/javascript" } else { "text/css" };
    match std::fs::read(server.web.join(&file)) {
        Ok(bytes) if !file.contains("..") => ([(header::CONTENT_TYPE, kind)], bytes).into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn offer(State(server): State<Arc<Server>>, Path(name): Path<String>, offer: String) -> Response {
    if name != "wall" {
        return StatusCode::NOT_FOUND.into_response();
    }
    match server.peers.answer(&server.source, &offer).await {
        Ok(answer) => {
            let location = format!("/whep/{name}/{}", answer.id);
            let headers =
                [(header::CONTENT_TYPE, "application/sdp".to_owned()), (header::LOCATION, location)];
            (StatusCode::CREATED, headers, answer.sdp).into_response()
        }
        Err(error) => {
            let status = match error {
                OfferError::Unreadable(_) => StatusCode::BAD_REQUEST,
                OfferError::NoH264(_) => StatusCode::NOT_ACCEPTABLE,
                OfferError::Full { .. } => StatusCode::SERVICE_UNAVAILABLE,
                OfferError::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            };
            (status, error.to_string()).into_response()
        }
    }
}

async fn end(State(server): State<Arc<Server>>, Path((_, session)): Path<(String, String)>) -> StatusCode {
    match session.parse() {
        Ok(id) if server.peers.close(&id).await => StatusCode::OK,
        _ => StatusCode::NOT_FOUND,
    }
}

/// The encoder's part: 25 access units a second, and back to the first key frame when one is asked for.
fn play(source: &Source, file: &Bytes, key_frame_needed: &AtomicBool) {
    let units = access_units(file);
    let start = Instant::now();
    let mut next = 0;
    for tick in 0u32.. {
        let due = Duration::from_millis(40) * tick;
        std::thread::sleep(due.saturating_sub(start.elapsed()));
        if key_frame_needed.swap(false, Ordering::Relaxed) || next == units.len() {
            next = 0;
        }
        let (data, key) = &units[next];
        next += 1;
        let rtp_time = tick.wrapping_mul(3600);
        source.push(&SourceFrame { data: data.clone(), key: *key, rtp_time, captured: Instant::now() });
    }
}

/// Splits before every SPS, and before every slice that no SPS precedes.
fn access_units(file: &Bytes) -> Vec<(Bytes, bool)> {
    let mut starts: Vec<(usize, u8)> = Vec::new();
    for at in 0..file.len().saturating_sub(4) {
        if file[at..at + 3] == [0, 0, 1] {
            let zero_byte = usize::from(at > 0 && file[at - 1] == 0);
            starts.push((at - zero_byte, file[at + 3] & 0x1f));
        }
    }
    let mut units = Vec::new();
    let (mut begin, mut key) = (0, false);
    for (index, &(_, kind)) in starts.iter().enumerate() {
        key |= kind == 5;
        if matches!(kind, 1 | 5) {
            let end = starts.get(index + 1).map_or(file.len(), |next| next.0);
            units.push((file.slice(begin..end), key));
            (begin, key) = (end, false);
        }
    }
    units
}
