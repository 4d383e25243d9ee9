#!/usr/bin/env bash
# What is the image generator worth on CIFAR-10? It is learnt, then measured beside real images, in commands of at most
# ten minutes (README.md).
#
#     AUGMINT_DATA=DIR bash benchmarks/gpu/generate.sh --out DIR [--seconds 480] [options of `augmint measure`]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/cifar.sh"
steps='"$1" -m augmint measure "${@:3}" --out "$2/run" && cp "$2/run/measures/measures.json" "$2/generate.json" &&
  cp "$2"/run/stages/generate-image/*/done.json "$2/generate-seconds.json"'
exec "$python" "$here/resumed.py" bash -c "$steps" generate "$python" {work} "$data" --config "$here/cifar10.yaml" \
  --labels-per-class 10 -- "$@"
