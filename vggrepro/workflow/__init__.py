"""What the rules of `workflow/rules/` ask: which files a job needs, and which settings decide its result.

In: settings and the published tables. Out: for every job its inputs and the arguments of its command.
A function `<rule>_job` answers for a rule, in the module named like the file of rules. Nothing heavy is imported here: every
job of a cluster reads the Snakefile again.
Begin with `plan.py`.
"""
