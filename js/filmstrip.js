// Pictures in rows with a word under each: an inversion's way from the picture to the noise, a
// shrinking mask's stages. A click enlarges. A batch begins a new row with each of its items.
import { address, html, sizeOf } from "./page.js";
import { enlarge, offerPictures, picture } from "./pictures.js";
import { word } from "./words.js";

const COLUMNS = 4,
  CAPTION = 14,
  GAP = 4,
  MARGINS = 34;

export function filmstrip(view) {
  const element = html("div", { class: "semantic-edit-filmstrip" });
  let rows = 2,
    columns = COLUMNS,
    ratio = 1; // ratio: height of a picture by its width

  const cell = () => (Math.max(160, view.node.size[0]) - MARGINS - GAP * (columns - 1)) / columns;

  return {
    element,
    height: () => Math.min(3, rows) * (Math.min(2, ratio) * cell() + CAPTION + GAP),
    show(output) {
      const files = output.images ?? [],
        captions = output.captions ?? stages(output.report?.[0]),
        each = captions.length || files.length || 1;
      const pictures = files.map((file, index) =>
        picture(address(file), file.filename, captions[index % each] ?? String(index + 1)),
      );
      columns = Math.min(COLUMNS, each);
      rows = Math.ceil(each / columns) * Math.ceil(files.length / each);
      element.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
      element.replaceChildren(
        ...pictures.map((one, index) => figure(one, index % each === 0, () => enlarge(pictures, index))),
      );
      if (files.length) measure(pictures[0].url);
      return files.length > 0;
    },
  };

  async function measure(url) {
    const size = await sizeOf(url);
    view.empty(element, !size);
    if (!size) return;
    ratio = size.height / size.width;
    element.style.setProperty("--shape", Math.max(0.5, 1 / ratio));
    view.fit();
  }
}

function figure(one, isFirst, enlarged) {
  const image = html("img", { src: one.url, draggable: "false", alt: one.caption });
  const element = html(
    "figure",
    { title: word("enlarge"), ...(isFirst ? { style: "grid-column-start: 1" } : {}) },
    image,
    html("figcaption", {}, one.caption),
  );
  image.addEventListener("click", enlarged);
  offerPictures(image, () => one);
  return element;
}

/** ProgressiveMaskShrink's stages: the kernel that dilates, and how much of the picture it lets change. */
function stages({ kernels, coverage = [] } = {}) {
  if (!kernels) return [];
  return [...kernels.map(kernel => `${kernel} \u00d7 ${kernel}`), word("mask")].map(
    (name, stage) => `${name}: ${(100 * (coverage[stage] ?? 0)).toFixed(1)} %`,
  );
}
