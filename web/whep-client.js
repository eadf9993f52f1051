// @ts-check
/**
 * WHEP player protocol (draft-ietf-wish-whep), without DOM: offers, keeps one session alive, says how it goes.
 * No trickle: our answer carries every candidate, and our checks tell the server our address. The ICE servers come with the
 * answer, and candidates are gathered from then on, so that a relay is among them.
 */

/**
 * @typedef {"idle" | "connecting" | "connected" | "reconnecting"} State
 * @typedef {{ state: State, since: number, error: WhepError | null }} Status
 *   `since`: epoch milliseconds of the last time it was connected or started; `error`: why it is not connected.
 * @typedef {{ fetch: typeof fetch, RTCPeerConnection: typeof RTCPeerConnection }} Environment
 */

const BACKOFF_SECONDS = [1, 2, 5, 10];
const ANSWER_TIMEOUT_MS = 10_000;
const CONNECT_TIMEOUT_MS = 15_000;

/** Why there is no picture, in words for whoever stands before it. */
export class WhepError extends Error {
  /**
   * @param {string} message
   * @param {number | null} status HTTP status, if the server answered
   * @param {number} retryAfterSeconds the server's wish, or 0
   */
  constructor(message, status = null, retryAfterSeconds = 0) {
    super(message);
    this.status = status;
    this.retryAfterSeconds = retryAfterSeconds;
  }

  /** @param {Response} response */
  static fromResponse(response) {
    const words = {
      401: "this wall needs a token",
      403: "this token may not watch",
      404: "there is no wall of this name",
      406: "this browser offers no H.264",
      409: "this wall is not live yet",
      429: "too many attempts from this address",
      503: "all viewer places are taken",
    };
    const retryAfter = Number(response.headers.get("Retry-After")) || 0;
    const said = words[/** @type {keyof typeof words} */ (response.status)] ?? `the server answered ${response.status}`;
    return new WhepError(said, response.status, retryAfter);
  }
}

/**
 * The STUN and TURN servers among the links of an answer (RFC 9725 section 4.6, RFC 8288).
 * @param {string} links the values of all `Link` headers, separated by commas
 * @returns {RTCIceServer[]}
 */
