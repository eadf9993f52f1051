import assert from 'node:assert/strict';
import test from 'node:test';
import { longestGap } from './playback.mjs';

const steady = Array.from({ length: 100 }, (_, n) => ({ time: n * 40, count: n }));

test('a steady picture stands for one frame time', () => {
  assert.equal(longestGap(steady, 0), 40);
});

test('a frame that stood long is found', () => {
  const late = steady.map(({ time, count }) => ({ time: count > 50 ? time + 210 : time, count }));
  assert.equal(longestGap(late, 0), 250);
});

test('what came before the time asked for does not count', () => {
  const late = steady.map(({ time, count }) => ({ time: count > 10 ? time + 210 : time, count }));
  assert.equal(longestGap(late, 1000), 40);
});

test('missed callbacks are no freeze', () => {
  assert.equal(longestGap(steady.filter(({ count }) => count < 40 || count > 47), 0), 40);
});
