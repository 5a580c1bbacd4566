// The graph of widgets.mjs, and a run that records the live previews.

import { EDICT_EDIT, EXACT_EDIT, RANKING, START, latent, model, vae } from './rows.mjs';

/** Rows [title, type, widgets, links]; links are by title and output name. */
export function rows({ steps }) {
  const schedule = { steps, strength: 0.8 };
  return [
    ...START,
    [
      'Mask',
      'DiffEditMask',
      { noises: 4, threshold: 0.5 },
      { ...model, source: 'Source.CONDITIONING', target: 'Target.CONDITIONING', ...latent, image: 'Image.IMAGE' },
    ],
    ['Invert', 'DDIMInvert', schedule, { ...model, conditioning: 'Empty.CONDITIONING', ...latent, ...vae }],
    [
      'Blend',
      'LatentBlendSampler',
      { steps, predictions: 2, cfg: 5 },
      { ...model, positive: 'Target.CONDITIONING', negative: 'Empty.CONDITIONING', latent: 'Mask.latent', ...vae },
    ],
    [
      'EDICT',
      'EDICTInvert',
      { ...schedule, measure_error: true },
      { ...model, source: 'Source.CONDITIONING', negative: 'Empty.CONDITIONING', ...latent, ...vae },
    ],
    EDICT_EDIT,
    [
      'Exact',
      'ExactInvert',
      schedule,
      { ...model, source: 'Source.CONDITIONING', negative: 'Empty.CONDITIONING', ...latent, ...vae },
    ],
    EXACT_EDIT,
    [
      'Friendly',
      'EditFriendlyInvert',
      schedule,
      { ...model, source: 'Source.CONDITIONING', negative: 'Empty.CONDITIONING', ...latent, ...vae },
    ],
    [
      'Flow',
      'FlowEdit',
      { steps, source_cfg: 1, target_cfg: 3 },
      {
        ...model,
        source: 'Source.CONDITIONING',
        target: 'Target.CONDITIONING',
        negative: 'Empty.CONDITIONING',
        ...latent,
        ...vae,
      },
    ],
    ['Shrink', 'ProgressiveMaskShrink', {}, { ...model, latent: 'Mask.latent' }],
    ['Pictures', 'VAEDecode', {}, { samples: 'Blend.latent', ...vae }],
    ['Numbers', 'EditMetrics', {}, { source: 'Image.IMAGE', edited: 'Pictures.IMAGE', mask: 'Mask.mask' }],
    [
      'Decoder',
      'DecoderFinetune',
      { steps: 12 },
      { ...vae, image: 'Image.IMAGE', latent: 'EDICT edit.latent', mask: 'Mask.mask' },
    ],
    ['Restore', 'BackgroundRestore', {}, { image: 'Image.IMAGE', mask: 'Mask.mask', edited: 'Decoder.image' }],
    ...RANKING,
    ['Large', 'LoadImage', { image: 'semantic-edit-table_top.png' }, {}],
    ['Crop', 'EditCrop', { size: 256, multiple: 8 }, { image: 'Large.IMAGE', mask: 'Large.MASK' }],
    ['Inverted', 'ImageInvert', {}, { image: 'Crop.image' }],
    ['Stitch', 'EditStitch', {}, { crop: 'Crop.crop', edited: 'Inverted.IMAGE' }],
    ['Before', 'LoadImage', { image: 'semantic-edit-trio.png' }, {}],
    ['After', 'LoadImage', { image: 'semantic-edit-trio_elsewhere.png' }, {}],
    ['Align', 'AlignToSource', {}, { image: 'Before.IMAGE', edited: 'After.IMAGE' }],
    ['Mask picture', 'MaskToImage', {}, { mask: 'Mask.mask' }],
    ['Seen mask', 'PreviewImage', {}, { images: 'Mask picture.IMAGE' }],
    ...[
      'Invert.inversion',
      'Blend.latent',
      'EDICT edit.latent',
      'Exact edit.latent',
      'Friendly.inversion',
      'Flow.latent',
      'Shrink.latent',
      'Numbers.report',
      'Restore.image',
      'Rank.best',
      'Stitch.image',
      'Align.report',
    ].map(from => [`Any ${from}`, 'PreviewAny', {}, { source: from }]),
  ];
}

/**
 * Runs in the page: queue the graph and wait for its end. `live`: the nodes that showed a preview of
 * their running sampler, and where.
 */
export async function run() {
  // visible pictures of a node: in the view, around it, and drawn by the classic canvas
  const pictures = node =>
    [
      ...(document.querySelector(`[data-node-id="${node.id}"]`) ?? node.semanticEditView.element).querySelectorAll(
        'img, svg.semantic-edit-stage',
      ),
    ].filter(one => one.checkVisibility()).length +
    ((node.widgets ?? []).some(widget => widget.name === '$$canvas-image-preview') ? 1 : 0);
  const live = {},
    done = new Promise((resolve, reject) => {
      app.api.addEventListener('execution_success', () => resolve(), { once: true });
      app.api.addEventListener('execution_error', event => reject(new Error(event.detail.exception_message)), {
        once: true,
      });
      setTimeout(() => reject(new Error('no end after 300 s')), 300000);
    });
  const ended = new Set(),
    end = ({ detail }) => ended.add(String(detail.display_node ?? detail.node));
  app.api.addEventListener('executed', end);
  const watch = async ({ detail }) => {
    await new Promise(requestAnimationFrame);
    const node = app.graph.getNodeById(Number(detail.displayNodeId)),
      view = node?.semanticEditView;
    if (!view || ended.has(String(node.id))) return; // the result came before the frame; ids are numbers or text
    const now = (live[node.title] ??= { isOurs: false, most: 0 });
    now.isOurs ||= !view.living.hidden;
    now.most = Math.max(now.most, pictures(node));
  };
  app.api.addEventListener('b_preview_with_metadata', watch);
  const answer = await app.queuePrompt(0, 1);
  if (app.lastNodeErrors && Object.keys(app.lastNodeErrors).length) throw new Error(JSON.stringify(app.lastNodeErrors));
  await done;
  app.api.removeEventListener('b_preview_with_metadata', watch);
  app.api.removeEventListener('executed', end);
  // afterwards pictures load and replace the live previews
  const isComplete = () =>
    app.canvas.graph.nodes.every(node =>
      [...(node.semanticEditView?.element.querySelectorAll('img, image') ?? [])].every(
        one =>
          !one.checkVisibility() ||
          (one.tagName === 'IMG' ? one.complete && one.naturalWidth : one.getAttribute('href')),
      ),
    );
  for (let tries = 0; tries < 40 && !isComplete(); tries++) await new Promise(resolve => setTimeout(resolve, 250));
  await new Promise(resolve => setTimeout(resolve, 500));
  const stacked = app.graph.nodes
    .filter(node => node.semanticEditView && !node.title.match(/nvert|EDICT$|Exact$|Friendly|Shrink|Numbers|Rank/))
    .map(node => [node.title, pictures(node)]);
  return { answer, live, stacked };
}
