"""Write what published structures break anew, with the sources: `python tests/golden/regenerate_structures.py`."""

import json
from pathlib import Path
from typing import Any

import ase
import ase.io

from subduce.discovery import order_parameters

HERE = Path(__file__).parent
FILE = HERE / "structures.json"
STRUCTURES = HERE.parent / "data" / "perovskites.extxyz"


def pairs() -> dict[str, tuple[ase.Atoms, ase.Atoms]]:
    """Every child with its parent; that of GdFeO3, which never is cubic, is the cube of its volume."""
    known = {atoms.info["name"]: atoms for atoms in ase.io.read(STRUCTURES, index=":")}
    found = {}
    for name, child in known.items():
        parent = known.get(child.info.get("parent") or "")
        if name == "GdFeO3_Pnma":
            edge = (child.get_volume() / 4) ** (1 / 3)
            places = [[0.5, 0.5, 0.5], [0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]]
            parent = ase.Atoms("GdFeO3", cell=[edge] * 3, pbc=True, scaled_positions=places)
        if parent is not None:
            found[name] = (parent, child)
    return found


def answers() -> dict[str, dict[str, Any]]:
    """For every child its group and index, the modes with direction, amplitude and isotropy subgroup, and the source."""
    found = {}
    for name, (parent, child) in pairs().items():
        results = order_parameters(parent, child).results
        found[name] = {
            "source": child.info["citation"],
            "origin": results["origin"]["site"],
            "child": [results["child"]["number"], results["child"]["symbol"]],
            "index": results["index"],
            "primary": sorted(mode["irrep"] for mode in results["modes"] if mode["primary"]),
            "modes": {
                mode["irrep"]: [mode["direction_symbol"], round(mode["amplitude"], 5), mode["isotropy_subgroup"]["number"]]
                for mode in results["modes"]
            },
            "couplings": {entry["irrep"]: entry["coupling"] for entry in results["secondary"]},
            "strain": {entry["irrep"]: round(entry["amplitude"], 5) for entry in results["strain"]},
        }
    return found


def main() -> None:
    """Compare with what is stored, then store."""
    old = json.loads(FILE.read_text()) if FILE.exists() else {}
    new = answers()
    for name, answer in new.items():
        print(f"{name:24s} {'as before' if old.get(name) == answer else f'{old.get(name)} -> {answer}'}")
    FILE.write_text(json.dumps(new, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
