"""How things turn: irreps, harmonics, couplings, and tensors in their irreducible parts."""

import torch

from subduce.o3 import CartesianTensor, Irreps, clebsch_gordan, random_rotations, spherical_harmonics

generator = torch.Generator().manual_seed(0)
rotation = random_rotations(1, generator=generator)[0]

# A feature vector of 4 scalars and 2 polar vectors, and the matrix by which a rotation acts on it.
irreps = Irreps("4x0e + 2x1o")
print(irreps, "has", irreps.dim, "numbers; D is", tuple(irreps.D(rotation).shape))

# Harmonics turn with their argument: Y(R v) = D(R) Y(v), for every degree at once.
degrees = Irreps.spherical_harmonics(4)
vector = torch.randn(3, generator=generator, dtype=torch.float64)
turned = spherical_harmonics(degrees, rotation @ vector)
assert torch.allclose(turned, degrees.D(rotation) @ spherical_harmonics(degrees, vector))

# Two vectors couple to a scalar (their dot product), an axial vector (their cross product) and 2e.
a, b = torch.randn(2, 3, generator=generator, dtype=torch.float64)
axial = torch.einsum("a,b,abc->c", a, b, clebsch_gordan(1, 1, 1))
assert torch.allclose(axial * 6**0.5, torch.linalg.cross(a, b))

# A stress tensor is a pressure (0e) and five numbers of shear (2e); an elasticity tensor is more.
stress = torch.eye(3, dtype=torch.float64) + 0.1 * torch.outer(a, a)
tensor = CartesianTensor("ij=ji")
assert torch.allclose(tensor.from_irreps(tensor.to_irreps(stress)), stress)
print("stress:", tensor.irreps, "  elasticity:", CartesianTensor("ijkl=jikl=klij").irreps)
