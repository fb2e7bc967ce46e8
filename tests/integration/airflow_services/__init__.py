"""A real Airflow for tests: api-server, scheduler with LocalExecutor, dag-processor, triggerer, as processes.

    with AirflowServices("example_dags", env={"AIRFLOW_CONN_CYTECHBOT_DEFAULT": uri}) as airflow:
        run = airflow.trigger("my_dag", conf={"page_id": 7})
        run.kill("create_user", process="both")  # the worker dies as if its machine had
        assert run.wait() == "success"
        assert run.tries() == {"create_user": 2}
        assert not airflow.find_text("the-api-key")

Importing Airflow takes three seconds of a core, and four components would do it four times over. So one
process, the launcher, imports it once and forks the components, each of which then runs the very command
(`airflow scheduler` …) that a deployment runs.

All of it lives in one session of the operating system, which is what makes sure that nothing is left behind:
components move their children to process groups of their own and lose them when they are killed, but no
process leaves the session.
"""

from .services import AirflowServices, AirflowServicesError
from .settings import COMPONENTS, NO_TIMEOUT

__all__ = ["COMPONENTS", "NO_TIMEOUT", "AirflowServices", "AirflowServicesError"]
