// The stages of a chain as a strip of pictures: what the sample in hand showed, from noise to the image.

import { paintGrey } from "./paint.js";

export class Film {
  constructor(list, { first, stages, order, image_shape: [height, width] }) {
    const degrees = (number) => Math.round((stages[number].angle * 180) / Math.PI);
    const runs = order.flatMap((number) => [`noised, ${degrees(number)}°`, `stage ${number + 1}`]);
    const names = ["noise", "machine", ...runs];
    this.pictures = names.map((name) => {
      const item = document.createElement("li"), canvas = document.createElement("canvas");
      Object.assign(canvas, { width, height });
      canvas.setAttribute("role", "img");
      item.append(canvas, name);
      list.append(item);
      return { canvas, name };
    });
    this.blank = new Uint8ClampedArray(width * height);
  }

  draw(images) {
    this.pictures.forEach(({ canvas, name }, k) => {
      paintGrey(canvas, images[k] ?? this.blank);
      canvas.setAttribute("aria-label", images[k] ? `Image after: ${name}` : `Not yet: ${name}`);
    });
  }
}
