// Runs a graph of the pack's nodes in the real editor and reads their views; prints one line of JSON.
// Usage: node widgets.mjs JOB, where JOB is {url, chromium, packages, screenshots, label, isVue, nodes: [ids]}
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { launch, openEditor, ready } from './chromium.mjs';
import { lay } from './hands.mjs';
import { rows, run } from './widgets_graph.mjs';

const job = JSON.parse(readFileSync(process.argv[2], 'utf8'));

/** Runs in the page: the content of the view of each of the pack's nodes. */
function look() {
  const seen = {};
  for (const node of app.canvas.graph.nodes) {
    const view = node.semanticEditView;
    if (!view) continue;
    const box = view.element.getBoundingClientRect(),
      pictures = [...view.element.querySelectorAll('img, image')].filter(one => one.checkVisibility());
    const href = one => one.getAttribute('src') ?? one.getAttribute('href');
    seen[node.title] = {
      text: view.text.textContent,
      box: [box.width, box.height].map(Math.round),
      pictures: pictures.filter(href).length,
      broken: pictures.filter(one => one.tagName === 'IMG' && href(one) && !one.naturalWidth).length,
      standard:
        (node.imgs ?? []).length && Boolean(node.widgets.find(widget => widget.name === '$$canvas-image-preview')),
      points: view.element.querySelector('polyline')?.getAttribute('points')?.split(' ').length,
      captions: [...view.element.querySelectorAll('figcaption')].map(one => one.textContent),
      values: node.widgets_values,
      saved: node.serialize().widgets_values?.length ?? 0,
      widgets: node.widgets.length,
    };
  }
  return seen;
}

/** Scroll and zoom so that a node fills the window, and take a screenshot. */
async function shoot(page, title) {
  const clip = await page.evaluate(async title => {
    const node = app.graph.nodes.find(one => one.title === title),
      scale = 1;
    app.canvas.ds.scale = scale;
    app.canvas.ds.offset = [120 - node.pos[0], 130 - node.pos[1]];
    app.canvas.setDirty(true, true);
    for (let frame = 0; frame < 6; frame++) await new Promise(requestAnimationFrame);
    await new Promise(resolve => setTimeout(resolve, 150));
    const box = document.querySelector(`[data-node-id="${node.id}"]`)?.getBoundingClientRect();
    const place = app.canvas.canvas.getBoundingClientRect();
    return box && box.width
      ? { x: box.x - 8, y: box.y - 8, width: box.width + 16, height: box.height + 16 }
      : { x: place.x + 112, y: place.y + 90, width: node.size[0] + 16, height: node.size[1] + 50 };
  }, title);
  await page.screenshot({ path: join(job.screenshots, `${job.label}-${title.replaceAll(' ', '_')}.png`), clip });
}

/** Bring all nodes into view. */
async function zoomOut(page) {
  await page.evaluate(async () => {
    app.canvas.ds.scale = 0.3;
    app.canvas.ds.offset = [100, 200];
    app.canvas.setDirty(true, true);
    for (let frame = 0; frame < 4; frame++) await new Promise(requestAnimationFrame);
  });
}

/** Open the subgraph and read its nodes' views. */
async function lookInside(page) {
  const isOpen = await page.evaluate(() => {
    const node = (app.rootGraph ?? app.graph).nodes.find(node => node.subgraph);
    if (!node) return false;
    if (app.canvas.openSubgraph) app.canvas.openSubgraph(node.subgraph, node);
    else app.canvas.setGraph(node.subgraph);
    return true;
  });
  if (!isOpen) return {};
  await page.waitForTimeout(800);
  // repeated for frontends that are still navigating (1.44, after a reload)
  await page.evaluate(() => {
    const inner = (app.rootGraph ?? app.graph).nodes.find(node => node.subgraph).subgraph;
    if (app.canvas.graph !== inner) app.canvas.setGraph(inner);
  });
  await page.waitForTimeout(500);
  await zoomOut(page);
  await page.waitForTimeout(300);
  return page.evaluate(look);
}

/** The rectangle of a part of a node on the screen. */
const boxOf = (page, title, selector) =>
  page.evaluate(
    ([title, selector]) => {
      const { x, y, width, height } = app.graph.nodes
        .find(one => one.title === title)
        .semanticEditView.element.querySelector(selector)
        .getBoundingClientRect();
      return { x, y, width, height };
    },
    [title, selector],
  );

/** The browser's mask compared with the server's, cell by cell. */
function masks() {
  const by = title => app.graph.nodes.find(one => one.title === title);
  const [file] = app.nodeOutputs[String(by('Seen mask').id)].images;
  const shown = [...by('Mask').semanticEditView.parts[0].masks()[0]];
  return fetch(`/view?${new URLSearchParams(file)}`)
    .then(answer => answer.blob())
    .then(createImageBitmap)
    .then(picture => {
      const canvas = new OffscreenCanvas(picture.width, picture.height),
        context = canvas.getContext('2d');
      context.drawImage(picture, 0, 0);
      const { data } = context.getImageData(0, 0, picture.width, picture.height),
        side = Math.sqrt(shown.length),
        cell = picture.width / side;
      let differ = 0;
      for (let y = 0; y < picture.height; y++) {
        for (let x = 0; x < picture.width; x++)
          differ +=
            data[4 * (y * picture.width + x)] > 127 !==
            (shown[Math.floor(y / cell) * side + Math.floor(x / cell)] === 1);
      }
      return { differ, pixels: picture.width * picture.height, covered: shown.reduce((a, b) => a + b) / shown.length };
    });
}

