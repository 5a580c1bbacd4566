// Actions of the scripts of this folder on nodes in the editor, like those of a user.

/** Move a node to the middle of the window. */
export async function goTo(page, title, scale = 1) {
  await page.evaluate(
    async ([title, scale]) => {
      const node = app.graph.nodes.find(one => one.title === title);
      app.canvas.ds.scale = scale;
      app.canvas.ds.offset = [90 / scale - node.pos[0], 110 / scale - node.pos[1]];
      app.canvas.setDirty(true, true);
      for (let frame = 0; frame < 6; frame++) await new Promise(requestAnimationFrame);
      await new Promise(resolve => setTimeout(resolve, 250));
    },
    [title, scale],
  );
}

/** The visible element of a node's view: the one that is in the page. */
export const seenOf = (page, title) =>
  page.evaluate(title => {
    const node = app.graph.nodes.find(one => one.title === title);
    const inPage = LiteGraph.vueNodesMode
      ? document.querySelector(`[data-node-id="${node.id}"] .semantic-edit-view`)
      : node.semanticEditView.element;
    const box = inPage?.getBoundingClientRect(),
      warning = inPage?.querySelector('.semantic-edit-warning');
    return {
      isOwn: inPage === node.semanticEditView.element && inPage.isConnected,
      box: box && [box.width, box.height].map(Math.round),
      text: inPage?.querySelector('.semantic-edit-text')?.textContent,
      label: inPage?.querySelector('output')?.textContent,
      slider: inPage?.querySelector('input')?.value,
      isDisabled: inPage?.querySelector('input')?.disabled,
      threshold: node.widgets.find(widget => widget.name === 'threshold')?.value,
      warning: warning?.checkVisibility()
        ? { text: warning.textContent, colour: getComputedStyle(warning).borderLeftColor }
        : null,
      size: [...node.size],
      pos: [...node.pos],
      pictures: [...(inPage?.querySelectorAll('img, image') ?? [])].filter(
        one => one.checkVisibility() && (one.getAttribute('src') ?? one.getAttribute('href')),
      ).length,
      captions: [...(inPage?.querySelectorAll('figcaption, .semantic-edit-gallery span') ?? [])].map(
        one => one.textContent,
      ),
    };
  }, title);

/** The rectangle of a part of a node's view on the screen. */
export const boxOf = (page, title, selector) =>
  page.evaluate(
    ([title, selector]) => {
      const node = app.graph.nodes.find(one => one.title === title);
      const inPage = LiteGraph.vueNodesMode
        ? document.querySelector(`[data-node-id="${node.id}"] .semantic-edit-view`)
        : node.semanticEditView.element;
      const { x, y, width, height } = inPage.querySelector(selector).getBoundingClientRect();
      return { x, y, width, height };
    },
    [title, selector],
  );

export const middleOf = ({ x, y, width, height }, share = 0.5) => [x + share * width, y + height / 2];

/** Press Ctrl+Z or Ctrl+Y on the canvas, and wait. `beside`: a point outside every node and its widgets. */
export async function press(page, keys, beside = [305, 75]) {
  await page.mouse.click(...beside);
  await page.keyboard.press(keys);
  await page.waitForTimeout(1500);
}

/**
 * Runs in the page: a graph of rows [title, type, widgets, links], with links by title and output name. Returns it in
 * the editor's format, and the initial control of each node's seed after a run.
 */
export function lay(rows) {
  app.graph.clear();
  const made = {},
    controls = {};
  rows.forEach(([title, type, widgets, links], index) => {
    const node = LiteGraph.createNode(type);
    node.title = title;
    node.pos = [(index % 6) * 420, Math.floor(index / 6) * 760];
    app.graph.add(node);
    node.setSize([380, node.computeSize()[1]]);
    // its name differs between frontends
    const control = node.widgets?.find(widget => widget.options?.values?.includes?.('randomize'));
    if (control) controls[title] = control.value;
    for (const [name, value] of Object.entries(widgets))
      node.widgets.find(widget => widget.name === name).value = value;
    for (const [input, from] of Object.entries(links)) {
      const dot = from.lastIndexOf('.'),
        origin = made[from.slice(0, dot)],
        output = from.slice(dot + 1);
      const slot = origin.outputs.findIndex(one => one.name === output);
      if (
        slot < 0 ||
        !origin.connect(
          slot,
          node,
          node.inputs.findIndex(one => one.name === input),
        )
      )
        throw new Error(`${title}: ${input} from ${from}`);
    }
    made[title] = node;
  });
  return { workflow: app.graph.serialize(), controls };
}

/** Runs in the page: queue the graph and wait for its end. If it `mayFail`, returns the error's message, or "". */
export async function run(mayFail = false) {
  const done = new Promise((resolve, reject) => {
    app.api.addEventListener('execution_success', () => resolve(''), { once: true });
    app.api.addEventListener(
      'execution_error',
      event => {
        const { exception_message: message } = event.detail;
        mayFail ? resolve(message) : reject(new Error(message));
      },
      { once: true },
    );
    setTimeout(() => reject(new Error('no end after 300 s')), 300000);
  });
  await app.queuePrompt(0, 1);
  if (app.lastNodeErrors && Object.keys(app.lastNodeErrors).length) throw new Error(JSON.stringify(app.lastNodeErrors));
  const failure = await done;
  await new Promise(resolve => setTimeout(resolve, 1200));
  return failure;
}
