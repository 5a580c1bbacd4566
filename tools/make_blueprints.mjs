// Makes the subgraph blueprints in the real editor: creates and links nodes, converts them to a
// subgraph, and serialises it as the editor's "publish subgraph" does.
// Usage: node tools/make_blueprints.mjs JOB, where JOB is {url, chromium, packages, nodes: [ids],
// folder}; writes FOLDER/<name>.json
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { launch, openEditor, ready } from '../tests/editor/chromium.mjs';
import { BLUEPRINTS } from './blueprints.mjs';

/** Runs in the page: one blueprint, in the form of the editor's "publish subgraph". */
function make([name, { category, description, aliases, size, nodes, inputs, outputs }]) {
  app.graph.clear();
  const made = {};
  const end = where => {
    const dot = where.lastIndexOf('.'),
      node = made[where.slice(0, dot)];
    return [node, where.slice(dot + 1)];
  };
  const slotOf = (slots, slot, where) => {
    const index = slots.findIndex(one => one.name === slot);
    if (index < 0) throw new Error(`${name}: no slot ${where}`);
    return index;
  };
  for (const [title, type, widgets, links, place] of nodes) {
    const node = (made[title] = LiteGraph.createNode(type));
    node.title = title;
    node.pos = place;
    app.graph.add(node);
    node.setSize([340, node.computeSize()[1]]);
    for (const [key, value] of Object.entries({ control_after_generate: 'fixed', ...widgets })) {
      const widget = node.widgets?.find(widget => widget.name === key);
      if (widget) widget.value = value;
    }
    for (const [input, from] of Object.entries(links)) {
      const [origin, output] = end(from);
      origin.connect(slotOf(origin.outputs, output, from), node, slotOf(node.inputs, input, `${title}.${input}`));
    }
  }
  const { subgraph, node } = app.graph.convertToSubgraph(new Set(Object.values(made)));
  for (const input of [...subgraph.inputs]) subgraph.removeInput(input); // the editor's own choice of widgets
  for (const inner of subgraph.nodes) made[inner.title] = inner;
  for (const [label, type, ...ends] of inputs) {
    const input = subgraph.addInput(label, type);
    for (const where of ends) {
      const [inner, slot] = end(where);
      if (!input.connect(inner.inputs[slotOf(inner.inputs, slot, where)], inner))
        throw new Error(`${name}: ${label} to ${where}`);
    }
  }
  for (const [label, type, where] of outputs) {
    const [inner, slot] = end(where);
    if (!subgraph.addOutput(label, type).connect(inner.outputs[slotOf(inner.outputs, slot, where)], inner))
      throw new Error(`${name}: ${label} from ${where}`);
  }
  subgraph.inputNode.pos = [Math.min(...nodes.map(row => row[4][0])) - 220, 0];
  subgraph.outputNode.pos = [Math.max(...nodes.map(row => row[4][0])) + 400, 0];
  for (const side of [subgraph.inputNode, subgraph.outputNode]) side.arrange();
  subgraph.name = node.title = name;
  Object.assign(subgraph, { category, description });
  node.pos = [0, 0];
  node.setSize([Math.max(size[0], node.computeSize()[0]), Math.max(size[1], node.computeSize()[1])]);
  const {
    nodes: [saved],
    subgraphs: [definition],
  } = app.canvas._serializeItems([node]);
  return {
    revision: 0,
    last_node_id: saved.id,
    last_link_id: 0,
    nodes: [saved],
    links: [],
    version: 0.4,
    definitions: { subgraphs: [{ ...definition, category, description }] },
    extra: { BlueprintDescription: description, BlueprintSearchAliases: aliases },
  };
}

const job = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const browser = await launch(job);
try {
  const page = await openEditor(browser, job, []);
  const written = [];
  for (const blueprint of Object.entries(BLUEPRINTS)) {
    // the editor caches widget values by node id, and ids start again
    await page.reload({ waitUntil: 'domcontentloaded' });
    await ready(page, job.nodes);
    const file = join(job.folder, `${blueprint[0]}.json`);
    writeFileSync(file, `${JSON.stringify(await page.evaluate(make, blueprint), null, 2)}\n`);
    written.push(file);
  }
  console.log(JSON.stringify({ written }));
} finally {
  await browser.close();
}
