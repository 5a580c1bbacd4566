"""PIE-Bench on a synthetic folder of four rows that covers every rule, against torchmetrics; and a
run through the pack's nodes that is interrupted and continued.
"""

import csv
import io
import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from benchmarks import pie_bench
from lab import pie_columns, pie_rows

SIDE = 512


def picture(seed, side=SIDE):
    """Smooth colours, so that resizing and JPEG keep most of them."""
    noise = torch.rand((1, 3, 9, 9), generator=torch.Generator().manual_seed(seed))
    large = torch.nn.functional.interpolate(noise, (side, side), mode="bicubic").clamp(0, 1)
    return Image.fromarray((255 * large[0].movedim(0, -1)).round().byte().numpy())


def item(path, category, mask, source="a [cat] on grass", target="a [dog] on grass"):
    return {
        "image_path": path,
        "original_prompt": source,
        "editing_prompt": target,
        "editing_instruction": "",
        "editing_type_id": category,
        "blended_word": "",
        "mask": mask,
    }


ROWS = {
    "000": item("1_change_object_80/1_artificial/a.jpg", "1", [100 * SIDE + 50, 200, SIDE * SIDE - 3, 40]),
    "001": item("8_change_background_80/b.jpg", "8", [0, SIDE * SIDE]),
    "002": item("3_delete_object_80/c.jpg", "3", [5 * SIDE + 1, 7]),
    "003": item("1_change_object_80/d.png", "1", []),
}


@pytest.fixture
def folders(tmp_path):
    """PIE-Bench's folder, and a folder of edits: two plain ones, a sheet of four pictures, and a
    larger one at another path.
    """
    data, edits = tmp_path / "pie", tmp_path / "tool"
    for number, row in enumerate(ROWS.values()):
        file = data / "annotation_images" / row["image_path"]
        file.parent.mkdir(parents=True, exist_ok=True)
        picture(number).save(file, quality=95)
        place = edits / "annotation_images" / row["image_path"]
        place.parent.mkdir(parents=True, exist_ok=True)
        made = picture(10 + number)
        if number == 2:
            sheet = Image.new("RGB", (4 * SIDE, SIDE + 90), "white")
            sheet.paste(made, (3 * SIDE, 90))
            sheet.save(place.with_suffix(".png"))
        elif number == 3:
            made.resize((2 * SIDE, 2 * SIDE), Image.Resampling.NEAREST).save(edits / place.name)
        else:
            made.save(place.with_suffix(".png"))
    (data / "mapping_file.json").write_text(json.dumps(ROWS))
    return data, edits


def rows_of(out):
    with (out / "rows.csv").open(newline="") as file:
        return {(row["method"], row["key"]): row for row in csv.DictReader(file)}


def official_mask(runs):
    """The annotation as published: runs from 0, cut at the end, then the border."""
    flat = np.zeros(SIDE * SIDE)
    for place in range(0, len(runs), 2):
        for pixel in range(runs[place], min(runs[place] + runs[place + 1], SIDE * SIDE)):
            flat[pixel] = 1
    mask = flat.reshape(SIDE, SIDE)
    mask[[0, -1]] = 1
    mask[:, [0, -1]] = 1
    return mask


def test_masks_are_runs_from_0_row_by_row_cut_at_the_end():
    mask = pie_rows.decode_mask([SIDE + 3, 2, SIDE * SIDE - 1, 9])
    assert mask.nonzero().tolist() == [[1, 3], [1, 4], [SIDE - 1, SIDE - 1]]
    assert pie_rows.decode_mask(pie_rows.encode_mask(mask)).equal(mask)
    assert pie_rows.encode_mask(mask) == [SIDE + 3, 2, SIDE * SIDE - 1, 1]
    for runs in ([1], [-1, 4], [2, -1], [0.5, 1]):
        with pytest.raises(ValueError, match="pairs of start and length"):
            pie_rows.decode_mask(runs)


