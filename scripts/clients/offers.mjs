// Offers as other programs make them: changes to the text of an offer, each allowed to whoever writes one.

const lines = (sdp) => sdp.split(/\r?\n/).filter((line) => line !== '');
const text = (lines) => `${lines.join('\r\n')}\r\n`;

/** Payload types of H.264 in packetization mode 1 and of their retransmissions. */
function formats(sdp) {
  const of = (pattern) => [...sdp.matchAll(pattern)].map((found) => found[1]);
  const h264 = of(/^a=rtpmap:(\d+) H264\/90000/gim);
  const rtx = of(/^a=rtpmap:(\d+) rtx\/90000/gim);
  return { h264, rtx };
}

/** Without these payload types: neither on the m-line nor described. */
function withoutFormats(sdp, unwanted) {
  return text(
    lines(sdp)
      .filter((line) => !unwanted.includes(line.match(/^a=(?:rtpmap|fmtp|rtcp-fb):(\d+) /)?.[1]))
      .map((line) => {
        if (!line.startsWith('m=video')) return line;
        const [media, port, protocol, ...listed] = line.split(' ');
        return [media, port, protocol, ...listed.filter((format) => !unwanted.includes(format))].join(' ');
      }),
  );
}

const without = (sdp, pattern) => text(lines(sdp).filter((line) => !pattern.test(line)));

const CHANGES = {
  // The viewer waits for our ClientHello (RFC 8842): we are the DTLS client.
  passive: (sdp) => sdp.replaceAll('a=setup:actpass', 'a=setup:passive'),
  active: (sdp) => sdp.replaceAll('a=setup:actpass', 'a=setup:active'),
  'no-rtx': (sdp) => withoutFormats(sdp, formats(sdp).rtx),
  'no-feedback': (sdp) => without(sdp, /^a=rtcp-fb:/),
  'no-extensions': (sdp) => without(sdp, /^a=extmap/),
  // Trickle only (RFC 8840): the offer goes out before any candidate is known, and none follows.
  'no-candidates': (sdp) => without(sdp, /^a=(candidate:|end-of-candidates)/),
  'no-rtcp-mux': (sdp) => without(sdp, /^a=rtcp-(mux|rsize)/),
  'no-bundle': (sdp) => without(sdp, /^a=group:/),
  'h264-only': (sdp) => {
    const { h264, rtx } = formats(sdp);
    const apt = (format) => sdp.match(new RegExp(`^a=fmtp:${format} .*apt=(\\d+)`, 'm'))?.[1];
    const kept = [...h264, ...rtx.filter((format) => h264.includes(apt(format)))];
    return withoutFormats(sdp, [...sdp.matchAll(/^a=rtpmap:(\d+) /gm)].map(([, format]) => format).filter((format) => !kept.includes(format)));
  },
};

/** `sdp` after each of `changes` in turn. */
export function change(sdp, changes) {
  return changes.reduce((sdp, name) => {
    if (!CHANGES[name]) throw new Error(`found the change ${name}, expected one of ${Object.keys(CHANGES).join(', ')}`);
    return CHANGES[name](sdp);
  }, sdp);
}
