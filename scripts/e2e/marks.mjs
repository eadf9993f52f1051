// Reads the marks that simulated cameras burn into their pictures: which camera, and when it was painted.
// Geometry and contents are described in crates/wallcast/src/demo/marks.rs; this is the same reader for pixels
// of a canvas. No DOM here, so that it runs in Node as well.

const COLUMNS = 40;
const ROWS = 20;
const FIRST_COLUMN = 7;
const FIRST_ROW = 15;
const BITS_A_ROW = 24;
const LEAST_CONTRAST = 48;

/**
 * @typedef {{x: number, y: number, width: number, height: number}} Area where the camera's picture lies, in
 *   pixels: the whole picture, also where it is cropped (for `contain`: without the black bars)
 * @typedef {{camera: number, millis: number}} Marks millis: Unix time modulo 2^32
 */

/**
 * @param {Uint8ClampedArray | Uint8Array} rgba as ImageData has it
 * @param {number} width of the image
 * @param {number} height of the image
 * @param {Area} area
 * @returns {Marks | null} null when there are none, or they are damaged or outside of the image
 */
export function readMarks(rgba, width, height, area) {
  const cell = (row, column) => meanLuma(rgba, width, height, middleOfCell(area, row, column));
  const last = BITS_A_ROW + 1;
  const white = (cell(0, 0) + cell(1, last)) / 2;
  const black = (cell(0, last) + cell(1, 0)) / 2;
  // Written so that NaN, a cell outside of the image, is refused too.
  if (!(white - black >= LEAST_CONTRAST)) return null;
  const bits = [];
  for (let row = 0; row < 2; row++) {
    for (let column = 1; column < last; column++) {
      const luma = cell(row, column);
      if (Number.isNaN(luma)) return null;
      bits.push(luma > (white + black) / 2 ? 1 : 0);
    }
  }
  const number = (from, to) => bits.slice(from, to).reduce((value, bit) => value * 2 + bit, 0);
  if (crc12(bits.slice(0, 36)) !== number(36, 48)) return null;
  return { camera: number(0, 4), millis: number(4, 36) };
}

/**
 * How long ago a picture was painted, when the clock that painted it is this machine's.
 * @param {Marks} marks
 * @param {number} now milliseconds, as of Date.now()
 */
export function ageMillis(marks, now) {
  const difference = (Math.floor(now) - marks.millis) % 2 ** 32;
  const age = (difference + 2 ** 32) % 2 ** 32;
  return age < 2 ** 31 ? age : age - 2 ** 32;
}

function middleOfCell(area, row, column) {
  const width = area.width / COLUMNS;
  const height = area.height / ROWS;
  return {
    x: area.x + (FIRST_COLUMN + column + 0.25) * width,
    y: area.y + (FIRST_ROW + row + 0.25) * height,
    width: width / 2,
    height: height / 2,
  };
}

// The mean of the pixels whose centres lie in the area, at least of the one nearest to its centre; NaN outside.
function meanLuma(rgba, width, height, area) {
  const [left, right] = samples(area.x, area.width);
  const [top, bottom] = samples(area.y, area.height);
  if (!(left >= 0 && top >= 0 && right <= width && bottom <= height)) return NaN;
  let sum = 0;
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) {
      const at = (y * width + x) * 4;
      sum += 0.2126 * rgba[at] + 0.7152 * rgba[at + 1] + 0.0722 * rgba[at + 2];
    }
  }
  return sum / ((right - left) * (bottom - top));
}

function samples(start, length) {
  const first = Math.ceil(start - 0.5);
  const end = Math.ceil(start + length - 0.5);
  if (end > first) return [first, end];
  const middle = Math.floor(start + length / 2);
  return [middle, middle + 1];
}

// Polynomial 0x80F, beginning with 0xFFF, the highest bit first.
function crc12(bits) {
  return bits.reduce((crc, bit) => {
    const feedback = ((crc >> 11) ^ bit) & 1;
    return ((crc << 1) & 0xfff) ^ (feedback ? 0x80f : 0);
  }, 0xfff);
}
