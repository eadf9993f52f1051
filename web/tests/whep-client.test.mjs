// node --test web/tests
import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { iceServersOf, WhepClient } from "../whep-client.js";

/** Lets promises run; timers are mocked and do not. */
const settle = async () => {
  for (let i = 0; i < 20; i++) await Promise.resolve();
};

class FakePeerConnection extends EventTarget {
  /** @type {FakePeerConnection[]} */
  static all = [];
  connectionState = "new";
  localDescription = null;
  remoteDescription = null;
  transceivers = [];

  constructor() {
    super();
    FakePeerConnection.all.push(this);
  }
  addTransceiver(kind, init) {
    this.transceivers.push([kind, init.direction]);
    return FakePeerConnection.transceiver;
  }
  configuration = { bundlePolicy: "max-bundle" };
  async createOffer() {
    return { type: "offer", sdp: "offer" };
  }
  getConfiguration() {
    return this.configuration;
  }
  setConfiguration(configuration) {
    assert.equal(this.localDescription, null, "too late: candidates are being gathered");
    this.configuration = configuration;
  }
  async setLocalDescription(description) {
    this.localDescription = description;
  }
  async setRemoteDescription(description) {
    this.remoteDescription = description;
  }
  close() {
    this.connectionState = "closed";
  }
  become(state) {
    this.connectionState = state;
    this.dispatchEvent(new Event("connectionstatechange"));
  }
}

/** A server whose answers are given in order; the last one repeats. */
function server(...answers) {
  const requests = [];
  const fetch = async (url, init) => {
    requests.push({ url, ...init });
    if (init.method === "DELETE") return new Response(null, { status: 200 });
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    if (answer instanceof Error) throw answer;
    return typeof answer === "function" ? answer() : answer;
  };
  return { requests, fetch, count: (method) => requests.filter((request) => request.method === method).length };
}

const created = () => new Response("answer", { status: 201, headers: { Location: "/whep/wall/abc" } });
const status = (code, headers = {}) => () => new Response("", { status: code, headers });

function client(fake, token = null) {
  return new WhepClient("http://wall.example/whep/wall", token, { fetch: fake.fetch, RTCPeerConnection: FakePeerConnection });
}

beforeEach(() => {
  FakePeerConnection.all = [];
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_000_000 });
});

test("it offers to receive video and takes the answer", async () => {
  const fake = server(created);
  const whep = client(fake);
  const states = [];
  whep.addEventListener("state", (event) => states.push(event.detail.state));
  whep.start();
  await settle();
  const [connection] = FakePeerConnection.all;
  assert.deepEqual(connection.transceivers, [["video", "recvonly"]]);
  assert.equal(fake.requests[0].body, "offer");
  assert.equal(fake.requests[0].headers["Content-Type"], "application/sdp");
  assert.deepEqual(connection.remoteDescription, { type: "answer", sdp: "answer" });
  connection.become("connected");
  assert.deepEqual(states, ["connecting", "connected"]);
});

test("a token goes into the header of every request and never into an address", async () => {
  const fake = server(created);
  const whep = client(fake, "s3cret");
  whep.start();
  await settle();
  whep.stop();
  assert.equal(fake.requests.length, 2);
  for (const request of fake.requests) {
    assert.equal(request.headers.Authorization, "Bearer s3cret");
    assert.ok(!request.url.includes("s3cret"));
  }
});

test("stopping deletes the session even while the page closes, once", async () => {
  const fake = server(created);
  const whep = client(fake);
  whep.start();
  await settle();
  whep.stop();
  whep.stop();
  const deletes = fake.requests.filter((request) => request.method === "DELETE");
  assert.deepEqual(deletes.map(({ url, keepalive }) => [url, keepalive]), [["http://wall.example/whep/wall/abc", true]]);
  assert.equal(FakePeerConnection.all[0].connectionState, "closed");
  assert.equal(whep.status.state, "idle");
});

