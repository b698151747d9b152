#!/usr/bin/env bash
# Builds the programs of the images and installs them, stripped, below a folder: build.sh debian|cuda FOLDER
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../../tools/lib.sh"

torch=$1
folder=$2
options=(-DDEMORL_BUILD_TESTS=OFF)
if [[ $torch == cuda ]]; then
  options+=("-DDEMORL_TORCH_WHEEL_DIR=$cache/torch-cuda-2.11.0/torch")
  "$root/tools/setup" --cuda
else
  "$root/tools/setup"
fi
build release "$root/build" binaries packaging -- "${options[@]}"
for component in services cli common; do
  DESTDIR=$folder cmake --install "$root/build" --component "$component" --prefix /usr --strip >/dev/null
done
