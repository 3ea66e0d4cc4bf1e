#!/bin/sh
# Counts the words of a text, the commonest first, into report.txt.
set -eu
tr -cs '[:alpha:]' '\n' < "$1" | tr '[:upper:]' '[:lower:]' | sort | uniq -c | sort -k1,1nr -k2 > report.txt
echo "$(wc -l < report.txt) different words in $1"
