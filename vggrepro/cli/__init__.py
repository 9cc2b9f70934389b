"""The command `vggrepro`: a verb per step from images to the report. The rules of the workflow call these verbs.

In: arguments. Out: an exit status; a user's mistake ends with one message and status 2.
Begin with `app.py`.
"""

from vggrepro.cli.app import main as main
