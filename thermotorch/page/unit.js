// One quartic unit: its potential, a ball that heat shakes, and how often it is where, against the Boltzmann law.

import { flowsOf, move, wellEnergy } from "./flows.js";
import { LANES, STREAM, keyOf, normals } from "./noise.js";
import { colour, curve, sharp } from "./paint.js";

const COPIES = 64, BINS = 60, REACH = 1.6, DT = 0.05, STILL = 1500;

export class Unit {
  constructor(canvas) {
    this.canvas = canvas;
    this.xi = new Float64Array(COPIES * LANES);
    this.step = 0;
    this.moving = false;
    this.set({ j2: -0.5, tilt: 0, temperature: 0.07 });
  }

  // A well { j2 } with the force of the others' pull, -tilt, and kT. Counting begins anew.
  set(law) {
    Object.assign(this, law);
    this.well = { j2: this.j2, j3: 0, j4: 1 };
    this.flows = flowsOf(this.well, DT, this.temperature);
    this.x ??= new Float64Array(COPIES * LANES);
    this.counts = new Float64Array(BINS);
    this.counted = 0;
  }

  energy(x) {
    return wellEnergy(x, this.well) + this.tilt * x;
  }

  advance(steps) {
    for (let k = 0; k < steps; k++, this.step++) {
      normals(this.xi, keyOf(0), 0, this.step, STREAM.dynamics);
      for (let copy = 0; copy < this.x.length; copy++) {
        this.x[copy] = move(this.x[copy], -this.tilt, this.xi[copy], this.flows);
        const bin = Math.floor(((this.x[copy] + REACH) / (2 * REACH)) * BINS);
        if (bin >= 0 && bin < BINS) this.counts[bin]++;
        this.counted++;
      }
    }
  }

  // exp(-V / kT), normalised, in the middle of each bin.
  boltzmann() {
    const places = Array.from({ length: BINS }, (_, bin) => -REACH + ((bin + 0.5) * 2 * REACH) / BINS);
    const energies = places.map((x) => this.energy(x)), lowest = Math.min(...energies);
    const weights = energies.map((energy) => Math.exp(-(energy - lowest) / this.temperature));
    const total = weights.reduce((sum, weight) => sum + weight, 0) * ((2 * REACH) / BINS);
    return places.map((x, bin) => [x, weights[bin] / total]);
  }

  draw() {
    const { context, width, height } = sharp(this.canvas), half = Math.round(height * 0.56);
    const x = (position) => width * (0.5 + position / (2 * REACH));
    const places = Array.from({ length: 161 }, (_, k) => -REACH + (k * 2 * REACH) / 160);
    const lowest = Math.min(...places.map((place) => this.energy(place)));
    const y = (energy) => half - 12 - (energy - lowest) * (half - 40) / 0.9;
    context.save();
    context.beginPath();
    context.rect(0, 24, width, half - 24);  // the text above stays free
    context.clip();
    curve(context, [[0, y(lowest + this.temperature)], [width, y(lowest + this.temperature)]], colour("line"), 1);
    curve(context, places.map((place) => [x(place), y(this.energy(place))]), colour("ink"));
    context.beginPath();
    context.arc(x(this.x[0]), y(this.energy(this.x[0])) - 7, 7, 0, 2 * Math.PI);
    context.fillStyle = colour("accent");
    context.fill();
    context.restore();
    const law = this.boltzmann(), highest = Math.max(...law.map(([, density]) => density));
    const tall = (density) => height - 4 - (density / (1.15 * highest)) * (height - half - 24);
    const wide = width / BINS;
    context.fillStyle = colour("bar");
    law.forEach(([place], bin) => {
      const density = (this.counts[bin] / Math.max(1, this.counted)) * (BINS / (2 * REACH));
      const top = Math.max(half + 20, tall(density));
      context.fillRect(x(place) - wide / 2 + 0.5, top, wide - 1, height - 4 - top);
    });
    curve(context, law.map(([place, density]) => [x(place), tall(density)]), colour("accent"));
    context.fillStyle = colour("faint");
    context.fillText("V(x), the ball, and kT above the bottom", 8, 16);
    context.fillText("where it is: counted (bars), Boltzmann law (line)", 8, half + 14);
  }

  // A long run, shown at its end: where there is no motion.
  still() {
    this.advance(STILL);
    this.draw();
  }

  // Two steps a frame from now on, while `this.moving` and `visible()`.
  start(visible) {
    const frame = () => {
      if (this.moving && visible()) {
        this.advance(2);
        this.draw();
      }
      requestAnimationFrame(frame);
    };
    this.draw();
    requestAnimationFrame(frame);
  }
}
