// How well a page plays: what the browser counted, and when it put each frame on the screen.

/**
 * To be called before the page loads. Remembers the page's peer connections, which a page need not expose.
 * @param {import('playwright-core').Page} page
 */
export async function rememberPeers(page) {
  await page.addInitScript(() => {
    const peers = (window.wallcastTestPeers = []);
    const Native = window.RTCPeerConnection;
    window.RTCPeerConnection = class extends Native {
      constructor(...args) {
        super(...args);
        peers.push(this);
      }
    };
  });
}

/**
 * The browser's own counters of the one video that is being received (W3C webrtc-stats, `inbound-rtp`).
 * @param {import('playwright-core').Page} page
 */
export async function received(page) {
  return page.evaluate(async () => {
    for (const peer of window.wallcastTestPeers) {
      if (peer.connectionState !== 'connected') continue;
      for (const report of (await peer.getStats()).values()) {
        if (report.type === 'inbound-rtp' && report.kind === 'video') {
          return { ...report, peers: window.wallcastTestPeers.length };
        }
      }
    }
    return null;
  });
}

/**
 * Starts to remember when each frame was presented.
 * @param {import('playwright-core').ElementHandle} video
 */
export async function recordFrames(video) {
  await video.evaluate((element) => {
    const frames = (window.wallcastTestFrames = []);
    const record = (_now, metadata) => {
      frames.push({ time: metadata.presentationTime, count: metadata.presentedFrames });
      element.requestVideoFrameCallback(record);
    };
    element.requestVideoFrameCallback(record);
  });
}

/** @returns {Promise<{time: number, count: number}[]>} in milliseconds of the page's clock; the frames presented until then */
export async function presentedFrames(page) {
  return page.evaluate(() => window.wallcastTestFrames);
}

/**
 * The longest time a frame stood on the screen, in ms, from `from` on.
 *
 * A callback that came late is no freeze: `presentationTime` is when the browser handed the frame to the compositor, and where the
 * callback missed frames, `presentedFrames` tells how many, so that the time is shared out among them. What hides in there, a
 * freeze right beside missed callbacks, `freezeCount` of the browser's own statistics finds.
 * @param {{time: number, count: number}[]} frames
 */
export function longestGap(frames, from) {
  let longest = 0;
  for (let n = 1; n < frames.length; n++) {
    const [before, after] = [frames[n - 1], frames[n]];
    if (before.time < from || after.count <= before.count) continue;
    longest = Math.max(longest, (after.time - before.time) / (after.count - before.count));
  }
  return longest;
}

/**
 * The picture as it is now, scaled to nothing: `{width, height, data}` of an `ImageData`, RGBA.
 * @param {import('playwright-core').ElementHandle} video
 */
export async function pixels(video) {
  const { width, height, base64 } = await video.evaluate(async (element) => {
    const [width, height] = [element.videoWidth, element.videoHeight];
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext('2d', { willReadFrequently: true });
    context.drawImage(element, 0, 0);
    const { data } = context.getImageData(0, 0, width, height);
    // Luma is all that is asked for; a quarter of the bytes to hand over.
    const luma = new Uint8Array(width * height);
    for (let n = 0; n < luma.length; n++) luma[n] = (54 * data[4 * n] + 183 * data[4 * n + 1] + 19 * data[4 * n + 2]) >> 8;
    const reader = new FileReader();
    const url = await new Promise((resolve) => {
      reader.onload = () => resolve(reader.result);
      reader.readAsDataURL(new Blob([luma]));
    });
    return { width, height, base64: url.slice(url.indexOf(',') + 1) };
  });
  return { width, height, luma: new Uint8Array(Buffer.from(base64, 'base64')) };
}
