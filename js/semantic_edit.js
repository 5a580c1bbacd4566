// The pack's extension of the editor: which node shows what.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { compare } from "./compare.js";
import { curve } from "./curve.js";
import { filmstrip } from "./filmstrip.js";
import { gallery } from "./gallery.js";
import { nodeById, recall } from "./history.js";
import { threshold } from "./threshold.js";
import { View } from "./view.js";
import { loadWords } from "./words.js";

const PARTS = {
  DiffEditMask: [threshold],
  LatentBlendSampler: [compare], EDICTSampler: [compare], ExactSampler: [compare], FlowEdit: [compare], BackgroundRestore: [compare],
  DecoderFinetune: [compare, curve],
  DDIMInvert: [filmstrip], EDICTInvert: [filmstrip], ExactInvert: [filmstrip], EditFriendlyInvert: [filmstrip], ProgressiveMaskShrink: [filmstrip],
  CLIPRank: [gallery],
  EditMetrics: [],
};
const views = new WeakMap();
let running = null; // the view that shows a live preview

function stopLive() {
  running?.settle();
  running = null;
}

app.registerExtension({
  name: "semanticedit.views",

  async setup() {
    await loadWords().catch(error => console.warn("Semantic Edit: no translations", error));
    const style = new CSSStyleSheet(); // nothing of ours in the page's own document
    await style.replace(await (await fetch(new URL("./semantic_edit.css", import.meta.url))).text());
    document.adoptedStyleSheets.push(style);
    api.addEventListener("b_preview_with_metadata", ({ detail }) => {
      const view = views.get(nodeById(detail.displayNodeId));
      if (!view) return;
      if (running !== view) stopLive();
      running = view;
      view.live(detail.blob);
    });
    api.addEventListener("semantic-edit.text", ({ detail }) => views.get(nodeById(detail.node))?.say(detail.text));
    for (const event of ["execution_success", "execution_error", "execution_interrupted"]) api.addEventListener(event, stopLive);
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
    };
    node.semanticEditView = view; // for tests and for people who script the editor
  },

  afterConfigureGraph() {
    recall(node => views.has(node), (node, output) => views.get(node).show(output)).catch(error => console.warn("Semantic Edit: no previews from the history", error));
  },
});
