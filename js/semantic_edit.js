// The pack's extension of the editor: the views of each node.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { compare } from "./compare.js";
import { curve } from "./curve.js";
import { filmstrip } from "./filmstrip.js";
import { gallery } from "./gallery.js";
import { nodeById, nodesWithIds, recall, remember } from "./history.js";
import { threshold } from "./threshold.js";
import { View } from "./view.js";
import { loadWords } from "./words.js";

const PARTS = {
  DiffEditMask: [threshold],
  LatentBlendSampler: [compare],
  EDICTSampler: [compare],
  ExactSampler: [compare],
  FlowEdit: [compare],
  BackgroundRestore: [compare],
  AlignToSource: [compare],
  EditCrop: [filmstrip],
  EditStitch: [compare],
  DecoderFinetune: [compare, curve],
  DDIMInvert: [filmstrip],
  EDICTInvert: [filmstrip],
  ExactInvert: [filmstrip],
  EditFriendlyInvert: [filmstrip],
  ProgressiveMaskShrink: [filmstrip],
  CLIPRank: [gallery],
  EditMetrics: [],
};
/** Colours of sockets and links of the pack's types, distinct from each other and from ComfyUI's. */
const COLOURS = {
  INVERSION: "#12a594",
  EXACT_INVERSION: "#e5633a",
  EDICT_PAIR: "#c3d82c",
  CLIP_RANK_MODEL: "#b08968",
  EDIT_CROP: "#5b8def",
};
const views = new WeakMap(),
  FRAMES = [0, 50, 200, 600];
let running = null; // the view that shows a live preview

/**
 * The classic canvas has two lists of colours, which every palette clears; a palette's colours for these
 * types take precedence. Nodes 2.0 uses the style sheet.
 */
function colourSockets() {
  for (const list of [app.canvas?.default_connection_color_byType, window.LGraphCanvas?.link_type_colors]) {
    for (const [type, colour] of Object.entries(list ? COLOURS : {})) {
      let palettes = list[type];
      Object.defineProperty(list, type, {
        enumerable: true,
        configurable: true,
        get: () => palettes || colour,
        set: value => {
          palettes = value;
        },
      });
    }
  }
}

/** Mount the views of all nodes on the canvas, once the renderer has drawn them. */
function mountViews() {
  for (const wait of FRAMES)
    setTimeout(() => (app.canvas?.graph?.nodes ?? []).forEach(node => views.get(node)?.mount()), wait);
}

function stopLive() {
  running?.settle();
  running = null;
}

app.registerExtension({
  name: "semanticedit.views",

  async setup() {
    await loadWords().catch(error => console.warn("Semantic Edit: no translations", error));
    const style = new CSSStyleSheet(); // leaves the page's own elements unchanged
    await style.replace(await (await fetch(new URL("./semantic_edit.css", import.meta.url))).text());
    style.insertRule(
      `:root { ${Object.entries(COLOURS)
        .map(([type, colour]) => `--color-datatype-${type}: ${colour};`)
        .join(" ")} }`,
    );
    document.adoptedStyleSheets.push(style);
    colourSockets();
    app.canvas?.canvas?.addEventListener("litegraph:set-graph", mountViews);
    api.addEventListener("b_preview_with_metadata", ({ detail }) => {
      const view = views.get(nodeById(detail.displayNodeId));
      if (!view) return;
      if (running !== view) stopLive();
      running = view;
      view.live(detail.blob);
    });
    api.addEventListener("semantic-edit.text", ({ detail }) => views.get(nodeById(detail.node))?.tell(detail));
    for (const event of ["execution_success", "execution_error", "execution_interrupted"])
      api.addEventListener(event, stopLive);
    api.addEventListener("execution_error", ({ detail }) =>
      views.get(nodeById(detail.node_id))?.fail(detail.exception_message ?? ""),
    );
    api.addEventListener("execution_success", () => {
      for (const [, node] of nodesWithIds()) views.get(node)?.recover();
    });
  },

  nodeCreated(node) {
    const parts = PARTS[node.comfyClass];
    if (!parts) return;
    const view = new View(node, parts);
    views.set(node, view);
    const onExecuted = node.onExecuted;
    node.onExecuted = function (output) {
      onExecuted?.apply(this, arguments);
      if (running === view) stopLive();
      view.show(output);
      remember(node, output);
    };
    node.semanticEditView = view; // for tests and scripts
  },

  afterConfigureGraph() {
    mountViews();
    recall(
      node => views.has(node),
      (node, output) => views.get(node).show(output),
    ).catch(error => console.warn("Semantic Edit: no previews from the history", error));
  },
});
