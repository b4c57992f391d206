"""Pairs of fields: every format gives the same numbers, only what is asked for is read, bad files are refused."""

import pickle
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import netcdf_file

from subduce.config import InputError
from subduce.data import open_pairs

JHTDB = Path(__file__).parents[2] / "data" / "formats" / "jhtdb"
VELOCITY = "velocity=1o,pressure=0e"


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def arrays(rng):
    """Twelve pairs on a grid of 5 x 6: one scalar to one scalar."""
    return {"input": rng.normal(size=(12, 1, 5, 6)), "target": rng.normal(size=(12, 1, 5, 6)).astype(np.float32)}


@pytest.fixture
def save(tmp_path):
    def save(**arrays):
        np.savez(tmp_path / "pairs.npz", **arrays)
        return tmp_path / "pairs.npz"

    return save


def write(path, arrays):
    """The arrays in the format that the name asks for."""
    path.parent.mkdir(exist_ok=True)
    match path.name:
        case "stored.npz":
            np.savez(path, **arrays)
        case "packed.npz":
            np.savez_compressed(path, **arrays)
        case "fortran.npz":
            np.savez_compressed(path, **{name: np.asfortranarray(array) for name, array in arrays.items()})
        case "folder":
            path.mkdir()
            for name, array in arrays.items():
                np.save(path / f"{name}.npy", array)
        case "file.h5" | "four.nc":
            with h5py.File(path, "w") as file:
                for name, array in arrays.items():
                    file.create_dataset(name, data=array, chunks=True)
        case "classic.nc":
            with netcdf_file(path, "w") as file:
                for number, count in enumerate(arrays["input"].shape):
                    file.createDimension(f"d{number}", count)
                for name, array in arrays.items():
                    variable = file.createVariable(name, array.dtype.char, tuple(f"d{i}" for i in range(array.ndim)))
                    variable[:] = array
        case "group.zarr":
            group = pytest.importorskip("zarr").open_group(path, mode="w")
            for name, array in arrays.items():
                group.create_array(name, data=array, chunks=(1, *array.shape[1:]))
    return path


FORMATS = ["stored.npz", "packed.npz", "fortran.npz", "folder", "file.h5", "four.nc", "classic.nc", "group.zarr"]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("in_memory", [2**20, 100])
def test_every_format_gives_the_numbers_that_were_written(tmp_path, arrays, name, in_memory, monkeypatch):
    monkeypatch.setattr("subduce.data._field_stores._IN_MEMORY", in_memory)
    pairs = open_pairs(write(tmp_path / name, arrays))
    assert (len(pairs), pairs.n_samples, pairs.shape) == (12, 12, (5, 6))
    assert (pairs.axes, pairs.periodic, pairs.spacing) == (("x", "y"), (True, True), (1.0, 1.0))
    assert pairs.units.tolist() == list(range(12))
    for index in (11, 0, 5, -1):
        field, wanted = pairs[index]
        assert field.dtype == wanted.dtype == np.float64
        np.testing.assert_array_equal(field, arrays["input"][index])
        np.testing.assert_array_equal(wanted, arrays["target"][index])
    copy = pickle.loads(pickle.dumps(pairs))
    np.testing.assert_array_equal(copy[7][0], arrays["input"][7])
    rows, inputs, targets = next(pairs.batches(4, indices=[3, 4, 9, 1, 0]))
    assert rows.tolist() == [3, 4, 9, 1]
    np.testing.assert_array_equal(inputs, arrays["input"][rows])
    np.testing.assert_array_equal(targets, arrays["target"][rows])
    assert [len(rows) for rows, _, _ in pairs.batches(5)] == [5, 5, 2]


def test_only_the_samples_asked_for_are_read(tmp_path, monkeypatch, rng):
    with h5py.File(tmp_path / "large.h5", "w") as file:
        for name in ("input", "target", "other"):
            file.create_dataset(name, shape=(1000, 1, 256, 256), dtype="f8", chunks=(1, 1, 64, 64))
        assert file["input"].nbytes > 500e6  # never written, so nothing lies on disk
    seen = []
    whole = h5py.Dataset.__getitem__

    def counted(self, *args, **kwargs):
        piece = whole(self, *args, **kwargs)
        seen.append((self.name, np.size(piece)))
        return piece

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counted)
    pairs = open_pairs(tmp_path / "large.h5")
    assert seen == []
    pairs[700]
    assert seen == [("/input", 256 * 256), ("/target", 256 * 256)]
    seen.clear()
    next(pairs.patches(16))
    assert seen == [("/input", 256), ("/target", 256)]
    seen.clear()
    next(pairs.subset([5, 6, 900]).batches(2))
    assert seen == [("/input", 2 * 256 * 256), ("/target", 2 * 256 * 256)]


