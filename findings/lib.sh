# Sourced by every finding: `packages NAME==VERSION ...` installs them in a temporary environment, $python runs there.
set -euo pipefail
export PIP_DISABLE_PIP_VERSION_CHECK=1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

packages() {
    "${PYTHON:-python3}" -m venv "$work/venv"
    python=$work/venv/bin/python
    "$python" -m pip install --quiet "$@"
    cd "$work"
    echo "with $*"
}
