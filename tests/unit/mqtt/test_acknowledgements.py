"""PUBACKs leave in the order of arrival (MQTT-4.6.0-2), whatever the order in which they are asked for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from waspi.mqtt.acknowledgements import Acknowledgements, Entry


def entered(*packet_ids: int) -> Acknowledgements:
    acknowledgements = Acknowledgements(receive_maximum=8, max_packet_bytes=1000)
    for packet_id in packet_ids:
        assert acknowledgements.enter(packet_id, 10) is Entry.NEW
    return acknowledgements


@given(st.data())
def test_they_leave_in_the_order_of_arrival_and_all_of_them(data: st.DataObject) -> None:
    arrivals = data.draw(st.lists(st.integers(1, 65_535), unique=True, max_size=40))
    asked = data.draw(st.permutations(arrivals))
    acknowledgements = Acknowledgements(receive_maximum=8, max_packet_bytes=1000)
    left: list[int] = []
    waiting = list(arrivals)
    settled: list[int] = []
    while waiting or asked:
        can_settle = [each for each in asked if each not in waiting]
        if waiting and (not can_settle or data.draw(st.booleans())):
            acknowledgements.enter(waiting.pop(0), 1)
        else:
            asked.remove(can_settle[0])
            settled.append(can_settle[0])
            left += acknowledgements.settle(can_settle[0])
        assert left == arrivals[: len(left)]
        still_open = [each for each in arrivals if each not in settled]
        assert len(left) == (arrivals.index(still_open[0]) if still_open else len(arrivals))
    assert left == arrivals
    assert len(acknowledgements) == 0


def test_one_that_came_later_waits() -> None:
    acknowledgements = entered(5, 3, 9)
    assert acknowledgements.settle(3) == []
    assert acknowledgements.settle(9) == []
    assert acknowledgements.settle(5) == [5, 3, 9]


def test_nothing_is_acknowledged_twice_or_unasked() -> None:
    acknowledgements = entered(1, 2)
    assert acknowledgements.settle(7) == []
    assert acknowledgements.settle(1) == [1]
    assert acknowledgements.settle(1) == []
    assert len(acknowledgements) == 1


def test_what_is_sent_again_on_the_same_connection_is_one_message() -> None:
    acknowledgements = entered(1, 2)
    assert acknowledgements.enter(2, 10) is Entry.AGAIN
    assert acknowledgements.settle(2) == []
    assert acknowledgements.enter(2, 10) is Entry.AGAIN  # acknowledged, and waiting for 1
    assert acknowledgements.settle(1) == [1, 2]
    assert acknowledgements.enter(2, 10) is Entry.NEW


def test_count_and_bytes_are_bounded() -> None:
    many = Acknowledgements(receive_maximum=1, max_packet_bytes=1000)
    assert [many.enter(each, 0) for each in range(1, 70)].count(Entry.NEW) == 64
    assert many.dropped == 5
    large = Acknowledgements(receive_maximum=8, max_packet_bytes=1000)
    assert [large.enter(each, 1000) for each in range(1, 7)].count(Entry.NEW) == 4
    assert large.settle(1) == [1]
    assert large.enter(9, 1000) is Entry.NEW
