// Couplings between two groups of units, J = scale x level with levels of a few bits, and the field that they make.

import { LANES } from "./noise.js";
import { packed } from "./simd.js";

function transposed(levels, rows, columns) {
  const turned = new Int8Array(levels.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) turned[column * rows + row] = levels[row * columns + column];
  }
  return turned;
}

// One direction of a block: `to` feels `from`. Groups are { start, size }; levels are [to, from].
export class Pull {
  constructor(to, from, scale, levels) {
    Object.assign(this, { to, from, scale, levels, packed: packed(levels, to.size, from.size) });
  }

  // Add J x to `field` for the four samples of a quartet; both are [unit, lane].
  addTo(field, x) {
    const part = ({ start, size }, values) => values.subarray(start * LANES, (start + size) * LANES);
    if (this.packed) this.packed.addTo(part(this.to, field), part(this.from, x), this.scale);
    else this.#loop(field, x);
  }

  // Two units by four samples at a time: eight sums stay in registers, and a level is read once for four samples.
  #loop(field, x) {
    const { to, from, scale, levels } = this;
    const first = from.start * LANES, end = (from.start + from.size) * LANES;
    for (let unit = 0; unit < to.size; unit += 2) {
      const single = unit + 1 === to.size;
      let a = unit * from.size, b = single ? a : a + from.size;
      let a0 = 0, a1 = 0, a2 = 0, a3 = 0, b0 = 0, b1 = 0, b2 = 0, b3 = 0;
      for (let at = first; at < end; at += LANES, a++, b++) {
        const p = levels[a], q = levels[b];
        const x0 = x[at], x1 = x[at + 1], x2 = x[at + 2], x3 = x[at + 3];
        a0 += p * x0;
        a1 += p * x1;
        a2 += p * x2;
        a3 += p * x3;
        b0 += q * x0;
        b1 += q * x1;
        b2 += q * x2;
        b3 += q * x3;
      }
      const out = (to.start + unit) * LANES;
      field[out] += scale * a0;
      field[out + 1] += scale * a1;
      field[out + 2] += scale * a2;
      field[out + 3] += scale * a3;
      if (single) break;
      field[out + 4] += scale * b0;
      field[out + 5] += scale * b1;
      field[out + 6] += scale * b2;
      field[out + 7] += scale * b3;
    }
  }
}

// Both directions of every block of a stage.
export function pullsOf(groups, blocks) {
  const named = Object.fromEntries(groups.map((group) => [group.name, group]));
  return blocks.flatMap(({ rows, columns, scale, levels }) => {
    const [row, column] = [named[rows], named[columns]];
    return [
      new Pull(row, column, scale, levels),
      new Pull(column, row, scale, transposed(levels, row.size, column.size)),
    ];
  });
}
