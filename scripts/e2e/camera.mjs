// A camera for a browser test: scripts/cameras/gst_camera.py plays a clip that FFmpeg makes.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { root } from './wallcast.mjs';

/** Moves everywhere, and is noisy: an encoder needs all the bits it may have. */
const NOISY = ['-f', 'lavfi', '-i', 'testsrc2=size=640x360:rate=25,noise=alls=30:allf=t', '-t', '8'];
const AS_CAMERAS_ENCODE = ['-c:v', 'libx264', '-preset', 'ultrafast', '-tune', 'zerolatency', '-profile:v', 'baseline'];
const FORMAT = ['-pix_fmt', 'yuv420p', '-b:v', '6M', '-maxrate', '6M', '-bufsize', '3M', '-g', '50', '-sc_threshold', '0'];

/**
 * A camera of 640x360 whose picture fills whatever bitrate a wall has.
 * @param {string} folder for its clip
 * @returns {Promise<{url: string, stop: () => Promise<void>}>}
 */
export async function startNoisyCamera(folder) {
  const clip = join(folder, 'noisy.mp4');
  const made = spawnSync('ffmpeg', ['-v', 'error', '-y', ...NOISY, ...AS_CAMERAS_ENCODE, ...FORMAT, clip]);
  if (made.status !== 0) throw new Error(`ffmpeg made no clip: ${made.error ?? made.stderr}`);
  const child = spawn(join(root, 'scripts/cameras/gst_camera.py'), ['--file', clip], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  const lines = createInterface({ input: child.stdout });
  const url = await new Promise((resolve, reject) => {
    lines.on('line', (line) => line.startsWith('ready ') && resolve(line.slice('ready '.length)));
    ended.then(([code]) => reject(new Error(`the camera ended with exit code ${code}`)), reject);
  });
  return {
    url,
    stop: async () => {
      child.kill('SIGTERM');
      await ended;
    },
  };
}
