// Browsers behind bad networks: the table of losses, every row a page of Chromium behind its own door of the relay.
//
//   scripts/test.sh loss                            20 s a row, all rows at once
//   WALLCAST_LOSS_SECONDS=120 scripts/test.sh loss  in full; with WALLCAST_UPDATE_LOSS=1 it renews docs/loss.md
//   WALLCAST_LOSS_ONLY=loss5,bursts                 these rows only, and the one without loss, which the others are held against

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { launchBrowser, openPage } from './browser.mjs';
import { startNoisyCamera } from './camera.mjs';
import { page as lossPage, plot } from './loss_page.mjs';
import { PROFILES, everywhere, stills, table } from './loss_table.mjs';
import { presentedFrames, received, recordFrames, rememberPeers } from './playback.mjs';
import { routeThrough, startRelay } from './relay.mjs';
import { artifacts, root, startWallcast } from './wallcast.mjs';

const FULL_SECONDS = 120;
const SECONDS = Number(process.env.WALLCAST_LOSS_SECONDS) || 20;
const ONLY = process.env.WALLCAST_LOSS_ONLY?.split(',');
/** Before the outage; it is to find a picture that moves. */
const OUTAGE_AFTER_MS = 2_000;
/** A picture that stands for longer is told of: a tenth of a second is late, not stuck. */
const LATE_MS = 100;
/** Frames a second of the walls, and how many of them the viewer without loss has to get for the others to mean anything. */
const WALL_FPS = 25;
const LEAST_FPS = 22;

const chosen = PROFILES.filter(({ name, fullOnly }) =>
  ONLY ? name === 'good' || ONLY.includes(name) : !fullOnly || SECONDS >= FULL_SECONDS);

function configuration(camera) {
  const wall = `{ size: 640x360, fps: ${WALL_FPS}, bitrate: 4M, overlay: none, layout: grid, tiles: [noisy] }`;
  const walls = [...new Set(chosen.map((profile) => profile.wall))].map((name) => `  ${name}: ${wall}\n`);
  return `state: none\ncameras:\n  noisy: ${camera}\nwalls:\n${walls.join('')}`;
}

/** Whatever `check` finds within the time, or null. */
async function soon(ms, check) {
  for (const end = Date.now() + ms; ; await sleep(50)) {
    const found = await check();
    if (found || Date.now() > end) return found || null;
  }
}

/** A page behind its network, playing. */
async function watch(browser, relay, wallcast, profile) {
  const { page, complaints } = await openPage(browser);
  await page.setViewportSize({ width: 640, height: 360 });
  await rememberPeers(page);
  const offers = [];
  let opened = null;
  await routeThrough(page, (port) => {
    offers.push(Date.now());
    return (opened ??= relay.open(profile.name, `127.0.0.1:${port}`, profile.network));
  });
  const sessions = [];
  page.on('response', (response) => {
    if (response.status() === 201) sessions.push(response.headers().location);
  });
  await page.goto(`${wallcast.url}wall/${profile.wall}`);
  await recordFrames(await page.waitForSelector('video'));
  const plays = await soon(15_000, async () => (await received(page))?.framesDecoded > 0);
  assert.ok(plays, `no picture within 15 s: ${profile.title}`);
  const { origin, frames } = await page.evaluate(() => ({ origin: performance.timeOrigin, frames: window.wallcastTestFrames }));
  return { profile, page, complaints, sessions, joinMs: origin + frames[0].time - offers[0] };
}

const pageClock = (page) => page.evaluate(() => performance.now());

