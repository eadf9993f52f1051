//! `wallcast demo`: four simulated cameras over real RTSP on loopback, and the wall that shows them. What reads them is
//! the same ingest that reads anybody's camera.

use std::net::SocketAddr;
use std::sync::Arc;

use wallcast_compositor::StartError;

use crate::config::{self, Config, Overrides, Problems};
use crate::demo::{CameraSpec, SimulatedCamera};
use crate::pipeline::shown_address;
use crate::rtsp::{Mounts, NameInUse};

/// Where the demo's configuration says it comes from, in messages.
const ORIGIN: &str = "wallcast demo";

/// A demo that has not been started.
pub struct Demo {
    flags: Overrides,
    server: Config,
}

/// Why the demo did not start.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The demo's own configuration cannot be used.
    #[error("{0}")]
    Config(#[from] Problems),
    /// A camera's encoder or thread did not start.
    #[error(transparent)]
    Camera(#[from] StartError),
    /// Its name is taken on the RTSP server.
    #[error(transparent)]
    Name(#[from] NameInUse),
}

impl Demo {
    /// Checks the flags.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn plan(flags: &Overrides) -> Result<Self, Problems> {
        let placeholder = SocketAddr::from(([127, 0, 0, 1], 8554));
        Ok(Self { flags: *flags, server: configuration(placeholder, flags)? })
    }

    /// Where to listen and whom to let in.
    pub fn server(&self) -> &Config {
        &self.server
    }

    /// Starts the cameras as mounts of the RTSP server at `address`, and says how to read them.
    ///
    /// # Errors
    /// A camera could not be started.
    pub fn start(
        self,
        address: SocketAddr,
        mounts: &Mounts,
    ) -> Result<(Config, Vec<SimulatedCamera>), DemoError> {
        let address = SocketAddr::new(shown_address(address.ip()), address.port());
        let config = configuration(address, &self.flags)?;
        let mut cameras = Vec::new();
        for spec in CameraSpec::four() {
            let camera = SimulatedCamera::start(spec)?;
            mounts.add(Arc::clone(camera.mount()))?;
            cameras.push(camera);
        }
        Ok((config, cameras))
    }
}

fn configuration(rtsp: SocketAddr, flags: &Overrides) -> Result<Config, Problems> {
    let cameras: String = CameraSpec::four()
        .iter()
        .map(|camera| format!("  {0}: rtsp://{rtsp}/{0}\n", camera.name()))
        .collect();
    config::parse(ORIGIN, &format!("cameras:\n{cameras}walls:\n  wall:\n    layout: columns\n"), flags)
}
