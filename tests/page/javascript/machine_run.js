// Run a machine and report what it showed and gave off.

import { Chain } from "./chain.js";
import { unpacked } from "./levels.js";

export function answer({
  description, seed = 0, quartets = [0], steps = description.first.steps, labels = null, known = null, factor = 1,
  stride = 7,
  lengthened = null,  // { at, to }: the observation time becomes `to` when the clock is at `at`
}) {
  const machine = new Chain(unpacked(description));
  machine.warmth = factor;
  machine.hold(known);
  machine.begin({ seed, quartets, steps, labels });
  const states = () => Array.from({ length: machine.heat.length }, (_, sample) => [...machine.machine.state(sample)]);
  let start = null;
  while (!machine.finished) {
    if (lengthened && machine.machine.clock === lengthened.at) machine.end = lengthened.to;
    machine.advance(stride);
    if (machine.time === 0) start = states();
  }
  return {
    start,
    images: Array.from({ length: machine.heat.length }, (_, sample) => [...machine.machine.image(sample)]),
    states: states(),
    heat: [...machine.heat],
    energy: [...machine.energy],
  };
}
