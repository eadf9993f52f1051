// @ts-check
import "./wallcast-player.js";
import { play, tokenFromAddress, wallName } from "./page.js";

const name = wallName();
const player = play(name, tokenFromAddress());

const text = (/** @type {string} */ id, /** @type {string} */ value) => {
  const element = document.getElementById(id);
  if (element) element.textContent = value;
};

text("name", name);
player.addEventListener("stats", (event) => {
  const stats = /** @type {CustomEvent<import("./picture.js").Figures | null>} */ (event).detail;
  const ms = (/** @type {number | null} */ value) => (value === null ? "–" : `${value.toFixed(0)} ms`);
  text("fps", stats ? `${stats.fps.toFixed(1)} fps` : "–");
  text("size", stats?.width ? `${stats.width}×${stats.height}` : "");
  text("bitrate", stats ? `${(stats.bitrate / 1e6).toFixed(1)} Mb/s` : "");
  text("rtt", stats ? `round trip ${ms(stats.rttMs)}` : "");
  text("buffer", stats ? `buffer ${ms(stats.bufferMs)}` : "");
  text("lost", stats ? `${stats.lost} lost` : "");
});
