#!/usr/bin/python3
"""An RTSP camera that Wallcast's authors did not write: GStreamer's RTSP server, encoders and payloaders.

It plays a short piece in an endless, seamless loop, as it was encoded: either a pattern (a plain background whose colour
tells the camera's number, a white bar sweeping over it) or, with --file, the video of an MP4 file. Encoding happens once,
at the start, so that a camera costs next to nothing while tests measure something else.

    gst_camera.py --codec h264 --size 1920x1080 --fps 25 --number 2
    gst_camera.py --file clip.mp4 --user admin --password secret --auth digest
    gst_camera.py --size 640x360 --marks       with marks that say which picture of the loop it is

All clients see the same pictures at the same time.

One line on standard output says the address, `ready rtsp://127.0.0.1:PORT/cam`; later lines say what clients do:
`client describe`, `client play tcp`, `client teardown`, `client closed`. Ends on SIGTERM and SIGINT.

The Debian packages it needs are installed by scripts/test.sh; python3-gi is for the system's Python, hence the first line.
"""

import argparse
import signal
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstApp, GstRtsp, GstRtspServer  # noqa: E402,F401 (GstApp gives AppSrc its methods)

# Background by camera number: (Y, Cb, Cr), BT.601/709 limited range, far enough apart to be told after two encodings.
BACKGROUNDS = {1: (81, 90, 210), 2: (110, 60, 60), 3: (60, 200, 110), 4: (140, 150, 170)}
BAR_LUMA = 235
# The marks of crates/wallcast/src/demo/marks.rs, where their places and their meaning are written down.
MARKS = {"columns": 40, "rows": 20, "first_column": 7, "first_row": 15, "bits_a_row": 24}
BLACK, WHITE = 16, 235

# The first that is installed is taken. No B-frames, no look-ahead and one slice a picture, as cameras encode. (The payloader of
# GStreamer 1.22 sets the marker bit in the middle of a key frame of several slices.)
ENCODERS = {
    "h264": [
        ("x264enc", "x264enc tune=zerolatency sliced-threads=false speed-preset=ultrafast bitrate={kbps} key-int-max={gop}"),
        ("openh264enc", "openh264enc bitrate={bps} gop-size={gop}"),
    ],
    "h265": [("x265enc", "x265enc tune=zerolatency speed-preset=ultrafast bitrate={kbps} key-int-max={gop}")],
}


def say(line):
    print(line, flush=True)


def fail(why):
    print(f"gst_camera: {why}", file=sys.stderr)
    sys.exit(2)


class Piece:
    """Access units with their times, played over and over without a gap."""

    def __init__(self, codec, caps, units, length):
        self.codec, self.caps, self.units, self.length = codec, caps, units, length


def run_to_end(pipeline, push=None):
    """Runs a pipeline with an appsink `out` to its end and returns what came out: (caps, buffers)."""
    out = pipeline.get_by_name("out")
    pipeline.set_state(Gst.State.PLAYING)
    if push:
        push(pipeline.get_by_name("in"))
    caps, buffers = None, []
    while sample := out.emit("pull-sample"):
        caps = sample.get_caps()
        buffers.append(sample.get_buffer())
    error = pipeline.get_bus().pop_filtered(Gst.MessageType.ERROR)
    pipeline.set_state(Gst.State.NULL)
    if error:
        fail(error.parse_error()[0].message)
    if not buffers:
        fail("no video came out")
    return caps, buffers


def marks_word(number, millis):
    """Four bits of camera number, 32 of time, 12 of CRC."""
    data, crc = number << 32 | millis, 0xFFF
    for bit in range(35, -1, -1):
        feedback = (crc >> 11 ^ data >> bit) & 1
        crc = (crc << 1 & 0xFFF) ^ (feedback * 0x80F)
    return data << 12 | crc