/** Looks at one page for `SECONDS`. */
async function measure(relay, { profile, page, complaints, sessions, joinMs }, served) {
  if (profile.later) await relay.change(profile.name, profile.later);
  const relayBefore = await relay.tell(profile.name);
  const servedBefore = await served(sessions[0]);
  const before = await received(page);
  const begun = await pageClock(page);
  let outageEnds = null;
  if (profile.outageMs) {
    await sleep(OUTAGE_AFTER_MS);
    outageEnds = (await pageClock(page)) + profile.outageMs;
    await relay.cut(profile.name, profile.outageMs);
  }
  if (profile.adaptsAfterMs) {
    await sleep(profile.adaptsAfterMs);
    await relay.tell(profile.name);
  }
  await sleep(begun + SECONDS * 1000 - (await pageClock(page)));
  // A viewer without a connection has got nothing more; that fails its row, not all of them.
  const after = (await soon(5_000, () => received(page))) ?? { ...before, timestamp: before.timestamp + SECONDS * 1000 };
  const ended = await pageClock(page);
  const told = await relay.tell(profile.name);
  const servedAfter = await served(sessions[0]);
  const times = (await presentedFrames(page)).map(({ time }) => time);
  const stood = stills(times, begun, ended, LATE_MS);
  const seconds = (after.timestamp - before.timestamp) / 1000;
  // A counter that has counted nothing may be missing.
  const more = (counter) => (after[counter] ?? 0) - (before[counter] ?? 0);
  const since = (was, is) => Object.fromEntries(Object.entries(is).map(([key, value]) => [key, value - was[key]]));
  return {
    seconds,
    framesDecoded: more('framesDecoded'),
    fps: more('framesDecoded') / seconds,
    freezes: more('freezeCount'),
    frozenSeconds: more('totalFreezesDuration'),
    stillMs: Math.max(0, ...stood.map((still) => still.stood)),
    stills: stood,
    backAfterMs: outageEnds && (times.find((time) => time > outageEnds) ?? Infinity) - outageEnds,
    pli: more('pliCount'),
    nack: more('nackCount'),
    keyFrames: more('keyFramesDecoded'),
    retransmitted: more('retransmittedPacketsReceived'),
    packetsLost: more('packetsLost'),
    framesDropped: more('framesDropped'),
    bufferMs: (1000 * more('jitterBufferDelay')) / more('jitterBufferEmittedCount'),
    bitrate: (8 * more('bytesReceived')) / seconds,
    width: after.frameWidth,
    height: after.frameHeight,
    joinMs,
    connections: after.peers,
    waitMs: told.down.longest_wait_ms,
    relay: { down: since(relayBefore.down, told.down), up: since(relayBefore.up, told.up) },
    served: servedBefore && servedAfter && {
      retransmitted: servedAfter.retransmitted - servedBefore.retransmitted,
      frames_dropped: servedAfter.frames_dropped - servedBefore.frames_dropped,
      end: servedAfter,
    },
    complaints,
  };
}

test('Chromium behind networks that lose, delay, reorder and choke', async (t) => {
  const folder = artifacts('loss');
  const camera = await startNoisyCamera(folder);
  t.after(() => camera.stop());
  writeFileSync(join(folder, 'walls.yaml'), configuration(camera.url));
  const wallcast = await startWallcast('loss', 'run', '--config', join(folder, 'walls.yaml'));
  t.after(() => wallcast.stop());
  const relay = startRelay();
  t.after(() => relay.stop());
  const browser = await launchBrowser();
  t.after(() => browser.close());
  const served = async (session) => {
    const { viewers } = await (await fetch(`${wallcast.url}stats`)).json();
    return viewers.find(({ id }) => session.split('/').at(-1).startsWith(id)) ?? null;
  };

  const viewers = [];
  for (const profile of chosen) viewers.push(await watch(browser, relay, wallcast, profile));
  await sleep(2_000); // the buffers of all have settled
  const figures = await Promise.all(viewers.map((viewer) => measure(relay, viewer, served)));

  const good = figures[chosen.findIndex(({ name }) => name === 'good')];
  const rows = chosen.map((profile, at) => {
    const checked = [...everywhere(figures[at]), ...profile.bars(figures[at], good)];
    return { profile, seen: figures[at], checked, failed: checked.filter(([, kept]) => !kept).map(([what]) => what) };
  });
  writeFileSync(join(folder, 'report.json'), JSON.stringify(rows, null, 1));
  writeFileSync(join(folder, 'table.md'), `${table(rows)}\n`);
  writeFileSync(join(folder, 'loss.svg'), plot(rows));
  console.log(table(rows));
  if (process.env.WALLCAST_UPDATE_LOSS === '1') {
    const run = { browser: `Chromium ${browser.version()}`, seconds: SECONDS };
    writeFileSync(join(root, 'docs/loss.md'), lossPage(rows, run));
    writeFileSync(join(root, 'docs/loss.svg'), plot(rows));
  }

  assert.ok(good.fps >= LEAST_FPS, `this machine is too busy: ${good.fps} fps without loss`);
  for (const { profile, failed } of rows) {
    await t.test(profile.title, () => assert.deepEqual(failed, []));
  }
});
