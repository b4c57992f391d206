from pathlib import Path

import pytest
import torch
from torch import nn

from subduce.config import InputError
from subduce.data import Batch, Graph, Labels
from subduce.evaluation import energy_drift, equivariance_error, evaluate
from subduce.models import Potential, PotentialConfig, forces_and_stress, save
from tests.training import PairNetwork, Structures, dataset, labelled, molecule, without

ETHANOL = Path(__file__).parents[2] / "src" / "subduce" / "data" / "assets" / "ethanol_val.extxyz"


def labels_of(data: Structures) -> tuple[Batch, torch.Tensor, torch.Tensor]:
    """All structures with the errors of an untrained network in energy per atom and in forces."""
    batch = data.batch(range(len(data)))
    prediction = forces_and_stress(PairNetwork(), batch.graph, stress=False)
    energy = (prediction.energy - batch.labels.energy) / batch.graph.atoms_per_structure()
    return batch, energy, prediction.forces - batch.labels.forces


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_errors_are_means_over_all_structures_whatever_the_batches(batch_size):
    data = dataset(8)
    batch, energy, forces = labels_of(data)
    found = evaluate(PairNetwork(), data, batch_size=batch_size).results
    assert (found["n_structures"], found["n_atoms"]) == (8, batch.graph.num_atoms)
    assert found["per_atom_energy_mae"] == pytest.approx(energy.abs().mean().item())
    assert found["per_atom_energy_rmse"] == pytest.approx(energy.square().mean().sqrt().item())
    assert found["forces_mae"] == pytest.approx(forces.abs().mean().item())
    assert found["forces_rmse"] == pytest.approx(forces.square().mean().sqrt().item())
    for symbol, number in (("H", 1), ("C", 6)):
        here = forces[batch.graph.atomic_numbers == number]
        assert found[f"forces_mae_{symbol}"] == pytest.approx(here.abs().mean().item())
    assert "stress_mae" not in found
    assert "by_config_type" not in found


def test_labels_that_lack_are_not_counted():
    data = dataset(6)
    _, energy, _ = labels_of(data)
    gaps = Structures([without(data[0], energy=True), *data.batches[1:]])
    assert evaluate(PairNetwork(), gaps).results["per_atom_energy_mae"] == pytest.approx(energy[1:].abs().mean().item())
    energies = Structures([without(one, forces=True) for one in data.batches])
    found = evaluate(PairNetwork(), energies).results
    assert found["per_atom_energy_mae"] == pytest.approx(energy.abs().mean().item())
    assert not [key for key in found if key.startswith("forces")]
    nothing = Structures([without(one, energy=True, forces=True, stress=True) for one in data.batches])
    assert evaluate(PairNetwork(), nothing).results == {"n_structures": 6, "n_atoms": 22, "parity": {}}


def test_stress_of_crystals_beside_molecules():
    generator = torch.Generator().manual_seed(0)
    crystal = labelled(molecule(4, generator=generator, periodic=True), 0)
    mixed = Structures([crystal, labelled(molecule(3, generator=generator), 1)])
    prediction = forces_and_stress(PairNetwork(), crystal.graph)
    expected = (prediction.stress - crystal.labels.stress).abs().mean().item()
    assert evaluate(PairNetwork(), mixed).results["stress_mae"] == pytest.approx(expected)
    assert "stress_mae" not in evaluate(PairNetwork(), mixed, stress=False).results


def test_kinds_of_structures_are_told_apart():
    data = dataset(6)
    kinds = ["gas", "", "gas", "melt", "melt", "melt"]
    found = evaluate(PairNetwork(), Structures(data.batches, kinds), batch_size=4).results["by_config_type"]
    assert {kind: group["n_structures"] for kind, group in found.items()} == {"": 1, "gas": 2, "melt": 3}
    alone = evaluate(PairNetwork(), Structures(data.batches[3:])).results
    for key in ("forces_mae", "per_atom_energy_rmse", "n_atoms"):
        assert found["melt"][key] == pytest.approx(alone[key])


