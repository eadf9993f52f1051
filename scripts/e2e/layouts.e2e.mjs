// A real browser watches while the wall is rearranged a hundred times in ten seconds: no freeze, no black flash, no new
// connection, and the process does not grow.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { launchBrowser, openPage } from './browser.mjs';
import { longestGap, presentedFrames, received, recordFrames, rememberPeers } from './playback.mjs';
import { artifacts, startWallcast, until } from './wallcast.mjs';

const CHANGES = 100;
const EVERY_MS = 100;
const LONGEST_GAP_MS = 200;
/** A tile that came up black would be a ninth of the picture at least, in every layout below. */
const MORE_BLACK = 0.05;
/** What a process may keep of a hundred changes: buffers of the allocator, not a canvas for each. */
const GROWTH_BYTES = 24 << 20;

/** Bars and empty cells are of this colour, so that black is nothing but a tile without a picture. */
const background = '#606060';
const LAYOUTS = [
  { layout: 'columns', tiles: ['cam1', 'cam2', 'cam3', 'cam4'] },
  { layout: 'grid', tiles: ['cam4', 'cam3', 'cam2', 'cam1'] },
  { layout: 'grid', tiles: ['cam2'] },
  { layout: '1+5', tiles: ['cam3', 'cam1', 'cam4', 'cam2'] },
  { layout: 'grid', tiles: ['cam1', 'cam4'], fit: 'cover' },
  { layout: '2x2', tiles: [{ camera: 'cam3', rotate: 90 }, { camera: 'cam1', mirror: true }, 'cam2'], gap: 8, border: 8 },
  { layout: [{ camera: 'cam4', x: 0, y: 0, width: 1920, height: 1080 }, { camera: 'cam2', x: 960, y: 0, width: 960, height: 540, z: 1 }] },
].map((layout) => ({ background, ...layout }));

/** Starts to look at every frame: how much of it is black, and how much of it changed. */
async function lookAtFrames(video) {
  await video.evaluate((element) => {
    const looks = (window.wallcastTestLooks = []);
    const [width, height] = [96, 54];
    const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
    let before = null;
    const look = () => {
      context.drawImage(element, 0, 0, width, height);
      const { data } = context.getImageData(0, 0, width, height);
      let [black, changed] = [0, 0];
      for (let at = 0; at < data.length; at += 4) {
        if (data[at] + data[at + 1] + data[at + 2] < 48) black++;
        if (before && Math.abs(data[at + 1] - before[at + 1]) > 24) changed++;
      }
      before = data;
      looks.push({ black: black / (width * height), changed: changed / (width * height) });
      element.requestVideoFrameCallback(look);
    };
    element.requestVideoFrameCallback(look);
  });
}

const looks = (page) => page.evaluate(() => window.wallcastTestLooks.splice(0));

