//! How the gate knows `retina`: by the address it asks for, which nobody else on this machine can guess.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::gate::message::{Message, Start};
use crate::gate::wire::{Item, Wire};

/// From the moment the gate stands until `retina` has asked for something.
const LONGEST: Duration = Duration::from_secs(10);
/// Connections that may wait to say who they are, and for how long. `retina` says it at once.
const MAX_STRANGERS: usize = 64;
const PATIENCE: Duration = Duration::from_secs(1);
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// `retina`, and what it asked for first.
pub(super) struct Greeted {
    pub(super) retina: TcpStream,
    pub(super) wire: Wire,
    pub(super) request: Message,
}

/// Waits for the connection that asks for `url`. Others are closed, and so is the port when the right one is there.
pub(super) async fn greet(listener: TcpListener, url: &str) -> Option<Greeted> {
    let greeting = async {
        let mut strangers = FuturesUnordered::new();
        loop {
            tokio::select! {
                accepted = listener.accept(), if strangers.len() < MAX_STRANGERS => match accepted {
                    Ok((stranger, _)) => strangers.push(timeout(PATIENCE, listen_to(stranger, url))),
                    // No descriptors left, most likely: they may come back.
                    Err(_) => sleep(ACCEPT_AGAIN).await,
                },
                Some(greeted) = strangers.next() => {
                    if let Ok(Some(greeted)) = greeted {
                        return greeted;
                    }
                }
            }
        }
    };
    timeout(LONGEST, greeting).await.ok()
}

async fn listen_to(mut stranger: TcpStream, url: &str) -> Option<Greeted> {
    let mut wire = Wire::new();
    loop {
        match wire.poll(tokio::time::Instant::now().into_std()) {
            Ok(None) => {}
            Ok(Some(Item::Message(request))) => {
                let is_ours = matches!(&request.start, Start::Request { uri, .. } if uri == url);
                // Small packets must not wait for each other's acknowledgement.
                return (is_ours && stranger.set_nodelay(true).is_ok()).then_some(Greeted {
                    retina: stranger,
                    wire,
                    request,
                });
            }
            _ => return None,
        }
        if stranger.read_buf(wire.buffer()).await.ok()? == 0 {
            return None;
        }
    }
}
