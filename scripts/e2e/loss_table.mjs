// The table of losses: what a network does, and what a viewer behind it may notice. Without sockets and browser.

/** Each way; a round trip of 50 ms. */
const delay_ms = 25;
/** Bytes wait in front of a slow line for a second at most. */
const queue_ms = 1_000;
const CAP_BPS = 1_500_000;
/** After so long the sender is to have found out what a slow line carries. */
const ADAPTED_AFTER_MS = 5_000;

/**
 * What was seen of one viewer while it was measured.
 * @typedef {{ seconds: number, framesDecoded: number, fps: number, freezes: number, frozenSeconds: number, stillMs: number,
 *   stills: { at: number, stood: number }[], backAfterMs: number | null, pli: number, nack: number, keyFrames: number, retransmitted: number, packetsLost: number,
 *   framesDropped: number, bufferMs: number, bitrate: number, width: number, joinMs: number, connections: number,
 *   waitMs: number, relay: { down: import('./relay.mjs').Tally, up: import('./relay.mjs').Tally },
 *   served: { retransmitted: number, frames_dropped: number } | null, complaints: string[] }} Figures
 *   `stillMs`: the longest time one picture stood. `backAfterMs`: from the end of an outage to the first new picture.
 *   `waitMs`: the longest wait before the slow line, once the sender should have adapted.
 *
 * @typedef {{ name: string, title: string, short?: string, wall: string, fullOnly?: boolean,
 *   network: { seed: number, down: import('./relay.mjs').Conditions, up: import('./relay.mjs').Conditions },
 *   later?: { down: import('./relay.mjs').Conditions, up: import('./relay.mjs').Conditions },
 *   outageMs?: number, adaptsAfterMs?: number, bars: (seen: Figures, good: Figures) => Bar[] }} Profile
 *   `later`: how the network changes when measuring begins.
 * @typedef {[what: string, kept: boolean]} Bar
 */

const both = (/** @type {import('./relay.mjs').Conditions} */ conditions) => ({
  down: { delay_ms, ...conditions },
  up: { delay_ms, ...conditions },
});

/** Against the viewer without loss, measured beside it: what a busy machine does is done to both. */
const smooth = (/** @type {number} */ share) => (/** @type {Figures} */ seen, /** @type {Figures} */ good) =>
  /** @type {Bar} */ ([
    `≥ ${share * 100} % of the frames: ${seen.framesDecoded} of ${good.framesDecoded}`,
    seen.framesDecoded >= share * good.framesDecoded,
  ]);

/** So many seconds of two minutes; half of it for a short look, which two freezes may fall into by chance. */
const frozen = (/** @type {number} */ seconds) => (/** @type {Figures} */ seen, /** @type {Figures} */ good) => {
  const allowed = seconds * Math.max(seen.seconds / 120, 0.5);
  return /** @type {Bar} */ ([
    `frozen for ≤ ${allowed.toFixed(1)} s: ${seen.frozenSeconds.toFixed(2)} s`,
    seen.frozenSeconds <= allowed + good.frozenSeconds,
  ]);
};

const still = (/** @type {number} */ ms) => (/** @type {Figures} */ seen) =>
  /** @type {Bar} */ ([`no picture for > ${ms} ms: ${seen.stillMs.toFixed(0)} ms`, seen.stillMs <= ms]);

const keyFrames = (/** @type {number} */ perSecond) => (/** @type {Figures} */ seen) =>
  /** @type {Bar} */ ([
    `key frames ≤ ${perSecond}/s: ${(seen.keyFrames / seen.seconds).toFixed(2)}/s`,
    seen.keyFrames <= perSecond * seen.seconds,
  ]);

const asked = (/** @type {number} */ times) => (/** @type {Figures} */ seen) =>
  /** @type {Bar} */ ([`key frames asked for ≤ ${times} times: ${seen.pli}`, seen.pli <= times]);

const repaired = (/** @type {Figures} */ seen) =>
  /** @type {Bar} */ ([`retransmissions received > 0: ${seen.retransmitted}`, seen.retransmitted > 0]);

const joined = (/** @type {number} */ ms) => (/** @type {Figures} */ seen) =>
  /** @type {Bar} */ ([`first picture ≤ ${ms} ms after the offer: ${seen.joinMs.toFixed(0)} ms`, seen.joinMs <= ms]);

/** Copies are lost too, and asked for again; but none is sent twice for one request. */
const notTwice = (/** @type {Figures} */ seen) => {
  const lost = seen.relay.down.lost;
  const again = seen.served?.retransmitted ?? 0;
  return /** @type {Bar} */ ([`sent again about as often as lost: ${again} for ${lost}`, again <= 1.3 * lost + 20]);
};

const bars = (/** @type {((seen: Figures, good: Figures) => Bar)[]} */ ...checks) =>
  (/** @type {Figures} */ seen, /** @type {Figures} */ good) => checks.map((check) => check(seen, good));

