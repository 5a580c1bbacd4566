// Opens ComfyUI's editor in Chromium, loads every workflow, and prints one line of JSON with the results.
// Usage: node editor.mjs JOB, where JOB is {url, chromium, packages, pack, workflows: {name: editor
// form}, nodes: [ids], searched: {words: node}, screenshots, isVue}
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { launch, openEditor } from './chromium.mjs';

const job = JSON.parse(readFileSync(process.argv[2], 'utf8'));

/** Runs in the page: nodes that become larger than in the file when their views have content, and by how much. */
function grow({ nodes }) {
  const images = [{ filename: 'semantic-edit-dog.png', subfolder: '', type: 'input' }];
  for (const { id, type } of app.graph._nodes)
    if (type === 'SaveImage')
      app.api.dispatchCustomEvent('executed', { node: `${id}`, display_node: `${id}`, output: { images } });
  for (const { semanticEditView: view, flags } of app.graph._nodes) {
    if (!view || flags.collapsed) continue;
    for (const part of view.parts) part.element.hidden = false;
    view.say('Two lines of text, as most reports are after a run, whatever the node.');
  }
  return Object.fromEntries(
    nodes
      .map(saved => [app.graph.getNodeById(saved.id), saved.size[1]])
      .filter(([node, height]) => !node.flags.collapsed && node.size[1] > height + 1)
      .map(([node, height]) => [node.title, [height, Math.ceil(node.size[1])]]),
  );
}

/** Runs in the page: nodes that leave their group at the bottom, and by how much. */
async function outside() {
  await new Promise(resolve => setTimeout(resolve, 400)); // Nodes 2.0 lays out grown nodes in later frames
  const { scale, offset } = app.canvas.ds,
    top = app.canvas.canvas.getBoundingClientRect().top;
  const bottomOf = node => {
    const element = document.querySelector(`[data-node-id="${node.id}"]`);
    return element
      ? (element.getBoundingClientRect().bottom - top) / scale - offset[1]
      : node.pos[1] + (node.flags.collapsed ? 0 : node.size[1]);
  };
  return Object.fromEntries(
    app.graph._groups.flatMap(({ _bounding: [x, y, width, height] }) =>
      app.graph._nodes
        .filter(({ pos }) => pos[0] >= x && pos[0] < x + width && pos[1] >= y && pos[1] < y + height)
        .map(node => [node.title, Math.round(bottomOf(node) - y - height)])
        .filter(([, beyond]) => beyond > 0),
    ),
  );
}

async function load(page, name, workflow) {
  const found = await page.evaluate(async workflow => {
    await app.loadGraphData(workflow);
    await new Promise(resolve => setTimeout(resolve, 800)); // DOM widgets and pictures are drawn in later frames
    const nodes = app.graph._nodes;
    return {
      api: (await app.graphToPrompt()).output,
      count: nodes.length,
      missing: nodes.filter(node => !LiteGraph.registered_node_types[node.type]).map(node => node.type),
      titles: nodes.map(node => node.title),
      groups: app.graph._groups.map(group => group.title),
      // a node that needs a larger height than in the file
      tight: nodes.filter(node => node.computeSize()[1] > node.size[1] + 1).map(node => node.title),
    };
  }, workflow);
  await page.screenshot({ path: join(job.screenshots, `${name}${job.isVue ? '-nodes2' : ''}.png`) });
  return { ...found, grown: await page.evaluate(grow, workflow), outside: await page.evaluate(outside) };
}

const errors = [];
const browser = await launch(job);
try {
  const page = await openEditor(browser, job, errors);
  const workflows = {};
  for (const [name, workflow] of Object.entries(job.workflows)) workflows[name] = await load(page, name, workflow);
  const searched = await page.evaluate(words => {
    const { nodeSearchService } = document
      .querySelector('#vue-app')
      .__vue_app__.config.globalProperties.$pinia._s.get('nodeDef');
    return Object.fromEntries(words.map(one => [one, nodeSearchService.searchNode(one).map(node => node.name)]));
  }, Object.keys(job.searched));
  console.log(JSON.stringify({ workflows, searched, errors }));
} finally {
  await browser.close();
}
