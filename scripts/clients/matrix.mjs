// The table of docs/clients.md, made from what the test saw.

const yes = (is) => (is ? 'yes' : '–');
const profile = (name) => name?.replace('SRTP_', '').replace('_HMAC', '') ?? '–';
const COLUMNS = {
  client: ({ name }) => name,
  version: ({ said }) => said.version,
  'pictures in 6 s': ({ said }) => said.decoded ?? said.frames,
  'first after': ({ said }) => `${said.first_frame_ms} ms`,
  'SRTP, when it begins DTLS': ({ seen }) => profile(seen.srtp_profile),
  'when we do': ({ passive }) => profile(passive),
  'DTLS cipher suite': ({ seen }) => SUITES[seen.cipher_suite] ?? seen.cipher_suite,
  NACK: ({ seen }) => yes(seen.feedback.includes('nack')),
  RTX: ({ seen }) => yes(seen.rtx),
  'lost, sent again': ({ seen }) => (seen.lost ? `${seen.lost}, ${seen.again}` : '–'),
  'transport-cc': ({ seen }) => yes(seen.feedback.includes('transport-cc')),
  'playout-delay': ({ seen }) => yes(seen.extensions.includes('playout-delay')),
  TCP: ({ tcp }) => yes(tcp),
  IPv6: ({ ipv6 }) => yes(ipv6),
};
/** IANA's registry of TLS cipher suites, those that we have seen. */
const SUITES = {
  '0xc02b': 'ECDHE-ECDSA AES-128-GCM',
  '0xc02c': 'ECDHE-ECDSA AES-256-GCM',
  '0xcca9': 'ECDHE-ECDSA ChaCha20',
};

/** A row for each client that played. */
export function matrix(rows) {
  const line = (cells) => `| ${cells.join(' | ')} |\n`;
  const names = Object.keys(COLUMNS);
  const body = rows.filter(({ said }) => said).map((row) => line(Object.values(COLUMNS).map((cell) => cell(row))));
  return [line(names), line(names.map(() => '---')), ...body].join('');
}
