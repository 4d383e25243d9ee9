#!/usr/bin/env bash
# Speed and accuracy of augmint's encoder on one GPU, in commands of at most ten minutes that go on where the last ended.
#
#     bash benchmarks/gpu/represent.sh [all|speed|train5|train20|linear|lightly] --data DIR --out DIR \
#         [--final] [--small] [--wheels DIR] [--seconds 480]
#
# Exit code 75 means: not finished, give the same command again. README.md beside this file says the rest.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-python3}
wheels=
arguments=()
while (($#)); do
  case $1 in
    --wheels) wheels=${2:?--wheels needs a folder} && shift 2 ;;
    --wheels=*) wheels=${1#*=} && shift ;;
    *) arguments+=("$1") && shift ;;
  esac
done

path=$here/../../src
if [[ -n $wheels ]]; then # a wheel is an archive of what would be installed: unpacked, it can be imported
  unpacked=$(mktemp -d)
  trap 'rm -rf "$unpacked"' EXIT
  for wheel in "$wheels"/*.whl; do
    [[ -e $wheel ]] || { echo "error: --wheels $wheels: no *.whl in it; README.md says what to carry" >&2 && exit 3; }
    "$python" -m zipfile -e "$wheel" "$unpacked"
  done
  path=$path:$unpacked
fi
PYTHONPATH=$path${PYTHONPATH:+:$PYTHONPATH} "$python" "$here/represent.py" "${arguments[@]}"