test("a session answered after stopping is deleted too", async () => {
  let respond;
  const fake = server(() => new Promise((resolve) => (respond = resolve)));
  const whep = client(fake);
  whep.start();
  await settle();
  whep.stop();
  assert.equal(fake.count("DELETE"), 0);
  respond(created());
  await settle();
  assert.equal(fake.count("DELETE"), 1);
  assert.equal(whep.status.state, "idle");
});

test("failures are tried again after 1, 2, 5, 10 and 10 seconds", async () => {
  const fake = server(new TypeError("connection refused"));
  const whep = client(fake);
  whep.start();
  await settle();
  for (const [attempts, seconds] of [[1, 1], [2, 2], [3, 5], [4, 10], [5, 10]]) {
    assert.equal(fake.count("POST"), attempts);
    mock.timers.tick(seconds * 1000 - 1);
    await settle();
    assert.equal(fake.count("POST"), attempts, `not before ${seconds} s`);
    mock.timers.tick(1);
    await settle();
  }
  assert.equal(whep.status.state, "reconnecting");
  assert.equal(whep.status.error.message, "the server cannot be reached");
  assert.equal(whep.status.since, 1_000_000, "since it was last well");
});

test("a lost connection is replaced, and backoff starts anew after a good one", async () => {
  const fake = server(created);
  const whep = client(fake);
  whep.start();
  await settle();
  FakePeerConnection.all[0].become("connected");
  mock.timers.tick(60_000);
  FakePeerConnection.all[0].become("failed");
  assert.equal(whep.status.state, "reconnecting");
  assert.equal(whep.status.since, 1_060_000);
  assert.equal(fake.count("DELETE"), 1, "the old session is not left to the server's patience");
  mock.timers.tick(1000);
  await settle();
  FakePeerConnection.all[1].become("connected");
  assert.equal(whep.status.state, "connected");
  FakePeerConnection.all[0].become("failed");
  assert.equal(whep.status.state, "connected", "an old connection has no say");
});

test("a connection that never comes is given up after 15 seconds", async () => {
  const fake = server(created);
  const whep = client(fake);
  whep.start();
  await settle();
  mock.timers.tick(15_000);
  assert.equal(whep.status.state, "reconnecting");
  assert.match(whep.status.error.message, /media port/);
});

test("refusals are told in words, and a refused token is not hammered with", async () => {
  for (const [code, words] of [[401, /needs a token/], [403, /may not watch/], [404, /no wall/], [503, /places are taken/], [500, /500/]]) {
    const fake = server(status(code));
    const whep = client(fake);
    whep.start();
    await settle();
    assert.match(whep.status.error.message, words);
    assert.equal(whep.status.error.status, code);
    mock.timers.tick(9_999);
    await settle();
    assert.equal(fake.count("POST") === 1, code === 401 || code === 403, `${code}`);
    whep.stop();
  }
});

test("Retry-After is respected", async () => {
  const fake = server(status(503, { "Retry-After": "7" }), created);
  const whep = client(fake);
  whep.start();
  await settle();
  mock.timers.tick(6_999);
  await settle();
  assert.equal(fake.count("POST"), 1);
  mock.timers.tick(1);
  await settle();
  assert.equal(fake.count("POST"), 2);
});

test("restarting makes a new connection at once and says why", async () => {
  const fake = server(created);
  const whep = client(fake);
  whep.start();
  await settle();
  FakePeerConnection.all[0].become("connected");
  whep.restart("the picture stood still");
  await settle();
  assert.equal(FakePeerConnection.all.length, 2);
  assert.equal(fake.count("DELETE"), 1);
  assert.equal(whep.status.error.message, "the picture stood still");
  whep.stop();
  whep.restart("after the end");
  await settle();
  assert.equal(FakePeerConnection.all.length, 2, "what is stopped stays stopped");
});

test("a server that says goodbye is noticed at once", async () => {
  const fake = server(created);
  const whep = client(fake);
  whep.start();
  await settle();
  const transport = Object.assign(new EventTarget(), { state: "connected" });
  const track = Object.assign(new Event("track"), { receiver: { transport }, streams: [{}], track: {} });
  FakePeerConnection.all[0].dispatchEvent(track);
  FakePeerConnection.all[0].become("connected");
  transport.state = "closed";
  transport.dispatchEvent(new Event("statechange"));
  assert.equal(whep.status.state, "reconnecting");
  assert.match(whep.status.error.message, /ended the session/);
});

