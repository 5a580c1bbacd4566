// DiffEditMask: the picture with heat map and mask over it, and the node's threshold as a slider that the mask follows at once.
import { address, html, onWidget, ownValue, pager, setWidget, svg } from "./page.js";
import { cellPath, coverage, maskOf, readHeat } from "./mask_math.js";
import { word } from "./words.js";

const LEVELS = 10; // shades of the heat map

export function threshold(view) {
  const { node } = view;
  const picture = svg("image", { preserveAspectRatio: "none" });
  const heatLayer = svg("g", { fill: "#ff1a1a" }), outside = svg("path", { fill: "#000", "fill-opacity": "0.55" });
  const edge = svg("path", { fill: "none", stroke: "#fff", "stroke-width": "1.5", "vector-effect": "non-scaling-stroke" });
  const stage = svg("svg", { class: "semantic-edit-stage", role: "img" }, svg("rect", { width: "100%", height: "100%", fill: "#000" }), picture, heatLayer, outside, edge);
  const slider = html("input", { type: "range", min: "0", max: "1", step: "0.01", "aria-label": word("threshold") });
  const label = html("output", {}, "");
  const pages = pager(index => draw(index));
  const element = html("div", { class: "semantic-edit-threshold" }, stage, pages.element,
    html("label", { class: "semantic-edit-row" }, word("threshold"), slider, label));

  let heats = [], pictures = [], report = {}, used = {};

  function settings() {
    const value = ownValue(node, "threshold"), grow = ownValue(node, "grow");
    return { threshold: value ?? used.threshold ?? 0.5, grow: grow ?? used.grow ?? 0, isLinked: value === undefined };
  }

  function draw(index) {
    const heat = heats[index];
    if (!heat) return;
    const { width, height, values } = heat;
    stage.setAttribute("viewBox", `0 0 ${width} ${height}`);
    for (const name of ["width", "height"]) picture.setAttribute(name, heat[name]);
    const file = pictures[Math.min(index, pictures.length - 1)];
    if (file) picture.setAttribute("href", address(file));
    else picture.removeAttribute("href");
    const strength = file ? 0.65 : 1;
    heatLayer.replaceChildren(...Array.from({ length: LEVELS }, (_, level) => svg("path", {
      "fill-opacity": (strength * (level + 1) / LEVELS).toFixed(3),
      d: cellPath(width, height, cell => Math.ceil(values[cell] * LEVELS) === level + 1),
    })));
    follow();
  }

  /** The mask of every map, as the next run will make it. */
  function masks() {
    const { threshold, grow } = settings();
    return heats.map(heat => maskOf(heat, threshold, grow));
  }

  function follow() {
    if (!heats.length) return;
    const { threshold, isLinked } = settings(), made = masks(), { width, height } = heats[pages.index], mask = made[pages.index];
    outside.setAttribute("d", cellPath(width, height, cell => !mask[cell]));
    edge.setAttribute("d", outline(mask, width, height));
    slider.value = threshold;
    slider.disabled = isLinked;
    label.textContent = Number(threshold).toFixed(2);
    const shares = made.map(coverage);
    const warning = report.is_same ? report.warning : shares.some(share => share === 0) ? word("empty") : "";
    const list = shares.slice(0, 8).map(share => `${(100 * share).toFixed(1)} %`).join(", ");
    view.say(`${word("covers", shares.length > 8 ? `${list} ...` : list)} ${warning}`.trim());
  }

  slider.addEventListener("input", () => {
    setWidget(node, "threshold", Number(slider.value));
    follow();
  });
  onWidget(node, "threshold", follow);
  onWidget(node, "grow", follow);

  return {
    element, masks, // tests read `masks`
    height: () => 250 + (pages.count > 1 ? 26 : 0),
    show(output) {
      heats = (output.heat ?? []).map(readHeat);
      pictures = output.picture ?? [];
      report = output.report?.[0] ?? {};
      used = output.used?.[0] ?? {};
      pages.set(heats.length);
      return heats.length > 0;
    },
  };
}

/** The line between set and other cells. */
function outline(mask, width, height) {
  const parts = [];
  const at = (x, y) => (x >= 0 && y >= 0 && x < width && y < height ? mask[y * width + x] : 0);
  for (let y = 0; y <= height; y++) {
    for (let x = 0; x <= width; x++) {
      if (x < width && at(x, y) !== at(x, y - 1)) parts.push(`M${x} ${y}h1`);
      if (y < height && at(x, y) !== at(x - 1, y)) parts.push(`M${x} ${y}v1`);
    }
  }
  return parts.join("");
}
