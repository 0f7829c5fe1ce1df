// One step of units by the exact flows of their wells.

import { flowsOf, move } from "./flows.js";

export function answer({ units, rate, temperature }) {
  return units.map(({ well, x, force, xi }) => move(x, force, xi, flowsOf(well, rate, temperature)));
}
