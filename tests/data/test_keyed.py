"""Random numbers by key: evenly spread, independent of neighbours in every part of the key, and fixed for ever."""

import subprocess
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from striate.data import keyed

N = 1 << 15
WHOLE = (1 << 64) - 1
seeds = st.integers(0, 2**63 - 1)

PINNED_BITS = [[5247583318000933419, 2415261187307229609], [8826606131772308083, 10618527570732800701]]
PINNED_ORDER = [7, 4, 2, 5, 8, 6, 9, 3, 1, 0]
PINNED_TORCH_SEED = 1688686439456679269
PINNED_UNIFORM = "0x1.09493e2133d08p-4"


# -- the definition ----------------------------------------------------------------------------------------------------


def by_hand(seed: int, epoch: int, stream: str, sample: int, j: int) -> int:
    """One word in whole numbers of Python, which can't overflow."""

    def mix(z: int) -> int:
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & WHOLE
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & WHOLE
        return z ^ (z >> 31)

    gamma = 0x9E3779B97F4A7C15
    state = mix((seed + gamma) & WHOLE)
    for part in (epoch, zlib.crc32(stream.encode()), sample):
        state = mix(state ^ part)
    return mix((state + (j + 1) * gamma) & WHOLE)


@given(seeds, st.integers(0, 2**63 - 1), st.text(max_size=20), st.lists(st.integers(0, 2**62), min_size=1, max_size=5))
def test_every_word_is_what_whole_numbers_give_by_hand(seed: int, epoch: int, stream: str, samples: list[int]) -> None:
    found = keyed.bits(seed, epoch, stream, samples, 3)
    assert found.dtype == np.uint64
    assert found.tolist() == [[by_hand(seed, epoch, stream, sample, j) for j in range(3)] for sample in samples]


def test_the_mixing_is_that_of_splitmix64() -> None:
    """The first words of SplitMix64 from the seed 1234567, as published with its reference code."""
    state, words = 1234567, []
    for _ in range(3):
        state = (state + 0x9E3779B97F4A7C15) & WHOLE
        words.append(int(keyed._mix(np.uint64(state))))
    assert words == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_the_numbers_are_those_of_the_first_version_so_that_runs_can_be_repeated() -> None:
    assert keyed.bits(0, 0, "order", [0, 1], 2).tolist() == PINNED_BITS
    assert keyed.order(7, 3, 10).tolist() == PINNED_ORDER
    assert keyed.torch_seed(1, 2) == PINNED_TORCH_SEED
    assert keyed.uniform(2**63 - 1, 5, "rotation", [41])[0, 0] == float.fromhex(PINNED_UNIFORM)


def test_another_process_and_hash_seed_give_the_same() -> None:
    code = "from striate.data import keyed; print(keyed.bits(3, 4, 'zoom', [5, 6], 2).tolist())"
    for hash_seed in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            env={"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == str(keyed.bits(3, 4, "zoom", [5, 6], 2).tolist())


@given(seeds, st.integers(0, 1000), st.integers(1, 40), st.data())
def test_a_number_does_not_depend_on_what_else_is_asked_for(seed: int, epoch: int, n: int, data: st.DataObject) -> None:
    whole = keyed.uniform(seed, epoch, "s", np.arange(n), 5)
    some = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=n))
    few = data.draw(st.integers(1, 5))
    assert np.array_equal(keyed.uniform(seed, epoch, "s", some, few), whole[some, :few])


def test_nothing_warns_at_the_ends_of_the_range() -> None:
    with np.errstate(all="raise"):
        for seed in (0, 2**63 - 1, WHOLE):
            keyed.uniform(seed, 2**63 - 1, "", [0, 2**63 - 1], 3)
            keyed.order(seed, 0, 3)
            keyed.torch_seed(seed, 2**40)


# -- even spread -------------------------------------------------------------------------------------------------------

STREAMS = {
    "samples": lambda n: keyed.uniform(0, 0, "hflip", np.arange(n))[:, 0],
    "epochs": lambda n: np.array([keyed.uniform(0, e, "hflip", [0])[0, 0] for e in range(n)]),
    "seeds": lambda n: np.array([keyed.uniform(s, 0, "hflip", [0])[0, 0] for s in range(n)]),
    "streams": lambda n: np.array([keyed.uniform(0, 0, str(s), [0])[0, 0] for s in range(n)]),
    "columns": lambda n: keyed.uniform(0, 0, "hflip", [0], n)[0],
    "far samples": lambda n: keyed.uniform(0, 0, "hflip", np.arange(n) << 20)[:, 0],
}


