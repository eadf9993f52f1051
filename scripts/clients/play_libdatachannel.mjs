// libdatachannel (C++: OBS and many small devices are built on it), by its binding node-datachannel. It has no decoder and
// hands out RTP.

import { setTimeout as sleep } from 'node:timers/promises';
import nodeDataChannel from 'node-datachannel';
import { until } from '../e2e/wallcast.mjs';
import { ReceivedRtp } from './rtp.mjs';
import { argumentsOf, report, subscribe, versionOf } from './whep.mjs';

const PAYLOAD_TYPE = 96;

const { url, seconds } = argumentsOf('play_libdatachannel.mjs');
const peer = new nodeDataChannel.PeerConnection('wallcast', { iceServers: [] });
const video = new nodeDataChannel.Video('video', 'RecvOnly');
video.addH264Codec(PAYLOAD_TYPE);
const track = peer.addTrack(video);
track.setMediaHandler(new nodeDataChannel.RtcpReceivingSession());
const received = new ReceivedRtp();
track.onMessage((packet) => received.add(packet));

let [gathered, state] = [false, 'new'];
peer.onGatheringStateChange((found) => (gathered = found === 'complete'));
peer.onStateChange((found) => (state = found));
peer.setLocalDescription();
await until('candidates', 5_000, () => gathered);
const session = await subscribe(url, peer.localDescription().sdp);
peer.setRemoteDescription(session.answer, 'answer');
await until('the connection', 10_000, () => state === 'connected');
await until('the first packet', 15_000, () => received.first !== null);
await sleep(seconds * 1000);

const { first_key_frame_at, ...counts } = received.count();
const ended = await session.end();
report({
  version: versionOf('node-datachannel'),
  connected: true,
  ...counts,
  first_frame_ms: Math.round(first_key_frame_at - session.begun),
  ended,
  offer: session.offer,
  answer: session.answer,
});
