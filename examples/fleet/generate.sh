#!/bin/sh
# Writes tenant files: generate.sh [COUNT] [FOLDER]; by default 100 of them into tenants/ beside this script.
set -eu
count=${1:-100}
folder=${2:-$(dirname "$0")/tenants}
mkdir -p "$folder"
number=1
while [ "$number" -le "$count" ]; do
    name=$(printf 'tenant-%05d' "$number")
    printf 'name = "%s"\n\n[[bridge]]\nname = "web"\n\n[[bridge]]\nname = "db"\n\n[[rule]]\nname = "web-to-db"\nfrom = { bridge = "web" }\nto = { bridge = "db", tcp = 5432 }\naction = "accept"\n\n[[rule]]\nname = "nothing-else-to-db"\nto = { bridge = "db" }\naction = "drop"\n' "$name" > "$folder/$name.toml"
    number=$((number + 1))
done
