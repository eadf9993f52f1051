// What Chromium and Firefox do alike: a page that makes an offer, plays the answer and says what it saw. `evaluate(script,
// ...arguments)` runs a function in the page. Not our own page: how that plays is for scripts/e2e.

import { subscribe } from './whep.mjs';

/** In the page: an offer to receive a video, and what else `wanted` says. Resolves to its text. */
async function offer(wanted) {
  const peer = (window.peer = new RTCPeerConnection({ bundlePolicy: wanted.bundlePolicy ?? 'balanced' }));
  if (wanted.audio) peer.addTransceiver('audio', { direction: 'sendrecv' });
  peer.addTransceiver('video', { direction: 'recvonly' });
  if (wanted.data) peer.createDataChannel('data');
  window.video = document.createElement('video');
  Object.assign(window.video, { muted: true, autoplay: true });
  document.documentElement.append(window.video);
  window.firstFrame = new Promise((resolve) => window.video.requestVideoFrameCallback(resolve)).then(() => performance.now());
  peer.ontrack = ({ track }) => {
    if (track.kind === 'video') window.video.srcObject = new MediaStream([track]);
  };
  await peer.setLocalDescription(await peer.createOffer());
  const gathered = () => peer.iceGatheringState === 'complete';
  await Promise.race([
    new Promise((resolve) => (peer.onicegatheringstatechange = () => gathered() && resolve())),
    new Promise((resolve) => setTimeout(resolve, 2_000)),
  ]);
  return peer.localDescription.sdp;
}

/** In the page: plays for `ms` from the first frame on. */
async function play(answer, ms) {
  const begun = performance.now();
  await window.peer.setRemoteDescription({ type: 'answer', sdp: answer });
  const late = new Promise((_, reject) => setTimeout(() => reject(new Error(`no frame; ${window.peer.connectionState}`)), 15_000));
  const first = await Promise.race([window.firstFrame, late]);
  await new Promise((resolve) => setTimeout(resolve, ms));
  const reports = [...(await window.peer.getStats()).values()];
  const inbound = reports.find(({ type, kind }) => type === 'inbound-rtp' && kind === 'video') ?? {};
  const pair = reports.find(({ type, nominated, state }) => type === 'candidate-pair' && nominated && state === 'succeeded') ?? {};
  const local = reports.find(({ id }) => id === pair.localCandidateId) ?? {};
  const { videoWidth: width, videoHeight: height } = window.video;
  return {
    connected: window.peer.connectionState === 'connected',
    packets: inbound.packetsReceived,
    frames: inbound.framesReceived,
    decoded: inbound.framesDecoded,
    key_frames: inbound.keyFramesDecoded,
    decoder: inbound.decoderImplementation,
    packets_lost: inbound.packetsLost,
    nacks: inbound.nackCount,
    retransmissions: inbound.retransmittedPacketsReceived,
    transport: local.protocol,
    width,
    height,
    first_frame_ms: Math.round(first - begun),
  };
}

export async function playIn(evaluate, { url, seconds, wanted }) {
  const session = await subscribe(url, await evaluate(offer, wanted));
  const findings = await evaluate(play, session.answer, seconds * 1000);
  const ended = await session.end();
  await evaluate(async () => window.peer.close());
  return { ...findings, ended, offer: session.offer, answer: session.answer };
}
