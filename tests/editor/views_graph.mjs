// The graph of views.mjs. Every row is [title, type, widgets, links]; links are by title and output name.

import { EDICT_EDIT, EXACT_EDIT, RANKING, START, latent, model, vae } from './rows.mjs';

const steps = 4;

export const ROWS = [
  ...START,
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
  EDICT_EDIT,
  EXACT_EDIT,
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
  ...RANKING,
  ['Number', 'PrimitiveFloat', { value: 0.4 }, {}],
  ...['EDICT edit.latent', 'Exact edit.latent', 'Blend along.latent', 'Rank.best', 'Number.FLOAT'].map(from => [
    `Any ${from}`,
    'PreviewAny',
    {},
    { source: from },
  ]),
];
