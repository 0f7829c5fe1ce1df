// A generator run live: thermal noise with couplings off, then the trained machine until it is read out.
//
// Sample i of a seed is sample i of `generate(seed=...)` in Python with the same couplings, to rounding.

import { pullsOf } from "./couplings.js";
import { LANES, keyOf } from "./noise.js";
import { Law, Quartet } from "./quartet.js";

export class Machine {
  // One machine of an unpacked description (thermotorch/page/description.py); black and white are states of a pixel.
  constructor(stage, [black, white]) {
    Object.assign(this, { stage, black, white });
    this.pulls = pullsOf(stage.groups, stage.couplings);
    this.bias = Float64Array.from(stage.bias.levels, (level) => stage.bias.scale * level);
    const [visible] = stage.groups;
    this.visible = visible;
    this.law = new Law(stage, this.pulls, stage.temperature);
    this.known = null;
  }

  // Begin with quartets of samples at x = 0. `steps` is the observation time; `labels` is one for all samples, or null
  // for id % classes.
  begin({ seed, quartets, steps = this.stage.steps, labels = null }) {
    const { stage, bias } = this, key = keyOf(seed);
    this.#prepare(quartets.map((number) => new Quartet(stage, bias, key, number)), { steps, labels, firstStep: 0 });
    this.noiseSteps = steps;
    this.clock = -steps;  // in steps; the couplings are switched on at 0
  }

  // Switch the couplings on for quartets whose states are set. `firstStep` is the number of the first step's noise.
  switchOn(quartets, firstStep) {
    this.#prepare(quartets, { steps: this.stage.steps, labels: null, firstStep });
    this.clock = 0;
    this.#place();
  }

  #prepare(quartets, numbers) {
    Object.assign(this, { quartets, ...numbers });
    const samples = LANES * quartets.length;
    this.energy = new Float64Array(samples);
    this.heat = new Float64Array(samples);
    this.sums = new Float64Array(samples * this.visible.size);
    this.summed = 0;
  }

  get finished() {
    return this.clock >= this.steps;
  }

  // kT from now on.
  set temperature(value) {
    if (value !== this.law.temperature) this.law = new Law(this.stage, this.pulls, value);
  }

  // The observation time from now on; the read-out begins anew, and what is past cannot be taken back.
  set end(steps) {
    if (steps === this.steps || this.finished) return;
    this.steps = Math.max(steps, Math.max(this.clock, 0) + Math.max(1, this.stage.readout_steps));
    this.sums.fill(0);
    this.summed = 0;
  }

  // Hold pixels, from the moment the couplings are on: { mask, pixels in [0, 1] } of the visible units, or null.
  hold(known) {
    this.known = known;
    if (this.clock >= 0) this.#place();
  }

  // Run at most `steps` steps, not past the change from noise to machine nor past the read-out.
  advance(steps) {
    if (this.clock < 0) {
      const end = Math.min(0, this.clock + steps);
      for (; this.clock < end; this.clock++) {
        for (const quartet of this.quartets) quartet.shake(this.law, this.clock + this.noiseSteps);
      }
      if (this.clock === 0) this.#place();
      return;
    }
    const end = Math.min(this.steps, this.clock + steps), before = this.energy;
    if (this.clock >= end) return;
    for (; this.clock < end; this.clock++) {
      for (const quartet of this.quartets) quartet.step(this.law, this.firstStep + this.clock);
      if (this.clock >= this.steps - this.stage.readout_steps) this.#read();
    }
    this.energy = this.#energies(true);
    this.heat = this.heat.map((heat, sample) => heat + before[sample] - this.energy[sample]);
  }

  // Put labels and known pixels on their units. The work of that is not heat, so the energy is counted anew.
  #place() {
    const { stage, known, labels, visible, black, white } = this;
    const label = stage.groups.find((group) => group.name === "label");
    for (const { x, held, number } of this.quartets) {
      if (label) {
        for (let lane = 0; lane < LANES; lane++) {
          const asked = labels ?? (number * LANES + lane) % label.size;
          for (let k = 0; k < label.size; k++) x[(label.start + k) * LANES + lane] = k === asked ? 1 : 0;
        }
      }
      for (let pixel = 0; pixel < visible.size; pixel++) {
        held[visible.start + pixel] = known ? known.mask[pixel] : 0;
        if (!known?.mask[pixel]) continue;
        const at = (visible.start + pixel) * LANES;
        x.fill(black + (white - black) * known.pixels[pixel], at, at + LANES);
      }
    }
    this.energy = this.#energies(false);
  }

  #energies(fieldsAreFresh) {
    const energies = new Float64Array(LANES * this.quartets.length);
    this.quartets.forEach((quartet, q) => energies.set(quartet.energy(this.law, fieldsAreFresh), LANES * q));
    return energies;
  }

  // The read-out integrates over the last part of the run.
  #read() {
    const { size, start } = this.visible;
    this.quartets.forEach(({ x }, q) => {
      for (let pixel = 0; pixel < size; pixel++) {
        for (let lane = 0; lane < LANES; lane++) {
          this.sums[(q * LANES + lane) * size + pixel] += x[(start + pixel) * LANES + lane];
        }
      }
    });
    this.summed++;
  }

  // The visible units of sample q x 4 + lane: the read-out once it is complete, else the present state.
  shown(sample) {
    const { size, start } = this.visible;
    if (this.finished && this.summed > 0) {
      return this.sums.subarray(sample * size, (sample + 1) * size).map((sum) => sum / this.summed);
    }
    const { x } = this.quartets[Math.floor(sample / LANES)], states = new Float64Array(size);
    for (let pixel = 0; pixel < size; pixel++) states[pixel] = x[(start + pixel) * LANES + (sample % LANES)];
    return states;
  }

  // The same between black and white, in [0, 1].
  image(sample) {
    const { black, white } = this;
    return this.shown(sample).map((state) => Math.min(1, Math.max(0, (state - black) / (white - black))));
  }

  // All units of a sample.
  state(sample) {
    const { x } = this.quartets[Math.floor(sample / LANES)], lane = sample % LANES;
    return Float32Array.from({ length: this.bias.length }, (_, unit) => x[unit * LANES + lane]);
  }
}
