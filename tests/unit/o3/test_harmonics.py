"""Spherical harmonics: values against e3nn and scipy, derivatives at the origin, compiled and exported."""

import e3nn.o3
import numpy as np
import pytest
import scipy.special
import torch
from torch.autograd import gradcheck, gradgradcheck

from subduce.o3 import Irreps, convention_matrix, spherical_harmonics


def some_vectors(n=20, dtype=torch.float64):
    return torch.randn(n, 3, dtype=dtype, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("normalization", ["component", "integral", "norm"])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("l", range(12))
def test_values_equal_e3nn(l, normalize, normalization):
    vectors = some_vectors()
    found = spherical_harmonics(l, vectors, normalize=normalize, normalization=normalization)
    expected = e3nn.o3.spherical_harmonics(l, vectors, normalize, normalization)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12 * expected.abs().max().item())


def test_vectors_are_their_own_first_degree():
    vectors = some_vectors()
    torch.testing.assert_close(
        spherical_harmonics(1, vectors, normalize=False, normalization="norm"), vectors, rtol=0, atol=0
    )


def test_float32_is_as_good_as_float32():
    vectors = some_vectors(dtype=torch.float32)
    found, exact = (spherical_harmonics(range(5), v) for v in (vectors, vectors.double()))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=3e-6)


def test_degrees_can_be_asked_for_by_number_or_as_irreps():
    vectors = some_vectors()
    torch.testing.assert_close(spherical_harmonics("1x1e", vectors), spherical_harmonics(1, vectors), rtol=0, atol=0)
    irreps = spherical_harmonics(Irreps("2e+1o"), vectors)
    torch.testing.assert_close(irreps, spherical_harmonics([2, 1], vectors), rtol=0, atol=0)
    parts = [spherical_harmonics(2, vectors), spherical_harmonics(1, vectors)]
    torch.testing.assert_close(irreps, torch.cat(parts, -1), rtol=0, atol=0)


@pytest.mark.parametrize("shape", [(3,), (0, 3), (2, 0, 3), (2, 4, 3)])
def test_any_batch_of_vectors(shape):
    vectors = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    found = spherical_harmonics([0, 2, 3], vectors)
    assert found.shape == (*shape[:-1], 13)
    torch.testing.assert_close(found.reshape(-1, 13), spherical_harmonics([0, 2, 3], vectors.reshape(-1, 3)))


def test_what_cannot_be_meant_is_refused():
    vectors = some_vectors()
    with pytest.raises(ValueError, match="one copy"):
        spherical_harmonics(Irreps("2x1o"), vectors)
    with pytest.raises(ValueError, match="normalization"):
        spherical_harmonics(1, vectors, normalization="sum")
    for degrees in (-1, [], ""):
        with pytest.raises(ValueError, match="degrees"):
            spherical_harmonics(degrees, vectors)
    with pytest.raises(ValueError, match="convention"):
        convention_matrix(1, "mine")


@pytest.mark.parametrize("normalize", [True, False])
def test_derivatives_are_right(normalize):
    vectors = some_vectors(3).requires_grad_(True)
    assert gradcheck(lambda v: spherical_harmonics(range(5), v, normalize=normalize), vectors)
    assert gradgradcheck(lambda v: spherical_harmonics(range(5), v, normalize=normalize), vectors)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_zero_vector_gives_zeros_to_the_third_derivative(dtype):
    vectors = torch.zeros(1, 3, dtype=dtype, requires_grad=True)
    y = spherical_harmonics(range(5), vectors)
    assert y.tolist() == [[1.0] + [0.0] * 24]
    values = y
    for _ in range(3):
        (values,) = torch.autograd.grad((values + values**2).sum(), vectors, create_graph=True)
        assert values.tolist() == [[0.0] * 3]


@pytest.mark.parametrize(("dtype", "exponents"), [(torch.float32, range(-30, 6)), (torch.float64, range(-200, 40, 4))])
def test_no_length_makes_a_derivative_overflow(dtype, exponents):
    lengths = torch.tensor([10.0**k for k in exponents], dtype=dtype)
    vectors = (some_vectors(len(lengths), dtype) * lengths[:, None]).requires_grad_(True)
    y = spherical_harmonics(range(4), vectors)
    (first,) = torch.autograd.grad((y * y.detach().sin()).sum(), vectors, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), vectors)
    assert first.isfinite().all()
    assert second.isfinite().all()


@pytest.mark.usefixtures("compiling")
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiles_in_one_graph_to_the_same_numbers(backend):
    vectors = some_vectors(6).requires_grad_(True)
    compiled = torch.compile(
        lambda v: spherical_harmonics(range(5), v).square().sin().sum(), backend=backend, fullgraph=True, dynamic=True
    )
    expected = spherical_harmonics(range(5), vectors).square().sin().sum()
    torch.testing.assert_close(compiled(vectors), expected, rtol=1e-13, atol=1e-13)
    slopes = [torch.autograd.grad(value, vectors)[0] for value in (compiled(vectors), expected)]
    torch.testing.assert_close(*slopes, rtol=1e-12, atol=1e-12)


@pytest.mark.usefixtures("compiling")
def test_exports_and_differentiates_by_transforms():
    class Harmonics(torch.nn.Module):
        def forward(self, vectors):
            return spherical_harmonics([0, 1, 3], vectors)

    vectors = some_vectors(4)
    exported = torch.export.export(Harmonics(), (vectors,)).module()
    torch.testing.assert_close(exported(vectors), Harmonics()(vectors), rtol=1e-13, atol=1e-13)
    batched = torch.vmap(Harmonics())(vectors)
    torch.testing.assert_close(batched, Harmonics()(vectors), rtol=1e-13, atol=1e-13)
    hessian = torch.func.hessian(lambda v: Harmonics()(v).sum())(vectors[0])
    assert hessian.isfinite().all()


def usual_real_harmonics(l, vectors):
    """Wikipedia's, m = −l … l, from scipy's complex ones (which carry the Condon-Shortley phase)."""
    x, y, z = vectors.numpy().T
    polar, azimuth = np.arctan2(np.hypot(x, y), z), np.arctan2(y, x)
    columns = []
    for m in range(-l, l + 1):
        value = scipy.special.sph_harm_y(l, abs(m), polar, azimuth) * (-1) ** m
        columns.append(value.real if m == 0 else 2**0.5 * (value.imag if m < 0 else value.real))
    return torch.from_numpy(np.stack(columns, -1))


@pytest.mark.parametrize("l", range(6))
def test_other_conventions(l):
    vectors = some_vectors()
    ours, usual = spherical_harmonics(l, vectors, normalization="integral"), usual_real_harmonics(l, vectors)
    orders = {
        "z-axis": range(-l, l + 1),
        "pyscf": (1, -1, 0) if l == 1 else range(-l, l + 1),
        "e3x": [m for k in range(l, 0, -1) for m in (k, -k)] + [0],
    }
    for convention, order in orders.items():
        expected = usual[:, [l + m for m in order]]
        torch.testing.assert_close(ours @ convention_matrix(l, convention).mT, expected, rtol=0, atol=1e-12)
