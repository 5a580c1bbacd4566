// Align to Source, Edit Crop, Edit Stitch, and a mask connected to DiffEdit Mask, in the real editor: their views
// after a run, undo, an error, and the modes of combining masks.
// Usage: node places.mjs JOB, where JOB is {url, chromium, packages, screenshots, label, isVue, nodes: [ids]}
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { launch, openEditor } from './chromium.mjs';
import { goTo, lay, press, run, seenOf } from './hands.mjs';

const picture = name => ({ image: `semantic-edit-${name}.png` });
const ROWS = [
  ['Model', 'CheckpointLoaderSimple', { ckpt_name: 'semantic-edit-demo.safetensors' }, {}],
  ['Image', 'LoadImage', picture('dog'), {}],
  ['Painted', 'LoadImage', picture('hat'), {}],
  ['Encode', 'VAEEncode', {}, { pixels: 'Image.IMAGE', vae: 'Model.VAE' }],
  ['Source', 'CLIPTextEncode', { text: 'a dog on grass' }, { clip: 'Model.CLIP' }],
  ['Target', 'CLIPTextEncode', { text: 'a cat on grass' }, { clip: 'Model.CLIP' }],
  [
    'Mask',
    'DiffEditMask',
    { noises: 2 },
    {
      model: 'Model.MODEL',
      source: 'Source.CONDITIONING',
      target: 'Target.CONDITIONING',
      latent: 'Encode.LATENT',
      image: 'Image.IMAGE',
      mask: 'Painted.MASK',
    },
  ],
  ['Mask picture', 'MaskToImage', {}, { mask: 'Mask.mask' }],
  ['Seen mask', 'PreviewImage', {}, { images: 'Mask picture.IMAGE' }],
  ['Before', 'LoadImage', picture('trio'), {}],
  ['After', 'LoadImage', picture('trio_elsewhere'), {}],
  ['Align', 'AlignToSource', {}, { image: 'Before.IMAGE', edited: 'After.IMAGE' }],
  ['Large', 'LoadImage', picture('table_top'), {}],
  ['Crop', 'EditCrop', { size: 256, multiple: 8 }, { image: 'Large.IMAGE', mask: 'Large.MASK' }],
  ['Inverted', 'ImageInvert', {}, { image: 'Crop.image' }],
  ['Stitch', 'EditStitch', { feather: 4 }, { crop: 'Crop.crop', edited: 'Inverted.IMAGE' }],
  ['Report', 'PreviewAny', {}, { source: 'Align.report' }],
  ['Result', 'PreviewAny', {}, { source: 'Stitch.image' }],
];
const BARE = [1000, 640]; // a point of the window without a node
const TITLES = ['Mask', 'Align', 'Crop', 'Stitch'];

const job = JSON.parse(readFileSync(process.argv[2], 'utf8'));

async function shoot(page, name) {
  await page.screenshot({ path: join(job.screenshots, `places-${job.label}-${name}.png`) });
}

/** Runs in the page: set a widget of a node like a user's choice. */
function choose([title, name, value]) {
  const widget = app.graph.nodes.find(one => one.title === title).widgets.find(one => one.name === name);
  widget.value = value;
  widget.callback?.(value);
}

/** Runs in the page: the share of the picture that the mask covers, in the view and in the server's mask. */
async function shares() {
  const by = title => app.graph.nodes.find(one => one.title === title);
  const shown = [...by('Mask').semanticEditView.parts[0].masks()[0]];
  const [file] = app.nodeOutputs[String(by('Seen mask').id)].images;
  const made = await createImageBitmap(await (await fetch(`/view?${new URLSearchParams(file)}`)).blob());
  const context = new OffscreenCanvas(made.width, made.height).getContext('2d');
  context.drawImage(made, 0, 0);
  const { data } = context.getImageData(0, 0, made.width, made.height);
  const mean = values => values.reduce((sum, value) => sum + value, 0) / values.length;
  return {
    shown: mean(shown),
    made: mean(Array.from({ length: data.length / 4 }, (_, at) => data[4 * at] / 255)),
  };
}

