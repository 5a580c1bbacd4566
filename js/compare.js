// Before and after in one frame, divided by a line that follows the pointer.
import { address, html, pager, sizeOf, slideOver, svg } from "./page.js";
import { enlarge, offerPictures, picture } from "./pictures.js";
import { word } from "./words.js";

const HANDLE = 11; // radius on the screen, in pixels
let count = 0;

export function compare(view) {
  const id = `semantic-edit-before-${count++}`;
  const before = svg("image", { "clip-path": `url(#${id})` }),
    after = svg("image"),
    hidden = svg("rect", { x: "0", y: "0", height: "100%" });
  const lines = ["#000", "#fff"].map((stroke, top) =>
    svg("line", {
      y1: "0",
      stroke,
      "stroke-opacity": top ? 1 : 0.4,
      "stroke-width": top ? 2 : 4,
      class: top ? "semantic-edit-line" : "",
      "vector-effect": "non-scaling-stroke",
    }),
  );
  const handle = svg(
    "g",
    { class: "semantic-edit-handle" },
    svg("circle", { r: HANDLE }),
    svg("path", { d: "M-2.5 -4.5L-7 0L-2.5 4.5M2.5 -4.5L7 0L2.5 4.5" }),
  );
  const area = svg("rect", { width: "100%", height: "100%", fill: "transparent" });
  const stage = svg(
    "svg",
    {
      class: "semantic-edit-stage semantic-edit-slide",
      tabindex: "0",
      role: "slider",
      "aria-label": `${word("before")} / ${word("after")}`,
      "aria-valuemin": "0",
      "aria-valuemax": "100",
    },
    svg("clipPath", { id }, hidden),
    after,
    before,
    ...lines,
    handle,
    area,
  );
  const pages = pager(index => draw(index));
  const names = html(
    "div",
    { class: "semantic-edit-names" },
    html("span", {}, word("before")),
    pages.element,
    html("span", {}, word("after")),
  );
  const element = html("div", { class: "semantic-edit-compare" }, stage, names);

  let share = 0.5,
    size = null,
    files = { before: [], after: [] };

  function place(to) {
    share = to;
    if (!size) return;
    const x = share * size.width,
      fits = Math.min(stage.clientWidth / size.width, stage.clientHeight / size.height) || 1;
    hidden.setAttribute("width", x);
    for (const line of lines) for (const end of ["x1", "x2"]) line.setAttribute(end, x);
    handle.setAttribute("transform", `translate(${x} ${size.height / 2}) scale(${1 / fits})`);
    stage.setAttribute("aria-valuenow", Math.round(100 * share));
  }

  async function draw(index) {
    const two = [files.before[index], files.after[index]];
    if (!two[0] || !two[1]) return;
    const urls = two.map(address),
      found = await sizeOf(urls[1]);
    if (!found || index !== pages.index) return view.empty(element, !found);
    size = found;
    view.empty(element, false);
    stage.setAttribute("viewBox", `0 0 ${size.width} ${size.height}`);
    stage.style.setProperty("--shape", size.height / size.width);
    [before, after].forEach((image, one) => {
      image.setAttribute("width", size.width);
      image.setAttribute("height", size.height);
      image.setAttribute("href", urls[one]);
    });
    hidden.setAttribute("height", size.height);
    for (const line of lines) line.setAttribute("y2", size.height);
    place(share);
  }

  function shown() {
    return ["before", "after"].map(name => {
      const file = files[name][pages.index];
      return picture(address(file), file.filename, word(name));
    });
  }

  slideOver(stage, area, place, () => share);
  new ResizeObserver(() => place(share)).observe(stage); // keeps the handle's size on the screen
  offerPictures(stage, event => {
    const box = area.getBoundingClientRect();
    return shown()[event.clientX - box.left < share * box.width ? 0 : 1];
  });
  stage.addEventListener("dblclick", () => enlarge(shown(), 1));

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