test("the track asks for no jitter buffer and is handed on", async () => {
  const fake = server(created);
  const whep = client(fake);
  const stream = {};
  let got;
  whep.addEventListener("track", (event) => (got = event.detail));
  whep.start();
  await settle();
  const receiver = { jitterBufferTarget: null, playoutDelayHint: null };
  const track = Object.assign(new Event("track"), { receiver, streams: [stream], track: {} });
  FakePeerConnection.all[0].dispatchEvent(track);
  assert.equal(got, stream);
  assert.deepEqual(receiver, { jitterBufferTarget: 0, playoutDelayHint: 0 });
});

test("the ICE servers of the answer are used from the first candidate on", async () => {
  const links = [
    '<stun:stun.example>; rel="ice-server"',
    '<https://other.example>; rel="next"',
    '<turn:turn.example?transport=udp>; rel="ice-server"; username="1:wall"; credential="a,\\"b\\\\=="; credential-type="password"',
  ];
  const headers = new Headers({ Location: "/whep/wall/abc" });
  for (const link of links) headers.append("Link", link);
  const whep = client(server(() => new Response("answer", { status: 201, headers })));
  whep.start();
  await settle();
  const [connection] = FakePeerConnection.all;
  assert.deepEqual(connection.configuration, {
    bundlePolicy: "max-bundle",
    iceServers: [
      { urls: "stun:stun.example" },
      { urls: "turn:turn.example?transport=udp", username: "1:wall", credential: 'a,"b\\==' },
    ],
  });
  assert.equal(connection.localDescription.sdp, "offer");
  whep.stop();
});

test("what is no link to an ICE server is none", () => {
  for (const links of ["", "rubbish", "<stun:a>", '<stun:a>; rel="preload"', "<", '<stun:a; rel="ice-server"']) {
    assert.deepEqual(iceServersOf(links), [], links);
  }
  assert.deepEqual(iceServersOf("<stun:a>;rel=ice-server,<stun:b>; REL=ice-server"), [{ urls: "stun:a" }, { urls: "stun:b" }]);
});

test("over which nothing arrives, a session goes on as long as the server has it", async () => {
  const fake = server(created, status(200), new DOMException("", "TimeoutError"), status(404), created);
  const whep = client(fake);
  whep.start();
  await settle();
  FakePeerConnection.all[0].become("connected");
  for (const answer of ["it is there", "the network is away"]) {
    await whep.check("the server ended the session");
    assert.deepEqual([whep.status.state, FakePeerConnection.all.length], ["connected", 1], answer);
  }
  await whep.check("the server ended the session");
  await settle();
  assert.deepEqual([whep.status.state, FakePeerConnection.all.length], ["reconnecting", 2]);
  assert.equal(whep.status.error?.message, "the server ended the session");
  assert.deepEqual([fake.count("HEAD"), fake.count("POST")], [3, 2]);
});

test("a server that is not there is a reason for a new connection", async () => {
  const fake = server(created, new TypeError("Failed to fetch"), created);
  const whep = client(fake);
  whep.start();
  await settle();
  FakePeerConnection.all[0].become("connected");
  await whep.check("the server ended the session");
  assert.equal(FakePeerConnection.all.length, 2);
});

test("when pictures were composed is asked for where a browser can be asked", async (t) => {
  const capture = { uri: "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time", direction: "stopped" };
  const others = ["sendrecv", "stopped"].map((direction, n) => ({ uri: `urn:other:${n}`, direction }));
  let asked = null;
  FakePeerConnection.transceiver = {
    getHeaderExtensionsToNegotiate: () => [others[0], { ...capture }, others[1]],
    setHeaderExtensionsToNegotiate: (extensions) => (asked = extensions),
  };
  t.after(() => delete FakePeerConnection.transceiver);
  const whep = client(server(created));
  whep.start();
  await settle();
  assert.deepEqual(asked, [others[0], { ...capture, direction: "sendrecv" }, others[1]]);
});
