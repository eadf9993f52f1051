// WHEP as a player speaks it (draft-ietf-wish-whep), and what the programs beside this file have in common: how they are
// started and what they print.

import { readFileSync } from 'node:fs';

/**
 * `node play_….mjs URL [--seconds 8] [--wanted '{"audio": true}']`. `wanted` is for browsers: what an offer has besides the video.
 */
export function argumentsOf(program) {
  const [url, ...options] = process.argv.slice(2);
  const option = (name, otherwise) => (options.includes(name) ? options[options.indexOf(name) + 1] : otherwise);
  if (!url) {
    process.stderr.write(`usage: node ${program} http://localhost:8081/whep/wall [--seconds 8]
`);
    process.exit(2);
  }
  return { url, seconds: Number(option('--seconds', '8')), wanted: JSON.parse(option('--wanted', '{}')) };
}

/** Of a package beside this file, as `npm ci` installed it. */
export function versionOf(name) {
  const lock = JSON.parse(readFileSync(new URL('package-lock.json', import.meta.url), 'utf8'));
  return lock.packages[`node_modules/${name}`].version;
}

/** What was found, as the one line on the standard output that the test reads. The last thing a program does: some libraries keep a process alive. */
export function report(findings) {
  process.stdout.write(`${JSON.stringify(findings)}\n`, () => process.exit(0));
}

/** Sends the offer; the answer and how to end the session. */
export async function subscribe(url, offer) {
  const begun = performance.now();
  const response = await fetch(url, { method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: offer });
  const answer = await response.text();
  if (response.status !== 201) throw new Error(`the offer was answered ${response.status}: ${answer}`);
  const session = new URL(response.headers.get('location'), url);
  const end = async () => (await fetch(session, { method: 'DELETE' })).status;
  return { offer, answer, begun, end };
}
