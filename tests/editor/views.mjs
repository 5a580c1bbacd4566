// Use of the nodes' views in the real editor: undo and redo, a linked threshold, the modes of the
// overlay, right clicks, large pictures, warnings.
// Usage: node views.mjs JOB, where JOB is {url, chromium, packages, screenshots, label, isVue, locale, nodes: [ids]}
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { launch, openEditor } from './chromium.mjs';
import { boxOf, goTo, lay, middleOf, press, run, seenOf } from './hands.mjs';
import { ROWS } from './views_graph.mjs';

const job = JSON.parse(readFileSync(process.argv[2], 'utf8'));

async function shoot(page, name) {
  await page.screenshot({ path: join(job.screenshots, `views-${job.label}-${name}.png`) });
}

async function drag(page, title, share) {
  const box = await boxOf(page, title, 'input');
  await page.mouse.click(...middleOf(box, share));
  await page.waitForTimeout(200);
  return seenOf(page, title);
}

/** The entries of the menu that a right click opens. */
async function menuAt(page, x, y) {
  await page.mouse.click(x, y, { button: 'right' });
  await page.waitForSelector('.litecontextmenu .litemenu-entry', { timeout: 8000 }).catch(() => null);
  await page.waitForTimeout(200);
  const entries = await page.evaluate(() =>
    [...document.querySelectorAll('.litecontextmenu')]
      .flatMap(menu => [...menu.querySelectorAll('.litemenu-title, .litemenu-entry')])
      .map(one => one.textContent.trim()),
  );
  return entries;
}

async function pickEntry(page, text) {
  await page.locator('.litecontextmenu .litemenu-entry', { hasText: text }).first().click();
}

const errors = [],
  found = {};