/** @type {Profile[]} */
export const PROFILES = [
  {
    name: 'good',
    title: '0 %',
    wall: 'random',
    network: { seed: 1, ...both({}) },
    bars: bars((seen) => [`no freeze: ${seen.freezes}`, seen.freezes === 0], asked(2)),
  },
  {
    name: 'loss1',
    title: '1 % random',
    wall: 'random',
    network: { seed: 2, ...both({ loss: 0.01 }) },
    bars: bars(smooth(0.98), frozen(1), repaired, notTwice),
  },
  {
    name: 'loss5',
    title: '5 % random',
    wall: 'random',
    network: { seed: 3, ...both({ loss: 0.05 }) },
    bars: bars(smooth(0.9), frozen(5), keyFrames(1), repaired, notTwice),
  },
  {
    name: 'reorder',
    title: 'duplicates and reordering',
    wall: 'random',
    network: { seed: 4, ...both({ duplicates: 0.02, jitter_ms: 15 }) },
    bars: bars(smooth(0.98), frozen(0), asked(2)),
  },
  {
    name: 'loss10',
    title: '10 % random',
    wall: 'rough',
    network: { seed: 5, ...both({ loss: 0.1 }) },
    bars: bars(smooth(0.75), still(2_000), joined(5_000), repaired, notTwice),
  },
  {
    name: 'bursts',
    title: 'bursts: 3 %, 10 packets each',
    short: 'bursts',
    wall: 'rough',
    // Bursts count packets, and few go up: ten of them are a second.
    network: { seed: 6, down: { delay_ms, bursts: { mean_between: 323, mean_length: 10 } }, up: { delay_ms } },
    bars: bars(still(1_000), repaired),
  },
  {
    name: 'wifi',
    title: 'bursts as on bad Wi-Fi: 5 %, 2 packets each, jitter',
    short: 'bad Wi-Fi',
    wall: 'rough',
    fullOnly: true,
    network: { seed: 7, ...both({ jitter_ms: 10, bursts: { mean_between: 40, mean_length: 2 } }) },
    bars: bars(smooth(0.9), still(1_000), repaired),
  },
  {
    name: 'outage',
    title: 'outage of 5 s',
    wall: 'rough',
    network: { seed: 8, ...both({}) },
    outageMs: 5_000,
    bars: bars((seen) => [
      `a picture ≤ 2 s after the outage: ${seen.backAfterMs?.toFixed(0) ?? 'never'} ms`,
      seen.backAfterMs !== null && seen.backAfterMs <= 2_000,
    ]),
  },
  {
    name: 'capped',
    title: '1.5 Mb/s',
    wall: 'capped',
    network: { seed: 9, ...both({}) },
    later: { down: { delay_ms, rate: { bits_per_second: CAP_BPS, queue_ms } }, up: { delay_ms } },
    adaptsAfterMs: ADAPTED_AFTER_MS,
    bars: bars(
      (seen) => [
        `round trip ≤ 500 ms after 5 s: ${(2 * delay_ms + seen.waitMs).toFixed(0)} ms`,
        2 * delay_ms + seen.waitMs <= 500,
      ],
      still(2_000),
      (seen) => [`it goes on: ${seen.fps.toFixed(1)} fps`, seen.fps >= 5],
    ),
  },
];

/** Of everybody, whatever the network does. */
export const everywhere = (/** @type {Figures} */ seen) => /** @type {Bar[]} */ ([
  [`one connection: ${seen.connections}`, seen.connections === 1],
  [`the page complains of nothing: ${seen.complaints.join('; ') || 'nothing'}`, seen.complaints.length === 0],
]);

/**
 * The pictures that stood for longer than `ms` between `from` and `to`, of those presented at `times`; all in ms. `at` counts
 * from `from`.
 */
export function stills(times, from, to, ms) {
  const within = [...times.filter((time) => time > from && time < to), to];
  return within
    .map((time, n) => ({ at: (within[n - 1] ?? from) - from, stood: time - (within[n - 1] ?? from) }))
    .filter(({ stood }) => stood > ms);
}

const COLUMNS = [
  ['network', ({ profile }) => profile.title],
  ['fps', ({ seen }) => seen.fps.toFixed(1)],
  ['freezes', ({ seen }) => `${seen.freezes}`],
  ['frozen s', ({ seen }) => seen.frozenSeconds.toFixed(2)],
  ['longest still ms', ({ seen }) => seen.stillMs.toFixed(0)],
  ['lost on the way', ({ seen }) => `${seen.relay.down.lost + seen.relay.down.overflowed + seen.relay.down.cut} of ${seen.relay.down.offered}`],
  ['sent again', ({ seen }) => `${seen.served?.retransmitted ?? '–'}`],
  ['received again', ({ seen }) => `${seen.retransmitted}`],
  ['PLI', ({ seen }) => `${seen.pli}`],
  ['key frames', ({ seen }) => `${seen.keyFrames}`],
  ['buffer ms', ({ seen }) => seen.bufferMs.toFixed(0)],
  ['Mb/s', ({ seen }) => (seen.bitrate / 1e6).toFixed(1)],
  ['height', ({ seen }) => `${seen.height}`],
  ['join ms', ({ seen }) => seen.joinMs.toFixed(0)],
  ['kept', ({ failed }) => (failed.length === 0 ? 'yes' : `no: ${failed.join('; ')}`)],
];

/**
 * @typedef {{ profile: Profile, seen: Figures, checked: Bar[], failed: string[] }} Row
 * @param {Row[]} rows
 * @returns {string} a table in Markdown
 */
export function table(rows) {
  const cells = [COLUMNS.map(([title]) => title), ...rows.map((row) => COLUMNS.map(([, cell]) => cell(row)))];
  const widths = COLUMNS.map((_, at) => Math.max(...cells.map((line) => line[at].length)));
  const lines = cells.map((line) => `| ${line.map((cell, at) => cell.padEnd(widths[at])).join(' | ')} |`);
  lines.splice(1, 0, `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`);
  return lines.join('\n');
}
