//! `wallcast demo`: simulated cameras over real RTSP on loopback, and the wall that shows them.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::config::{self, Config, Overrides, Problems};
use crate::pipeline::shown_address;
use crate::rtsp::Mounts;

const CAMERAS: usize = 4;
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
    pub fn start(self, address: SocketAddr, _mounts: &Arc<Mounts>) -> Result<(Config, Vec<()>), DemoError> {
        let address = SocketAddr::new(shown_address(address.ip()), address.port());
        Ok((configuration(address, &self.flags)?, Vec::new()))
    }
}

fn configuration(rtsp: SocketAddr, flags: &Overrides) -> Result<Config, Problems> {
    let cameras: String =
        (1..=CAMERAS).map(|number| format!("  cam{number}: rtsp://{rtsp}/cam{number}\n")).collect();
    config::parse(ORIGIN, &format!("cameras:\n{cameras}walls:\n  wall:\n    layout: columns\n"), flags)
}
