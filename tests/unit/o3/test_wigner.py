"""Couplings and Wigner matrices against e3nn and their own docstrings."""

import copy
import pickle

import e3nn.o3
import pytest
import torch

from subduce.o3 import Irrep, Irreps, clebsch_gordan, euler_to_matrix, irrep_matrix, random_rotations, wigner_d


@pytest.fixture
def e3nn_in_float64():
    """e3nn computes in torch's default dtype, in float32 with errors of 1e-6."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.mark.usefixtures("e3nn_in_float64")
def test_couplings_equal_e3nn():
    triples = [(a, b, c) for a in range(7) for b in range(7) for c in range(abs(a - b), min(a + b, 6) + 1)]
    for triple in triples:
        expected = e3nn.o3.wigner_3j(*triple, dtype=torch.float64)
        torch.testing.assert_close(clebsch_gordan(*triple), expected, rtol=0, atol=1e-14)


@pytest.mark.usefixtures("e3nn_in_float64")
@pytest.mark.parametrize("l", range(7))
def test_wigner_matrices_equal_e3nn(l):
    angles = torch.rand(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(l)) * 6
    expected = e3nn.o3.wigner_D(l, *angles)
    torch.testing.assert_close(wigner_d(l, euler_to_matrix(*angles)), expected, rtol=0, atol=1e-12)


def test_the_default_dtype_and_device_do_not_matter():
    with torch.device("meta"):  # a table made here must hold numbers all the same
        coupling = clebsch_gordan(5, 4, 7)
    assert coupling.dtype == torch.float64
    assert coupling.device.type == "cpu"
    assert coupling.norm().item() == pytest.approx(1, abs=1e-15)


def test_couplings_vanish_exactly_or_not_at_all():
    for triple in ((4, 3, 2), (6, 6, 6), (8, 7, 11)):
        size = clebsch_gordan(*triple).abs()
        assert size[size > 0].min() > 1e-6


def test_a_coupling_made_in_inference_mode_can_be_trained_with():
    with torch.inference_mode():
        clebsch_gordan(3, 5, 6)
    weight = torch.ones(7, dtype=torch.float64, requires_grad=True)
    torch.einsum("i,ijk->jk", weight, clebsch_gordan(3, 5, 6)).square().sum().backward()
    assert weight.grad is not None


def test_changing_a_coupling_leaves_the_next_one_alone():
    clebsch_gordan(1, 1, 1).zero_()
    assert clebsch_gordan(1, 1, 1).norm() > 0


@pytest.mark.parametrize("triple", [(1, 1, 3), (0, 2, 1), (-1, 1, 0)])
def test_degrees_that_do_not_couple_are_refused(triple):
    with pytest.raises(ValueError, match="couple"):
        clebsch_gordan(*triple)


def test_matrices_come_in_batches_and_in_float64(generator):
    rotation = random_rotations(6, generator=generator, dtype=torch.float32).unflatten(0, (2, 3))
    d = wigner_d(2, rotation)
    assert (d.shape, d.dtype) == ((2, 3, 5, 5), torch.float64)
    torch.testing.assert_close(d[1, 2], wigner_d(2, rotation[1, 2]))
    assert wigner_d(3, torch.zeros(0, 3, 3)).shape == (0, 7, 7)


def test_matrices_can_be_differentiated(generator):
    rotation = random_rotations(1, generator=generator)[0].requires_grad_(True)
    assert torch.autograd.gradcheck(lambda r: wigner_d(3, r), rotation)


def test_parity_is_what_tells_polar_from_axial():
    inversion = -torch.eye(3, dtype=torch.float64)
    signs = [irrep_matrix(ir, inversion)[0, 0].round(decimals=12).item() for ir in ("0e", "0o", "1e", "1o", "2e", "2o")]
    assert signs == [1, -1, 1, -1, 1, -1]


def test_what_is_not_a_rotation_is_refused():
    stretched = torch.diag(torch.tensor([1.0, 1.0, 1.1]))
    for turn in (lambda r: wigner_d(1, r), lambda r: irrep_matrix("1o", r), Irreps("1o").D):
        with pytest.raises(ValueError, match="orthogonal"):
            turn(stretched)
        with pytest.raises(ValueError, match="orthogonal"):
            turn(torch.full((3, 3), torch.nan))
    with pytest.raises(ValueError, match="irrep_matrix"):
        wigner_d(1, -torch.eye(3))


def test_names_of_irreps_are_read_strictly():
    assert Irreps(" 2 x 0e+1o ") == Irreps([(2, Irrep(0, 1)), Irrep(1, -1)])
    for wrong in ("1", "0x", "1e+", "2y1o", "-1x1o"):
        with pytest.raises(ValueError, match="expected irreps"):
            Irreps(wrong)
    for wrong in ("2x1o", "o", "1p"):
        with pytest.raises(ValueError, match="expected an irrep"):
            Irrep.parse(wrong)


def test_irreps_of_features():
    irreps = Irreps("2x0e+3x1o")
    assert irreps.D(torch.eye(3).expand(4, 3, 3)).shape == (4, 11, 11)
    assert irreps[1].dim == 9
    assert irreps[:1] == Irreps("2x0e")
    assert "1o" in irreps
    assert "1e" not in irreps
    assert Irreps("").D(torch.eye(3)).shape == (0, 0)
    assert pickle.loads(pickle.dumps(irreps)) == copy.deepcopy(irreps) == irreps
    x = torch.arange(11.0)
    assert irreps.to_e3nn(x).tolist() == [0, 1, 2, 5, 8, 3, 6, 9, 4, 7, 10]
