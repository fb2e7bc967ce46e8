"""How the components of a test's Airflow are configured and started."""

from __future__ import annotations

import secrets
from importlib.metadata import version
from pathlib import Path

COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
#: The component that serves UI and REST API, since Airflow 3.0 and before. Tests start no other of Airflow 2.
WEB_SERVERS = ("api-server", "webserver")
JOB_TYPES = {"scheduler": "SchedulerJob", "dag-processor": "DagProcessorJob", "triggerer": "TriggererJob"}
IS_AIRFLOW_2 = version("apache-airflow").startswith("2.")
#: A heartbeat timeout in seconds that no live worker reaches.
NO_TIMEOUT = 900


def airflow_cfg(dags_folder: Path, database: Path, port: int, heartbeat_timeout: int) -> str:
    """Return the text of `airflow.cfg`, so that a shell with AIRFLOW_HOME set sees this Airflow too."""
    settings: dict[str, dict[str, object]] = {
        "core": {
            "dags_folder": dags_folder,
            "load_examples": False,
            # Airflow 2 wants no other with SQLite, even where nothing is executed.
            "executor": "SequentialExecutor" if IS_AIRFLOW_2 else "LocalExecutor",
            "parallelism": 4,  # each is a process
            "dags_are_paused_at_creation": False,
            "execution_api_server_url": f"http://127.0.0.1:{port}/execution/",
            "fernet_key": "",
            "simple_auth_manager_all_admins": True,
        },
        "database": {"sql_alchemy_conn": f"sqlite:///{database}", "check_migrations": False},
        "api": {
            "secret_key": secrets.token_hex(16),
            "host": "127.0.0.1",
            "port": port,
            "workers": 1,
            "auth_backends": "airflow.api.auth.backend.session",  # Airflow 2
        },
        "api_auth": {"jwt_secret": secrets.token_hex(32)},
        "scheduler": {
            "scheduler_idle_sleep_time": 0.2,
            "scheduler_heartbeat_sec": 1,
            "job_heartbeat_sec": 1,
            # A scheduler that was killed is believed dead this soon, and its tasks are taken over.
            "scheduler_health_check_threshold": heartbeat_timeout,
            "orphaned_tasks_check_interval": 2,
            "task_instance_heartbeat_timeout": heartbeat_timeout,
            "task_instance_heartbeat_timeout_detection_interval": 0.5,
            "trigger_timeout_check_interval": 1,
        },
        "workers": {
            "min_heartbeat_interval": 1,
            "execution_api_retry_wait_min": 0.2,
            "socket_cleanup_timeout": 5,
        },
        # The successor of a killed triggerer takes its triggers over when it is this long silent.
        "triggerer": {"job_heartbeat_sec": 1, "triggerer_health_check_threshold": 4},
        "dag_processor": {"refresh_interval": 2, "parsing_processes": 1, "min_file_process_interval": 60},
        "logging": {"colored_console_log": False},
        "usage_data_collection": {"enabled": False},
    }
    lines = []
    for section, options in settings.items():
        lines.append(f"[{section}]")
        lines += [f"{name} = {str(value).replace('%', '%%')}" for name, value in options.items()]
    return "\n".join(lines) + "\n"


def command(component: str, port: int, apps: str) -> list[str]:
    """Return the arguments of `airflow` that start a component."""
    if component == "api-server":
        return [
            component,
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--workers",
            "1",
            "--apps",
            apps,
        ]
    if component == "webserver":
        return [component, "--hostname", "127.0.0.1", "--port", str(port), "--workers", "1"]
    # Those that serve logs would do so on every interface.
    return [component, "--skip-serve-logs"] if component in ("scheduler", "triggerer") else [component]
