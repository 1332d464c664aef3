"""The command ``studies``: named studies, settings, data sets and targets."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import fields

from mlpspec.data.datasets import COLUMN, DATASETS, FILE, TARGETS, FileData
from mlpspec.data.spec import Call
from mlpspec.studies import STUDIES
from mlpspec.study.run import EXTENDABLE, SETTINGS


def studies(arguments: Namespace) -> int:
    """Print the named studies, the settings, the data sets and the targets."""
    print("studies")
    for name, describe in STUDIES.items():
        study = describe()
        print(f"  {name:16} {len(study.runs):5} runs  {study.question}")
    print("settings (--set NAME=VALUE)")
    for name, setting in SETTINGS.items():
        if name not in EXTENDABLE:
            explained = name == "start" or ", or " in setting.help
            choices = f" ({', '.join(setting.names)})" if setting.names and not explained else ""
            print(f"  {name:16} {setting.default!s:18} {setting.help}{choices}")
    print("data sets (--set dataset=NAME, with other arguments if need be)")
    for name, dataset in DATASETS.items():
        call = Call(name, kwargs={argument.name: argument.default for argument in fields(dataset)})
        print(f"  {call!s:35} {_first_line(dataset)}")
    print(f"  {FILE + 'PATH.csv':35} {_first_line(FileData)}")
    print("targets (--set target=NAME)")
    for name, function in TARGETS.items():
        print(f"  {name:35} {_first_line(function)}")
    print(f"  {COLUMN + 'NAME':35} a column of the file, scaled as one input is")
    return 0


def _first_line(documented: object) -> str:
    return (documented.__doc__ or "").splitlines()[0]
