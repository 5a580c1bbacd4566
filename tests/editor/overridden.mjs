// Widgets that a connected input replaces, in the editor; prints one line of JSON.
// Usage: node overridden.mjs JOB, where JOB is {url, chromium, packages, screenshots, label, isVue, nodes: [ids]}
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { launch, openEditor } from './chromium.mjs';

const job = JSON.parse(readFileSync(process.argv[2], 'utf8'));

/** Runs in the page: add a sampler, an inversion and a schedule, not linked yet. */
function build() {
  app.graph.clear();
  const places = { LatentBlendSampler: [500, 100], DDIMInvert: [60, 100], BasicScheduler: [60, 560] };
  for (const [type, place] of Object.entries(places)) {
    const node = LiteGraph.createNode(type);
    node.title = type;
    node.pos = place;
    app.graph.add(node);
  }
}

/**
 * Runs in the page: {off, visible}: the disabled widgets, by Nodes 2.0's controls or by the property that
 * the classic canvas reads.
 */
async function look() {
  await new Promise(resolve => setTimeout(resolve, 600));
  const node = app.canvas.graph.nodes.find(one => one.title === 'LatentBlendSampler');
  const element = document.querySelector(`[data-node-id="${node.id}"]`);
  if (!element) {
    node.updateComputedDisabled(); // as before drawing
    const names = list => list.map(widget => widget.name);
    return { off: names(node.widgets.filter(widget => widget.computedDisabled)), visible: names(node.widgets) };
  }
  const isOff = row => {
    const fields = row.querySelectorAll('input, textarea'); // a number's two buttons are also disabled at its limits
    const controls = [...(fields.length ? fields : row.querySelectorAll('button, [role="combobox"]'))];
    return controls.some(one => one.matches(':disabled, [aria-disabled="true"], [data-disabled]'));
  };
  const rowOf = widget =>
    [...element.querySelectorAll('.lg-node-widget')].find(
      row => row.innerText?.split('\n')[0].trim() === (widget.label ?? widget.name),
    );
  const visible = node.widgets.filter(rowOf);
  return {
    off: visible.filter(widget => isOff(rowOf(widget))).map(widget => widget.name),
    visible: visible.map(widget => widget.name),
  };
}

/** Runs in the page: connect or disconnect one of the sampler's inputs. */
function join_(input, type, output) {
  const by = title => app.canvas.graph.nodes.find(one => one.title === title);
  const node = by('LatentBlendSampler'),
    slot = node.inputs.findIndex(one => one.name === input);
  if (!type) return node.disconnectInput(slot);
  const origin = by(type);
  return origin.connect(
    origin.outputs.findIndex(one => one.name === output),
    node,
    slot,
  );
}

const errors = [],
  found = {};
const browser = await launch(job);
try {
  const page = await openEditor(browser, { ...job, viewport: { width: 1100, height: 1050 } }, errors);
  const joined = (...ends) => page.evaluate(`(${join_})(...${JSON.stringify(ends)})`);
  const step = async name => {
    found[name] = await page.evaluate(look);
    await page.screenshot({ path: join(job.screenshots, `overridden-${job.label}-${name}.png`) });
  };
  const values = () =>
    app.canvas.graph.nodes.find(one => one.title === 'LatentBlendSampler').serialize().widgets_values;
  await page.evaluate(build);
  found.values = [await page.evaluate(values)];
  await step('free');
  await joined('inversion', 'DDIMInvert', 'inversion');
  await step('inversion');
  await page.evaluate(() => app.loadGraphData(app.graph.serialize()));
  await step('loaded');
  await joined('inversion');
  await step('freed');
  await joined('sigmas', 'BasicScheduler', 'SIGMAS');
  await step('sigmas');
  await page.evaluate(async () => {
    app.graph.convertToSubgraph(new Set(app.graph.nodes));
    await app.loadGraphData(app.graph.serialize());
    const box = app.graph.nodes.find(node => node.subgraph);
    app.canvas.openSubgraph?.(box.subgraph, box) ?? app.canvas.setGraph(box.subgraph);
  });
  await page.waitForTimeout(1000);
  await step('subgraph');
  found.values.push(await page.evaluate(values));
  console.log(JSON.stringify({ ...found, errors }));
} finally {
  await browser.close();
}
