// @ts-check
/** What a connection's statistics say of the picture: its figures, and whether it moves. Without DOM. */

/**
 * @typedef {{ fps: number, width: number, height: number, bitrate: number, rttMs: number | null,
 *   bufferMs: number | null, lost: number }} Figures
 * @typedef {{ at: number, frames: number, bytes: number, bufferDelay: number, buffered: number, width: number,
 *   height: number, rttMs: number | null, lost: number }} Sample
 * @typedef {"waiting" | "moving" | "stopped" | "silent" | "dead"} Movement
 *   `waiting`: no frame yet, for no time worth a word; `silent`: nothing arrives at all, which may be the network's fault;
 *   `dead`: something arrives, and there is no picture: time for a new connection.
 */

/** A wall draws frames even when nothing moves before its cameras, so this long without one is worth a word. */
export const STOPPED_MS = 1_500;
/** And this long is no hiccup any more. */
export const DEAD_MS = 4_000;

/**
 * @param {Iterable<Record<string, any>>} entries of an RTCStatsReport
 * @param {number} at milliseconds
 * @returns {Sample}
 */
export function sampleOf(entries, at) {
  let video = /** @type {Record<string, any>} */ ({});
  let pair = /** @type {Record<string, any>} */ ({});
  for (const entry of entries) {
    if (entry.type === "inbound-rtp" && entry.kind === "video") video = entry;
    if (entry.type === "candidate-pair" && entry.nominated) pair = entry;
  }
  return {
    at,
    frames: video.framesDecoded ?? 0,
    bytes: video.bytesReceived ?? 0,
    bufferDelay: video.jitterBufferDelay ?? 0,
    buffered: video.jitterBufferEmittedCount ?? 0,
    width: video.frameWidth ?? 0,
    height: video.frameHeight ?? 0,
    rttMs: pair.currentRoundTripTime === undefined ? null : pair.currentRoundTripTime * 1000,
    lost: video.packetsLost ?? 0,
  };
}

/**
 * What happened between two samples.
 * @param {Sample} last
 * @param {Sample} now
 * @returns {Figures}
 */
export function figures(last, now) {
  const seconds = (now.at - last.at) / 1000;
  const emitted = now.buffered - last.buffered;
  return {
    fps: (now.frames - last.frames) / seconds,
    width: now.width,
    height: now.height,
    bitrate: ((now.bytes - last.bytes) * 8) / seconds,
    rttMs: now.rttMs,
    bufferMs: emitted > 0 ? ((now.bufferDelay - last.bufferDelay) / emitted) * 1000 : null,
    lost: now.lost,
  };
}

/** Whether the picture of one connection moves, by the number of frames decoded. */
export class PictureWatch {
  #frames = 0;
  #bytes = 0;
  /** When the last new frame was seen; of the first look, when there was none. */
  #movedAt = -1;
  #heardAt = -1;
  /** Since when a picture could be expected: after a silence, not before something arrives again. */
  #expectedSince = -1;

  /**
   * @param {{ at: number, frames: number, bytes: number }} sample
   * @returns {Movement}
   */
  look({ at, frames, bytes }) {
    if (this.#movedAt < 0) this.#movedAt = this.#heardAt = this.#expectedSince = at;
    if (bytes > this.#bytes) {
      if (at - this.#heardAt >= STOPPED_MS) this.#expectedSince = at;
      [this.#bytes, this.#heardAt] = [bytes, at];
    }
    if (frames > this.#frames) {
      [this.#frames, this.#movedAt, this.#expectedSince] = [frames, at, at];
      return "moving";
    }
    if (at - this.#heardAt >= DEAD_MS) return "silent";
    if (at - this.#expectedSince >= DEAD_MS) return "dead";
    if (at - this.#movedAt >= STOPPED_MS) return "stopped";
    return this.#frames > 0 ? "moving" : "waiting";
  }
}
