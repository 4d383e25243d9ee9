#!/usr/bin/env bash
# Are minted images worth adding on CIFAR-10, 10 labels a class? In commands of at most ten minutes (README.md).
#
#     AUGMINT_DATA=DIR bash benchmarks/gpu/worth.sh --out DIR [--seconds 480] [options of benchmarks/worth.py]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/cifar.sh"
exec "$python" "$here/resumed.py" "$python" "$here/../worth.py" "$data" --config "$here/cifar10.yaml" \
  --labels 10 --draws 20 --work {work}/run --out {work}/worth.json -- "$@"
