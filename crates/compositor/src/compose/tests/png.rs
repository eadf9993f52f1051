//! Writes a canvas where somebody can look at it: a PNG (ISO/IEC 15948) of stored blocks, for tests that fail.

use crate::canvas::Canvas;
use std::path::PathBuf;

/// Writes `<name>.png` to `$WALLCAST_ARTIFACTS`, or to the temporary folder, and says where.
pub(super) fn write(name: &str, canvas: &Canvas) -> String {
    let folder = std::env::var_os("WALLCAST_ARTIFACTS").map_or_else(std::env::temp_dir, PathBuf::from);
    let name = name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let path = folder.join(format!("golden-{name}.png"));
    let written = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&path, encoded(canvas)));
    written.map_or_else(|error| format!("{}: {error}", path.display()), |()| path.display().to_string())
}

fn encoded(canvas: &Canvas) -> Vec<u8> {
    let (width, height) = (canvas.size().width() as usize, canvas.size().height() as usize);
    let mut pixels = Vec::with_capacity(height * (1 + 3 * width));
    for y in 0..height {
        pixels.push(0);
        for x in 0..width {
            let chroma =
                |plane: usize| f64::from(canvas.plane(plane)[y / 2 * canvas.stride(plane) + x / 2]) - 128.0;
            let luma = (f64::from(canvas.plane(0)[y * canvas.stride(0) + x]) - 16.0) * 255.0 / 219.0;
            let (u, v) = (chroma(1) * 255.0 / 224.0, chroma(2) * 255.0 / 224.0);
            let rgb = [luma + 1.5748 * v, luma - 0.1873 * u - 0.4681 * v, luma + 1.8556 * u];
            pixels.extend(rgb.map(|part| part.round().clamp(0.0, 255.0) as u8));
        }
    }
    let mut header = Vec::new();
    header.extend((width as u32).to_be_bytes());
    header.extend((height as u32).to_be_bytes());
    header.extend([8, 2, 0, 0, 0]);
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, data) in [(b"IHDR", header), (b"IDAT", stored(&pixels)), (b"IEND", Vec::new())] {
        file.extend((data.len() as u32).to_be_bytes());
        let checked: Vec<u8> = kind.iter().copied().chain(data).collect();
        file.extend(&checked);
        file.extend(crc32(&checked).to_be_bytes());
    }
    file
}

/// A zlib stream (RFC 1950) that compresses nothing.
fn stored(data: &[u8]) -> Vec<u8> {
    let mut stream = vec![0x78, 0x01];
    let blocks = data.chunks(0xffff);
    let last = blocks.len() - 1;
    for (i, block) in blocks.enumerate() {
        let length = block.len() as u16;
        stream.push(u8::from(i == last));
        stream.extend(length.to_le_bytes());
        stream.extend((!length).to_le_bytes());
        stream.extend(block);
    }
    let (a, b) = data.iter().fold((1_u32, 0_u32), |(a, b), &byte| {
        let a = (a + u32::from(byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    stream.extend((b << 16 | a).to_be_bytes());
    stream
}

fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(!0, |crc, &byte| {
        (0..8).fold(
            crc ^ u32::from(byte),
            |crc, _| {
                if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 }
            },
        )
    })
}