@pytest.mark.parametrize("along", STREAMS)
def test_numbers_are_spread_evenly_along_every_part_of_the_key(along: str) -> None:
    u = STREAMS[along](4096)
    assert u.min() >= 0
    assert u.max() < 1
    assert stats.kstest(u, "uniform").pvalue > 0.001


@pytest.mark.parametrize("along", STREAMS)
def test_neighbours_along_every_part_of_the_key_are_independent(along: str) -> None:
    """Pairs of neighbours in a grid of 8 x 8 boxes; the first two and every second, by chi-square."""
    u = STREAMS[along](4096)
    for step in (1, 2, 64):
        table, _, _ = np.histogram2d(u[:-step], u[step:], bins=8, range=[[0, 1], [0, 1]])
        assert stats.chisquare(table.ravel()).pvalue > 0.001
        assert abs(np.corrcoef(u[:-step], u[step:])[0, 1]) < 4 / np.sqrt(len(u))


def test_every_bit_is_as_often_one_as_zero_and_knows_nothing_of_the_others() -> None:
    words = keyed.bits(1, 2, "noise", np.arange(N), 1)[:, 0]
    ones = ((words[:, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)).astype(np.float64)
    assert (np.abs(ones.mean(axis=0) - 0.5) < 4.5 * 0.5 / np.sqrt(N)).all()
    together = np.corrcoef(ones.T) - np.eye(64)
    assert np.abs(together).max() < 5.5 / np.sqrt(N)


@pytest.mark.parametrize("part", range(4))
def test_one_bit_of_the_key_changes_half_of_the_result(part: int) -> None:
    """Avalanche: every bit of seed, epoch, sample and every letter of the stream moves each bit half of the time."""
    rng = np.random.default_rng(5)
    flips = []
    for _ in range(60):
        seed, epoch, sample = (int(v) for v in rng.integers(0, 1 << 40, 3))
        one = keyed.bits(seed, epoch, "stream", [sample])
        bit = 1 << int(rng.integers(0, 40))
        key = [seed ^ bit, epoch, "stream", [sample]] if part == 0 else [seed, epoch ^ bit, "stream", [sample]]
        if part == 2:
            key = [seed, epoch, "stream", [sample ^ bit]]
        if part == 3:
            key = [seed, epoch, "strea" + chr(98 + int(rng.integers(0, 10))), [sample]]
        flips.append(int(one[0, 0] ^ keyed.bits(*key)[0, 0]).bit_count())  # type: ignore[arg-type]
    assert abs(np.mean(flips) - 32) < 4 * 4 / np.sqrt(60)
    assert min(flips) > 10


def test_no_word_comes_twice_among_keys_that_lie_close_together() -> None:
    words = np.concatenate(
        [keyed.bits(seed, epoch, s, np.arange(300), 4).ravel() for seed in range(4) for epoch in range(4) for s in "ab"]
    )
    assert len(np.unique(words)) == len(words)


# -- order -------------------------------------------------------------------------------------------------------------


@given(seeds, st.integers(0, 10_000), st.integers(0, 300))
def test_an_order_has_every_sample_once(seed: int, epoch: int, n: int) -> None:
    order = keyed.order(seed, epoch, n)
    assert order.dtype == np.int64
    assert sorted(order.tolist()) == list(range(n))


def test_orders_of_epochs_and_seeds_have_nothing_in_common() -> None:
    n = 2000
    orders = [keyed.order(seed, epoch, n) for seed in range(3) for epoch in range(3)]
    for i, one in enumerate(orders):
        for other in [np.arange(n), *orders[:i]]:
            assert abs(stats.spearmanr(one, other).statistic) < 4.5 / np.sqrt(n)
            assert (one == other).sum() < 9  # expected: one


def test_each_place_in_the_order_is_equally_likely() -> None:
    places = np.stack([keyed.order(0, epoch, 5) for epoch in range(3000)])
    for column in range(5):
        assert stats.chisquare(np.bincount(places[:, column], minlength=5)).pvalue > 0.001


def test_a_seed_for_torch_is_one_that_torch_takes_and_another_each_step() -> None:
    found = [keyed.torch_seed(0, step) for step in range(2000)]
    assert len(set(found)) == 2000
    assert all(0 <= seed < 2**63 for seed in found)
    assert stats.kstest(np.array(found) / 2**63, "uniform").pvalue > 0.001
