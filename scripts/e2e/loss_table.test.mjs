import assert from 'node:assert/strict';
import test from 'node:test';
import { PROFILES, stills } from './loss_table.mjs';

test('a picture stands until the next one, and the last one until the end', () => {
  assert.deepEqual(stills([90, 140, 180, 400, 440, 900], 100, 700, 100), [
    { at: 80, stood: 220 },
    { at: 340, stood: 260 },
  ]);
  assert.deepEqual(stills([], 100, 700, 100), [{ at: 0, stood: 600 }], 'no picture at all');
});

test('every row has a name, a seed and bars of its own', () => {
  for (const key of [({ name }) => name, ({ title }) => title, ({ network }) => network.seed]) {
    assert.equal(new Set(PROFILES.map(key)).size, PROFILES.length);
  }
  assert.ok(PROFILES.every(({ bars }) => typeof bars === 'function'));
});
