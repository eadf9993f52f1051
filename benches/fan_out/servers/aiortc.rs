//! aiortc (`python3 -m venv … && pip install aiortc aiohttp`): it is given the film encoded, which is more than it was made
//! for; its own way, an encoder for each viewer, costs a hundred times as much.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::whep::Whep;
use super::{Server, spawn};
use crate::fan_out::viewers::{Admission, Door, Introduction};

const SCRIPT: &str = include_str!("aiortc.py");
/// The interpreter that has it.
const PYTHON: &str = "AIORTC_PYTHON";

pub(super) fn start(film: &Path, hold: Duration) -> anyhow::Result<Server> {
    let python = std::env::var(PYTHON).unwrap_or_else(|_| "python3".to_owned());
    let mut command = Command::new(python);
    command.args(["-c", SCRIPT]).arg(film).arg(hold.as_secs_f64().to_string());
    let (child, said) = spawn(&mut command)?;
    Ok(Server { child, door: Box::new(Active(Whep::new(&said))), _player: None })
}

/// aiortc would begin the handshake itself; viewers here only do what browsers do.
struct Active(Whep);

impl Door for Active {
    fn enter(&mut self, viewer: &Introduction) -> anyhow::Result<Admission> {
        self.0.offer(&viewer.offer().replace("a=setup:actpass", "a=setup:active"))
    }
}
