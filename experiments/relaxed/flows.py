"""Flows by pseudo-spectral simulation in a periodic box of side 2π, and random fields of known symmetry."""

import numpy as np
from scipy import fft


def waves(size: int, dimension: int) -> np.ndarray:
    """The wave vectors of a real field's half spectrum, [axis, *wave]."""
    whole = np.fft.fftfreq(size, 1 / size)
    return np.array(np.meshgrid(*[whole] * (dimension - 1), np.arange(size // 2 + 1.0), indexing="ij"))


class _Box:
    """What both simulations share: transforms, wave vectors without the third that products would fold, and steps."""

    def __init__(self, size: int, dimension: int) -> None:
        self.shape, self.axes = (size,) * dimension, tuple(range(-dimension, 0))
        self.k = waves(size, dimension)
        self.square = (self.k**2).sum(axis=0)
        self.inverse = np.divide(1, self.square, out=np.zeros_like(self.square), where=self.square > 0)
        self.inside = (np.abs(self.k) < size / 3).all(axis=0)

    def there(self, field):
        return fft.rfftn(field, axes=self.axes)

    def back(self, spectrum):
        return fft.irfftn(spectrum, s=self.shape, axes=self.axes)

    def stepped(self, state, slopes, step, viscosity):
        """Runge and Kutta's fourth order, with viscosity exact."""
        half = np.exp(-viscosity * self.square * step / 2)
        whole = half**2
        k1 = slopes(state)
        k2 = slopes(half * (state + step / 2 * k1))
        k3 = slopes(half * state + step / 2 * k2)
        k4 = slopes(whole * state + step * half * k3)
        return whole * state + step / 6 * (whole * k1 + 2 * half * (k2 + k3) + k4)


def turbulence(
    start, size, frames, every, spin, *, step, viscosity, rotation=0.0, stratification=0.0, magnetic=0.0
) -> np.ndarray:
    """Velocities [frame, 3, x, y, z] of forced flow in space, the first `spin` time units after its start.

    `start` is a seed, or the random numbers [3, x, y, z] themselves. The waves of |k| ≤ 2.5 keep their energy.
    `rotation` about z is the angular velocity; `stratification` the buoyancy frequency of a fluid heavier below.
    `magnetic` is the rate σB²/ρ at which a strong field along z damps what varies along it, in a liquid metal.
    """
    box = _Box(size, 3)
    large = (box.square > 0) & (box.square <= 6.25)
    counted = np.where(box.k[2] % (size / 2) == 0, 1, 2)
    k = box.k

    def energy(u):
        return (counted * np.abs(u) ** 2).sum() / 2 / size**6

    def solenoidal(u):
        return u - k * ((k * u).sum(axis=0) * box.inverse)

    def cross(a, b):
        return np.stack([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])

    def slopes(state):
        speed, spins = box.back(state[:3]), box.back(1j * cross(k, state[:3]))
        spins[2] += 2 * rotation
        change = box.there(cross(speed, spins)) * box.inside
        if len(state) == 3:
            return solenoidal(change)
        change[2] += state[3]
        carried = 1j * (k * box.there(speed * box.back(state[3]))).sum(axis=0) * box.inside
        return np.concatenate([solenoidal(change), -carried[None] - stratification**2 * state[2:3]])

    if isinstance(start, int):
        start = np.random.default_rng(start).normal(size=(3, *box.shape))
    state = solenoidal(box.there(start) * np.exp(-box.square / 12) * (box.inside & (box.square > 0)))
    state *= (0.5 / energy(state)) ** 0.5
    wanted = energy(state * large)
    if stratification:
        state = np.concatenate([state, np.zeros_like(state[:1])])
    found = []
    for count in range(round(spin / step) + round(every / step) * (frames - 1) + 1):
        past = count - round(spin / step)
        if past >= 0 and past % round(every / step) == 0:
            found.append(box.back(state[:3]))
        state = box.stepped(state, slopes, step, viscosity)
        state[:3] *= np.exp(-magnetic * step * k[2] ** 2 * box.inverse)
        state[:3][:, large] *= (wanted / energy(state[:3] * large)) ** 0.5
    return np.stack(found)


def plane_flow(vorticity, frames, every, *, step, viscosity, drift=0.0, smoke=None, source=0.0, force=(0.0, 0.0)):
    """Vorticity [run, frame, x, y], velocity [run, frame, 2, x, y] and smoke of flows in the plane, `every` steps.

    ∂ω/∂t + u·∇ω + drift u_y = ν∇²ω + curl(s·force), ∂s/∂t + u·∇s = ν∇²s + source, for runs [run, x, y] at a time,
    each with its force [run, 2]. `drift` is the gradient of the planet's rotation, β, with y to the north.
    """
    size = vorticity.shape[-1]
    box = _Box(size, 2)
    k, l = box.k
    force = np.broadcast_to(force, (len(vorticity), 2))[..., None, None]
    smoke = np.zeros_like(vorticity) if smoke is None else smoke
    source = box.there(np.broadcast_to(source, vorticity.shape)) * box.inside

    def velocity(state):
        stream = state[0] * box.inverse
        return np.stack([1j * l * stream, -1j * k * stream])

    def slopes(state):
        u = velocity(state)
        x, y = box.back(u)
        carried = box.there(x * box.back(1j * k * state) + y * box.back(1j * l * state))
        curl = 1j * (k * force[:, 1] - l * force[:, 0]) * state[1]
        return np.stack([curl - drift * u[1], source]) - carried * box.inside

    state = box.there(np.stack([vorticity, smoke])) * box.inside
    found = []
    for frame in range(frames):
        if frame:
            for _ in range(every):
                state = box.stepped(state, slopes, step, viscosity)
        found.append(np.concatenate([box.back(state), box.back(velocity(state))]))
    whole = np.stack(found, axis=2)  # [field, run, frame, x, y]
    return whole[0], whole[2:].transpose(1, 2, 0, 3, 4), whole[1]


def random_fields(draw, count: int, size: int, spectrum, dimension: int = 2) -> np.ndarray:
    """Gaussian fields [count, *space] of unit variance, whose spectrum is a function of the wave vectors."""
    box = _Box(size, dimension)
    weight = np.sqrt(spectrum(box.k)) * (box.square > 0)
    field = box.back(box.there(draw.normal(size=(count, *box.shape))) * weight)
    return field / field.std()


def scale_dependent(anisotropy: float, below: float):
    """A spectrum |k|⁻³ (1 + a cos 2θ), θ the angle to x, with a = 0 from |k| = `below` on."""

    def spectrum(k):
        square = (k**2).sum(axis=0)
        angle = np.divide(k[0] ** 2 - k[1] ** 2, square, out=np.zeros_like(square), where=square > 0)
        return np.maximum(square, 1) ** -1.5 * (1 + anisotropy * angle * (square < below**2))

    return spectrum


def near_walls(draw, count: int, size: int, uneven: bool) -> tuple[np.ndarray, np.ndarray]:
    """Solenoidal velocities [count, 2, x, y] in a channel, and their mean squares by y, [2, y], as they must be.

    Eddies are small by the walls, where y ends, and large in the middle; or both are everywhere as much as on the mean.
    """
    across = np.cos(2 * np.pi * (np.arange(size) + 0.5) / size)
    shares = np.stack([(1 + across) / 2, (1 - across) / 2])  # of small eddies and of large ones
    slopes = np.stack([-1, 1])[:, None] * np.sin(2 * np.pi * (np.arange(size) + 0.5) / size) / 2
    if not uneven:
        shares, slopes = np.sqrt((shares**2).mean(axis=1, keepdims=True)) + 0 * shares, 0 * slopes
    box, speeds, squares = _Box(size, 2), 0.0, np.zeros((2, size))
    for share, slope, scale in zip(shares, slopes, (5.0, 2.0), strict=True):
        stream = random_fields(draw, count, size, lambda k, s=scale: np.exp(-(k**2).sum(axis=0) / s**2)) / 4
        x, y = box.back(1j * box.k[:, None] * box.there(stream))
        speeds = speeds + np.stack([share * y + slope * stream, -share * x], axis=1)
        weight = np.exp(-box.square / scale**2) * (box.square > 0) * np.where(box.k[1] % (size / 2) == 0, 1, 2)
        gradient = (box.square * weight).sum() / weight.sum() / 2 / 16  # of the stream, along one axis
        squares += np.stack([share**2 * gradient + slope**2 / 16, share**2 * gradient])
    return speeds, squares


def carried(draw, velocity: np.ndarray, time: float) -> tuple[np.ndarray, np.ndarray]:
    """A smooth random tracer and itself a little later in each flow, [count, x, y].

    To second order in time, so that over all such flows the tracer spreads by the diffusivities time²⟨u_i u_j⟩/2.
    """
    count, _, size, _ = velocity.shape
    before = random_fields(draw, count, size, lambda k: np.exp(-(k**2).sum(axis=0) / 4.0))
    box = _Box(size, 2)

    def along(field):
        return (velocity.swapaxes(0, 1) * box.back(1j * box.k[:, None] * box.there(field))).sum(axis=0)

    first = along(before)
    return before, before - time * first + time**2 / 2 * along(first)
