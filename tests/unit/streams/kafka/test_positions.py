"""What a role passed over, from the group's offsets on: each offset once, and nothing that only came again."""

from streams.kafka.positions import MAX_GAPS, Gap, Open, Positions

A, B, OTHER = ("uploads", 0), ("uploads", 1), ("due", 0)


def test_offsets_between_the_committed_one_and_the_first_record_are_a_gap_and_so_are_those_between_records() -> None:
    positions = Positions()
    positions.begin({A: 3, B: 0})
    for offset in (5, 6, 9, 6, 5):
        positions.read(A, offset)
    positions.read(B, 0)
    questions = positions.open()
    assert questions.gaps == (Gap(A, 3, 5), Gap(A, 7, 9))
    positions.read(A, 12)
    positions.answered(questions)
    assert positions.open().gaps == (Gap(A, 10, 12),), "what came since is open"


def test_an_end_without_records_before_it_is_passed_over_once() -> None:
    positions = Positions()
    positions.begin({A: 3})
    assert positions.passed_over({A: 8, B: 8}) == (Gap(A, 3, 8),)
    assert positions.passed_over({A: 8}) == ()
    positions.read(A, 8)
    assert positions.open().gaps == (Gap(A, 3, 8),)


def test_a_partition_that_comes_back_begins_with_the_group_s_offset() -> None:
    """Another member has read on meanwhile."""
    positions = Positions()
    positions.begin({A: 0})
    positions.read(A, 0)
    positions.begin({A: 50})
    positions.read(A, 50)
    assert positions.open() == Open()


def test_a_topic_without_any_offset_is_an_open_question_and_a_new_partition_beside_others_is_none() -> None:
    positions = Positions(now=lambda: 1.5)
    positions.begin({A: 7, B: None, OTHER: None})
    assert positions.open().uncommitted == {OTHER: 1500}
    positions.read(OTHER, 40)
    assert positions.open().gaps == (), "where it begins is not known"
    positions.answered(positions.open())
    assert positions.open() == Open()


def test_gaps_that_nobody_asks_for_do_not_grow_without_end() -> None:
    positions = Positions()
    for number in range(MAX_GAPS + 5):
        positions.read(A, 2 * number)
    assert len(positions.open().gaps) == MAX_GAPS
