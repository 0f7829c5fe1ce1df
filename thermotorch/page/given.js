// What holds a stage of a chain, the noisy image and the labels: the noising, and the field that they make.

import { Pull } from "./couplings.js";
import { LANES, STREAM, normals } from "./noise.js";
import { Quartet } from "./quartet.js";

export class Given {
  constructor(stage) {
    const [visible, hidden] = stage.groups, classes = stage.classes;
    Object.assign(this, { stage, visible, hidden, classes });
    // A held state is [pixels, labels]; its couplings are written as [hidden, held].
    const parts = [
      [{ start: 0, size: visible.size }, stage.held_hidden],
      [{ start: visible.size, size: classes }, stage.label_hidden],
    ];
    const given = parts.filter(([from]) => from.size);
    this.pulls = given.map(([from, { scale, levels }]) => new Pull(hidden, from, scale, levels));
  }

  // A quartet at the start of the stage. `images` are states [pixel, lane], `asked` the class of each lane, and the
  // noises of pixels and hidden units have the numbers `step` and `step` + 1.
  begin(images, asked, { bias, key, number, step }) {
    const { stage, visible, hidden } = this, quartet = new Quartet(stage, bias, key, number);
    const held = new Float64Array((visible.size + this.classes) * LANES);
    normals(quartet.xi, key, number, step, STREAM.initial);
    const kept = Math.cos(stage.angle), fresh = stage.amplitude * Math.sin(stage.angle);
    for (let at = 0; at < images.length; at++) held[at] = quartet.x[at] = kept * images[at] + fresh * quartet.xi[at];
    if (this.classes) asked.forEach((label, lane) => (held[(visible.size + label) * LANES + lane] = 1));
    normals(quartet.xi, key, number, step + 1, STREAM.initial);
    for (let at = hidden.start * LANES; at < quartet.x.length; at++) {
      quartet.x[at] = stage.hidden_spread * quartet.xi[at];
    }
    for (const pull of this.pulls) pull.addTo(quartet.given, held);
    const { scale, levels } = stage.held_visible;
    for (let at = 0; at < images.length; at++) quartet.given[at] += scale * levels[Math.floor(at / LANES)] * held[at];
    return quartet;
  }
}
