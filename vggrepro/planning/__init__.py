"""Before days of GPUs and during them: what a run costs, which claims it can decide, and how far it is.

In: the workflow's DAG, `tables/hardware.yaml`, and the folder of results. Out: `plan/plan.json`, and what `vggrepro plan` and
`vggrepro status` print. Begin with `planned_steps` in `steps.py`: a step's work (`work.py`, from the layers in
`arithmetic.py`) and the hardware (`hardware.py`) give its time (`forecast.py`), corrected by what was measured (`rates.py`);
`timeline.py` puts the steps one after another, and `outlook.py` has the whole run; `power.py` and `budget.py` say which claims
are decided, by what `assumptions.py` takes to be true; `status.py` reads how far a run is. `plan_text.py`, `chances_text.py`
and `status_text.py` say so on a terminal.
"""
