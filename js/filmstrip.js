// Pictures in a row with a word under each: an inversion's way from the picture to the noise, a shrinking mask's stages. A batch has a row for each of its items.
import { address, html } from "./page.js";
import { word } from "./words.js";

const HEIGHT = 96;

export function filmstrip() {
  const element = html("div", { class: "semantic-edit-filmstrip" });
  let rows = 1;
  return {
    element,
    height: () => HEIGHT * Math.min(3, rows),
    show(output) {
      const files = output.images ?? [], captions = output.captions ?? stages(output.report?.[0]), columns = captions.length || files.length || 1;
      rows = Math.ceil(files.length / columns);
      element.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
      element.replaceChildren(...files.map((file, index) => {
        const caption = captions[index % columns] ?? String(index + 1);
        return html("figure", {}, html("img", { src: address(file), draggable: "false", alt: caption }), html("figcaption", {}, caption));
      }));
      return files.length > 0;
    },
  };
}

/** ProgressiveMaskShrink's stages: the kernel that dilates, and how much of the picture it lets change. */
function stages({ kernels, coverage = [] } = {}) {
  if (!kernels) return [];
  return [...kernels.map(kernel => `${kernel} \u00d7 ${kernel}`), word("mask")].map((name, stage) => `${name}: ${(100 * (coverage[stage] ?? 0)).toFixed(1)} %`);
}
