// The exact flows of a unit's own terms over one time step h, as in thermotorch/dynamics/splitting.py:
//
//     N(h/2)  dx = -4 mu j4 y^3 dt, y = x + a          x -> y / sqrt(1 + stiffness y^2) - a
//     O(h)    dx = (F - 2 mu j2 x) dt + noise          x -> decay x + gain F + spread xi
//
// F is the constant force; a = j3 / (4 j4) absorbs a cubic term.

// (1 - e^-z) / z
function meanDecay(z) {
  return z === 0 ? 1 : -Math.expm1(-z) / z;
}

// The numbers of the flows for a well { j2, j3, j4 }, rate = mobility x dt, and kT.
export function flowsOf({ j2, j3, j4 }, rate, temperature) {
  const shift = j4 > 0 && rate > 0 ? j3 / (4 * j4) : 0;
  const exponent = 2 * rate * (j2 - 6 * j4 * shift ** 2);
  return {
    shift,
    tilt: -4 * j4 * shift ** 3,  // joins the bias
    stiffness: 4 * rate * j4,
    decay: Math.exp(-exponent),
    gain: rate * meanDecay(exponent),
    spread: Math.sqrt(2 * temperature * rate * meanDecay(2 * exponent)),
  };
}

// N(h/2)
function relax(x, stiffness, shift) {
  const y = x + shift;
  return y / Math.sqrt(1 + stiffness * y * y) - shift;
}

// A step of one unit, N(h/2) O(h) N(h/2), under a constant force and with the normal xi.
export function move(x, force, xi, flows) {
  const { shift, tilt, stiffness, decay, gain, spread } = flows;
  const between = decay * relax(x, stiffness, shift) + gain * (force - tilt) + spread * xi;
  return relax(between, stiffness, shift);
}

// j2 x^2 + j3 x^3 + j4 x^4
export function wellEnergy(x, { j2, j3, j4 }) {
  return x * x * (j2 + x * (j3 + x * j4));
}
