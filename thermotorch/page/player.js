// A run on the wall: begun with thermal noise, played at the pace of the screen, changed while it runs.

import { LANES } from "./noise.js";
import { MOTION } from "./paint.js";

const UNSEEN = 10;  // steps at a time where there is to be no motion

function nextFrame() {
  return new Promise((resolve) => requestAnimationFrame(resolve));
}

export class Player {
  // `steps` is the observation time; `show(frame)` paints, `pass(frame)` takes one that is not to be seen;
  // `changed()` is called when playing begins and ends.
  constructor(crew, steps, { show, pass, changed }) {
    Object.assign(this, { crew, show, pass, changed });
    this.samples = crew.quartets * LANES;
    this.settings = { factor: 1, end: steps };  // of the temperature, and the observation time in steps
    Object.assign(this, { seed: 0, first: 0, chosen: 0, label: null, known: null, pace: 1 });
    Object.assign(this, { frame: null, playing: false, run: 0 });
  }

  // Noise, and the clock at 0; frames of an earlier run that are still on their way are not shown.
  async begin() {
    const run = ++this.run;
    this.playing = false;
    const { factor, end: steps } = this.settings;
    const asked = { seed: this.seed, steps, labels: this.label };
    const frame = await this.crew.begin(this.first, asked, { factor, known: this.known }, this.chosen);
    if (run !== this.run) return;
    this.frame = frame;
    this.show(frame);
    this.changed();
  }

  async play() {
    if (this.playing) return;
    if (!this.frame || this.frame.finished) await this.begin();
    const run = this.run;
    this.playing = true;
    this.changed();
    while (this.playing && run === this.run && !this.frame.finished) {
      const steps = MOTION.matches ? UNSEEN : this.pace;
      const advanced = this.crew.advance({ ...this.settings, steps }, this.chosen);
      const [frame] = await Promise.all([advanced, MOTION.matches ? null : nextFrame()]);
      if (run !== this.run) return;
      this.frame = frame;
      if (MOTION.matches && !frame.finished) this.pass(frame);
      else this.show(frame);
    }
    if (run !== this.run) return;
    this.playing = false;
    this.show(this.frame);
    this.changed();
  }

  pause() {
    this.playing = false;
  }

  // After a change of what a run begins with: noise again, and on from there if it was playing or done.
  async again() {
    const on = this.playing || this.frame?.finished;
    await this.begin();
    if (on) await this.play();
  }

  // After a change that takes effect at once: a run that has not begun, or is over, begins again.
  async turned() {
    if (!this.playing && (!this.frame || this.frame.time <= 0 || this.frame.finished)) await this.again();
  }

  // Known pixels, or null. While they are being drawn the run takes them as they come.
  async hold(known, done) {
    this.known = known;
    if (this.frame && !this.frame.finished) {
      const run = this.run, frame = await this.crew.hold(known, this.chosen);
      if (run !== this.run || this.playing) return;
      this.frame = frame;
      this.show(frame);
    } else if (done) await this.again();
  }

  async watch(place) {
    this.chosen = place;
    if (!this.frame || this.playing) return;
    const run = this.run, frame = await this.crew.advance({ ...this.settings, steps: 0 }, place);
    if (run !== this.run || this.playing) return;
    this.frame = frame;
    this.show(frame);
  }
}
