// The clock, the heat and the energy of the digit in hand, and the energy of all of them against time.

import { colour, curve, sharp } from "./paint.js";

const CURVE_EVERY = 4;  // frames; the rest of what moves is drawn in each
const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";

// 6.41e-17 as "6.41 × 10⁻¹⁷".
export function scientific(value) {
  if (value === 0) return "0";
  const [digits, exponent] = value.toExponential(2).split("e");
  const power = [...String(Math.abs(exponent))].map((digit) => SUPERSCRIPTS[digit]).join("");
  return `${digits} × 10${exponent < 0 ? "⁻" : ""}${power}`;
}

// -21667.2 as "−21,667".
export function thousands(value) {
  return Math.round(value).toLocaleString("en").replace("-", "−");
}

export class Meters {
  // `elements` by name: clock, heat, joule, energy, rate, and the canvas of the curve.
  constructor(elements, description) {
    Object.assign(this, { elements, description });
    this.forget();
  }

  forget() {
    this.history = [];  // [time, energies of all samples in kT, place in the chain]
    this.arrivals = [];
  }

  // Keep a frame for the curve, shown or not, and return whether it is later than the last one.
  keep({ time, energy, place }) {
    if (time === 0) this.forget();
    if (this.history.at(-1)?.[0] === time) return false;
    this.history.push([time, energy.map((value) => value / (this.description.temperature || 1)), place]);
    return true;
  }

  show(frame, chosen) {
    const { description, elements } = this, unit = description.temperature || 1, { time, duration } = frame;
    const later = this.keep(frame), heat = frame.heat[chosen];
    elements.clock.textContent = `${time.toFixed(1)} of ${duration.toFixed(1)}`;
    elements.heat.textContent = `${thousands(heat / unit)} kT`;
    elements.joule.textContent = `${scientific(heat * description.joule_per_energy)} J`;
    elements.energy.textContent = `${thousands(frame.energy[chosen] / unit)} kT`;
    this.#rate(frame.finished);
    if (!later || frame.finished || this.history.length % CURVE_EVERY === 1) this.draw(chosen, duration);
  }

  #rate(finished) {
    const now = performance.now();
    this.arrivals = this.arrivals.filter((then) => now - then < 1000);
    this.arrivals.push(now);
    const seconds = (now - this.arrivals[0]) / 1000, rate = Math.round((this.arrivals.length - 1) / seconds);
    if (!finished && seconds > 0.5) this.elements.rate.textContent = `${rate} a second`;
  }

  // All samples faint, the one in hand strong. The machines of a chain have each their own zero of energy.
  draw(chosen, end) {
    const { context, width, height } = sharp(this.elements.curve), [left, bottom, top] = [8, 20, 20];
    const energies = this.history.flatMap(([, values]) => [Math.min(...values), Math.max(...values)]);
    const low = Math.min(0, ...energies), high = Math.max(0, ...energies);
    const x = (time) => left + ((width - 2 * left) * time) / (end || 1);
    const y = (energy) => top + ((height - top - bottom) * (high - energy)) / (high - low || 1);
    curve(context, [[left, y(0)], [width - left, y(0)]], colour("line"), 1);
    const stride = Math.max(1, Math.ceil(this.history.length / 200));
    const kept = this.history.filter((_, k) => k % stride === 0 || k === this.history.length - 1);
    const machines = new Map(kept.map(([, , place]) => [place, kept.filter((entry) => entry[2] === place)]));
    for (const part of machines.values()) {
      const line = (sample) => part.map(([time, values]) => [x(time), y(values[sample])]);
      for (let sample = 0; sample < part[0][1].length; sample += 4) curve(context, line(sample), colour("line"), 1);
      curve(context, line(chosen), colour("accent"));
    }
    context.fillStyle = colour("faint");
    context.fillText(`energy, ${thousands(low)} kT at the bottom`, left, 13);
    context.fillText("time", left, height - 5);
    context.textAlign = "right";
    context.fillText(`${end.toFixed(1)}`, width - left, height - 5);
    context.textAlign = "left";
  }
}
