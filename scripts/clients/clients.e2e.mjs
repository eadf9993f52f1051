// Other people's WebRTC plays a wall by WHEP: each client is a program of its own beside this file, seen by what it
// says and by what passes on the way. docs/clients.md has the table that this makes.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { appendFileSync, existsSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { homedir, networkInterfaces } from 'node:os';
import { dirname, join } from 'node:path';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { artifacts, startWallcast } from '../e2e/wallcast.mjs';
import { matrix } from './matrix.mjs';
import { openPath } from './path.mjs';

/** How long a client plays, from its first picture on, that is watched closely, and one of which it is enough that it plays. */
const [LONG_S, SHORT_S] = [6, 2];
/** Of the pictures that were sent to it, what a client must have received whole and decoded; the rest is on its way. */
const SHARE = 0.8;
/** And so many a second of the wall's 25, however busy the machine is. */
const LEAST_FPS = 2;
/** And so many of them may have lost a packet for good: on a busy machine it comes again too late. */
const HOLES = 0.02;
/** The wall's sizes: whoever gets too little of it on a busy machine is given the smaller one. */
const SIZES = ['1920x1080', '960x540'];
const FIRST_FRAME_MS = 5_000;
/** One packet in so many is lost on the way to a client that asks for what it misses. */
const LOSE_EVERY = 100;

const here = dirname(fileURLToPath(import.meta.url));
const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
const aiortc = process.env.WALLCAST_AIORTC_PYTHON || join(cache, 'wallcast/aiortc/bin/python');
const firefox = ['/usr/bin/firefox-esr', '/usr/bin/firefox'].find((path) => existsSync(path)) || process.env.WALLCAST_FIREFOX;
const GCM = 'SRTP_AEAD_AES_128_GCM';
const CM = 'SRTP_AES128_CM_HMAC_SHA1_80';

/** `needs`: a file without which the client is passed over. `asks`: it sends NACKs. */
const CLIENTS = {
  chromium: { name: 'Chromium', command: ['node', 'play_chromium.mjs'], profile: GCM, asks: true, decodes: true },
  firefox: { name: 'Firefox', command: ['node', 'play_firefox.mjs'], profile: GCM, asks: true, decodes: true, needs: firefox ?? '/usr/bin/firefox-esr' },
  aiortc: { name: 'aiortc', command: [aiortc, 'play_aiortc.py'], profile: GCM, asks: true, decodes: true, needs: aiortc },
  werift: { name: 'werift', command: ['node', 'play_werift.mjs'], profile: GCM, asks: true, decodes: false },
  // Offers NACK and has no buffer that would ask.
  libdatachannel: { name: 'libdatachannel', command: ['node', 'play_libdatachannel.mjs'], profile: GCM, asks: false, decodes: false },
  gstreamer: { name: 'GStreamer webrtcbin', command: ['/usr/bin/python3', 'play_gstreamer.py'], profile: CM, asks: true, decodes: true },
};

/** For the table: of each client what its plain run found, and by which other ways it played. */
const rows = Object.fromEntries(Object.entries(CLIENTS).map(([client, { name }]) => [client, { name }]));
const folder = artifacts('clients');
const servers = {};

/** One server for all tests of an address family, and its wall warm. */
async function server(t, listen = '0.0.0.0:0') {
  servers[listen] ??= startWallcast(`clients_${listen.startsWith('[') ? 'v6' : 'v4'}`, 'demo', '--webrtc-listen', listen);
  return servers[listen];
}

test.after(async () => {
  writeFileSync(join(folder, 'matrix.md'), matrix(Object.values(rows)));
  for (const starting of Object.values(servers)) await (await starting).stop();
});

const viewers = async (wallcast) => (await (await fetch(`${wallcast.url}stats`)).json()).viewers;

