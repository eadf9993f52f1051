//! `/api/v1/walls/{name}/stream`: what a wall is encoded with, to be read, and changed while people watch.
//!
//! A change lasts until the next start: the configuration says what a wall is, this what a network bears today.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};
use wallcast_compositor::{Bitrate, FrameRate};

use crate::config::bits_a_second;
use crate::http::problem::Problem;
use crate::http::{Shared, body};
use crate::pipeline::WallOutput;

const MAX_BYTES: usize = 1024;
const EXPECTED: &str = "a JSON object with one or more of fps, bitrate, key_frame";

/// `GET`: size, frame rate, bitrate, encoder and level.
pub(super) async fn get(
    State(shared): State<Shared>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    Ok(Json(document(shared.wall(&name)?)))
}

/// `PATCH`: another `fps` or `bitrate`, both or neither; `key_frame: true` asks for an IDR.
pub(super) async fn patch(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let wall = shared.wall(&name)?;
    body::require(&headers, "application/json")?;
    let text = body::read(body, MAX_BYTES, EXPECTED).await?;
    let asked: Map<String, Value> = serde_json::from_str(&text)
        .map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "something else", EXPECTED))?;
    let (mut fps, mut bitrate) = wall.view.rates();
    let mut key_frame = false;
    for (key, value) in &asked {
        match key.as_str() {
            "fps" => fps = read_fps(value)?,
            "bitrate" => bitrate = read_bitrate(value)?,
            "key_frame" => {
                key_frame = value.as_bool().ok_or_else(|| refused(value, "true or false for key_frame"))?;
            }
            unknown => return Err(refused(&json!(unknown), EXPECTED)),
        }
    }
    wall.view.set_rates(fps, bitrate).map_err(|error| {
        let found = format!("{} fps at {} b/s, which is level {}", fps.get(), bitrate.bps(), error.found);
        let expected = format!("at most level {}, which the wall's viewers were told", error.expected);
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, found, expected)
    })?;
    if key_frame {
        wall.view.request_key_frame();
    }
    Ok(Json(document(wall)))
}

fn document(wall: &WallOutput) -> Value {
    let (fps, bitrate) = wall.view.rates();
    let size = wall.entry.size;
    json!({
        "size": format!("{}x{}", size.width(), size.height()),
        "fps": fps.get(),
        "bitrate_bps": bitrate.bps(),
        "encoder": wall.view.stats(std::time::Instant::now()).encoder,
        "level": wall.view.level().to_string(),
    })
}

fn read_fps(value: &Value) -> Result<FrameRate, Problem> {
    let fps = value.as_u64().and_then(|fps| u32::try_from(fps).ok()).and_then(|fps| FrameRate::new(fps).ok());
    fps.ok_or_else(|| refused(value, "a whole number for fps, 1 to 60"))
}

/// A number of bits a second, or a text as the configuration has it.
fn read_bitrate(value: &Value) -> Result<Bitrate, Problem> {
    let bps = value.as_u64().or_else(|| value.as_str().and_then(bits_a_second));
    let bitrate = bps.and_then(|bps| Bitrate::new(bps).ok());
    bitrate.ok_or_else(|| refused(value, "bits a second for bitrate, 50k to 100M, such as 4M or 800000"))
}

fn refused(found: &Value, expected: &str) -> Problem {
    let found: String = found.to_string().chars().take(80).collect();
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, found, expected)
}
