// DiffEditMask: the picture, its heat map or its mask, and a slider of the node's threshold that updates
// the mask immediately.
import { address, choice, html, onInputs, onWidget, ownValue, pager, setWidget, sizeOf, svg } from "./page.js";
import { offerPictures, picture as pictureOf } from "./pictures.js";
import { cellPath, combined, coverage, maskOf, readHeat } from "./mask_math.js";
import { sentence, word } from "./words.js";

const MODES = ["picture", "heat", "mask"];
/** Colours of heat from low to high. Perceptually uniform; the picture below is grey. */
export const HEAT = [
  "#160b39",
  "#420a68",
  "#6a176e",
  "#932667",
  "#bc3754",
  "#dd513a",
  "#f37819",
  "#fca50a",
  "#f6d746",
  "#fcffa4",
];
const GREY = "0.15 0.29 0.06 0 0 0.15 0.29 0.06 0 0 0.15 0.29 0.06 0 0 0 0 0 1 0"; // half as bright
let mode = "heat",
  count = 0; // `mode`: the last choice is the initial one of the next node

export function threshold(view) {
  const { node } = view,
    id = `semantic-edit-grey-${count++}`;
  const picture = svg("image", { preserveAspectRatio: "none" });
  const heatLayer = svg("g"),
    outside = svg("path", { fill: "#000", "fill-opacity": "0.62" });
  const edges = ["#000", "#fff"].map((stroke, top) =>
    svg("path", { fill: "none", stroke, "stroke-width": top ? 1.5 : 3.5, "vector-effect": "non-scaling-stroke" }),
  );
  const stage = svg(
    "svg",
    { class: "semantic-edit-stage", role: "img" },
    svg("filter", { id, "color-interpolation-filters": "sRGB" }, svg("feColorMatrix", { values: GREY })),
    svg("rect", { width: "100%", height: "100%", fill: "#000" }),
    picture,
    heatLayer,
    outside,
    ...edges,
  );
  const modes = choice(MODES, name => {
    mode = name;
    draw(pages.index);
  });
  const slider = html("input", { type: "range", min: "0", max: "1", step: "0.01", "aria-label": word("threshold") });
  const label = html("output", {}, "");
  const legend = html(
    "div",
    { class: "semantic-edit-legend", style: `--heat: ${HEAT.join(", ")}` },
    html("span", {}, word("least")),
    html("i"),
    html("span", {}, word("most")),
  );
  const pages = pager(index => draw(index));
  const element = html(
    "div",
    { class: "semantic-edit-threshold" },
    modes.element,
    stage,
    pages.element,
    legend,
    html("label", { class: "semantic-edit-row" }, word("threshold"), slider, label),
  );

  let heats = [],
    given = [],
    pictures = [],
    report = {},
    used = {};

  function settings() {
    const value = ownValue(node, "threshold"),
      grow = ownValue(node, "grow");
    return {
      threshold: value ?? used.threshold ?? 0.5,
      grow: grow ?? used.grow ?? 0,
      mode: ownValue(node, "mask_mode") ?? used.mask_mode,
      isLinked: value === undefined,
    };
  }

  const fileOf = index => pictures[Math.min(index, pictures.length - 1)];

  /** The shown mode: without a picture, the heat map instead of the picture. */
  const modeOf = index => (fileOf(index) || mode === "mask" ? mode : "heat");

  function draw(index) {
    const heat = heats[index];
    if (!heat) return;
    const { width, height, values } = heat,
      file = fileOf(index),
      seen = modeOf(index);
    modes.press(seen);
    modes.disable("picture", !file);
    stage.setAttribute("viewBox", `0 0 ${width} ${height}`);
    stage.style.setProperty("--shape", height / width);
    for (const name of ["width", "height"]) picture.setAttribute(name, heat[name]);
    if (file) picture.setAttribute("href", address(file));
    else picture.removeAttribute("href");
    if (seen === "heat") picture.setAttribute("filter", `url(#${id})`);
    else picture.removeAttribute("filter");
    heatLayer.replaceChildren(
      ...(seen === "heat"
        ? HEAT.map((fill, level) =>
            svg("path", {
              fill,
              "fill-opacity": file ? shade(level) : 1,
              d: cellPath(
                width,
                height,
                cell => values[cell] > 0 && Math.ceil(values[cell] * HEAT.length) === level + 1,
              ),
            }),
          )
        : []),
    );
    legend.hidden = seen !== "heat";
    follow();
  }

  /** The mask of every heat map, as in the next run. */
  function masks() {
    const { threshold, grow, mode } = settings();
    return heats.map((heat, index) => combined(maskOf(heat, threshold, grow), given[index]?.values, mode));
  }

  /** Paths drawn over the picture, for the view and for a saved picture. */
  function layers(seen, mask, width, height) {
    return {
      outside: seen === "mask" ? cellPath(width, height, cell => !mask[cell]) : "",
      inside: seen === "mask" && !fileOf(pages.index) ? cellPath(width, height, cell => mask[cell]) : "",
      edge: seen === "picture" ? "" : outline(mask, width, height),
    };
  }

  function follow() {
    if (!heats.length) return;
    const { threshold, isLinked } = settings(),
      made = masks(),
      { width, height } = heats[pages.index],
      seen = modeOf(pages.index);
    const { outside: dark, inside, edge } = layers(seen, made[pages.index], width, height);
    outside.setAttribute("d", dark);
    if (inside) heatLayer.replaceChildren(svg("path", { fill: "#fff", d: inside }));
    for (const line of edges) line.setAttribute("d", edge);
    slider.value = threshold;
    slider.disabled = isLinked;
    label.textContent = Number(threshold).toFixed(2);
    const shares = made.map(coverage),
      list = shares
        .slice(0, 8)
        .map(share => `${(100 * share).toFixed(1)} %`)
        .join(", ");
    const warnings = report.is_same
      ? (report.warnings ?? [])
      : shares.some(share => share === 0)
        ? [word("empty")]
        : [];
    view.say(word("covers", shares.length > 8 ? `${list} ...` : list), sentence(warnings));
  }

  /** The current view as a picture. */
  async function composed() {
    const index = pages.index,
      heat = heats[index],
      file = fileOf(index),
      seen = modeOf(index),
      url = file && address(file);
    const size = (url && (await sizeOf(url))) ?? { width: 16 * heat.width, height: 16 * heat.height };
    if (seen === "picture") return pictureOf(url, file.filename, word("picture"));
    const canvas = html("canvas", size),
      to = canvas.getContext("2d");
    to.fillRect(0, 0, size.width, size.height);
    if (url) {
      const below = new Image();
      below.src = url;
      await below.decode();
      if (seen === "heat") to.filter = "grayscale(1) brightness(0.5)";
      to.drawImage(below, 0, 0);
      to.filter = "none";
    }
    to.scale(size.width / heat.width, size.height / heat.height);
    for (const path of heatLayer.children)
      fill(to, path.getAttribute("d"), path.getAttribute("fill"), Number(path.getAttribute("fill-opacity") ?? 1));
    fill(to, outside.getAttribute("d"), "#000", 0.62);
    to.globalAlpha = 1;
    for (const line of edges) {
      to.lineWidth = (Number(line.getAttribute("stroke-width")) * heat.width) / Math.max(256, size.width);
      to.strokeStyle = line.getAttribute("stroke");
      to.stroke(new Path2D(line.getAttribute("d")));
    }
    const blob = await new Promise(resolve => canvas.toBlob(resolve, "image/png"));
    return pictureOf(URL.createObjectURL(blob), `semantic-edit-${seen}.png`, word(seen));
  }

  slider.addEventListener("input", () => {
    setWidget(node, "threshold", Number(slider.value));
    follow();
  });
  onWidget(node, "threshold", follow);
  onWidget(node, "grow", follow);
  onWidget(node, "mask_mode", follow);
  onInputs(node, () => requestAnimationFrame(follow));
  offerPictures(stage, composed);

  return {
    element,
    masks, // tests read `masks`
    height: () => 320 + (pages.count > 1 ? 26 : 0),
    show(output) {
      heats = (output.heat ?? []).map(readHeat);
      given = (output.given ?? []).map(readHeat);
      pictures = output.picture ?? [];
      report = output.report?.[0] ?? {};
      used = output.used?.[0] ?? {};
      pages.set(heats.length);
      return heats.length > 0;
    },
  };
}

/** Opacity of a level of heat; low heat is more transparent. */
function shade(level) {
  return (0.2 + (0.7 * (level + 1)) / HEAT.length).toFixed(3);
}

function fill(canvas, path, colour, opacity) {
  canvas.globalAlpha = opacity;
  canvas.fillStyle = colour;
  canvas.fill(new Path2D(path));
}

/** An SVG path of the mask's outline. */
function outline(mask, width, height) {
  const parts = [];
  const at = (x, y) => x >= 0 && y >= 0 && x < width && y < height && mask[y * width + x] > 0;
  for (let y = 0; y <= height; y++) {
    for (let x = 0; x <= width; x++) {
      if (x < width && at(x, y) !== at(x, y - 1)) parts.push(`M${x} ${y}h1`);
      if (y < height && at(x, y) !== at(x - 1, y)) parts.push(`M${x} ${y}v1`);
    }
  }
  return parts.join("");
}
