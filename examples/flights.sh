#!/bin/sh
# The main job on real data, as commands a person would type: sh examples/flights.sh DIRECTORY
set -eu
project="${1:-demo}"

type_() {
    printf '\n$ limnos'
    for word in "$@"; do
        case "$word" in *[!A-Za-z0-9_./:=-]*) printf ' "%s"' "$word" ;; *) printf ' %s' "$word" ;; esac
    done
    printf '\n'
    limnos "$@"
}

type_ init "$project" --example flights
cd "$project"
type_ run
type_ quarantine list
type_ quarantine show nyc.flights --limit 3
type_ query "SELECT a.name, count(*) AS flights, round(avg(f.arr_delay), 1) AS minutes_late FROM nyc.flights f JOIN nyc.airlines a USING (carrier) GROUP BY ALL ORDER BY minutes_late DESC LIMIT 5"
type_ why nyc.flights || true

printf '\nNext, in %s (with .venv/bin on the PATH, or typed as .venv/bin/limnos):\n' "$project"
printf '  limnos explain foreign_key\n  limnos history nyc.flights\n  limnos query "SELECT rule, outcome, numerator, denominator FROM system.verdicts"\n'
