// Philox4x32-10 (Salmon, Moraes, Dror, Shaw, SC 2011): four random words as a pure function of a counter and a key.

const ROUNDS = 10;
const MULTIPLIERS = [0xd2511f53, 0xcd9e8d57];
const WEYL = [0x9e3779b9, 0xbb67ae85];

// The upper word of the 64-bit product of two words, by halves of words: what a compiler can keep in integers.
function high(a, b) {
  const a0 = a & 0xffff, a1 = a >>> 16, b0 = b & 0xffff, b1 = b >>> 16;
  const left = Math.imul(a1, b0), right = Math.imul(a0, b1);
  const carried = (Math.imul(a0, b0) >>> 16) + (left & 0xffff) + (right & 0xffff);
  return (Math.imul(a1, b1) + (left >>> 16) + (right >>> 16) + (carried >>> 16)) | 0;
}

// Write the four words of counter (c0, c1, c2, c3) under key (k0, k1) into `words`, a Uint32Array.
export function philox(c0, c1, c2, c3, k0, k1, words) {
  for (let round = 0; round < ROUNDS; round++) {
    const h0 = high(MULTIPLIERS[0], c0), l0 = Math.imul(MULTIPLIERS[0], c0);
    const h1 = high(MULTIPLIERS[1], c2), l1 = Math.imul(MULTIPLIERS[1], c2);
    c0 = h1 ^ c1 ^ k0;
    c1 = l1;
    c2 = h0 ^ c3 ^ k1;
    c3 = l0;
    k0 = (k0 + WEYL[0]) | 0;
    k1 = (k1 + WEYL[1]) | 0;
  }
  words[0] = c0;
  words[1] = c1;
  words[2] = c2;
  words[3] = c3;
}
