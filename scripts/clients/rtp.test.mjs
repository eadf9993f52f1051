import assert from 'node:assert/strict';
import test from 'node:test';
import { change } from './offers.mjs';
import { ReceivedRtp } from './rtp.mjs';

const [SPS, PPS, IDR_START, IDR_END, SLICE] = [[7, 1], [8, 1], [28, 0x85, 1], [28, 0x45, 1], [1, 1]];

/** A key frame of four packets and two further frames of one, numbered from `first` on. */
function packets(first) {
  const frames = [[SPS, PPS, IDR_START, IDR_END], [SLICE], [SLICE]];
  return frames.flatMap((payloads, frame) =>
    payloads.map((payload, n) => ({ payload: Buffer.from(payload), marker: n === payloads.length - 1, timestamp: frame * 3600 })),
  ).map((packet, n) => ({ ...packet, sequence: (first + n) & 0xffff }));
}

function count(packets) {
  const received = new ReceivedRtp();
  packets.forEach(({ sequence, timestamp, marker, payload }) => received.addParsed(sequence, timestamp, marker, payload));
  const { frames, incomplete, key_frames } = received.count();
  return [frames, incomplete, key_frames];
}

test('whole access units are counted in any order, twice or over the wrap of the sequence number', () => {
  for (const first of [0, 1000, 65_533]) {
    const all = packets(first);
    assert.deepEqual(count(all), [3, 0, 1]);
    assert.deepEqual(count([...all.slice(0, 3), all[4], all[3], all[4], all[5]]), [3, 0, 1]);
  }
});

test('an access unit with a hole is none', () => {
  const all = packets(7);
  assert.deepEqual(count(all.filter((_, n) => n !== 2)), [2, 1, 0]);
  // Without its marker it runs into the next one.
  assert.deepEqual(count(all.filter((_, n) => n !== 3)), [1, 1, 0]);
});

test('a key frame is one with its parameter sets, alone or in a STAP-A', () => {
  const all = packets(7);
  assert.deepEqual(count(all.slice(1)), [3, 0, 0]);
  const stap = Buffer.from([24, 0, 2, 7, 1, 0, 2, 8, 1]);
  assert.deepEqual(count([{ ...all[1], payload: stap }, ...all.slice(2)]), [3, 0, 1]);
});

test('a packet is read with its CSRCs, its extension and its padding', () => {
  const packet = (flags, ...rest) => Buffer.from([0x80 | flags, 0xe0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, ...rest]);
  for (const bytes of [packet(0, 5, 1), packet(1, 9, 9, 9, 9, 5, 1), packet(0x10, 0xbe, 0xde, 0, 1, 7, 7, 7, 7, 5, 1), packet(0x20, 5, 1, 0, 2)]) {
    const received = new ReceivedRtp();
    received.add(bytes);
    assert.deepEqual([received.packets, received.count().frames], [1, 1], bytes.toString('hex'));
  }
  const received = new ReceivedRtp();
  received.add(packet(0x20, 0, 2));
  assert.equal(received.packets, 0, 'padding alone');
});

test('an offer is changed where it says so, and no other line', () => {
  const offer = ['v=0', 'm=video 9 UDP/TLS/RTP/SAVPF 96 97 98', 'a=rtpmap:96 VP8/90000', 'a=rtpmap:97 H264/90000',
    'a=rtpmap:98 rtx/90000', 'a=fmtp:98 apt=97', 'a=rtcp-mux', 'a=setup:actpass', ''].join('\r\n');
  const kept = (name) => change(offer, [name]).split('\r\n');
  assert.ok(!kept('no-rtx').some((line) => line.includes('98')));
  assert.equal(kept('h264-only')[1], 'm=video 9 UDP/TLS/RTP/SAVPF 97 98');
  assert.deepEqual(kept('passive').at(-2), 'a=setup:passive');
  assert.deepEqual(kept('no-rtcp-mux'), offer.replace('a=rtcp-mux\r\n', '').split('\r\n'));
  assert.throws(() => change(offer, ['rubbish']), /expected one of/);
});