/** CLIPRank's pick after a click on the second picture. */
async function pick(page) {
  await shoot(page, 'Rank');
  const box = await boxOf(page, 'Rank', 'button:nth-of-type(2)');
  await page.mouse.click(box.x + box.width / 2, box.y + box.height / 2);
  await shoot(page, 'Rank');
  return page.evaluate(() => {
    const node = app.graph.nodes.find(one => one.title === 'Rank'),
      buttons = [...node.semanticEditView.element.querySelectorAll('button')];
    return {
      widget: node.widgets.find(widget => widget.name === 'pick').value,
      pressed: buttons.map(button => button.getAttribute('aria-pressed') === 'true'),
      scores: buttons.map(button => Number(button.textContent.split(' \u00b7 ')[1])),
    };
  });
}

const errors = [],
  found = {};
const browser = await launch(job);
try {
  // the window is high enough for a whole node
  const page = await openEditor(browser, { ...job, viewport: { width: 1100, height: 1050 } }, errors);
  const { workflow } = await page.evaluate(lay, rows({ steps: 4 }));
  await page.evaluate(workflow => app.loadGraphData(workflow), workflow);
  await page.waitForTimeout(500);
  found.before = await page.evaluate(async () => (await app.graphToPrompt()).output);
  await zoomOut(page); // the classic canvas shows only widgets in view
  found.first = await page.evaluate(run);
  await zoomOut(page);
  found.seen = await page.evaluate(look);
  found.after = await page.evaluate(async () => (await app.graphToPrompt()).output);
  found.masks = [await page.evaluate(masks)];
  for (const title of ['Invert', 'EDICT', 'EDICT edit', 'Flow', 'Shrink', 'Numbers', 'Decoder', 'Restore', 'Rank'])
    await shoot(page, title);

  // the line between before and after follows the pointer
  await shoot(page, 'Blend');
  const stage = await boxOf(page, 'Blend', 'svg');
  await page.mouse.move(stage.x + stage.width / 2, stage.y + stage.height / 2);
  await page.mouse.down();
  await page.mouse.move(stage.x + stage.width / 2 - 40, stage.y + stage.height / 2, { steps: 3 });
  await page.mouse.up();
  found.share = await page.evaluate(() =>
    Number(
      app.graph.nodes
        .find(one => one.title === 'Blend')
        .semanticEditView.element.querySelector('svg')
        .getAttribute('aria-valuenow'),
    ),
  );
  await shoot(page, 'Blend');

  found.pick = await pick(page);

  // the slider sets the threshold: the view's mask is updated, and the next run makes the same mask
  await shoot(page, 'Mask');
  const slider = await boxOf(page, 'Mask', 'input');
  await page.mouse.click(slider.x + slider.width * 0.28, slider.y + slider.height / 2);
  found.slid = await page.evaluate(() => {
    const node = app.graph.nodes.find(one => one.title === 'Mask'),
      view = node.semanticEditView;
    return {
      widget: node.widgets.find(widget => widget.name === 'threshold').value,
      label: view.element.querySelector('output').textContent,
      text: view.text.textContent,
    };
  });
  await shoot(page, 'Mask');
  await zoomOut(page);
  found.second = await page.evaluate(run);
  found.masks.push(await page.evaluate(masks));
  found.sent = await page.evaluate(
    async () =>
      Object.values((await app.graphToPrompt()).output).find(node => node.class_type === 'DiffEditMask').inputs
        .threshold,
  );

  // within a subgraph of two nodes: after a run, their views inside have the same content
  await page.evaluate(async () => {
    const inner = app.graph.nodes.filter(node => ['Mask', 'Blend'].includes(node.title));
    app.graph.convertToSubgraph(new Set(inner));
    await app.loadGraphData(app.graph.serialize());
  });
  await zoomOut(page);
  found.third = await page.evaluate(run);
  found.outside = await page.evaluate(look);
  found.inside = await lookInside(page);
  await page.screenshot({ path: join(job.screenshots, `${job.label}-subgraph.png`) });

  // a reloaded page restores the views from the server's history
  await page.evaluate(() => app.canvas.setGraph(app.rootGraph ?? app.graph));
  await page.waitForTimeout(1500);
  await page.reload({ waitUntil: 'domcontentloaded' });
  await ready(page, job.nodes);
  const texts = Object.values(found.outside).filter(view => view.text).length;
  await page
    .waitForFunction(
      texts => app.graph.nodes.filter(node => node.semanticEditView?.text.textContent).length >= texts,
      texts,
      { timeout: 60000 },
    )
    .then(
      () => page.waitForTimeout(700),
      () => {},
    ); // pictures load; `reloaded` has the views without any
  // the newest frontend reopens the subgraph
  await page.evaluate(() => app.canvas.setGraph(app.rootGraph ?? app.graph));
  await zoomOut(page);
  found.reloaded = await page.evaluate(look);
  found.reloadedInside = await lookInside(page);
  await page.screenshot({ path: join(job.screenshots, `${job.label}-reloaded.png`) });
  found.frontend = await page.evaluate(() => window.__COMFYUI_FRONTEND_VERSION__);
  console.log(JSON.stringify({ ...found, errors }));
} finally {
  await browser.close();
}
