"""GStreamer's webrtcbin, which decodes by avdec_h264 (FFmpeg). It runs with the system's Python: python3-gi is built for that one."""

import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
import whep
from gi.repository import GLib, Gst, GstSdp, GstWebRTC

OFFERED = "application/x-rtp,media=video,encoding-name=H264,clock-rate=90000,payload=96,packetization-mode=(string)1,profile-level-id=(string)42e01f"
TAIL = "rtph264depay ! h264parse name=parse ! video/x-h264,alignment=au ! avdec_h264 ! fakesink name=sink sync=false signal-handoffs=true"
# The whole of it, when nothing comes at all.
PATIENCE_S = 20


class Player:
    def __init__(self, arguments):
        self.arguments, self.loop = arguments, GLib.MainLoop()
        self.session, self.problem = None, None
        self.frames, self.key_frames, self.decoded, self.first, self.size = 0, 0, 0, None, (None, None)
        self.pipeline = Gst.Pipeline.new(None)
        self.webrtc = Gst.ElementFactory.make("webrtcbin", None)
        self.webrtc.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
        self.pipeline.add(self.webrtc)
        self.webrtc.connect("on-negotiation-needed", self.negotiate)
        self.webrtc.connect("notify::ice-gathering-state", self.gathered)
        self.webrtc.connect("pad-added", self.receive)
        bus = self.pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", lambda _bus, message: self.stop(message.parse_error().gerror.message))
        caps = Gst.Caps.from_string(OFFERED)
        direction = GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY
        transceiver = self.webrtc.emit("add-transceiver", direction, caps)
        transceiver.set_property("do-nack", True)

    def run(self):
        self.pipeline.set_state(Gst.State.PLAYING)
        GLib.timeout_add(int(1000 * (self.arguments.seconds + PATIENCE_S)), self.stop, "it took too long")
        self.loop.run()
        ended = self.session.end() if self.session else None
        self.pipeline.set_state(Gst.State.NULL)
        if self.problem:
            raise SystemExit(self.problem)
        whep.report(
            self.session,
            version=".".join(str(part) for part in Gst.version()[:3]),
            frames=self.frames,
            key_frames=self.key_frames,
            decoded=self.decoded,
            width=self.size[0],
            height=self.size[1],
            first_frame_ms=self.session.elapsed_ms(self.first) if self.first else None,
            ended=ended,
        )

    def stop(self, problem=None):
        self.problem = problem
        self.loop.quit()
        return False

    def negotiate(self, webrtc):
        def created(promise):
            reply = promise.get_reply()  # owns the offer
            webrtc.emit("set-local-description", reply.get_value("offer"), Gst.Promise.new())

        webrtc.emit("create-offer", None, Gst.Promise.new_with_change_func(created))

    def gathered(self, webrtc, _property):
        """Off GStreamer's own thread: what it sets up waits for that one."""
        if webrtc.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            GLib.idle_add(self.subscribe)

    def subscribe(self):
        offer = self.webrtc.get_property("local-description").sdp.as_text()
        try:
            self.session = whep.Session(self.arguments.url, offer)
        except (OSError, SystemExit) as error:
            return self.stop(str(error))
        _, sdp = GstSdp.SDPMessage.new_from_text(self.session.answer)
        answer = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, sdp)
        self.webrtc.emit("set-remote-description", answer, Gst.Promise.new())
        return False

    def receive(self, _webrtc, pad):
        tail = Gst.parse_bin_from_description(TAIL, True)
        self.pipeline.add(tail)
        tail.get_by_name("parse").get_static_pad("src").add_probe(Gst.PadProbeType.BUFFER, self.access_unit)
        tail.get_by_name("sink").connect("handoff", self.picture)
        tail.sync_state_with_parent()
        pad.link(tail.get_static_pad("sink"))

    def access_unit(self, _pad, info):
        self.frames += 1
        self.key_frames += not info.get_buffer().has_flags(Gst.BufferFlags.DELTA_UNIT)
        return Gst.PadProbeReturn.OK

    def picture(self, _sink, _buffer, pad):
        self.decoded += 1
        if self.first is None:
            self.first = time.monotonic()
            GLib.timeout_add(int(1000 * self.arguments.seconds), self.stop)
            structure = pad.get_current_caps().get_structure(0)
            self.size = structure.get_value("width"), structure.get_value("height")


Gst.init(None)
Player(whep.arguments()).run()