def test_members_of_an_npz_that_nobody_asks_for_are_not_unpacked(tmp_path, monkeypatch, arrays):
    np.savez_compressed(tmp_path / "a.npz", **arrays, other=np.zeros((12, 500_000)))
    read, count = zipfile.ZipExtFile.read, []
    monkeypatch.setattr(zipfile.ZipExtFile, "read", lambda self, n=-1: count.append(len(data := read(self, n))) or data)
    for _ in open_pairs(tmp_path / "a.npz"):
        pass
    once = arrays["input"].nbytes + arrays["target"].nbytes
    assert once <= sum(count) < once + 4000  # each once, and the headers


def test_patches_are_boxes_of_the_samples(save, arrays):
    pairs = open_pairs(save(**arrays))
    patches = list(pairs.patches((2, 3), (3, 2), indices=[4]))
    assert [patch.corner for patch in patches] == [(0, 0), (0, 2), (3, 0), (3, 2)]
    for sample, (x, y), field, wanted in patches:
        assert sample == 4
        np.testing.assert_array_equal(field, arrays["input"][4, :, x : x + 2, y : y + 3])
        np.testing.assert_array_equal(wanted, arrays["target"][4, :, x : x + 2, y : y + 3])
    assert len(list(pairs.patches(5))) == 12
    with pytest.raises(ValueError, match="do not fit"):
        next(pairs.patches(6))


def test_lag_pairs_times_of_one_array(tmp_path, rng):
    series = rng.normal(size=(10, 2, 7))
    np.save(tmp_path / "u.npy", series)
    pairs = open_pairs(tmp_path / "u.npy", lag=3, channels="a=0e,b=0o", units="block:4")
    assert len(pairs) == 7
    for time, (before, after) in enumerate(pairs):
        np.testing.assert_array_equal(before, series[time])
        np.testing.assert_array_equal(after, series[time + 3])
    assert pairs.units.tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert not pairs.identity


def test_no_pair_with_lag_joins_two_groups(save, rng):
    path = save(u=rng.normal(size=(8, 1, 4)), run=np.array([7, 7, 7, 2, 2, 2, 2, 9]))
    pairs = open_pairs(path, lag=2, units="group:run")
    assert pairs.units.tolist() == [1, 0, 0]
    with np.load(path) as file:
        np.testing.assert_array_equal(pairs[1][1], file["u"][5])
    with pytest.raises(InputError, match="leaves no pair"):
        open_pairs(path, lag=5, units="group:run")


def test_groups_by_name(tmp_path, arrays):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, array in arrays.items():
            file[name] = array
        file["run"] = [b"late", b"early"] * 6
    assert open_pairs(tmp_path / "a.h5", units="group:run").units.tolist() == [1, 0] * 6


def test_one_array_alone(save, rng):
    pairs = open_pairs(save(input=rng.normal(size=(6, 3, 4, 4, 4))), distribution=True, channels="u=1o")
    assert pairs.target_channels is None
    assert pairs[0][1] is None
    assert next(pairs.batches(2))[2] is None
    assert next(pairs.patches(2)).target is None
    survey = pairs.survey()
    assert survey.target_mean is None
    assert survey.identity is False


def test_time_is_no_direction_and_does_not_repeat(save, arrays):
    pairs = open_pairs(save(**arrays), axes="t x")
    assert (pairs.axes, pairs.periodic) == (("t", "x"), (False, True))
    np.testing.assert_equal(pairs.grid_matrices(-np.eye(3)[None])[0], [[1, 0], [0, -1]])


def test_arrays_that_go_by_the_name_of_an_axis_are_no_coordinates(save, rng):
    values = rng.normal(size=(5, 1, 4))
    assert open_pairs(save(x=values, y=values), input="x", target="y").spacing == (1.0,)