def test_parity_is_the_pairs_or_a_repeatable_choice_of_them():
    data = dataset(8)
    batch, _, error = labels_of(data)
    whole = evaluate(PairNetwork(), data, batch_size=3).results["parity"]
    reference, predicted = (torch.tensor(whole["forces"][key]) for key in ("reference", "predicted"))
    torch.testing.assert_close(reference, batch.labels.forces.flatten().float())
    torch.testing.assert_close(predicted, (batch.labels.forces + error).flatten().float())
    assert len(whole["per_atom_energy"]["reference"]) == 8
    few = evaluate(PairNetwork(), data, batch_size=3, parity_points=5).results["parity"]["forces"]
    again = evaluate(PairNetwork(), data, batch_size=8, parity_points=5).results["parity"]["forces"]
    assert all(few[key] == pytest.approx(again[key]) for key in few)
    assert len(few["reference"]) == 5
    assert set(few["reference"]) < set(whole["forces"]["reference"])


def test_progress_counts_structures_and_the_mode_is_put_back():
    heard, model = [], PairNetwork(dropout=0.5).train()
    first = evaluate(model, dataset(7), batch_size=3, on_progress=lambda done, total: heard.append((done, total)))
    assert heard == [(3, 7), (6, 7), (7, 7)]
    assert model.training
    assert first.results == evaluate(model, dataset(7), batch_size=3).results


def test_a_model_file_and_a_data_file(tmp_path):
    config = PotentialConfig(
        type_names=("H", "C", "O"), num_layers=1, num_features=2, l_max=1, avg_num_neighbors=8, r_max=4.0
    )
    save(Potential(config), tmp_path / "model.safetensors")
    record = evaluate(tmp_path / "model.safetensors", ETHANOL, device="cpu")
    assert record.kind == "evaluate"
    assert set(record.inputs) == {str(tmp_path / "model.safetensors"), str(ETHANOL)}
    assert record.results["n_atoms"] == 9 * record.results["n_structures"]
    assert "forces_mae_O" in record.results
    save(Potential(config.replace(type_names=("H", "C"))), tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="contains O, which the model has never seen; it knows H, C"):
        evaluate(tmp_path / "other.safetensors", ETHANOL)


class Slanted(nn.Module):
    """A model that knows where up is."""

    cutoff, elements = 3.0, ()

    def forward(self, graph: Graph) -> torch.Tensor:
        return graph.positions[:, 2]


def test_equivariance_error():
    graph = molecule(5, generator=torch.Generator().manual_seed(0))
    kept = equivariance_error(PairNetwork(), graph, generator=torch.Generator().manual_seed(1))
    assert max(kept.values()) < 1e-12
    broken = equivariance_error(Slanted(), graph, generator=torch.Generator().manual_seed(1))
    assert broken["forces"] > 0.5


def test_energy_drift_needs_a_trajectory():
    assert energy_drift([0, 1000], [1.0, 1.5], num_atoms=5) == pytest.approx(100.0)
    with pytest.raises(ValueError, match="at least 2"):
        energy_drift([0.0], [1.0], num_atoms=1)


def test_a_batch_counts_its_single_atoms():
    lone = molecule(1, generator=torch.Generator().manual_seed(0))
    one = torch.ones(1, dtype=torch.float64)
    labels = Labels(
        one, torch.zeros(1, 3, dtype=torch.float64), torch.full((1, 3, 3), torch.nan, dtype=torch.float64),
        one, one, one, one, torch.tensor([0]),
    )  # fmt: skip
    shift = PairNetwork().shifts[lone.atomic_numbers].item()
    found = evaluate(PairNetwork(), Structures([Batch(lone, labels)])).results
    assert found["total_energy_mae"] == pytest.approx(abs(shift - 1.0))
    assert found["forces_mae"] == 0
