// DiffEditMask's last steps, as nodes/core does them: a heat map [height x width] of float32
// numbers becomes a mask of 0 and 1. No imports: tests run it bare.

/** float32 numbers from base64, as the node sends them. */
export function readHeat({ width, height, values }) {
  const bytes = Uint8Array.from(atob(values), letter => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return {
    width,
    height,
    values: Float32Array.from({ length: width * height }, (_, index) => view.getFloat32(4 * index, true)),
  };
}

/**
 * Cells above the threshold, grown (or, below 0, shrunk) by `grow` cells. The server compares in
 * float32, so a tie there must be one here.
 */
export function maskOf(heat, threshold, grow = 0) {
  const limit = Math.fround(threshold);
  return grown(
    Uint8Array.from(heat.values, value => (value > limit ? 1 : 0)),
    heat.width,
    heat.height,
    grow,
  );
}

/** The mask with a given one of the same cells, 0 to 1: what is in both, in either, or the given one alone. */
export function combined(mask, given, mode) {
  if (!given) return mask;
  const pick = { intersection: Math.min, union: Math.max, only: (_, other) => other }[mode] ?? Math.min;
  return Float32Array.from(mask, (own, cell) => pick(own, given[cell]));
}

/**
 * The largest (growing) or smallest (shrinking) neighbour up to `cells` away, rows first, then
 * columns; what lies outside the picture does not count.
 */
function grown(mask, width, height, cells) {
  if (cells === 0) return mask;
  const wins = cells > 0 ? 1 : 0,
    reach = Math.abs(cells);
  const along = (from, step, length, lines, stride) => {
    const to = new Uint8Array(from.length);
    for (let line = 0; line < lines; line++) {
      let last = -Infinity,
        next = 0; // the nearest winner at or before a place, and a search for the one after it
      for (let place = 0; place < length; place++) {
        const at = line * stride + place * step;
        if (from[at] === wins) last = place;
        if (next < place) next = place;
        while (next < length && from[line * stride + next * step] !== wins) next++;
        to[at] = place - last <= reach || (next < length && next - place <= reach) ? wins : 1 - wins;
      }
    }
    return to;
  };
  return along(along(mask, 1, width, height, width), width, height, width, 1);
}

/** Share of the cells that are set, 0 to 1. */
export function coverage(mask) {
  return mask.reduce((sum, one) => sum + one, 0) / mask.length;
}

/** An SVG path over the cells for which `belongs(index)`, one cell a unit: each row's runs as rectangles. */
export function cellPath(width, height, belongs) {
  const parts = [];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (!belongs(y * width + x)) continue;
      const start = x;
      while (x < width && belongs(y * width + x)) x++;
      parts.push(`M${start} ${y}h${x - start}v1h${start - x}z`);
    }
  }
  return parts.join("");
}
