// Before and after, one over the other, with a line between them that the pointer drags.
import { address, html, pager, sizeOf, slideOver, svg } from "./page.js";
import { word } from "./words.js";

let count = 0;

export function compare(view) {
  const id = `semantic-edit-before-${count++}`;
  const before = svg("image", { "clip-path": `url(#${id})` }), after = svg("image"), hidden = svg("rect", { x: "0", y: "0", height: "100%" });
  const line = svg("line", { y1: "0", stroke: "#fff", "stroke-width": "2", class: "semantic-edit-line", "vector-effect": "non-scaling-stroke" });
  const area = svg("rect", { width: "100%", height: "100%", fill: "transparent" });
  const stage = svg("svg", { class: "semantic-edit-stage semantic-edit-slide", tabindex: "0", role: "slider", "aria-label": `${word("before")} / ${word("after")}`, "aria-valuemin": "0", "aria-valuemax": "100" },
    svg("clipPath", { id }, hidden), after, before, line, area);
  const pages = pager(index => draw(index));
  const names = html("div", { class: "semantic-edit-names" }, html("span", {}, word("before")), pages.element, html("span", {}, word("after")));
  const element = html("div", { class: "semantic-edit-compare" }, stage, names);

  let share = 0.5, size = null, files = { before: [], after: [] };

  function place(to) {
    share = to;
    if (!size) return;
    const x = share * size.width;
    hidden.setAttribute("width", x);
    line.setAttribute("x1", x);
    line.setAttribute("x2", x);
    stage.setAttribute("aria-valuenow", Math.round(100 * share));
  }

  async function draw(index) {
    const two = [files.before[index], files.after[index]];
    if (!two[0] || !two[1]) return;
    const urls = two.map(address), found = await sizeOf(urls[1]);
    if (!found || index !== pages.index) return view.empty(element, !found);
    size = found;
    view.empty(element, false);
    stage.setAttribute("viewBox", `0 0 ${size.width} ${size.height}`);
    [before, after].forEach((image, one) => {
      image.setAttribute("width", size.width);
      image.setAttribute("height", size.height);
      image.setAttribute("href", urls[one]);
    });
    hidden.setAttribute("height", size.height);
    line.setAttribute("y2", size.height);
    place(share);
  }

  slideOver(stage, area, place, () => share);

  return {
    element,
    height: () => 250,
    show(output) {
      files = { before: output.before ?? [], after: output.images ?? [] };
      if (!files.before.length || !files.after.length) return false;
      pages.set(files.after.length);
      return true;
    },
  };
}