def test_the_columns_are_torchmetrics_own_on_the_same_files(folders, squeeze_weights, vit, tmp_path, pack_module):
    """The published evaluation's steps written out: float32 pixels, black inside the mask, full
    frame; LPIPS with random weights in SqueezeNet's file.
    """
    from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    data, edits = folders
    save_file(vit, tmp_path / "dino.safetensors")
    out = tmp_path / "out"
    arguments = [str(data), "--edited", str(edits), "--out", str(out), "--dino", str(tmp_path / "dino.safetensors")]
    totals = pie_bench.main(arguments)["tool"]
    result = rows_of(out)
    with (
        torch.inference_mode(False),
        pack_module("host.lpips").checked_hub("squeeze", pack_module("host.lpips").find_file("squeeze")),
    ):
        perceptual = LearnedPerceptualImagePatchSimilarity(net_type="squeeze")
    for number, (key, row) in enumerate(ROWS.items()):
        with Image.open(data / "annotation_images" / row["image_path"]) as image:
            source = np.array(image).astype(np.float32) / 255
        edited = np.array(picture(10 + number)).astype(np.float32) / 255
        outside = (1 - official_mask(row["mask"]))[:, :, None].astype(np.float32)
        line = result["tool", key]
        if key == "001":
            assert outside.sum() == 0
            assert all(math.isnan(float(line[name])) for name in pie_columns.OUTSIDE)
            continue
        a, b = (torch.from_numpy(one * outside).movedim(-1, 0)[None] for one in (edited, source))
        near = 1e-4 if number < 3 else 2e-2  # the last one was enlarged and is resized by Lanczos
        assert abs(float(line["mse_unedit_part"]) - float((a - b).square().mean())) < near
        assert abs(float(line["psnr_unedit_part"]) - float(peak_signal_noise_ratio(a, b, data_range=1.0))) < 10 * near
        ssim = float(structural_similarity_index_measure(a, b, data_range=1.0))
        assert abs(float(line["ssim_unedit_part"]) - ssim) < near
        with torch.no_grad():
            assert abs(float(line["lpips_unedit_part"]) - float(perceptual(a * 2 - 1, b * 2 - 1))) < near
        assert float(line["structure_distance"]) > 0
    assert (totals["rows"], totals["nan_rows"]) == (4, 1)
    others = [float(result["tool", key]["psnr_unedit_part"]) for key in ROWS if key != "001"]
    assert abs(totals["psnr_unedit_part"] - sum(others) / 3) < 1e-6


def test_means_protocol_and_what_is_left_out(folders, tmp_path, capsys):
    data, edits = folders
    out = tmp_path / "out"
    pie_bench.main([str(data), "--edited", str(edits), "--label", "tool x", "--out", str(out)])
    said = capsys.readouterr().out
    assert "SHA-256 f51c99ce793d1eb87daf2a670b9e11e50927fd00334d2cac75cbd30666d13f6b" in said
    assert "a2bf730a0c7debf160f7a6b50b3aaf3703e7e88ac73de7a314903141db026dcb" in said
    with (out / "means.csv").open(newline="") as file:
        lines = {row["category"]: row for row in csv.DictReader(file)}
    assert set(lines) == {"all", "1", "3", "8"}
    assert (lines["1"]["rows"], lines["8"]["nan_rows"]) == ("2", "1")
    assert math.isnan(float(lines["8"]["psnr_unedit_part"]))
    protocol = json.loads((out / "protocol.json").read_text())
    assert protocol["methods"]["tool x"]["annotated_mask_is_an_input"] == "not known"
    assert protocol["fixed"]["data"] == "PIE-Bench"
    assert protocol["rows_by_category"] == {"1": 2, "8": 1, "3": 1}
    assert protocol["result"]["resized_pictures_in_this_run"] == 1
    assert {"structure_distance", *pie_columns.CLIP} <= set(protocol["fixed"]["left_out"])
    with pytest.raises(SystemExit, match="another peak_in_front_of_dino; give another --out"):
        pie_bench.main([str(data), "--edited", str(edits), "--out", str(out), "--peak", "1"])


