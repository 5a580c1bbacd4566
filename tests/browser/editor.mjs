// Opens ComfyUI's editor in Chromium, loads every workflow, and prints one line of JSON with what it found.
// usage: node editor.mjs JOB, where JOB is {url, chromium, packages, pack, workflows: {name: editor form}, nodes: [ids], screenshots}
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const job = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const { chromium } = createRequire(join(job.packages, 'package.json'))('playwright-core');

const SETTINGS = {
  'Comfy.TutorialCompleted': true,
  'Comfy.VueNodes.Enabled': false, // the classic renderer
  'Comfy.Workflow.ShowMissingModelsWarning': false, // the checkpoint is not there, and its dialog would hide the graph
  'Comfy.Notification.ShowVersionUpdates': false,
};

const isLocal = address => address.href.startsWith(job.url) || ['data:', 'blob:'].includes(address.protocol);

async function openEditor(browser, errors) {
  const context = await browser.newContext({ viewport: { width: 1900, height: 1000 } });
  await context.route(address => !isLocal(address), route => route.abort());
  const page = await context.newPage();
  page.on('pageerror', error => errors.push({ text: error.message, from: error.stack ?? '', thrown: true }));
  page.on('console', message => {
    if (message.type() === 'error') errors.push({ text: message.text(), from: message.location().url ?? '', thrown: false });
  });
  for (const [key, value] of Object.entries(SETTINGS)) {
    await page.request.post(`${job.url}api/settings/${key}`, { data: JSON.stringify(value), headers: { 'Content-Type': 'application/json' } });
  }
  await page.goto(job.url, { waitUntil: 'domcontentloaded' });
  await page.waitForFunction(
    nodes => window.app?.extensionManager && window.app?.graph && nodes.every(node => window.LiteGraph?.registered_node_types?.[node]),
    job.nodes, { timeout: 40000 });
  return page;
}

async function load(page, name, workflow) {
  const found = await page.evaluate(async workflow => {
    await app.loadGraphData(workflow);
    await new Promise(resolve => setTimeout(resolve, 800)); // widgets in the DOM and pictures come in later frames
    const nodes = app.graph._nodes;
    return {
      api: (await app.graphToPrompt()).output,
      count: nodes.length,
      missing: nodes.filter(node => !LiteGraph.registered_node_types[node.type]).map(node => node.type),
      titles: nodes.map(node => node.title),
      groups: app.graph._groups.map(group => group.title),
      // where a node needs more room than the file gives it
      tight: nodes.filter(node => node.computeSize()[1] > node.size[1] + 1).map(node => node.title),
    };
  }, workflow);
  await page.screenshot({ path: join(job.screenshots, `${name}.png`) });
  return found;
}

const errors = [];
const browser = await chromium.launch({
  executablePath: job.chromium, headless: true,
  args: ['--no-sandbox', '--disable-dev-shm-usage', '--enable-unsafe-swiftshader', '--hide-scrollbars'],
});
try {
  const page = await openEditor(browser, errors);
  const workflows = {};
  for (const [name, workflow] of Object.entries(job.workflows)) workflows[name] = await load(page, name, workflow);
  console.log(JSON.stringify({ workflows, errors }));
} finally {
  await browser.close();
}
