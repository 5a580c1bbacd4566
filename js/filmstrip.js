// Pictures in a row with a word under each: an inversion's way from the picture to the noise, a shrinking mask's stages.
import { address, html } from "./page.js";

const HEIGHT = 96;

export function filmstrip() {
  const element = html("div", { class: "semantic-edit-filmstrip" });
  return {
    element,
    height: () => HEIGHT,
    show(output) {
      const files = output.images ?? [], captions = output.captions ?? [];
      element.replaceChildren(...files.map((file, index) => html("figure", {},
        html("img", { src: address(file), draggable: "false", alt: captions[index] ?? "" }), html("figcaption", {}, captions[index] ?? String(index + 1)))));
      return files.length > 0;
    },
  };
}
