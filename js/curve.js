// A line over the steps of a run, with its first and last value: DecoderFinetune's PSNR.
import { html, svg } from "./page.js";
import { word } from "./words.js";

const WIDTH = 240,
  HEIGHT = 64;

export function curve() {
  const line = svg("polyline", {
    fill: "none",
    stroke: "#4ea1ff",
    "stroke-width": "2",
    "stroke-linejoin": "round",
    "vector-effect": "non-scaling-stroke",
  });
  const plot = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" }, line);
  const from = html("span"),
    to = html("span");
  const element = html(
    "div",
    { class: "semantic-edit-curve" },
    plot,
    html("div", { class: "semantic-edit-names" }, from, to),
  );
  return {
    element,
    height: () => HEIGHT + 22,
    show(output) {
      const values = (output.report?.[0]?.curve ?? []).filter(Number.isFinite);
      if (values.length < 2) return false;
      const low = Math.min(...values),
        span = Math.max(...values) - low || 1;
      const x = index => ((index / (values.length - 1)) * WIDTH).toFixed(2);
      const y = value => (HEIGHT - 3 - ((value - low) / span) * (HEIGHT - 6)).toFixed(2);
      line.setAttribute("points", values.map((value, index) => `${x(index)},${y(value)}`).join(" "));
      from.textContent = word("psnr", values[0].toFixed(2));
      to.textContent = word("psnrAfter", values.at(-1).toFixed(2), output.report[0].passes ?? values.length);
      return true;
    },
  };
}
