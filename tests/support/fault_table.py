"""The faults that calls are to survive: what holds, what was measured, and the tests that hold it.

Rule: this is the one place. README.md shows `markdown()`; tests/faults/test_table.py sees to it that it does, and that
the tests are there. Figures are what tests write to the file that FAULT_FIGURES names; who measures again writes them
here and puts what `python -m tests.support.fault_table` prints into README.md.
"""

from dataclasses import dataclass
from pathlib import Path

FOLDER = "tests/faults"


@dataclass(frozen=True, slots=True)
class Row:
    """One fault. `tests`: node ids in `FOLDER`, without parameters."""

    fault: str
    holds: str
    figure: str
    tests: tuple[str, ...]

    @property
    def files(self) -> tuple[str, ...]:
        """Those that the tests are in, each once."""
        return tuple(dict.fromkeys(test.partition("::")[0] for test in self.tests))


def in_file(file: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{file}::{name}" for name in names)


ROWS = (
    Row(
        "rolling restart of the backends",
        "no call fails, if they say beforehand that they go (`health_check`, or GOAWAY as RFC 9113 has it), or it is "
        "idempotent",
        "3,692 calls, 6 restarts: 0 failed",
        (
            *in_file("backends/test_processes.py", "test_a_rolling_restart_loses_no_call"),
            *in_file("h2_backend/test_restarts.py", "test_a_rolling_restart_loses_nothing"),
            *in_file(
                "backends/test_grpcio_restart.py",
                "test_a_rolling_restart_loses_no_call",
                "test_a_rolling_restart_without_notice_fails_no_call_that_was_not_sent",
            ),
        ),
    ),
    Row(
        "backend killed",
        "no idempotent call fails; others end with 14 once, and none hangs",
        "1,446 idempotent calls, 3 kills: 0 failed; 1,372 others, 3 kills: 16 ended with 14",
        (
            *in_file(
                "backends/test_processes.py",
                "test_a_backend_that_is_killed_fails_no_idempotent_call_and_others_once",
            ),
            *in_file(
                "test_backend_faults.py",
                "test_a_backend_is_killed_in_mid_stream",
                "test_a_backend_is_killed_before_it_replies",
                "test_every_call_on_a_lost_connection_ends_once",
            ),
        ),
    ),
    Row(
        "certificates renewed under load",
        "no call fails; new connections show the new identity and believe the new authority, streams stay on the old "
        "one",
        "1,509 calls and 10 streams, 6 renewals of the client certificate: 0 failed; 229 calls, one of the listener's: "
        "0 failed",
        (
            *in_file(
                "test_rotation.py",
                "test_renewed_files_take_effect_under_load_and_nothing_fails",
                "test_a_stream_stays_on_the_old_identity_until_it_ends_and_then_the_old_connection_closes",
            ),
            *in_file("h2_backend/test_restarts.py", "test_an_authority_is_replaced_under_calls"),
            *in_file(
                "test_reload_listeners.py",
                "test_a_renewed_listener_certificate_is_shown_and_no_connection_is_lost",
            ),
        ),
    ),
    Row(
        "garbage in place of a certificate",
        "the old one goes on; an alarm in log and metrics",
        "alarm 0.5 s after the file was written, 0.1 s of patience (2 s as shipped) included",
        (
            *in_file("test_rotation.py", "test_a_bad_pair_is_refused_and_alarmed_and_the_old_one_goes_on"),
            *in_file("test_reload_listeners.py", "test_a_bad_listener_certificate_is_alarmed_and_the_old_one_goes_on"),
        ),
    ),
    Row(
        "the folder of certificates removed, or replaced by another",
        "an alarm while it is gone; what is in it afterwards is used",
        "noticed 1 s after it is back, at the latest",
        in_file("test_reload_folders.py", "test_certificates_are_renewed_after_their_folder_was_gone"),
    ),
    Row(
        "the issuer's keys cannot be fetched for an hour; keys rotated",
        "no call with a known key fails; a new key works after one fetch; one that is taken away is refused after one "
        "refresh, all of them after 24 h without one",
        "1,321 calls with a known key in 4 kinds of outage, an hour scaled to a second: 0 failed; 20 first calls with "
        "a new key: 0 failed, 1 fetch",
        in_file(
            "test_keys_down.py",
            "test_an_outage_of_an_hour_fails_no_call_with_a_known_key",
            "test_the_first_calls_with_a_new_key_bring_it_by_one_fetch",
            "test_a_key_that_is_taken_away_is_refused_after_one_refresh",
            "test_keys_that_grow_too_old_are_not_believed_and_come_back_by_themselves",
        ),
    ),
    Row(
        "SIGTERM under load, another replica takes over",
        "`/readyz` fails at once, GOAWAY and `Connection: close`, calls finish within `drain`, the rest end with 14, "
        "exit 0; no call fails",
        "8,642 calls over both fronts and 50 streams, 10 drains of one or two workers: 0 failed, 1 sent again as "
        "browsers do; `/readyz` 503 after 13 ms at most; exit 0.1 to 0.8 s after the end of the drain, and 1.2 s "
        "(median) after a second signal",
        in_file(
            "test_drain.py",
            "test_another_replica_takes_over_and_no_call_fails",
            "test_what_runs_may_finish_and_the_rest_gets_a_status",
            "test_a_second_signal_ends_the_drain_now",
        ),
    ),
    Row(
        "configuration changed under load, well and badly",
        "no call fails; calls end with what they began with; a bad file is refused whole",
        "493 calls and a stream, 5 changes: 0 failed",
        in_file(
            "test_reload.py",
            "test_calls_go_on_while_everything_changes",
            "test_what_a_call_began_with_it_ends_with",
            "test_a_bad_configuration_is_refused_whole",
            "test_keys_that_do_not_come_keep_the_old_configuration",
            "test_connections_that_wait_to_be_accepted_outlive_a_change",
        ),
    ),
    Row(
        "worker killed",
        "the others serve; it is started again; no port and no new connection is lost",
        "40 new connections after SIGKILL: 0 calls failed; replaced after 2.4 s",
        (
            *in_file(
                "test_workers.py",
                "test_a_worker_that_is_killed_is_replaced_and_no_call_is_lost",
                "test_connections_that_wait_for_a_worker_that_is_killed_are_served_by_the_next_one",
                "test_workers_told_to_end_one_after_the_other_lose_no_call",
            ),
            *in_file(
                "test_workers_configuration.py",
                "test_a_worker_that_starts_again_has_what_is_in_use_and_not_a_bad_file",
                "test_a_worker_without_the_keys_that_the_others_have_takes_no_calls",
            ),
        ),
    ),
    Row(
        "backend that is silent, a second late, or cut off without a word",
        "deadlines hold; other upstreams notice nothing; keepalive finds it",
        "deadlines of 300 ms: 25 ms late at most; calls to another upstream meanwhile: 5 ms at most; a cut wire found "
        "0.6 s after the first deadline on it, with 0.5 s for a PING (20 s as shipped)",
        in_file(
            "backends/test_silence.py",
            "test_a_black_hole_does_not_fill_the_house",
            "test_a_backend_that_answers_after_a_second",
            "test_a_wire_that_is_cut_without_a_word_is_found",
            "test_the_keepalive_finds_it_without_a_deadline",
        ),
    ),
    Row(
        "10,000 idle streams, one worker",
        "under 400 MB; a new call is answered within 100 ms",
        "161 MB; a new call 3 ms, the slowest of 50 60 ms",
        in_file("test_idle_streams.py", "test_ten_thousand_idle_streams"),
    ),
    Row(
        "the Redis of shared rates killed, or frozen so that it accepts and never answers",
        "calls are refused with 14 or let through, as configured; none waits longer than 250 ms for a counting",
        "counted again about 1 s after its return",
        in_file("test_rates.py", "test_redis_fails_under_load_and_comes_back"),
    ),
    Row(
        "all of this at once, half the calls given up",
        "memory, descriptors, tasks and backend streams stay flat",
        "ten minutes, 64 changes: of 11,215 calls 0 lost, 9 that could not be sent again said so when their backend "
        "was killed; at rest before and after: 118.6 and 123.2 MiB, 46 files, 23 threads, 16 tasks; with two workers, "
        "of 11,911 calls 0 lost in 69 changes, and 303.2 and 312.2 MiB, 102 files",
        in_file("test_soak.py", "test_a_minute_of_everything_leaves_nothing_behind"),
    ),
)


def markdown() -> str:
    """The table, with a link to each file of tests."""
    heads = ("fault", "what holds", "measured", "tests")
    rows = [heads, ("---",) * len(heads)]
    for row in ROWS:
        links = ", ".join(f"[{Path(file).stem.removeprefix('test_')}]({FOLDER}/{file})" for file in row.files)
        rows.append((row.fault, row.holds, row.figure, links))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    print(markdown())
