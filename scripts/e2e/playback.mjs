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
 * Rectangles of the picture as it is now, each `{width, height, rgba}`. All of one frame, and no more than is asked for: the page
 * must have time left to play.
 * @param {import('playwright-core').ElementHandle} video
 * @param {{x: number, y: number, width: number, height: number}[]} areas in pixels of the video
 */
export async function pixels(video, areas) {
  const pictures = await video.evaluate(async (element, areas) => {
    const canvas = new OffscreenCanvas(element.videoWidth, element.videoHeight);
    const context = canvas.getContext('2d', { willReadFrequently: true });
    const frame = await createImageBitmap(element);
    const base64 = (bytes) =>
      new Promise((resolve) => {
        const reader = new FileReader();
        reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(',') + 1));
        reader.readAsDataURL(new Blob([bytes]));
      });
    const pictures = areas.map(({ x, y, width, height }) => {
      context.drawImage(frame, x, y, width, height, x, y, width, height);
      return context.getImageData(x, y, width, height).data;
    });
    frame.close();
    return Promise.all(pictures.map(base64));
  }, areas);
  return pictures.map((base64, n) => {
    const { width, height } = areas[n];
    return { width, height, rgba: new Uint8ClampedArray(Buffer.from(base64, 'base64')) };
  });
}
