"""Warnings about the pack's folder in custom_nodes."""

import pathlib
import sys
import types

import pytest


@pytest.mark.parametrize("name", ["semantic-edit", "comfyui_semantic_edit", "Semantic.Edit+1"])
def test_plain_folder_names_are_no_matter(pack_module, name):
    assert pack_module("host.installation").unservable_name(name) is None


@pytest.mark.parametrize(
    "name", ["semantic edit", "semantic-edit (1)", "semantic-edit[old]", "s\u00e9mantique", "\u7f16\u8f91"]
)
def test_a_folder_name_that_comfyui_cannot_serve_is_logged(pack_module, caplog, tmp_path, name):
    pack_module("host.installation").warn_about_folder(tmp_path / name)
    [line] = [record.message for record in caplog.records if "its folder is called" in record.message]
    assert repr(name) in line
    assert "Rename the folder to semantic-edit" in line


def test_a_second_installation_is_logged_once(pack_module, caplog, tmp_path, monkeypatch):
    other = tmp_path / "custom_nodes" / "ComfyUI-semantic-edit"
    module = types.ModuleType("elsewhere")
    module.__file__ = str(other / "nodes" / "diffedit_mask.py")
    node = type("DiffEditMask", (), {"__module__": "elsewhere"})
    monkeypatch.setitem(sys.modules, "elsewhere", module)
    monkeypatch.setitem(sys.modules["nodes"].NODE_CLASS_MAPPINGS, "DiffEditMask", node)
    pack_module("host.installation").warn_about_folder(tmp_path / "custom_nodes" / "semantic-edit")
    [line] = [record.message for record in caplog.records if "installed twice" in record.message]
    assert str(other) in line
    assert str(tmp_path / "custom_nodes" / "semantic-edit") in line


def test_this_installation_is_well(pack_module, caplog):
    installation = pack_module("host.installation")
    assert installation.second_installation(pathlib.Path(installation.FOLDER)) is None
