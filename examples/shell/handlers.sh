#!/bin/sh
# Handlers without an SDK, in POSIX shell and jq. docs/handler-protocol.md explains the messages.
#
#   polychron up --handlers "sh examples/shell/handlers.sh"
[ "${POLYCHRON_FD-}" ] || { echo "a consumer must start this script" >&2; exit 2; }
eval "exec 8<&$POLYCHRON_FD 9>&$POLYCHRON_FD $POLYCHRON_FD<&-"
unset POLYCHRON_FD POLYCHRON_PROTOCOL
trap '' INT # Ctrl-C means the consumer

# The job type T is handled by handle_T. It reads the start message, and prints its result as JSON. If it
# fails, what it has printed is the error; exit status 65 means "do not retry". Standard error is the output.
types='["greet", "disk"]'
handle_greet() { jq -c '"Hello, \(.payload.name // "stranger") of \(.tenant)!"'; }
handle_disk() { df -P / | awk 'NR == 2 { printf "{\"used_percent\": %d}\n", $5 }'; }
for file; do . "$file"; done # more handlers, or others

printf '{"hello":{"protocol":1,"sdk":"shell","types":%s}}\n' "$types" >&9
while IFS= read -r line <&8; do
  # Other kinds of messages are ignored: a handler in a shell is cancelled by SIGTERM.
  start=$(printf '%s\n' "$line" | jq -c '.start // empty') && [ "$start" ] || continue
  id=$(printf '%s\n' "$start" | jq -r .id)
  type=$(printf '%s\n' "$start" | jq -r .type)
  status=0
  case $types in
    *"\"$type\""*) result=$(printf '%s\n' "$start" | "handle_$type" 8<&- 9>&-) || status=$? ;;
    *) result="no handler for this job type" status=65 ;;
  esac
  if [ $status = 0 ]; then
    printf '%s\n' "${result:-null}" | jq -c --arg id "$id" '(tojson | utf8bytelength) as $n
      | {done: {id: $id, result: (if $n > 1000000 then {polychron_cut: {bytes: $n}} else . end)}}'
  else
    printf '%s\n' "$result" | jq -Rsc --arg id "$id" --argjson retry "$([ $status = 65 ] && echo false || echo true)" \
      '{failed: {id: $id, kind: "exit status '$status'", message: .[:4000], retry: $retry}}'
  fi >&9
done
