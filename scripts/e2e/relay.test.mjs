import assert from 'node:assert/strict';
import test from 'node:test';
import { leadThrough, mediaPort } from './relay.mjs';

const ANSWER = [
  'v=0',
  'm=video 8082 UDP/TLS/RTP/SAVPF 102',
  'a=candidate:1 1 udp 2130706431 192.0.2.2 8082 typ host',
  'a=candidate:2 1 UDP 2130706430 fd00::2 8082 typ host',
  'a=candidate:3 1 tcp 1671430143 192.0.2.2 8082 typ host tcptype passive',
  'a=end-of-candidates',
  '',
].join('\r\n');

test('nothing in an answer leads past the relay', () => {
  assert.deepEqual(leadThrough(ANSWER, '127.0.0.1:4000').split('\r\n'), [
    'v=0',
    'm=video 8082 UDP/TLS/RTP/SAVPF 102',
    'a=candidate:1 1 udp 2130706431 127.0.0.1 4000 typ host',
    'a=end-of-candidates',
    '',
  ]);
});

test('an answer without candidates is no answer of ours', () => {
  assert.throws(() => leadThrough('v=0\r\n', '127.0.0.1:4000'), /no candidate/);
});

test('the port that the media would have gone to is found', () => {
  assert.equal(mediaPort(ANSWER), 8082);
});
