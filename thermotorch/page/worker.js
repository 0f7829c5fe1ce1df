// A chain of machines, or one, in a worker: each order that comes in is answered by a frame, what there is to see.

import { Chain } from "./chain.js";

let chain = null;

const ORDERS = {
  load: ({ description }) => {
    chain = new Chain(description);
  },
  // The thermal noise that a run starts from, at once: it takes no products.
  begin: ({ run, factor, known }) => {
    chain.warmth = factor;
    chain.known = known;
    chain.begin(run);
    chain.advance(run.steps);
  },
  advance: ({ steps, factor, end }) => {
    chain.warmth = factor;
    chain.end = end;
    chain.advance(steps);
  },
  hold: ({ known }) => chain.hold(known),
};

// `watched` is the sample whose units and film are wanted, or null.
function frame(watched) {
  if (!chain.quartets) return null;
  const { place, number, time, duration, finished, energy, heat } = chain, none = watched === null;
  return {
    place, number, time, duration, finished, energy, heat, images: chain.images(),
    units: none ? null : chain.machine.state(watched),
    film: none ? null : chain.filmOf(watched),
  };
}

self.onmessage = ({ data }) => {
  ORDERS[data.order](data);
  self.postMessage(frame(data.watched ?? null));
};