export function iceServersOf(links) {
  const servers = [];
  const link = /<([^<>]*)>((?:\s*;\s*[\w-]+\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^\s",;]+))*)/g;
  const parameter = /([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",;]+))/g;
  for (const [, urls, rest] of links.matchAll(link)) {
    /** @type {Record<string, string>} */
    const found = {};
    for (const [, name, quoted, bare] of rest.matchAll(parameter)) {
      found[name.toLowerCase()] = bare ?? quoted.replace(/\\(.)/g, "$1");
    }
    if (found.rel !== "ice-server") continue;
    const { username, credential } = found;
    servers.push(username === undefined ? { urls } : { urls, username, credential });
  }
  return servers;
}

/**
 * Events: `state` (a CustomEvent of {@link Status}) and `track` (a CustomEvent of a MediaStream).
 */
export class WhepClient extends EventTarget {
  /** @type {RTCPeerConnection | null} */
  #connection = null;
  /** @type {string | null} */
  #session = null;
  /** The session that the server is being asked for.
   * @type {string | null} */
  #checked = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** Rises with every attempt and stop; whatever belongs to an older one is ignored. */
  #generation = 0;
  #failures = 0;
  /** @type {Status} */
  #status = { state: "idle", since: Date.now(), error: null };

  /**
   * @param {string} url absolute address of the WHEP endpoint
   * @param {string | null} token bearer token
   * @param {Environment} environment what tests replace
   */
  constructor(url, token = null, environment = globalThis) {
    super();
    this.url = url;
    this.token = token;
    this.environment = environment;
  }

  get status() {
    return this.#status;
  }

  /** The connection now in use, for its statistics. */
  get connection() {
    return this.#connection;
  }

  start() {
    if (this.#status.state !== "idle") return;
    this.#failures = 0;
    this.#enter("connecting", null, Date.now());
    this.#attempt();
  }

  /** Ends the session, on the server too, and stays ended until started again. */
  stop() {
    this.#tearDown();
    this.#enter("idle", null, Date.now());
  }

  /**
   * Gives this connection up and makes a new one at once.
   * @param {string} reason
   */
  restart(reason) {
    if (this.#status.state === "idle") return;
    this.#tearDown();
    this.#enter("reconnecting", new WhepError(reason));
    this.#attempt();
  }

  /**
   * Nothing arrives any more. A network that was away brings the session back by itself, so it is given up only when the
   * server has, or is not there.
   * @param {string} reason
   */
  async check(reason) {
    const session = this.#session;
    if (!session || this.#checked === session) return;
    this.#checked = session;
    const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
    const gone = await this.environment
      .fetch(session, { method: "HEAD", headers: this.#headers({}), signal })
      // Chromium takes an answer that nobody reads to its end for an aborted one.
      .then((response) => response.text().then(() => response.status === 404))
      .catch((error) => error.name !== "TimeoutError");
    if (session !== this.#session) return;
    this.#checked = null;
    if (gone) this.restart(reason);
  }

  async #attempt() {
    const generation = ++this.#generation;
    const current = () => generation === this.#generation;
    const fail = (/** @type {unknown} */ error) => current() && this.#failed(error);
    try {
      const connection = new this.environment.RTCPeerConnection({ bundlePolicy: "max-bundle" });
      this.#connection = connection;
      askForCaptureTime(connection.addTransceiver("video", { direction: "recvonly" }));
      connection.addEventListener("track", ({ receiver, streams, track }) => {
        // The newest frame is worth more than a smooth old one.
        if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
        if ("playoutDelayHint" in receiver) receiver.playoutDelayHint = 0;
        // A server that says goodbye closes DTLS, which by itself leaves connectionState at "connected".
        receiver.transport?.addEventListener("statechange", () => {
          if (receiver.transport?.state === "closed") fail(new WhepError("the server ended the session"));
        });
        if (current()) this.#emit("track", streams[0] ?? new MediaStream([track]));
      });
      connection.addEventListener("connectionstatechange", () => {
        const state = connection.connectionState;
        if (state === "connected" && current()) this.#connected();
        if (state === "failed" || state === "closed") fail(new WhepError("the connection was lost"));
      });
      this.#timer = setTimeout(() => fail(new WhepError("no connection to the server's media port")), CONNECT_TIMEOUT_MS);
      const offer = await connection.createOffer();
      const { answer, session, iceServers } = await this.#post(offer.sdp ?? "");
      if (!current()) {
        this.#delete(session);
        return;
      }
      this.#session = session;
      // Servers that are set any later are only used after a restart of ICE.
      if (iceServers.length) connection.setConfiguration({ ...connection.getConfiguration(), iceServers });
      await connection.setLocalDescription(offer);
      await connection.setRemoteDescription({ type: "answer", sdp: answer });
    } catch (error) {
      fail(error);
    }
  }

  /** @param {string} offer */
  async #post(offer) {
    const headers = this.#headers({ "Content-Type": "application/sdp", Accept: "application/sdp" });
    const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
    const response = await this.environment.fetch(this.url, { method: "POST", headers, body: offer, signal });
    if (response.status !== 201) throw WhepError.fromResponse(response);
    const location = response.headers.get("Location");
    const session = location ? new URL(location, this.url).href : null;
    return { answer: await response.text(), session, iceServers: iceServersOf(response.headers.get("Link") ?? "") };
  }

  /** @param {string | null} session */
  #delete(session) {
    if (!session) return;
    // keepalive: it is sent even when the page is closing. Nobody is left to be told of a failure.
    this.environment.fetch(session, { method: "DELETE", headers: this.#headers({}), keepalive: true }).catch(() => {});
  }

  /** @param {Record<string, string>} headers */
  #headers(headers) {
    return this.token ? { ...headers, Authorization: `Bearer ${this.token}` } : headers;
  }

  #connected() {
    clearTimeout(this.#timer);
    this.#failures = 0;
    this.#enter("connected", null, Date.now());
  }

  /** @param {unknown} error */
  #failed(error) {
    const known = error instanceof WhepError ? error : new WhepError("the server cannot be reached");
    this.#tearDown();
    const backoff = BACKOFF_SECONDS[Math.min(this.#failures++, BACKOFF_SECONDS.length - 1)];
    // Asking again soon will not make a refused token good.
    const refused = known.status === 401 || known.status === 403;
    const seconds = Math.max(refused ? 10 : backoff, Math.min(known.retryAfterSeconds, 60));
    this.#enter("reconnecting", known);
    this.#timer = setTimeout(() => this.#attempt(), seconds * 1000);
  }

  #tearDown() {
    this.#generation++;
    clearTimeout(this.#timer);
    this.#connection?.close();
    this.#connection = null;
    this.#delete(this.#session);
    this.#session = this.#checked = null;
  }

  /**
   * @param {State} state
   * @param {WhepError | null} error
   * @param {number} since
   */
  #enter(state, error, since = this.#status.state === "connected" ? Date.now() : this.#status.since) {
    this.#status = { state, error, since };
    this.#emit("state", this.#status);
  }

  /**
   * @param {string} type
   * @param {unknown} detail
   */
  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/**
 * Browsers that know the extension abs-capture-time do not all offer it by themselves. With it, whoever looks at frames
 * (`requestVideoFrameCallback`) is told when each was composed.
 * @param {any} transceiver which has these two functions in some browsers only
 */
function askForCaptureTime(transceiver) {
  const extensions = transceiver?.getHeaderExtensionsToNegotiate?.();
  const captureTime = extensions?.find((/** @type {any} */ { uri }) => uri.endsWith("/abs-capture-time"));
  if (captureTime?.direction !== "stopped") return;
  captureTime.direction = "sendrecv";
  transceiver.setHeaderExtensionsToNegotiate(extensions);
}
