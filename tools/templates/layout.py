"""Positions of nodes and groups in the editor, chosen so that a template fits the editor's initial
view.
"""

from .graph import NOTE, Column, Node, Workflow

TITLE_BAR, GROUP_BAR, PADDING, GAP, COLUMN_GAP = 30, 36, 10, 14, 36
"""Pixels of the editor's graph: a node's and a group's title, a group's margin, and the distances
between nodes and between columns.
"""

LARGEST = (1770, 970)
"""Width and height of all nodes together. When the editor opens a template, it scales them to three
quarters of the window (`fitToBounds`), with a margin of 10 on each side. At 1366 x 768 this size
gives a scale of 0.575; below 8/14 = 0.571 the classic canvas draws no text.
"""

GROUP_COLOUR = "#3f789e"

HEIGHTS = {
    NOTE: 300,
    "LoadImage": 330,
    "ImageScaleToTotalPixels": 114,
    "CheckpointLoaderSimple": 102,
    "VAEEncode": 54,
    "VAEDecode": 54,
    "CLIPTextEncode": 92,
    "UNETLoader": 82,
    "CLIPLoader": 106,
    "DualCLIPLoader": 130,
    "VAELoader": 58,
    "FluxGuidance": 58,
    "TextEncodeQwenImageEditPlus": 168,
    "InstructPixToPixConditioning": 86,
    "ReferenceLatent": 46,
    "ConditioningZeroOut": 26,
    "FluxKontextImageScale": 26,
    "ModelSamplingAuraFlow": 58,
    "CFGNorm": 82,
    "CFGOverride": 120,
    "GetImageSize": 66,
    "Flux2Scheduler": 106,
    "SaveImage": 302,
    "MaskToImage": 34,
    "InvertMask": 34,
    "KSampler": 266,
    "KSamplerSelect": 62,
    "SamplerCustom": 234,
    "CLIPRankModelLoader": 86,
    "CLIPRank": 704,
    "DiffEditMask": 730,
    "DDIMInvert": 502,
    "LatentBlendSampler": 768,
    "BackgroundRestore": 568,
    "AlignToSource": 480,
    "EditCrop": 500,
    "EditStitch": 408,
    "EDICTInvert": 502,
    "EDICTSampler": 468,
    "ExactInvert": 550,
    "ExactSampler": 468,
    "DecoderFinetune": 688,
    "ProgressiveMaskShrink": 340,
}
"""Minimum height by kind, including the view that a node shows after a run (measured by
tests/editor/editor.mjs).
"""

FOLDED_HEIGHTS = {"SaveImage": 58, "BackgroundRestore": 238, "LatentBlendSampler": 238}
"""Minimum heights of folded nodes that are smaller than ``HEIGHTS``: Nodes 2.0 counts the hidden
part when it fits a template into the window.
"""

STRETCHED = frozenset(
    (
        NOTE,
        "LoadImage",
        "SaveImage",
        "DiffEditMask",
        "DDIMInvert",
        "LatentBlendSampler",
        "BackgroundRestore",
        "AlignToSource",
        "EditCrop",
        "EditStitch",
        "EDICTInvert",
        "EDICTSampler",
        "DecoderFinetune",
        "CLIPRank",
        "ProgressiveMaskShrink",
        "KSampler",
        "SamplerCustom",
    )
)
"""Kinds that share the height which is left in their column: more text or a larger picture."""


def layout(workflow: Workflow) -> tuple[dict[str, tuple[int, int, int, int]], list[dict]]:
    """(x, y, width, height) of every node below its title bar, and the groups. All columns end at
    the same height. ValueError where that is too much.
    """
    places: dict[str, tuple[int, int, int, int]] = {}
    groups: list[dict] = []
    x = 0
    for column in workflow.columns:
        y, extra = 0, spare_height(workflow, column)
        for title, members in column.groups:
            top = y
            for member in members:
                node = workflow.nodes[member]
                height = full_height(node) + (extra if node.kind in STRETCHED and not node.folded else 0)
                places[member] = (x, y + TITLE_BAR, column.width, height)
                y += TITLE_BAR + (0 if node.folded else height) + GAP
            y += PADDING - GAP
            if title:
                bounding = [
                    x - PADDING,
                    top - GROUP_BAR - PADDING,
                    column.width + 2 * PADDING,
                    y - top + GROUP_BAR + PADDING,
                ]
                groups.append(
                    {"id": len(groups) + 1, "title": title, "bounding": bounding, "color": GROUP_COLOUR, "flags": {}}
                )
            y += GAP + GROUP_BAR + PADDING
        x += column.width + COLUMN_GAP
    if x - COLUMN_GAP > LARGEST[0]:
        raise ValueError(
            f"{workflow.key}: {x - COLUMN_GAP} pixels wide; at most {LARGEST[0]}. Make columns narrower or stack more."
        )
    missing = workflow.nodes.keys() ^ places.keys()
    if missing:
        raise ValueError(f"{workflow.key}: not in exactly one column: {sorted(missing)}")
    return places, groups


def full_height(node: Node) -> int:
    return FOLDED_HEIGHTS.get(node.kind, HEIGHTS[node.kind]) if node.folded else HEIGHTS[node.kind]


def spare_height(workflow: Workflow, column: Column) -> int:
    """What each stretched node of the column gets beyond its least height."""
    nodes = [workflow.nodes[name] for _, members in column.groups for name in members]
    used = sum(TITLE_BAR + (0 if node.folded else HEIGHTS[node.kind]) + GAP for node in nodes) - GAP
    used += (len(column.groups) - 1) * (GROUP_BAR + 2 * PADDING)
    stretched = sum(node.kind in STRETCHED and not node.folded for node in nodes)
    if used > LARGEST[1]:
        raise ValueError(
            f"{workflow.key}: the column of {column.groups[0][1][0]} is {used} pixels high; at most {LARGEST[1]}. "
            f"Fold nodes or move some."
        )
    return (LARGEST[1] - used) // max(1, stretched) if stretched else 0
