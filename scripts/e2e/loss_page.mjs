// docs/loss.md and its picture: what a full run of the table of losses has shown.

import { table } from './loss_table.mjs';

const [WIDTH, LEFT, STRIP, GAP, TOP] = [900, 210, 54, 14, 34];
/** A strip is so many ms high; what stood longer reaches its top. */
const HIGHEST_MS = 1_000;
/** From here on a browser calls it a freeze, at 25 frames a second. */
const FREEZE_MS = 190;

const escape = (text) => text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');

/**
 * One strip a row: every picture that stood for longer than it should, when and for how long.
 * @param {import('./loss_table.mjs').Row[]} rows
 */
export function plot(rows) {
  const x = (seconds, { seen }) => LEFT + ((WIDTH - LEFT - 20) * seconds) / seen.seconds;
  const height = TOP + rows.length * (STRIP + GAP) + 24;
  const strips = rows.map((row, at) => {
    const floor = TOP + at * (STRIP + GAP) + STRIP;
    const y = (ms) => floor - (STRIP * Math.min(ms, HIGHEST_MS)) / HIGHEST_MS;
    const bars = row.seen.stills.map(({ at: ms, stood }) => {
      const left = x(ms / 1000, row).toFixed(1);
      return `<line x1="${left}" x2="${left}" y1="${floor}" y2="${y(stood).toFixed(1)}" class="${stood >= FREEZE_MS ? 'freeze' : 'late'}"/>`;
    });
    return [
      `<text x="${LEFT - 10}" y="${floor - STRIP / 2 + 4}" text-anchor="end">${escape(row.profile.short ?? row.profile.title)}</text>`,
      `<line x1="${LEFT}" x2="${WIDTH - 20}" y1="${floor}" y2="${floor}" class="axis"/>`,
      `<line x1="${LEFT}" x2="${WIDTH - 20}" y1="${y(FREEZE_MS)}" y2="${y(FREEZE_MS)}" class="grid"/>`,
      ...bars,
    ].join('\n');
  });
  const seconds = rows[0].seen.seconds;
  const ticks = Array.from({ length: 7 }, (_, n) => (n * seconds) / 6).map(
    (at) => `<text x="${x(at, rows[0]).toFixed(1)}" y="${height - 8}" text-anchor="middle">${at.toFixed(0)} s</text>`,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="13">`,
    '<style>.axis{stroke:#888}.grid{stroke:#ccc;stroke-dasharray:3 3}.late{stroke:#7aa6d8}.freeze{stroke:#c33;stroke-width:2}</style>',
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    `<text x="${LEFT}" y="18">How long pictures stood, up to ${HIGHEST_MS} ms; red above ${FREEZE_MS} ms (dashed), which Chromium calls a freeze</text>`,
    ...strips,
    ...ticks,
    '</svg>',
    '',
  ].join('\n');
}

/**
 * @param {import('./loss_table.mjs').Row[]} rows
 * @param {{ browser: string, seconds: number }} run
 */
export function page(rows, { browser, seconds }) {
  return `# What viewers see over bad networks

\`benches/udp_relay\` stands between ${browser} and Wallcast: 25 ms each way, and in both directions whatever the row says. Every
row is a page of its own, all at once, each for ${seconds} s, on a wall of 640x360 at 25 frames a second whose picture is noise, so
that it takes all of its 4 Mb/s: about 17 packets a frame. The same seeds lose the same packets.

    WALLCAST_LOSS_SECONDS=${seconds} WALLCAST_UPDATE_LOSS=1 scripts/test.sh loss

${table(rows)}

![How long pictures stood](loss.svg)

"Sent again" is what Wallcast counts, "received again" what the browser does. "Kept" says whether all bars were kept:

${rows.map(({ profile, checked }) => `- ${profile.title}: ${checked.map(([what]) => what).join('; ')}`).join('\n')}

Packets that are lost are asked for again and come within a round trip, and frames are shown the moment they can be. Where copies
or requests are lost too, they come a tenth of a second later still, because that is when Chromium asks again; such a viewer is
then asked to hold frames back by 50 to 200 ms for a while (the playout-delay extension), so that the picture goes on moving.
`;
}
