// CLIPRank: the pictures in rank order with their scores; a click sets the node's `pick`, so that a run without an editor does the same.
import { address, html, onWidget, ownValue, setWidget } from "./page.js";
import { word } from "./words.js";

export function gallery(view) {
  const { node } = view, element = html("div", { class: "semantic-edit-gallery" });

  let ranks = 1; // pictures per source: each source is ranked by itself, and `pick` counts from its best, which is 0

  function mark() {
    const pick = ownValue(node, "pick");
    for (const [index, button] of [...element.children].entries()) button.setAttribute("aria-pressed", String(index % ranks === pick));
  }

  onWidget(node, "pick", mark);

  return {
    element,
    height: () => 104 * Math.min(3, Math.ceil(element.children.length / 3)),
    show(output) {
      const files = output.images ?? [], { scores = [], per_source } = output.report?.[0] ?? {};
      ranks = per_source || files.length || 1;
      element.replaceChildren(...files.map((file, index) => {
        const score = Number.isFinite(scores[index]) ? scores[index].toFixed(3) : "";
        const button = html("button", { type: "button", title: word("give", index % ranks + 1) },
          html("img", { src: address(file), draggable: "false", alt: "" }), html("span", {}, `${index % ranks + 1}. ${score}`));
        button.addEventListener("click", () => {
          setWidget(node, "pick", index % ranks);
          mark();
        });
        return button;
      }));
      mark();
      return files.length > 0;
    },
  };
}
