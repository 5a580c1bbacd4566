// Disables widgets that a connected input replaces, in both renderers: those of LatentBlendSampler if
// `sigmas` or `inversion` is connected. The lists are those of nodes/edits/blend_levels.py
// (REPLACED_BY), which the node's report names.
import { app } from "../../scripts/app.js";

const REPLACED = {
  LatentBlendSampler: {
    sigmas: ["steps", "scheduler", "denoise"],
    inversion: ["steps", "scheduler", "denoise", "seed", "background_noise"],
  },
};

/**
 * Disable the widgets that connected inputs replace, and enable the others again; widgets that were
 * disabled elsewhere are not changed.
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
      // loading, pasting and undoing restore links without onConnectionsChange
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
