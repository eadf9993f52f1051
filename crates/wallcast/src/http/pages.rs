//! The pages and their parts, embedded in the binary; no build step, no files to lose.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::http::Shared;
use crate::http::problem::Problem;

const INDEX: &str = include_str!("../../../../web/index.html");
const WALL: &str = include_str!("../../../../web/wall.html");
const PROBLEM: &str = include_str!("../../../../web/problem.html");
const DEFAULT_WALL_PLACEHOLDER: &str = "{{default_wall}}";

/// An embedded file with its media type.
struct Asset {
    name: &'static str,
    media_type: &'static str,
    body: &'static str,
}

macro_rules! asset {
    ($name:literal, $media_type:expr) => {
        Asset { name: $name, media_type: $media_type, body: include_str!(concat!("../../../../web/", $name)) }
    };
}

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const ASSETS: &[Asset] = &[
    asset!("icon.svg", "image/svg+xml"),
    asset!("index.js", JAVASCRIPT),
    asset!("page.js", JAVASCRIPT),
    asset!("picture.js", JAVASCRIPT),
    asset!("style.css", "text/css; charset=utf-8"),
    asset!("wall.js", JAVASCRIPT),
    asset!("wallcast-player.js", JAVASCRIPT),
    asset!("whep-client.js", JAVASCRIPT),
];

/// `GET /`: the default wall, playing.
pub(super) async fn index(State(shared): State<Shared>) -> Response {
    let wall = shared.running.walls.first().map_or("", |wall| wall.view.name());
    page(INDEX.replace(DEFAULT_WALL_PLACEHOLDER, &escape(wall)))
}

/// `GET /wall/{name}`: the same, bare, for a display that nobody touches.
pub(super) async fn wall(State(shared): State<Shared>, Path(name): Path<String>) -> Response {
    if shared.running.wall(&name).is_none() {
        return Problem::new(StatusCode::NOT_FOUND, format!("the name {name:?}"), "the name of a wall")
            .into_response();
    }
    page(WALL.to_owned())
}

/// `GET /assets/{file}`, with an ETag so that a display does not fetch them again.
pub(super) async fn asset(Path(file): Path<String>, headers: HeaderMap) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == file) else {
        return Problem::new(
            StatusCode::NOT_FOUND,
            format!("the name {file:?}"),
            "the name of a page's part",
        )
        .into_response();
    };
    let etag = etag(asset.body);
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    if known.is_some_and(|known| known.split(',').any(|tag| tag.trim() == etag)) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response();
    }
    let headers = [
        (header::CONTENT_TYPE, asset.media_type.to_owned()),
        (header::ETAG, etag),
        (header::CACHE_CONTROL, "no-cache".to_owned()),
    ];
    (headers, asset.body).into_response()
}

fn page(html: String) -> Response {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CACHE_CONTROL, "no-store")], html)
        .into_response()
}

/// What people read instead of `application/problem+json`; `detail` is half a sentence. Loads itself again.
pub(super) fn problem(title: &str, detail: &str) -> String {
    let mut letters = detail.chars();
    let sentence: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    // The detail last: what a stranger wrote is not searched for placeholders.
    PROBLEM.replace("{{title}}", &escape(title)).replace("{{detail}}", &escape(&sentence))
}

/// Names are data; this makes one safe in a text and inside a double-quoted attribute.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

/// A strong ETag: 64 bits of FNV-1a over the body, the same in every process of the same build.
fn etag(body: &str) -> String {
    let hash = body.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("\"{hash:016x}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_place() {
        assert_eq!(escape(r#""><img onerror=x>"#), "&quot;&gt;&lt;img onerror=x&gt;");
    }

    #[test]
    fn no_page_carries_script_or_style_of_its_own() {
        assert!(INDEX.contains(DEFAULT_WALL_PLACEHOLDER), "no place for the wall's name");
        for (name, html) in [("index", INDEX), ("wall", WALL), ("problem", PROBLEM)] {
            assert!(
                !html.contains("<style") && !html.contains(" style="),
                "{name}: the CSP forbids inline style"
            );
            for script in html.split("<script").skip(1) {
                assert!(script.contains("src="), "{name}: the CSP forbids inline scripts");
            }
        }
    }

    #[test]
    fn every_part_that_a_page_or_a_script_names_is_embedded() {
        let scripts = ASSETS.iter().filter(|asset| asset.media_type == JAVASCRIPT);
        let texts = [("index.html", INDEX), ("wall.html", WALL), ("problem.html", PROBLEM)].into_iter();
        for (file, text) in texts.chain(scripts.map(|asset| (asset.name, asset.body))) {
            let named = text.split(['"', '\'']).filter_map(|quoted| {
                quoted
                    .strip_prefix("/assets/")
                    .or_else(|| quoted.strip_prefix("./").filter(|name| name.ends_with(".js")))
            });
            for name in named {
                assert!(
                    ASSETS.iter().any(|asset| asset.name == name),
                    "{file} names {name}, which is not embedded"
                );
            }
        }
    }
}
