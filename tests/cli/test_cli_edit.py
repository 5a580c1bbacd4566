"""`run.py edit` and `workflow` as processes, against the stand-in for ComfyUI."""

import json
import os
import pathlib
import re
import shutil

import pytest
from live_processes import gone
from PIL import Image

from cli import arguments, files
from cli.overview import MARGIN, SENTENCE_SIZE, overview


def test_edit_without_options_takes_the_sample(cli):
    done = cli("edit", "--cpu")
    assert done.returncode == 0, done.stderr
    output = cli.work / "semantic-edit-output"
    assert sorted(path.name for path in output.iterdir()) == [
        "edit.json",
        "edited.png",
        "heatmap.png",
        "mask.png",
        "overview.png",
    ]
    assert Image.open(output / "overview.png").width > 4 * 16
    sent = cli.sent()
    assert (sent["Source text"]["inputs"]["text"], sent["Target text"]["inputs"]["text"]) == (
        "a red disc",
        "a blue disc",
    )
    assert sent["Mask"]["inputs"]["seed"] == sent["Edit"]["inputs"]["seed"] == 5
    assert sent["Model"]["inputs"]["ckpt_name"] == "semantic-edit-demo.safetensors"
    assert sent["Size"]["inputs"]["megapixels"] == pytest.approx(256**2 / 1024**2)
    assert sent["Image"]["inputs"]["image"] == "source.png"


def test_the_overview_prints_the_sentences_that_the_method_takes(cli):
    for method, lines in {"diffedit": 2, "sdedit": 1}.items():
        assert cli("edit", "--cpu", "--method", method, "--output", method).returncode == 0
        made = cli.work / method
        panels = [("any", made / "edited.png")] * (4 if lines == 2 else 2)
        bare = overview(panels, made / "edited.png")
        assert Image.open(made / "overview.png").width == bare.width
        assert Image.open(made / "overview.png").height == bare.height + lines * (SENTENCE_SIZE + 6) + MARGIN


def test_edit_shows_progress_by_node_and_prints_only_paths_to_stdout(cli):
    done = cli("edit", "--cpu", "--output", "there")
    assert "[1/" in done.stderr
    assert "'Mask' (DiffEditMask" in done.stderr
    assert "step 2 of 2" in done.stderr
    assert [line.rpartition(os.sep)[2] for line in done.stdout.split()] == [
        "edited.png",
        "mask.png",
        "heatmap.png",
        "overview.png",
    ]


def test_edit_report_has_all_that_reproduces_the_picture(cli):
    assert cli("edit", "--cpu", "--seed", "9", "--strength", "0.7", "--output", "there").returncode == 0
    report = json.loads((cli.work / "there" / "edit.json").read_text())
    assert (report["source"], report["target"], report["seed"], report["method"]) == (
        "a red disc",
        "a blue disc",
        9,
        "diffedit",
    )
    assert report["model"] == "semantic-edit-demo.safetensors"
    assert report["settings"]["strength"] == 0.7
    assert report["settings"]["steps"] == 50
    assert report["settings"]["size"] == 256
    assert report["nodes"]["Edit"]["cfg"] == 7.5
    assert report["mask_area_share"] == pytest.approx(0.75)
    assert report["seconds"]["total"] > 0
    assert "Mask" in report["seconds"]["nodes"]
    assert report["versions"] == {"comfyui": "9.9.9", "torch": "8.8", "python": "3.99.0", "pack": "1.2.3"}


def test_edit_leaves_nothing_behind_but_the_output(cli):
    assert cli("edit", "--cpu", "--output", "before").returncode == 0  # Python compiles the clone's own modules once
    before = {path: path.stat().st_mtime_ns for folder in (cli.comfyui, cli.clone) for path in folder.rglob("*")}
    assert cli("edit", "--cpu").returncode == 0
    assert {
        path: path.stat().st_mtime_ns for folder in (cli.comfyui, cli.clone) for path in folder.rglob("*")
    } == before
    assert cli.left_runs() == []
    started = cli.recorded("start.json")
    assert gone([started["pid"]])
    assert started["no_bytecode"] == "1"
    assert started["cwd"].startswith(str(cli.home.resolve()))


def test_comfyui_is_started_headless_with_the_pack_and_own_folders(cli):
    cli("edit", "--cpu")
    started = cli.recorded("start.json")
    argv = started["argv"]
    assert {"--disable-auto-launch", "--cpu", "--disable-all-custom-nodes"} <= set(argv)
    assert argv[argv.index("--listen") + 1] == "127.0.0.1"
    assert argv[argv.index("--whitelist-custom-nodes") + 1] == "semantic-edit"
    for name in ("input", "output", "temp", "user"):
        assert argv[argv.index(f"--{name}-directory") + 1].startswith(str(cli.home))
    assert started["packs"] == {"semantic-edit": str(cli.clone.resolve())}


