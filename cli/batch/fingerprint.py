"""Everything on which a run depends, and the differences between two runs as text."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..files import ROOT, project_field, sha256_of
from .rows import Row, shown

MOST_NAMED = 5


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=str)


def digest_of(value: Any) -> str:
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def job_digest(rows: Iterable[Row]) -> str:
    """SHA-256 of the rows' digests, in order."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(f"{row.key} {row.digest()}\n".encode())
    return digest.hexdigest()


def model_digests(files: dict[str, Path], known: dict[str, Any]) -> dict[str, dict]:
    """SHA-256, size and time of each model file by name. A file with the size and time in `known`
    is not read again.
    """
    digests = {}
    for name, path in sorted(files.items()):
        status = path.stat()
        entry = {"bytes": status.st_size, "changed": status.st_mtime_ns}
        old = known.get(name) or {}
        same = {key: old.get(key) for key in entry} == entry
        digests[name] = entry | {"sha256": old["sha256"] if same and "sha256" in old else sha256_of(path)}
    return digests


def fingerprint(rows: list[Row], settings: dict[str, Any], models: dict[str, dict]) -> dict[str, Any]:
    """The identity of a run: job, settings, model files, and version of the pack."""
    document = {
        "job": {"rows": len(rows), "sha256": job_digest(rows)},
        "settings": settings,
        "models": {name: entry["sha256"] for name, entry in models.items()},
        "pack": project_field(ROOT, "version"),
    }
    return document | {"fingerprint": digest_of(document)[:16]}


def differences(old: dict[str, Any], new: dict[str, Any], changed_rows: Iterable[str]) -> list[str]:
    """The differences as sentences without full stops; empty if the fingerprints are equal."""
    if old.get("fingerprint") == new["fingerprint"]:
        return []
    sentences = []
    if old.get("job") != new["job"]:
        before, after = (document.get("job", {}).get("rows") for document in (old, new))
        count = f" ({before} rows before, {after} now)" if before != after else ""
        sentences.append(f"the job has changed{count}{named_rows(changed_rows)}")
    for part, noun in (("settings", "setting"), ("models", "model file")):
        then, now = old.get(part, {}), new[part]
        for name in sorted(then.keys() | now.keys()):
            if then.get(name) != now.get(name):
                values = "" if part == "models" else f": {brief(then.get(name))} before, {brief(now.get(name))} now"
                sentences.append(f"the {noun} {name} has changed{values}")
    if old.get("pack") != new["pack"]:
        sentences.append(f"the pack was {old.get('pack')} and is {new['pack']}")
    return sentences or ["the run has another format"]


def named_rows(rows: Iterable[str]) -> str:
    names = list(rows)
    few = ", ".join(shown(name) for name in names[:MOST_NAMED])
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f": new or changed are {few}{more}" if names else ""


def brief(value: Any) -> str:
    text = value if isinstance(value, str) else canonical(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
