"""Tests of splits: their examples, the order of the examples, and errors."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxgan import data
from jaxgan.data import splits
from jaxgan.errors import SetupError


def digits(split=None):
    return data.open_source("digits", path="", size=28, channels=1, split=split)


def labels_of(source):
    return source.examples[np.arange(source.num_examples)]["labels"]


def test_digits_are_split_by_class_in_the_files_order():
    images, labels = data.load_digits()
    for name, places in {"train": (0, 350), "validation": (350, 400), "test": (400, 500)}.items():
        source = digits(name)
        assert source.num_examples == 10 * (places[1] - places[0])
        found = source.examples[np.arange(source.num_examples)]
        np.testing.assert_array_equal(found["labels"], np.tile(np.arange(10), source.num_examples // 10))
        for label in range(10):
            expected = images[labels == label][slice(*places)]
            np.testing.assert_array_equal(found["real"][label::10], expected)


def test_digits_without_a_split_are_all_in_the_files_order():
    images, labels = data.load_digits()
    found = digits().examples[np.arange(5000)]
    np.testing.assert_array_equal(found["real"], images)
    np.testing.assert_array_equal(found["labels"], labels)


def test_a_slice_of_digits_is_balanced():
    np.testing.assert_array_equal(np.bincount(labels_of(digits("train[:100]"))), [10] * 10)
    np.testing.assert_array_equal(np.bincount(labels_of(digits("test[37:67]"))), [3] * 10)


def test_splits_are_joined_in_order():
    parts = {"train": np.arange(10), "test": np.arange(10, 14)}
    np.testing.assert_array_equal(splits.choose(parts, "test[1:]+train[:2]"), [11, 12, 13, 0, 1])
    rest = digits("train[100:]+validation")
    assert rest.num_examples == 3900
    np.testing.assert_array_equal(np.bincount(labels_of(rest)), [390] * 10)
    images = [s.examples[np.arange(s.num_examples)]["real"] for s in (digits("train[:100]"), rest)]
    assert not {x.tobytes() for x in images[0]} & {x.tobytes() for x in images[1]}


def test_batches_of_a_split_hold_all_of_it_and_nothing_else():
    test = digits("test[:20]")
    batch = test.batches(seed=1, n_critic=1, batch_size=20)[0]
    served = {image.tobytes() for image in batch["real"][0]}
    assert served == {image.tobytes() for image in test.examples[np.arange(20)]["real"]}
    assert len(served) == 20


def test_a_split_of_a_source_is_the_source_of_a_split():
    first, second = digits("validation[10:30]"), data.split(digits(), "validation[10:30]")
    assert first.spec == second.spec._replace(class_counts=(2,) * 10)
    assert first.num_examples == second.num_examples == 20
    one, other = (s.batches(seed=2, n_critic=2, batch_size=4)[3] for s in (first, second))
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name])


@given(length=st.integers(1, 300), low=st.integers(-300, 300), high=st.integers(-300, 300))
def test_slices_are_pythons_own(length, low, high):
    parts = {"train": np.arange(length) * 3}
    for text, ends in {
        f"train[{low}:{high}]": slice(low, high),
        f"train[{low}:]": slice(low, None),
        f"train[:{high}]": slice(None, high),
    }.items():
        expected = parts["train"][ends]
        too_long = any(end is not None and abs(end) > length for end in (ends.start, ends.stop))
        if too_long or not len(expected):
            with pytest.raises(SetupError, match=r"data.split '.*': there are|holds no examples"):
                splits.choose(parts, text)
        else:
            np.testing.assert_array_equal(splits.choose(parts, text), expected)


@given(length=st.integers(100, 1000), percent=st.integers(1, 99))
def test_two_parts_by_percent_make_the_whole(length, percent):
    parts = {"train": np.arange(length)}
    first = splits.choose(parts, f"train[:{percent}%]")
    second = splits.choose(parts, f"train[{percent}%:]")
    np.testing.assert_array_equal(np.concatenate([first, second]), parts["train"])
    assert abs(len(first) - length * percent / 100) <= 0.5
    np.testing.assert_array_equal(splits.choose(parts, "train[:100%]"), parts["train"])


def test_the_hash_of_a_name_is_its_split():
    names = [f"cats/{i}" for i in range(3000)]
    found = splits.hashed(names)
    assert sorted(np.concatenate(list(found.values()))) == list(range(3000))
    for split, low, high in (("train", 0, 0.8), ("validation", 0.8, 0.9), ("test", 0.9, 1)):
        places = [int(hashlib.sha256(names[i].encode()).hexdigest()[:16], 16) / 2**64 for i in found[split]]
        assert places == sorted(places)
        assert low <= places[0] <= places[-1] < high
        assert abs(len(places) / 3000 - (high - low)) < 0.03


@given(st.lists(st.text(min_size=1), unique=True, max_size=30), st.text(min_size=1))
def test_another_file_moves_none_to_another_split(names, other):
    def where(names):
        return {names[i]: split for split, found in splits.hashed(names).items() for i in found}

    before, after = where(names), where([*names, other])
    assert before.items() <= after.items()


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("trian", r"unknown data.split 'trian': did you mean 'train'.*valid: .*test, train, "),
        ("train[:5", "unknown data.split"),
        ("train[:0.5]", "unknown data.split"),
        ("train+", "unknown data.split"),
        ("train+tests", r"unknown data.split 'train.tests'"),
        ("train+test[:0]", "holds no examples: test has 1000"),
        ("train[3]", "unknown data.split"),
        ("train[:5001]", r"data.split 'train.:5001.': there are 3500 examples"),
        ("train[:101%]", "there are 3500 examples"),
        ("test[:0]", r"data.split 'test.:0.' holds no examples: test has 1000"),
        ("test[500:400]", "holds no examples"),
    ],
)
def test_splits_of_digits_that_there_are_not(split, message):
    with pytest.raises(SetupError, match=message) as error:
        digits(split)
    assert "\n" not in str(error.value)


def test_a_source_without_splits_says_so():
    source = data.from_arrays(np.zeros((3, 4, 4, 1), np.uint8))
    with pytest.raises(SetupError, match=r"data\.split is 'test'.*no splits"):
        data.split(source, "test")
    with pytest.raises(SetupError, match="no splits"):
        data.split(digits("train"), "test")
    with pytest.raises(SetupError, match=r"unknown data field of ring 'split'"):
        data.open_source("ring", path="", split="test")
