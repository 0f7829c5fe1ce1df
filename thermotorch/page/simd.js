// Products of couplings with four samples, by the vector instructions of WebAssembly: two float64 at a time.
//
// Plain JavaScript has no vectors, and takes three times as long. The module is put together here, instruction by
// instruction, so that there is nothing to build. It sums in the order of the loop in couplings.js and rounds as that
// does, so that both give the same numbers to the last bit.

import { LANES } from "./noise.js";

const ROWS = 4;  // units at a time: eight sums of two units stay in registers
const PAGE = 65536, DOUBLE = 8;

// Encodings of the WebAssembly core specification, version 2, chapter 5.
const I32 = 0x7f, V128 = 0x7b, EMPTY = 0x40, END = 0x0b;
const LOOP = 0x03, BRANCH_IF = 0x0d;
const i32 = { const: 0x41, add: 0x6a, lt_u: 0x49 };
const load32 = [0xfd, 0x5c], loadTwice = [0xfd, 0x0a], store = [0xfd, 0x0b];
const widen = [...[0xfd, 0x87, 0x01], ...[0xfd, 0xa7, 0x01]];  // four int8 to four int32
const toFloat = [0xfd, 0xfe, 0x01], add = [0xfd, 0xf0, 0x01], multiply = [0xfd, 0xf2, 0x01];
const upper = [0xfd, 0x0d, ...Array.from({ length: 16 }, (_, byte) => (byte + 8) % 16)];  // halves change places
const get = (local) => [0x20, local], set = (local) => [0x21, local], tee = (local) => [0x22, local];
const at = (offset) => [0, offset];  // of a load or store; no alignment is promised

function number(value) {  // LEB128, of values below 2^14
  return value < 128 ? [value] : [(value & 127) | 128, value >> 7];
}

const sized = (bytes) => [...number(bytes.length), ...bytes];
const section = (id, bytes) => [id, ...sized(bytes)];

// (levels, x, sums, end): sums[pair, lane, row] = sum over k of levels[k, pair, row] x[k, lane], for two pairs of
// units; the arguments are addresses, `end` that behind the last level.
function product() {
  const [levels, x, sums, end, four, two, one] = [0, 1, 2, 3, 4, 5, 6], total = (pair, lane) => 7 + LANES * pair + lane;
  const pairs = [0, 1], lanes = [0, 1, 2, 3];
  const step = (local, by) => [...get(local), i32.const, by, i32.add, ...set(local)];
  return [
    1, ...[3 + 2 * LANES, V128],  // locals after the arguments
    LOOP, EMPTY,
    ...get(levels), ...load32, ...at(0), ...widen, ...tee(four), ...toFloat, ...set(two),
    ...get(four), ...get(four), ...upper, ...toFloat, ...set(four),
    ...lanes.flatMap((lane) => [
      ...get(x), ...loadTwice, ...at(DOUBLE * lane), ...set(one),
      ...pairs.flatMap((pair) => [
        ...get(total(pair, lane)), ...get(pair ? four : two), ...get(one), ...multiply, ...add,
        ...set(total(pair, lane)),
      ]),
    ]),
    ...step(levels, ROWS), ...step(x, LANES * DOUBLE),
    ...get(levels), ...get(end), i32.lt_u, BRANCH_IF, 0,
    END,
    ...pairs.flatMap((pair) => lanes.flatMap((lane) => [
      ...get(sums), ...get(total(pair, lane)), ...store, ...at(2 * DOUBLE * (LANES * pair + lane)),
    ])),
    END,
  ];
}

function compiled() {
  const text = (name) => sized([...name].map((character) => character.charCodeAt(0)));
  const bytes = Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d], ...[1, 0, 0, 0],  // "\0asm", version 1
    ...section(1, [1, 0x60, ...sized([I32, I32, I32, I32]), 0]),  // types: four integers, no result
    ...section(2, [1, ...text("page"), ...text("memory"), 2, 0, 1]),  // imports: a memory
    ...section(3, [1, 0]),  // functions: one, of that type
    ...section(7, [1, ...text("product"), 0, 0]),  // exports: it
    ...section(10, [1, ...sized(product())]),
  ]);
  try {
    const memory = new WebAssembly.Memory({ initial: 1 });
    const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), { page: { memory } });
    return { memory, used: 0, product: instance.exports.product };
  } catch {
    return null;  // no WebAssembly, or not these instructions, or forbidden: the loop in couplings.js does it
  }
}

let vectors;  // compiled once, when first wanted

// Levels [row, k] where the instructions reach them, or null where the browser has none.
export function packed(levels, rows, size) {
  vectors ??= compiled();
  return vectors && new Packed(levels, rows, size);
}

class Packed {
  constructor(levels, rows, size) {
    const blocks = Math.ceil(rows / ROWS), bytes = blocks * ROWS * size;
    const align = (address) => Math.ceil(address / 16) * 16;
    Object.assign(this, { rows, size, blocks, levels: vectors.used });
    this.x = align(this.levels + bytes);
    this.sums = this.x + size * LANES * DOUBLE;
    vectors.used = this.sums + ROWS * LANES * DOUBLE;
    const { memory } = vectors;
    memory.grow(Math.ceil((vectors.used - memory.buffer.byteLength) / PAGE));
    const places = new Int8Array(memory.buffer, this.levels, bytes);  // [block, k, row in block]; what is beyond is 0
    for (let row = 0; row < rows; row++) {
      const block = Math.floor(row / ROWS) * ROWS * size + (row % ROWS);
      for (let k = 0; k < size; k++) places[block + k * ROWS] = levels[row * size + k];
    }
  }

  // field[row, lane] += scale x sum over k of level[row, k] x[k, lane]; both begin at their first unit.
  addTo(field, x, scale) {
    const { memory: { buffer }, product } = vectors, { rows, size, levels } = this, stride = ROWS * size;
    new Float64Array(buffer, this.x, x.length).set(x);
    const sums = new Float64Array(buffer, this.sums, ROWS * LANES);
    for (let block = 0, row = 0; block < this.blocks; block++) {
      product(levels + block * stride, this.x, this.sums, levels + (block + 1) * stride);
      for (const end = Math.min(rows, row + ROWS); row < end; row++) {
        const from = (row & 2) * LANES + (row & 1);
        for (let lane = 0; lane < LANES; lane++) field[row * LANES + lane] += scale * sums[from + 2 * lane];
      }
    }
  }
}