const browser = await launch(job);
try {
  const page = await openEditor(browser, { ...job, viewport: job.viewport ?? { width: 1440, height: 900 } }, errors);
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  const { workflow, controls } = await page.evaluate(lay, ROWS);
  found.controls = controls;
  await page.evaluate(workflow => app.loadGraphData(workflow), workflow);
  await page.waitForTimeout(500);
  await goTo(page, 'Mask', 0.4);
  await page.evaluate(run);
  found.colours = await page.evaluate(() =>
    Object.fromEntries(
      ['INVERSION', 'EXACT_INVERSION', 'EDICT_PAIR', 'CLIP_RANK_MODEL'].map(type => [
        type,
        [
          app.canvas.default_connection_color_byType[type],
          LGraphCanvas.link_type_colors[type],
          getComputedStyle(document.documentElement).getPropertyValue(`--color-datatype-${type}`),
        ],
      ]),
    ),
  );
  await shoot(page, 'all');
  found.widget = await page.evaluate(() => {
    const { widget } = app.graph.nodes.find(one => one.title === 'Mask').semanticEditView;
    return widget.label ?? widget.name;
  });
  found.seen = {};
  for (const title of ['Mask', 'Same', 'Invert', 'Exact', 'EDICT edit', 'Blend', 'Blend along', 'Rank']) {
    await goTo(page, title);
    found.seen[title] = await seenOf(page, title);
    await shoot(page, title.replaceAll(' ', '_'));
  }
  if (job.only === 'look') throw new Error('looked');

  // the overlay's modes
  await goTo(page, 'Mask');
  found.modes = {};
  for (const [place, mode] of ['picture', 'heat', 'mask'].entries()) {
    await page.mouse.click(
      ...middleOf(await boxOf(page, 'Mask', `.semantic-edit-choice button:nth-child(${place + 1})`)),
    );
    await page.waitForTimeout(200);
    found.modes[mode] = await page.evaluate(() => {
      const { element } = app.graph.nodes.find(one => one.title === 'Mask').semanticEditView,
        stage = element.querySelector('svg');
      return {
        heat: stage.querySelectorAll('g path[fill="#fcffa4"]').length,
        legend: element.querySelector('.semantic-edit-legend').checkVisibility(),
        isGrey: Boolean(stage.querySelector('image').getAttribute('filter')),
        dark: Boolean(stage.querySelector('path[fill="#000"]').getAttribute('d')),
        pressed: [...element.querySelectorAll('.semantic-edit-choice button')].filter(
          one => one.getAttribute('aria-pressed') === 'true',
        ).length,
      };
    });
    await shoot(page, `mode-${mode}`);
  }

  // compare: the line follows the pointer without a button
  await goTo(page, 'Blend');
  const stage = await boxOf(page, 'Blend', 'svg');
  const shareOf = () =>
    page.evaluate(() =>
      Number(
        app.graph.nodes
          .find(one => one.title === 'Blend')
          .semanticEditView.element.querySelector('svg')
          .getAttribute('aria-valuenow'),
      ),
    );
  await page.mouse.move(...middleOf(stage), { steps: 2 });
  await page.mouse.move(stage.x + stage.width / 2 - 50, stage.y + stage.height / 2, { steps: 3 });
  found.share = await shareOf();
  found.handle = await boxOf(page, 'Blend', '.semantic-edit-handle circle');
  await shoot(page, 'compare');

  // right clicks: before on the left of the line, after on its right; the mask's view; a picture of the
  // film strip; a ranked picture
  found.menus = { after: await menuAt(page, stage.x + stage.width / 2 - 50 + 3, stage.y + stage.height / 2) };
  await shoot(page, 'menu');
  const saving = page.waitForEvent('download');
  await pickEntry(page, job.words?.save ?? 'Save image');
  found.saved = (await saving).suggestedFilename();
  await menuAt(page, ...middleOf(stage));
  await pickEntry(page, job.words?.copy ?? 'Copy image');
  await page.waitForTimeout(800);
  found.copied = await page
    .evaluate(async () => (await navigator.clipboard.read())[0].types)
    .catch(error => String(error));
  await goTo(page, 'Mask');
  found.menus.mask = await menuAt(page, ...middleOf(await boxOf(page, 'Mask', 'svg')));
  const savingMask = page.waitForEvent('download');
  await pickEntry(page, job.words?.save ?? 'Save image');
  const download = await savingMask;
  found.savedMask = download.suggestedFilename();
  await download.saveAs(join(job.screenshots, `views-${job.label}-saved-mask.png`));
  await goTo(page, 'Rank');
  found.menus.rank = await menuAt(page, ...middleOf(await boxOf(page, 'Rank', 'button img')));
  await page.keyboard.press('Escape');
  await page.mouse.click(300, 70);
  await goTo(page, 'Invert');
  await page.mouse.click(...middleOf(await boxOf(page, 'Invert', 'figure:nth-child(2) img')));
  await page.waitForTimeout(500);
  const large = () =>
    page.evaluate(() => {
      const dialog = document.querySelector('dialog.semantic-edit-large');
      return (
        dialog && {
          text: dialog.querySelector('span').textContent,
          width: dialog.querySelector('img').naturalWidth,
          box: dialog.querySelector('img').getBoundingClientRect().height,
        }
      );
    });
  found.large = [await large()];
  await page.keyboard.press('ArrowRight');
  await page.waitForTimeout(300);
  found.large.push(await large());
  await shoot(page, 'large');
  await page.keyboard.press('Escape');
  await page.waitForTimeout(200);
  found.large.push(await large());

  // a link to the threshold disables the slider at once, and its removal enables it
  await goTo(page, 'Mask');
  const link = isOn =>
    page.evaluate(async isOn => {
      const by = title => app.graph.nodes.find(one => one.title === title),
        mask = by('Mask'),
        slot = mask.inputs.findIndex(input => input.name === 'threshold');
      if (isOn) by('Number').connect(0, mask, slot);
      else mask.disconnectInput(slot);
      await new Promise(resolve => setTimeout(resolve, 300));
    }, isOn);
  await link(true);
  found.linked = await seenOf(page, 'Mask');
  await link(false);
  found.freed = await seenOf(page, 'Mask');

  // undo and redo of a node's move: the views keep working
  await goTo(page, 'Mask');
  found.undo = { before: await drag(page, 'Mask', 0.6) };
  const title = await page.evaluate(() => {
    const node = app.graph.nodes.find(one => one.title === 'Mask'),
      place = app.canvas.canvas.getBoundingClientRect();
    return [
      place.x + (node.pos[0] + app.canvas.ds.offset[0]) + 150,
      place.y + (node.pos[1] + app.canvas.ds.offset[1]) - 15,
    ];
  });
  await page.mouse.move(...title);
  await page.mouse.down();
  await page.mouse.move(title[0] + 60, title[1] + 40, { steps: 6 });
  await page.mouse.up();
  await page.waitForTimeout(600);
  found.undo.moved = await seenOf(page, 'Mask');
  await press(page, 'Control+z');
  found.undo.undone = await seenOf(page, 'Mask');
  await shoot(page, 'undone');
  await press(page, 'Control+y');
  found.undo.redone = await seenOf(page, 'Mask');
  await press(page, 'Control+z');
  found.undo.again = await seenOf(page, 'Mask');
  await goTo(page, 'Mask');
  found.undo.slid = await drag(page, 'Mask', 0.3);
  await goTo(page, 'Mask', 0.4);
  await page.evaluate(run);
  found.undo.rerun = await seenOf(page, 'Mask');
  found.undo.others = {};
  for (const title of ['Blend', 'Invert', 'Rank', 'Same']) found.undo.others[title] = await seenOf(page, title);
  await shoot(page, 'after-undo');
  found.frontend = await page.evaluate(() => window.__COMFYUI_FRONTEND_VERSION__);
  console.log(JSON.stringify({ ...found, errors }));
} catch (error) {
  if (job.only !== 'look') throw error;
  console.log(JSON.stringify({ ...found, errors }));
} finally {
  await browser.close();
}
