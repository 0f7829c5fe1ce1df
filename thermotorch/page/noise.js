// Gaussian noise as a pure function of (seed, sample, step, unit): the numbers of thermotorch/dynamics/noise.py.
//
//     key     = the 64-bit seed, low word first
//     counter = (unit, sample // 4, step low, step high | stream << 24)
//     lane    = sample % 4: one block of four words serves four neighbouring samples, a quartet

import { philox } from "./philox.js";

export const STREAM = { dynamics: 0, initial: 1 };
export const LANES = 4;

const WORD = 2 ** 32;
const words = new Uint32Array(4);

// The key of a seed, 0 <= seed < 2^53.
export function keyOf(seed) {
  return [seed % WORD, Math.floor(seed / WORD)];
}

// Write standard normals of one quartet and one step into `xi`, [unit, lane].
export function normals(xi, key, quartet, step, stream) {
  const [k0, k1] = key;
  const low = step % WORD, upper = Math.floor(step / WORD) + stream * 2 ** 24;
  for (let unit = 0, at = 0; at < xi.length; unit++, at += LANES) {
    philox(unit, quartet, low, upper, k0, k1, words);
    for (let pair = 0; pair < LANES; pair += 2) {  // Box-Muller: radius from one word, angle from the next
      const radius = Math.sqrt(-2 * Math.log((words[pair] + 0.5) / WORD));
      const angle = (words[pair + 1] | 0) * ((2 * Math.PI) / WORD);
      xi[at + pair] = radius * Math.cos(angle);
      xi[at + pair + 1] = radius * Math.sin(angle);
    }
  }
}
