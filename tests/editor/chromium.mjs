// Opens ComfyUI's editor in Chromium, offline except for the server under test.
import { createRequire } from 'node:module';
import { join } from 'node:path';

const SETTINGS = {
  'Comfy.TutorialCompleted': true,
  'Comfy.Workflow.ShowMissingModelsWarning': false, // the dialog about the missing checkpoint would hide the graph
  'Comfy.Notification.ShowVersionUpdates': false,
  'Comfy.Minimap.Visible': false,
  'LiteGraph.Canvas.MaximumFps': 15, // frames are slow without a GPU
};

/** A browser for {chromium, packages}: the program, and the folder of playwright-core. */
export function launch(job) {
  const { chromium } = createRequire(join(job.packages, 'package.json'))('playwright-core');
  return chromium.launch({
    executablePath: job.chromium,
    headless: true,
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--enable-unsafe-swiftshader', '--hide-scrollbars'],
  });
}

/**
 * A page with the editor at `url`, once all `nodes` are registered; `isVue` selects Nodes 2.0, `locale`
 * another language. Errors in the page are added to `errors`.
 */
export async function openEditor(
  browser,
  { url, nodes, isVue = false, locale = 'en', viewport = { width: 1900, height: 1000 } },
  errors,
) {
  const isLocal = address => address.href.startsWith(url) || ['data:', 'blob:'].includes(address.protocol);
  const context = await browser.newContext({ viewport });
  await context.route(
    address => !isLocal(address),
    route => route.abort(),
  );
  const page = await context.newPage();
  page.on('pageerror', error => errors.push({ text: error.message, from: error.stack ?? '', thrown: true }));
  page.on('console', message => {
    if (message.type() === 'error')
      errors.push({ text: message.text(), from: message.location().url ?? '', thrown: false });
  });
  for (const [key, value] of Object.entries({ ...SETTINGS, 'Comfy.VueNodes.Enabled': isVue, 'Comfy.Locale': locale })) {
    await page.request.post(`${url}api/settings/${key}`, {
      data: JSON.stringify(value),
      headers: { 'Content-Type': 'application/json' },
    });
  }
  page.setDefaultTimeout(90000); // a busy machine responds late
  await page.goto(url, { waitUntil: 'domcontentloaded' });
  await ready(page, nodes);
  return page;
}

export async function ready(page, nodes) {
  await page.waitForFunction(
    nodes =>
      window.app?.extensionManager &&
      window.app?.graph &&
      nodes.every(node => window.LiteGraph?.registered_node_types?.[node]),
    nodes,
    { timeout: 180000 },
  );
}
