// @ts-check
/** What index.html and wall.html have in common: which wall, and with which token. */

/** The wall's name: the last segment of /wall/{name}, else the server's default. */
export function wallName() {
  const segment = location.pathname.match(/^\/wall\/([^/]+)\/?$/)?.[1];
  if (segment) return decodeURIComponent(segment);
  return document.querySelector('meta[name="wallcast-default-wall"]')?.getAttribute("content") || "wall";
}

/** @param {string} name */
export function whepAddress(name) {
  return `/whep/${encodeURIComponent(name)}`;
}

/**
 * The token of the page's own address, or null. It stays there: the page itself needs it at every reload, a display
 * that nobody touches most of all. Referrers never carry it (`Referrer-Policy: no-referrer`).
 */
export function tokenFromAddress() {
  return new URLSearchParams(location.search).get("token");
}

/**
 * @param {string} name
 * @param {string | null} token
 * @returns {import("./wallcast-player.js").WallcastPlayer}
 */
export function play(name, token) {
  const player = /** @type {import("./wallcast-player.js").WallcastPlayer} */ (document.querySelector("wallcast-player"));
  document.title = `${name} · Wallcast`;
  player.token = token;
  player.setAttribute("src", whepAddress(name));
  return player;
}
