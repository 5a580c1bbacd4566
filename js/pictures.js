// Actions on the pack's pictures, the same in both renderers: enlarge, and by a right click open, copy
// and save.
import { html } from "./page.js";
import { word } from "./words.js";

/** A picture: its URL, the file name for saving, and the caption of the enlarged picture. */
export function picture(url, name = "semantic-edit.png", caption = "") {
  return { url, name, caption };
}

/**
 * Show a menu of actions on a right click on `element`. `pick(event)` returns the picture, a promise of
 * one, or nothing.
 */
export function offerPictures(element, pick) {
  element.addEventListener("contextmenu", async event => {
    event.preventDefault();
    event.stopPropagation();
    const chosen = await pick(event);
    if (chosen) new window.LiteGraph.ContextMenu(entries(chosen), { event, title: chosen.caption || undefined });
  });
}

function entries(chosen) {
  const canCopy = Boolean(navigator.clipboard?.write && window.ClipboardItem); // not over http from elsewhere
  return [
    { content: word("enlarge"), callback: () => enlarge([chosen]) },
    { content: word("open"), callback: () => window.open(chosen.url, "_blank") },
    ...(canCopy ? [{ content: word("copy"), callback: () => copy(chosen) }] : []),
    { content: word("save"), callback: () => save(chosen) },
  ];
}

function copy({ url }) {
  const png = fetch(url).then(answer => answer.blob());
  return navigator.clipboard
    .write([new ClipboardItem({ "image/png": png })])
    .catch(error => console.warn("Semantic Edit: not copied", error));
}

function save({ url, name }) {
  html("a", { href: url, download: name }).click();
}

/**
 * Show pictures one at a time over the whole window, starting at `index`. Arrow keys change the picture;
 * Escape or a click beside the picture closes.
 */
export function enlarge(pictures, index = 0) {
  const image = html("img", { alt: "" }),
    caption = html("span");
  const button = (text, title, then) => {
    const made = html("button", { type: "button", title, "aria-label": title }, text);
    made.addEventListener("click", then);
    return made;
  };
  const turn = by => {
    index = (index + by + pictures.length) % pictures.length;
    image.src = pictures[index].url;
    caption.textContent = [pictures[index].caption, pictures.length > 1 ? word("of", index + 1, pictures.length) : ""]
      .filter(Boolean)
      .join("  \u00b7  ");
  };
  const turning =
    pictures.length > 1
      ? [button("\u2039", word("previous"), () => turn(-1)), caption, button("\u203a", word("next"), () => turn(1))]
      : [caption];
  const close = button("\u00d7", word("close"), () => dialog.close());
  const dialog = html("dialog", { class: "semantic-edit-large" }, close, image, html("div", {}, ...turning));
  close.className = "semantic-edit-close";
  dialog.addEventListener("click", event => {
    if (event.target === dialog) dialog.close();
  });
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("keydown", event => {
    event.stopPropagation(); // disables the editor's shortcuts
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by) turn(by);
  });
  offerPictures(image, () => pictures[index]);
  document.body.append(dialog);
  turn(0);
  dialog.showModal();
}
