// Chromium, the system's.

import { playIn } from './browsers.mjs';
import { launchBrowser } from '../e2e/browser.mjs';
import { argumentsOf, report } from './whep.mjs';

const given = argumentsOf('play_chromium.mjs');
const browser = await launchBrowser();
let findings;
try {
  const page = await browser.newPage();
  const evaluate = (script, ...args) => page.evaluate(`(${script})(${args.map((value) => JSON.stringify(value)).join(', ')})`);
  findings = { version: browser.version(), ...(await playIn(evaluate, given)) };
} finally {
  await browser.close();
}
report(findings);
