// The hidden units of the digit in hand, and the coupling field of the one that is pointed at.

import { levelsOf } from "./couplings.js";
import { arrowTo, cellAt, paintSigned } from "./paint.js";

export class Hidden {
  // The first hidden group of a stage; the canvases are of its units and of the field on the pixels.
  constructor(canvas, field, stage, say) {
    const block = stage.couplings.find(({ rows }) => rows === "visible");
    this.group = stage.groups.find(({ name }) => name === block.columns);
    this.visible = stage.groups.find(({ name }) => name === block.rows);
    this.levels = levelsOf(block.levels);
    Object.assign(this, { canvas, field, say, chosen: 0, states: null });
    this.columns = 2 ** Math.ceil(Math.log2(Math.sqrt(this.group.size)));
    this.rows = Math.ceil(this.group.size / this.columns);
    Object.assign(canvas, { width: this.columns, height: this.rows });
    [field.height, field.width] = stage.image_shape;
    canvas.style.aspectRatio = `${this.columns} / ${this.rows}`;
    const point = (event) => this.choose(cellAt(canvas, event, this.columns, this.rows));
    for (const kind of ["pointermove", "pointerdown"]) canvas.addEventListener(kind, point);
    canvas.addEventListener("keydown", (event) => {
      const from = [this.chosen % this.columns, Math.floor(this.chosen / this.columns)];
      const to = arrowTo(event, from, this.columns, this.rows);
      if (to) this.choose(to);
    });
    this.choose([0, 0]);
  }

  choose([column, row]) {
    this.chosen = Math.min(this.group.size - 1, row * this.columns + column);
    // A unit at +1 pulls pixel i up with -J_i: the force on x_i is -J x.
    const pulls = Float32Array.from({ length: this.visible.size }, (_, pixel) => -this.levels[pixel * this.group.size + this.chosen]);
    paintSigned(this.field, pulls, Math.max(1, ...pulls.map(Math.abs)));
    this.#tell();
  }

  // `units` are the states of all units of the sample.
  draw(units) {
    this.states = units.subarray(this.group.start, this.group.start + this.group.size);
    paintSigned(this.canvas, this.states, 0.8);
    this.#tell();
  }

  #tell() {
    const state = this.states ? `, now at ${this.states[this.chosen].toFixed(2)}` : "";
    this.say(`Hidden unit ${this.chosen} of ${this.group.size}${state}`);
  }
}