@pytest.mark.parametrize("way", ["link", "copy"])
def test_a_pack_that_is_installed_already_is_not_loaded_twice(cli, way):
    installed = cli.comfyui / "custom_nodes" / "my-edit"
    if way == "link":
        installed.symlink_to(cli.clone, target_is_directory=True)
    else:
        installed.mkdir()
        (installed / "pyproject.toml").write_text('[project]\nname = "semantic-edit"\n')
    done = cli("edit", "--cpu")
    started = cli.recorded("start.json")
    assert started["packs"] == {}
    assert started["argv"][started["argv"].index("--whitelist-custom-nodes") + 1] == "my-edit"
    assert ("is used, not the one in" in done.stderr) == (way == "copy")


def test_sdedit_and_encode_decode_fill_their_graphs(cli):
    assert cli("edit", "--cpu", "--method", "sdedit", "--strength", "0.4", "--steps", "7", "--cfg", "3").returncode == 0
    edit = cli.sent()["Edit"]["inputs"]
    assert (edit["denoise"], edit["steps"], edit["cfg"], edit["seed"]) == (0.4, 7, 3.0, 5)
    assert cli("edit", "--cpu", "--method", "encode-decode", "--strength", "0.4", "--steps", "7").returncode == 0
    sent = cli.sent()
    assert (
        sent["Invert"]["inputs"]["strength"],
        sent["Invert"]["inputs"]["steps"],
        sent["Edit"]["inputs"]["noise_seed"],
    ) == (0.4, 7, 5)


def test_edict_takes_both_texts_one_guidance_and_a_mask(cli):
    Image.new("L", (64, 48), 255).save(cli.work / "white.png")
    done = cli(
        "edit",
        "--cpu",
        "--method",
        "edict",
        "--source",
        "a cat",
        "--target",
        "a dog",
        "--cfg",
        "4",
        "--strength",
        "0.6",
        "--mask",
        "white.png",
    )
    assert done.returncode == 0, done.stderr
    sent = cli.sent()
    assert (sent["Source text"]["inputs"]["text"], sent["Target text"]["inputs"]["text"]) == ("a cat", "a dog")
    assert sent["Invert"]["inputs"]["cfg"] == sent["Edit"]["inputs"]["cfg"] == 4
    assert sent["Invert"]["inputs"]["strength"] == 0.6
    assert sent["Edit"]["inputs"]["mask"] == ["given-mask", 0]
    assert sent["Save mask"]["inputs"]["images"] == ["mask-picture", 0]
    assert (cli.work / "semantic-edit-output" / "mask.png").exists()


def test_guidance_acts_in_the_first_steps_where_comfyui_has_cfg_override(cli):
    graph = pathlib.Path(__file__).resolve().parents[2] / "workflows" / "api" / "fast_edit.json"
    shutil.copy(graph, cli.clone / "workflows" / "api")
    done = cli("edit", "--cpu", "--method", "diffedit-fast")
    assert done.returncode == 0, done.stderr
    sent = cli.sent()
    assert (sent["Mask"]["inputs"]["noises"], sent["Invert"]["inputs"]["steps"]) == (4, 16)
    assert sent["Guidance"]["class_type"] == "CFGOverride"
    assert sent["Edit"]["inputs"]["model"] == sent["Invert"]["inputs"]["model"] != sent["Mask"]["inputs"]["model"]
    older = cli("edit", "--cpu", "--method", "diffedit-fast", FAKE_COMFYUI="old")
    assert older.returncode == 0, older.stderr
    assert "has no CFG Override" in older.stderr
    sent = cli.sent()
    assert "Guidance" not in sent
    assert sent["Edit"]["inputs"]["model"] == sent["Invert"]["inputs"]["model"] == sent["Mask"]["inputs"]["model"]


def test_pictures_of_another_method_do_not_stay_beside_the_new_one(cli):
    cli("edit", "--cpu")
    done = cli("edit", "--cpu", "--method", "sdedit")
    assert done.returncode == 0
    assert not (cli.work / "semantic-edit-output" / "mask.png").exists()


