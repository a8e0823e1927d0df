#!/bin/sh
# Builds the library straight into the package, for working on it in a checkout (the wheel uses CMake).
set -e
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/../src/elman/engine}
cmake -S "$here" -B "$here/build" -G Ninja -DCMAKE_BUILD_TYPE=Release >/dev/null
cmake --build "$here/build"
cp "$here/build/libelman.so" "$out/"
