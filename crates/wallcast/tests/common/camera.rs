//! Cameras that we did not write: `scripts/cameras/gst_camera.py`, GStreamer's RTSP server.

use super::{root, signal, skip, wait_until};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

/// A camera's process; killed when dropped.
pub struct Camera {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    arguments: Vec<String>,
    /// `rtsp://127.0.0.1:PORT/cam`.
    pub url: String,
}

/// Is GStreamer's RTSP server here? Otherwise the test must not go on (and has said so).
pub fn available(test: &str) -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    let found = *AVAILABLE.get_or_init(|| {
        let import =
            "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer";
        Command::new("/usr/bin/python3")
            .args(["-c", import])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    });
    if !found {
        skip(test, "found no GStreamer RTSP server (python3-gi, gir1.2-gst-rtsp-server-1.0)");
    }
    found
}

impl Camera {
    /// Starts a camera; the arguments are the script's. Returns when it can be connected to.
    pub fn start(arguments: &[&str]) -> Self {
        Self::spawn(arguments.iter().map(|&argument| argument.to_owned()).collect())
    }

    /// A moving picture of 1280x720 at 25 fps, whose background tells the number, 1 to 4.
    pub fn numbered(number: usize) -> Self {
        Self::start(&["--size", "1280x720", "--number", &number.to_string()])
    }

    /// The URL with a login in it. The password must be percent-encoded already.
    pub fn url_with_login(&self, user: &str, password: &str) -> String {
        self.url.replacen("rtsp://", &format!("rtsp://{user}:{password}@"), 1)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What clients did, in the script's words, such as `client play tcp`.
    pub fn events(&self) -> Vec<String> {
        self.lines.lock().unwrap().iter().filter(|line| line.starts_with("client")).cloned().collect()
    }

    /// Ends it as a power cut does.
    pub fn kill(&mut self) {
        signal(self.pid(), "KILL");
        self.child.wait().unwrap();
    }

    /// A killed camera comes back at the same address.
    pub fn restart(&mut self) {
        let port = self.url.rsplit(':').next().unwrap().trim_end_matches("/cam").to_owned();
        let mut arguments = self.arguments.clone();
        arguments.extend(["--port".to_owned(), port]);
        *self = Self::spawn(arguments);
    }

    fn spawn(arguments: Vec<String>) -> Self {
        let mut child = Command::new(root().join("scripts/cameras/gst_camera.py"))
            .args(&arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (sink, stdout) = (Arc::clone(&lines), child.stdout.take().unwrap());
        // Ends by itself with the process.
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                sink.lock().unwrap().push(line);
            }
        });
        let url = wait_until("a camera to be ready", Duration::from_secs(30), || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("gst_camera.py {arguments:?} ended: {status}");
            }
            let lines = lines.lock().unwrap();
            lines.iter().find_map(|line| line.strip_prefix("ready ").map(str::to_owned)).ok_or("nothing")
        });
        Self { child, lines, arguments, url }
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        let _ = self.child.kill(); // SIGKILL ends a stopped process too
        let _ = self.child.wait();
    }
}
