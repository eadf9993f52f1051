//! Offer and answer by HTTP: a server's door, and its other side.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;

use crate::fan_out::viewers::{Admission, Door, Introduction, Terms};

/// Answers one offer.
#[async_trait]
pub(super) trait Answering: Send + Sync + 'static {
    async fn answer(&self, offer: String) -> anyhow::Result<String>;
}

/// Serves `/whep` on a free port of loopback for good, and says where.
pub(super) async fn serve(answering: Arc<dyn Answering>) -> anyhow::Result<()> {
    let app = Router::new().route("/whep", post(answer)).with_state(answering);
    let listener = tokio::net::TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    super::say(&format!("http://{}/whep", listener.local_addr()?))?;
    Ok(axum::serve(listener, app).await?)
}

async fn answer(State(answering): State<Arc<dyn Answering>>, offer: String) -> (StatusCode, String) {
    match answering.answer(offer).await {
        Ok(answer) => (StatusCode::CREATED, answer),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}")),
    }
}

/// Any WHEP server, the `wallcast` binary among them.
pub struct Whep {
    url: String,
    agent: ureq::Agent,
}

impl Whep {
    /// Whose address for offers is `url`.
    pub fn new(url: &str) -> Self {
        Self { url: url.to_owned(), agent: ureq::Agent::new_with_defaults() }
    }
}

impl Whep {
    pub(super) fn offer(&mut self, offer: &str) -> anyhow::Result<Admission> {
        let request = self.agent.post(&self.url).header("Content-Type", "application/sdp");
        let answer = request.send(offer)?.body_mut().read_to_string()?;
        Ok(Admission::WebRtc(Terms::read(&answer, true)?))
    }
}

impl Door for Whep {
    fn enter(&mut self, viewer: &Introduction) -> anyhow::Result<Admission> {
        self.offer(&viewer.offer())
    }
}
