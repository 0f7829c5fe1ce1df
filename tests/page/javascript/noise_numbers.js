// Words and normals for counters that Python chooses.

import { philox } from "./philox.js";
import { keyOf, normals } from "./noise.js";

export function answer({ blocks, seed, quartet, step, stream, units }) {
  const words = blocks.map(([counter, key]) => {
    const block = new Uint32Array(4);
    philox(...counter, ...key, block);
    return [...block];
  });
  const xi = new Float64Array(4 * units);
  normals(xi, keyOf(seed), quartet, step, stream);
  return { words, normals: [...xi] };
}
