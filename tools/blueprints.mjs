// The subgraph blueprints: nodes, links and boxes, from which make_blueprints.mjs makes them in the editor.
const SOURCE = 'a bowl of strawberries',
  TARGET = 'a bowl of oranges',
  INSTRUCTION = 'replace the strawberries with oranges';
const PICTURE = ['image', 'IMAGE'],
  MODEL = ['model', 'MODEL'],
  CLIP = ['clip', 'CLIP'],
  VAE = ['vae', 'VAE'],
  MASK = ['mask', 'MASK'];

/**
 * An encoded text. On the subgraph's box it is a field of one line, which shows its name in both
 * renderers; a text area shows it only in Nodes 2.0.
 */
const text = (name, words, [x, y]) => {
  const title = name[0].toUpperCase() + name.slice(1);
  return [
    [`${title} sentence`, 'PrimitiveString', { value: words }, {}, [x - 370, y]],
    [`${title} text`, 'CLIPTextEncode', {}, { text: `${title} sentence.STRING` }, [x, y]],
  ];
};

// nodes: [title, type, widgets, links, place]; inputs and outputs: [name, type, ends...], an end
// being 'title.slot'. Inputs that end in widgets become widgets of the box.
export const BLUEPRINTS = {
  'Edit by text (DiffEdit)': {
    category: 'Image generation and editing/Edit image',
    description:
      'Edits an image by two texts, one for the source and one for the desired image. The mask is computed from the' +
      ' texts (DiffEdit) and shown on the node. Outside the mask the image stays unchanged. For any diffusion model' +
      ' that ComfyUI can sample; scale the image to the size of the model first.',
    aliases: ['diffedit', 'semantic edit', 'edit by text', 'mask by text', 'inpaint by text', 'inversion'],
    size: [520, 520],
    nodes: [
      ['Encode', 'VAEEncode', {}, {}, [0, 0]],
      ...text('source', SOURCE, [0, 150]),
      ...text('target', TARGET, [0, 360]),
      ['Empty text', 'CLIPTextEncode', { text: '' }, {}, [0, 570]],
      [
        'Mask',
        'DiffEditMask',
        { noise_strength: 0.6, threshold: 0.6, normalisation: 'adaptive', edge_radius: 4, grow: 2 },
        { source: 'Source text.CONDITIONING', target: 'Target text.CONDITIONING', latent: 'Encode.LATENT' },
        [430, 0],
      ],
      ['Invert', 'DDIMInvert', {}, { conditioning: 'Empty text.CONDITIONING', latent: 'Encode.LATENT' }, [860, 0]],
      [
        'Edit',
        'LatentBlendSampler',
        {},
        {
          positive: 'Target text.CONDITIONING',
          negative: 'Empty text.CONDITIONING',
          latent: 'Encode.LATENT',
          mask: 'Mask.mask',
          inversion: 'Invert.inversion',
        },
        [1290, 0],
      ],
      ['Decode', 'VAEDecode', {}, { samples: 'Edit.latent' }, [1720, 0]],
      ['Keep', 'BackgroundRestore', {}, { mask: 'Mask.mask', edited: 'Decode.IMAGE' }, [1720, 150]],
      ['Mask picture', 'MaskToImage', {}, { mask: 'Mask.mask' }, [860, 480]],
      ['Shown mask', 'PreviewImage', {}, { images: 'Mask picture.IMAGE' }, [860, 620]],
    ],
    inputs: [
      [...PICTURE, 'Encode.pixels', 'Mask.image', 'Keep.image'],
      [...MODEL, 'Mask.model', 'Invert.model', 'Edit.model'],
      [...CLIP, 'Source text.clip', 'Target text.clip', 'Empty text.clip'],
      [...VAE, 'Encode.vae', 'Invert.vae', 'Edit.vae', 'Decode.vae'],
      ['source text', 'STRING', 'Source sentence.value'],
      ['target text', 'STRING', 'Target sentence.value'],
      ['threshold', 'FLOAT', 'Mask.threshold'],
      ['noises', 'INT', 'Mask.noises'],
      ['seed', 'INT', 'Mask.seed'],
      ['strength', 'FLOAT', 'Invert.strength'],
      ['steps', 'INT', 'Invert.steps'],
      ['cfg', 'FLOAT', 'Edit.cfg'],
    ],
    outputs: [
      ['image', 'IMAGE', 'Keep.image'],
      ['mask', 'MASK', 'Mask.mask'],
      ['latent', 'LATENT', 'Edit.latent'],
    ],
  },
  'Edit in a mask (Blended Latent Diffusion)': {
    category: 'Image generation and editing/Inpaint image',
    description:
      'Generates new content inside a painted mask from a text (Blended Latent Diffusion). Outside the mask the ' +
      'image stays unchanged. For any diffusion model that ComfyUI can sample, not only inpainting models; can ' +
      'generate several results in one run.',
    aliases: ['blended latent diffusion', 'inpaint', 'semantic edit', 'edit in a mask', 'masked edit'],
    size: [520, 440],
    nodes: [
      ['Encode', 'VAEEncode', {}, {}, [0, 0]],
      ...text('target', TARGET, [0, 150]),
      ...text('negative', '', [0, 360]),
      [
        'Edit',
        'LatentBlendSampler',
        {},
        { positive: 'Target text.CONDITIONING', negative: 'Negative text.CONDITIONING', latent: 'Encode.LATENT' },
        [430, 0],
      ],
      ['Decode', 'VAEDecode', {}, { samples: 'Edit.latent' }, [860, 0]],
      ['Keep', 'BackgroundRestore', {}, { edited: 'Decode.IMAGE' }, [860, 150]],
    ],
    inputs: [
      [...PICTURE, 'Encode.pixels', 'Keep.image'],
      [...MASK, 'Edit.mask', 'Keep.mask'],
      [...MODEL, 'Edit.model'],
      [...CLIP, 'Target text.clip', 'Negative text.clip'],
      [...VAE, 'Encode.vae', 'Edit.vae', 'Decode.vae'],
      ['text', 'STRING', 'Target sentence.value'],
      ['negative text', 'STRING', 'Negative sentence.value'],
      ['seed', 'INT', 'Edit.seed'],
      ['steps', 'INT', 'Edit.steps'],
      ['cfg', 'FLOAT', 'Edit.cfg'],
      ['denoise', 'FLOAT', 'Edit.denoise'],
      ['predictions', 'INT', 'Edit.predictions'],
    ],
    outputs: [
      ['image', 'IMAGE', 'Keep.image'],
      ['latent', 'LATENT', 'Edit.latent'],
    ],
  },
  'Edit by instruction': {
    category: 'Image generation and editing/Edit image',
    description:
      'Edits an image by one instruction. The mask is computed from the instruction and shown on the node. Outside ' +
      'the mask the image stays unchanged. For instruction-based editing models: FLUX.1 Kontext, FLUX.2, ' +
      'InstructPix2Pix. Use cfg 1 for distilled models (Kontext with 20 steps, FLUX.2 Klein with 4) and 4 for the ' +
      'small model of the pack. For Qwen-Image-Edit, use its template.',
    aliases: [
      'edit by instruction',
      'instruction edit',
      'semantic edit',
      'kontext',
      'flux 2 klein',
      'instructpix2pix',
      'keep the rest',
    ],
    size: [520, 520],
    nodes: [
      ['Encode', 'VAEEncode', {}, {}, [0, 0]],
      ...text('instruction', INSTRUCTION, [0, 150]),
      ['Empty text', 'CLIPTextEncode', { text: '' }, {}, [0, 360]],
      // The picture in every form that instruction models use; a model ignores the forms of the others.
      ['Guidance', 'FluxGuidance', { guidance: 2.5 }, { conditioning: 'Instruction text.CONDITIONING' }, [430, 0]],
      [
        'Picture as reference',
        'ReferenceLatent',
        {},
        { conditioning: 'Guidance.CONDITIONING', latent: 'Encode.LATENT' },
        [430, 150],
      ],
      [
        'Empty, with the picture',
        'ReferenceLatent',
        {},
        { conditioning: 'Empty text.CONDITIONING', latent: 'Encode.LATENT' },
        [430, 270],
      ],
      [
        'Picture as channels',
        'InstructPixToPixConditioning',
        {},
        { positive: 'Picture as reference.CONDITIONING', negative: 'Empty, with the picture.CONDITIONING' },
        [430, 390],
      ],
      [
        'Mask',
        'DiffEditMask',
        { noise_strength: 0.7, normalisation: 'adaptive', edge_radius: 4, grow: 2 },
        { target: 'Picture as channels.positive', latent: 'Encode.LATENT' },
        [860, 0],
      ],
      [
        'Edit',
        'LatentBlendSampler',
        { steps: 20, cfg: 1, sampler_name: 'euler', scheduler: 'simple' },
        {
          positive: 'Picture as channels.positive',
          negative: 'Picture as channels.negative',
          latent: 'Encode.LATENT',
          mask: 'Mask.mask',
        },
        [1290, 0],
      ],
      ['Decode', 'VAEDecode', {}, { samples: 'Edit.latent' }, [1720, 0]],
      ['Keep', 'BackgroundRestore', {}, { mask: 'Mask.mask', edited: 'Decode.IMAGE' }, [1720, 150]],
      ['Mask picture', 'MaskToImage', {}, { mask: 'Mask.mask' }, [1290, 520]],
      ['Shown mask', 'PreviewImage', {}, { images: 'Mask picture.IMAGE' }, [1290, 660]],
    ],
    inputs: [
      [...PICTURE, 'Encode.pixels', 'Picture as channels.pixels', 'Mask.image', 'Keep.image'],
      [...MODEL, 'Mask.model', 'Edit.model'],
      [...CLIP, 'Instruction text.clip', 'Empty text.clip'],
      [...VAE, 'Encode.vae', 'Picture as channels.vae', 'Edit.vae', 'Decode.vae'],
      [...MASK, 'Mask.mask'],
      ['instruction', 'STRING', 'Instruction sentence.value'],
      ['threshold', 'FLOAT', 'Mask.threshold'],
      ['grow', 'INT', 'Mask.grow'],
      ['noises', 'INT', 'Mask.noises'],
      ['seed', 'INT', 'Edit.seed'],
      ['steps', 'INT', 'Edit.steps'],
      ['cfg', 'FLOAT', 'Edit.cfg'],
      ['guidance', 'FLOAT', 'Guidance.guidance'],
    ],
    outputs: [
      ['image', 'IMAGE', 'Keep.image'],
      ['mask', 'MASK', 'Mask.mask'],
      ['latent', 'LATENT', 'Edit.latent'],
    ],
  },
  'Edit exactly (EDICT)': {
    category: 'Image generation and editing/Edit image',
    description:
      'Inverts an image exactly, with guidance, and samples from the inversion with another text (EDICT). With the ' +
      'same text the source latent is reproduced bit for bit. The mask is optional; one cfg is used for inversion ' +
      'and sampling. For eps-, v- and flow models.',
    aliases: ['edict', 'exact inversion', 'semantic edit', 'edit by text', 'inversion'],
    size: [520, 440],
    nodes: [
      ['Encode', 'VAEEncode', {}, {}, [0, 0]],
      ...text('source', SOURCE, [0, 150]),
      ...text('target', TARGET, [0, 360]),
      ['Empty text', 'CLIPTextEncode', { text: '' }, {}, [0, 570]],
      [
        'Invert',
        'EDICTInvert',
        {},
        { source: 'Source text.CONDITIONING', negative: 'Empty text.CONDITIONING', latent: 'Encode.LATENT' },
        [430, 0],
      ],
      [
        'Edit',
        'EDICTSampler',
        {},
        { target: 'Target text.CONDITIONING', negative: 'Empty text.CONDITIONING', pair: 'Invert.pair' },
        [860, 0],
      ],
      ['Decode', 'VAEDecode', {}, { samples: 'Edit.latent' }, [1290, 0]],
    ],
    inputs: [
      [...PICTURE, 'Encode.pixels'],
      [...MODEL, 'Invert.model', 'Edit.model'],
      [...CLIP, 'Source text.clip', 'Target text.clip', 'Empty text.clip'],
      [...VAE, 'Encode.vae', 'Invert.vae', 'Edit.vae', 'Decode.vae'],
      [...MASK, 'Edit.mask'],
      ['source text', 'STRING', 'Source sentence.value'],
      ['target text', 'STRING', 'Target sentence.value'],
      ['strength', 'FLOAT', 'Invert.strength'],
      ['steps', 'INT', 'Invert.steps'],
      ['cfg', 'FLOAT', 'Invert.cfg', 'Edit.cfg'],
      ['mixing', 'FLOAT', 'Invert.mixing'],
    ],
    outputs: [
      ['image', 'IMAGE', 'Decode.IMAGE'],
      ['latent', 'LATENT', 'Edit.latent'],
    ],
  },
};
