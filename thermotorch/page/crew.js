// The workers that share the quartets of a wall. Every order goes to all of them; their frames come back as one.

import { LANES } from "./noise.js";

class Member {
  constructor(address, failed) {
    this.worker = new Worker(address);
    this.worker.onerror = (event) => {
      event.preventDefault();  // told here, and not once more by the window
      failed(event.message);
    };
    this.waiting = [];  // answers come in the order of the orders
    this.worker.onmessage = ({ data }) => this.waiting.shift()(data);
  }

  send(message) {
    this.worker.postMessage(message);
    return new Promise((resolve) => this.waiting.push(resolve));
  }
}

function joined(Type, arrays) {
  const whole = new Type(arrays.reduce((length, array) => length + array.length, 0));
  arrays.reduce((at, array) => (whole.set(array, at), at + array.length), 0);
  return whole;
}

export class Crew {
  // `source` is the text of the worker, `quartets` their number on the wall; `failed(reason)` is called where a worker
  // does not run.
  constructor(source, description, quartets, failed) {
    const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    const size = Math.max(1, Math.min(2, navigator.hardwareConcurrency || 1));
    this.members = Array.from({ length: size }, () => new Member(address, failed));
    this.share = Math.ceil(quartets / size);
    this.quartets = quartets;
    for (const member of this.members) member.send({ order: "load", description });
  }

  // Begin the samples first ... first + 4 quartets - 1; `first` is a multiple of four.
  begin(first, run, settings, watched) {
    const numbers = Array.from({ length: this.quartets }, (_, q) => first / LANES + q);
    return this.#all(watched, (member) => ({
      order: "begin",
      run: { ...run, quartets: numbers.slice(member * this.share, (member + 1) * this.share) },
      ...settings,
    }));
  }

  advance(settings, watched) {
    return this.#all(watched, () => ({ order: "advance", ...settings }));
  }

  hold(known, watched) {
    return this.#all(watched, () => ({ order: "hold", known }));
  }

  // `watched` is a sample's place on the wall.
  async #all(watched, messageFor) {
    const samples = this.share * LANES, owner = Math.floor(watched / samples);
    const frames = await Promise.all(this.members.map((member, number) => {
      const own = number === owner ? watched % samples : null;
      return member.send({ ...messageFor(number), watched: own });
    }));
    return {
      ...frames[0],
      images: joined(Uint8ClampedArray, frames.map((frame) => frame.images)),
      energy: joined(Float64Array, frames.map((frame) => frame.energy)),
      heat: joined(Float64Array, frames.map((frame) => frame.heat)),
      units: frames[owner].units,
      film: frames[owner].film,
    };
  }
}
