"""Lists of classes are matched by name, or not at all."""

from __future__ import annotations

import pytest

from pixelflow.core.classes import in_order, match, shown
from pixelflow.system.errors import DataError


def test_numbers_sort_as_numbers_and_before_text():
    names = ["10", "b", "9", "0", "2", "B", "02", "class 10", "class 2", "1" * 5000, "0"]
    assert in_order(names) == ("0", "02", "2", "9", "10", "1" * 5000, "B", "b", "class 10", "class 2")


def test_equal_lists_need_no_mapping():
    found = match(("cat", "dog"), ("cat", "dog"), of="a", there="b")
    assert found.is_same
    assert found.note is None


def test_another_order_is_followed_and_said():
    found = match(("0", "1", "2", "10"), ("0", "1", "10", "2"), of="the data", there="the run")
    assert [found(label) for label in range(4)] == [0, 1, 3, 2]
    assert not found.is_same
    assert found.note == "the data and the run list the classes in different orders; names count"


def test_one_list_may_contain_the_other():
    more = match(("cat", "dog", "owl"), ("owl", "cat"), of="a", there="b")
    assert [more(label) for label in range(3)] == [1, None, 0]
    assert more.note == "classes in a and not in b: dog"
    less = match(("owl", "cat"), ("cat", "dog", "owl"), of="a", there="b")
    assert [less(label) for label in range(2)] == [2, 0]
    assert less.note == "classes in b and not in a: dog"


def test_lists_that_differ_both_ways_are_refused_with_the_difference():
    with pytest.raises(DataError) as caught:
        match(("dog", "kitten"), ("cat", "dog"), of="the data", there="the run")
    assert str(caught.value) == (
        "the data and the run have different classes: kitten in the data alone, cat in the run alone"
    )


def test_two_spellings_of_an_accent_are_one_name():
    assert match(("caf\u00e9", "bar"), ("bar", "cafe\u0301"), of="a", there="b").places == (1, 0)
    with pytest.raises(DataError, match="in a, two classes are called 'caf\u00e9'"):
        match(("caf\u00e9", "cafe\u0301"), ("bar",), of="a", there="b")


def test_classes_without_names_go_by_number_which_is_said():
    found = match((), ("cat", "dog"), of="the images", there="the data")
    assert [found(0), found(1)] == [0, 1]
    assert found.note == "classes in the images have no names and go by number: 0 is 'cat' in the data, and so on"
    with pytest.raises(DataError, match=r"label 2 in the images is outside 0\.\.1, the classes in the data"):
        found(2)
    assert match(("cat",), (), of="a", there="b").note.startswith("classes in b have no names")
    assert match((), ("0", "1"), of="a", there="b").note is None


def test_a_label_beyond_its_own_list_is_refused():
    with pytest.raises(DataError, match=r"label 5 in a is outside 0\.\.1"):
        match(("x", "y"), ("y", "x"), of="a", there="b")(5)


def test_long_lists_are_cut():
    assert shown([str(number) for number in range(1000)]).endswith("8, 9 and 990 more")
