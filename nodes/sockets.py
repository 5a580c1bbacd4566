"""The pack's own connection types."""

from comfy_api.latest import io

InversionType = io.Custom("INVERSION")
EdictPairType = io.Custom("EDICT_PAIR")
ExactInversionType = io.Custom("EXACT_INVERSION")
ClipRankModelType = io.Custom("CLIP_RANK_MODEL")
CropType = io.Custom("EDIT_CROP")