/** Runs a client through a path of its own until it ends; what it said, what was seen, and the server's view of it. */
async function run(t, client, { seconds = LONG_S, args = [], listen, ...how } = {}) {
  const { command, needs } = CLIENTS[client];
  if (needs && !existsSync(needs)) {
    return skip(t, `found no ${needs}`);
  }
  const wallcast = await server(t, listen);
  const path = await openPath(wallcast.url, how);
  t.after(() => path.close());
  const [program, script] = command;
  const given = [join(here, script), `${path.url}/whep/wall`, '--seconds', String(seconds), ...args];
  const child = spawn(program, given, { stdio: ['ignore', 'pipe', 'pipe'], timeout: 60_000 });
  let [out, complaints, viewer, running] = ['', '', null, true];
  child.stdout.on('data', (bytes) => (out += bytes));
  child.stderr.on('data', (bytes) => (complaints += bytes));
  const ended = once(child, 'close');
  const watched = (async () => {
    for (; running; await sleep(250)) viewer = (await viewers(wallcast))[0] ?? viewer;
  })();
  const [code] = await ended;
  running = false;
  await watched;
  assert.equal(code, 0, `${script} ended with ${code}: ${complaints}`);
  const said = JSON.parse(out.trim().split('\n').at(-1));
  const left = await gone(wallcast);
  const name = t.name.replace(/\W+/g, '_').slice(0, 60);
  writeFileSync(join(folder, `${name}.json`), JSON.stringify({ said, seen: path.seen, viewer }, null, 1));
  const { offer: _offer, answer: _answer, ...brief } = said;
  t.diagnostic(JSON.stringify({ ...brief, seen: path.seen, viewer }));
  checkPlayed(client, said, seconds, viewer);
  assert.equal(said.ended, 200, 'the answer to DELETE');
  assert.equal(left, 0, 'viewers left after DELETE');
  return { said, seen: path.seen, viewer };
}

/** Passes a test over, and says so at the end of scripts/test.sh too. */
function skip(t, why) {
  if (process.env.WALLCAST_SKIPPED) appendFileSync(process.env.WALLCAST_SKIPPED, `${t.name}: ${why}\n`);
  t.skip(why);
  return null;
}

/** Viewers that are left a second after a client ended. */
async function gone(wallcast) {
  for (let tries = 0; tries < 20; tries++) {
    if ((await viewers(wallcast)).length === 0) return 0;
    await sleep(50);
  }
  return (await viewers(wallcast)).length;
}

function checkPlayed(client, said, seconds, viewer) {
  const { decodes } = CLIENTS[client];
  const pictures = decodes ? said.decoded : said.frames;
  const least = Math.max(LEAST_FPS * seconds, SHARE * viewer.frames_sent);
  assert.ok(said.connected, 'connected');
  assert.ok(pictures >= least, `${pictures} pictures, expected ${least} or more of ${viewer.frames_sent}`);
  assert.ok(said.key_frames >= 1, 'a key frame with its parameter sets');
  assert.ok(said.first_frame_ms <= FIRST_FRAME_MS, `the first picture after ${said.first_frame_ms} ms`);
  if (decodes) assert.ok(SIZES.includes(`${said.width}x${said.height}`), `pictures of ${said.width}x${said.height}`);
}

for (const [client, { name, profile, asks }] of Object.entries(CLIENTS)) {
  test(`${name} plays, and gets again what was lost on the way where it asks`, async (t) => {
    const found = await run(t, client, { loseEvery: asks ? LOSE_EVERY : 0 });
    if (!found) return;
    const { said, seen, viewer } = found;
    Object.assign(rows[client], found);
    assert.equal(seen.dtls_version, '1.2');
    assert.equal(seen.dtls_server, 'server', 'who waits for the ClientHello');
    assert.equal(seen.srtp_profile, profile);
    if (said.incomplete !== undefined) {
      assert.ok(said.incomplete <= 1 + HOLES * said.frames, `${said.incomplete} pictures with holes of ${said.frames}`);
    }
    if (asks) {
      assert.ok(seen.lost > 0, 'nothing was lost');
      assert.ok(seen.again >= seen.lost - 1, `${seen.again} packets came again of ${seen.lost} lost`);
      assert.ok(viewer.retransmitted > 0, 'the server counts retransmissions');
    }
  });
}

