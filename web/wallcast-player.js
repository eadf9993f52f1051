// @ts-check
import { WhepClient } from "./whep-client.js";

/**
 * `<wallcast-player src="/whep/wall">`: plays a wall and keeps it playing. Set the property `token` before `src` if
 * the wall needs one. With the attribute `wake-lock` the display is kept from sleeping.
 *
 * Dispatches `stats`, once a second: a CustomEvent of {@link PlayerStats}, or of null while there is no connection.
 *
 * @typedef {{ fps: number, width: number, height: number, bitrate: number, rttMs: number | null,
 *   bufferMs: number | null, lost: number }} PlayerStats
 */

/** A picture that stands still this long is given up: the wall draws 25 a second even when nothing moves. */
const STILL_MS = 4_000;

/** @typedef {{ at: number, frames: number, bytes: number, bufferDelay: number, buffered: number }} Sample */

export class WallcastPlayer extends HTMLElement {
  static observedAttributes = ["src"];

  /** @type {string | null} */
  token = null;
  /** @type {WhepClient | null} */
  #client = null;
  #video = document.createElement("video");
  #notice = document.createElement("p");
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #ticking;
  /** @type {Sample | null} */
  #last = null;
  #lastFrameAt = 0;
  /** @type {WakeLockSentinel | null} */
  #wakeLock = null;

  connectedCallback() {
    this.#video.muted = true;
    this.#video.autoplay = true;
    this.#video.playsInline = true;
    this.#notice.setAttribute("role", "status");
    this.replaceChildren(this.#video, this.#notice);
    window.addEventListener("pagehide", this.#leave);
    window.addEventListener("pageshow", this.#comeBack);
    document.addEventListener("visibilitychange", this.#stayAwake);
    this.addEventListener("click", this.#play);
    this.#ticking = setInterval(() => this.#tick(), 1000);
    this.#begin();
    this.#stayAwake();
  }

  disconnectedCallback() {
    window.removeEventListener("pagehide", this.#leave);
    window.removeEventListener("pageshow", this.#comeBack);
    document.removeEventListener("visibilitychange", this.#stayAwake);
    this.removeEventListener("click", this.#play);
    clearInterval(this.#ticking);
    this.#end();
  }

  attributeChangedCallback() {
    if (this.isConnected && this.#ticking) this.#begin();
  }

  #begin() {
    this.#end();
    const src = this.getAttribute("src");
    if (!src) return;
    const client = new WhepClient(new URL(src, document.baseURI).href, this.token);
    this.#client = client;
    client.addEventListener("state", () => this.#show());
    client.addEventListener("track", (event) => {
      this.#video.srcObject = /** @type {CustomEvent<MediaStream>} */ (event).detail;
      this.#play();
    });
    client.start();
  }

  #end() {
    this.#client?.stop();
    this.#client = null;
  }

  #leave = () => this.#client?.stop();

  // Only a page that comes back from the back/forward cache has been left before.
  #comeBack = () => this.#client?.start();

  #play = () => {
    this.#video.play().catch((error) => {
      if (error.name === "NotAllowedError") this.#say("press to play");
    });
  };

  #stayAwake = async () => {
    if (!this.hasAttribute("wake-lock") || document.visibilityState !== "visible") return;
    if (this.#wakeLock && !this.#wakeLock.released) return;
    // Refused on battery saving, and absent without HTTPS: then the display's own settings decide.
    this.#wakeLock = await navigator.wakeLock?.request("screen").catch(() => null) ?? null;
  };

  async #tick() {
    this.#show();
    const client = this.#client;
    if (client?.status.state !== "connected" || !client.connection) {
      this.#last = null;
      this.#tell(null);
      return;
    }
    const report = await client.connection.getStats();
    const now = performance.now();
    const { sample, stats } = read(report, this.#last, now);
    if (client !== this.#client || client.status.state !== "connected") return;
    if (!this.#last || sample.frames > this.#last.frames) this.#lastFrameAt = now;
    this.#last = sample;
    if (now - this.#lastFrameAt > STILL_MS) {
      this.#last = null;
      client.restart("the picture stood still");
      return;
    }
    this.#tell(stats);
  }

  /** @param {PlayerStats | null} stats */
  #tell(stats) {
    this.dispatchEvent(new CustomEvent("stats", { detail: stats }));
  }

  #show() {
    const status = this.#client?.status;
    if (!status || status.state === "idle" || status.state === "connected") return this.#say("");
    const why = status.error ? `: ${status.error.message}` : "";
    const since = new Date(status.since).toLocaleTimeString();
    // A blink of a connection is not worth a word.
    if (Date.now() - status.since < 1000 && !status.error) return;
    this.#say(status.state === "connecting" ? `connecting${why}` : `reconnecting since ${since}${why}`);
  }

  /** @param {string} text */
  #say(text) {
    if (this.#notice.textContent !== text) this.#notice.textContent = text;
    this.dataset.state = this.#client?.status.state ?? "idle";
  }
}

/**
 * @param {RTCStatsReport} report
 * @param {Sample | null} last
 * @param {number} at
 * @returns {{ sample: Sample, stats: PlayerStats }}
 */
function read(report, last, at) {
  let video = /** @type {Record<string, any>} */ ({});
  let pair = /** @type {Record<string, any>} */ ({});
  for (const entry of report.values()) {
    if (entry.type === "inbound-rtp" && entry.kind === "video") video = entry;
    if (entry.type === "candidate-pair" && entry.nominated) pair = entry;
  }
  const sample = {
    at,
    frames: video.framesDecoded ?? 0,
    bytes: video.bytesReceived ?? 0,
    bufferDelay: video.jitterBufferDelay ?? 0,
    buffered: video.jitterBufferEmittedCount ?? 0,
  };
  const seconds = last ? (at - last.at) / 1000 : Infinity;
  const emitted = last ? sample.buffered - last.buffered : 0;
  const stats = {
    fps: last ? (sample.frames - last.frames) / seconds : 0,
    width: video.frameWidth ?? 0,
    height: video.frameHeight ?? 0,
    bitrate: last ? ((sample.bytes - last.bytes) * 8) / seconds : 0,
    rttMs: pair.currentRoundTripTime === undefined ? null : pair.currentRoundTripTime * 1000,
    bufferMs: last && emitted > 0 ? ((sample.bufferDelay - last.bufferDelay) / emitted) * 1000 : null,
    lost: video.packetsLost ?? 0,
  };
  return { sample, stats };
}

customElements.define("wallcast-player", WallcastPlayer);
