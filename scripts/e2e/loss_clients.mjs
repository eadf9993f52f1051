// The table of losses for players that are not our page: clients of scripts/clients behind the same networks, by hand.
//
//   node scripts/e2e/loss_clients.mjs aiortc [werift …] [--seconds 60]
//
// Needs a build and what `scripts/test.sh clients` installs. Prints a table in Markdown. The relay is on loopback, which not
// every client reaches: Firefox does not.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { writeFileSync } from 'node:fs';
import { startNoisyCamera } from './camera.mjs';
import { PROFILES } from './loss_table.mjs';
import { leadThrough, mediaPort, startRelay } from './relay.mjs';
import { artifacts, root, startWallcast } from './wallcast.mjs';

const ROWS = ['good', 'loss1', 'loss5', 'reorder', 'loss10', 'bursts'];
const CACHE = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
const PYTHON = process.env.WALLCAST_AIORTC_PYTHON || join(CACHE, 'wallcast/aiortc/bin/python3');

const { values, positionals: clients } = parseArgs({ allowPositionals: true, options: { seconds: { type: 'string', default: '60' } } });
const seconds = Number(values.seconds);
if (!clients.length || !seconds) {
  process.stderr.write('usage: node loss_clients.mjs aiortc [werift …] [--seconds 60]\n');
  process.exit(2);
}

/** WHEP as at `server`, but the media come through `door`. */
async function openProxy(server, door) {
  const proxy = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const headers = { 'Content-Type': request.headers['content-type'] ?? '' };
    const body = chunks.length ? Buffer.concat(chunks) : undefined;
    const answered = await fetch(new URL(request.url, server), { method: request.method, headers, body });
    const text = await answered.text();
    const answer = answered.status === 201 ? leadThrough(text, await door(mediaPort(text))) : text;
    const location = answered.headers.get('location');
    response.writeHead(answered.status, location ? { 'Content-Type': 'application/sdp', location } : {}).end(answer);
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  return { url: `http://127.0.0.1:${proxy.address().port}`, close: () => proxy.closeAllConnections() ?? proxy.close() };
}

/** What the client says of itself, or why it says nothing. */
async function play(client, url) {
  const [program, file] = client === 'aiortc' ? [PYTHON, 'play_aiortc.py'] : ['node', `play_${client}.mjs`];
  const child = spawn(program, [join(root, 'scripts/clients', file), url, '--seconds', `${seconds}`]);
  const said = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr']) child[stream].on('data', (data) => (said[stream] += data));
  const [code] = await once(child, 'close');
  if (code !== 0) return { failed: said.stderr.split('\n').findLast((line) => line.includes('Error')) ?? `exit code ${code}` };
  return JSON.parse(said.stdout.trim().split('\n').at(-1));
}

async function row(client, profile, wallcast, relay) {
  const name = `${client} ${profile.name}`;
  const proxy = await openProxy(wallcast.url, (port) => relay.open(name, `127.0.0.1:${port}`, profile.network));
  const found = await play(client, `${proxy.url}/whep/${profile.wall}`);
  proxy.close();
  if (found.failed) return `| ${client} | ${profile.title} | ${found.failed} | | | | |`;
  const { down } = await relay.tell(name);
  const fps = (found.decoded / seconds).toFixed(1);
  const cells = [client, profile.title, fps, found.key_frames, found.first_frame_ms, `${down.lost} of ${down.offered}`, found.retransmissions ?? '–'];
  return `| ${cells.join(' | ')} |`;
}

const folder = artifacts('loss_clients');
const camera = await startNoisyCamera(folder);
const wall = '{ size: 640x360, fps: 25, bitrate: 4M, overlay: none, layout: grid, tiles: [noisy] }';
writeFileSync(join(folder, 'walls.yaml'), `state: none\ncameras:\n  noisy: ${camera.url}\nwalls:\n  random: ${wall}\n  rough: ${wall}\n`);
const wallcast = await startWallcast('loss_clients', 'run', '--config', join(folder, 'walls.yaml'));
const relay = startRelay();
console.log('| client | network | fps | key frames | first frame ms | lost on the way | received again |\n|---|---|---|---|---|---|---|');
for (const client of clients) {
  const profiles = PROFILES.filter(({ name }) => ROWS.includes(name));
  // Their decoders take a core each: two at a time.
  for (let at = 0; at < profiles.length; at += 2) {
    const pair = profiles.slice(at, at + 2).map((profile) => row(client, profile, wallcast, relay));
    for (const line of await Promise.all(pair)) console.log(line);
  }
}
await relay.stop();
await wallcast.stop();
await camera.stop();
