"""Edits by instruction as graphs: those of the demo's model unchanged, those of large models with
small random models of the same kind in place of their files.
"""

import json
from dataclasses import replace

import instruct_models
import pytest
import server
import tiny_models
import tiny_vaes
import torch
from workflow_graphs import Graph, read

import nodes as comfyui_nodes
from cli import editor_format
from demo.world import judge
from lab import common
from tools import make_samples, thumbnails
from tools.templates.examples import EXAMPLES

LARGE = {"instruct_kontext": "flux", "instruct_qwen": "qwen_image", "instruct_klein": "flux2"}
VAES = {"instruct_kontext": tiny_vaes.flux, "instruct_qwen": tiny_vaes.wan, "instruct_klein": tiny_vaes.flux2}


@pytest.fixture(scope="module")
def serve(runner):
    """``serve(name)``: the pictures of an unchanged demo workflow, by title, and its source."""
    for sample in (common.DEMO / "samples").glob("*.png"):
        (runner.folder / "input" / f"semantic-edit-{sample.name}").write_bytes(sample.read_bytes())

    def run(name, watched):
        graph = Graph(name)
        for title, socket in watched.items():
            if socket == "mask":
                graph.add(f"{title} as picture", "MaskToImage", mask=[graph.ids[title], 0])
            origin = graph.ids[f"{title} as picture" if socket == "mask" else title]
            graph.add(f"{title} saved", "SaveImage", images=[origin, 0], filename_prefix=title)
        made = runner.run(graph.nodes)
        source = runner.picture({"type": "input", "subfolder": "", "filename": graph["Image"]["image"]})
        return source, {title: runner.picture(entries[0]) for title, entries in made.items()}

    return run


def test_the_instruction_is_followed_and_every_other_pixel_stays(serve):
    source, made = serve("instruct", {"Mask": "mask"})
    edited, outside = made["Edited picture"], made["Mask saved"][0] == 0
    [thing] = make_samples.BACKPACK.things
    after = replace(make_samples.BACKPACK, things=(replace(thing, colour="purple"),))
    assert EXAMPLES["instruct"]["instruction"] == "make the backpack purple"
    [seen] = judge.recognise(edited[None])
    assert seen.shows(after), seen
    assert 0.5 < outside.float().mean() < 0.95
    assert torch.equal(edited[:, outside], source[:, outside])


def test_three_instructions_in_a_row_leave_each_other_alone(serve):
    names = ("First", "Second", "Third")
    watched = {f"{name} mask": "mask" for name in names} | {f"{name} keep": "image" for name in names}
    source, made = serve("instruct_session", watched)
    before = source
    for name in names:
        after, outside = made[f"{name} keep saved"], made[f"{name} mask saved"][0] == 0
        assert torch.equal(after[:, outside], before[:, outside]), name
        assert not torch.equal(after, before), f"{name}: nothing was edited"
        before = after


# ---- large models ----


@pytest.mark.parametrize("name", LARGE)
def test_loaders_name_the_files_and_where_to_get_them(name):
    for node in read(name)["nodes"]:
        if not node["type"].endswith("Loader"):
            continue
        models = node["properties"]["models"]
        assert {model["name"] for model in models} <= set(node["widgets_values"])
        for model in models:
            assert model["url"].startswith("https://huggingface.co/")
            assert model["url"].endswith(f"/{model['name']}")
            assert model["directory"] in ("diffusion_models", "text_encoders", "vae")


@pytest.mark.parametrize("name", LARGE)
def test_the_picture_comes_with_the_pack_and_shows_what_the_instruction_speaks_of(name):
    graph, example = Graph(name), EXAMPLES[name]
    assert graph["Image"]["image"] == f"semantic-edit-{example['picture']}.png"
    assert (common.DEMO / "samples" / f"{example['picture']}.png").is_file()
    assert example["instruction"] in graph["Instruction text"].values()
    assert example["picture"] in example["instruction"] or " it " in f" {example['instruction']} "


def test_a_thumbnail_says_that_another_model_drew_it():
    """The demo's model draws the thumbnails of large models, whose own results look better."""
    assert set(LARGE) == thumbnails.STOOD_IN_FOR
    plain = thumbnails.image_of(torch.full((3, 8, 8), 0.5))
    said = thumbnails.labelled(plain.copy())
    top = said.crop((0, 0, thumbnails.SIZE, thumbnails.LABEL_HEIGHT))
    assert top.convert("L").getextrema()[1] > 200, "no letters"
    below = (0, thumbnails.LABEL_HEIGHT, thumbnails.SIZE, thumbnails.SIZE)
    assert said.crop(below).tobytes() == plain.crop(below).tobytes()


class Given:
    """A node that returns an object that the test has stored under a name."""

    HELD: dict = {}
    FUNCTION, CATEGORY = "give", "test"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"name": ("STRING", {})}}

    def give(self, name):
        return (self.HELD[name],)


OTSU = {"threshold": 0.59, "grow": 0}
"""With the normalisation adaptive, just above Otsu's threshold, which splits even the smoothed contrast of random
models on 8 x 8 cells.
"""
KINDS = {"UNETLoader": "MODEL", "VAELoader": "VAE", "CLIPLoader": "CLIP", "DualCLIPLoader": "CLIP"}


