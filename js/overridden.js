// Widgets that do not count while an input is connected are shown disabled, in both renderers:
// LatentBlendSampler's, whose levels may come over a link.
// The same lists as nodes/edits/blend_levels.py (REPLACED_BY), which the node's report names.
import { app } from "../../scripts/app.js";

const REPLACED = {
  LatentBlendSampler: {
    sigmas: ["steps", "scheduler", "denoise"],
    inversion: ["steps", "scheduler", "denoise", "seed", "background_noise"],
  },
};

/**
 * Disable what the connected inputs replace, and free the rest; widgets that something else has
 * disabled stay as they are.
 */
function follow(node, replaced, ours) {
  const now = new Set();
  for (const [input, names] of Object.entries(replaced)) {
    const slot = node.inputs?.findIndex(one => one.name === input) ?? -1;
    if (slot >= 0 && node.isInputConnected(slot)) names.forEach(name => now.add(name));
  }
  for (const widget of node.widgets ?? []) {
    if (now.has(widget.name) && !widget.disabled) {
      widget.disabled = true;
      ours.add(widget.name);
    } else if (!now.has(widget.name) && ours.delete(widget.name)) {
      widget.disabled = false;
    }
  }
  node.setDirtyCanvas?.(true, true);
}

app.registerExtension({
  name: "semanticedit.overridden",

  nodeCreated(node) {
    const replaced = REPLACED[node.comfyClass];
    if (!replaced) return;
    const ours = new Set(),
      onConnectionsChange = node.onConnectionsChange,
      onConfigure = node.onConfigure;
    node.onConnectionsChange = function () {
      const result = onConnectionsChange?.apply(this, arguments);
      follow(this, replaced, ours);
      return result;
    };
    node.onConfigure = function () {
      // a loaded, pasted or undone node has its links without a change of them
      const result = onConfigure?.apply(this, arguments);
      follow(this, replaced, ours);
      return result;
    };
    node.semanticEditOverridden = () => follow(node, replaced, ours);
  },

  afterConfigureGraph() {
    for (const graph of [app.graph, ...(app.graph.subgraphs?.values() ?? [])]) {
      for (const node of graph.nodes ?? graph._nodes ?? []) node.semanticEditOverridden?.();
    }
  },
});
