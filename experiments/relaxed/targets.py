"""The data of the experiment: images and crystals as points of grids, and a pendulum's motion, all without a step."""

import numpy as np
from scipy.integrate import solve_ivp

from subduce.groups import FiniteGroup, Subgroup, grid_action, stabiliser

IMAGES = {
    "square": ((2, 2), (2, 6), (6, 2), (6, 6)),
    "rectangle": ((1, 3), (1, 5), (7, 3), (7, 5)),
    "asymmetric": ((1, 3), (1, 7), (7, 3), (7, 5)),
}
POLAR = {"P4mm": (0, 0, 1), "Amm2": (0, 1, 1), "R3m": (1, 1, 1)}  # where titanium goes, in steps of the grid
GRAVITY = 9.81  # m/s²; the pendulum is 1 m long
START = np.pi / 4


def images(target: str) -> tuple[np.ndarray, np.ndarray]:
    """The square and what it becomes, [channel, row, column]."""
    pair = []
    for name in ("square", target):
        field = np.zeros((1, 9, 9))
        field[0][tuple(np.transpose(IMAGES[name]))] = 1
        pair.append(field)
    return pair[0], pair[1]


def crystals(target: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Cubic BaTiO3 and what it becomes, [species, x, y, z]: barium in the middle of a grid of odd size.

    Titanium is at eight corners three steps away along each axis, oxygen at the faces' centres. Polar phases have all
    titanium one step along a direction; `strained` has the whole cell one step longer on both sides along z.
    """
    reach = np.array([3, 3, 4 if target == "strained" else 3])
    corners = np.stack(np.meshgrid(*[(-1, 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    faces = np.concatenate([np.eye(3, dtype=int), -np.eye(3, dtype=int)])
    cubic = (np.zeros((1, 3), dtype=int), 3 * corners, 3 * faces)
    changed = (cubic[0], reach * corners + np.array(POLAR.get(target, (0, 0, 0))), reach * faces)
    pair = []
    for structure in (cubic, changed):
        field = np.zeros((3, size, size, size))
        for species, places in enumerate(structure):
            field[species][tuple((places + size // 2).T)] = 1
        pair.append(field)
    return pair[0], pair[1]


def kept_by(group: FiniteGroup, *fields: np.ndarray) -> Subgroup:
    """The elements that keep every field, [channel, *space] with channels that do not turn: by moving its points."""
    moves = grid_action(group.matrices, fields[0].shape[1:])
    keeps = np.ones(group.order, dtype=bool)
    for field in fields:
        flat = field.reshape(len(field), -1)
        keeps &= np.array([np.array_equal(flat[:, move], flat) for move in moves])
    return stabiliser(group, keeps.tolist())


def motion(equation: str, damping: float, times: np.ndarray, start=(START, 0.0)) -> np.ndarray:
    """Angle, velocity and acceleration of θ″ = −2β θ′ − (g/L) θ, or sin θ, at some times, [3, time]; β below √(g/L).

    The linear one by its closed form; the other one has none with damping, and is integrated to eleven digits.
    """
    square, (angle0, velocity0) = GRAVITY, start
    if equation == "linear":
        turns = np.sqrt(square - damping**2)
        mixed = (velocity0 + damping * angle0) / turns
        decay, cosine, sine = np.exp(-damping * times), np.cos(turns * times), np.sin(turns * times)
        angle = decay * (angle0 * cosine + mixed * sine)
        velocity = -damping * angle + decay * turns * (mixed * cosine - angle0 * sine)
        return np.stack([angle, velocity, -2 * damping * velocity - square * angle])

    def slopes(_, state):
        return state[1], -2 * damping * state[1] - square * np.sin(state[0])

    ends = (0.0, float(times[-1]))
    angle, velocity = solve_ivp(slopes, ends, start, method="DOP853", t_eval=times, rtol=1e-12, atol=1e-13).y
    return np.stack([angle, velocity, -2 * damping * velocity - square * np.sin(angle)])


def windows(task: str, equation: str, damping: float, frames: int, window: int, reversed_too: bool = False):
    """Inputs and targets [sample, channel, time], in units in which the linear pendulum swings between −1 and 1.

    The `law` has angle and velocity as input and the acceleration as target, `window` the angle as both. With
    `reversed_too` every window comes a second time, backwards, with the other sign of the velocity.
    """
    scale = START * np.array([1, GRAVITY**0.5, GRAVITY])[:, None]
    path = motion(equation, damping, 0.01 * np.arange(frames)) / scale
    pieces = np.lib.stride_tricks.sliding_window_view(path, window, axis=1).transpose(1, 0, 2)
    if reversed_too:
        pieces = np.concatenate([pieces, np.array([1, -1, 1])[:, None] * pieces[:, :, ::-1]])
    return (pieces[:, :2], pieces[:, 2:]) if task == "law" else (pieces[:, :1], pieces[:, :1])
