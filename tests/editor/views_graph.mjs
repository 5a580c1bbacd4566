// The graph of views.mjs; functions that run in the page.

/** In the page: the graph. Every entry is [title, type, widgets, links]; links go by title and output name. */
export function build() {
  const steps = 4,
    text = words => ({ text: words });
  const model = { model: 'Model.MODEL' },
    vae = { vae: 'Model.VAE' },
    latent = { latent: 'Encode.LATENT' };
  const rows = [
    ['Model', 'CheckpointLoaderSimple', { ckpt_name: 'semantic-edit-demo.safetensors' }, {}],
    ['Image', 'LoadImage', { image: 'semantic-edit-dog.png' }, {}],
    ['Encode', 'VAEEncode', {}, { pixels: 'Image.IMAGE', ...vae }],
    ['Source', 'CLIPTextEncode', text('a dog on grass'), { clip: 'Model.CLIP' }],
    ['Target', 'CLIPTextEncode', text('a cat on grass'), { clip: 'Model.CLIP' }],
    ['Empty', 'CLIPTextEncode', text(''), { clip: 'Model.CLIP' }],
    [
      'Mask',
      'DiffEditMask',
      { noises: 4 },
      { ...model, source: 'Source.CONDITIONING', target: 'Target.CONDITIONING', ...latent, image: 'Image.IMAGE' },
    ],
    [
      'Same',
      'DiffEditMask',
      { noises: 1 },
      { ...model, source: 'Source.CONDITIONING', target: 'Source.CONDITIONING', ...latent, image: 'Image.IMAGE' },
    ],
    [
      'Invert',
      'DDIMInvert',
      { steps: 20, strength: 0.8 },
      { ...model, conditioning: 'Empty.CONDITIONING', ...latent, ...vae },
    ],
    [
      'Exact',
      'ExactInvert',
      { steps, strength: 0.8 },
      { ...model, source: 'Source.CONDITIONING', negative: 'Empty.CONDITIONING', ...latent, ...vae },
    ],
    [
      'EDICT',
      'EDICTInvert',
      { steps, strength: 0.8 },
      { ...model, source: 'Source.CONDITIONING', negative: 'Empty.CONDITIONING', ...latent, ...vae },
    ],
    [
      'EDICT edit',
      'EDICTSampler',
      {},
      {
        ...model,
        target: 'Target.CONDITIONING',
        negative: 'Empty.CONDITIONING',
        pair: 'EDICT.pair',
        mask: 'Mask.mask',
        ...vae,
      },
    ],
    [
      'Exact edit',
      'ExactSampler',
      {},
      { ...model, target: 'Target.CONDITIONING', negative: 'Empty.CONDITIONING', inversion: 'Exact.inversion', ...vae },
    ],
    [
      'Blend',
      'LatentBlendSampler',
      { steps, predictions: 4, cfg: 5 },
      { ...model, positive: 'Target.CONDITIONING', negative: 'Empty.CONDITIONING', latent: 'Mask.latent', ...vae },
    ],
    [
      'Blend along',
      'LatentBlendSampler',
      { steps, cfg: 5 },
      {
        ...model,
        positive: 'Target.CONDITIONING',
        negative: 'Empty.CONDITIONING',
        ...latent,
        mask: 'Same.mask',
        inversion: 'Invert.inversion',
        ...vae,
      },
    ],
    ['Pictures', 'VAEDecode', {}, { samples: 'Blend.latent', ...vae }],
    ['Rank model', 'CLIPRankModelLoader', { folder: 'random-clip' }, {}],
    [
      'Rank',
      'CLIPRank',
      { text: 'a cat', region: 'crop' },
      { images: 'Pictures.IMAGE', mask: 'Mask.mask', clip_rank_model: 'Rank model.clip_rank_model' },
    ],
    ['Number', 'PrimitiveFloat', { value: 0.4 }, {}],
    ...['EDICT edit.latent', 'Exact edit.latent', 'Blend along.latent', 'Rank.best', 'Number.FLOAT'].map(from => [
      `Any ${from}`,
      'PreviewAny',
      {},
      { source: from },
    ]),
  ];
  app.graph.clear();
  const made = {},
    controls = {};
  rows.forEach(([title, type, widgets, links], index) => {
    const node = LiteGraph.createNode(type);
    node.title = title;
    node.pos = [(index % 6) * 420, Math.floor(index / 6) * 760];
    app.graph.add(node);
    node.setSize([380, node.computeSize()[1]]);
    // frontends name it variously
    const control = node.widgets?.find(widget => widget.options?.values?.includes?.('randomize'));
    if (control) controls[title] = control.value; // as a person gets it
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

/** In the page: queue the graph and wait for its end. */
export async function run() {
  const done = new Promise((resolve, reject) => {
    app.api.addEventListener('execution_success', () => resolve(), { once: true });
    app.api.addEventListener('execution_error', event => reject(new Error(event.detail.exception_message)), {
      once: true,
    });
    setTimeout(() => reject(new Error('no end after 300 s')), 300000);
  });
  await app.queuePrompt(0, 1);
  if (app.lastNodeErrors && Object.keys(app.lastNodeErrors).length) throw new Error(JSON.stringify(app.lastNodeErrors));
  await done;
  await new Promise(resolve => setTimeout(resolve, 1200));
}
