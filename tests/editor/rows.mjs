// Rows shared by the graphs of several scripts: [title, type, widgets, links]; links are by title and output name.

const text = words => ({ text: words });
export const model = { model: 'Model.MODEL' },
  vae = { vae: 'Model.VAE' },
  latent = { latent: 'Encode.LATENT' };

export const START = [
  ['Model', 'CheckpointLoaderSimple', { ckpt_name: 'semantic-edit-demo.safetensors' }, {}],
  ['Image', 'LoadImage', { image: 'small-dog.png' }, {}],
  ['Encode', 'VAEEncode', {}, { pixels: 'Image.IMAGE', ...vae }],
  ['Source', 'CLIPTextEncode', text('a dog on grass'), { clip: 'Model.CLIP' }],
  ['Target', 'CLIPTextEncode', text('a cat on grass'), { clip: 'Model.CLIP' }],
  ['Empty', 'CLIPTextEncode', text(''), { clip: 'Model.CLIP' }],
];

export const EDICT_EDIT = [
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
];

export const EXACT_EDIT = [
  'Exact edit',
  'ExactSampler',
  {},
  { ...model, target: 'Target.CONDITIONING', negative: 'Empty.CONDITIONING', inversion: 'Exact.inversion', ...vae },
];

export const RANKING = [
  ['Rank model', 'CLIPRankModelLoader', { folder: 'random-clip' }, {}],
  [
    'Rank',
    'CLIPRank',
    { text: 'a cat', region: 'crop' },
    { images: 'Pictures.IMAGE', mask: 'Mask.mask', clip_rank_model: 'Rank model.clip_rank_model' },
  ],
];
