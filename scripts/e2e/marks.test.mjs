// node --test scripts/e2e/marks.test.mjs
// With MARKS_FRAMES=dir, reads the pictures that the Rust test `the_javascript_reader_agrees` writes there.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ageMillis, readMarks } from './marks.mjs';

// The word of camera 3 at 0x12345678, as marks.rs has it in its tests.
const WORD = 0x3123456789a2n;
const EXPECTED = { camera: 3, millis: 0x12345678 };

function draw(word, width, height, area, white = 255, black = 0) {
  const rgba = new Uint8ClampedArray(width * height * 4).fill(90);
  const paint = (row, column, isWhite) => {
    const x = (n) => Math.round(area.x + ((7 + n) * area.width) / 40);
    const y = (n) => Math.round(area.y + ((15 + n) * area.height) / 20);
    for (let py = y(row); py < y(row + 1); py++) {
      for (let px = x(column); px < x(column + 1); px++) rgba.fill(isWhite ? white : black, (py * width + px) * 4, (py * width + px) * 4 + 3);
    }
  };
  for (let row = 0; row < 2; row++) {
    paint(row, 0, row === 0);
    paint(row, 25, row === 1);
    for (let column = 1; column < 25; column++) paint(row, column, (word >> BigInt(48 - row * 24 - column)) & 1n);
  }
  return rgba;
}

test('marks are read wherever the picture lies and however it was scaled', () => {
  for (const [width, height, area] of [
    [480, 270, { x: 0, y: 0, width: 480, height: 270 }],
    [1920, 1080, { x: 0, y: 405, width: 480, height: 270 }],
    [1920, 1080, { x: 480, y: 540, width: 960, height: 540 }],
    [640, 480, { x: 10.5, y: 20.25, width: 600, height: 337.5 }],
    [480, 1080, { x: 0, y: 0, width: 480, height: 1080 }],
  ]) {
    assert.deepEqual(readMarks(draw(WORD, width, height, area), width, height, area), EXPECTED, JSON.stringify(area));
  }
});

test('grey marks are read, faint ones are not', () => {
  const area = { x: 0, y: 0, width: 480, height: 270 };
  assert.deepEqual(readMarks(draw(WORD, 480, 270, area, 160, 90), 480, 270, area), EXPECTED);
  assert.equal(readMarks(draw(WORD, 480, 270, area, 120, 90), 480, 270, area), null);
});

test('a wrong cell, another place and the outside are found out', () => {
  const area = { x: 0, y: 0, width: 480, height: 270 };
  for (let bit = 0n; bit < 48n; bit++) {
    assert.equal(readMarks(draw(WORD ^ (1n << bit), 480, 270, area), 480, 270, area), null);
  }
  const rgba = draw(WORD, 480, 270, area);
  assert.equal(readMarks(rgba, 480, 270, { ...area, x: 12 }), null);
  assert.equal(readMarks(rgba, 480, 270, { ...area, x: 300 }), null);
  assert.equal(readMarks(rgba, 480, 270, { ...area, width: NaN }), null);
});

test('ages survive the wrap of the clock', () => {
  assert.equal(ageMillis({ camera: 1, millis: 1000 }, 3 * 2 ** 32 + 1040), 40);
  assert.equal(ageMillis({ camera: 1, millis: 2 ** 32 - 10 }, 2 ** 32 + 30), 40);
  assert.equal(ageMillis({ camera: 1, millis: 1000 }, 995), -5);
});

test('pictures painted and coded by Rust are read', { skip: !process.env.MARKS_FRAMES }, () => {
  const names = readdirSync(process.env.MARKS_FRAMES).filter((name) => name.endsWith('.rgba'));
  assert.ok(names.length > 0);
  for (const name of names) {
    const [camera, millis, width, height] = name.split('.')[0].split('-').map(Number);
    const rgba = new Uint8ClampedArray(readFileSync(join(process.env.MARKS_FRAMES, name)));
    assert.deepEqual(readMarks(rgba, width, height, { x: 0, y: 0, width, height }), { camera, millis }, name);
  }
});