def test_a_given_mask_takes_the_place_of_diffedits(cli):
    Image.new("L", (64, 48), 255).save(cli.work / "white.png")
    done = cli("edit", "--cpu", "--mask", "white.png")
    assert done.returncode == 0, done.stderr
    sent, prompt = cli.sent(), cli.recorded("prompt.json")["prompt"]
    assert not {"Mask", "Heat map picture", "Save heat map", "Source text"} & set(sent)
    assert sent["Given mask"]["inputs"] == {"image": "mask.png", "channel": "red"}
    assert sent["Edit"]["inputs"]["mask"] == sent["Mask picture"]["inputs"]["mask"] == ["given-mask", 0]
    assert sent["Edit"]["inputs"]["latent"] == sent["Invert"]["inputs"]["latent"] == ["masked-latent", 0]
    assert sent["Masked latent"]["inputs"]["samples"] == ["6", 0]
    links = [value[0] for entry in prompt.values() for value in entry["inputs"].values() if isinstance(value, list)]
    assert set(links) <= set(prompt)
    assert not (cli.work / "semantic-edit-output" / "heatmap.png").exists()


def test_a_checkpoint_file_brings_its_folder_and_its_size(cli, safetensors):
    file = safetensors(cli.work / "models" / "other.safetensors", "conditioner.embedders.0.x")
    done = cli("edit", "--cpu", "--checkpoint", file)
    assert done.returncode == 0, done.stderr
    assert cli.recorded("start.json")["config"]["checkpoint"] == {"is_default": True, "checkpoints": str(file.parent)}
    sent = cli.sent()
    assert sent["Model"]["inputs"]["ckpt_name"] == "other.safetensors"
    assert sent["Size"]["inputs"]["megapixels"] == 1.0


def test_progress_survives_a_lost_websocket(cli):
    done = cli("edit", "--cpu", FAKE_COMFYUI="drops the websocket")
    assert done.returncode == 0
    assert (cli.work / "semantic-edit-output" / "edited.png").is_file()


def test_help_and_the_pages_name_workflows_that_exist():
    pages = [files.ROOT / "README.md", files.ROOT / "CONTRIBUTING.md", *(files.ROOT / "docs").rglob("*.md")]
    pages = [arguments.EXAMPLES, *(page.read_text(encoding="utf-8") for page in pages)]
    named = re.findall(r"\bworkflows/[^`'\"*?{}<>]+?\.json", "\n".join(pages))
    assert len(named) >= 3
    assert [name for name in named if not (files.ROOT / name).is_file()] == []


def test_help_shows_every_example_on_its_own_line(cli):
    lines = cli("--help").stdout.splitlines()
    examples = [line for line in lines if "python run.py " in line and not line.startswith("usage")]
    assert len(examples) == 8
    for line in examples:
        assert line.startswith("  python run.py ")
        assert line.count("python run.py ") == 1
    assert all(
        line == "" or line.startswith("  ")
        for line in lines[lines.index("examples:") + 1 : lines.index("environment variables:")]
    )


def test_help_names_every_command_and_variable(cli):
    done = cli("--help")
    for word in (
        "edit",
        "workflow",
        "ui",
        "test",
        "train",
        "bench",
        "COMFYUI_PATH",
        "COMFYUI_PYTHON",
        "SEMANTIC_EDIT_HOME",
        "examples:",
    ):
        assert word in done.stdout
    for command in ("edit", "workflow", "ui", "test", "train", "bench"):
        assert cli(command, "--help").returncode == 0


def test_test_names_what_a_users_own_python_lacks_and_installs_nothing(cli):
    done = cli("test", "-q")
    assert done.returncode == 1
    assert '-m pip install "surely-not-installed>=1"' in done.stderr


def test_scripts_get_their_arguments_and_the_environment(cli):
    (cli.clone / "benchmarks").mkdir()
    (cli.clone / "benchmarks" / "speed.py").write_text(
        '"""How fast it is."""\nimport os, sys\nassert __name__ == "__main__"\n'
        'print(sys.argv[1:], os.environ["COMFYUI_PATH"])\nsys.exit(5)\n'
    )
    (cli.clone / "demo" / "train.py").write_text('import sys\nprint("train", sys.argv[1:])\n')
    listed = cli("bench", "--list")
    assert listed.returncode == 0
    assert "speed" in listed.stdout
    assert "How fast it is." in listed.stdout
    ran = cli("bench", "speed", "--steps", "3")
    assert ran.returncode == 5
    assert "['--steps', '3']" in ran.stdout
    assert str(cli.comfyui) in ran.stdout
    assert "There are: speed" in cli("bench", "slow").stderr
    everything = 'import sys\nif __name__ == "__main__":\n    print("all", sys.argv[1:])\n'
    (cli.clone / "benchmarks" / "everything.py").write_text(everything)
    assert "all []" in cli("bench").stdout
    assert "all ['--quick', '--only', 'speed']" in cli("bench", "--quick", "--only", "speed").stdout
    assert "train ['--help']" in cli("train", "--", "--help").stdout
