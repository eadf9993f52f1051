//! Chromium, watching: a child that runs `scripts/e2e/latency.mjs` and says at its end what it saw.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cameras::Cameras;
use crate::common;
use crate::delays::{Delays, FirstShown, Reading, Shown, shares};

/// A page that is open.
pub struct Browser {
    child: Child,
    said: Option<JoinHandle<String>>,
}

impl Browser {
    /// Opens the wall, looks on for `settle`, and then at every frame for `span`.
    pub fn open(wallcast: &str, settle: Duration, span: Duration, reading: &Reading) -> Self {
        let areas: Vec<Value> = reading
            .areas
            .iter()
            .map(|area| json!({ "x": area.x, "y": area.y, "width": area.width, "height": area.height }))
            .collect();
        let mut child = Command::new("node")
            .arg(common::root().join("scripts/e2e/latency.mjs"))
            .arg(format!("{wallcast}/wall/wall"))
            .args([settle.as_secs().to_string(), span.as_secs().to_string()])
            .arg(Value::from(areas).to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this part needs node, Chromium, and `npm ci` in scripts/e2e");
        let mut output = child.stdout.take().unwrap();
        let said = std::thread::spawn(move || {
            let mut text = String::new();
            output.read_to_string(&mut text).unwrap();
            text
        });
        Self { child, said: Some(said) }
    }

    pub fn is_open(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What it saw, once it has been closed.
    pub fn delays(mut self, cameras: &Cameras) -> Delays {
        let status = self.child.wait().unwrap();
        let said = self.said.take().unwrap().join().unwrap();
        assert!(status.success(), "scripts/e2e/latency.mjs ended with {status}");
        let seen: Value = serde_json::from_str(&said).unwrap();
        let mut delays = Delays::default();
        let (mut to_browser, mut in_browser, mut to_page) = (Vec::new(), Vec::new(), Vec::new());
        let (mut first, mut first_received) = (FirstShown::default(), FirstShown::default());
        for frame in seen["frames"].as_array().unwrap() {
            let ms = |key: &str| frame[key].as_f64();
            let time = |ms: f64| Duration::from_secs_f64(ms / 1e3);
            let shown: Shown =
                frame["millis"].as_array().unwrap().iter().map(|ms| Some(ms.as_u64()? as u32)).collect();
            let Some(displayed) = ms("displayed") else { continue };
            delays.all.extend(first.ages(&shown, time(displayed), cameras));
            let Some(received) = ms("received") else { continue };
            let ages = first_received.ages(&shown, time(received), cameras);
            to_browser.extend(ages.iter().map(|age| age.ms));
            in_browser.push(displayed - received);
            to_page.extend(ms("called").map(|called| called - received));
        }
        for (part, values) in [
            ("until its last packet is in the browser", to_browser),
            ("from there to the screen", in_browser),
            ("from there until the page hears of it", to_page),
        ] {
            if !values.is_empty() {
                delays.parts.push((part, shares(values)));
            }
        }
        println!("| | by getStats: {} | | | | | | |", seen["stats"]);
        delays
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
