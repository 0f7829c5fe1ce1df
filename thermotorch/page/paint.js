// Pictures on canvases: grey pixels, signed numbers in two hues, and curves in the colours of the page.

export const MOTION = window.matchMedia("(prefers-reduced-motion: reduce)");
export const THEME = window.matchMedia("(prefers-color-scheme: dark)");

export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

// Bytes as grey pixels.
export function paintGrey(canvas, bytes) {
  const context = canvas.getContext("2d"), image = context.createImageData(canvas.width, canvas.height);
  const pixels = new Uint32Array(image.data.buffer);
  for (let k = 0; k < pixels.length; k++) pixels[k] = 0xff000000 | (bytes[k] * 0x010101);
  context.putImageData(image, 0, 0);
}

const WARM = [240, 140, 40], COLD = [60, 130, 246], DARK = [18, 22, 28];

// Numbers from -limit (blue) by way of zero (dark) to limit (orange).
export function paintSigned(canvas, values, limit) {
  const context = canvas.getContext("2d"), image = context.createImageData(canvas.width, canvas.height);
  for (let k = 0; k < canvas.width * canvas.height; k++) {
    const value = Math.max(-1, Math.min(1, (values[k] ?? 0) / limit)), hue = value < 0 ? COLD : WARM;
    for (let c = 0; c < 3; c++) image.data[4 * k + c] = DARK[c] + Math.abs(value) * (hue[c] - DARK[c]);
    image.data[4 * k + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

// A context in CSS pixels, sharp on any screen, cleared.
export function sharp(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas, ratio = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = "12px system-ui, sans-serif";
  return { context, width, height };
}

export function curve(context, points, stroke, thickness = 2) {
  context.beginPath();
  for (const [x, y] of points) context.lineTo(x, y);
  context.strokeStyle = stroke;
  context.lineWidth = thickness;
  context.stroke();
}

// The cell of a grid, shown over a whole canvas, that a pointer is on: [column, row].
export function cellAt(canvas, event, columns, rows) {
  const box = canvas.getBoundingClientRect();
  const at = (position, size, count) => Math.max(0, Math.min(count - 1, Math.floor((position / size) * count)));
  return [at(event.clientX - box.left, box.width, columns), at(event.clientY - box.top, box.height, rows)];
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// Where an arrow key leads from a cell of a grid, or null for another key.
export function arrowTo(event, [column, row], columns, rows) {
  const arrow = ARROWS[event.key];
  if (!arrow) return null;
  event.preventDefault();
  return [Math.max(0, Math.min(columns - 1, column + arrow[0])), Math.max(0, Math.min(rows - 1, row + arrow[1]))];
}