def scene(kind, colour):
    """A scene of the demo world at 512 pixels, and its caption."""
    from demo.world.render import render
    from demo.world.scenes import Scene, Thing, caption

    drawn = Scene((Thing(kind, colour, 0.5, 0.55, 0.55),), "snow")
    pixels = (255 * render(drawn)[0].movedim(0, -1)).round().byte().numpy()
    return Image.fromarray(pixels).resize((SIDE, SIDE)), caption(drawn)


def test_the_clip_columns_are_cosines_of_the_texts_without_brackets(folders, tmp_path, pack_module):
    data, edits = folders
    out = tmp_path / "out"
    (before, first), (after, second) = scene("car", "red"), scene("penguin", None)
    before.save(data / "annotation_images" / "x.png")
    after.save(edits / "x.png")
    row = item("x.png", "1", ROWS["000"]["mask"], first.replace("car", "[car]"), f"[{second}]")
    (data / "mapping_file.json").write_text(json.dumps({"000": row}))
    folder = pie_bench.common.PACK / "models" / "clip_rank" / "semantic-edit-demo"
    pie_bench.main([str(data), "--edited", str(edits), "--out", str(out), "--clip", str(folder)])
    line = rows_of(out)["tool", "000"]
    scorer = pie_columns.load_clip(str(folder))
    resize = pack_module("core.pictures.ranking").resize_square
    source, edited = (torch.from_numpy(np.array(image)).float()[None] / 255 for image in (before, after))
    inside = torch.from_numpy(official_mask(ROWS["000"]["mask"])).float()[None, :, :, None]
    pairs = ((source, first), (edited, second), (edited * inside, second))
    for name, (shown, words) in zip(pie_columns.CLIP, pairs, strict=True):
        embedded = scorer.embed_pictures(resize(shown, scorer.image_size))[0]
        wanted = 100 * float(embedded @ scorer.embed_text(words))
        assert abs(float(line[name]) - max(0, wanted)) < 1e-3
        assert name == pie_columns.CLIP[2] or wanted > 10


def test_categories_missing_edits_and_unreadable_rows(folders, tmp_path):
    data, edits = folders
    out = tmp_path / "out"
    (edits / "d.png").unlink()
    broken = data / "annotation_images" / ROWS["002"]["image_path"]
    broken.write_bytes(b"no picture")
    arguments = [str(data), "--edited", str(edits), "--out", str(out), "--categories", "1-3"]
    totals = pie_bench.main(arguments)["tool"]
    result = rows_of(out)
    assert totals["rows"] == 1
    assert {key for _, key in result} == {"000", "002", "003"}
    assert "no edit of 1_change_object_80/d.png" in result["tool", "003"]["error"]
    assert "UnidentifiedImageError" in result["tool", "002"]["error"]
    picture(13).save(edits / "d.png")
    picture(2).save(broken)
    assert pie_bench.main(arguments)["tool"]["rows"] == 3
    with pytest.raises(SystemExit, match="row 009: 'editing_prompt' is missing"):
        (data / "mapping_file.json").write_text(
            json.dumps({"009": {"image_path": "x.jpg", "original_prompt": "x", "editing_type_id": "0"}})
        )
        pie_bench.main(arguments)
    with pytest.raises(SystemExit, match="numbers from 0 to 9"):
        pie_bench.main([*arguments[:-1], "one"])
    with pytest.raises(SystemExit, match="mapping_file.json"):
        pie_bench.main([str(tmp_path / "nowhere"), *arguments[1:]])


def test_a_path_out_of_the_folder_is_refused(folders):
    data, _ = folders
    (data / "mapping_file.json").write_text(json.dumps({"0": item("../secret.png", "1", [0, 1])}))
    with pytest.raises(ValueError, match=r"row 0: image_path '\.\./secret\.png'"):
        pie_rows.read(data)


