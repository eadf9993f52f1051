//! Canvases as FFmpeg's encoders take them: I420 as it is, or NV12, into memory that is used again.

use super::ffi;
use crate::canvas::Canvas;
use crate::geometry::CanvasSize;
use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame::Video;

/// A picture in main memory, painted anew for each canvas.
pub(super) struct Input {
    format: Pixel,
    size: CanvasSize,
    frame: Video,
}

impl Input {
    /// `None` if there is no memory.
    pub(super) fn new(format: Pixel, size: CanvasSize) -> Option<Input> {
        Some(Input { format, size, frame: ffi::allocate(format, size.width(), size.height())? })
    }

    /// The canvas, of the size this was made for. `None` if there is no memory.
    pub(super) fn paint(&mut self, canvas: &Canvas) -> Option<&mut Video> {
        // An encoder that still holds the last picture keeps it. Those here hold none when they answer.
        if !ffi::is_writable(&mut self.frame) {
            self.frame = ffi::allocate(self.format, self.size.width(), self.size.height())?;
        }
        copy(canvas, 0, &mut self.frame);
        if self.format == Pixel::NV12 {
            interleave(canvas, &mut self.frame);
        } else {
            (1..3).for_each(|plane| copy(canvas, plane, &mut self.frame));
        }
        Some(&mut self.frame)
    }
}

fn copy(canvas: &Canvas, plane: usize, to: &mut Video) {
    let (width, stride) = (canvas.stride(plane), to.stride(plane));
    let rows = canvas.plane(plane).chunks_exact(width).zip(to.data_mut(plane).chunks_mut(stride));
    rows.for_each(|(from, to)| to[..width].copy_from_slice(from));
}

/// U and V in turns.
fn interleave(canvas: &Canvas, to: &mut Video) {
    let (width, stride) = (canvas.stride(1), to.stride(1));
    let chroma = canvas.plane(1).chunks_exact(width).zip(canvas.plane(2).chunks_exact(width));
    for ((u, v), to) in chroma.zip(to.data_mut(1).chunks_mut(stride)) {
        for ((pair, &u), &v) in to.chunks_exact_mut(2).zip(u).zip(v) {
            pair[0] = u;
            pair[1] = v;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 70 is no multiple of what libavutil pads rows to.
    fn canvas() -> Canvas {
        let mut canvas = Canvas::black(CanvasSize::new(70, 66).expect("a valid size"));
        for plane in 0..3 {
            let samples = canvas.plane_mut(plane).iter_mut().enumerate();
            samples.for_each(|(i, sample)| *sample = (i * 7 + plane * 50) as u8);
        }
        canvas
    }

    #[test]
    fn a_canvas_is_painted_as_nv12() {
        let canvas = canvas();
        let mut input = Input::new(Pixel::NV12, canvas.size()).expect("memory");
        let frame = input.paint(&canvas).expect("memory");
        for row in 0..66 {
            assert_eq!(
                frame.data(0)[row * frame.stride(0)..][..70],
                canvas.plane(0)[row * 70..][..70],
                "row {row}"
            );
        }
        for row in 0..33 {
            let pairs = frame.data(1)[row * frame.stride(1)..][..70].chunks_exact(2);
            let (u, v): (Vec<u8>, Vec<u8>) = pairs.map(|pair| (pair[0], pair[1])).unzip();
            assert_eq!(u, canvas.plane(1)[row * 35..][..35], "row {row}");
            assert_eq!(v, canvas.plane(2)[row * 35..][..35], "row {row}");
        }
    }

    #[test]
    fn the_same_memory_is_painted_again_unless_somebody_holds_it() {
        let canvas = canvas();
        let mut input = Input::new(Pixel::YUV420P, canvas.size()).expect("memory");
        let first = input.paint(&canvas).expect("memory").data(0).as_ptr();
        assert_eq!(input.paint(&canvas).expect("memory").data(0).as_ptr(), first);
        let held = ffi::share(&input.frame);
        let moved = input.paint(&canvas).expect("memory");
        assert_ne!(moved.data(0).as_ptr(), held.data(0).as_ptr());
        for plane in 0..3 {
            let (width, height) = (canvas.stride(plane), if plane == 0 { 66 } else { 33 });
            for row in 0..height {
                let painted = &moved.data(plane)[row * moved.stride(plane)..][..width];
                assert_eq!(painted, &canvas.plane(plane)[row * width..][..width], "plane {plane} row {row}");
            }
        }
    }
}
