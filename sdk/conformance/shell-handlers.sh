# The handlers that the conformance program needs, for examples/shell/handlers.sh.
types='["echo", "fail", "print", "run", "large", "context"]'
handle_echo() { jq -c .payload; }
handle_fail() {
  request=$(cat)
  printf '%s' "$request" | jq -r .payload.message
  printf '%s' "$request" | jq -r '"x" * (.payload.message_bytes // 0) // ""'
  [ "$(printf '%s' "$request" | jq .payload.retry)" = false ] && return 65
  return 1
}
handle_print() { jq -r .payload.text >&2; }
handle_run() { jq -r '.payload.argv | @sh' | { read -r command; eval "$command" | jq -Rs .; }; }
handle_large() { jq -c '"x" * .payload.bytes'; }
handle_context() { jq -c .; }
