// The widgets' words in the person's language, from locales/<language>/main.json as the server serves it; English where there is none.
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
  "give": "give number {0} as best",
  "psnr": "PSNR {0} dB",
  "psnrAfter": "{0} dB after {1} passes"
};
let words = ENGLISH;

export async function loadWords() {
  const language = app.extensionManager?.setting?.get?.("Comfy.Locale") ?? "en";
  if (language === "en") return;
  const answer = await api.fetchApi("/i18n");
  if (answer.ok) words = { ...ENGLISH, ...(await answer.json())[language]?.semanticEdit };
}

/** A phrase with its blanks {0}, {1} filled in. */
export function word(key, ...values) {
  return words[key].replace(/\{(\d)\}/g, (_, place) => values[place]);
}
