// Many digits at once: one button for each sample, of which one is in hand.

import { paintGrey } from "./paint.js";

export class Wall {
  constructor(element, count, [height, width], choose) {
    this.size = height * width;
    this.choose = choose;
    this.buttons = Array.from({ length: count }, (_, place) => {
      const button = document.createElement("button"), canvas = document.createElement("canvas");
      Object.assign(button, { type: "button", className: "digit" });
      Object.assign(canvas, { width, height });
      button.append(canvas);
      button.addEventListener("click", () => choose(place));
      button.addEventListener("keydown", (event) => this.#step(event, place));
      return button;
    });
    element.append(...this.buttons);
  }

  // Arrow keys go from digit to digit, by rows as they are laid out.
  #step(event, place) {
    const columns = this.buttons.filter(({ offsetTop }) => offsetTop === this.buttons[0].offsetTop).length;
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
    const next = this.buttons[place + by];
    if (!next) return;
    event.preventDefault();
    next.focus();
    this.choose(place + by);
  }

  name(first) {
    this.buttons.forEach((button, place) => button.setAttribute("aria-label", `Sample ${first + place}`));
  }

  select(chosen) {
    this.buttons.forEach((button, place) => {
      button.setAttribute("aria-pressed", String(place === chosen));
      button.tabIndex = place === chosen ? 0 : -1;
    });
  }

  draw(images) {
    this.buttons.forEach((button, place) => {
      paintGrey(button.firstChild, images.subarray(place * this.size, (place + 1) * this.size));
    });
  }
}
