//! Decoding with hardware: which ways there are, opening one, and judging whether it works. Whatever goes wrong, the next way is
//! tried, and software at last; a session is never lost over it.
//!
//! Two kinds of hardware decoders exist in FFmpeg. A *device* (VA-API, CUDA) helps FFmpeg's own decoder; its pictures have
//! to be fetched from its memory. A *wrapper* (Rockchip, V4L2) is a decoder of another name.

use std::ffi::CStr;
use std::sync::{Arc, Weak};

use ffmpeg_next::codec::{Context, Flags, decoder};
use ffmpeg_next::frame::Video;
use ffmpeg_next::{Dictionary, Packet};
use parking_lot::Mutex;

use super::{MAX_PIXELS, OpenError};
use crate::ffi::{Device, Download, is_on_device};
use crate::queue::{Codec, MAX_BYTES};

/// What a camera's pictures are decoded with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Hardware {
    /// Software: works everywhere, and is the reference.
    #[default]
    None,
    /// Whatever this FFmpeg and this machine offer, tried one after the other; software when they offer nothing.
    Auto,
    /// Intel and AMD, by VA-API.
    Vaapi,
    /// NVIDIA, by NVDEC.
    Cuda,
    /// Rockchip, by its media process platform.
    Rkmpp,
    /// Raspberry Pi and other boards, by the kernel's memory-to-memory codecs.
    V4l2m2m,
}

/// Pictures may be late by the depth of a wrapper's queues; so many access units without one are a failure.
const MAX_WITHOUT_PICTURE: usize = 30;
/// The access units kept for the next way to begin with; a longer group is waited out.
const MAX_KEPT: usize = 300;

/// One way of decoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Software,
    Device {
        kind: &'static CStr,
        name: &'static str,
    },
    Wrapper {
        name: &'static str,
    },
    /// Software that plays a device which cannot be read any more after so many pictures.
    #[cfg(test)]
    Pretended {
        pictures: usize,
    },
}

const VAAPI: Way = Way::Device { kind: c"vaapi", name: "vaapi" };
const CUDA: Way = Way::Device { kind: c"cuda", name: "cuda" };
const RKMPP: Way = Way::Wrapper { name: "rkmpp" };
const V4L2M2M: Way = Way::Wrapper { name: "v4l2m2m" };

impl Hardware {
    /// What to try, in this order.
    pub(super) fn ways(self) -> &'static [Way] {
        match self {
            Self::None => &[Way::Software],
            Self::Auto => &[VAAPI, CUDA, RKMPP, V4L2M2M, Way::Software],
            Self::Vaapi => &[VAAPI, Way::Software],
            Self::Cuda => &[CUDA, Way::Software],
            Self::Rkmpp => &[RKMPP, Way::Software],
            Self::V4l2m2m => &[V4L2M2M, Way::Software],
        }
    }
}

impl Way {
    /// For people; software has none.
    pub(super) fn name(self) -> Option<&'static str> {
        match self {
            Self::Software => None,
            Self::Device { name, .. } | Self::Wrapper { name } => Some(name),
            #[cfg(test)]
            Self::Pretended { .. } => Some("pretended"),
        }
    }

    /// The only decoders that this program can open. By name: by id a build may prefer one that needs hardware.
    pub(super) fn decoder(self, codec: Codec) -> &'static str {
        match (self, codec) {
            (RKMPP, Codec::H264) => "h264_rkmpp",
            (RKMPP, Codec::H265) => "hevc_rkmpp",
            (RKMPP, Codec::Jpeg) => "mjpeg_rkmpp",
            (V4L2M2M, Codec::H264) => "h264_v4l2m2m",
            (V4L2M2M, Codec::H265) => "hevc_v4l2m2m",
            (V4L2M2M, Codec::Jpeg) => "mjpeg_v4l2m2m",
            (_, Codec::H264) => "h264",
            (_, Codec::H265) => "hevc",
            (_, Codec::Jpeg) => "mjpeg",
        }
    }

    pub(super) fn open(self, codec: Codec) -> Result<Opened, OpenError> {
        let name = self.decoder(codec);
        let found = decoder::find_by_name(name).ok_or(OpenError::Missing { name })?;
        let mut context = Context::new_with_codec(found);
        // A stream that reorders says so in its parameter sets or is found out by the decoder, which then begins to
        // wait as long as needed: the flag only forbids waiting just in case.
        context.set_flags(Flags::LOW_DELAY);
        let device = match self {
            Self::Device { kind, .. } => {
                let device = shared_device(kind).map_err(|error| OpenError::NoDevice { error })?;
                device.attach(&mut context);
                Some(device)
            }
            _ => None,
        };
        let mut options = Dictionary::new();
        // Cameras decode in parallel to each other. A frame thread would be a frame of delay and of memory.
        options.set("threads", "1");
        options.set("max_pixels", &MAX_PIXELS.to_string());
        let decoder = context
            .decoder()
            .open_as_with(found, options)
            .and_then(decoder::Opened::video)
            .map_err(|error| OpenError::Refused { name, error })?;
        Ok(Opened { decoder, _device: device })
    }
}

/// An opened decoder of libavcodec.
pub(super) struct Opened {
    pub(super) decoder: decoder::Video,
    _device: Option<Arc<Device>>,
}

