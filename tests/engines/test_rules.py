"""Which test proves which rule of ENGINE.md: every rule has one, and it names its rule."""

import importlib
import re

import pytest

RULES = {
    1: (
        "frames go over a private socket, whose end ends the worker",
        "engines.test_process::test_a_worker_ends_when_its_daemon_was_killed",
    ),
    2: (
        "typed frames, one a step",
        "engines.test_process::test_a_prompt_is_prepared_while_a_step_runs",
    ),
    3: (
        "prompts are laid out while a step runs",
        "engines.test_process::test_a_prompt_is_prepared_while_a_step_runs",
    ),
    4: (
        "text leaves in whole characters",
        "engines.test_text::test_a_character_split_over_tokens_leaves_as_a_whole",
    ),
    5: (
        "the ledger knows what the cache holds",
        "engines.test_batcher::test_of_420_tokens_of_which_400_are_cached_20_are_evaluated",
    ),
    6: (
        "no room is an event; here a sequence has cells of its own, so nobody else can be the cause",
        "engines.test_batcher::test_a_job_exactly_as_large_as_the_cache_runs",
    ),
    7: (
        "what is retained costs the running nothing: nobody attends over another's cells",
        "engines.test_cache::test_the_cells_of_others_are_not_attended_over",
    ),
    8: (
        "a refused batch fails its own request alone",
        "engines.test_batcher::test_a_batch_that_is_refused_is_tried_one_by_one_and_only_the_culprit_fails",
    ),
    9: (
        "a step can be broken off on the processor; on CUDA it cannot, and that needs a GPU to see",
        "engines.test_interrupt::test_the_time_from_flag_to_return_is_short",
    ),
    10: (
        "after an abort ledger and cache have one length",
        "engines.test_interrupt::test_an_interrupted_prefill_goes_on_where_it_stopped",
    ),
    11: (
        "lesser work ends, however often it is broken off",
        "engines.test_contract::test_lesser_work_goes_on_beside_urgent_jobs",
    ),
    12: (
        "what is urgent waits for one quantum",
        "policies.test_step::test_a_chunk_that_cannot_be_aborted_fits_the_quantum",
    ),
    13: (
        "chunks follow the measured speed",
        "policies.test_step_time::test_what_fits_a_time_fits_and_one_token_more_does_not",
    ),
    14: (
        "reuse is exact, and a moved chunk is told apart",
        "engines.test_cache::test_a_moved_chunk_saves_its_prefill_and_is_an_approximation",
    ),
    15: (
        "a shift moves shared cells; here no cell has two owners",
        "engines.test_cache::test_what_happens_to_a_copy_does_not_happen_to_its_source",
    ),
    16: (
        "nothing is saved before keys are turned",
        "engines.test_cache::test_nothing_is_saved_while_keys_wait_to_be_turned",
    ),
    17: (
        "what an architecture can do is probed; a twin of each kind",
        "engines.test_contract::test_the_same_prompt_evaluates_one_token_the_second_time",
    ),
    18: (
        "parked KV outlives its worker",
        "engines.test_contract::test_a_parked_job_goes_on_as_if_it_never_stopped",
    ),
    19: (
        "a retry draws what the first would have drawn",
        "engines.test_contract::test_tokens_already_sent_are_not_repeated",
    ),
    20: (
        "a batch is near what each would get alone",
        "engines.test_batch_equality::test_each_token_of_a_batch_is_within_eps_of_the_best_of_a_fresh_pass",
    ),
    21: (
        "no grammar ends the process",
        "engines.test_constraint::test_a_grammar_that_cannot_be_used_is_refused_at_once",
    ),
    22: (
        "a death is an event, and blame goes to who was inside",
        "engines.test_process::test_nobody_is_blamed_for_a_death_after_its_end",
    ),
    23: (
        "a rung is tested before it serves",
        "engines.test_selftest::test_numbers_that_say_nothing_fail_it",
    ),
    24: (
        "what a model needs is more than its weights",
        "engines.test_selftest::test_the_ladder_is_climbed_by_one_worker_at_a_time",
    ),
    25: (
        "memory is counted once, and by no context",
        "engines.test_process::test_memory_is_counted_once",
    ),
    26: (
        "unloaded is who has exited; that device memory comes back needs a GPU to see",
        "engines.test_process_loading::test_an_unload_amid_a_load_ends_it_once_and_forgets_nothing",
    ),
    27: (
        "workers' threads sleep and do not starve the daemon",
        "engines.test_rules::test_threads_of_a_worker_spin_for_a_moment_only",
    ),
    28: (
        "an editor's exit ends its connection only",
        "lsp.test_endpoint::test_exit_ends_the_connection_and_not_the_loop",
    ),
    29: ("signals are the daemon's", "daemon.http.test_listeners::test_signals_stay_the_daemons"),
}
"""Rule -> what it says in our words, and a test of it."""


def docstring(node: str) -> str:
    """The docstring of a test."""
    module, _, name = node.partition("::")
    return getattr(importlib.import_module(f"tests.{module}"), name).__doc__ or ""


def named(text: str) -> set[int]:
    lists = re.findall(r"ENGINE\.md (\d+(?:, \d+)*)", text)
    return {int(number) for each in lists for number in each.split(", ")}


def test_every_rule_is_in_the_table():
    assert list(RULES) == list(range(1, 30))


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_has_a_test_that_names_it(rule: int):
    """So that a reader of the test finds the rule, and a reader of the rule the test."""
    assert rule in named(docstring(RULES[rule][1]))


def test_threads_of_a_worker_spin_for_a_moment_only():
    """ENGINE.md 27: the environment of a worker says so, before OpenMP reads it."""
    from engines.child import _ENVIRON

    assert _ENVIRON["OMP_WAIT_POLICY"] == "passive"
    assert int(_ENVIRON["GOMP_SPINCOUNT"]) <= 10_000
