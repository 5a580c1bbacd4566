// DiffEditMask's last steps, equal to nodes/core: from a heat map [height x width] of float32
// numbers to a mask of 0 and 1. No imports, so that tests can run it without an editor.

/** A heat map from the node's base64 of float32 numbers. */
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
 * Cells above the threshold, grown (or, below 0, shrunk) by `grow` cells. The threshold is rounded to
 * float32, in which the server compares, so that ties are the same.
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

/** A mask combined with a given mask of the same size, 0 to 1: intersection, union, or the given mask alone. */
export function combined(mask, given, mode) {
  if (!given) return mask;
  const pick = { intersection: Math.min, union: Math.max, only: (_, other) => other }[mode] ?? Math.min;
  return Float32Array.from(mask, (own, cell) => pick(own, given[cell]));
}

/**
 * The maximum (growing) or minimum (shrinking) over neighbours up to `cells` away, rows first, then
 * columns. Cells outside the picture do not count.
 */
function grown(mask, width, height, cells) {
  if (cells === 0) return mask;
  const wins = cells > 0 ? 1 : 0,
    reach = Math.abs(cells);
  const along = (from, step, length, lines, stride) => {
    const to = new Uint8Array(from.length);
    for (let line = 0; line < lines; line++) {
      let last = -Infinity,
        next = 0; // nearest winner at or before `place`, and at or after it
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

/** An SVG path of the cells with `belongs(index)`, one unit per cell: the runs of each row as rectangles. */
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
