// Pictures in rows with captions: the steps of an inversion from the picture to the noise, or the
// stages of a shrinking mask. A click enlarges. Each item of a batch begins a new row.
import { address, html, sizeOf } from "./page.js";
import { enlarge, offerPictures, picture } from "./pictures.js";
import { word } from "./words.js";

const COLUMNS = 4,
  CAPTION = 14,
  GAP = 4,
  MARGINS = 34,
  MOST = 320; // largest minimum height, in pixels; higher nodes show more

export function filmstrip(view) {
  const element = html("div", { class: "semantic-edit-filmstrip" });
  let each = COLUMNS, // pictures of an item
    items = 1,
    ratio = 1; // height of a picture divided by its width

  const most = () => Math.min(COLUMNS, each);
  const rows = columns => Math.ceil(each / columns) * items;

  /** The height of a row; `width` is that of the strip. */
  function rowHeight(columns, width) {
    return (Math.min(2, ratio) * (width - GAP * (columns - 1))) / columns + CAPTION + GAP;
  }

  /** Use as few columns as fit the view's height, so that the pictures are as large as possible. */
  function arrange() {
    const { clientWidth: width } = element;
    if (!width) return;
    const room = view.room();
    let columns = 1;
    while (columns < most() && rows(columns) * rowHeight(columns, width) > room) columns++;
    element.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
    element.style.maxHeight = `${Math.ceil(rows(columns) * rowHeight(columns, width))}px`; // the text is directly below
    element.style.setProperty("--most", rows(columns) === 1 ? `${Math.max(60, room - CAPTION - GAP)}px` : "none");
  }

  new ResizeObserver(arrange).observe(view.element);

  return {
    element,
    height() {
      const width = Math.max(160, view.node.size[0]) - MARGINS;
      return Math.min(MOST, Math.min(3, rows(most())) * rowHeight(most(), width));
    },
    show(output) {
      const files = output.images ?? [],
        captions = output.captions ?? stages(output.report?.[0]);
      each = captions.length || files.length || 1;
      items = Math.ceil(files.length / each);
      const pictures = files.map((file, index) =>
        picture(address(file), file.filename, captions[index % each] ?? String(index + 1)),
      );
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
    arrange();
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

/** Captions of ProgressiveMaskShrink's stages: the dilating kernel, and the share of the picture that may change. */
function stages({ kernels, coverage = [] } = {}) {
  if (!kernels) return [];
  return [...kernels.map(kernel => `${kernel} \u00d7 ${kernel}`), word("mask")].map(
    (name, stage) => `${name}: ${(100 * (coverage[stage] ?? 0)).toFixed(1)} %`,
  );
}
