// A bad network between a browser and the server: benches/udp_relay, and answers that lead viewers through it.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { built } from './wallcast.mjs';

/**
 * One direction, as benches/udp_relay/path.rs has it; shares are of 1.
 * @typedef {{ delay_ms?: number, jitter_ms?: number, loss?: number, duplicates?: number,
 *   bursts?: { mean_between: number, mean_length: number }, rate?: { bits_per_second: number, queue_ms: number } }} Conditions
 * @typedef {{ offered: number, passed: number, lost: number, bursts: number, duplicated: number, overtaken: number,
 *   overflowed: number, cut: number, longest_wait_ms: number }} Tally
 */

/** Starts the relay, which has no door yet. */
export function startRelay() {
  const child = spawn(built('udp_relay', '-p wallcast-benches'), { stdio: ['pipe', 'pipe', 'inherit'] });
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  let last = Promise.resolve();
  /** One command at a time: answers come in their order. */
  const ask = (command) => {
    const answer = last.then(async () => {
      child.stdin.write(`${JSON.stringify(command)}\n`);
      const { value, done } = await answers.next();
      if (done) throw new Error(`the relay ended at ${JSON.stringify(command)}`);
      return JSON.parse(value);
    });
    last = answer.catch(() => {});
    return answer;
  };
  return {
    /**
     * @param {{ seed: number, down: Conditions, up: Conditions }} network
     * @returns {Promise<string>} where viewers of the server `to` are to send
     */
    open: async (name, to, { seed, down, up }) => (await ask({ open: name, to, seed, down, up })).address,
    change: (name, { down, up }) => ask({ change: name, down, up }),
    cut: (name, ms) => ask({ cut: name, ms }),
    /** @returns {Promise<{ down: Tally, up: Tally }>} */
    tell: (name) => ask({ tell: name }),
    stop: async () => {
      const ended = once(child, 'exit');
      child.stdin.end();
      await ended;
    },
  };
}

/**
 * An answer with one candidate, which is `address` by UDP. Nothing else in it leads to the server.
 * @param {string} sdp
 * @param {string} address host:port
 */
export function leadThrough(sdp, address) {
  const [host, port] = address.split(':');
  const candidate = `a=candidate:1 1 udp 2130706431 ${host} ${port} typ host`;
  const lines = sdp.split('\r\n');
  const first = lines.findIndex((line) => line.startsWith('a=candidate:'));
  if (first < 0) throw new Error('found no candidate in the answer, expected all of them');
  lines[first] = candidate;
  return lines.filter((line) => line === candidate || !line.startsWith('a=candidate:')).join('\r\n');
}

/** The port of the first UDP candidate in an answer. */
export function mediaPort(sdp) {
  const port = sdp.match(/^a=candidate:\S+ 1 udp \d+ \S+ (\d+) typ host/im)?.[1];
  if (!port) throw new Error('found no UDP candidate in the answer');
  return Number(port);
}

/**
 * To be called before the page loads: whatever session it asks for, its media come through the relay.
 * @param {import('playwright-core').Page} page
 * @param {(port: number) => Promise<string>} door where to send instead of the server's media port
 */
export async function routeThrough(page, door) {
  await page.route('**/whep/*', async (route) => {
    if (route.request().method() !== 'POST') return route.continue();
    const response = await route.fetch();
    if (response.status() !== 201) return route.fulfill({ response });
    const answer = await response.text();
    return route.fulfill({ response, body: leadThrough(answer, await door(mediaPort(answer))) });
  });
}
