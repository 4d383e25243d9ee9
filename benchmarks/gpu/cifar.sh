# What worth.sh, few_labels.sh and generate.sh have in common; they read this file.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-python3}
export PYTHONPATH=$here/../../src${PYTHONPATH:+:$PYTHONPATH}
folder=${AUGMINT_DATA:?say where the Parquet files of CIFAR-10 are}
data=$(find "$folder" -maxdepth 1 -name '*train*.parquet' | sort | head -n 1)
[[ -n $data ]] || { echo "error: $folder: no *train*.parquet in it; give the folder of CIFAR-10's Parquet files" >&2 && exit 3; }
