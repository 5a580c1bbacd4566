// The view of a node of the pack below its widgets: a line of text and the node's parts. One
// implementation for both renderers: an element that the classic canvas places over the node by its
// minimum height and Nodes 2.0 lays out by CSS. It is neither saved with the workflow nor sent.
import { app } from "../../scripts/app.js";
import { html } from "./page.js";
import { sentence, word } from "./words.js";

const MARGIN = 10,
  LINE = 15,
  GAP = 6;

export class View {
  constructor(node, parts) {
    this.node = node;
    this.text = html("div", { class: "semantic-edit-text", role: "status" });
    this.warning = html("div", { class: "semantic-edit-text semantic-edit-warning", role: "alert" });
    this.warning.hidden = true;
    this.failure = html("div", {
      class: "semantic-edit-text semantic-edit-warning semantic-edit-failure",
      role: "alert",
    });
    this.living = html("img", { class: "semantic-edit-living", alt: "", draggable: "false" });
    this.living.hidden = true;
    this.element = html("div", { class: "semantic-edit-view" }, this.living, this.text, this.warning, this.failure);
    this.parts = parts.map(make => make(this));
    for (const part of this.parts) {
      part.element.hidden = true;
      this.element.insertBefore(part.element, this.text);
    }
    this.element.hidden = true;
    this.widget = node.addDOMWidget("result", "SEMANTIC_EDIT_VIEW", this.element, {
      serialize: false,
      hideOnZoom: false,
      getValue: () => undefined,
      setValue: () => {},
      getMinHeight: () => this.height() && this.height() + 2 * MARGIN,
      getMaxHeight: () => (this.hasPicture() ? undefined : this.height() && this.height() + 2 * MARGIN),
    });
    this.widget.serialize = false;
    this.widget.label = word("view"); // menus name the widget by it
    // The wheel zooms the classic canvas; Nodes 2.0 handles it without help.
    this.element.addEventListener(
      "wheel",
      event => {
        if (!window.LiteGraph?.vueNodesMode) app.canvas?.processMouseWheel?.(event);
      },
      { passive: true },
    );
    // Hides the node's standard picture below the view: in Nodes 2.0 by its own switch, in the classic
    // canvas by not drawing it.
    if (parts.length) {
      this.element.classList.add("semantic-edit-pictures");
      node.hideOutputImages = true;
      node.onDrawBackground = () => {};
    }
  }

  /** Show the node's error in place of its outputs, until it has new outputs or a run succeeds. */
  fail(message) {
    this.failure.replaceChildren(html("b", { "aria-hidden": "true" }, "\u2716"), html("span", {}, message.trim()));
    this.element.classList.add("semantic-edit-failed");
    this.fit();
  }

  recover() {
    if (!this.hasFailed()) return;
    this.element.classList.remove("semantic-edit-failed");
    this.fit();
  }

  hasFailed() {
    return this.element.classList.contains("semantic-edit-failed");
  }

  /** Fill the parts from the node's output: its report, and everything else under the pack's key. */
  show(output) {
    if (!output) return;
    this.recover();
    const own = { ...output.semantic_edit?.[0], report: output.report };
    this.tell(output.report?.[0] ?? {});
    for (const part of this.parts) part.element.hidden = !part.show(own);
    this.settle();
  }

  /**
   * Show a report: its phrases in the user's language, and the warnings in a separate box. Progress texts
   * of a running node have only `text`.
   */
  tell({ text = "", says, warnings = [] }) {
    this.say(says ? sentence(says) : text, sentence(warnings));
  }

  say(text, warning = "") {
    this.text.textContent = text;
    this.text.hidden = !text;
    this.warning.replaceChildren(html("b", { "aria-label": word("warning") }, "\u26a0"), html("span", {}, warning));
    this.warning.hidden = !warning;
    this.fit();
  }

  /** Hide a part whose picture no longer exists, or show it again. */
  empty(element, isEmpty) {
    element.hidden = isEmpty;
    this.fit();
  }

  /**
   * Show a preview of the running node. The renderers' own previews below it are hidden (in Nodes 2.0 by
   * semantic_edit.css).
   */
  live(picture) {
    if (this.living.src) URL.revokeObjectURL(this.living.src);
    this.living.src = URL.createObjectURL(picture);
    this.living.hidden = false;
    this.element.classList.add("semantic-edit-running");
    this.fit();
  }

  /**
   * End of a run: the outputs replace the preview. Without outputs the last preview remains, as on stock
   * samplers.
   */
  settle() {
    this.element.classList.remove("semantic-edit-running");
    if (this.parts.some(part => !part.element.hidden)) {
      if (this.living.src) URL.revokeObjectURL(this.living.src);
      this.living.removeAttribute("src");
      this.living.hidden = true;
    }
    this.fit();
  }

  hasPicture() {
    return !this.hasFailed() && (!this.living.hidden || this.parts.some(part => !part.element.hidden));
  }

  height() {
    if (this.hasFailed()) return this.lines(this.failure, 26, 10, 12);
    const isRunning = this.element.classList.contains("semantic-edit-running");
    const parts = isRunning ? [] : this.parts.filter(part => !part.element.hidden);
    const living = this.living.hidden ? 0 : Math.max(...this.parts.map(part => part.height()));
    return parts.reduce(
      (sum, part) => sum + part.height() + GAP,
      this.lines(this.text) + this.lines(this.warning, 26, 10) + living,
    );
  }

  /** The height that is left for the parts besides the texts, in the current layout. */
  room() {
    const texts = [this.text, this.warning].filter(one => !one.hidden);
    return texts.reduce((room, one) => room - one.offsetHeight - GAP, this.element.clientHeight);
  }

  /** The height of a text, `margin` narrower than the view and with `frame` added for its box. */
  lines(element, margin = 0, frame = 0, most = 5) {
    if (element.hidden) return 0;
    const width = Math.max(120, this.node.size[0] - 30 - margin);
    const length = [...element.textContent].reduce((sum, letter) => sum + (letter > "\u2e80" ? 11 : 5.7), 0);
    return Math.min(most, Math.ceil(length / width)) * LINE + frame;
  }

  /** Set the height of the content in either renderer. */
  fit() {
    if (!this.widget) return; // called by the constructor
    const height = this.height();
    this.element.hidden = height === 0;
    this.element.style.minHeight = `${height}px`;
    this.mount();
    if (!window.LiteGraph?.vueNodesMode) this.node.expandToFitContent?.();
    this.node.setDirtyCanvas?.(true, true);
  }

  /**
   * Nodes 2.0 caches the elements that it has drawn by node id. When the graph is recreated with the same
   * ids (undo, redo, another tab, a subgraph), it shows the old node's element, which is no longer
   * updated; replace it by this view's element.
   */
  mount() {
    const { node, element } = this;
    if (!window.LiteGraph?.vueNodesMode || element.isConnected || node.graph !== app.canvas?.graph) return;
    for (const stale of document.querySelectorAll(`[data-node-id="${CSS.escape(node.id)}"] .semantic-edit-view`))
      stale.replaceWith(element);
  }
}
