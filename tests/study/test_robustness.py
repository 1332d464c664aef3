"""The table of axes, the random combinations, and what goes with the stages of robustness."""

from collections import Counter

from mlpspec import studies
from mlpspec.study import readings, stages
from mlpspec.study.choices import first_of, one_at_a_time, options_of, settings_of
from mlpspec.study.readings import READING
from mlpspec.study.robustness import CHANCE, CHOICES, COMBINATIONS, combinations, robustness
from mlpspec.study.run import Run

FIRST = {axis: first_of(options) for axis, options in CHOICES.items()}


def test_every_option_is_a_setting_of_its_own():
    owners = Counter()
    for axis, options in CHOICES.items():
        runs = [Run(**{**studies.READING, **chosen}) for chosen in options.values()]
        for run, chosen in zip(runs, options.values(), strict=True):
            assert {name: getattr(run, name) for name in chosen} == chosen  # in the one form
        assert runs[0] == Run(**studies.READING)
        assert len({run.key for run in runs}) == len(runs)
        owners.update({name for chosen in options.values() for name in chosen})
        for option, chosen in options.items():
            found = options_of({**READING, **chosen}, CHOICES, READING)
            assert found == FIRST | {axis: option}
    assert set(owners.values()) == {1}
    named = [(axis, other) for axis, options in CHOICES.items() for other in [*options][1:]]
    assert list(one_at_a_time(CHOICES).values()) == [
        settings_of({axis: option}, CHOICES) for axis, option in named
    ]
    assert len(one_at_a_time(CHOICES)) == len(named)


def test_combinations_follow_from_the_seed_and_change_a_few_axes():
    drawn = combinations()
    assert list(drawn.values()) == list(combinations(COMBINATIONS + 5).values())[:COMBINATIONS]
    assert drawn != combinations(seed=17)
    changed = [sum(options[name] != FIRST[name] for name in FIRST) for options in drawn.values()]
    assert min(changed) == 2
    assert 2.5 < sum(changed) / COMBINATIONS < 4.0
    assert sum(count <= 5 for count in changed) >= 0.8 * COMBINATIONS
    runs = {Run(**{**studies.READING, **settings_of(o, CHOICES)}) for o in drawn.values()}
    assert len(runs) == COMBINATIONS
    seen = Counter(
        name for options in drawn.values() for name in FIRST if options[name] != FIRST[name]
    )
    assert set(seen) == set(FIRST)


def test_a_combination_that_is_no_run_is_drawn_again(monkeypatch):
    first, second = list(combinations(2).values())
    refused = Run(**{**studies.READING, **settings_of(first, CHOICES)})

    def run(**settings):
        made = Run(**settings)
        if made == refused:
            from mlpspec.errors import InputError

            raise InputError("no run")
        return made

    monkeypatch.setattr("mlpspec.study.robustness.Run", run)
    assert list(combinations(1).values()) == [second]


def test_no_seed_has_chosen_anything():
    chosen = [robustness(), studies.controls(), studies.paper(), studies.confirm()]
    seeds = [{*study.axes["seed"]} for study in chosen]
    seeds += [{*readings.readings().axes["seed"]}, {*CHANCE}]
    seeds += [{*stage.seeds} for stage in stages.STAGES.values()]
    assert sum(map(len, seeds)) == len(set.union(*seeds))
    assert {*stages.beside(robustness())["chance"].axes["seed"]} == {*CHANCE}


def test_the_second_stage_has_default_and_plane_beside_the_ten():
    order = ["default", *list(one_at_a_time(CHOICES))[::-1]]
    decisive = stages.next_stage(robustness(), order)
    assert list(decisive.variants)[:11] == order[:11]
    assert list(decisive.variants)[11:] == ["dimension-2"]
    assert decisive.settings == studies.READING
    assert decisive.axes["n_samples"] == readings.SIZES
    assert stages.next_stage(decisive, order) is None
