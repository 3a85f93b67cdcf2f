"""Time of the first step, printed once."""

import time

from tf_simclr.training.stall import note_first_step, process_age


def test_the_age_of_this_process_grows_with_time():
    first = process_age()
    time.sleep(0.05)
    assert 0.04 < process_age() - first < 5
    assert 0 < first < 24 * 3600


def test_it_is_said_once(capsys):
    note_first_step.cache_clear()
    note_first_step()
    note_first_step()
    output = capsys.readouterr().out
    assert output.count("seconds_to_first_step ") == 1
