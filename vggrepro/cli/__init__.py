"""The command `vggrepro`: a verb per step from images to the report. The rules of the workflow call these verbs.

In: arguments. Out: an exit status; a user's mistake ends with one message and status 2.
Begin with `app.py`. The verbs are in

    data.py         prepare, rescale, verify, fetch, draw
    training.py     train, adopt
    evaluation.py   evaluate, answers, boxes, features, splits, classify
    tables.py       table, claims, merging, whatif, evidence, report, export, checksums, check
    diagnosis.py    why, flips, compare
    external.py     import, labels, judge, submission
    planning.py     plan, status
    packs.py        pack, merge
    reference.py    settings, schema
"""

from vggrepro.cli.app import main as main
