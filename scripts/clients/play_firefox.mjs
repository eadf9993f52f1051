// Firefox, the system's. For WebRTC it offers H.264 only where a plugin says that it can encode and decode it, which is
// Cisco's, and which Firefox fetches from the Internet; what decodes is FFmpeg all the same (Debian's has
// `media.navigator.mediadatadecoder_h264_enabled`). So a plugin that says so, and is never loaded, is enough to play.

import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { playIn } from './browsers.mjs';
import { launchFirefox } from './marionette.mjs';
import { argumentsOf, report } from './whep.mjs';

const PLACES = ['/usr/bin/firefox-esr', '/usr/bin/firefox'];
const SETTINGS = {
  'media.navigator.mediadatadecoder_h264_enabled': true,
  'media.autoplay.default': 0,
  'media.gmp-manager.url': 'data:text/plain,',
  'media.gmp.trial-create.enabled': false,
  'media.peerconnection.ice.loopback': true,
  'media.peerconnection.ice.obfuscate_host_addresses': false,
};

/** The declaration of OpenH264's plugin, in the folders that Firefox reads it from. */
function declareH264(folder) {
  const place = join(folder, 'gmp-gmpopenh264', '1');
  mkdirSync(place, { recursive: true });
  const lines = ['Name: gmpopenh264', 'Description: none', 'Version: 1', 'APIs: encode-video[h264], decode-video[h264]'];
  writeFileSync(join(place, 'gmpopenh264.info'), `${lines.join('\n')}\n`);
  return place;
}

const given = argumentsOf('play_firefox.mjs');
const executable = process.env.WALLCAST_FIREFOX || PLACES.find((path) => existsSync(path));
if (!executable) throw new Error(`found no Firefox, expected one of ${PLACES.join(', ')} or WALLCAST_FIREFOX`);
const folder = mkdtempSync(join(tmpdir(), 'wallcast-gmp-'));
const firefox = await launchFirefox(executable, SETTINGS, { MOZ_GMP_PATH: declareH264(folder) });
let findings;
try {
  const evaluate = (script, ...args) => firefox.session.evaluate(script, ...args);
  findings = { version: firefox.session.version, ...(await playIn(evaluate, given)) };
} finally {
  await firefox.close();
  rmSync(folder, { recursive: true, force: true });
}
report(findings);