test('a hundred layouts in ten seconds are a hundred pictures, without freeze, black flash or a new connection', async (t) => {
  const name = 'browser_layouts';
  const wallcast = await startWallcast(name, 'demo');
  t.after(() => wallcast.stop());
  const api = `${wallcast.url}api/v1/walls/wall/`;
  const put = async (layout) => {
    const headers = { 'Content-Type': 'application/json' };
    const answer = await fetch(`${api}layout`, { method: 'PUT', headers, body: JSON.stringify(layout) });
    assert.equal(answer.status, 200, await answer.text());
  };
  const stats = async () => (await fetch(`${wallcast.url}stats`)).json();

  const browser = await launchBrowser();
  t.after(() => browser.close());
  const { page, complaints } = await openPage(browser);
  await rememberPeers(page);
  await page.goto(`${wallcast.url}wall/wall`);
  const video = await page.waitForSelector('video');
  await until('the first decoded frame', 15_000, async () => (await received(page))?.framesDecoded > 0);
  await until('every camera live', 15_000, async () =>
    Object.values((await stats()).cameras).every(({ state }) => state === 'live'));

  // What each layout has of black by itself: what is black in the cameras' own pictures.
  await lookAtFrames(video);
  let usual = 0;
  for (const layout of LAYOUTS) {
    await put(layout);
    await sleep(600);
    await looks(page);
    await sleep(400);
    usual = Math.max(usual, ...(await looks(page)).map(({ black }) => black));
  }

  const burst = async () => {
    const start = performance.now();
    const answers = [];
    for (let n = 0; n < CHANGES; n++) {
      await sleep(Math.max(0, start + n * EVERY_MS - performance.now()));
      answers.push(put(LAYOUTS[n % LAYOUTS.length]));
    }
    await Promise.all(answers);
    return performance.now() - start;
  };
  await burst(); // once for buffers that grow to their size
  await sleep(500);
  await looks(page);
  const viewer = (await stats()).viewers.map(({ id }) => id);
  await recordFrames(video);
  const memory = [(await stats()).process.memory_bytes];
  const [before, begun] = [await received(page), await page.evaluate(() => performance.now())];
  const took = await burst();
  await sleep(500);
  const after = await received(page);
  const frames = await presentedFrames(page);
  const seen = await looks(page);
  memory.push((await stats()).process.memory_bytes);
  await burst();
  memory.push((await stats()).process.memory_bytes);
  await page.screenshot({ path: join(artifacts(name), 'wall.png') });

  // Cameras that nobody has looked at for a while, which decode key frames only, come up with their picture too.
  let rested = 0;
  for (const [shown, next] of [['cam1', 'cam3'], ['cam3', 'cam4'], ['cam4', 'cam2']]) {
    await put({ layout: 'grid', tiles: [shown], background });
    await sleep(4_000);
    await looks(page);
    await put({ layout: 'grid', tiles: [shown, next], background });
    await sleep(500);
    rested = Math.max(rested, ...(await looks(page)).map(({ black }) => black));
  }
  // That a black tile would have been seen.
  const all = { x: 0, y: 0, width: '100%', height: '100%' };
  await looks(page);
  await put({ ...LAYOUTS[3], tiles: ['cam3', 'cam1', 'cam4', { camera: 'cam2', mask: all }] });
  await sleep(500);
  const control = Math.max(...(await looks(page)).map(({ black }) => black));
  const end = await stats();

  const report = {
    seconds: took / 1000,
    fps: (1000 * (after.framesDecoded - before.framesDecoded)) / (after.timestamp - before.timestamp),
    longestGapMs: longestGap(frames, begun),
    freezes: after.freezeCount - before.freezeCount,
    framesLookedAt: seen.length,
    cuts: seen.filter(({ changed }) => changed > 0.1).length,
    blackUsually: usual,
    blackAtMost: Math.max(...seen.map(({ black }) => black)),
    blackAfterRest: rested,
    blackControl: control,
    memoryMB: memory.map((bytes) => Math.round(bytes / 1e6)),
    keyFrames: after.keyFramesDecoded - before.keyFramesDecoded,
    packetsLost: after.packetsLost - before.packetsLost,
    peers: after.peers,
    composeMs: end.walls.wall.compose_ms,
    encodeMs: end.walls.wall.encode_ms,
    ticksMissed: end.walls.wall.ticks_missed,
  };
  writeFileSync(join(artifacts(name), 'report.json'), JSON.stringify({ ...report, seen }, null, 1));
  t.diagnostic(JSON.stringify(report));

  assert.ok(report.seconds < 12, `${report.seconds} s for ${CHANGES} changes`);
  assert.ok(report.cuts >= CHANGES / 2, `${report.cuts} cuts were seen in ${report.framesLookedAt} frames`);
  assert.ok(report.longestGapMs <= LONGEST_GAP_MS, `a frame stood for ${report.longestGapMs} ms`);
  assert.equal(report.freezes, 0, 'freezes by the browser\'s own count');
  assert.ok(
    report.blackAtMost <= report.blackUsually + MORE_BLACK,
    `${report.blackAtMost} of a frame was black, usually ${report.blackUsually}`,
  );
  assert.ok(rested <= usual + MORE_BLACK, `a camera came up black: ${rested} of a frame`);
  assert.ok(control > usual + MORE_BLACK, `a black tile went unseen: ${control} of a frame`);
  assert.ok(memory[2] - memory[0] <= GROWTH_BYTES, `the process grew: ${report.memoryMB} MB`);
  assert.equal(report.peers, 1, 'one connection throughout');
  assert.deepEqual(end.viewers.map(({ id }) => id), viewer, 'and the same at the other end');
  assert.deepEqual(complaints, [], 'the page complained');
});
