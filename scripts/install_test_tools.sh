#!/usr/bin/env bash
# Installs what some tests need beside the development environment: Ray (clusters), Gradio, Haystack
# and LlamaIndex (integrations, 255 MB), a browser and Node.js (server), HAProxy (several servers),
# git (packages from repositories), and the shells whose completion is tested. It never fails: those
# tests are skipped where a tool is missing.
set -uo pipefail
cd "$(dirname "$0")/.."

for extra in ray gradio,haystack,llama-index; do
  .venv/bin/python -m pip install --quiet --editable ".[$extra]" ||
    echo "Cannot install $extra. The tests that need it are skipped."
done

declare -A packages=([chromium]=chromium [chromedriver]=chromium-driver [node]=nodejs [npm]=npm
  [git]=git [haproxy]=haproxy [zsh]=zsh [fish]=fish)
missing=()
for tool in "${!packages[@]}"; do
  command -v "$tool" > /dev/null || missing+=("${packages[$tool]}")
done
if [ ${#missing[@]} -eq 0 ]; then
  exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get > /dev/null; then
  echo "Not installed: ${missing[*]}. The tests that need them are skipped."
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
timeout 120 apt-get update -qq || true
for package in "${missing[@]}"; do
  timeout 300 apt-get install -y -qq --no-install-recommends "$package" > /dev/null ||
    echo "Cannot install $package. The tests that need it are skipped."
done
exit 0
