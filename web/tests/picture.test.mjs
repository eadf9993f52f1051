// node --test web/tests
import assert from "node:assert/strict";
import { test } from "node:test";
import { figures, PictureWatch, sampleOf } from "../picture.js";

/** What a watch says of [milliseconds, frames] pairs, while something arrives all the time; with bytes as a third, of these. */
const watched = (...looks) => {
  const watch = new PictureWatch();
  return looks.map(([at, frames, bytes]) => watch.look({ at, frames, bytes: bytes ?? at + 1 }));
};

test("a picture that stands still for a second and a half has stopped, and moves with its next frame", () => {
  assert.deepEqual(
    watched([0, 10], [250, 16], [1_500, 16], [1_750, 16], [2_000, 16], [2_250, 17], [3_500, 17]),
    ["moving", "moving", "moving", "stopped", "stopped", "moving", "moving"],
  );
});

test("after four seconds in which something arrived it is dead", () => {
  assert.deepEqual(
    watched([0, 10], [1_250, 10], [2_500, 10], [3_750, 10], [4_000, 10], [4_250, 10]),
    ["moving", "moving", "stopped", "stopped", "dead", "dead"],
  );
});

test("while nothing arrives it is silent, and has its time when something does again", () => {
  assert.deepEqual(
    watched([0, 10, 900], [3_750, 10, 900], [4_000, 10, 900], [9_000, 10, 900], [9_250, 10, 950], [9_500, 11, 990]),
    ["moving", "stopped", "silent", "silent", "stopped", "moving"],
  );
  const back = [10_000, 11_250, 12_500, 13_500, 14_000].map((at) => [at, 10, at]);
  assert.deepEqual(
    watched([0, 10, 900], [9_000, 10, 900], ...back),
    ["moving", "silent", "stopped", "stopped", "stopped", "stopped", "dead"],
  );
});

test("a connection that never has a frame is waited for just as long", () => {
  assert.deepEqual(
    watched([7_000, 0], [8_250, 0], [8_500, 0], [9_750, 0], [11_000, 0]),
    ["waiting", "waiting", "stopped", "stopped", "dead"],
  );
});

test("a look that comes late, from a tab in the background, takes no moving picture for a dead one", () => {
  assert.deepEqual(watched([0, 10], [60_000, 1_510], [60_250, 1_516]), ["moving", "moving", "moving"]);
});

test("figures are those of the time between two samples", () => {
  const report = (frames, bytes, delay) => [
    { type: "inbound-rtp", kind: "audio", framesDecoded: 9_999 },
    {
      type: "inbound-rtp",
      kind: "video",
      framesDecoded: frames,
      bytesReceived: bytes,
      jitterBufferDelay: delay,
      jitterBufferEmittedCount: frames,
      frameWidth: 1920,
      frameHeight: 1080,
      packetsLost: 3,
    },
    { type: "candidate-pair", nominated: false, currentRoundTripTime: 9 },
    { type: "candidate-pair", nominated: true, currentRoundTripTime: 0.004 },
  ];
  const last = sampleOf(report(100, 1_000_000, 1), 1_000);
  const now = sampleOf(report(150, 2_000_000, 2), 3_000);
  assert.deepEqual(figures(last, now), {
    fps: 25,
    width: 1920,
    height: 1080,
    bitrate: 4_000_000,
    rttMs: 4,
    bufferMs: 20,
    lost: 3,
  });
  const empty = figures(sampleOf([], 0), sampleOf([], 1_000));
  assert.deepEqual([empty.fps, empty.rttMs, empty.bufferMs], [0, null, null]);
});