def test_vectors_are_pairs_without_space(save, rng):
    path = save(input=rng.normal(size=(20, 3)), target=rng.normal(size=(20, 3)))
    pairs = open_pairs(path, input_channels="1o", target_channels="1e")
    assert (pairs.shape, pairs.axes, pairs[0][0].shape) == ((), (), (3,))
    assert (str(pairs.input_channels.irreps), str(pairs.target_channels.irreps)) == ("1x1o", "1x1e")
    assert pairs.input_channels.slices == {"input": slice(0, 3)}


def test_arrays_without_a_channel_axis(save, rng):
    values = rng.normal(size=(6, 8, 8))
    pairs = open_pairs(save(input=values, target=values**2), no_channels=True)
    assert (pairs.shape, pairs[2][0].shape) == ((8, 8), (1, 8, 8))
    np.testing.assert_array_equal(pairs[2][0][0], values[2])
    np.testing.assert_array_equal(next(pairs.patches(3)).input[0], values[0, :3, :3])
    assert str(pairs.input_channels.irreps) == "1x0e"


def test_channels_have_names_irreps_and_places(save, rng):
    path = save(input=rng.normal(size=(3, 4, 2, 2, 2)), target=rng.normal(size=(3, 4, 2, 2, 2)))
    channels = open_pairs(path, channels=VELOCITY).target_channels
    assert (channels.names, str(channels.irreps)) == (("velocity", "pressure"), "1x1o+1x0e")
    assert channels.slices == {"velocity": slice(0, 3), "pressure": slice(3, 4)}
    quarter = np.array([[[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]])
    expected = np.eye(4)
    expected[:3, :3] = quarter
    np.testing.assert_allclose(channels.matrices(quarter)[0], expected, atol=1e-14)
    np.testing.assert_allclose(channels.matrices(-np.eye(3)[None])[0], np.diag([-1, -1, -1, 1]), atol=1e-14)


def test_copies_of_a_vector_come_one_after_the_other(save, rng):
    path = save(input=rng.normal(size=(3, 6)), target=rng.normal(size=(3, 1)))
    channels = open_pairs(path, input_channels="u=2x1o").input_channels
    mirror = np.diag([-1.0, 1, 1])[None]
    np.testing.assert_allclose(channels.matrices(mirror)[0], np.diag([-1, 1, 1, -1, 1, 1]), atol=1e-14)


def test_vectors_in_a_plane_have_the_components_of_the_plane(save, rng):
    path = save(input=rng.normal(size=(3, 3, 4, 4)), target=rng.normal(size=(3, 1, 4, 4)))
    pairs = open_pairs(path, input_channels="p=0e,u=1o", axes="z y")
    channels = pairs.input_channels
    assert channels.coordinates == ("y", "z")
    assert channels.slices == {"p": slice(0, 1), "u": slice(1, 3)}
    turn = np.array([[[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]])  # y to z
    np.testing.assert_allclose(channels.matrices(turn)[0], [[1, 0, 0], [0, 0, -1], [0, 1, 0]], atol=1e-14)
    np.testing.assert_allclose(pairs.grid_matrices(turn)[0], [[0, 1], [-1, 0]], atol=1e-14)  # rows z, y
    out_of_plane = turn[:, [1, 2, 0]][:, :, [1, 2, 0]]
    with pytest.raises(ValueError, match="leave"):
        channels.matrices(out_of_plane)
    with pytest.raises(ValueError, match="keep the axes"):
        pairs.grid_matrices(out_of_plane)
    full = open_pairs(path, input_channels="u=1o").input_channels  # three components on a plane are x, y, z
    assert full.coordinates == ("x", "y", "z")


def test_several_channels_are_opened_without_irreps_but_have_none(save, rng):
    values = rng.normal(size=(9, 2))
    channels = open_pairs(save(input=values, target=values[:, :1])).input_channels
    assert channels.count == 2
    with pytest.raises(InputError, match=r"2 channels, and nothing says how they turn; .*--channels"):
        _ = channels.irreps


def test_cutouts_have_times_as_samples_and_components_as_channels():
    path = JHTDB / "jhtdb_velocity_cutout.h5"
    pairs = open_pairs(path, lag=1)
    assert (len(pairs), pairs.shape, pairs.axes) == (1, (6, 5, 4), ("z", "y", "x"))
    assert pairs.periodic == (False, False, False)
    assert pairs.spacing == pytest.approx((2 * np.pi / 1024,) * 3, rel=1e-5)
    assert (pairs.input_channels.names, str(pairs.input_channels.irreps)) == (("velocity",), "1x1o")
    before, after = pairs[0]
    with h5py.File(path) as file:
        for channel in range(3):  # x, y, z
            np.testing.assert_array_equal(before[channel], file["velocity_0001"][..., channel])
            np.testing.assert_array_equal(after[channel], file["velocity_0002"][..., channel])
        patch = list(pairs.patches((2, 2, 2)))[1]
        assert patch.corner == (0, 0, 2)
        np.testing.assert_array_equal(patch.input[1], file["velocity_0001"][:2, :2, 2:, 1])
    assert open_pairs(path, lag=1, periodic="x z").periodic == (True, False, True)


def test_old_cutouts_and_pressure():
    pairs = open_pairs(JHTDB / "jhtdb_legacy_cutout.h5", input="velocity", target="Pressure")
    assert (len(pairs), pairs.axes, pairs[0][0].shape, pairs[0][1].shape) == (
        1,
        ("z", "y", "x"),
        (3, 6, 5, 4),
        (1, 6, 5, 4),
    )
    assert (str(pairs.input_channels.irreps), str(pairs.target_channels.irreps)) == ("1x1o", "1x0e")
    assert pairs.spacing == pytest.approx((2 * np.pi / 1024,) * 3, rel=1e-5)
    alone = open_pairs(JHTDB / "jhtdb_pressure_cutout.h5", distribution=True)
    assert alone.input_channels.names == ("pressure",)


def test_netcdf_names_its_axes_and_unpacks_its_numbers(tmp_path):
    with h5py.File(tmp_path / "a.nc", "w") as file:
        for name, count in (("time", 3), ("y", 4), ("x", 5)):
            file[name] = np.arange(count) * 0.5
            file[name].make_scale()
        stored = np.arange(60, dtype="i2").reshape(3, 4, 5)
        for name in ("input", "target"):
            file[name] = stored if name == "input" else stored[::-1]
            for number, axis in enumerate(("time", "y", "x")):
                file[name].dims[number].attach_scale(file[axis])
            file[name].attrs.update({"scale_factor": 0.1, "add_offset": 2.0, "_FillValue": np.int16(59)})
    pairs = open_pairs(tmp_path / "a.nc", no_channels=True)
    assert (pairs.axes, pairs.spacing) == (("y", "x"), (0.5, 0.5))
    np.testing.assert_allclose(pairs[1][0][0], stored[1] * 0.1 + 2.0)
    with pytest.raises(InputError, match=r"a\.nc, input: NaN at sample 2, channel 0, place \(3, 4\)"):
        pairs.survey()


def test_axes_periodic_and_spacing_as_said(save, arrays):
    pairs = open_pairs(save(**arrays), axes="z x", periodic="x", spacing=[0.1, 0.2])
    assert (pairs.axes, pairs.periodic, pairs.spacing) == (("z", "x"), (False, True), (0.1, 0.2))
    assert open_pairs(save(**arrays), periodic="").periodic == (False, False)
    assert open_pairs(save(**arrays), periodic="none", spacing=2).spacing == (2.0, 2.0)


@pytest.mark.parametrize("numbers", [2**22, 17])
def test_survey_has_the_moments(save, rng, numbers, monkeypatch):
    monkeypatch.setattr("subduce.data._field_survey._NUMBERS", numbers)  # all at once, or in slabs
    field, wanted = 1e6 + rng.normal(size=(7, 2, 5, 3)), rng.normal(size=(7, 3, 5, 3))
    wanted[:, 1] = 4.0
    survey = open_pairs(save(input=field, target=wanted)).survey()
    np.testing.assert_allclose(survey.input_mean, field.mean(axis=(0, 2, 3)), rtol=1e-13)
    np.testing.assert_allclose(survey.input_variance, field.var(axis=(0, 2, 3)), rtol=1e-8)
    np.testing.assert_allclose(survey.target_mean, wanted.mean(axis=(0, 2, 3)), atol=1e-13)
    assert survey.constant == ("target 1",)
    assert not survey.identity


@pytest.mark.parametrize("numbers", [2**22, 17])
def test_a_target_that_is_the_input_is_noticed(save, rng, numbers, monkeypatch):
    monkeypatch.setattr("subduce.data._field_survey._NUMBERS", numbers)
    field = rng.normal(size=(7, 2, 5, 3))
    assert open_pairs(save(input=field, target=field)).identity
    assert open_pairs(save(input=field, target=field.astype(np.float32))).identity
    almost = field.copy()
    almost[6, 1, 4, 2] += 1e-9
    assert not open_pairs(save(input=field, target=almost)).identity


@pytest.mark.parametrize("numbers", [2**22, 17])
@pytest.mark.parametrize(("side", "bad", "word"), [("input", np.nan, "NaN"), ("target", -np.inf, "infinity")])
def test_the_first_nan_is_named(save, rng, side, bad, word, numbers, monkeypatch):
    monkeypatch.setattr("subduce.data._field_survey._NUMBERS", numbers)
    arrays = {"input": rng.normal(size=(9, 2, 5, 3)), "target": rng.normal(size=(9, 2, 5, 3))}
    arrays[side][4, 1, 3, 2] = arrays[side][8, 0, 0, 0] = bad
    pairs = open_pairs(save(**arrays))
    with pytest.raises(InputError, match=rf"{side}: {word} at sample 4, channel 1, place \(3, 2\)"):
        pairs.survey()
    pairs.subset(np.arange(9) % 4 != 0).survey()  # without samples 0, 4 and 8


def test_a_constant_field_is_refused(save, arrays):
    with pytest.raises(InputError, match=r"target: a constant field.*\(3\)"):
        open_pairs(save(**{**arrays, "target": np.full((12, 1, 5, 6), 3)})).survey()


GOOD = np.random.default_rng(1).normal(size=(4, 3, 5, 5))
SCALAR = GOOD[:, :1]
REFUSED = {
    "lengths": ({"input": GOOD, "target": GOOD[:3]}, {}, "4 samples in input and 3 in target"),
    "names": ({"input": GOOD, "wanted": GOOD}, {}, "no array 'target'; the file holds input, wanted.*--target"),
    "input": ({"u": GOOD, "v": GOOD}, {"lag": 1}, "no array 'input'; the file holds u, v"),
    "irreps": ({"input": GOOD, "target": GOOD}, {"channels": "a=1o,b=1e"}, "3 channels, but .* makes 6 .or 5 with"),
    "no-irreps": ({"input": SCALAR, "target": SCALAR}, {"channels": "1q"}, "cannot read '1q'"),
    "empty-irreps": ({"input": SCALAR, "target": SCALAR}, {"channels": "a=0e,"}, "cannot read ''"),
    "twice": ({"input": GOOD, "target": GOOD}, {"channels": "a=0e,a=0e,b=0e"}, "twice"),
    "space": ({"input": GOOD, "target": GOOD[..., 0]}, {}, "input has space 5 x 5 and target space 5;"),
    "no-space": ({"input": GOOD, "target": GOOD[..., 0, 0]}, {}, "target no space"),
    "one-axis": ({"input": GOOD[:, 0, 0, 0], "target": GOOD}, {}, r"shape \[4\]; expected .sample, channel"),
    "many-axes": ({"input": GOOD[..., None, None], "target": GOOD[..., None, None]}, {}, "4 axes of space"),
    "axes": ({"input": GOOD, "target": GOOD}, {"axes": "x y z"}, "2 axes of space .* 3 expected"),
    "axis-names": ({"input": GOOD, "target": GOOD}, {"axes": "x q"}, "different ones of x, y, z, t"),
    "axis-twice": ({"input": GOOD, "target": GOOD}, {"axes": "x x"}, "different ones of x, y, z, t"),
    "periodic": ({"input": GOOD, "target": GOOD}, {"periodic": "z"}, "expected some of the axes x y"),
    "spacing": ({"input": GOOD, "target": GOOD}, {"spacing": [1.0]}, "one for each of 2 axes"),
    "spacing-zero": ({"input": GOOD, "target": GOOD}, {"spacing": 0.0}, "expected a positive number"),
    "empty": ({"input": GOOD[:0], "target": GOOD[:0]}, {}, "holds no numbers"),
    "complex": ({"input": GOOD * 1j, "target": GOOD}, {}, "complex numbers; store real and imaginary part"),
    "text": ({"input": GOOD.astype(str), "target": GOOD}, {}, "expected real numbers"),
    "objects": ({"input": GOOD.astype(object), "target": GOOD}, {}, "objects; store plain numbers"),
    "lag": ({"input": GOOD}, {"lag": 4}, "lag 4 for 4 times; expected at least 1 and more times"),
    "lag-zero": ({"input": GOOD}, {"lag": 0}, "lag 0 for 4 times"),
    "lag-and-target": ({"input": GOOD, "v": GOOD}, {"lag": 1, "target": "v"}, "give one of them"),
    "lag-and-distribution": ({"input": GOOD}, {"lag": 1, "distribution": True}, "give one of them"),
    "uneven-times": ({f"u_000{i}": GOOD[0] for i in (1, 2, 4)}, {"lag": 1}, r"times \[1, 2, 4\] are not evenly"),
    "no-target": ({"input": GOOD}, {"target": None}, "no target; name one"),
    "units": ({"input": GOOD, "target": GOOD}, {"units": "snapshot"}, "sample, block:N .* or group:ARRAY"),
    "objects-alone": ({"input": np.array([{}])}, {"lag": 1}, "objects"),
    "block": ({"input": GOOD, "target": GOOD}, {"units": "block:0"}, "sample, block:N"),
    "group": ({"input": GOOD, "target": GOOD}, {"units": "group:run"}, "no array 'run' for units"),
    "group-length": ({"input": GOOD, "target": GOOD, "run": np.arange(3)}, {"units": "group:run"}, "each of 4 samples"),
    "group-nan": ({"input": GOOD, "target": GOOD, "run": np.full(4, np.nan)}, {"units": "group:run"}, "holds NaN"),
    "group-objects": (
        {"input": GOOD, "target": GOOD, "run": np.array([None] * 4)},
        {"units": "group:run"},
        "run: not a plain array",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("compressed", [False, True])
def test_bad_input_is_refused_in_one_line(tmp_path, case, compressed):
    arrays, options, message = REFUSED[case]
    (np.savez_compressed if compressed else np.savez)(tmp_path / "a.npz", allow_pickle=True, **arrays)
    with pytest.raises(InputError, match=message) as caught:
        open_pairs(tmp_path / "a.npz", **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.npz", "a.npy", "a.h5", "a.nc"])
def test_damaged_files_are_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"nothing like it")
    with pytest.raises(InputError, match=r"damaged|not a plain array"):
        open_pairs(tmp_path / name, lag=1)


def test_damage_inside_a_compressed_member_is_refused(tmp_path, rng):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, input=rng.normal(size=(40, 1, 50)))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(InputError, match="cannot be read"):
        open_pairs(path, distribution=True)[39]


def test_objects_are_never_unpickled(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(InputError, match="not a plain array"):
        open_pairs(tmp_path / "a.npy", distribution=True)


@pytest.mark.parametrize(
    ("name", "message"), [("no.npz", "no such file"), ("a.xyz", "give .npz"), (".", "without .npy")]
)
def test_what_is_no_file_of_arrays(tmp_path, name, message):
    (tmp_path / "a.xyz").write_text("1\n\nH 0 0 0\n")
    with pytest.raises(InputError, match=message):
        open_pairs(tmp_path / name)


def test_without_zarr_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zarr", None)
    (tmp_path / "a.zarr").mkdir()
    with pytest.raises(InputError, match=r"pip install 'subduce\[fields\]'"):
        open_pairs(tmp_path / "a.zarr")


def test_an_uneven_coordinate_needs_a_spacing(tmp_path, rng):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["input"] = file["target"] = rng.normal(size=(3, 1, 4))
        file["x"] = [0.0, 1.0, 2.0, 5.0]
    with pytest.raises(InputError, match="coordinate x is not evenly spaced"):
        open_pairs(tmp_path / "a.h5")
    assert open_pairs(tmp_path / "a.h5", spacing=1.0).spacing == (1.0,)
