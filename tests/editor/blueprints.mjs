// Adds each subgraph blueprint to a graph through the editor's search, links it to the demo's model and
// picture, runs it, and prints one line of JSON with the results.
// Usage: node blueprints.mjs JOB, where JOB is {url, chromium, packages, screenshots, label, isVue,
// nodes: [ids], texts: {source, target, instruction}, names: [blueprints]}
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { launch, openEditor } from './chromium.mjs';

const job = JSON.parse(readFileSync(process.argv[2], 'utf8'));

/** Runs in the page: the node library's entries of the blueprints, once all are loaded. */
function list(names) {
  const stores = document.querySelector('#vue-app').__vue_app__.config.globalProperties.$pinia._s;
  const found = stores.get('nodeDef').visibleNodeDefs.filter(one => names.includes(one.display_name));
  return (
    found.length === names.length &&
    Object.fromEntries(
      found.map(one => [
        one.display_name,
        { category: one.category, description: one.description, isGlobal: one.isGlobal },
      ]),
    )
  );
}

/** Find a blueprint by its name in the search box that a double click on the canvas opens. */
async function add(page, name) {
  await page.evaluate(() => {
    document.activeElement?.blur();
    app.graph.clear();
  });
  const isOpen = () => page.evaluate(() => document.activeElement?.tagName === 'INPUT');
  for (let attempt = 0; attempt < 6 && !(await isOpen()); attempt++) {
    // the canvas handles events only some time after the page is loaded
    await page.mouse.dblclick(700, 400);
    await page.waitForTimeout(1500);
  }
  await page.keyboard.type(name.split(' (')[0]); // the search accepts at most 32 letters
  await page.waitForTimeout(1500); // the best match comes first
  await page.screenshot({ path: join(job.screenshots, `${job.label}-search.png`) });
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => app.graph.nodes.length === 1, null, { timeout: 60000 });
}

/** Runs in the page: link the box to the demo, set its widgets, and run. */
async function run({ texts, label }) {
  // number of white pixels in the lower part of a box on the canvas, whose own colours are dark
  const drawnOn = box => {
    const { scale, offset } = app.canvas.ds,
      half = box.size[1] / 2;
    const place = [box.pos[0] + offset[0], box.pos[1] + offset[1] + half, box.size[0], half].map(one => one * scale);
    const { data } = app.canvas.canvas.getContext('2d').getImageData(...place);
    return data.filter((value, at) => at % 4 === 0 && Math.min(value, data[at + 1], data[at + 2]) > 245).length;
  };
  const [box] = app.graph.nodes,
    knobs = Object.fromEntries(box.widgets.map(widget => [widget.name, widget.value]));
  const put = (type, widgets) => {
    const node = LiteGraph.createNode(type);
    app.graph.add(node);
    for (const [name, value] of Object.entries(widgets))
      node.widgets.find(widget => widget.name === name).value = value;
    return node;
  };
  const join = (origin, output, node, input) => {
    const slots = [
      origin.outputs.findIndex(one => one.name === output),
      node.inputs.findIndex(one => one.name === input),
    ];
    if (slots.includes(-1) || !origin.connect(slots[0], node, slots[1])) throw new Error(`${output} to ${input}`);
  };
  const model = put('CheckpointLoaderSimple', { ckpt_name: 'semantic-edit-demo.safetensors' }),
    isInstructed = box.title === 'Edit by instruction',
    picture = put('LoadImage', { image: `small-${isInstructed ? 'backpack' : 'dog'}.png` });
  const saved = put('SaveImage', { filename_prefix: label });
  for (const [output, input] of [
    ['MODEL', 'model'],
    ['CLIP', 'clip'],
    ['VAE', 'vae'],
  ])
    join(model, output, box, input);
  if (isInstructed) {
    const instructed = put('UNETLoader', { unet_name: 'semantic-edit-things-instruct.safetensors' });
    instructed.pos = [200, 660];
    join(instructed, 'MODEL', box, 'model');
  }
  join(picture, 'IMAGE', box, 'image');
  if (box.title.startsWith('Edit in a mask')) {
    const mask = put('SolidMask', { value: 1, width: 128, height: 128 }),
      cropped = put('MaskComposite', { operation: 'add', x: 0, y: 0 });
    const none = put('SolidMask', { value: 0, width: 128, height: 128 });
    mask.widgets[1].value = mask.widgets[2].value = 24;
    join(none, 'MASK', cropped, 'destination');
    join(mask, 'MASK', cropped, 'source');
    join(cropped, 'MASK', box, 'mask');
  }
  join(box, 'image', saved, 'images');
  const wanted = {
    'source text': texts.source,
    'target text': texts.target,
    text: texts.target,
    instruction: texts.instruction,
    steps: 12,
    seed: 7,
    cfg: 4,
    strength: 0.5,
    threshold: 0.4,
    noises: 4,
    predictions: 2,
    mixing: 0.9,
  };
  for (const widget of box.widgets) if (widget.name in wanted) widget.value = wanted[widget.name];
  box.pos = [700, 80];
  model.pos = [200, 80];
  picture.pos = [200, 260];
  saved.pos = [1200, 80];
  const sent = (await app.graphToPrompt()).output;
  const ended = new Promise((resolve, reject) => {
    app.api.addEventListener('execution_success', resolve, { once: true });
    app.api.addEventListener('execution_error', event => reject(new Error(event.detail.exception_message)), {
      once: true,
    });
    setTimeout(() => reject(new Error('no end after 60 s')), 60000);
  });
  ended.catch(() => {});
  let images = [];
  app.api.addEventListener('executed', event => {
    images = event.detail.output?.images?.filter(one => one.type === 'output').length
      ? event.detail.output.images
      : images;
  });
  await app.queuePrompt(0, 1);
  if (app.lastNodeErrors && Object.keys(app.lastNodeErrors).length) throw new Error(JSON.stringify(app.lastNodeErrors));
  await ended;
  await new Promise(resolve => setTimeout(resolve, 800)); // the mask's picture loads
  const areas = box.widgets
    .filter(widget => widget.type === 'customtext' || widget.options?.multiline)
    .map(widget => widget.name);
  // older frontends have no previews of inner nodes on a box
  const exposes = document
    .querySelector('#vue-app')
    .__vue_app__.config.globalProperties.$pinia._s.has('previewExposure');
  const shown = (box.serialize().properties.previewExposures ?? []).map(one => one.sourcePreviewName);
  return {
    areas,
    exposes,
    shown,
    drawn: LiteGraph.vueNodesMode
      ? document.querySelector(`[data-node-id="${box.id}"]`).querySelectorAll('img').length
      : drawnOn(box),
    knobs,
    inputs: box.inputs.map(one => one.name),
    outputs: box.outputs.map(one => one.name),
    sent,
    images,
  };
}

const errors = [];
const browser = await launch(job);
try {
  const page = await openEditor(browser, job, errors);
  const listed = await (await page.waitForFunction(list, job.names, { timeout: 90000 })).jsonValue(),
    runs = {};
  for (const name of Object.keys(listed)) {
    await add(page, name);
    runs[name] = await page.evaluate(run, { texts: job.texts, label: `blueprint-${job.label}` });
    await page.waitForTimeout(500);
    await page.screenshot({ path: join(job.screenshots, `${job.label}-${name}.png`) });
  }
  console.log(JSON.stringify({ listed, runs, errors, isVue: job.isVue }));
} finally {
  await browser.close();
}
