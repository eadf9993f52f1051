// What came over RTP, for clients that hand out packets: complete access units of H.264 (RFC 6184), key frames among them.

const [IDR, SPS, PPS, STAP_A, FU_A] = [5, 7, 8, 24, 28];

export class ReceivedRtp {
  /** Extended sequence number → what is left of the packet. */
  #packets = new Map();
  #highest = null;
  first = null;

  /** Takes a whole RTP packet (RFC 3550 section 5.1), in any order. */
  add(packet) {
    const at = performance.now();
    const csrcs = packet[0] & 0x0f;
    let payload = 12 + 4 * csrcs;
    if (packet[0] & 0x10) payload += 4 + 4 * packet.readUInt16BE(payload + 2);
    const end = packet.length - (packet[0] & 0x20 ? packet[packet.length - 1] : 0);
    if (payload >= end) return; // padding only
    this.addParsed(packet.readUInt16BE(2), packet.readUInt32BE(4), (packet[1] & 0x80) !== 0, packet.subarray(payload, end), at);
  }

  addParsed(sequence, timestamp, marker, payload, at = performance.now()) {
    if (this.#highest === null) this.#highest = 0x10000 + sequence;
    const extended = this.#highest + (((sequence - this.#highest) << 16) >> 16);
    this.#highest = Math.max(this.#highest, extended);
    this.first ??= at;
    this.#packets.set(extended, { timestamp, marker, types: nalTypes(payload), at });
  }

  get packets() {
    return this.#packets.size;
  }

  /** Access units whose packets all came: from behind one marker to the next, without a gap. */
  count() {
    const found = { packets: this.packets, frames: 0, incomplete: 0, key_frames: 0, first_key_frame_at: null };
    let [types, whole, before] = [new Set(), true, null];
    for (const number of [...this.#packets.keys()].sort((a, b) => a - b)) {
      const { marker, types: own, at } = this.#packets.get(number);
      if (before !== null && number !== before + 1) whole = false;
      before = number;
      own.forEach((type) => types.add(type));
      if (!marker) continue;
      if (whole) found.frames++;
      else found.incomplete++;
      if (whole && [IDR, SPS, PPS].every((type) => types.has(type))) {
        found.key_frames++;
        found.first_key_frame_at ??= at;
      }
      [types, whole] = [new Set(), true];
    }
    return found;
  }
}

/** The types of the NAL units that are in a payload or begin in it. */
function nalTypes(payload) {
  const type = payload[0] & 0x1f;
  if (type === FU_A) return payload[1] & 0x80 ? [payload[1] & 0x1f] : [];
  if (type !== STAP_A) return [type];
  const types = [];
  for (let at = 1; at + 2 < payload.length; at += 2 + payload.readUInt16BE(at)) types.push(payload[at + 2] & 0x1f);
  return types;
}
