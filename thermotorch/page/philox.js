// Philox4x32-10 (Salmon, Moraes, Dror, Shaw, SC 2011): four random words as a pure function of a counter and a key.

const ROUNDS = 10;
const MULTIPLIERS = [0xd2511f53, 0xcd9e8d57];
const WEYL = [0x9e3779b9, 0xbb67ae85];

// The upper word of a 64-bit product of two words. Half of one factor at a time, so that every product is exact in float64.
function high(a, b) {
  const low = Math.floor(a * (b & 0xffff) * 2 ** -16);
  return ((a * (b >>> 16) + low) * 2 ** -16) >>> 0;
}

// Write the four words of counter (c0, c1, c2, c3) under key (k0, k1) into `words`, a Uint32Array.
export function philox(c0, c1, c2, c3, k0, k1, words) {
  for (let round = 0; round < ROUNDS; round++) {
    const h0 = high(MULTIPLIERS[0], c0), l0 = Math.imul(MULTIPLIERS[0], c0) >>> 0;
    const h1 = high(MULTIPLIERS[1], c2), l1 = Math.imul(MULTIPLIERS[1], c2) >>> 0;
    c0 = (h1 ^ c1 ^ k0) >>> 0;
    c1 = l1;
    c2 = (h0 ^ c3 ^ k1) >>> 0;
    c3 = l0;
    k0 = (k0 + WEYL[0]) >>> 0;
    k1 = (k1 + WEYL[1]) >>> 0;
  }
  words[0] = c0;
  words[1] = c1;
  words[2] = c2;
  words[3] = c3;
}
