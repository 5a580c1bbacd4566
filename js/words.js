// The widgets' texts in the user's language, from locales/<language>/main.json on the server; English
// if there is none.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";

export const ENGLISH = {
  "before": "before",
  "after": "after",
  "previous": "previous",
  "next": "next",
  "of": "{0} of {1}",
  "threshold": "threshold",
  "covers": "mask covers {0}.",
  "empty": "A mask is empty: lower the threshold, or use normalisation min-max.",
  "mask": "mask",
  "picture": "image",
  "heat": "heat map",
  "least": "differs least",
  "most": "differs most",
  "give": "pick {0}: number {1} of the batch, seed {2}",
  "view": "result",
  "warning": "warning",
  "enlarge": "View large",
  "open": "Open image",
  "copy": "Copy image",
  "save": "Save image",
  "close": "close",
  "psnr": "PSNR {0} dB",
  "psnrAfter": "{0} dB after {1} passes"
};
let words = ENGLISH, reports = {}, comma = ", ";

export async function loadWords() {
  const language = app.extensionManager?.setting?.get?.("Comfy.Locale") ?? "en";
  if (language === "en") return;
  const answer = await api.fetchApi("/i18n");
  if (!answer.ok) return;
  const { semanticEdit, semanticEditReports = {} } = (await answer.json())[language] ?? {};
  if (!semanticEdit) return;
  words = { ...ENGLISH, ...semanticEdit };
  reports = semanticEditReports;
  comma = { ja: "\u3001", zh: "\uff0c" }[language] ?? comma;
}

/** A phrase with its placeholders {0}, {1} filled in. */
export function word(key, ...values) {
  return filled(words[key], values);
}

/**
 * Phrases of a node's report ({key, values, text}, or text alone) as one line, in the user's language or
 * else in the English of the report.
 */
export function sentence(phrases) {
  const said = one => (one.key in reports ? filled(reports[one.key], one.values) : one.text);
  return phrases.map(one => (typeof one === "string" ? one : said(one))).join(comma);
}

function filled(text, values) {
  return text.replace(/\{(\d)\}/g, (_, place) => values[place]);
}