def paint_marks(luma, size, number, millis):
    """Two rows of black and white cells into a luma plane, on black."""
    (width, height), bits = size, MARKS["bits_a_row"]
    x = lambda cell: int((MARKS["first_column"] + cell) * width / MARKS["columns"])  # noqa: E731
    y = lambda cell: int((MARKS["first_row"] + cell) * height / MARKS["rows"])  # noqa: E731
    word = marks_word(number, millis)
    edge = bytes([BLACK]) * (x(bits + 2.5) - x(-0.5))
    for row in range(y(-0.5), y(2.5)):
        luma[row * width + x(-0.5) : row * width + x(bits + 2.5)] = edge
    for cells in range(2):
        row_of_bits = word >> (bits * (1 - cells)) & ((1 << bits) - 1)
        values = [cells == 0, *(row_of_bits >> bit & 1 for bit in range(bits - 1, -1, -1)), cells == 1]
        line = b"".join(
            bytes([WHITE if value else BLACK]) * (x(cell + 1) - x(cell)) for cell, value in enumerate(values)
        )
        for row in range(y(cells), y(cells + 1)):
            luma[row * width + x(0) : row * width + x(bits + 2)] = line


def encoded_pattern(args):
    """Encodes `--seconds` of the pattern. The bar crosses the picture once, so the loop has no seam."""
    factory = next((text for name, text in ENCODERS[args.codec] if Gst.ElementFactory.find(name)), None)
    if factory is None:
        fail(f"found no {args.codec} encoder, expected {' or '.join(name for name, _ in ENCODERS[args.codec])}")
    encoder = factory.format(kbps=args.kbps, bps=args.kbps * 1000, gop=args.key_int)
    width, height = args.size
    pipeline = Gst.parse_launch(
        f"appsrc name=in format=time block=true max-bytes={width * height * 6} "
        f"caps=video/x-raw,format=I420,width={width},height={height},framerate={args.fps}/1 ! {encoder} ! "
        f"{args.codec}parse config-interval=-1 ! video/x-{args.codec},stream-format=byte-stream,alignment=au ! "
        "appsink name=out sync=false max-buffers=0"
    )
    luma, cb, cr = BACKGROUNDS[args.number]
    chroma = bytes([cb]) * (width * height // 4) + bytes([cr]) * (width * height // 4)
    count, bar = args.fps * args.seconds, width // 8
    frame_time = Gst.SECOND // args.fps

    def push(source):
        for n in range(count):
            row = bytearray([luma]) * width
            for x in range(bar):
                row[(width * n // count + x) % width] = BAR_LUMA
            plane = row * height
            if args.marks:
                paint_marks(plane, args.size, args.number, 1000 * n // args.fps)
            picture = Gst.Buffer.new_wrapped(bytes(plane) + chroma)
            picture.pts = n * frame_time
            picture.duration = frame_time
            source.emit("push-buffer", picture)
        source.emit("end-of-stream")

    caps, units = run_to_end(pipeline, push)
    start = units[0].pts  # x264enc starts at 1000 h
    return Piece(args.codec, caps, [(u, u.pts - start, u.dts - start) for u in units], count * frame_time)


def piece_of_file(path):
    """The video of an MP4 file, not re-encoded: B-frames, key frame distance and parameter sets are the file's own."""
    discover = Gst.parse_launch(f'filesrc location="{path}" ! qtdemux name=d d.video_0 ! parsebin ! appsink name=out sync=false')
    caps, _ = run_to_end(discover)
    codec = caps.get_structure(0).get_name().removeprefix("video/x-")
    if codec not in ENCODERS:
        fail(f"found {codec} in {path}, expected h264 or h265")
    pipeline = Gst.parse_launch(
        f'filesrc location="{path}" ! qtdemux name=d d.video_0 ! {codec}parse config-interval=-1 ! '
        f"video/x-{codec},stream-format=byte-stream,alignment=au ! appsink name=out sync=false max-buffers=0"
    )
    caps, units = run_to_end(pipeline)
    start = min(u.dts for u in units)
    end = max(u.pts + u.duration for u in units)
    return Piece(codec, caps, [(u, u.pts - start, u.dts - start) for u in units], end - start)


class Player:
    """Feeds one media's appsrc, which asks for the next access unit whenever it has sent one."""

    def __init__(self, piece, media):
        self.piece, self.next, self.origin = piece, 0, 0
        source = media.get_element().get_by_name_recurse_up("in")
        source.set_property("caps", piece.caps)
        source.connect("need-data", self.feed)

    def feed(self, source, _length):
        unit, pts, dts = self.piece.units[self.next]
        unit = unit.copy()
        unit.pts, unit.dts = self.origin + pts, self.origin + dts
        self.next += 1
        if self.next == len(self.piece.units):
            self.next, self.origin = 0, self.origin + self.piece.length
        source.emit("push-buffer", unit)


class OneSource(GstRtspServer.RTSPMediaFactory):
    """Shared media go by the whole URL; a client that comes by another port (a relay) is to see the same pictures too."""

    def do_gen_key(self, url):
        return url.abspath


def make_factory(args, piece):
    factory = OneSource()
    factory.set_launch(
        f"( appsrc name=in is-live=true format=time max-bytes=65536 ! "
        f"rtp{piece.codec}pay name=pay0 pt=96 )"
    )
    factory.set_shared(True)
    transports = {"both": GstRtsp.RTSPLowerTrans.TCP | GstRtsp.RTSPLowerTrans.UDP,
                  "tcp": GstRtsp.RTSPLowerTrans.TCP, "udp": GstRtsp.RTSPLowerTrans.UDP}
    factory.set_protocols(transports[args.transports])
    factory.connect("media-configure", lambda _factory, media: Player(piece, media))
    return factory


def require_login(args, server, factory):
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "user")
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_role("user")
    permissions.add_permission_for_role("user", "media.factory.access", True)
    permissions.add_permission_for_role("user", "media.factory.construct", True)
    factory.set_permissions(permissions)
    auth = GstRtspServer.RTSPAuth()
    if args.auth == "digest":
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(args.user, args.password, token)
    else:
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.BASIC)
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(args.user, args.password), token)
    server.set_auth(auth)


def report(_server, client):
    def transport(_client, context):
        used = context.session.get_media(context.uri.abspath)[0].get_transport(0).get_transport()
        say("client play " + ("tcp" if used.lower_transport == GstRtsp.RTSPLowerTrans.TCP else "udp"))

    client.connect("describe-request", lambda *_: say("client describe"))
    client.connect("play-request", transport)
    client.connect("teardown-request", lambda *_: say("client teardown"))
    client.connect("closed", lambda *_: say("client closed"))


def parse_arguments():
    size = lambda text: tuple(int(side) for side in text.split("x"))  # noqa: E731
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--port", default="0", help="0 (the default) takes a free one")
    parser.add_argument("--codec", choices=ENCODERS, default="h264")
    parser.add_argument("--size", type=size, default=(1920, 1080), metavar="1920x1080")
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--key-int", type=int, default=50, help="frames from key frame to key frame")
    parser.add_argument("--kbps", type=int, default=4000)
    parser.add_argument("--number", type=int, choices=BACKGROUNDS, default=1, help="chooses the background's colour")
    parser.add_argument("--seconds", type=int, default=4, help="length of the pattern's loop")
    parser.add_argument("--marks", action="store_true", help="milliseconds since the loop began, as marks that can be read back")
    parser.add_argument("--file", help="an MP4 file to play instead of the pattern")
    parser.add_argument("--user")
    parser.add_argument("--password")
    parser.add_argument("--auth", choices=["digest", "basic"], default="digest")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--tcp-only", dest="transports", action="store_const", const="tcp", default="both")
    only.add_argument("--udp-only", dest="transports", action="store_const", const="udp")
    return parser.parse_args()


def main():
    args = parse_arguments()
    Gst.init(None)
    piece = piece_of_file(args.file) if args.file else encoded_pattern(args)

    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(args.port)
    factory = make_factory(args, piece)
    if args.user:
        require_login(args, server, factory)
    server.get_mount_points().add_factory("/cam", factory)
    server.connect("client-connected", report)
    if server.attach(None) == 0:
        fail(f"port {args.port} is taken")

    loop = GLib.MainLoop()
    for ending in (signal.SIGTERM, signal.SIGINT):
        GLib.unix_signal_add(GLib.PRIORITY_HIGH, ending, loop.quit)
    say(f"ready rtsp://127.0.0.1:{server.get_bound_port()}/cam")
    loop.run()


main()