def hand_out(monkeypatch, family: str, vae) -> None:
    """Nodes ``GivenMODEL``, ``GivenCLIP`` and ``GivenVAE`` with small models of the family."""
    Given.HELD = {"MODEL": instruct_models.make(family), "CLIP": tiny_models.clip(), "VAE": vae}
    for kind in Given.HELD:
        made = type(f"Given{kind}", (Given,), {"RETURN_TYPES": (kind,)})
        monkeypatch.setitem(comfyui_nodes.NODE_CLASS_MAPPINGS, f"Given{kind}", made)


@pytest.mark.parametrize("name", VAES)
def test_the_graph_runs_on_a_small_model_of_its_kind(runner, name, monkeypatch):
    family = LARGE[name]
    hand_out(monkeypatch, family, VAES[name]())
    # GetImageSize shows the size on its node through the running server
    monkeypatch.setattr(server.PromptServer, "instance", runner.executor.server, raising=False)
    picture = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(1))
    runner.put_picture(f"{name}.png", picture)
    graph = Graph(name)
    for node in graph.nodes.values():
        if node["class_type"] in KINDS:
            kind = KINDS[node["class_type"]]
            node["class_type"], node["inputs"] = f"Given{kind}", {"name": kind}
        if node["class_type"] in ("ImageScaleToTotalPixels", "FluxKontextImageScale"):
            small = {"upscale_method": "area", "width": 64, "height": 64, "crop": "disabled"}
            node["class_type"], node["inputs"] = "ImageScale", {"image": node["inputs"]["image"], **small}
    graph["Image"]["image"] = f"{name}.png"
    graph["Mask"].update(noises=2, **OTSU)
    graph["Levels" if name == "instruct_klein" else "Edit"]["steps"] = 2
    graph.add("Mask as picture", "MaskToImage", mask=[graph.ids["Mask"], 0])
    graph.add("Mask saved", "SaveImage", images=[graph.ids["Mask as picture"], 0], filename_prefix="mask")
    made = runner.run(graph.nodes)
    edited, mask = (runner.picture(made[title][0]) for title in ("Edited picture", "Mask saved"))
    outside = mask[0] == 0
    assert 0 < outside.float().mean() < 1
    assert torch.equal(edited[:, outside], ((picture * 255).round() / 255)[:, outside])


# ---- the blueprint ----


def in_a_graph(blueprint: dict, picture: str) -> dict:
    """The server's form of a graph with the blueprint's box, its models and picture, and its
    outputs, saved.
    """
    [box] = blueprint["nodes"]
    sources = [("GivenMODEL", "model"), ("GivenCLIP", "clip"), ("GivenVAE", "vae"), ("LoadImage", "image")]
    nodes, links = [box], []
    for number, (kind, name) in enumerate(sources, 100):
        values = [picture, "image"] if kind == "LoadImage" else [kind.removeprefix("Given")]
        entry = next(slot for slot in box["inputs"] if slot["name"] == name)
        entry["link"] = number
        nodes.append({"id": number, "type": kind, "widgets_values": values, "inputs": [], "outputs": [{"type": "*"}]})
        links.append([number, number, 0, box["id"], box["inputs"].index(entry), entry["type"]])
    workflow = {"version": 0.4, "nodes": nodes, "links": links, "definitions": blueprint["definitions"]}
    editor = editor_format.EditorGraph(workflow)
    for knob, value in {"steps": 2, "noises": 2, "grow": 0, "instruction": "make it red"}.items():
        assert editor.set_box(box["title"], knob, value)
    kinds = {node["type"] for node in nodes[1:] + blueprint["definitions"]["subgraphs"][0]["nodes"]}
    classes = comfyui_nodes.NODE_CLASS_MAPPINGS
    return editor.to_api({kind: {"input": classes[kind].INPUT_TYPES()} for kind in kinds})


@pytest.mark.parametrize(
    ("family", "make_vae"), [("ip2p", tiny_vaes.kl), ("flux", tiny_vaes.flux), ("flux2", tiny_vaes.flux2)]
)
def test_the_blueprint_runs_on_models_that_read_the_picture_in_different_ways(runner, monkeypatch, family, make_vae):
    """It passes the picture as a reference latent and as channels; a model ignores the form that it
    does not use.
    """
    hand_out(monkeypatch, family, make_vae())
    picture = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(2))
    runner.put_picture(f"box_{family}.png", picture)
    blueprint = json.loads((common.PACK / "subgraphs" / "Edit by instruction.json").read_text(encoding="utf-8"))
    nodes = in_a_graph(blueprint, f"box_{family}.png")
    [mask_node] = [node for node in nodes.values() if node["class_type"] == "DiffEditMask"]
    mask_node["inputs"].update(OTSU)
    by_title = {node["_meta"]["title"]: key for key, node in nodes.items()}
    for title, origin in (("Edited", "Keep"), ("Marked", "Mask picture")):
        images = {"images": [by_title[origin], 0], "filename_prefix": title}
        nodes[title] = {"class_type": "SaveImage", "inputs": images, "_meta": {"title": title}}
    made = runner.run(nodes)
    edited, mask = (runner.picture(made[title][0]) for title in ("Edited", "Marked"))
    outside, source = mask[0] == 0, (picture * 255).round() / 255
    assert 0 < outside.float().mean() < 1
    assert torch.equal(edited[:, outside], source[:, outside])
    assert not torch.equal(edited, source)
