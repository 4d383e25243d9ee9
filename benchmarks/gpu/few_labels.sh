#!/usr/bin/env bash
# How accurate on CIFAR-10 with 4, 25, 400 labels a class? In commands of at most ten minutes (README.md); every finished
# draw counts, so it can be ended at any time.
#
#     AUGMINT_DATA=DIR bash benchmarks/gpu/few_labels.sh --out DIR [--seconds 480] [options of benchmarks/few_labels.py]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/cifar.sh"
exec "$python" "$here/resumed.py" "$python" "$here/../few_labels.py" "$data" --config "$here/cifar10.yaml" \
  --labels 4 25 400 --draws 20 --work {work}/run --out {work}/few_labels.json -- "$@"