/// The ways that are left for a decoder, and what was wrong with the others.
pub(super) struct Ways {
    codec: Codec,
    left: &'static [Way],
    failures: Vec<String>,
    fell_back: Option<String>,
}

impl Ways {
    pub(super) fn new(codec: Codec, ways: &'static [Way]) -> Self {
        Self { codec, left: ways, failures: Vec::new(), fell_back: None }
    }

    pub(super) fn failed(&mut self, way: Way, reason: String) {
        self.failures.extend(way.name().map(|name| format!("{name}: {reason}")));
    }

    /// Opens the next one that opens. The error is the last one's, which is software's.
    pub(super) fn open_next(&mut self) -> Result<(Opened, Option<Box<Trial>>), OpenError> {
        loop {
            // The last way is software, after which nobody asks.
            let (&way, left) = self.left.split_first().unwrap_or((&Way::Software, &[]));
            self.left = left;
            match way.open(self.codec) {
                Ok(opened) => {
                    if way == Way::Software && !self.failures.is_empty() {
                        let failures = self.failures.join("; ");
                        self.fell_back = Some(format!("hardware does not work here ({failures})"));
                    }
                    return Ok((opened, Trial::begin(way)));
                }
                Err(error) if left.is_empty() => return Err(error),
                Err(error) => self.failed(way, error.to_string()),
            }
        }
    }

    pub(super) fn fell_back(&mut self) -> Option<String> {
        self.fell_back.take()
    }
}

/// One device of each kind for all cameras, gone with the last decoder that uses it, so that a device which has failed is
/// opened anew.
fn shared_device(kind: &'static CStr) -> Result<Arc<Device>, ffmpeg_next::Error> {
    static OPEN: Mutex<Vec<(&CStr, Weak<Device>)>> = Mutex::new(Vec::new());
    let mut open = OPEN.lock();
    open.retain(|(_, device)| device.strong_count() > 0);
    if let Some(device) =
        open.iter().find(|(known, _)| *known == kind).and_then(|(_, device)| device.upgrade())
    {
        return Ok(device);
    }
    let device = Arc::new(Device::open(kind)?);
    open.push((kind, Arc::downgrade(&device)));
    Ok(device)
}

/// Watches hardware while it decodes, and keeps what software needs to go on in its place.
pub(super) struct Trial {
    way: Way,
    download: Download,
    /// The access units since the last key frame; empty if they were too many.
    group: Vec<Packet>,
    group_bytes: usize,
    /// Access units since the last picture, and whether a key frame was among them.
    without_picture: usize,
    has_key: bool,
    pictures: usize,
}

impl Trial {
    /// `None` for software, which needs none.
    pub(super) fn begin(way: Way) -> Option<Box<Self>> {
        let trial = Self {
            way,
            download: Download::new(),
            group: Vec::new(),
            group_bytes: 0,
            without_picture: 0,
            has_key: false,
            pictures: 0,
        };
        (way != Way::Software).then(|| Box::new(trial))
    }

    pub(super) fn way(&self) -> Way {
        self.way
    }

    /// An access unit is about to be decoded.
    pub(super) fn handle(&mut self, is_key: bool) {
        self.without_picture += 1;
        self.has_key |= is_key;
    }

    /// It was decoded.
    pub(super) fn keep(&mut self, packet: Packet, is_key: bool) {
        if is_key {
            self.group.clear();
            self.group_bytes = 0;
        }
        self.group_bytes += packet.size();
        if self.group_bytes > MAX_BYTES || self.group.len() >= MAX_KEPT {
            self.group.clear();
        } else if is_key || !self.group.is_empty() {
            self.group.push(packet);
        }
    }

    /// Why it does not work, if that is clear by now.
    pub(super) fn verdict(&self) -> Option<String> {
        let has_failed = self.has_key && self.without_picture >= MAX_WITHOUT_PICTURE;
        has_failed.then(|| match self.pictures {
            0 => format!("no picture in {MAX_WITHOUT_PICTURE} access units"),
            _ => format!("no more pictures after {}", self.pictures),
        })
    }

    /// A decoded frame as one in our own memory.
    pub(super) fn fetch<'a>(&'a mut self, frame: &'a Video) -> Result<&'a Video, String> {
        #[cfg(test)]
        if let Way::Pretended { pictures } = self.way {
            if self.pictures == pictures {
                return Err("its pictures cannot be fetched: as pretended".into());
            }
            self.succeeded();
            return Ok(frame);
        }
        if is_on_device(frame) {
            self.succeeded();
            let fetched = self.download.fetch(frame);
            return fetched.map_err(|error| format!("its pictures cannot be fetched: {error}"));
        }
        match self.way {
            // libavcodec has asked the device, and taken its own software for the answer.
            Way::Device { .. } => Err("it does not decode this kind of stream".into()),
            _ => {
                self.succeeded();
                Ok(frame)
            }
        }
    }

    /// What the next way begins with: everything since the last key frame, if that was kept.
    pub(super) fn into_group(self) -> Vec<Packet> {
        self.group
    }

    /// These were decoded again, from their key frame on.
    pub(super) fn resume(&mut self, group: Vec<Packet>) {
        self.group_bytes = group.iter().map(Packet::size).sum();
        self.group = group;
    }

    fn succeeded(&mut self) {
        self.without_picture = 0;
        self.has_key = false;
        self.pictures += 1;
    }
}
