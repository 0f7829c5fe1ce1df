// Run a machine and report what it showed and gave off.

import { Machine } from "./machine.js";

export function answer({
  description, seed = 0, quartets = [0], steps = description.stages[0].steps, labels = null, known = null, temperature, stride = 7,
}) {
  const machine = new Machine(description.stages[0]);
  if (temperature) machine.temperature = temperature;
  machine.hold(known);
  machine.begin({ seed, quartets, steps, labels });
  const states = () => Array.from({ length: machine.heat.length }, (_, sample) => [...machine.state(sample)]);
  let start = null;
  while (!machine.finished) {
    machine.advance(stride);
    if (machine.clock === 0) start = states();
  }
  return {
    start,
    images: Array.from({ length: machine.heat.length }, (_, sample) => [...machine.image(sample)]),
    states: states(),
    heat: [...machine.heat],
    energy: [...machine.energy],
  };
}
