// Small helpers for widgets made of plain HTML and SVG.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { word } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";

export function html(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** The URL of a picture in a node's output. */
export function address({ filename, subfolder = "", type = "temp" }) {
  return api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type })}${app.getRandParam?.() ?? ""}`);
}

/** Width and height of a picture; null if it no longer exists (the server's temp folder is emptied on exit). */
export async function sizeOf(url) {
  const picture = new Image();
  picture.src = url;
  try {
    await picture.decode();
  } catch {
    return null;
  }
  return { width: picture.naturalWidth, height: picture.naturalHeight };
}

/** Set a node's widget like an input of the user, so that the next run uses it. */
export function setWidget(node, name, value) {
  const widget = node.widgets?.find(one => one.name === name);
  if (!widget || widget.value === value) return;
  widget.value = value;
  widget.callback?.(value, app.canvas, node);
  node.setDirtyCanvas?.(true, true);
}

/** A widget's value; undefined if there is no such widget or its input is connected. */
export function ownValue(node, name) {
  const slot = node.inputs?.findIndex(input => input.name === name || input.widget?.name === name) ?? -1;
  const linked = slot >= 0 && (node.isInputConnected?.(slot) ?? false);
  return linked ? undefined : node.widgets?.find(widget => widget.name === name)?.value;
}

/** Call `then(value)` whenever a widget's value changes. */
export function onWidget(node, name, then) {
  const widget = node.widgets?.find(one => one.name === name);
  if (!widget) return;
  const callback = widget.callback;
  widget.callback = function (...values) {
    const result = callback?.apply(this, values);
    then(widget.value);
    return result;
  };
}

/** "< 2 of 5 >": selects one of several; hidden if there is only one. */
export function pager(onTurn) {
  const back = html("button", { type: "button", title: word("previous") }, "\u2039"),
    text = html("span"),
    on = html("button", { type: "button", title: word("next") }, "\u203a");
  const element = html("div", { class: "semantic-edit-pager" }, back, text, on);
  const state = {
    element,
    count: 0,
    index: 0,
    set(count) {
      state.count = count;
      turn(Math.min(state.index, Math.max(0, count - 1)));
    },
  };
  const turn = index => {
    state.index = index;
    text.textContent = word("of", index + 1, state.count);
    element.hidden = state.count < 2;
    onTurn(index);
  };
  back.addEventListener("click", () => turn((state.index + state.count - 1) % state.count));
  on.addEventListener("click", () => turn((state.index + 1) % state.count));
  return state;
}

/**
 * Let the pointer over `element` and the arrow keys set a value: `move(share)` gets 0 to 1 from left to
 * right of `area`.
 */
export function slideOver(element, area, move, value) {
  const share = event => {
    const box = area.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / (box.width || 1)));
  };
  element.addEventListener("pointerdown", event => {
    if (event.button !== 0) return;
    element.setPointerCapture(event.pointerId); // a drag continues outside the element
    element.focus?.({ preventScroll: true });
    event.preventDefault();
    move(share(event));
  });
  element.addEventListener("pointermove", event => move(share(event)));
  element.addEventListener("keydown", event => {
    const step = { ArrowLeft: -0.02, ArrowRight: 0.02, Home: -1, End: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    move(Math.min(1, Math.max(0, value() + step)));
  });
}

/** A row of buttons, one of which is pressed; `choose(name)` is called when another one is pressed. */
export function choice(names, choose) {
  const buttons = new Map(names.map(name => [name, html("button", { type: "button" }, word(name))]));
  const element = html("div", { class: "semantic-edit-choice", role: "group" }, ...buttons.values());
  const press = name => {
    for (const [one, button] of buttons) button.setAttribute("aria-pressed", String(one === name));
  };
  for (const [name, button] of buttons) {
    button.addEventListener("click", () => {
      press(name);
      choose(name);
    });
  }
  return {
    element,
    press,
    disable: (name, isDisabled) => {
      buttons.get(name).disabled = isDisabled;
    },
  };
}

/** Call `then()` whenever an input of a node is connected or disconnected. */
export function onInputs(node, then) {
  const before = node.onConnectionsChange;
  node.onConnectionsChange = function (kind) {
    const result = before?.apply(this, arguments);
    if (kind === window.LiteGraph.INPUT) then();
    return result;
  };
}