// Offers that the client itself would not make, but its makers may tomorrow, or another player today.
for (const [client, what, how] of [
  ['chromium', 'with H.264 alone, without retransmissions, waiting for our handshake', { changes: ['h264-only', 'no-rtx', 'passive'] }],
  ['chromium', 'without an extension and without feedback', { changes: ['no-extensions', 'no-feedback'] }],
  ['werift', 'waiting for our handshake', { changes: ['passive'] }],
  ['libdatachannel', 'waiting for our handshake', { changes: ['passive'] }],
  ['gstreamer', 'waiting for our handshake, before it knows its addresses', { changes: ['passive', 'no-candidates'] }],
  ['aiortc', 'waiting for our handshake', { changes: ['passive'] }],
  ['aiortc', 'as the one that begins', { changes: ['active', 'no-bundle'] }],
]) {
  test(`${CLIENTS[client].name} plays ${what}`, async (t) => {
    const found = await run(t, client, { seconds: SHORT_S, ...how });
    if (!found) return;
    const passive = how.changes.includes('passive');
    if (passive) rows[client].passive = found.seen.srtp_profile;
    assert.equal(found.seen.dtls_server, passive ? 'client' : 'server');
    assert.equal(found.seen.setup, passive ? 'active' : 'passive', 'our word for it');
    if (how.changes.includes('no-rtx')) assert.equal(found.seen.rtx, false);
    if (how.changes.includes('no-extensions')) assert.deepEqual([found.seen.extensions, found.seen.feedback], [[], []]);
  });
}

test('whoever offers one SRTP profile alone gets that one', async (t) => {
  for (const [number, profile] of [[1, CM], [7, GCM]]) {
    const found = await run(t, 'aiortc', { seconds: SHORT_S, args: ['--profiles', String(number)] });
    if (found) assert.equal(found.seen.srtp_profile, profile);
  }
});

// One transport for all, which is the first section's; Firefox gives the others no port of their own (`a=bundle-only`).
for (const client of ['chromium', 'firefox']) {
  test(`${CLIENTS[client].name} plays with sound and data in the same bundle, which are refused`, async (t) => {
    const wanted = { bundlePolicy: 'max-bundle', audio: true, data: true };
    const changes = client === 'firefox' ? ['passive', 'no-candidates'] : [];
    const found = await run(t, client, { seconds: SHORT_S, args: ['--wanted', JSON.stringify(wanted)], changes });
    if (!found) return;
    assert.equal(/^a=bundle-only/m.test(found.said.offer), client === 'firefox');
    const sections = found.said.answer.split(/^m=/m).slice(1);
    const brief = sections.map((section) => [
      section.match(/^\w+/)[0],
      section.match(/^a=(inactive|sendonly)/m)[1],
      section.match(/^\w+ (\d+)/)[1] !== '0',
    ]);
    assert.deepEqual(brief, [['audio', 'inactive', true], ['video', 'sendonly', true], ['application', 'inactive', false]]);
    const passive = changes.length > 0;
    assert.equal(found.seen.dtls_server, passive ? 'client' : 'server');
    if (passive) rows[client].passive = found.seen.srtp_profile;
  });
}

for (const client of ['chromium', 'firefox', 'gstreamer']) {
  test(`${CLIENTS[client].name} plays over TCP`, async (t) => {
    const found = await run(t, client, { seconds: SHORT_S, tcp: true });
    if (!found) return;
    rows[client].tcp = true;
    if (found.said.transport) assert.equal(found.said.transport, 'tcp');
  });
}

for (const client of Object.keys(CLIENTS)) {
  test(`${CLIENTS[client].name} plays over IPv6`, async (t) => {
    const addresses = Object.values(networkInterfaces()).flat();
    if (!addresses.some(({ family, internal, scopeid }) => family === 'IPv6' && !internal && !scopeid)) {
      skip(t, 'this machine has no IPv6 address besides loopback');
      return;
    }
    const found = await run(t, client, { seconds: SHORT_S, listen: '[::]:0' });
    if (!found) return;
    rows[client].ipv6 = true;
    assert.match(found.said.answer, /^a=candidate:\S+ 1 udp \d+ [0-9a-f:]*:[0-9a-f]* \d+ typ host/m);
  });
}

test('an offer without rtcp-mux is refused and told why', async (t) => {
  const wallcast = await server(t);
  const path = await openPath(wallcast.url, { changes: ['no-rtcp-mux'] });
  t.after(() => path.close());
  const child = spawn('node', [join(here, 'play_libdatachannel.mjs'), `${path.url}/whep/wall`], { stdio: ['ignore', 'ignore', 'pipe'] });
  let complaints = '';
  child.stderr.on('data', (bytes) => (complaints += bytes));
  const [code] = await once(child, 'close');
  assert.notEqual(code, 0);
  assert.match(complaints, /answered 400: .*rtcp-mux/);
});
