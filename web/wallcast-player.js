// @ts-check
import { figures, PictureWatch, sampleOf } from "./picture.js";
import { WhepClient } from "./whep-client.js";

/**
 * `<wallcast-player src="/whep/wall">`: plays a wall and keeps it playing. Set the property `token` before `src` if
 * the wall needs one. With the attribute `wake-lock` the display is kept from sleeping.
 *
 * Dispatches `stats`, once a second: a CustomEvent of {@link Figures}, or of null while there is no connection.
 *
 * @typedef {import("./picture.js").Figures} Figures
 * @typedef {import("./picture.js").Sample} Sample
 */

const LOOK_EVERY_MS = 250;
/** How often the server is asked whether it has given up a session over which nothing arrives. */
const CHECK_EVERY_MS = 1_000;
/** Figures are for people, and those of a quarter of a second jump about. */
const FIGURES_EVERY_MS = 1_000;

export class WallcastPlayer extends HTMLElement {
  static observedAttributes = ["src"];

  /** @type {string | null} */
  token = null;
  /** @type {WhepClient | null} */
  #client = null;
  #video = document.createElement("video");
  #notice = document.createElement("p");
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #looking;
  /** Of the connection that is looked at. */
  #watched = { connection: /** @type {RTCPeerConnection | null} */ (null), watch: new PictureWatch() };
  #checkedAt = 0;
  /** @type {Sample | null} where the next figures begin */
  #last = null;
  /** The browser plays only after a gesture. */
  #wantsPress = false;
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
    this.#looking = setInterval(() => this.#look(), LOOK_EVERY_MS);
    this.#begin();
    this.#stayAwake();
  }

  disconnectedCallback() {
    window.removeEventListener("pagehide", this.#leave);
    window.removeEventListener("pageshow", this.#comeBack);
    document.removeEventListener("visibilitychange", this.#stayAwake);
    this.removeEventListener("click", this.#play);
    clearInterval(this.#looking);
    this.#looking = undefined;
    this.#end();
  }

  attributeChangedCallback() {
    if (this.isConnected && this.#looking) this.#begin();
  }

  #begin() {
    this.#end();
    const src = this.getAttribute("src");
    if (!src) return;
    const client = new WhepClient(new URL(src, document.baseURI).href, this.token);
    this.#client = client;
    client.addEventListener("state", () => this.#showConnection());
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
    this.#video.play().then(
      () => (this.#wantsPress = false),
      (error) => (this.#wantsPress = error.name === "NotAllowedError"),
    );
  };

  #stayAwake = async () => {
    if (!this.hasAttribute("wake-lock") || document.visibilityState !== "visible") return;
    if (this.#wakeLock && !this.#wakeLock.released) return;
    // Refused on battery saving, and absent without HTTPS: then the display's own settings decide.
    this.#wakeLock = await navigator.wakeLock?.request("screen").catch(() => null) ?? null;
  };

  async #look() {
    this.#showConnection();
    const client = this.#client;
    const connection = client?.status.state === "connected" ? client.connection : null;
    if (connection !== this.#watched.connection) {
      this.#watched = { connection, watch: new PictureWatch() };
      this.#last = null;
      if (!connection) this.#tell(null);
    }
    if (!client || !connection) return;
    const sample = sampleOf((await connection.getStats()).values(), performance.now());
    if (connection !== client.connection || connection !== this.#watched.connection) return;
    const movement = this.#watched.watch.look(sample);
    if (movement === "dead") return client.restart("the picture stood still");
    if (movement === "silent" && sample.at - this.#checkedAt >= CHECK_EVERY_MS) {
      this.#checkedAt = sample.at;
      client.check("the server ended the session");
    }
    this.#showPicture(movement);
    this.#last ??= sample;
    if (sample.at - this.#last.at < FIGURES_EVERY_MS) return;
    this.#tell(figures(this.#last, sample));
    this.#last = sample;
  }

  /** @param {Figures | null} detail */
  #tell(detail) {
    this.dispatchEvent(new CustomEvent("stats", { detail }));
  }

  #showConnection() {
    const status = this.#client?.status;
    if (!status || status.state === "idle") return this.#say("");
    // What was said stays until frames flow.
    if (status.state === "connected") return;
    const why = status.error ? `: ${status.error.message}` : "";
    const since = new Date(status.since).toLocaleTimeString();
    // A blink of a connection is not worth a word.
    if (Date.now() - status.since < 1000 && !status.error) return;
    this.#say(status.state === "connecting" ? `connecting${why}` : `reconnecting since ${since}${why}`);
  }

  /** @param {import("./picture.js").Movement} movement */
  #showPicture(movement) {
    if (movement === "stopped" || movement === "silent") this.#say("picture stopped");
    else if (movement === "moving") this.#say(this.#wantsPress ? "press to play" : "");
  }

  /** @param {string} text */
  #say(text) {
    if (this.#notice.textContent !== text) this.#notice.textContent = text;
  }
}

customElements.define("wallcast-player", WallcastPlayer);
