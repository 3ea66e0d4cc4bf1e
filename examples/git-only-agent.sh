#!/usr/bin/env bash
# A whole agent in bash and git: it claims build jobs by pushing to the state's branch, runs a command for each in the
# project's code, and reports by pushing again. Whatever it may not do, the daemon refuses.
#
#   MRX_KEY=<the agent's key> examples/git-only-agent.sh [--once] URL NAME [COMMAND...]
#
# URL is the state's repository, as http://127.0.0.1:8421/git/mrx-hello.git; NAME is the agent's name; COMMAND is run in a
# checkout of the code and defaults to `make`. Its folders, state/ and code/, are made where it is started. With --once it
# ends after one job, and at once if there is none.
#
# The command runs with this user's rights, without a sandbox: use it for code that you trust.
set -euo pipefail

once=
if [ "${1-}" = --once ]; then once=1; shift; fi
url=${1:?the URL of the state, as http://127.0.0.1:8421/git/mrx-hello.git} name=${2:?the name of the agent}
shift 2
[ $# -gt 0 ] || set -- make
: "${MRX_KEY:?the key of the agent}"
export MRX_KEY GIT_TERMINAL_PROMPT=0

# The key goes to git through a pipe: it is in no argument, no URL and no file.
git() {
    # shellcheck disable=SC2016  # the helper's own shell expands it
    command git -c credential.helper= -c credential.helper='!f() { echo username=agent; echo "password=$MRX_KEY"; }; f' \
        -c user.name="$name" -c user.email="$name@agents.example.org" -c advice.detachedHead=false "$@"
}
pause() { read -rt "$1" <> <(:) || :; }
say() { printf '%(%H:%M:%S)T %s: %s\n' -1 "$name" "$*" >&2; }

# Renews the lease as well: an agent that fetches is alive.
pull() { git -C state fetch -q origin state && git -C state reset -q --hard origin/state; }

# The value of a field at the top of a job's file.
field() { # FILE NAME
    local line
    while IFS= read -r line; do
        [[ $line != "$2: "* ]] || { printf '%s' "${line#*: }"; return; }
    done < "state/$1"
}

# Writes a job's file anew, with other values for fields at its top; a line that is no field is added at the end.
rewrite() { # FILE 'name: value' ...
    local file=state/$1 text='' line change
    shift
    while IFS= read -r line; do
        for change; do [[ $line != "${change%%: *}: "* ]] || line=$change; done
        text+=$line$'\n'
    done < "$file"
    for change; do [[ $'\n'$text == *$'\n'"$change"$'\n'* ]] || text+=$change$'\n'; done
    printf '%s' "$text" > "$file"
}

# Commits and pushes; fails if somebody was quicker or the daemon refuses.
push() { git -C state commit -qam "$1" && git -C state push -q origin HEAD:state; }

# The builds that wait for an agent, oldest first: ids begin with their time.
waiting() {
    local file
    git -C state grep -l -e '^state: pending$' -- jobs/open 2>/dev/null | while IFS= read -r file; do
        [ "$(field "$file" type)" = build ] || continue
        # A job that needs others is handed out when they are done.
        git -C state grep -q -e '^needs:$' -- "$file" && [ -z "$(field "$file" needsMetAt)" ] && continue
        printf '%s %s\n' "${file##*/}" "$file"
    done | { mapfile -t all; IFS=$'\n'; sorted "${all[@]}"; }
}
sorted() { # few lines: an insertion sort does
    local -a out=()
    local line at
    for line; do
        at=${#out[@]}
        while [ "$at" -gt 0 ] && [[ ${out[at - 1]} > $line ]]; do out[at]=${out[at - 1]}; at=$((at - 1)); done
        out[at]=$line
    done
    [ ${#out[@]} -eq 0 ] || printf '%s\n' "${out[@]##* }"
}

# Claims a job; sets `job` to its file. After a lost race it looks a little further behind the first, so that many agents part.
claim() {
    local lost=0 said
    local -a files
    while pull; do
        mapfile -t files < <(waiting)
        [ ${#files[@]} -gt 0 ] || return 1
        job=${files[RANDOM % (lost + 1) % ${#files[@]}]}
        rewrite "$job" 'state: claimed' "claimedBy: $name"
        if said=$(push "$name takes ${job##*/}" 2>&1); then return 0; fi
        # With a wrong clock no push is taken, of whichever job.
        [[ $said != *'your clock is right'* ]] || { printf '%s\n' "$said" >&2; exit 1; }
        lost=$((lost < 16 ? lost + 1 : lost))
    done
    return 1
}

# Pushes what came of the job; others may push meanwhile, so it is tried again on what they made of the branch.
report() { # 'name: value' ...
    local tries
    for ((tries = 0; tries < 100; tries++)); do
        pull || { pause 2; continue; }
        [ -e "state/$job" ] && [ "$(field "$job" claimedBy)" = "$name" ] || { say "$job is not mine any more"; return 0; }
        rewrite "$job" "$@"
        if push "$name reports on ${job##*/}"; then return 0; fi 2> /dev/null
        pause 0.$((RANDOM % 10))
    done
    return 1
}

# Runs the command, and asks meanwhile whether somebody wants it to stop.
work() {
    local ref beat=0 pid status=0
    git -C code fetch -q --tags origin '+refs/heads/*:refs/remotes/origin/*'
    # shellcheck disable=SC2016  # a block of YAML, not of shell
    ref=$(git -C state grep -hE -e '^  ref: ' -- "$job" || :)
    ref=${ref#  ref: }
    git -C code checkout -q --detach "origin/${ref:-HEAD}" 2> /dev/null || git -C code checkout -q --detach "$ref"
    git -C code clean -qfdx
    (cd code && exec "$@") > output 2>&1 &
    pid=$!
    while kill -0 "$pid" 2> /dev/null; do
        pause 0.2
        beat=$((beat + 1))
        [ $((beat % 100)) -eq 0 ] || continue
        pull || continue
        [ "$(field "$job" cancelRequested)" != true ] || { kill "$pid"; wait "$pid" || :; return 130; }
    done
    wait "$pid" || status=$?
    return "$status"
}

last_line() { # of the output, as YAML text in quotes
    local line last=
    while IFS= read -r line || [ -n "$line" ]; do [ -z "$line" ] || last=$line; done < output
    last=${last//[^[:print:]]/ }
    last=${last//\\/\\\\}
    printf '"%s"' "${last//\"/\\\"}"
}

[ -d state ] || git clone -q -b state "$url" state
[ -d code ] || git clone -q "${url%/*}/code/${url##*/}" code
while :; do
    if ! claim; then
        [ -z "$once" ] || { say "there is no job"; exit 0; }
        pause 5
        continue
    fi
    say "claimed ${job##*/}"
    status=0
    report 'state: running'
    work "$@" || status=$?
    commit=$(git -C code rev-parse HEAD)
    case $status in
        0) report 'state: completed' "result: { exitCode: 0, commit: $commit, lastLine: $(last_line) }" ;;
        130) report 'state: cancelled' ;;
        *) report 'state: failed' "result: { exitCode: $status, commit: $commit, lastLine: $(last_line) }" \
            "failure: { code: stepFailed, message: \"the command ended with $status\" }" ;;
    esac
    say "ended ${job##*/} with $status"
    [ -z "$once" ] || exit 0
done
