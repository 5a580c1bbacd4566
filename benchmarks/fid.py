"""FID of a folder of edits against a folder of real pictures, and its class-conditional form.

``python run.py bench fid REAL EDITED --inception FILE`` with COMFYUI_PATH set. With ``--clip
FOLDER`` the features are those of a CLIP instead of Inception, which gives other numbers; the
output says so. Subfolders of the same name in both folders are classes: fid_by_class is the mean of
the classes' FIDs, as in DiffEdit's evaluation on ImageNet (Couairon et al. 2023). Nothing is
downloaded.
"""

import argparse
import math
import pathlib

from lab import common, edit_sets, fid, pie_columns, weights


def measure(metric, real: pathlib.Path, edited: pathlib.Path, longest: int | None = None) -> dict:
    """``fid``, ``fid_by_class`` (NaN without classes), and the numbers of pictures and classes.

    Raises:
        ValueError: a folder with fewer than two pictures.
    """
    groups = [edit_sets.real_pictures(folder, longest) for folder in (real, edited)]
    everything = [[picture for pictures in group.values() for picture in pictures] for group in groups]
    for folder, pictures in zip((real, edited), everything):
        if len(pictures) < fid.LEAST:
            raise ValueError(f"{folder} holds {len(pictures)} pictures; FID needs two, and thousands to be comparable")
    classes = {name: pictures for name, pictures in groups[1].items() if name and name in groups[0]}
    return {
        "fid": fid.distance(metric, *everything),
        "fid_by_class": fid.by_class(metric, groups[0], classes),
        "real": len(everything[0]),
        "edited": len(everything[1]),
        "classes": len(classes),
    }


def main(argv: list[str] | None = None) -> dict:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("real", type=common.user_path, help="folder of real pictures")
    parser.add_argument("edited", type=common.user_path, help="folder of edits")
    parser.add_argument("--inception", type=common.user_path, help=f"weights: {weights.needed('inception')}")
    parser.add_argument("--clip", help="a CLIP's folder, or its name below models/clip_rank, for its features")
    parser.add_argument("--json", type=common.user_path, help="write every number to this file")
    settings = parser.parse_args(argv)
    if bool(settings.inception) == bool(settings.clip):
        parser.error("give --inception or --clip")
    for folder in (settings.real, settings.edited):
        if not folder.is_dir():
            parser.error(f"{folder} is no folder")
    common.load_pack()
    try:
        if settings.inception:
            metric = fid.inception(settings.inception)
        else:
            metric = fid.of_clip(pie_columns.load_clip(settings.clip))
        result = measure(metric, settings.real, settings.edited)
    except ValueError as error:
        raise SystemExit(f"fid: {error}") from error
    result["features"] = "Inception" if settings.inception else f"CLIP {settings.clip}"
    by_class = "-" if math.isnan(result["fid_by_class"]) else f"{result['fid_by_class']:.3f}"
    row = [result["features"], result["real"], result["edited"], f"{result['fid']:.3f}", by_class, result["classes"]]
    print(common.markdown_table(["features", "real", "edited", "FID", "FID by class", "classes"], [row]))
    common.write_json(settings.json, common.without_nan(result))
    return result


if __name__ == "__main__":
    main()
