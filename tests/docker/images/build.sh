#!/bin/bash
# Makes the stand-in images. Prints a line for each, and the end of the log where one fails.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")"
export DOCKER_BUILDKIT=0  # the one builder that every engine has
label=io.ragops.stand-in
log=$(mktemp)
trap 'rm -f "$log"' EXIT
cache=(); [ "${NOCACHE:-0}" = 1 ] && cache=(--no-cache)

command -v docker > /dev/null && docker version > "$log" 2>&1 || { echo "no Docker engine here: no images made" >&2; exit 7; }

quietly() {  # quietly NAME COMMAND...
  local name=$1 start=$SECONDS; shift
  nice "$@" > "$log" 2>&1 || { tail -20 "$log" >&2; echo "$name could not be made" >&2; exit 1; }
  printf '%-40s %4d s\n' "$name" $((SECONDS - start))
}
foreign() {  # whether the image is here and no stand-in of ours
  docker image inspect "$1" > /dev/null 2>&1 && [ -z "$(docker image inspect -f "{{index .Config.Labels \"$label\"}}" "$1")" ]
}
name() {  # name IMAGE TAG...
  local image=$1 tag; shift
  for tag; do if foreign "$tag"; then echo "$tag is here already: left alone"; else docker tag "$image" "$tag"; fi; done
}
inside() { docker run --rm --network none --entrypoint "" "$@"; }
make_image() { quietly "$1" docker build "${cache[@]}" --label "$label=debian" -t "ragops-stand-in/$1" "$1"; }

quietly base ./base.sh

make_image redis
v=$(inside ragops-stand-in/redis redis-server --version | sed -E 's/.* v=([0-9.]+) .*/\1/')
name ragops-stand-in/redis "redis:${v%.*}" "redis:$v"

make_image timescale
v=$(inside ragops-stand-in/timescale sed -nE "s/^default_version *= *'(.*)'/\1/p" /usr/share/postgresql/17/extension/timescaledb.control)
name ragops-stand-in/timescale "timescale/timescaledb:$v-pg17-oss" "timescale/timescaledb:$v-pg17"

make_image python
v=$(inside ragops-stand-in/python python -c 'import sys; print("{}.{}".format(*sys.version_info))')
name ragops-stand-in/python "python:$v-slim-trixie"

# One image with all programs, under the name of each with its own version.
make_image observability
version_of() { inside ragops-stand-in/observability dpkg-query -W -f '${Version}' "$1" | sed -E 's/^[0-9]+://; s/[+-].*//'; }
name ragops-stand-in/observability \
  "prom/prometheus:v$(version_of prometheus)" \
  "prom/alertmanager:v$(version_of prometheus-alertmanager)" \
  "prom/node-exporter:v$(version_of prometheus-node-exporter)" \
  "prometheuscommunity/postgres-exporter:v$(version_of prometheus-postgres-exporter)" \
  "oliver006/redis_exporter:v$(version_of prometheus-redis-exporter)-alpine"
