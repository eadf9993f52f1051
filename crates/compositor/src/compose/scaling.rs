//! Everything that is worked out once for a tile and a format of picture: where its parts go, by which filters, in which
//! colours, and what stays black.

use crate::canvas::{BLACK, Canvas};
use crate::colour::{ColorMatrix, ColorRange, Conversion};
use crate::fit::Mapping;
use crate::geometry::Rect;
use crate::layout::Placement;
use crate::mask;
use crate::picture::{PictureError, PictureView, Shape};
use crate::scale::{Instructions, Plane, PlaneScaler};

/// What pictures have in common that are painted in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Format {
    shape: Shape,
    matrix: ColorMatrix,
    range: ColorRange,
}

impl Format {
    pub(super) fn of(picture: &PictureView<'_>) -> Format {
        Format { shape: picture.shape(), matrix: picture.matrix, range: picture.range }
    }
}

/// How pictures of one format are painted in one tile.
#[derive(Debug)]
pub(super) struct Scaling {
    format: Format,
    mapping: Mapping,
    luma: PlaneScaler,
    chroma: PlaneScaler,
    conversion: Option<Conversion>,
    /// Of the canvas.
    masked: Vec<Rect>,
    instructions: Instructions,
}

impl Scaling {
    pub(super) fn new(
        format: Format,
        placement: &Placement,
        instructions: Instructions,
    ) -> Result<Scaling, PictureError> {
        let Shape { width, height, .. } = format.shape;
        let outside = || PictureError::Area { width, height };
        let presentation = placement.presentation();
        let part = match presentation.crop {
            Some(crop) => crop.nearest_within(width, height).ok_or_else(outside)?,
            None => Rect { x: 0, y: 0, width, height },
        };
        let masks: Option<Vec<Rect>> =
            presentation.masks.iter().map(|mask| mask.grown_within(width, height)).collect();
        let masks = masks.ok_or_else(outside)?;
        let orientation = presentation.orientation();
        let mapping = Mapping::new(format.shape, part, placement.rect(), presentation.fit, orientation);
        let scaler = |source: Rect, target: Rect| {
            let output = orientation.turned((target.width, target.height));
            PlaneScaler::new((source.width, source.height), output, orientation, instructions)
        };
        let luma = scaler(mapping.source, mapping.target);
        let chroma = scaler(mapping.source.chroma(), mapping.target.chroma());
        let masked = masks.into_iter();
        let masked = masked.filter_map(|mask| mask::on_canvas(mask, &mapping, orientation, &luma, &chroma));
        let masked = masked.collect();
        let conversion = Conversion::to_canvas(format.matrix, format.range);
        Ok(Scaling { format, mapping, luma, chroma, conversion, masked, instructions })
    }

    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// The part of the tile that the picture covers.
    pub(super) fn target(&self) -> Rect {
        self.mapping.target
    }

    pub(super) fn paint(&mut self, canvas: &mut Canvas, picture: &PictureView<'_>) {
        for plane in 0..3 {
            let Mapping { source, target } = self.mapping;
            let (source, target, scaler) = match plane {
                0 => (source, target, &mut self.luma),
                _ => (source.chroma(), target.chroma(), &mut self.chroma),
            };
            let (stride, canvas_stride) = (picture.strides[plane], canvas.stride(plane));
            let data = &picture.planes[plane][source.y as usize * stride + source.x as usize..];
            let place = target.y as usize * canvas_stride + target.x as usize;
            scaler.scale(Plane { data, stride }, &mut canvas.plane_mut(plane)[place..], canvas_stride);
        }
        if let Some(conversion) = &self.conversion {
            conversion.convert(canvas, self.mapping.target, self.instructions);
        }
        for &mask in &self.masked {
            canvas.fill(mask, BLACK);
        }
    }
}
