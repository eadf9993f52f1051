// A real browser plays the demo: a minute of `/`, then `/wall/wall` bare.

import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { launchBrowser, openPage } from './browser.mjs';
import { readMarks } from './marks.mjs';
import { longestGap, pixels, presentedFrames, received, recordFrames, rememberPeers } from './playback.mjs';
import { artifacts, root, startWallcast, until } from './wallcast.mjs';

const MINUTE = 60_000;
const LEAST_FPS = 24.5;
const LONGEST_GAP_MS = 200;

/** Where the demo's cameras lie in the layout `columns` at 1920x1080: 16:9 pictures, in the tall tiles with black above and below. */
const PICTURES = [
  { x: 0, y: 405, width: 480, height: 270 },
  { x: 480, y: 0, width: 960, height: 540 },
  { x: 480, y: 540, width: 960, height: 540 },
  { x: 1440, y: 405, width: 480, height: 270 },
];

/** What each tile says about itself, read from the picture on the page. Its marks lie in rows 15 and 16 of 20. */
async function readTiles(video) {
  const size = await video.evaluate((element) => [element.videoWidth, element.videoHeight]);
  assert.deepEqual(size, [1920, 1080], 'the size of the video');
  const strips = PICTURES.map(({ x, y, width, height }) => {
    const top = Math.floor(height * 0.7);
    return { x, y: y + top, width, height: Math.ceil(height * 0.2) };
  });
  const read = await pixels(video, strips);
  return read.map(({ width, height, rgba }, n) => {
    const whole = { ...PICTURES[n], x: 0, y: PICTURES[n].y - strips[n].y };
    return readMarks(rgba, width, height, whole);
  });
}

test('Chromium plays the demo for a minute, every tile its own camera, moving, without a freeze', async (t) => {
  const name = 'browser_wall';
  const folder = artifacts(name);
  const wallcast = await startWallcast(name, 'demo');
  t.after(() => wallcast.stop());
  const browser = await launchBrowser();
  t.after(() => browser.close());
  const { page, complaints } = await openPage(browser);
  await rememberPeers(page);
  await page.goto(wallcast.url);
  const video = await page.waitForSelector('video');
  await until('the first decoded frame', 15_000, async () => (await received(page))?.framesDecoded > 0);
  await until('every tile live', 15_000, async () => (await readTiles(video)).every((marks) => marks !== null));

  await sleep(1_000);
  await recordFrames(video);
  const start = await received(page);
  const begun = await page.evaluate(() => performance.now());
  const seen = [];
  while ((await page.evaluate(() => performance.now())) - begun < MINUTE) {
    seen.push(await readTiles(video));
    await sleep(6_000);
  }
  const end = await received(page);
  const frames = await presentedFrames(page);
  await page.screenshot({ path: join(folder, 'wall.png') }); // now: it takes the page's time

  const seconds = (end.timestamp - start.timestamp) / 1000;
  const report = {
    seconds,
    fps: (end.framesDecoded - start.framesDecoded) / seconds,
    longestGapMs: longestGap(frames, begun),
    freezes: end.freezeCount - start.freezeCount,
    framesDropped: end.framesDropped - start.framesDropped,
    packetsLost: end.packetsLost,
    keyFrames: end.keyFramesDecoded,
    decodeMs: (1000 * (end.totalDecodeTime - start.totalDecodeTime)) / (end.framesDecoded - start.framesDecoded),
    decoder: end.decoderImplementation,
    seen,
  };
  writeFileSync(join(folder, 'report.json'), JSON.stringify(report, null, 1));
  t.diagnostic(JSON.stringify({ ...report, seen: undefined }));

  for (const [n] of PICTURES.entries()) {
    const times = seen.map((tiles) => tiles[n]);
    times.forEach((marks, at) => {
      assert.ok(marks, `tile ${n} could not be read at look ${at}`);
      assert.equal(marks.camera, n + 1, `tile ${n} shows another camera at look ${at}`);
    });
    for (let at = 1; at < times.length; at++) {
      // Modulo 2^32, as the camera paints it.
      const passed = (times[at].millis - times[at - 1].millis) >>> 0;
      assert.ok(passed > 3_000 && passed < 20_000, `tile ${n}: ${passed} ms between looks ${at - 1} and ${at}`);
    }
  }
  assert.ok(report.fps >= LEAST_FPS, `${report.fps} fps decoded, expected ${LEAST_FPS} or more`);
  assert.ok(report.longestGapMs <= LONGEST_GAP_MS, `a frame stood for ${report.longestGapMs} ms`);
  assert.equal(report.freezes, 0, 'freezes by the browser\'s own count');
  assert.equal(end.peers, 1, 'one connection throughout');
  assert.deepEqual(complaints, [], 'the page complained');

  if (process.env.WALLCAST_UPDATE_SCREENSHOT === '1') {
    mkdirSync(join(root, 'docs'), { recursive: true });
    copyFileSync(join(folder, 'wall.png'), join(root, 'docs/wall.png'));
  }
});

test('a display that nobody touches shows the wall and nothing else', async (t) => {
  const name = 'browser_bare';
  const wallcast = await startWallcast(name, 'demo');
  t.after(() => wallcast.stop());
  const browser = await launchBrowser();
  t.after(() => browser.close());
  const { page, complaints } = await openPage(browser);
  await rememberPeers(page);
  await page.goto(`${wallcast.url}wall/wall`);
  const video = await page.waitForSelector('video');
  await until('the first decoded frame', 15_000, async () => (await received(page))?.framesDecoded > 0);
  await until('every tile live', 15_000, async () => (await readTiles(video)).every((marks) => marks !== null));

  const before = await received(page);
  await sleep(3_000);
  const after = await received(page);
  const fps = (1000 * (after.framesDecoded - before.framesDecoded)) / (after.timestamp - before.timestamp);
  await page.screenshot({ path: join(artifacts(name), 'bare.png') });
  assert.ok(fps >= 23, `${fps} fps`);
  assert.equal((await page.innerText('body')).trim(), '', 'there is text on the display');
  assert.equal(await video.evaluate((element) => element.controls), false);
  const box = await video.boundingBox();
  assert.deepEqual([box.x, box.y, box.width, box.height], [0, 0, 1280, 720], 'the video fills the display');
  assert.equal(await page.evaluate(() => document.documentElement.scrollHeight), 720, 'the page scrolls');
  assert.deepEqual(complaints, [], 'the page complained');
});
