// What a node of the pack shows below its widgets: a line of text and the parts made for it. One
// implementation for both renderers: an element that the classic canvas lays over the node by its minimum
// height and Nodes 2.0 lays out by CSS. Nothing of it is saved or sent.
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
    // Over the classic canvas the wheel zooms the canvas; in Nodes 2.0 it does so by itself.
    this.element.addEventListener(
      "wheel",
      event => {
        if (!window.LiteGraph?.vueNodesMode) app.canvas?.processMouseWheel?.(event);
      },
      { passive: true },
    );
    // The node's standard picture would stand below ours: off in Nodes 2.0 by its own switch, in the
    // classic canvas by not drawing it.
    if (parts.length) {
      this.element.classList.add("semantic-edit-pictures");
      node.hideOutputImages = true;
      node.onDrawBackground = () => {};
    }
  }

  /** The node's error in the place of what it showed before, until it shows something again or a run succeeds. */
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

  /** Fill the parts from what the node sent to the editor: its report, and under the pack's own key the rest. */
  show(output) {
    if (!output) return;
    this.recover();
    const own = { ...output.semantic_edit?.[0], report: output.report };
    this.tell(output.report?.[0] ?? {});
    for (const part of this.parts) part.element.hidden = !part.show(own);
    this.settle();
  }

  /**
   * A report: its phrases in the person's language, the warnings in a box of their own. A line of a node
   * at work has its text alone.
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

  /** A part found that its picture is gone (or is there after all). */
  empty(element, isEmpty) {
    element.hidden = isEmpty;
    this.fit();
  }

  /**
   * A preview of the running node. Ours is the only one: Nodes 2.0 would put its own below
   * (semantic_edit.css hides it), the classic canvas as well.
   */
  live(picture) {
    if (this.living.src) URL.revokeObjectURL(this.living.src);
    this.living.src = URL.createObjectURL(picture);
    this.living.hidden = false;
    this.element.classList.add("semantic-edit-running");
    this.fit();
  }

  /**
   * The run is over: our pictures take the preview's place; where there are none, the last preview
   * stays, as it does on stock samplers.
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

  /** The height that the texts leave to the parts, as the view is laid out now. */
  room() {
    const texts = [this.text, this.warning].filter(one => !one.hidden);
    return texts.reduce((room, one) => room - one.offsetHeight - GAP, this.element.clientHeight);
  }

  /** The height of a text of ours, `margin` narrower than the others and with `frame` around it. */
  lines(element, margin = 0, frame = 0, most = 5) {
    if (element.hidden) return 0;
    const width = Math.max(120, this.node.size[0] - 30 - margin);
    const length = [...element.textContent].reduce((sum, letter) => sum + (letter > "\u2e80" ? 11 : 5.7), 0);
    return Math.min(most, Math.ceil(length / width)) * LINE + frame;
  }

  /** Give the content its room in either renderer. */
  fit() {
    if (!this.widget) return; // still being made
    const height = this.height();
    this.element.hidden = height === 0;
    this.element.style.minHeight = `${height}px`;
    this.mount();
    if (!window.LiteGraph?.vueNodesMode) this.node.expandToFitContent?.();
    this.node.setDirtyCanvas?.(true, true);
  }

  /**
   * Nodes 2.0 keeps what it has drawn for a node's id. When the graph is made anew with the same ids
   * (undo, redo, another tab, a subgraph), it goes on showing the old node's element, which nobody fills
   * any more: ours takes its place.
   */
  mount() {
    const { node, element } = this;
    if (!window.LiteGraph?.vueNodesMode || element.isConnected || node.graph !== app.canvas?.graph) return;
    for (const stale of document.querySelectorAll(`[data-node-id="${CSS.escape(node.id)}"] .semantic-edit-view`))
      stale.replaceWith(element);
  }
}
