// CLIPRank: the pictures in rank order with their scores; a click sets the node's `pick`, so that a
// run without an editor gives the same picture. Ranks count from 0 like `pick`; `#` is the number in
// the batch, from 0.
import { address, html, onWidget, ownValue, setWidget } from "./page.js";
import { enlarge, offerPictures, picture } from "./pictures.js";
import { word } from "./words.js";

export function gallery(view) {
  const { node } = view,
    element = html("div", { class: "semantic-edit-gallery" });

  let ranks = 1; // pictures per source: each source is ranked separately; `pick` 0 is its best

  function mark() {
    const pick = ownValue(node, "pick");
    for (const [index, button] of [...element.children].entries())
      button.setAttribute("aria-pressed", String(index % ranks === pick));
  }

  function button(file, index, { scores = [], order = [], seeds = [] }, pictures) {
    const rank = index % ranks,
      score = Number.isFinite(scores[index]) ? ` \u00b7 ${scores[index].toFixed(3)}` : "";
    const image = html("img", { src: pictures[index].url, draggable: "false", alt: "" });
    const made = html(
      "button",
      { type: "button", title: word("give", rank, order[index] ?? index, seeds[index] ?? "?") },
      image,
      html("span", {}, `${rank}${score} \u00b7 #${order[index] ?? index}`),
    );
    made.addEventListener("click", () => {
      setWidget(node, "pick", rank);
      mark();
    });
    made.addEventListener("dblclick", () => enlarge(pictures, index));
    offerPictures(made, () => pictures[index]);
    return made;
  }

  onWidget(node, "pick", mark);

  return {
    element,
    height: () => 124 * Math.min(3, Math.ceil(element.children.length / 3)),
    show(output) {
      const files = output.images ?? [],
        report = output.report?.[0] ?? {};
      ranks = report.per_source || files.length || 1;
      const pictures = files.map((file, index) => picture(address(file), file.filename, String(index % ranks)));
      element.replaceChildren(...files.map((file, index) => button(file, index, report, pictures)));
      mark();
      return files.length > 0;
    },
  };
}
