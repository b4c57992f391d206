import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from subduce.config import InputError
from subduce.data import Batch
from subduce.models import Prediction, forces_and_stress
from subduce.train import LossConfig, Objective, Term
from tests.training import PairNetwork, dataset, labelled, molecule, without

PAIRS = dataset(6)


def predicted(batch: Batch, *, stress: bool = False, create_graph: bool = False) -> Prediction:
    return forces_and_stress(PairNetwork(), batch.graph, stress=stress, create_graph=create_graph)


def value(objective: Objective, batch: Batch, prediction: Prediction | None = None) -> torch.Tensor:
    return objective.value(objective.sums(prediction or predicted(batch), batch), objective.counts(batch))


def test_the_mean_squared_error_is_the_mean_of_squares():
    batch = Batch.collate(PAIRS.batches)
    prediction, labels = predicted(batch), batch.labels
    atoms = batch.graph.atoms_per_structure()
    energy = ((prediction.energy - labels.energy) / atoms).square().mean()
    forces = (prediction.forces - labels.forces).square().mean()
    found = value(Objective(Term("per_atom_energy", 2.0), Term("forces", 3.0)), batch)
    torch.testing.assert_close(found, 2 * energy + 3 * forces)
    total = value(Objective(Term("total_energy", 1.0)), batch)
    torch.testing.assert_close(total, (prediction.energy - labels.energy).square().mean())


def test_absolute_and_huber_errors():
    batch = PAIRS[3]
    difference = (predicted(batch).forces - batch.labels.forces).abs()
    torch.testing.assert_close(value(Objective(Term("forces", 1.0, "mae")), batch), difference.mean())
    delta = difference.median().item()
    quadratic, linear = 0.5 * difference**2, delta * (difference - 0.5 * delta)
    expected = torch.where(difference <= delta, quadratic, linear).mean()
    torch.testing.assert_close(value(Objective(Term("forces", 1.0, "huber", delta)), batch), expected)


def test_balanced_species_count_alike():
    batch = Batch.collate(PAIRS.batches)
    squares = (predicted(batch).forces - batch.labels.forces).square().mean(-1)
    means = [squares[batch.graph.atomic_numbers == number].mean() for number in (1, 6)]
    found = value(Objective(Term("forces", 1.0, balance_species=True)), batch)
    torch.testing.assert_close(found, sum(means) / 2)


@given(cut=st.integers(1, 5), kind=st.sampled_from(["mse", "mae", "huber"]), balance=st.booleans())
def test_parts_with_the_counts_of_the_whole_add_up(cut, kind, balance):
    objective = Objective(Term("per_atom_energy", 1.0, kind), Term("forces", 10.0, kind, balance_species=balance))
    whole = Batch.collate(PAIRS.batches)
    counts = objective.counts(whole)
    parts = [Batch.collate(PAIRS.batches[:cut]), Batch.collate(PAIRS.batches[cut:])]
    torch.testing.assert_close(counts, sum(objective.counts(part) for part in parts))
    total = sum(objective.value(objective.sums(predicted(part), part), counts) for part in parts)
    torch.testing.assert_close(total, value(objective, whole), rtol=1e-12, atol=0)


def test_a_missing_label_is_left_out():
    objective = Objective(Term("per_atom_energy", 1.0), Term("forces", 1.0))
    some = Batch.collate([PAIRS[0], without(PAIRS[1], energy=True), PAIRS[2]])
    atoms = some.graph.atoms_per_structure()
    errors = ((predicted(some).energy - some.labels.energy) / atoms).square()
    forces = (predicted(some).forces - some.labels.forces).square().mean()
    torch.testing.assert_close(value(objective, some), errors[[0, 2]].mean() + forces)


def test_a_label_that_a_batch_lacks_altogether_contributes_nothing():
    batch = without(PAIRS[3], energy=True)
    both = value(Objective(Term("per_atom_energy", 1.0), Term("forces", 1.0)), batch)
    torch.testing.assert_close(both, value(Objective(Term("forces", 1.0)), batch))
    assert value(Objective(Term("forces", 1.0)), without(PAIRS[3], forces=True)) == 0


@pytest.mark.parametrize("kind", ["mse", "mae", "huber"])
def test_gradients_are_finite_where_labels_lack_and_where_there_is_no_cell(kind):
    generator = torch.Generator().manual_seed(3)
    crystal = labelled(molecule(4, generator=generator, periodic=True), 0)
    bare = without(labelled(molecule(3, generator=generator), 1), energy=True, forces=True, stress=True)
    batch, model = Batch.collate([crystal, bare]), PairNetwork()
    objective = Objective(*(Term(name, 1.0, kind) for name in ("per_atom_energy", "forces", "stress")))
    prediction = forces_and_stress(model, batch.graph, create_graph=True)
    loss = objective.value(objective.sums(prediction, batch), objective.counts(batch))
    alone = objective.value(
        objective.sums(forces_and_stress(model, crystal.graph, create_graph=True), crystal), objective.counts(crystal)
    )
    torch.testing.assert_close(loss, alone)
    mixed = torch.autograd.grad(loss, list(model.parameters()))
    for gradient, expected in zip(mixed, torch.autograd.grad(alone, list(model.parameters())), strict=True):
        torch.testing.assert_close(gradient, expected)


def test_stress_is_compared_by_component():
    batch = labelled(molecule(5, generator=torch.Generator().manual_seed(0), periodic=True), 0)
    prediction = predicted(batch, stress=True)
    expected = (prediction.stress - batch.labels.stress).square().mean()
    torch.testing.assert_close(value(Objective(Term("stress", 1.0)), batch, prediction), expected)


def test_weights_of_structures_scale_their_errors_and_zero_leaves_out():
    graphs = [PAIRS[row].graph for row in (2, 3)]
    objective = Objective(Term("per_atom_energy", 1.0), Term("forces", 1.0))
    plain, light, none = (labelled(graphs[0], 0, weight=weight) for weight in (1.0, 0.25, 0.0))
    torch.testing.assert_close(value(objective, light), 0.25 * value(objective, plain))
    other = labelled(graphs[1], 1)
    torch.testing.assert_close(value(objective, Batch.collate([none, other])), value(objective, other))


def test_weights_are_chosen_for_the_labels_that_are_there():
    chosen = LossConfig().resolved({"energy", "forces", "stress"})
    assert (chosen.per_atom_energy, chosen.forces, chosen.stress, chosen.total_energy) == (1.0, 1.0, 100.0, 0.0)
    assert LossConfig().resolved({"energy"}).forces == 0
    assert LossConfig(total_energy=2.0).resolved({"energy"}).per_atom_energy == 0
    assert LossConfig(stress=0).resolved({"forces", "stress"}).stress == 0
    assert Objective.from_config(chosen).names == ("per_atom_energy", "forces", "stress")


def test_weights_that_are_given_ask_for_their_labels():
    assert LossConfig(total_energy=1.0, per_atom_energy=1.0, stress=2.0, forces=0.0).asked() == ("energy", "stress")
    with pytest.raises(InputError, match="nothing to learn"):
        LossConfig(forces=0).resolved({"forces"})
