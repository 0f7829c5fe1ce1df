// Four samples of a machine that share their noise blocks, stepped together by the alternating scheme.

import { flowsOf, move, wellEnergy } from "./flows.js";
import { LANES, STREAM, normals } from "./noise.js";

// What all quartets of a stage share at one temperature: the flows of each group of units.
export class Law {
  constructor(stage, pulls, temperature) {
    Object.assign(this, { stage, pulls, temperature });
    this.flows = stage.groups.map((group) => flowsOf(group, group.mobility * stage.dt, temperature));
  }
}

export class Quartet {
  // `number` is sample // 4. All units start at x = 0.
  constructor(stage, bias, key, number) {
    Object.assign(this, { stage, bias, key, number });
    const units = bias.length;
    this.x = new Float64Array(units * LANES);  // [unit, lane]
    this.xi = new Float64Array(units * LANES);
    this.field = new Float64Array(units * LANES);
    this.given = new Float64Array(units * LANES);  // a constant field, that of what holds a stage of a chain
    this.held = new Uint8Array(units);
  }

  // One step of thermal noise: couplings and biases off, labels still at zero.
  shake(law, step) {
    normals(this.xi, this.key, this.number, step, STREAM.initial);
    law.stage.groups.forEach((group, g) => {
      if (group.mobility === 0) return;
      for (let at = group.start * LANES; at < (group.start + group.size) * LANES; at++) {
        this.x[at] = move(this.x[at], 0, this.xi[at], law.flows[g]);
      }
    });
  }

  // One step of the machine: the second colour in the field of the first, then the first in that of the second.
  step(law, step) {
    normals(this.xi, this.key, this.number, step, STREAM.dynamics);
    for (const second of [true, false]) {
      this.#feel(law, second);
      law.stage.groups.forEach((group, g) => {
        if (group.second === second && group.mobility !== 0) this.#moveGroup(group, law.flows[g]);
      });
    }
  }

  // Fields of one colour from the units of the other, for held units too: `energy` reads them.
  #feel(law, second) {
    for (const group of law.stage.groups) {
      if (group.second === second) this.field.fill(0, group.start * LANES, (group.start + group.size) * LANES);
    }
    for (const pull of law.pulls) if (pull.to.second === second) pull.addTo(this.field, this.x);
  }

  #moveGroup(group, flows) {
    const { x, xi, field, given, bias, held } = this;
    for (let unit = group.start, at = unit * LANES; unit < group.start + group.size; unit++) {
      if (held[unit]) {
        at += LANES;
        continue;
      }
      for (const end = at + LANES; at < end; at++) {
        x[at] = move(x[at], -bias[unit] - given[at] - field[at], xi[at], flows);
      }
    }
  }

  // V(x) of each sample. After a step the fields of the first colour are those of the present state of the second.
  energy(law, fieldsAreFresh = true) {
    if (!fieldsAreFresh) this.#feel(law, false);
    const { x, field, given, bias } = this, total = new Float64Array(LANES);
    for (const group of law.stage.groups) {
      for (let unit = group.start, at = unit * LANES; unit < group.start + group.size; unit++) {
        for (let lane = 0; lane < LANES; lane++, at++) {
          const coupled = group.second ? 0 : field[at];
          total[lane] += wellEnergy(x[at], group) + (bias[unit] + given[at] + coupled) * x[at];
        }
      }
    }
    return total;
  }
}