/** Runs in the page: whether a node is marked as failed, and the message in its view. */
function failureOf(title) {
  const node = app.graph.nodes.find(one => one.title === title);
  const inPage = LiteGraph.vueNodesMode
    ? document.querySelector(`[data-node-id="${node.id}"] .semantic-edit-view`)
    : node.semanticEditView.element;
  const said = inPage.querySelector('.semantic-edit-failure');
  return {
    isMarked: String(app.lastExecutionError?.node_id) === String(node.id),
    told: said.checkVisibility() ? said.textContent : '',
    lightness: Math.max(...(getComputedStyle(said).color.match(/[\d.]+/g) ?? []).slice(0, 3).map(Number)),
    pictures: [...inPage.querySelectorAll('svg, img')].filter(one => one.checkVisibility()).length,
  };
}

const errors = [],
  found = { seen: {}, undone: {}, redone: {}, modes: {} };
const browser = await launch(job);
try {
  const page = await openEditor(browser, { ...job, viewport: { width: 1440, height: 900 } }, errors);
  const { workflow } = await page.evaluate(lay, ROWS);
  await page.evaluate(workflow => app.loadGraphData(workflow), workflow);
  await page.waitForTimeout(500);
  await page.evaluate(run);
  for (const title of TITLES) {
    await goTo(page, title);
    found.seen[title] = await seenOf(page, title);
    await shoot(page, title);
  }

  // modes of combining masks: the view is updated at once, and the next run makes the same mask ("only" is last: its
  // run does not evaluate the model, so that the view has no contrast for another mode)
  for (const mode of ['union', 'intersection', 'only']) {
    await goTo(page, 'Mask');
    await page.evaluate(choose, ['Mask', 'mask_mode', mode]);
    await page.waitForTimeout(300);
    const { text } = await seenOf(page, 'Mask'),
      { shown } = await page.evaluate(shares);
    await shoot(page, `mode-${mode}`);
    await page.evaluate(run);
    found.modes[mode] = { text, before: shown, after: await page.evaluate(shares) };
  }

  // undo and redo of a change of a widget: the views belong to the new nodes and keep their pictures
  await goTo(page, 'Align');
  await page.evaluate(choose, ['Align', 'grow', 9]);
  await page.evaluate(() => app.extensionManager.workflow.activeWorkflow.changeTracker.checkState?.());
  await page.waitForTimeout(500);
  const growOf = () =>
    page.evaluate(
      () => app.graph.nodes.find(one => one.title === 'Align').widgets.find(one => one.name === 'grow').value,
    );
  await press(page, 'Control+z', BARE);
  found.undone.grow = await growOf();
  await press(page, 'Control+y', BARE);
  found.redone.grow = await growOf();
  found.redone.Align = await seenOf(page, 'Align');
  // the rest is tested after a second undo: in the newest frontend drawing a stock Preview Image counts as a change,
  // after which there is nothing to redo
  await press(page, 'Control+z', BARE);
  for (const title of TITLES) {
    await goTo(page, title);
    found.undone[title] = await seenOf(page, title);
  }
  await goTo(page, 'Align');

  // an unrelated picture: refused with a message on the node
  await page.evaluate(choose, ['After', 'image', 'semantic-edit-dog.png']);
  await goTo(page, 'Align');
  const message = await page.evaluate(run, true);
  found.failed = { message, ...(await page.evaluate(failureOf, 'Align')) };
  await shoot(page, 'failed');
  await page.keyboard.press('Escape');
  await page.evaluate(choose, ['After', 'image', 'semantic-edit-trio_elsewhere.png']);
  found.mended = { message: await page.evaluate(run, true) };
  Object.assign(found.mended, await page.evaluate(failureOf, 'Align'));
  await goTo(page, 'Align');
  found.mended.seen = await seenOf(page, 'Align');
  await shoot(page, 'mended');
  found.frontend = await page.evaluate(() => window.__COMFYUI_FRONTEND_VERSION__);
  console.log(JSON.stringify({ ...found, errors }));
} finally {
  await browser.close();
}
