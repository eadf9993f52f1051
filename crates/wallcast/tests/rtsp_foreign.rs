//! Simulated cameras behind the RTSP server, read by programs that we did not write: FFmpeg and GStreamer. A
//! program that is not installed is said and skipped.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests, which say what they skip")]

use std::{
    process::{Command, Output},
    sync::Arc,
    time::{Duration, Instant},
};

use wallcast::{
    auth::{Auth, Authenticator, Roles, Token},
    demo::{
        CameraSpec, SimulatedCamera,
        marks::{Marks, PictureArea, read_marks},
    },
    rtsp::{Mounts, RtspServer},
};
use wallcast_compositor::CanvasSize;

const WIDTH: usize = 640;
const HEIGHT: usize = 360;

struct Fixture {
    server: RtspServer,
    cameras: Vec<SimulatedCamera>,
}

impl Fixture {
    fn new(auth: Auth) -> Self {
        let mounts = Mounts::new();
        let cameras: Vec<_> = CameraSpec::four()
            .into_iter()
            .map(|mut spec| {
                spec.size = CanvasSize::new(WIDTH as u32, HEIGHT as u32).unwrap();
                SimulatedCamera::start(spec).unwrap()
            })
            .collect();
        for camera in &cameras {
            mounts.add(Arc::clone(camera.mount())).unwrap();
        }
        let server =
            RtspServer::bind("127.0.0.1:0".parse().unwrap(), mounts, Arc::new(Authenticator::new(auth)))
                .unwrap();
        Self { server, cameras }
    }

    fn url(&self, login: &str, camera: usize) -> String {
        format!("rtsp://{login}{}/cam{camera}", self.server.local_addr())
    }

    /// FFmpeg's pictures of a camera, as the marks in them.
    async fn ffmpeg(&self, transport: &str, login: &str, camera: usize, frames: usize) -> Vec<Marks> {
        let url = self.url(login, camera);
        let count = frames.to_string();
        let args = ["-v", "error", "-rtsp_transport", transport, "-i", &url, "-frames:v", &count];
        let output =
            run("ffmpeg", &[&args[..], &["-f", "rawvideo", "-pix_fmt", "yuv420p", "-"]].concat()).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let area = PictureArea { x: 0.0, y: 0.0, width: WIDTH as f64, height: HEIGHT as f64 };
        let pictures = output.stdout.chunks_exact(WIDTH * HEIGHT * 3 / 2);
        pictures.map(|picture| read_marks(picture, WIDTH, area).expect("marks in every picture")).collect()
    }
}

async fn run(program: &str, args: &[&str]) -> Output {
    let mut command = Command::new("timeout");
    command.args(["-k", "2", "30", program]).args(args);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn is_installed(program: &str) -> bool {
    let found = Command::new(program).arg("-version").output().is_ok();
    if !found {
        eprintln!("skipped: there is no {program}");
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn ffprobe_sees_what_the_camera_is() {
    if !is_installed("ffprobe") {
        return;
    }
    let fixture = Fixture::new(Auth::Open);
    let entries = "stream=codec_name,profile,width,height,r_frame_rate,color_space";
    let url = fixture.url("", 2);
    let output =
        run("ffprobe", &["-v", "error", "-show_entries", entries, "-of", "default=nw=1", &url]).await;
    let expected = "codec_name=h264\nprofile=Constrained Baseline\nwidth=640\nheight=360\n\
        color_space=bt709\nr_frame_rate=25/1\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_reads_by_tcp_and_by_udp_every_picture_of_the_right_camera() {
    if !is_installed("ffmpeg") {
        return;
    }
    let fixture = Fixture::new(Auth::Open);
    for transport in ["tcp", "udp"] {
        let marks = fixture.ffmpeg(transport, "", 3, 50).await;
        assert_eq!(marks.len(), 50, "{transport}");
        assert!(marks.iter().all(|mark| mark.camera == 3));
        let steps: Vec<u32> =
            marks.windows(2).map(|pair| pair[1].millis.wrapping_sub(pair[0].millis)).collect();
        let lost = steps.iter().filter(|&&step| !(15..=65).contains(&step)).count();
        assert!(lost <= 2, "{transport}: pictures are 40 ms apart, {steps:?}");
    }
    let teardowns: u64 = fixture.cameras.iter().map(|camera| camera.mount().stats().teardowns).sum();
    assert_eq!((teardowns, fixture.server.stats().teardowns), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn four_cameras_are_read_at_once_and_rest_when_nobody_reads() {
    if !is_installed("ffmpeg") {
        return;
    }
    let fixture = Fixture::new(Auth::Open);
    assert!(fixture.cameras.iter().all(|camera| camera.stats(Instant::now()).frames_encoded == 0));
    let (one, two, three, four) = tokio::join!(
        fixture.ffmpeg("tcp", "", 1, 40),
        fixture.ffmpeg("udp", "", 2, 40),
        fixture.ffmpeg("tcp", "", 3, 40),
        fixture.ffmpeg("tcp", "", 4, 40),
    );
    for (index, marks) in [one, two, three, four].iter().enumerate() {
        assert_eq!(marks.len(), 40);
        assert!(marks.iter().all(|mark| usize::from(mark.camera) == index + 1));
    }
    let encoded = |camera: &SimulatedCamera| camera.stats(Instant::now()).frames_encoded;
    let before: Vec<u64> = fixture.cameras.iter().map(encoded).collect();
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(fixture.cameras.iter().map(encoded).collect::<Vec<_>>(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_logs_in_and_does_not_get_in_without() {
    if !is_installed("ffmpeg") {
        return;
    }
    let login = Auth::Tokens(vec![Token::new("viewer", "s3 cret".into(), Roles::ALL)]);
    let fixture = Fixture::new(login);
    for transport in ["tcp", "udp"] {
        assert_eq!(fixture.ffmpeg(transport, "viewer:s3%20cret@", 1, 5).await.len(), 5);
    }
    let refused = run("ffprobe", &["-v", "error", &fixture.url("viewer:wrong@", 1)]).await;
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("401"), "{refused:?}");
    assert!(fixture.server.stats().logins_denied > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn gstreamer_reads_by_tcp_and_by_udp_with_a_login() {
    if !is_installed("gst-launch-1.0") {
        return;
    }
    let login = Auth::Tokens(vec![Token::new("viewer", "s3cret".into(), Roles::ALL)]);
    let fixture = Fixture::new(login);
    for transport in ["tcp", "udp"] {
        let url = fixture.url("", 4);
        let source = format!(
            "rtspsrc location={url} protocols={transport} user-id=viewer user-pw=s3cret latency=0 ! \
            rtph264depay ! h264parse ! video/x-h264,stream-format=byte-stream,alignment=au ! identity eos-after=40 ! fdsink"
        );
        let words: Vec<&str> = ["-q"].into_iter().chain(source.split_whitespace()).collect();
        let output = run("gst-launch-1.0", &words).await;
        assert!(output.status.success(), "{transport}: {}", String::from_utf8_lossy(&output.stderr));
        let slices = output
            .stdout
            .windows(4)
            .filter(|bytes| bytes[..3] == [0, 0, 1] && matches!(bytes[3] & 0x1f, 1 | 5));
        assert!(slices.count() >= 39, "{transport}: {} bytes", output.stdout.len());
    }
    let mount = fixture.cameras[3].mount();
    let start = Instant::now();
    while mount.is_wanted() && start.elapsed() < Duration::from_secs(5) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((mount.stats().teardowns, mount.stats().readers), (2, 0));
}