def test_the_packs_methods_edit_rows_and_a_run_goes_on(folders, tmp_path):
    data, _ = folders
    out = tmp_path / "out"
    arguments = [str(data), "--checkpoint", "semantic-edit-demo.safetensors", "--out", str(out), "--size", "256"]
    arguments += ["--steps", "4", "--rows", "2", "--methods", "vae", "diffedit", "blended", "directedit", "flowedit"]
    totals = pie_bench.main(arguments)
    result = rows_of(out)
    assert len(result) == 10
    assert not [row["error"] for row in result.values() if row["error"]]
    assert float(result["vae", "000"]["evaluations"]) == 0
    # 10 noises under both texts; 3 steps of inversion without and 3 of sampling with guidance.
    assert float(result["diffedit", "000"]["evaluations"]) == 2 * 10 + 3 + 2 * 3
    assert float(result["blended", "000"]["evaluations"]) == 2 * 4
    assert float(result["directedit", "000"]["evaluations"]) == 3 + 2 * 3
    assert float(result["flowedit", "000"]["evaluations"]) == 4 * 3
    assert 0 <= float(result["diffedit", "000"]["mask_iou"]) <= 1
    assert totals["vae"]["psnr_unedit_part"] > max(20, totals["flowedit"]["psnr_unedit_part"])
    protocol = json.loads((out / "protocol.json").read_text())
    assert protocol["methods"]["blended"]["annotated_mask_is_an_input"] is True
    assert protocol["methods"]["diffedit"]["annotated_mask_is_an_input"] is False
    assert protocol["fixed"]["edited_at"] == 256
    made = sorted(out.glob("*/annotation_images/**/*.png"))
    times = {path: path.stat().st_mtime_ns for path in made}
    assert len(made) == 10
    lines = (out / "rows.csv").read_text().splitlines(keepends=True)
    (out / "rows.csv").write_text("".join(lines[:-1]) + lines[-1][:20])
    again = pie_bench.main(arguments)
    for name, values in totals.items():
        assert again[name] == pytest.approx(values, abs=1e-9, nan_ok=True)
    changed = [path for path in made if path.stat().st_mtime_ns != times[path]]
    assert changed == [out / "flowedit" / "annotation_images" / "8_change_background_80" / "b.png"]


def test_pie_bench_plus_plus_is_read_from_parquet(folders, tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="PIE-Bench++ is parquet, which needs the optional pyarrow")
    from pyarrow import parquet

    data = tmp_path / "pp"
    for number, (key, row) in enumerate(ROWS.items()):
        name = row["image_path"].split("/")[0]
        file = io.BytesIO()
        picture(number).save(file, "png")
        table = pyarrow.Table.from_pylist(
            [
                {
                    "id": key,
                    "source_prompt": row["original_prompt"],
                    "target_prompt": row["editing_prompt"],
                    "edit_action": "{}",
                    "aspect_mapping": "{}",
                    "blended_words": ["cat,dog"],
                    "mask": " ".join(map(str, row["mask"])),
                    "image": {"bytes": file.getvalue(), "path": f"{key}.png"},
                }
            ]
        )
        (data / name).mkdir(parents=True, exist_ok=True)
        parquet.write_table(table, data / name / f"V1-0000{number}-of-00004.parquet")
    name, rows = pie_rows.read(data)
    assert name == "PIE-Bench++"
    wanted = {row.key: row for row in pie_rows.read(folders[0])[1]}
    assert len(rows) == 4
    for number, row in enumerate(sorted(rows, key=lambda row: row.key)):
        same = wanted[row.key]
        assert (row.category, row.source, row.target) == (same.category, same.source, same.target)
        assert row.mask.equal(same.mask)
        assert row.picture()[0].equal(torch.from_numpy(np.array(picture(number))).float()[None] / 255)
    assert [row.key for row in pie_rows.read(data, [8])[1]] == ["001"]
