// The hidden units of the digit in hand, and the coupling field of the one that is pointed at.

import { arrowTo, cellAt, paintSigned } from "./paint.js";

export class Hidden {
  // The canvases are of the hidden units and of the field of one of them on the pixels. `show(text)` writes which it is
  // and how it stands, in every frame; `say(text)` tells it aloud, when a key chose it.
  constructor(canvas, field, [height, width], { show, say }) {
    Object.assign(this, { canvas, field, show, chosen: 0, states: null, stage: null });
    Object.assign(field, { height, width });
    const point = (event) => this.choose(cellAt(canvas, event, this.columns, this.rows));
    for (const kind of ["pointermove", "pointerdown"]) canvas.addEventListener(kind, point);
    canvas.addEventListener("keydown", (event) => {
      const from = [this.chosen % this.columns, Math.floor(this.chosen / this.columns)];
      const to = arrowTo(event, from, this.columns, this.rows);
      if (!to) return;
      this.choose(to);
      say(this.text);
    });
  }

  // The first hidden group of a machine of the description.
  use(stage) {
    if (stage === this.stage) return;
    const block = stage.couplings.find(({ rows }) => rows === "visible");
    this.group = stage.groups.find(({ name }) => name === block.columns);
    this.visible = stage.groups.find(({ name }) => name === block.rows);
    Object.assign(this, { stage, levels: block.levels, states: null });
    this.columns = 2 ** Math.ceil(Math.log2(Math.sqrt(this.group.size)));
    this.rows = Math.ceil(this.group.size / this.columns);
    Object.assign(this.canvas, { width: this.columns, height: this.rows });
    this.canvas.style.aspectRatio = `${this.columns} / ${this.rows}`;
    this.choose([this.chosen % this.columns, Math.floor(this.chosen / this.columns)]);
  }

  choose([column, row]) {
    this.chosen = Math.min(this.group.size - 1, row * this.columns + column);
    // A unit at +1 pulls pixel i up with -J_i: the force on x_i is -J x.
    const { levels, chosen, group: { size } } = this;
    const pulls = Float32Array.from({ length: this.visible.size }, (_, pixel) => -levels[pixel * size + chosen]);
    paintSigned(this.field, pulls, Math.max(1, ...pulls.map(Math.abs)));
    this.show(this.text);
  }

  // `units` are the states of all units of the sample.
  draw(units) {
    this.states = units.subarray(this.group.start, this.group.start + this.group.size);
    paintSigned(this.canvas, this.states, 0.8);
    this.show(this.text);
  }

  get text() {
    const state = this.states ? `, now at ${this.states[this.chosen].toFixed(2).replace("-", "−")}` : "";
    return `Hidden unit ${this.chosen} of ${this.group.size}${state}`;
  }
}
