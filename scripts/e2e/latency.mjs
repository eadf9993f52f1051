// What Chromium shows of a wall, frame by frame: the marks in its tiles, and when it was received and shown. For
// benches/glass_to_glass.rs, which knows when the cameras sent what is seen here.
//
// node scripts/e2e/latency.mjs URL SETTLE_SECONDS SECONDS '[{"x":0,"y":405,"width":480,"height":270}, …]'
//
// Prints JSON: `frames`, each with `millis` (of each tile, null where there are no marks) and times in Unix milliseconds:
// `received` (the last packet), `displayed` (when the browser expects it on the screen) and `called` (when the page was told);
// and `stats`, the means of what the browser counted.

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import { launchBrowser, openPage } from './browser.mjs';
import { received, rememberPeers } from './playback.mjs';

const [url, settle, seconds, areas] = process.argv.slice(2);
const here = dirname(fileURLToPath(import.meta.url));

/** In the page: looks at every frame, for good. */
function look(areas) {
  const video = document.querySelector('video');
  const frames = (window.wallcastTestLatency = []);
  // The rows of the marks, with half a row around them, on even lines: chroma is shared by two.
  const strips = areas.map(({ x, y, width, height }) => {
    const [top, bottom] = [y + 0.725 * height, y + 0.875 * height].map((line) => Math.round(line / 2) * 2);
    return { x: Math.round(x / 2) * 2, y: top, width: Math.round(width / 2) * 2, height: bottom - top };
  });
  const clock = () => performance.timeOrigin + performance.now();
  /** The brightness alone, as if it were a grey picture. */
  const read = async (frame, strip, area) => {
    const layout = { rect: strip };
    const bytes = new Uint8Array(frame.allocationSize(layout));
    const [{ offset, stride }] = await frame.copyTo(bytes, layout);
    const rgba = new Uint8Array(strip.width * strip.height * 4);
    for (let row = 0, to = 0; row < strip.height; row++) {
      for (let from = offset + row * stride; from < offset + row * stride + strip.width; from++, to += 4) {
        rgba[to] = rgba[to + 1] = rgba[to + 2] = bytes[from];
      }
    }
    const whole = { ...area, x: area.x - strip.x, y: area.y - strip.y };
    return window.wallcastReadMarks(rgba, strip.width, strip.height, whole)?.millis ?? null;
  };
  const next = (called, metadata) => {
    video.requestVideoFrameCallback(next);
    const unix = (time) => (time === undefined ? null : performance.timeOrigin + time);
    const { expectedDisplayTime, receiveTime } = metadata;
    const seen = {
      displayed: unix(expectedDisplayTime),
      received: unix(receiveTime),
      called: unix(called),
      // Between the clock by which the page counts and the machine's.
      off: Date.now() + 0.5 - clock(),
    };
    const frame = new VideoFrame(video);
    Promise.all(areas.map((area, n) => read(frame, strips[n], area)))
      .then((millis) => frames.push({ ...seen, millis }))
      .finally(() => frame.close());
  };
  video.requestVideoFrameCallback(next);
}

const browser = await launchBrowser();
try {
  const { page, complaints } = await openPage(browser);
  await rememberPeers(page);
  await page.goto(url);
  await page.waitForSelector('video');
  while (!((await received(page))?.framesDecoded > 0)) await sleep(100);
  const reader = readFileSync(join(here, 'marks.mjs'), 'utf8').replaceAll(/^export /gm, '');
  await page.evaluate(`${reader}; window.wallcastReadMarks = readMarks;`);
  await page.evaluate(look, JSON.parse(areas));
  await sleep(1000 * Number(settle));
  const before = await received(page);
  await page.evaluate(() => void window.wallcastTestLatency.splice(0));
  await sleep(1000 * Number(seconds));
  const frames = await page.evaluate(() => window.wallcastTestLatency);
  const after = await received(page);
  // What abs-capture-time said of the newest frame (webrtc-extensions), in milliseconds since 1900.
  const composed = await page.evaluate(() => {
    const [peer] = window.wallcastTestPeers;
    const [source] = peer.getReceivers()[0].getSynchronizationSources();
    return source?.captureTimestamp === undefined ? null : Date.now() - (source.captureTimestamp - 2_208_988_800_000);
  });
  if (composed === null) throw new Error('found no time of capture, expected one by abs-capture-time');
  if (complaints.length) throw new Error(`the page complained: ${complaints.join('; ')}`);

  const offs = frames.map(({ off }) => off).sort((a, b) => a - b);
  const off = offs[Math.floor(offs.length / 2)];
  const onTheClock = (time) => (time === null ? null : time + off);
  const count = after.framesDecoded - before.framesDecoded;
  const emitted = after.jitterBufferEmittedCount - before.jitterBufferEmittedCount;
  const round = (ms) => Math.round(100 * ms) / 100;
  const mean = (key, per) => round((1000 * (after[key] - before[key])) / per);
  const stats = {
    decoded: count,
    dropped: after.framesDropped - before.framesDropped,
    decodeMs: mean('totalDecodeTime', count),
    processingMs: mean('totalProcessingDelay', count),
    assemblyMs: mean('totalAssemblyTime', after.framesAssembledFromMultiplePackets - before.framesAssembledFromMultiplePackets),
    jitterBufferMs: mean('jitterBufferDelay', emitted),
    jitterBufferTargetMs: mean('jitterBufferTargetDelay', emitted),
    jitterBufferMinimumMs: mean('jitterBufferMinimumDelay', emitted),
    freezes: after.freezeCount - before.freezeCount,
    newestComposedMsAgo: round(composed),
    clockOffMs: round(off),
  };
  const told = frames.map(({ displayed, received, called, millis }) => ({
    displayed: onTheClock(displayed),
    received: onTheClock(received),
    called: onTheClock(called),
    millis,
  }));
  console.log(JSON.stringify({ frames: told, stats }));
} finally {
  await browser.close();
}
