// The way between a client and the server, watched from outside: an HTTP proxy for WHEP that moves the answer's candidates to
// a UDP relay. So every client can be asked the same things, whatever it tells of itself: who began DTLS, which SRTP
// profile was chosen, what was sent again. It can change the offer and lose packets.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { change } from './offers.mjs';

const PROFILES = {
  0x0001: 'SRTP_AES128_CM_HMAC_SHA1_80',
  0x0002: 'SRTP_AES128_CM_HMAC_SHA1_32',
  0x0007: 'SRTP_AEAD_AES_128_GCM',
  0x0008: 'SRTP_AEAD_AES_256_GCM',
};
/** No loss for the first packets, so that the first key frame is whole. */
const SPARED = 200;

/**
 * @param {URL} server
 * @param {{changes?: string[], loseEvery?: number, tcp?: boolean}} how `loseEvery`: of the server's RTP packets that one in so many;
 *   `tcp`: the answer keeps its TCP candidates alone, and nothing is relayed
 */
export async function openPath(server, { changes = [], loseEvery = 0, tcp = false } = {}) {
  const seen = { dtls_version: null, dtls_server: null, srtp_profile: null, rtp: 0, lost: 0, again: 0, rtcp: 0 };
  const relays = [];
  const proxy = createServer((request, response) => {
    forward(server, request, response, changes, async (answer) => {
      Object.assign(seen, negotiated(answer));
      if (tcp) return answer.replace(/^a=candidate:\S+ 1 udp .*\r\n/gim, '');
      const relay = await openRelay(answer, loseEvery, seen);
      relays.push(relay);
      return relay.answer;
    }).catch((error) => response.writeHead(502).end(String(error)));
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const close = () => {
    proxy.close();
    proxy.closeAllConnections();
    relays.forEach((relay) => relay.close());
  };
  return { url: `http://127.0.0.1:${proxy.address().port}`, seen, close };
}

async function forward(server, request, response, changes, throughRelay) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const offer = request.method === 'POST';
  const { host: _host, connection: _connection, 'content-length': _length, 'transfer-encoding': _encoding, ...headers } = request.headers;
  const body = chunks.length ? Buffer.concat(chunks).toString() : undefined;
  const answered = await fetch(new URL(request.url, server), {
    method: request.method,
    headers,
    body: offer ? change(body, changes) : body,
  });
  const text = await answered.text();
  const answer = offer && answered.status === 201 ? await throughRelay(text) : text;
  const passed = ['content-type', 'location', 'etag', 'link'].flatMap((name) => answered.headers.get(name) ? [[name, answered.headers.get(name)]] : []);
  response.writeHead(answered.status, Object.fromEntries(passed)).end(answer);
}

/** What an answer settles for the video. */
function negotiated(answer) {
  const video = answer.split(/^(?=m=)/m).find((section) => section.startsWith('m=video'));
  const all = (pattern) => [...video.matchAll(pattern)].map((found) => found[1]);
  return {
    setup: all(/^a=setup:(\S+)/gm)[0],
    feedback: all(/^a=rtcp-fb:\d+ (.*?)\r?$/gm),
    rtx: /^a=rtpmap:\d+ rtx\/90000/m.test(video),
    extensions: all(/^a=extmap:\d+ (\S+)/gm).map((uri) => uri.replace(/.*[/:#]/, '')),
    payload_types: all(/^a=rtpmap:(\d+) /gm).map(Number),
  };
}

/** The answer with one candidate, a port of ours on an address of the server's. */
async function openRelay(answer, loseEvery, seen) {
  const offered = [...answer.matchAll(/^a=candidate:\S+ 1 udp \d+ (\S+) (\d+) /gim)].map(([, address, port]) => ({ address, port }));
  // Firefox and libnice reach no loopback address from another one, and have no candidate of loopback themselves.
  const { address, port } = offered.find(({ address }) => !/^(127\.|::1$)/.test(address)) ?? offered[0];
  const family = address.includes(':') ? 'udp6' : 'udp4';
  const lose = loser(loseEvery, seen);
  const outer = createSocket(family);
  // One socket towards the server for each of the viewer's: it tells a viewer's candidates apart by their addresses.
  const inner = new Map();
  outer.on('message', (packet, viewer) => {
    watch(packet, 'client', seen);
    const from = `${viewer.address} ${viewer.port}`;
    if (!inner.has(from)) {
      const socket = createSocket(family);
      socket.on('message', (packet) => {
        const kind = watch(packet, 'server', seen);
        if (kind !== 'rtp' || !lose(packet)) outer.send(packet, viewer.port, viewer.address);
      });
      socket.on('error', () => {}); // The server is gone.
      inner.set(from, socket);
    }
    inner.get(from).send(packet, Number(port), address);
  });
  outer.on('error', () => {}); // The viewer is gone.
  outer.bind(0, address);
  await once(outer, 'listening');
  const isOurs = (line) => line.includes(` udp `) && line.includes(` ${address} ${port} `);
  return {
    answer: answer.replace(/^a=candidate:.*\r\n/gm, (line) =>
      isOurs(line) ? line.replace(` ${port} `, ` ${outer.address().port} `) : '',
    ),
    close: () => [outer, ...inner.values()].forEach((socket) => socket.close()),
  };
}

/** Whether to lose an RTP packet: those that come for the first time, one in `every`. Counts both kinds. */
function loser(every, seen) {
  const numbers = new Set();
  return (packet) => {
    // Retransmissions by RFC 4588 have a payload type of their own; others come with their old number.
    const number = packet.readUInt16BE(2);
    if ((packet[1] & 0x7f) !== seen.payload_types[0] || numbers.has(number)) {
      seen.again++;
      return false;
    }
    numbers.add(number);
    if (!every || seen.rtp < SPARED || seen.rtp % every) return false;
    seen.lost++;
    return true;
  };
}

/** What kind of packet it is (RFC 7983), and what it tells. */
function watch(packet, from, seen) {
  const [first] = packet;
  if (first >= 20 && first <= 63) {
    const hello = serverHello(packet);
    if (hello) Object.assign(seen, hello, { dtls_server: from });
    return 'dtls';
  }
  if (first < 128 || first > 191) return 'stun';
  const rtcp = packet[1] >= 192 && packet[1] <= 223;
  if (from === 'server') seen[rtcp ? 'rtcp' : 'rtp']++;
  return rtcp ? 'rtcp' : 'rtp';
}

/** Of a datagram that begins with a ServerHello in the clear (RFC 6347 section 4.2): what it chose. */
function serverHello(packet) {
  const [RECORD, HANDSHAKE, SERVER_HELLO, USE_SRTP] = [13, 12, 2, 14];
  if (packet[0] !== 22 || packet.readUInt16BE(3) !== 0 || packet[RECORD] !== SERVER_HELLO) return null;
  const body = packet.subarray(RECORD + HANDSHAKE);
  let at = 2 + 32;
  at += 1 + body[at]; // session
  const cipher_suite = `0x${body.toString('hex', at, at + 2)}`;
  at += 3;
  const end = at + 2 + body.readUInt16BE(at);
  const version = { 0xfefd: '1.2', 0xfeff: '1.0' }[body.readUInt16BE(0)] ?? 'unknown';
  const found = { dtls_version: version, cipher_suite, srtp_profile: null };
  for (at += 2; at + 4 <= end; at += 4 + body.readUInt16BE(at + 2)) {
    if (body.readUInt16BE(at) === USE_SRTP) found.srtp_profile = PROFILES[body.readUInt16BE(at + 6)] ?? 'unknown';
  }
  return found;
}
