#!/usr/bin/env bash
# Exports of small runs, opened by the programs that they are for, each in an environment of its own.
#
#   bash benchmarks/open_exports.sh [FOLDER]
#
# FOLDER keeps the environments for the next time. EXOABM is the command, if it is not on the path.
set -euo pipefail
cd "$(dirname "$0")/.."
exoabm=${EXOABM:-exoabm}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
envs=${1:-$work/envs}
mkdir -p "$envs"
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_QUIET=2

python3 - "$work/cells.csv" <<'TABLE'
import sys

words = ["CK+", "CD68+", "other", "B"]
rows = [f"slide/{i:03d},{300.5 + 14 * (i % 9)},{-50.5 + 14 * (i // 9)},{words[i * 7 // 3 % 4]}" for i in range(36)]
open(sys.argv[1], "w").write("\n".join(["Cell ID,x_um,y_um,cell_type", *rows, ""]))
TABLE
run() {  # run NAME [OPTION ...]: a small run, and what is exported from it
    local name=$1
    shift
    "$exoabm" run "$work/cells.csv" --seed 1 --hours 1 --out "$work/$name" --set 'clock.step=5 min' \
        --set 'domain.voxel=10 um' --set 'record.fields=30 min' --set 'record.cells=30 min' "$@" >/dev/null 2>&1
    for ending in h5ad ome.zarr simularium vti vtp; do
        "$exoabm" export "$work/$name" --to "$work/$name.$ending" >/dev/null
    done
    if [ "$name" != types ]; then  # a truth file needs donors cell by cell
        "$exoabm" export "$work/$name" --to "$work/$name.truth.h5ad" --set noise=0.5 >/dev/null
    fi
}
run cells --set transport.provenance=cell
run types
run living --engine vesicles --set 'cell_type.tumor.death_rate=1 / h' --set 'cell_type.tumor.division_rate=0.5 / h'

failed=0
check() {  # check READER PACKAGE ENDING ...: install a package, and compare what it reads with the runs
    local reader=$1 package=$2 env run ending
    shift 2
    env=$envs/${package//[^a-z0-9.]/-}
    if [ ! -e "$env/ready" ]; then
        if ! { python3 -m venv "$env" && "$env/bin/pip" install "$package" pandas pyarrow zarr && touch "$env/ready"; }; then
            echo "$package: cannot be installed here"
            failed=1
            return
        fi
    fi
    for run in cells types living; do
        for ending in "$@"; do
            if [ "$ending" = .truth.h5ad ] && [ "$run" = types ]; then continue; fi
            "$env/bin/python" tests/export/readers.py "$reader" "$work/$run" "$work/$run$ending" || failed=1
        done
    done
}
check anndata 'anndata==0.10.*' .h5ad .truth.h5ad
check anndata 'anndata==0.12.*' .h5ad .truth.h5ad
check xarray xarray /fields.zarr
check ome_zarr 'ome-zarr>=0.11' .ome.zarr
check simulariumio simulariumio .simularium
check pyvista pyvista .vti .vtp
exit $failed
