// Firefox by its own remote protocol, Marionette: JSON over TCP, each message after its length. Debian has Firefox, but
// neither geckodriver nor a Firefox that Playwright can drive.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const COMMAND = 0;

/** Starts `executable` without a window, with these settings of about:config. */
export async function launchFirefox(executable, settings, environment = {}) {
  const profile = mkdtempSync(join(tmpdir(), 'wallcast-firefox-'));
  const lines = Object.entries({ ...settings, 'marionette.port': 0 }).map(
    ([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});\n`,
  );
  writeFileSync(join(profile, 'user.js'), lines.join(''));
  const child = spawn(executable, ['--headless', '--marionette', '--no-remote', '--profile', profile, 'about:blank'], {
    stdio: 'ignore',
    env: { ...process.env, ...environment, HOME: profile, MOZ_CRASHREPORTER_DISABLE: '1' },
  });
  const ended = once(child, 'exit');
  // Whoever ends this program for being late ends Firefox too.
  process.once('SIGTERM', () => process.exit(1));
  process.once('exit', () => child.kill('SIGKILL'));
  const close = async () => {
    const impatient = setTimeout(() => child.kill('SIGKILL'), 5_000);
    child.kill('SIGTERM');
    await ended;
    clearTimeout(impatient);
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    const session = await Session.open(await port(profile, child));
    return { session, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Firefox writes the port that it chose into its profile. */
async function port(profile, child) {
  const end = Date.now() + 30_000;
  while (Date.now() < end) {
    if (child.exitCode !== null) throw new Error(`Firefox ended with exit code ${child.exitCode} before it was ready`);
    try {
      const port = Number(readFileSync(join(profile, 'MarionetteActivePort'), 'utf8'));
      if (port > 0) return port;
    } catch {
      // Not written yet.
    }
    await sleep(50);
  }
  throw new Error('Firefox named no port for Marionette within 30 s');
}

class Session {
  #socket;
  #next = 1;
  #waiting = new Map();
  #bytes = Buffer.alloc(0);

  static async open(port) {
    const session = new Session();
    session.#socket = connect(port, '127.0.0.1');
    session.#socket.on('data', (bytes) => session.#read(bytes));
    session.#socket.on('close', () => session.#fail(new Error('Firefox closed the connection')));
    session.#socket.on('error', (error) => session.#fail(error));
    await once(session.#socket, 'connect');
    const { capabilities } = await session.command('WebDriver:NewSession', {});
    session.version = capabilities.browserVersion;
    await session.command('WebDriver:SetTimeouts', { script: 60_000 });
    return session;
  }

  /** Runs `script`, a function without free names, in the page with these arguments, and waits for what it promises. */
  async evaluate(script, ...args) {
    const source = `const done = arguments[arguments.length - 1];
      (${script})(...[...arguments].slice(0, -1)).then((value) => done({ value }), (error) => done({ error: String(error) }));`;
    const { value } = await this.command('WebDriver:ExecuteAsyncScript', { script: source, args, sandbox: null });
    if (value.error) throw new Error(value.error);
    return value.value;
  }

  command(name, parameters) {
    const id = this.#next++;
    const message = Buffer.from(JSON.stringify([COMMAND, id, name, parameters]));
    this.#socket.write(`${message.length}:`);
    this.#socket.write(message);
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }

  #read(bytes) {
    this.#bytes = Buffer.concat([this.#bytes, bytes]);
    for (;;) {
      const colon = this.#bytes.indexOf(':');
      const end = colon + 1 + Number(this.#bytes.toString('latin1', 0, Math.max(colon, 0)));
      if (colon < 0 || this.#bytes.length < end) return;
      const message = JSON.parse(this.#bytes.toString('utf8', colon + 1, end));
      this.#bytes = this.#bytes.subarray(end);
      if (!Array.isArray(message)) continue; // the greeting
      const [, id, error, result] = message;
      const { resolve, reject } = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error) reject(new Error(`${error.error}: ${error.message}`));
      else resolve(result);
    }
  }

  #fail(error) {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
