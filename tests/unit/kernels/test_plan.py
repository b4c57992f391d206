import pytest

from subduce.kernels import ProductPlan, channelwise_plan
from subduce.o3 import Irreps


def test_paths_are_enumerated_by_features_then_edge_then_degree():
    plan = channelwise_plan("2x0e+3x1o", "0e+1o", "0e+1o+1e")
    found = [(str(path.ir_in), str(path.ir_edge), str(path.ir_out), path.weights, path.channels) for path in plan.paths]
    assert found == [
        ("0e", "0e", "0e", slice(0, 2), slice(0, 2)),
        ("0e", "1o", "1o", slice(2, 4), slice(0, 2)),
        ("1o", "0e", "1o", slice(4, 7), slice(2, 5)),
        ("1o", "1o", "0e", slice(7, 10), slice(2, 5)),
        ("1o", "1o", "1e", slice(10, 13), slice(0, 3)),
    ]
    assert plan.num_weights == 13
    assert str(plan.irreps_out) == "5x0e+5x1o+3x1e"


def test_only_the_irreps_of_keep_matter():
    assert channelwise_plan("2x1o", "1o", "9x0e+0x2e") == channelwise_plan("2x1o", "1o", "0e+0e")
    assert channelwise_plan("2x1o", "1o", "0x0e").paths == ()


@pytest.mark.parametrize(
    "arguments",
    [
        ("128x0e+64x1e+32x2e", "0e+1e+2e", "0e+1e+2e+3e"),
        ("0x0e+3x1o+2x1o", "1o+0e+1o", "2e+0e"),
        ("4x1o", "1o", "3o"),
        ("", "0e", "0e"),
        ("2x0e", "", "0e"),
        ("2x0e", "0e", ""),
    ],
)
def test_a_key_rebuilds_its_plan(arguments):
    plan = channelwise_plan(*arguments)
    again = ProductPlan.from_key(plan.key)
    assert again == plan
    assert hash(again) == hash(plan)
    assert again.paths == plan.paths
    assert again.irreps_out == plan.irreps_out
    assert again.key == plan.key


def test_plans_of_different_irreps_differ():
    keys = {
        channelwise_plan(*arguments).key
        for arguments in [("2x0e", "0e", "0e"), ("2x0e", "0e+0e", "0e"), ("3x0e", "0e", "0e"), ("2x0e", "0e", "0o")]
    }
    assert len(keys) == 4


@pytest.mark.parametrize("key", ["", "2x0e", "2x0e * 0e", "2x0e -> 0e"])
def test_a_text_that_is_no_key_is_refused(key):
    with pytest.raises(ValueError, match="a plan's key reads"):
        ProductPlan.from_key(key)


@pytest.mark.parametrize("edge", ["2x1o", "0e+0x1o"])
def test_an_edge_has_one_channel_of_each_irrep(edge):
    with pytest.raises(ValueError, match=r"one channel of each irrep, got .x1o"):
        channelwise_plan("2x0e", edge, "0e")


def test_irreps_and_text_give_one_plan():
    assert channelwise_plan(Irreps("2x0e"), Irreps("0e"), Irreps("0e")) is channelwise_plan("2x0e", "1x0e", "0e")
