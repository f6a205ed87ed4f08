#!/usr/bin/env bash
# Writes the bills of materials of both programs (CycloneDX 1.5) into target/, or the folder that is named.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

out=${1:-${CARGO_TARGET_DIR:-target}}
mkdir -p "$out"
.ci/sbom.py chartmesh-node chartmeshd "$out/chartmeshd.cdx.json"
.ci/sbom.py chartmesh-cli chartmesh "$out/chartmesh.cdx.json"
