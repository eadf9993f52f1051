// werift (TypeScript: homebridge plugins, scrypted and others are built on it). It has no decoder and hands out RTP.

import { setTimeout as sleep } from 'node:timers/promises';
import { RTCPeerConnection, RTCRtpCodecParameters, useH264, useNACK, usePLI, useTransportWideCC, useTWCC } from 'werift';
import { until } from '../e2e/wallcast.mjs';
import { ReceivedRtp } from './rtp.mjs';
import { argumentsOf, report, subscribe, versionOf } from './whep.mjs';

const { url, seconds } = argumentsOf('play_werift.mjs');
const peer = new RTCPeerConnection({
  codecs: {
    video: [
      useH264({ rtcpFeedback: [useNACK(), usePLI(), useTWCC()] }),
      new RTCRtpCodecParameters({ mimeType: 'video/rtx', clockRate: 90_000 }),
    ],
  },
  headerExtensions: { video: [useTransportWideCC()] },
});
const received = new ReceivedRtp();
const transceiver = peer.addTransceiver('video', { direction: 'recvonly' });
transceiver.onTrack.subscribe((track) => {
  track.onReceiveRtp.subscribe(({ header, payload }) => {
    if (payload.length) received.addParsed(header.sequenceNumber, header.timestamp, header.marker, payload);
  });
});

await peer.setLocalDescription(await peer.createOffer());
await until('candidates', 5_000, () => peer.iceGatheringState === 'complete');
const session = await subscribe(url, peer.localDescription.sdp);
await peer.setRemoteDescription({ type: 'answer', sdp: session.answer });
await until('the connection', 10_000, () => peer.connectionState === 'connected');
await until('the first packet', 15_000, () => received.first !== null);
await sleep(seconds * 1000);

const { first_key_frame_at, ...counts } = received.count();
const ended = await session.end();
report({
  version: versionOf('werift'),
  connected: true,
  ...counts,
  first_frame_ms: Math.round(first_key_frame_at - session.begun),
  ended,
  offer: session.offer,
  answer: session.answer,
});
