// A machine in a worker: orders come in as messages, and each is answered by a frame, what there is to see.

import { LANES } from "./noise.js";
import { Machine } from "./machine.js";

let machine = null;

const ORDERS = {
  load: ({ stage }) => {
    machine = new Machine(stage);
  },
  // The thermal noise that a run starts from, at once: it takes no products.
  begin: ({ run, temperature, known }) => {
    machine.temperature = temperature;
    machine.hold(known);
    machine.begin(run);
    machine.advance(run.steps);
  },
  advance: ({ steps, temperature, end }) => {
    machine.temperature = temperature;
    machine.end = end;
    machine.advance(steps);
  },
  hold: ({ known }) => machine.hold(known),
};

// `watched` is the sample whose units are all wanted, or null.
function frame(watched) {
  if (!machine.quartets) return null;
  const { clock, finished, steps, energy, heat, visible } = machine;
  const images = new Uint8ClampedArray(machine.quartets.length * LANES * visible.size);
  for (let sample = 0, at = 0; at < images.length; sample++, at += visible.size) {
    const shown = machine.image(sample);
    for (let pixel = 0; pixel < shown.length; pixel++) images[at + pixel] = 255 * shown[pixel];
  }
  return { clock, finished, steps, energy, heat, images, units: watched === null ? null : machine.state(watched) };
}

self.onmessage = ({ data }) => {
  ORDERS[data.order](data);
  self.postMessage(frame(data.watched ?? null));
};
