// The digit in hand, large: draw on it, and the pixels that are given hold while the machine completes the rest.

import { arrowTo, cellAt, colour, paintGrey } from "./paint.js";

const CELL = 10;  // canvas pixels for a pixel of the image

export class Hand {
  // `changed({ mask, pixels } or null, done)` is called while and after pixels are given.
  constructor(canvas, [height, width], { changed, say }) {
    Object.assign(this, { canvas, width, height, changed, say });
    canvas.width = width * CELL;
    canvas.height = height * CELL;
    this.shown = new Uint8ClampedArray(width * height);
    this.mask = new Uint8Array(width * height);
    this.pixels = new Float32Array(width * height);
    this.tool = "ink";
    this.cursor = [width >> 1, height >> 1];
    this.drawing = false;
    this.grey = Object.assign(document.createElement("canvas"), { width, height });
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => this.#up());
    canvas.addEventListener("keydown", (event) => this.#key(event));
    for (const focus of ["focus", "blur"]) canvas.addEventListener(focus, () => this.draw(this.shown));
  }

  // The known pixels, as a machine takes them.
  get known() {
    return this.mask.some(Boolean) ? { mask: this.mask.slice(), pixels: this.pixels.slice() } : null;
  }

  // Hold the pixels for which `wanted(column, row)`, as they are shown now, and no others.
  holdWhere(wanted) {
    for (let pixel = 0; pixel < this.mask.length; pixel++) {
      this.mask[pixel] = wanted(pixel % this.width, Math.floor(pixel / this.width)) ? 1 : 0;
      this.pixels[pixel] = this.shown[pixel] / 255;
    }
    this.#tell(true);
  }

  #down(event) {
    event.preventDefault();
    this.canvas.setPointerCapture(event.pointerId);
    this.canvas.focus({ preventScroll: true });
    this.drawing = true;
    this.#stroke(cellAt(this.canvas, event, this.width, this.height));
  }

  #move(event) {
    if (!this.drawing) return;
    for (const part of event.getCoalescedEvents?.() ?? [event]) {
      this.#stroke(cellAt(this.canvas, part, this.width, this.height));
    }
  }

  #up() {
    if (!this.drawing) return;
    this.drawing = false;
    this.#tell(true);
  }

  #key(event) {
    const to = arrowTo(event, this.cursor, this.width, this.height);
    if (to) {
      this.cursor = to;
      const [column, row] = to, held = this.mask[row * this.width + column];
      this.say(`Row ${row + 1}, column ${column + 1}: ${held ? "held" : "free"}`);
      this.draw(this.shown);
    } else if (event.key === " " || event.key === "Enter") {
      event.preventDefault();
      this.#stroke(this.cursor);
      this.#tell(true);
    }
  }

  // A brush of five pixels: a cross, softer at its ends; of nine for taking away.
  #stroke([column, row]) {
    this.cursor = [column, row];
    for (let down = -1; down <= 1; down++) {
      for (let right = -1; right <= 1; right++) {
        const [x, y] = [column + right, row + down], corner = down !== 0 && right !== 0;
        if (x < 0 || y < 0 || x >= this.width || y >= this.height || (corner && this.tool === "ink")) continue;
        const pixel = y * this.width + x, ink = down === 0 && right === 0 ? 1 : 0.75;
        if (this.tool === "free") this.mask[pixel] = 0;
        else {
          const before = this.mask[pixel] ? this.pixels[pixel] : 0;
          this.pixels[pixel] = this.tool === "ink" ? Math.max(before, ink) : 0;
          this.mask[pixel] = 1;
        }
      }
    }
    this.#tell(false);
  }

  #tell(done) {
    this.draw(this.shown);
    this.changed(this.known, done);
  }

  // Grey pixels, and a dot on each one that is held.
  draw(bytes) {
    this.shown = bytes;
    const { canvas, mask, pixels, width } = this, context = canvas.getContext("2d"), dot = colour("held");
    paintGrey(this.grey, bytes.map((byte, pixel) => (mask[pixel] ? 255 * pixels[pixel] : byte)));
    context.imageSmoothingEnabled = false;
    context.drawImage(this.grey, 0, 0, canvas.width, canvas.height);
    context.fillStyle = dot;
    mask.forEach((held, pixel) => {
      if (held) context.fillRect((pixel % width) * CELL + 3, Math.floor(pixel / width) * CELL + 3, CELL - 6, CELL - 6);
    });
    if (document.activeElement === this.canvas) {
      context.strokeStyle = dot;
      context.lineWidth = 2;
      context.strokeRect(this.cursor[0] * CELL, this.cursor[1] * CELL, CELL, CELL);
    }
  }
}
