// A chain run live: a machine draws an image from noise, then each stage noises that image and draws it again.
//
// One machine is a chain without stages. Sample i of a seed is sample i of `generate(seed=...)` in Python.

import { Given } from "./given.js";
import { Machine } from "./machine.js";
import { LANES, keyOf } from "./noise.js";

export class Chain {
  // An unpacked description (thermotorch/page/description.py).
  constructor(description) {
    const { first, stages, order, display_range } = description;
    this.machines = [first, ...stages].map((stage) => new Machine(stage, display_range));
    this.givens = stages.map((stage) => new Given(stage));
    this.sequence = [0, ...order.map((number) => number + 1)];  // of machines
    Object.assign(this, { factor: 1, known: null, quartets: null });
  }

  // Begin as `Machine.begin` does, with the first machine.
  begin(run) {
    Object.assign(this, { place: 0, elapsed: 0, film: [], seed: run.seed, labels: run.labels ?? null });
    this.done = new Float64Array(LANES * run.quartets.length);  // heat of what is over
    this.machine.known = this.known;
    this.machine.begin(run);
    this.quartets = run.quartets;
  }

  get number() {
    return this.sequence[this.place];
  }

  get machine() {
    return this.machines[this.number];
  }

  get finished() {
    return this.place === this.sequence.length - 1 && this.machine.finished;
  }

  get energy() {
    return this.machine.energy;
  }

  get heat() {
    return this.done.map((heat, sample) => heat + this.machine.heat[sample]);
  }

  // Time since the couplings of the first machine were switched on, noising included.
  get time() {
    return this.elapsed + Math.max(0, this.machine.clock) * this.machine.stage.dt;
  }

  get duration() {
    const [first] = this.machines;
    return this.sequence.slice(1).reduce((time, number) => {
      const { stage } = this.machines[number];
      return time + stage.noising_time / this.factor + stage.steps * stage.dt;
    }, first.steps * first.stage.dt);
  }

  // kT of all machines in multiples of their own.
  set warmth(factor) {
    this.factor = factor;
    for (const machine of this.machines) machine.temperature = machine.stage.temperature * factor;
  }

  // The observation time of the first machine, in steps.
  set end(steps) {
    if (this.place === 0) this.machine.end = steps;
  }

  hold(known) {
    this.known = known;
    if (this.quartets) this.machine.hold(known);
  }

  // Run at most `steps` steps, not past the change from noise to machine; one from a machine to the next is a step.
  advance(steps) {
    for (let left = steps; left > 0 && !this.finished;) {
      const { machine } = this, before = machine.clock;
      if (machine.finished) {
        this.#next();
        left--;
      } else {
        machine.advance(left);
        left -= machine.clock - before;
      }
      if (this.machine.finished || this.machine.clock === 0) this.#remember();
      if (before < 0) return;
    }
  }

  // Noise the image that was read, and switch the next machine on.
  #next() {
    const { machine: before, machines: [first] } = this, key = keyOf(this.seed), past = this.place++;
    const { machine, known, number } = this, { stage } = machine, given = this.givens[number - 1];
    const runs = this.sequence.slice(1, this.place).map((earlier) => this.machines[earlier].stage.steps);
    const firstStep = runs.reduce((sum, count) => sum + count, first.steps);
    const softness = (stage.temperature * this.factor) / (2 * stage.amplitude ** 2);
    const quartets = this.quartets.map((quartet, q) => {
      const images = this.#loaded(before, q);
      const asked = Array.from({ length: LANES }, (_, lane) => this.labels ?? (quartet * LANES + lane) % stage.classes);
      const step = first.noiseSteps + 2 * past;
      const begun = given.begin(images, asked, { bias: machine.bias, key, number: quartet, step });
      for (let at = 0; at < images.length; at++) {
        this.done[q * LANES + (at % LANES)] += softness * (images[at] ** 2 - begun.x[at] ** 2);
      }
      return begun;
    });
    this.done = this.done.map((heat, sample) => heat + before.heat[sample]);
    this.elapsed += before.steps * before.stage.dt + stage.noising_time / this.factor;
    machine.known = known;
    machine.switchOn(quartets, firstStep);
  }

  // What a quartet shows, limited to black and white: states [pixel, lane].
  #loaded(machine, quartet) {
    const images = new Float64Array(machine.visible.size * LANES);
    for (let lane = 0; lane < LANES; lane++) {
      machine.shown(quartet * LANES + lane).forEach((state, pixel) => {
        images[pixel * LANES + lane] = Math.min(machine.white, Math.max(machine.black, state));
      });
    }
    return images;
  }

  #remember() {
    if (this.sequence.length > 1) this.film.push(this.images());
  }

  // All samples as bytes.
  images() {
    const size = this.machine.visible.size, bytes = new Uint8ClampedArray(this.done.length * size);
    for (let sample = 0; sample < this.done.length; sample++) {
      bytes.set(this.machine.image(sample).map((value) => 255 * value), sample * size);
    }
    return bytes;
  }

  // Of one sample: what it showed at its start, at the end of each machine and after each noising.
  filmOf(sample) {
    const { size } = this.machine.visible;
    return this.film.map((images) => images.slice(sample * size, (sample + 1) * size));
  }
}
