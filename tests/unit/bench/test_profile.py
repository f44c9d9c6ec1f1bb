"""Whose time a sample is."""

from collections import Counter

from bench.profile import by_part, self_times


def test_self_time_is_that_of_the_innermost_function_of_the_main_thread() -> None:
    own = self_times(
        [
            "thread (7): MainThread;run (a.py:1);relay (b.py:2) 5",
            "thread (7): MainThread;run (a.py:1) 1",
            "thread (7): MainThread;run (a.py:1);other (c.py:3);relay (b.py:2) 2",
            "thread (8): poller;poll (d.py:4) 90",
        ]
    )
    assert own == {"relay (b.py:2)": 7, "run (a.py:1)": 1}


def test_self_times_by_part() -> None:
    own = Counter(
        {
            "f (gateway/front/http1.py:1)": 2,
            "g (gateway/front/pages.py:9)": 1,
            "h (grpc/aio/_call.py:5)": 4,
            "i (<string>:1)": 1,
            "j (gateway/call.py:7)": 1,
            "k (gateway/call.py:9)": 1,
        }
    )
    assert by_part(own) == {"gateway/front": 3, "grpc": 4, "<string>": 1, "gateway/call.py": 2}
