// The numbers of a description, scale x level, as thermotorch/page/description.py writes them.

const CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+";
const LEVELS = new Int8Array(128);
[...CHARACTERS].forEach((character, place) => (LEVELS[character.charCodeAt(0)] = place - 31));

// Whole bytes in base64, or a character a level.
function levelsOf(text, bits) {
  const characters = bits > 6 ? atob(text) : text, levels = new Int8Array(characters.length);
  for (let k = 0; k < levels.length; k++) {
    const code = characters.charCodeAt(k);
    levels[k] = bits > 6 ? code : LEVELS[code];
  }
  return levels;
}

// A description with the text of all levels turned into numbers, Int8Array.
export function unpacked(part, bits = part.bits) {
  if (Array.isArray(part)) return part.map((item) => unpacked(item, bits));
  if (part === null || typeof part !== "object") return part;
  const entries = Object.entries(part).map(([name, value]) => [
    name, name === "levels" ? levelsOf(value, bits) : unpacked(value, bits),
  ]);
  return Object.fromEntries(entries);
}
