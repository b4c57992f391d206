"""From a file of structures to a trained potential and its errors, in Python.

The same as `subduce train`, for scripts. Real runs take the default settings and minutes to hours;
here a small network learns for a few epochs from the ethanol that ships with the package.
"""

import tempfile
from importlib.resources import files

from subduce.models import load
from subduce.train import read_run, train

ethanol = files("subduce.data") / "assets"

with tempfile.TemporaryDirectory() as folder:
    config = read_run(
        ethanol / "ethanol_train.extxyz",
        [
            f"data.val={ethanol / 'ethanol_val.extxyz'}",
            f"data.test={ethanol / 'ethanol_test.extxyz'}",
            "model.r_max=4.0",
            "model.num_layers=2",
            "model.num_features=8",
            "model.l_max=1",
            "train.max_epochs=3",
        ],
    )
    record = train(config, folder=f"{folder}/run")
    errors = record.results["test"]
    print(f"forces {1000 * errors['forces_mae']:.0f} meV/Å, energy {1000 * errors['per_atom_energy_mae']:.1f} meV/atom")

    potential = load(f"{folder}/run/model.safetensors")
    print(f"{sum(p.numel() for p in potential.parameters())} parameters, cutoff {potential.cutoff} Å")
    assert errors["forces_mae"] < 0.3  # untrained: about 0.7
