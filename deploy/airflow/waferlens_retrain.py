"""The seven steps of a retraining as tasks: monthly on the 1st, or by hand. Each task is one command of ours.

Airflow lives in an environment of its own and knows nothing of waferlens: it calls the command of another
environment. A step that was done is not done again, so a task may be retried, and a run may be cleared from any
task on.

Variables (Admin, Variables, or AIRFLOW_VAR_... in the environment):

    waferlens_command   path of the command, such as /opt/waferlens/bin/waferlens
    waferlens_home      the home whose record is learned from
    waferlens_test      the frozen test set
    waferlens_options   more options, such as --recipe line-2.toml --limits line-2-limits.toml; may be empty
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

STEPS = ("extract", "validate", "train", "evaluate", "gate", "register", "shadow")
RETRIED = ("extract", "train", "register", "shadow")  # the others say no for a reason, and would say it again
COMMAND = (
    "{{ var.value.waferlens_command }} retrain --home {{ var.value.waferlens_home }} "
    "--test {{ var.value.waferlens_test }} --run {{ ts_nodash }} {{ var.value.get('waferlens_options', '') }} "
    "--until "
)

with DAG(
    dag_id="waferlens_retrain",
    description="From recorded inspections to a challenger in shadow; a person decides what follows.",
    schedule="0 3 1 * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    tags=["waferlens"],
) as dag:
    before = None
    for step in STEPS:
        task = BashOperator(
            task_id=step,
            bash_command=COMMAND + step,
            retries=2 if step in RETRIED else 0,
            retry_delay=timedelta(minutes=5),
        )
        if before is not None:
            before >> task
        before = task
