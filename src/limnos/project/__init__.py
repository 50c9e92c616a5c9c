"""The project file: limnos.yml and ODCS contracts, read strictly into `limnos.model.project`."""

from __future__ import annotations

from limnos.project.json_schema import schema
from limnos.project.options import check_options
from limnos.project.read import load_project

__all__ = ["check_options", "load_project", "schema"]
