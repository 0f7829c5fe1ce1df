// Where the one unit of the page is, counted over a long run, and the law beside it.

import { Unit } from "./unit.js";

export function answer({ laws, steps }) {
  return laws.map((law) => {
    const unit = new Unit(null);
    unit.set(law);
    unit.advance(200);
    unit.set(law);
    unit.advance(steps);
    const width = 3.2 / unit.counts.length, counted = [...unit.counts].map((count) => count / unit.counted);
    return { counted, law: unit.boltzmann().map(([, density]) => density * width) };
  });
}
