#!/bin/sh
# A whole month from real traces: declared, imported, closed, invoiced, reported on, verified.
#   examples/month/run.sh [DATA_DIRECTORY]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
data=$here/../data
ENTREPOT=${ENTREPOT:-$here/../../.venv/bin/entrepot}
ENTREPOT_HOME=${1:-var/month}
export ENTREPOT_HOME

entrepot() {
  printf '\n$ entrepot %s\n' "$(printf '%s' "$*" | sed "s|$here/\.\./data/||g; s|$here/||g")"
  "$ENTREPOT" "$@"
}

entrepot apply "$here/world.yaml"

# BurstGPT's hours from the first of the month on: what was asked each hour, spread over everybody who chats.
entrepot usage import "$data/burstgpt1_hourly.csv" --trace burstgpt --shift-to 2024-03-01 \
  --tokens-per-request 1155,211 --spread "$here/chat.yaml"
# One real hour of Azure, request by request, on the evening of the fifth: chats and code.
entrepot usage import "$data/AzureLLMInferenceTrace_2023_conv.csv.gz" --trace azure --shift-to 2024-03-05 \
  --spread "$here/chat.yaml"
entrepot usage import "$data/AzureLLMInferenceTrace_2023_code.csv.gz" --trace azure --shift-to 2024-03-05 \
  --spread "$here/code.yaml"
# An hour of long prompts, a third of them answered from a cache, at a university's library.
entrepot usage import "$data/mooncake_conversation_trace.csv.gz" --trace mooncake --shift-to 2024-03-12 \
  --deployment fernhill-ai/stacks

entrepot close 2024-03
entrepot invoice show 2024-03-000007
entrepot report concentration --period 2024-03
entrepot report concentration --period 2024-03 --currency EUR
entrepot report run-rate
entrepot verify
