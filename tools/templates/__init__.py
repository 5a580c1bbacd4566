"""The example workflows (ComfyUI's templates of this pack), in the order of the editor's list."""

from . import instructions, large_instructions, photographs
from .baselines import encode_decode, sdedit
from .exact_inversions import direct_edit, edict_edit, edict_reconstruction
from .examples import CHECKPOINT, EXAMPLES, INSTRUCTION_MODEL, SIDE, WORLD
from .painted_masks import add_object, replace_background, scribble_edit, thin_mask
from .several_edits import best_of_many, edit_session
from .two_texts import demo, diffedit, fast_edit, replace_object

WORKFLOWS = tuple(
    make()
    for make in (
        demo,
        diffedit,
        fast_edit,
        replace_object,
        add_object,
        replace_background,
        scribble_edit,
        thin_mask,
        best_of_many,
        edit_session,
        edict_edit,
        edict_reconstruction,
        direct_edit,
        sdedit,
        encode_decode,
    )
) + (
    instructions.instruct(CHECKPOINT, INSTRUCTION_MODEL, EXAMPLES["instruct"], WORLD),
    instructions.instruct_session(CHECKPOINT, INSTRUCTION_MODEL, EXAMPLES["instruct_session"], WORLD),
    large_instructions.kontext(EXAMPLES["instruct_kontext"]),
    large_instructions.qwen(EXAMPLES["instruct_qwen"]),
    large_instructions.klein(EXAMPLES["instruct_klein"]),
    photographs.large_photo(CHECKPOINT, SIDE, EXAMPLES["large_photo"]),
    photographs.align(EXAMPLES["align"]),
)
