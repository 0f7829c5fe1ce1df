// Products of couplings with four samples, by vector instructions and by the loop that stands in for them.

import { Pull } from "./couplings.js";

export function answer({ to, from, scale, levels, x, field }) {
  const pull = new Pull(to, from, scale, Int8Array.from(levels)), vectors = Boolean(pull.packed);
  const made = () => {
    const sums = Float64Array.from(field);
    pull.addTo(sums, Float64Array.from(x));
    return [...sums];
  };
  const fast = made();
  pull.packed = null;
  return { vectors, fast, loop: made() };
}
