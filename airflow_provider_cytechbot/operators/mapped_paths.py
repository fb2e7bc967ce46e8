"""Paths of mapped tasks: whether several tasks of one mapping would write to the same one."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from itertools import product
from pathlib import PurePath
from typing import Any

from airflow_provider_cytechbot.api.fields import field_error
from airflow_provider_cytechbot.exports.options import CAMPAIGN_PLACEHOLDER

CAMPAIGN_FIELD = "flow_campaign_id"
#: Names in templates whose values are the same in all tasks of a mapping.
_SAME_NAME = re.compile(
    r"[dt]s(_nodash(_with_tz)?)?|(prev|next|tomorrow|yesterday)_\w+|data_interval_\w+|partition_\w+"
    r"|logical_date|execution_date|dag|dag_run|run_id|params|conn|var|inlets|outlets|triggering_\w+_events"
)
_SAME_OF_TASK = frozenset({"task_id", "dag_id", "run_id", "owner", "queue", "dag", "dag_run"})
#: Attributes with the same value in all tasks of a mapping, by the name in the template.
_SAME_ATTRIBUTES = {
    "ti": _SAME_OF_TASK,
    "task_instance": _SAME_OF_TASK,
    "task": _SAME_OF_TASK,
    "macros": frozenset({"ds_add", "ds_format", "ds_format_locale", "datetime_diff_for_humans"}),
}


def refuse_shared_path(context: Mapping[str, Any], path: str) -> None:
    """
    Check that no other task of the same mapping exports to the path of this one, as far as the DAG shows it.

    :param context: The context of the running task.
    :param path: The rendered path of the task.
    :raises CyTechBotFieldError: Another one does.
    """
    if is_shared_path(context, path):
        raise field_error(
            "path",
            "is the same for several tasks of the mapping, which would overwrite each other's files",
            f"Put {CAMPAIGN_PLACEHOLDER} or {{{{ ti.map_index }}}} into it.",
        )


def refuse_shared_file(
    context: Mapping[str, Any], field: str, path: str, *, differs_by: Sequence[str] = ()
) -> None:
    """
    Check that no other task of the same mapping uses the file or folder of this one for its rows.

    :param context: The context of the running task.
    :param field: The parameter that names the file or folder.
    :param path: Its rendered value.
    :param differs_by: Parameters that give each of the tasks a part of the folder.
    :raises CyTechBotFieldError: Another one does, as far as the DAG shows it.
    """
    if is_shared_path(context, path, field, differs_by):
        raise field_error(
            field,
            "is the same for several tasks of the mapping, each of which would take it for its own",
            "Put {{ ti.map_index }} into it.",
        )


def is_shared_path(
    context: Mapping[str, Any], path: str, field: str = "path", differs_by: Sequence[str] = ()
) -> bool:
    """
    Return whether another task of the same mapping has the path of this one, as far as the DAG shows it.

    :param context: The context of the running task.
    :param path: The rendered path of the task.
    :param field: The parameter that names it.
    :param differs_by: Parameters with which one path belongs to several tasks.
    """
    ti, dag = context.get("ti"), context.get("dag")
    index = getattr(ti, "map_index", None)
    if ti is None or dag is None or not isinstance(index, int) or index < 0:
        return False
    definition = dag.get_task(ti.task_id)
    if not hasattr(definition, "partial_kwargs"):  # it is in a mapped task group
        used = (field, CAMPAIGN_FIELD, *differs_by)
        arguments = {name: getattr(definition, name, None) for name in used}
        return bool(_files(arguments, frozenset(), field, differs_by))
    fixed, expanded = dict(definition.partial_kwargs), definition._get_specified_expand_input().value
    if _is_output(fixed.get(field)):
        fixed[field] = path  # the same output of another task for all tasks of the mapping
    tasks = _arguments_of_tasks(expanded)
    if tasks is None:
        # Any argument that is not fixed can be among those that another task returns.
        names = frozenset(expanded) if isinstance(expanded, Mapping) else frozenset({"params"})
        return bool(_files(fixed, names, field, differs_by))
    names = frozenset(name for arguments in tasks for name in arguments)
    files = [set(_files({**fixed, **arguments}, names, field, differs_by)) for arguments in tasks]
    own = files.pop(index) if index < len(files) else set()
    return any(not own.isdisjoint(others) for others in files)


def _arguments_of_tasks(expanded: object) -> list[Mapping[str, Any]] | None:
    """Return the expanded arguments of each task, or ``None`` if they come from other tasks."""
    if isinstance(expanded, Mapping):
        values = [list(each.items()) if isinstance(each, Mapping) else each for each in expanded.values()]
        if all(isinstance(each, Sequence) for each in values):
            return [dict(zip(expanded, each, strict=True)) for each in product(*values)]
    elif isinstance(expanded, Sequence) and all(isinstance(each, Mapping) for each in expanded):
        return list(expanded)
    return None


def _files(
    arguments: Mapping[str, Any], varying: Collection[str], field: str, differs_by: Sequence[str]
) -> list[str]:
    """
    Return the paths of a task's files before templates are rendered; none if they differ from task to task.

    :param arguments: The arguments of the task.
    :param varying: The names of the arguments that differ from task to task.
    :param field: The parameter that names the path.
    :param differs_by: Parameters with which one path belongs to several tasks.
    """
    path, ids = arguments.get(field), arguments.get(CAMPAIGN_FIELD)
    parts = [arguments.get(name, "") for name in differs_by]
    if not path or not all(_is_known(each, varying) for each in (path, *parts)):
        return []
    if parts:
        return [f"{path} {parts}"]
    if CAMPAIGN_PLACEHOLDER not in str(path):
        return [str(path)]
    if not _is_known(ids, varying):
        return []
    each = ids if isinstance(ids, Sequence) and not isinstance(ids, str) else [ids]
    return [str(path).replace(CAMPAIGN_PLACEHOLDER, str(campaign).strip()) for campaign in each]


def _is_output(value: object) -> bool:
    from airflow.providers.common.compat.sdk import XComArg

    return isinstance(value, XComArg)


def _is_known(value: object, varying: Collection[str]) -> bool:
    """Return whether an argument has no part that differs from task to task, apart from its own text."""
    if isinstance(value, str | int | PurePath) or hasattr(value, "storage_options"):
        return _is_same_template(str(value), varying)
    return isinstance(value, Sequence) and all(_is_known(each, varying) for each in value)


def _is_same_template(text: str, varying: Collection[str]) -> bool:
    if "{{" not in text and "{%" not in text:
        return True
    from jinja2 import Environment, TemplateSyntaxError, nodes

    try:
        tree = Environment(autoescape=False).parse(text)  # noqa: S701 - nothing is rendered
    except TemplateSyntaxError:
        return False
    if any(each.name == "random" for each in tree.find_all(nodes.Filter)):
        return False
    attributes = {id(each.node): each.attr for each in tree.find_all(nodes.Getattr)}
    return all(
        (_SAME_NAME.fullmatch(name.name) and name.name not in varying)
        or attributes.get(id(name)) in _SAME_ATTRIBUTES.get(name.name, ())
        for name in tree.find_all(nodes.Name)
    )
