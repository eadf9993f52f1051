// Runs the built binary for a browser test, on ports the system chooses.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createWriteStream, existsSync, mkdirSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/** Where it listens, unless a test says otherwise. */
const ADDRESSES = { '--listen': '127.0.0.1:0', '--rtsp-listen': '127.0.0.1:0', '--webrtc-listen': '0.0.0.0:0' };

export const root = join(dirname(fileURLToPath(import.meta.url)), '../..');

/** A folder for what a test leaves behind, made if need be. */
export function artifacts(test) {
  const folder = join(process.env.WALLCAST_ARTIFACTS || join(root, 'artifacts'), test);
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** Where a program is that `cargo build --release` with these arguments makes. */
export function built(program, ...args) {
  const target = process.env.CARGO_TARGET_DIR || 'target';
  const path = join(isAbsolute(target) ? target : join(root, target), 'release', program);
  if (!existsSync(path)) throw new Error(`found no ${path}: run ${['cargo build --release', ...args].join(' ')} first`);
  return path;
}

/** Waits until `check` answers something, or fails with what it was for. */
export async function until(what, ms, check) {
  const end = Date.now() + ms;
  for (;;) {
    const found = await check();
    if (found) return found;
    assert.ok(Date.now() < end, `waited ${ms} ms for ${what}`);
    await sleep(50);
  }
}

/**
 * Starts `wallcast` with these arguments and waits until it is ready.
 * @returns {Promise<{url: string, stop: () => Promise<number|null>}>} its address, with a slash at the end; and how to end it
 */
export async function startWallcast(test, ...args) {
  const addresses = Object.entries(ADDRESSES).filter(([option]) => !args.includes(option)).flat();
  const child = spawn(built('wallcast'), [...args, ...addresses], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const log = createWriteStream(join(artifacts(test), 'wallcast.log'));
  const ended = new Promise((resolve) => child.once('exit', (code) => resolve(code)));
  const url = await new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error('wallcast was not ready after 20 s')), 20_000);
    ended.then((code) => reject(new Error(`wallcast ended with exit code ${code}; see ${log.path}`)));
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        log.write(`${line}\n`);
        const found = line.match(/wallcast is ready: (http:\/\/[^/\s]+\/)/);
        if (found) {
          clearTimeout(late);
          resolve(found[1]);
        }
      });
    }
  }).catch((error) => {
    child.kill('SIGKILL');
    throw error;
  });
  const stop = () => {
    child.kill('SIGINT');
    const impatient = setTimeout(() => child.kill('SIGKILL'), 6_000);
    return ended.finally(() => clearTimeout(impatient));
  };
  return { url, stop };
}
