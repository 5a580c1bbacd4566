// Previews on the box of a subgraph in the classic canvas (the blueprints' masks). Nodes 2.0 shows the previews
// that a subgraph exposes; in the classic canvas a box has only the widgets of its inputs, and the previews are
// drawn below them.
import { app } from "../../scripts/app.js";

const PREVIEW = "$$canvas-image-preview",
  MARGIN = 10,
  LEAST = 120; // minimum height of a picture, in units of the graph

/** The pictures of the inner nodes whose previews the box exposes. The frontend loads them when it draws the box. */
function pictures(box) {
  const nodes = box.subgraph?.nodes ?? [];
  if (!nodes.some(node => node.semanticEditView)) return [];
  const exposed = (box.properties?.previewExposures ?? []).filter(one => one.sourcePreviewName === PREVIEW);
  return exposed
    .flatMap(one => nodes.find(node => String(node.id) === String(one.sourceNodeId))?.imgs ?? [])
    .filter(picture => picture.complete && picture.naturalWidth);
}

/** The lower end of the box's slots and widgets. */
function contentEnd(box) {
  const slot = window.LiteGraph.NODE_SLOT_HEIGHT,
    slots = Math.max(box.inputs.filter(input => !input.widget).length, box.outputs.length) * slot;
  return Math.max(slots, ...(box.widgets ?? []).map(widget => (widget.y ?? 0) + (widget.computedHeight ?? slot)));
}

function draw(context) {
  if (this.flags.collapsed || this.widgets?.some(widget => widget.name === PREVIEW)) return; // drawn already
  const images = pictures(this);
  if (!images.length) return;
  const top = contentEnd(this) + MARGIN;
  if (this.size[1] < top + LEAST) this.setSize([this.size[0], top + LEAST + MARGIN]);
  const width = (this.size[0] - MARGIN) / images.length - MARGIN,
    height = this.size[1] - top - MARGIN;
  images.forEach((picture, place) => {
    const scale = Math.min(width / picture.naturalWidth, height / picture.naturalHeight),
      [w, h] = [scale * picture.naturalWidth, scale * picture.naturalHeight];
    const left = MARGIN + place * (width + MARGIN) + (width - w) / 2;
    context.drawImage(picture, left, top + (height - h) / 2, w, h);
  });
}

app.registerExtension({
  name: "semanticedit.boxes",

  nodeCreated(node) {
    if (!node.subgraph) return;
    const onDrawForeground = node.onDrawForeground;
    node.onDrawForeground = function (context) {
      onDrawForeground?.apply(this, arguments);
      draw.call(this, context);
    };
  },
});
