// Viewers whom nothing reaches directly: one behind a TURN server (coturn), with the login that came in the Link header, and one
// that has TCP only; and one whose server is ICE-lite. All by our own page.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { createWriteStream, existsSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'node:test';
import { launchBrowser, openPage } from './browser.mjs';
import { received, rememberPeers } from './playback.mjs';
import { artifacts, startWallcast, until } from './wallcast.mjs';

const SECRET = 'a secret that coturn and wallcast share';
const TURNSERVER = ['/usr/bin/turnserver', '/usr/local/bin/turnserver'].find((path) => existsSync(path));

/** A port that was free a moment ago. */
async function freePort() {
  const socket = createSocket('udp4');
  const port = await new Promise((resolve) => socket.bind(0, '127.0.0.1', () => resolve(socket.address().port)));
  await new Promise((resolve) => socket.close(resolve));
  return port;
}

function accepts(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('close', () => socket.destroy());
    setTimeout(() => socket.destroy(), 500);
  });
}

/** A coturn on loopback that lets in whoever knows the secret; and relays to this machine, which it would not by itself. */
async function startTurn(t, test) {
  const port = await freePort();
  const folder = artifacts(test);
  const options = [
    '-n', '--no-cli', '--no-tls', '--no-dtls', '--no-multicast-peers', '--allow-loopback-peers', '--verbose',
    '--listening-ip=127.0.0.1', '--relay-ip=127.0.0.1', `--listening-port=${port}`, '--realm=wallcast.test',
    '--use-auth-secret', `--static-auth-secret=${SECRET}`,
    '--log-file=stdout', '--simple-log', `--pidfile=${join(folder, 'turn.pid')}`, `--userdb=${join(folder, 'turn.db')}`,
  ];
  const child = spawn(TURNSERVER, options, { stdio: ['ignore', 'pipe', 'pipe'] });
  const log = createWriteStream(join(folder, 'turnserver.log'));
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (data) => {
      said += data;
      log.write(data);
    });
  }
  const ended = new Promise((resolve) => child.once('exit', resolve));
  t.after(() => {
    child.kill('SIGKILL');
    return ended;
  });
  await until('coturn to listen', 10_000, () => accepts(port));
  return { port, said: () => said };
}

/** A server with a wall of a camera that is not there: its clock moves, and so do its reasons. */
async function startWall(t, test, webrtc) {
  const config = join(artifacts(test), 'wall.yaml');
  writeFileSync(config, `webrtc:\n${webrtc}\ncameras: { left: 'rtsp://127.0.0.1:9/left' }\nstate: none\n`);
  const wallcast = await startWallcast(test, 'run', '--config', config);
  t.after(() => wallcast.stop());
  return wallcast;
}

/** The pair of candidates that the page's connection uses, both sides. */
async function path(page) {
  return page.evaluate(async () => {
    for (const peer of window.wallcastTestPeers) {
      if (peer.connectionState !== 'connected') continue;
      const stats = await peer.getStats();
      for (const report of stats.values()) {
        if (report.type !== 'transport' || !report.selectedCandidatePairId) continue;
        const pair = stats.get(report.selectedCandidatePairId);
        return { local: stats.get(pair.localCandidateId), remote: stats.get(pair.remoteCandidateId) };
      }
    }
    return null;
  });
}

/** Opens the wall in a page that `prepare` has been at, and waits for pictures. */
async function watch(t, url, prepare, argument) {
  const browser = await launchBrowser();
  t.after(() => browser.close());
  const { page, complaints } = await openPage(browser);
  await rememberPeers(page);
  await page.addInitScript(prepare, argument);
  await page.goto(url);
  await until('three decoded frames', 20_000, async () => (await received(page))?.framesDecoded >= 3);
  return { page, complaints };
}

test('a viewer behind a relay plays with the login of the Link header', async (t) => {
  const name = 'browser_turn';
  if (!TURNSERVER) {
    assert.ok(!process.env.CI, 'CI is set, and there is no turnserver');
    return t.skip('found no turnserver (the Debian package coturn)');
  }
  const turn = await startTurn(t, name);
  const servers = `  ice_servers:\n    - { urls: 'turn:127.0.0.1:${turn.port}?transport=udp', secret: '${SECRET}', ttl: 1m }\n`;
  const wallcast = await startWall(t, name, servers);
  // Whatever the page configures, nothing but a relay is used.
  const { page, complaints } = await watch(t, wallcast.url, () => {
    const Native = window.RTCPeerConnection;
    window.RTCPeerConnection = class extends Native {
      constructor(configuration) {
        super({ ...configuration, iceTransportPolicy: 'relay' });
      }
    };
  });
  const { local } = await path(page);
  assert.equal(local.candidateType, 'relay', JSON.stringify(local));
  const viewers = (await (await fetch(`${wallcast.url}stats`)).json()).viewers;
  assert.deepEqual(viewers.map(({ state }) => state), ['connected']);
  assert.match(turn.said(), /user <\d+:wallcast>/, 'coturn knows the user by the time that the login ends');
  assert.deepEqual(complaints, [], 'the page complained');
});

test('a viewer without UDP plays over TCP', async (t) => {
  const wallcast = await startWall(t, 'browser_tcp', '  ice_lite: false');
  // A browser never sends by UDP where it knows no address to send to, and nobody sends to it first.
  const { page, complaints } = await watch(t, wallcast.url, () => {
    const native = RTCPeerConnection.prototype.setRemoteDescription;
    RTCPeerConnection.prototype.setRemoteDescription = function (description) {
      const lines = description.sdp.split('\r\n').filter((line) => !/^a=candidate:\S+ \d+ udp /i.test(line));
      return native.call(this, { type: description.type, sdp: lines.join('\r\n') });
    };
  });
  const { local, remote } = await path(page);
  assert.deepEqual([local.protocol, remote.protocol], ['tcp', 'tcp'], JSON.stringify({ local, remote }));
  assert.deepEqual(complaints, [], 'the page complained');
});

test('a viewer of a server that is ICE-lite plays, and goes on', async (t) => {
  const wallcast = await startWall(t, 'browser_lite', '  ice_lite: true');
  const { page, complaints } = await watch(t, wallcast.url, () => {});
  // Consent is asked for every five seconds, by the browser alone.
  await sleep(12_000);
  const before = (await received(page)).framesDecoded;
  await until('more frames', 5_000, async () => (await received(page))?.framesDecoded > before);
  const pair = await page.evaluate(async () => {
    const stats = await window.wallcastTestPeers[0].getStats();
    return [...stats.values()].find((report) => report.type === 'candidate-pair' && report.nominated);
  });
  // But where a viewer that has two ways changes from one to the other, it has to answer once.
  assert.ok(pair.requestsReceived <= 2, JSON.stringify(pair));
  assert.ok(pair.responsesReceived > 2, JSON.stringify(pair));
  assert.deepEqual(complaints, [], 'the page complained');
});
